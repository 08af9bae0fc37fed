"""Decisions by chance, made repeatable: rules that give each row a probability of the positive answer, and its coin.

What Fairlearn fits is kept as numbers, in JSON and safetensors, never as its objects. Its rules are randomised; here
a keyed hash of the row's text decides, so that the same text is answered alike today, tomorrow, and in any order.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from governance.errors import BackendError
from governance.files import canonical, write_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray

Groups: TypeAlias = Sequence[str | None]
Features: TypeAlias = Any
"""Rows of features, shape (n, d): an array, or a SciPy matrix in CSR."""
_ENDS = {"inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True, slots=True)
class Cut:
    """Whether a score lies above (or below) a threshold."""

    operator: Literal[">", "<"]
    threshold: float

    def __post_init__(self) -> None:
        if self.operator not in (">", "<") or math.isnan(self.threshold):
            raise ValueError(f"expected > or < and a number, got {self.operator!r} and {self.threshold}")

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Scores (n,) to (n,)."""
        return np.asarray(scores > self.threshold if self.operator == ">" else scores < self.threshold)


@dataclass(frozen=True, slots=True)
class Rule:
    """One group's decision: one of two cuts, drawn by `share`, or, with probability `ignore`, a coin instead.

    Attributes:
        first: drawn with probability `share`.
        second: drawn otherwise.
        share: in [0, 1].
        ignore: how often the score is ignored, in [0, 1].
        coin: the chance of the positive answer then, in [0, 1].
    """

    first: Cut
    second: Cut
    share: float
    ignore: float = 0.0
    coin: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= chance <= 1 for chance in (self.share, self.ignore, self.coin)):
            raise ValueError(f"expected chances in [0, 1], got {self.share}, {self.ignore} and {self.coin}")

    def probability(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Chance of the positive answer, shape (n,)."""
        drawn = self.share * self.first(scores) + (1 - self.share) * self.second(scores)
        return np.asarray(self.ignore * self.coin + (1 - self.ignore) * drawn, dtype=float)


@dataclass(frozen=True)
class Thresholds:
    """A decision rule per group, on top of one score for all.

    Attributes:
        rules: group value -> its rule; other values have none.
    """

    rules: Mapping[str, Rule]

    def probability(self, scores: NDArray[np.float64], groups: Groups) -> NDArray[np.float64]:
        """Chance of the positive answer, shape (n,); NaN where a row's group has no rule."""
        found, values = np.full(len(scores), np.nan), np.array(groups, dtype=object)
        for value, rule in self.rules.items():
            here = values == value
            found[here] = rule.probability(scores[here])
        return found

    def save(self, path: Path) -> None:
        """Write as JSON. Group values stand in a list, so none of them can be a key that means something else."""
        rules = [{"group": value, **asdict(rule)} for value, rule in self.rules.items()]
        for rule in rules:
            for cut in (rule["first"], rule["second"]):
                if math.isinf(cut["threshold"]):
                    cut["threshold"] = "inf" if cut["threshold"] > 0 else "-inf"
        write_atomic(path, canonical({"rules": rules}))

    @classmethod
    def load(cls, path: Path) -> Thresholds:
        """Read what `save` wrote.

        Raises:
            BackendError: the file holds no such rules.
        """
        try:
            return cls({str(raw["group"]): _rule(raw) for raw in json.loads(path.read_bytes())["rules"]})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackendError(f"{path.name}: not thresholds that Steelyard fitted ({type(error).__name__})") from None


def _rule(raw: Mapping[str, Any]) -> Rule:
    first, second = (
        Cut(cut["operator"], float(_ENDS.get(cut["threshold"], cut["threshold"])))
        for cut in (raw["first"], raw["second"])
    )
    return Rule(first, second, *(float(raw[name]) for name in ("share", "ignore", "coin")))


@dataclass(frozen=True)
class Mixture:
    """Logistic regressions of which one, drawn by its weight, answers each row.

    Attributes:
        weights: shape (k,), > 0, adding up to 1.
        coefficients: shape (k, d).
        intercepts: shape (k,); infinite for a classifier that always answers the same.
    """

    weights: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]

    def __post_init__(self) -> None:
        one = self.weights.shape
        if len(one) != 1 or self.intercepts.shape != one or self.coefficients.shape[:-1] != one:
            raise ValueError("expected shapes (k,), (k, d) and (k,)")
        if not (np.all(self.weights > 0) and abs(self.weights.sum() - 1) < 1e-9):
            raise ValueError("expected weights above 0 that add up to 1")

    def scores(self, features: Features) -> NDArray[np.float64]:
        """Expected chance of the positive class over the mixture, shape (n,): what ranks rows."""
        from scipy.special import expit

        return np.asarray(expit(self._logits(features)) @ self.weights)

    def probability(self, features: Features) -> NDArray[np.float64]:
        """Chance that the classifier drawn answers with the positive class, shape (n,): what decides."""
        return np.asarray((self._logits(features) > 0) @ self.weights)

    def _logits(self, features: Features) -> NDArray[np.float64]:
        return np.asarray(features @ self.coefficients.T) + self.intercepts

    def save(self, path: Path) -> None:
        """Write as safetensors."""
        from safetensors.numpy import save

        write_atomic(path, save({name: np.ascontiguousarray(value) for name, value in vars(self).items()}))

    @classmethod
    def load(cls, path: Path) -> Mixture:
        """Read what `save` wrote.

        Raises:
            BackendError: the file holds no such mixture.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return cls(**load(path.read_bytes()))
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise BackendError(f"{path.name}: not a mixture that Steelyard fitted ({type(error).__name__})") from None


def coins(texts: Sequence[str], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) per text, from a hash keyed with the seed: even over texts, always the same for one text."""
    key = seed.to_bytes(8, "big")
    digests = (
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=8, person=b"mitigation").digest()
        for text in texts
    )
    return np.array([int.from_bytes(digest, "big") >> 11 for digest in digests], dtype=float) / 2**53
