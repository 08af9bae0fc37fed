"""One configured model on its way to being weighed: trained or started if need be, opened, described."""

from __future__ import annotations

import os
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SecretStr
from typing_extensions import override

from governance.backends.base import Backend
from governance.backends.prompts import Prompt
from governance.claims import PrivacyClaim
from governance.config import ClassifierModel, OpenAIModel, TfidfModel
from governance.dataset import Labels, ScrubbedDataset
from governance.errors import ConfigError
from governance.files import digest_file, digest_of
from governance.progress import Progress
from governance.record import ModelEntry
from governance.store import Store, code_digest, versions

if TYPE_CHECKING:
    from governance.backends.launch import Server
    from governance.training.classifier import Recipe
    from governance.training.encoder import LowerLayers

Gate = Callable[[str, Literal["prompt", "output"]], tuple[str, dict[str, int]]]
"""Scrubs one text on its way out or back: its scrubbed form and counts by entity."""


@dataclass(frozen=True)
class Ring:
    """What every contender is given.

    Attributes:
        store: where stages are kept.
        train: scrubbed training rows.
        rows_digest: identity of the scrubbed data and its split.
        labels: the task's classes.
        language: of the data.
        seed: of everything random that may be seeded.
        base: model name -> folder or file of pretrained weights, and its digest.
        prompts: model name -> its prompt.
        gate: scrubs prompts and answers.
        progress: where to say what is being done.
    """

    store: Store
    train: ScrubbedDataset
    rows_digest: str
    labels: Labels
    language: str
    seed: int
    base: Mapping[str, tuple[Path, str]]
    prompts: Mapping[str, Prompt]
    gate: Gate
    progress: Progress


class Contender(ABC):
    """A model of the config. `open` may take minutes the first time; `entry` is asked after it was weighed."""

    trained = True

    def __init__(self, name: str, ring: Ring) -> None:
        self.name = name
        self.ring = ring

    @property
    def claim(self) -> PrivacyClaim | None:
        """Its privacy claim, if it was trained privately; asked after training."""
        return None

    @abstractmethod
    def prepare(self) -> None:
        """Train it, if this audit trains it and hasn't yet."""

    @abstractmethod
    def identity(self) -> Mapping[str, object]:
        """What its answers depend on, besides the texts."""

    @abstractmethod
    def open(self) -> Backend:
        """A backend that answers; the caller closes it."""

    @abstractmethod
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        """Its entry in the record.

        Args:
            weighed_on: held-out rows that it was asked.
            facts: what `facts_of` said when it was asked.
        """


def facts_of(backend: Backend) -> dict[str, Any]:
    """What only a backend that has just answered knows; kept beside its answers."""
    return {
        "capabilities": sorted(backend.capabilities),
        "sent": dict(getattr(backend, "sent", {})),
        "reported_model": getattr(backend, "reported_model", None),
    }


