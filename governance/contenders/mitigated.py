"""A fairer version of another model of the config: thresholds, a mixture, or the same recipe with row weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from typing_extensions import override

from governance.backends.base import Backend
from governance.contenders.base import Contender, Ring, Trainable
from governance.errors import DataError
from governance.files import digest_file, digest_of
from governance.modelconfig import MitigatedModel
from governance.record import ModelEntry
from governance.store import code_digest, versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from governance.training.mitigation import Constraint

THRESHOLDS = "thresholds.json"
MIXTURE = "mixture.safetensors"
TOLERANCE = 0.01
"""Fairlearn's own default."""
_TITLES = {
    "threshold-optimizer": "thresholds by group on top of",
    "exponentiated-gradient": "mixture of linear classifiers on the features of",
    "reweighing": "row weights in the recipe of",
}


class Mitigated(Contender):
    """A model that stands on another one. What it is fitted on are training rows, their labels and group values."""

    def __init__(self, name: str, config: MitigatedModel, ring: Ring, base: Trainable) -> None:
        super().__init__(name, ring)
        self.config = config
        self.base = base
        self.of = config.of
        self.mitigates = config.group
        self.decides_by = config.group if config.method == "threshold-optimizer" else None

    @cached_property
    def _inputs(self) -> Mapping[str, object]:
        config = self.config
        return {
            "base": self.base.identity(),
            "method": [config.method, config.constraint, self._tolerance],
            "costs": self._costs,
            "rows": self.ring.rows_digest,
            "groups": digest_of(list(self._groups)),
            "seed": self.ring.seed,
            "code": code_digest(
                "governance.training.mitigation", "governance.training.decisions", "governance.backends.mitigated"
            ),
            "versions": dict(versions("fairlearn", "scikit-learn", "numpy", "scipy", "pandas")),
        }

    @property
    def _directory(self) -> Path:
        return self.ring.store.path("mitigated", self._inputs)

    @property
    def _tolerance(self) -> float | None:
        return (self.config.tolerance or TOLERANCE) if self.config.method == "exponentiated-gradient" else None

    @property
    def _groups(self) -> tuple[str | None, ...]:
        return self.ring.train.groups[self.config.group]

    @cached_property
    def _positive(self) -> NDArray[np.bool_]:
        labels = self.ring.labels
        return np.equal(labels.codes(self.ring.train.labels), labels.classes.index(str(labels.positive)))

    @property
    def _costs(self) -> tuple[float, float]:
        return self.base.costs(self._positive)

    @property
    def _constraint(self) -> Constraint:
        return cast("Literal['demographic-parity', 'equalized-odds']", self.config.constraint)

    @override
    def prepare(self) -> None:
        self.base.prepare()
        if self._directory.exists():
            return
        make = {
            "threshold-optimizer": self._fit_thresholds,
            "exponentiated-gradient": self._fit_mixture,
            "reweighing": self._train_again,
        }[self.config.method]
        with self.ring.store.building(self._directory) as directory:
            try:
                make(directory)
            except DataError as error:
                raise DataError(f"models.{self.name}.group: column '{self.config.group}': {error}") from None

    def _fit_thresholds(self, directory: Path) -> None:
        from governance.training.mitigation import fit_thresholds

        ring, backend = self.ring, self.base.open()
        try:
            with ring.progress.stage(f"fit thresholds for {self.name}"):
                answers = backend.classify(ring.train.texts)
                place = ring.labels.classes.index(str(ring.labels.positive))
                scores = np.array([np.nan if one.scores is None else one.scores[place] for one in answers])
                groups = [None if np.isnan(score) else group for score, group in zip(scores, self._groups, strict=True)]
                fitted = fit_thresholds(
                    scores,
                    self._positive,
                    groups,
                    constraint=self._constraint,
                    balanced=self._costs[0] != self._costs[1],  # a recipe that weighs its classes means this
                )
        finally:
            backend.close()
        fitted.save(directory / THRESHOLDS)

    def _fit_mixture(self, directory: Path) -> None:
        from governance.training.mitigation import fit_mixture

        ring, backend = self.ring, self.base.open_at(self.base.directory)
        try:
            with ring.progress.stage(f"fit a mixture for {self.name}"):
                features, _ = backend.features(ring.train.texts)
                fitted = fit_mixture(
                    features,
                    self._positive,
                    self._groups,
                    constraint=self._constraint,
                    tolerance=self._tolerance or TOLERANCE,
                    costs=self._costs,
                    regularisation=self.base.regularisation,
                    seed=ring.seed,
                )
        finally:
            backend.close()
        fitted.save(directory / MIXTURE)

    def _train_again(self, directory: Path) -> None:
        from governance.training.mitigation import large_groups, row_weights

        large_groups(self._positive, self._groups)  # one group has nothing to be made independent of
        self.base.train(directory, self.name, row_weights(self._positive, self._groups))

    @override
    def identity(self) -> Mapping[str, object]:
        return {"weights": self._described["digest"], **self._inputs}

    @override
    def open(self) -> Backend:
        from governance.backends.mitigated import MixtureBackend, ThresholdBackend
        from governance.training.decisions import Mixture, Thresholds

        labels, seed = self.ring.labels, self.ring.seed
        if self.config.method == "threshold-optimizer":
            rules = Thresholds.load(self._directory / THRESHOLDS)
            return ThresholdBackend(self.base.open(), rules, labels, seed=seed)
        if self.config.method == "exponentiated-gradient":
            mixture = Mixture.load(self._directory / MIXTURE)
            return MixtureBackend(self.base.open_at(self.base.directory), mixture, labels, seed=seed)
        return self.base.open_at(self._directory)

    @property
    def _described(self) -> Mapping[str, Any]:
        if self.config.method == "threshold-optimizer":
            parts = f"a decision rule per group of {self.config.group}, on the scores of {self.of}"
            return {"trained_parts": parts, "digest": digest_file(self._directory / THRESHOLDS)}
        if self.config.method == "exponentiated-gradient":
            parts = f"linear classifiers and how often each is drawn, on the features of {self.of}"
            return {"trained_parts": parts, "digest": digest_file(self._directory / MIXTURE)}
        return self.base.described(self._directory)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config = self.config
        costs = self._costs
        settings = {
            "method": config.method,
            "constraint": config.constraint,
            "group": config.group,
            "tolerance": self._tolerance,
            "classes_weighed": costs[0] != costs[1] if config.constraint else None,
            "rows_without_a_rule": facts.get("fell_back"),
        }
        notes = [config.note, f"uses {config.group} at decision time" if self.decides_by else None]
        return ModelEntry(
            **self._told(config, weighed_on, facts),
            of=config.of,
            title=config.title or f"{_TITLES[config.method]} {config.of}",
            source=f"made by this audit from {config.of}",
            licence=config.licence or self.base.licence,
            note="; ".join(note for note in notes if note) or None,
            trained=True,
            trained_on=len(self.ring.train),
            settings={name: value for name, value in settings.items() if value is not None},
            **self._described,
        )
