"""A pretrained encoder whose upper part this audit trains."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from governance.backends.base import Featured
from governance.claims import PrivacyClaim
from governance.config import ClassifierModel
from governance.contenders.base import Ring, Trainable, public_name
from governance.errors import ConfigError
from governance.files import digest_file
from governance.record import ModelEntry
from governance.store import code_digest, versions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from governance.training.classifier import Recipe
    from governance.training.encoder import LowerLayers


class Classifier(Trainable):
    """A pretrained encoder whose upper part this audit trains, privately or not."""

    def __init__(self, name: str, config: ClassifierModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config
        self.licence = config.licence
        self._base, self._base_digest = ring.base[name]

    @cached_property
    def _inputs(self) -> Mapping[str, object]:
        private = self.config.private
        # A private run draws from the operating system, so no seed is part of its identity.
        return {
            "rows": self.ring.rows_digest,
            "base": self._base_digest,
            "recipe": self.config.model_dump(
                mode="json",
                include={
                    "cached_layers", "trained_layers", "max_tokens", "epochs", "batch", "learning_rate",
                    "class_weights", "private",
                },
            ),
            "seed": None if private else self.ring.seed,
            "code": code_digest("governance.training", "governance.backends.hf"),
            "versions": dict(versions("torch", "transformers", "tokenizers", "opacus")),
        }  # fmt: skip

    @property
    @override
    def directory(self) -> Path:
        return self.ring.store.path("classifier", self._inputs)

    @cached_property
    def _lower(self) -> LowerLayers:
        from governance.training.encoder import Cut, LowerLayers

        cut = Cut(self._base, self.config.cached_layers, self.config.max_tokens)
        inputs = {
            "base": self._base_digest,
            "cut": [cut.cached_layers, cut.max_tokens],
            "code": code_digest("governance.training.encoder"),
            "versions": dict(versions("torch", "transformers", "tokenizers")),
        }
        return LowerLayers(cut, self.ring.store.path("lower", inputs), self.ring.progress.advance)

    def _recipe(self) -> Recipe:
        from governance.training import classifier, private

        config, settings = self.config, self.config.private
        plan = None
        if settings is not None:
            try:
                plan = private.plan(n=len(self.ring.train), **settings.model_dump())
            except ConfigError as error:
                raise ConfigError(f"models.{self.name}.{error}") from None
        return classifier.Recipe(
            trained_layers=config.trained_layers,
            epochs=config.epochs,
            batch=config.batch,
            learning_rate=config.learning_rate,
            class_weights=config.class_weights,
            plan=plan,
            seed=self.ring.seed,
        )

    @override
    def train(self, directory: Path, called: str, row_weights: NDArray[np.float64] | None = None) -> None:
        from governance.training import classifier

        recipe, lower, ring = self._recipe(), self._lower, self.ring
        with ring.progress.stage(f"read with the lower layers for {called}", lower.missing(ring.train.texts)):
            lower.outputs(ring.train.texts)
        total = recipe.plan.steps if recipe.plan else recipe.epochs * len(ring.train)
        with ring.progress.stage(f"train {called}", total):
            advance = ring.progress.reach if recipe.plan else ring.progress.advance
            classifier.train(recipe, ring.train, ring.labels, lower, directory, advance, row_weights)

    @override
    def identity(self) -> Mapping[str, object]:
        from governance.training.model import WEIGHTS

        # The weights, not the recipe: two private runs of one recipe are two models.
        return {"weights": digest_file(self.directory / WEIGHTS), **self._inputs}

    @property
    @override
    def claim(self) -> PrivacyClaim | None:
        from governance.training.classifier import read_claim

        return read_claim(self.directory)

    @override
    def open_at(self, directory: Path) -> Featured:
        from governance.backends.hf import ClassifierBackend

        return ClassifierBackend(directory, self._lower, self.ring.labels)

    @override
    def costs(self, positive: NDArray[np.bool_]) -> tuple[float, float]:
        labels, weights = self.ring.labels, self.config.class_weights
        [other] = set(labels.classes) - {labels.positive}
        return weights.get(other, 1.0), weights.get(str(labels.positive), 1.0)

    @override
    def described(self, directory: Path) -> Mapping[str, Any]:
        from governance.training.classifier import parts, read_curve
        from governance.training.model import WEIGHTS

        return {
            "trained_parts": parts(self.config.cached_layers, self.config.trained_layers, self._lower.layers),
            "digest": digest_file(directory / WEIGHTS),
            "curve": read_curve(directory),
        }

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config = self.config
        flat = config.model_dump(include={"cached_layers", "trained_layers", "max_tokens", "learning_rate"})
        flat |= {"epochs": config.epochs, "batch": config.batch} if config.private is None else {}
        weights = ", ".join(f"{name}: {weight:g}" for name, weight in config.class_weights.items())
        return ModelEntry(
            name=self.name,
            kind=config.kind,
            title=config.title or "fine-tuned encoder",
            source=public_name(config.base),
            licence=config.licence,
            note=config.note,
            trained=True,
            trained_on=len(self.ring.train),
            weighed_on=weighed_on,
            settings={**flat, "class_weights": weights or None},
            capabilities=tuple(facts["capabilities"]),
            claim=self.claim,
            **self.described(self.directory),
        )
