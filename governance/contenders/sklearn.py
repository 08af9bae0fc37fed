"""A scikit-learn pipeline that somebody else fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from governance.backends.base import Backend
from governance.contenders.base import Contender, Ring, public_name
from governance.modelconfig import SklearnModel
from governance.record import ModelEntry
from governance.store import code_digest, versions


class Sklearn(Contender):
    """A pipeline from a skops file, used as it is."""

    trained = False

    def __init__(self, name: str, config: SklearnModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config

    @override
    def prepare(self) -> None:
        """Nothing is trained here."""

    @override
    def identity(self) -> Mapping[str, object]:
        return {
            "weights": self.ring.base[self.name][1],
            "trusted": sorted(self.config.trusted),
            "code": code_digest("governance.backends.sklearn"),
            "versions": dict(versions("scikit-learn", "skops", "numpy", "scipy")),
        }

    @override
    def open(self) -> Backend:
        from governance.backends.sklearn import PipelineBackend

        return PipelineBackend(self.ring.base[self.name][0], self.ring.labels, trusted=self.config.trusted)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config = self.config
        return ModelEntry(
            **self._told(config, weighed_on, facts),
            title=config.title or "scikit-learn pipeline",
            source=public_name(config.path),
            licence=config.licence,
            note=config.note,
            settings={"trusted": ", ".join(config.trusted)} if config.trusted else {},
            digest=self.ring.base[self.name][1],
        )