class Tfidf(Contender):
    """TF-IDF + logistic regression."""

    def __init__(self, name: str, config: TfidfModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config

    @cached_property
    def _inputs(self) -> Mapping[str, object]:
        return {
            "rows": self.ring.rows_digest,
            "max_features": self.config.max_features,
            "regularisation": self.config.regularisation,
            "seed": self.ring.seed,
            "language": self.ring.language,
            "code": code_digest("governance.training.tfidf", "governance.backends.sklearn"),
            "versions": dict(versions("scikit-learn", "skops", "numpy", "scipy")),
        }

    @property
    def _directory(self) -> Path:
        return self.ring.store.path("tfidf", self._inputs)

    @override
    def prepare(self) -> None:
        from governance.training import tfidf

        if self._directory.exists():
            return
        with self.ring.progress.stage(f"train {self.name}"), self.ring.store.building(self._directory) as directory:
            tfidf.train(
                self.ring.train,
                self.ring.labels,
                directory,
                max_features=self.config.max_features,
                regularisation=self.config.regularisation,
                language=self.ring.language,
                seed=self.ring.seed,
            )

    @override
    def identity(self) -> Mapping[str, object]:
        return self._inputs

    @override
    def open(self) -> Backend:
        from governance.backends.sklearn import SklearnBackend
        from governance.training.tfidf import WEIGHTS

        return SklearnBackend(self._directory / WEIGHTS, self.ring.labels)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        from governance.training.tfidf import DIGEST

        return ModelEntry(
            name=self.name,
            kind=self.config.kind,
            title=self.config.title or "TF-IDF + logistic regression",
            source="trained from scratch by this audit (scikit-learn)",
            licence=self.config.licence,
            note=self.config.note,
            trained=True,
            trained_on=len(self.ring.train),
            trained_parts="all of it",
            weighed_on=weighed_on,
            settings=self.config.model_dump(include={"max_features", "regularisation"}),
            digest=(self._directory / DIGEST).read_text(encoding="ascii"),
            capabilities=tuple(facts["capabilities"]),
        )


class Classifier(Contender):
    """A pretrained encoder whose upper part this audit trains, privately or not."""

    def __init__(self, name: str, config: ClassifierModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config
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
    def _directory(self) -> Path:
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
    def prepare(self) -> None:
        from governance.training import classifier

        if self._directory.exists():
            return
        recipe, lower, ring = self._recipe(), self._lower, self.ring
        with ring.progress.stage(f"read with the lower layers for {self.name}", lower.missing(ring.train.texts)):
            lower.outputs(ring.train.texts)
        total = recipe.plan.steps if recipe.plan else recipe.epochs * len(ring.train)
        with ring.progress.stage(f"train {self.name}", total), ring.store.building(self._directory) as directory:
            advance = ring.progress.reach if recipe.plan else ring.progress.advance
            classifier.train(recipe, ring.train, ring.labels, lower, directory, advance)

    @override
    def identity(self) -> Mapping[str, object]:
        from governance.training.model import WEIGHTS

        # The weights, not the recipe: two private runs of one recipe are two models.
        return {"weights": digest_file(self._directory / WEIGHTS), **self._inputs}

    @property
    @override
    def claim(self) -> PrivacyClaim | None:
        from governance.training.classifier import read_claim

        return read_claim(self._directory)

    @override
    def open(self) -> Backend:
        from governance.backends.hf import ClassifierBackend

        return ClassifierBackend(self._directory, self._lower, self.ring.labels)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        from governance.training.classifier import parts, read_curve
        from governance.training.model import WEIGHTS

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
            trained_parts=parts(config.cached_layers, config.trained_layers, self._lower.layers),
            weighed_on=weighed_on,
            settings={**flat, "class_weights": weights or None},
            digest=digest_file(self._directory / WEIGHTS),
            capabilities=tuple(facts["capabilities"]),
            claim=self.claim,
            curve=read_curve(self._directory),
        )


class OpenAI(Contender):
    """A model behind an OpenAI-compatible API: a vendor's, or one on loopback that stands in for it."""

    trained = False

    def __init__(self, name: str, config: OpenAIModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config

    @override
    def prepare(self) -> None:
        """A closed model is not trained here."""

    @override
    def identity(self) -> Mapping[str, object]:
        launch = self.config.launch
        return {
            "model": self.config.model,
            "endpoint": self.config.base_url,
            "launched": [launch.server, self.ring.base[self.name][1]] if launch else None,
            "prompt": self.ring.prompts[self.name].bind(self.ring.labels).digest(),
            "max_tokens": self.config.max_tokens,
            "code": code_digest("governance.backends", "governance.privacy"),
            "versions": dict(versions("openai", "transformers") if launch else versions("openai")),
        }

    @override
    def open(self) -> Backend:
        from governance.backends.api import OpenAIBackend
        from governance.backends.cache import AnswerCache

        config, server = self.config, self._launch()
        cache = AnswerCache(self.ring.store.root / "answers.sqlite")
        return OpenAIBackend(
            base_url=server.base_url if server else config.base_url or "",
            identity=f"launched:{digest_of(self.identity()['launched'])}" if server else None,
            model=server.served_model if server else config.model or "",
            api_key=SecretStr(os.environ[config.api_key_env]) if config.api_key_env else None,
            prompt=self.ring.prompts[self.name],
            labels=self.ring.labels,
            gate=self.ring.gate,
            cache=cache,
            concurrency=config.concurrency,
            timeout=config.timeout,
            max_retries=config.max_retries,
            max_tokens=config.max_tokens,
            seed=self.ring.seed,
            owned=(cache, server) if server else (cache,),
        )

    def _launch(self) -> Server | None:
        """Start the server that stands in for a vendor, converting its weights the first time."""
        from governance.backends.gguf import convert
        from governance.backends.launch import Server, transformers_serve

        launch = self.config.launch
        if launch is None:
            return None
        base, digest = self.ring.base[self.name]
        progress = self.ring.progress
        if base.is_file():
            folder = self.ring.store.root / f"model-{digest[-16:]}" / base.stem
            with progress.stage(f"convert {base.name} for {launch.server}"):
                base = convert(base, folder)
        with progress.stage(f"start {launch.server} for {self.name}"):
            return Server(transformers_serve(base), timeout=launch.timeout)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config, launch = self.config, self.config.launch
        return ModelEntry(
            name=self.name,
            kind=config.kind,
            title=config.title or "model behind an API",
            source=f"{public_name(launch.model)} through {launch.server}" if launch else host_of(config.base_url or ""),
            licence=config.licence,
            note=config.note or ("on loopback; stands in for a vendor's model" if launch else None),
            trained=False,
            weighed_on=weighed_on,
            settings={
                "model": facts.get("reported_model") or config.model,
                "prompt": config.prompt,
                "temperature": 0.0,
                "max_tokens": config.max_tokens,
                "concurrency": config.concurrency,
            },
            digest=self.ring.base[self.name][1] if launch else None,
            capabilities=tuple(facts["capabilities"]),
            remote=True,
            sent=facts.get("sent", {}),
        )


def public_name(source: str) -> str:
    """A model's source as a record may show it: never an absolute path of this machine."""
    return Path(source).name if Path(source).is_absolute() else source


def host_of(url: str) -> str:
    """Scheme and host of an endpoint, without credentials or query."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"


def contender(name: str, config: Any, ring: Ring) -> Contender:
    """The contender for a model of the config."""
    made: dict[type, Callable[[str, Any, Ring], Contender]] = {
        TfidfModel: Tfidf, ClassifierModel: Classifier, OpenAIModel: OpenAI,
    }  # fmt: skip
    return made[type(config)](name, config, ring)
