"""A pretrained encoder whose upper part this audit trains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from governance.backends.base import Featured
from governance.claims import PrivacyClaim
from governance.contenders.base import Ring, Trainable, public_name
from governance.errors import ConfigError
from governance.files import digest_file, digest_of, write_atomic
from governance.modelconfig import ClassifierModel
from governance.record import ModelEntry
from governance.store import code_digest, versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from governance.backends.int8 import Int8Backend
    from governance.budget.account import Account
    from governance.dataset import ScrubbedDataset
    from governance.training.classifier import Features
    from governance.training.dp.draws import Owners
    from governance.training.dp.plan import Plan
    from governance.training.encoder import LowerLayers
    from governance.training.loop import Settings, Tick

HEAD_RATE = 10.0  # the new head learns so many times faster than pretrained layers
WARM_UP = 0.1  # share of steps
PLAN = "plan.json"
PHYSICAL = 256  # rows whose activations are held at once when layers are trained
PAID_BY = ("governance.budget", "governance.claims")  # what a claim is computed and told by
PHYSICAL_HEAD = 8192  # when the head alone is


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
                    "class_weights", "private", "word_buckets", "rank", "optimizer", "momentum", "schedule", "average",
                },
            ),
            "seed": None if private else self.ring.seed,
            "language": self.ring.language if self.config.word_buckets else None,
            "users": self._users if private and private.unit == "user" else None,
            "code": code_digest("governance.training", "governance.backends.trained", *(PAID_BY if private else ())),
            "versions": dict(versions("torch", "transformers", "tokenizers", "opacus", "dp-accounting", "peft")),
        }  # fmt: skip

    @property
    def _users(self) -> str:
        """Whose the training rows are: other users are another promise."""
        units = self.ring.train.units
        return digest_of([] if units is None else units.tolist())

    @property
    @override
    def directory(self) -> Path:
        return self.ring.store.path("classifier", self._inputs)

    @cached_property
    def _lower(self) -> LowerLayers:
        from governance.training.encoder import Cut, LowerLayers

        cut = Cut(self._base, self.config.cached_layers, self.config.max_tokens)
        return LowerLayers(cut, self.ring.store.path("lower", self._lower_inputs), self.ring.progress.advance)

    @property
    def _lower_inputs(self) -> dict[str, object]:
        return {
            "base": self._base_digest,
            "cut": [self.config.cached_layers, self.config.max_tokens],
            "code": code_digest("governance.training.encoder"),
            "versions": dict(versions("torch", "transformers", "tokenizers")),
        }

    @cached_property
    def _features(self) -> Features:
        from governance.training.classifier import Features

        return Features(self._lower, self.ring.language)

    def _settings(self) -> Settings:
        from governance.training.loop import Settings

        config, private = self.config, self.config.private
        return Settings(
            learning_rate=config.learning_rate,
            new_rate=HEAD_RATE if config.trained_layers else 1.0,
            optimizer=config.optimizer or ("sgd" if private else "adamw"),
            momentum=config.momentum,
            schedule=config.schedule or ("constant" if private else "linear"),
            warm_up=0.0 if private else WARM_UP,
            epochs=config.epochs,
            batch=config.batch,
            physical=PHYSICAL if config.trained_layers else PHYSICAL_HEAD,
            average=config.average,
            on_budget=private.on_budget if private else "refuse",
            seed=self.ring.seed,
        )

    def _plan(self, directory: Path, n: int, users: int | None) -> Plan | None:
        """Made once: with another number of threads the noise's last digits, and so the plan, would be others."""
        from governance.training.dp.plan import Plan, plan

        private, kept = self.config.private, directory / PLAN
        if private is None:
            return None
        if kept.exists():
            return Plan(**json.loads(kept.read_bytes()))
        try:
            made = plan(n=n, users=users, **private.model_dump(exclude={"unit", "on_budget", "publish_loss"}))
        except ConfigError as error:
            raise ConfigError(f"models.{self.name}.{error}") from None
        write_atomic(kept, json.dumps(asdict(made)).encode())
        return made

    @override
    def train(self, directory: Path, called: str, row_weights: NDArray[np.float64] | None = None) -> None:
        from governance.training import classifier

        config, ring = self.config, self.ring
        with ring.progress.stage(f"read with the lower layers for {called}", self._lower.missing(ring.train.texts)):
            self._lower.outputs(ring.train.texts)
        rows, owners = self._rows()
        plan = self._plan(directory, len(rows), None if owners is None else len(owners))
        recipe = classifier.Recipe(
            trained_layers=config.trained_layers,
            word_buckets=config.word_buckets,
            rank=config.rank,
            class_weights=config.class_weights,
            settings=self._settings(),
            plan=plan,
            publish_loss=config.private is not None and config.private.publish_loss,
        )
        account = self._account(directory, plan) if plan else None
        if plan:
            ring.progress.say(f"  {called}: {in_words(plan)}")
        steps = plan.steps if plan else recipe.settings.epochs * -(-len(rows) // recipe.settings.batch)
        with ring.progress.stage(f"train {called}", steps):
            classifier.train(
                recipe, rows, ring.labels, self._features, directory,
                charges=account,
                owners=owners if config.private and config.private.drawn == "user" else None,
                tick=lambda tick: ring.progress.reach(tick.step, told(tick, plan)),
                row_weights=row_weights,
            )  # fmt: skip
        if account is not None:
            classifier.note_ledger(directory, account)

    def _account(self, directory: Path, plan: Plan) -> Account:
        """Where the run pays. Where all is paid for and the weights are lost, what follows is another run.

        Going on would give out an untrained model with a claim.
        """
        from governance.budget.account import NAME
        from governance.training import checkpoint
        from governance.training.model import SETTINGS

        account = self.ring.account(self.name, directory, plan)
        kept = checkpoint.there(directory) or (directory / SETTINGS).exists()
        if account.charged >= plan.steps and not kept:
            self.ring.progress.say(f"  {self.name}: an earlier attempt is paid for, but its weights are lost: again")
            (directory / NAME).unlink()
            account = self.ring.account(self.name, directory, plan)
        return account

    def _rows(self) -> tuple[ScrubbedDataset, Owners | None]:
        """Training rows, without those beyond a user's cap, and whose they are where users are protected."""
        from governance.training.dp.draws import Owners

        rows, private = self.ring.train, self.config.private
        if private is None or private.unit == "record":
            return rows, None
        if rows.units is None:
            raise ConfigError(f"models.{self.name}.private.unit: expected data.unit, the column that tells users apart")
        rows = rows.take(np.flatnonzero(rows.units >= 0))  # without a user nobody's cap bounds a row
        assert rows.units is not None  # noqa: S101 - narrows the type
        rows = rows.take(np.array(Owners(rows.units, private.cap).kept(), dtype=np.int64))
        assert rows.units is not None  # noqa: S101 - narrows the type; taken from rows that have units
        return rows, Owners(rows.units, private.cap)

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
        from governance.backends.trained import ClassifierBackend

        return ClassifierBackend(directory, self._features, self.ring.labels)

    @override
    def costs(self, positive: NDArray[np.bool_]) -> tuple[float, float]:
        labels, weights = self.ring.labels, self.config.class_weights
        [other] = set(labels.classes) - {labels.positive}
        return weights.get(other, 1.0), weights.get(str(labels.positive), 1.0)

    @override
    def size(self) -> int:
        from governance.backends.int8 import size_of, tensors_of
        from governance.training.model import load

        trained = load(self.directory, self._lower.cut)
        return size_of(tensors_of(self._lower.model, "lower")) + size_of(tensors_of(trained, "trained"))

    def in_int8(self) -> Int8Backend:
        """The whole of it in 8-bit integers: the layers below the cut too, whose outputs are computed anew."""
        from governance.backends.int8 import Int8Backend, Int8Layers
        from governance.training.classifier import Features

        inputs = {**self._lower_inputs, "int8": code_digest("governance.backends.int8")}
        lower = Int8Layers(self._lower.cut, self.ring.store.path("lower", inputs), self.ring.progress.advance)
        return Int8Backend(self.directory, Features(lower, self.ring.language), self.ring.labels)

    @override
    def described(self, directory: Path) -> Mapping[str, Any]:
        from governance.training.classifier import parts, read_curve
        from governance.training.model import WEIGHTS

        return {
            "trained_parts": parts(
                self.config.cached_layers,
                self.config.trained_layers,
                self._lower.layers,
                self.config.word_buckets,
                self.config.rank,
            ),
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
            **self._told(config, weighed_on, facts),
            title=config.title or "fine-tuned encoder",
            source=public_name(config.base),
            licence=config.licence,
            note=config.note,
            trained=True,
            trained_on=len(self.ring.train) if self.claim is None else self.claim.n,
            settings={**flat, "class_weights": weights or None},
            claim=self.claim,
            **self.described(self.directory),
        )


def in_words(plan: Plan) -> str:
    """A plan before it is taken: what it costs and how."""
    return (
        f"epsilon {plan.epsilon:g} at delta {plan.delta:g} per {plan.unit}: {plan.steps} steps, each "
        f"{plan.drawn} drawn with chance {plan.sample_rate:g}, noise multiplier {plan.sigma:.4g}"
    )


def told(tick: Tick, plan: Plan | None) -> str:
    """Loss and epsilon so far, for the progress bar."""
    loss = f"loss {tick.loss:.3f}"
    if plan is None:
        return loss
    from governance.budget.accounting import epsilon_pld

    return f"{loss}, epsilon {epsilon_pld([plan.spent(tick.step)], plan.delta):.2f}"
