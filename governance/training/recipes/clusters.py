"""Groups of reviews or of customers: k-means over a table's columns, hashed words or a frozen encoder's outputs.

Openly by scikit-learn. Privately by Lloyd's iterations on noisy sums: each step releases the sum and the count of every
cluster's vectors. A row adds a vector of bounded length to one sum, and one to one count, so both are bounded together.

Source: Blum et al. (2005), doi:10.1145/1065167.1065184; Su et al. (2016), doi:10.1145/2857705.2857708.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from governance.dataset import ModelText, ScrubbedTable
from governance.errors import BackendError, ConfigError
from governance.files import write_atomic
from governance.training.dp.draws import Owners
from governance.training.dp.plan import Plan
from governance.training.dp.sums import NoisySums, contributions, joint_sensitivity
from governance.training.loop import Ran
from governance.training.recipes.base import Column, Fitted, Setting, check_alone
from governance.training.recipes.classes import SETTINGS, WEIGHTS, told_by
from governance.training.recipes.features import Inputs, Reader, TableSettings, reader
from governance.training.recipes.logistic import CACHE
from governance.training.recipes.vocabulary import tokens

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LEAST_TOLD = 10  # rows of a cluster that is told by words: of fewer, the words would be a row's own
PARTIAL = "centres.safetensors"
FEWEST = 2.0  # a centre moves when its count is so many standard deviations of noise, and at least one row
WORDS = 5


@dataclass(frozen=True, kw_only=True)
class Clusters(TableSettings):
    """k-means. A private run takes its plan's steps, at sample rate 1: one finds the middle, the others move centres.

    Attributes:
        clusters: how many.
        of: "rows", or "customers": the mean of each customer's rows.
        bound: length that vectors are cut to.
        text_buckets: hashed words, where there is no encoder to read texts.
    """

    clusters: int = 8
    of: Literal["rows", "customers"] = "rows"
    bound: float = 1.0
    text_buckets: int = 0

    name: ClassVar[str] = "clusters"
    columns: ClassVar[Mapping[str, Column]] = {k: v for k, v in TableSettings.columns.items() if k != "label"}

    def fit(self, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
        """Find centres and save them.

        Raises:
            ConfigError: a setting that a private run can't have, or fewer rows than clusters in an open one.
            BudgetExceeded: the data set's budget refuses a step.
        """
        check_alone(setting, self.name)
        if self.clusters < 2 or not 0 < self.bound < np.inf:
            raise ConfigError(f"{self.name}: expected clusters >= 2 and a positive finite bound")
        read = reader(self, table, base=setting.base, private=setting.plan is not None, language=setting.language)
        vectors = read.vectors(Inputs.of(table), base=setting.base, cache=directory / CACHE)
        points, weights = self._points(vectors, table, setting.plan, setting.owners)
        told = {"recipe": self.name, "reader": read.told(), "bound": self.bound}
        if setting.plan is None:
            centres, facts = self._open(points, setting.settings.seed)
            if self.of == "rows":
                facts |= _words(nearest(points, centres), list(table.texts.values()), self.clusters)
            fitted = Fitted(Ran(1, ()), None, "centres", facts)
        else:
            centres, fitted = self._private(points, weights, directory, setting)
        _save(centres, told, directory / "model")
        (directory / PARTIAL).unlink(missing_ok=True)
        return fitted

    @staticmethod
    def load(directory: Path, base: Path | None = None) -> ClusterModel:
        """The model that `fit` left in a folder, with the base it reads texts through. Raises `BackendError`."""
        return ClusterModel(directory, base)

    def _points(
        self, vectors: csr_matrix, table: ScrubbedTable, plan: Plan | None, owners: Owners | None
    ) -> tuple[csr_matrix, NDArray[np.float64]]:
        """What is clustered, none longer than `bound`, and how much each weighs."""
        if self.of == "rows":
            rows, weights = contributions(table, plan, owners, what=self.name)
            return shortened(vectors[rows], self.bound), weights
        if table.units is None:
            raise ConfigError(f"{self.name}.of: customers can't be told apart: the data names no column of units")
        if plan is not None and (plan.unit, plan.drawn) != ("user", "user"):
            raise ConfigError(
                f"{self.name}.of: clusters of customers protect customers: set the unit to user, drawn as users"
            )
        known = table.units >= 0  # rows whose customer nobody knows are no customer
        means = means_of(vectors[known], table.units[known])
        return shortened(means, self.bound), np.ones(means.shape[0])

    def _open(self, points: csr_matrix, seed: int) -> tuple[NDArray[np.float64], dict[str, int | float | str]]:
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        if points.shape[0] < self.clusters:
            raise ConfigError(
                f"{self.name}.clusters: {self.clusters} clusters of {points.shape[0]} points can't be found"
            )
        with threadpool_limits(1):
            found = KMeans(self.clusters, n_init=4, random_state=seed).fit(points.astype(np.float64))
        sizes = np.bincount(found.labels_, minlength=self.clusters)
        facts: dict[str, int | float | str] = {"mean_squared_distance": float(found.inertia_ / points.shape[0])}
        return found.cluster_centers_, facts | {f"size_{i}": int(size) for i, size in enumerate(sizes)}

    def _private(
        self, points: csr_matrix, weights: NDArray[np.float64], directory: Path, setting: Setting
    ) -> tuple[NDArray[np.float64], Fitted]:
        assert setting.plan is not None  # noqa: S101 - narrows the type; the caller looked
        count = self.bound / 2  # what a row adds to a count, in units of the vectors: the noise goes mostly to sums
        sensitivity = joint_sensitivity(self.bound, count)
        sums = NoisySums(setting.plan, setting.charges, sensitivity=sensitivity, releases=None, what=self.name)
        rng = np.random.default_rng(setting.settings.seed)
        centres, sizes, done = _kept(
            directory / PARTIAL, around(np.zeros(points.shape[1]), self.clusters, self.bound, rng)
        )
        for step in sums.steps(done, setting.settings.on_budget):
            found = sums.noisy(released(points, weights, centres if step else centres[:1] * 0, count))
            totals, sizes = found[:, :-1], found[:, -1] / count
            if step == 0:
                middle = cut(totals / max(sizes[0], 1.0), self.bound)[0]
                centres = around(middle, self.clusters, self.bound, rng)
            else:
                moved = sizes >= max(1.0, FEWEST * sums.noise / count)
                means = cut(totals / np.maximum(sizes, 1.0)[:, None], self.bound)
                centres = np.where(moved[:, None], means, centres)
            _keep(centres, sizes, step + 1, directory / PARTIAL)
        facts: dict[str, int | float | str] = {"size_noise": sums.noise / count}
        if len(sizes) == self.clusters:  # the first step counts everybody in one
            facts |= {f"size_{i}": float(max(0.0, size)) for i, size in enumerate(sizes)}
        trained = f"centres of {self.clusters} clusters"
        covers = "the noisy sums and counts of all steps, which are released: centres and sizes follow from them"
        claim = sums.claim(covers=covers, trained=trained)
        return centres, Fitted(Ran(claim.steps, (), sums.stopped), claim, trained, facts)


def means_of(vectors: csr_matrix, units: NDArray[np.int64]) -> csr_matrix:
    """Mean of each unit's vectors, in ascending order of units: however many rows a customer has, it is one vector."""
    from scipy.sparse import csr_matrix

    _, unit, counts = np.unique(units, return_inverse=True, return_counts=True)
    return csr_matrix(
        csr_matrix((1 / counts[unit], (unit, np.arange(len(unit)))), shape=(len(counts), len(unit))) @ vectors
    )


def released(
    points: csr_matrix, weights: NDArray[np.float64], centres: NDArray[np.float64], count: float
) -> NDArray[np.float64]:
    """Sum of each centre's nearest points and `count` times their number: what a step releases, shape (k, width + 1).

    One point of length <= bound and weight <= 1 changes it by at most sqrt(bound^2 + count^2) in L2 norm.
    """
    from scipy.sparse import csr_matrix

    at = nearest(points, centres)
    members = csr_matrix((weights, (at, np.arange(len(at)))), shape=(len(centres), len(at)))
    sums = (members @ points.astype(np.float64)).toarray()
    return np.column_stack([sums, count * np.bincount(at, weights, minlength=len(centres))])


def nearest(points: csr_matrix, centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of the centre that each point is nearest to, shape (n,); each by itself."""
    apart = (centres**2).sum(axis=1) - 2 * np.asarray(points @ centres.T)
    return np.asarray(apart.argmin(axis=1), dtype=np.int64)


def around(middle: NDArray[np.float64], k: int, bound: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Starting centres in random directions from a middle, as far off as points of length `bound` lie on average."""
    directions = rng.standard_normal((k, len(middle)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return cut(middle + np.sqrt(max(bound**2 - float(middle @ middle), 0.0)) * directions, bound)


def cut(vectors: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """Vectors, none longer than `bound`; shape (n, width)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors * np.minimum(1.0, bound / np.maximum(lengths, 1e-12)))


def shortened(vectors: csr_matrix, bound: float) -> csr_matrix:
    """The same of sparse rows, as doubles and a little below the bound: rounding must not carry one above it."""
    from scipy.sparse import csr_matrix, diags

    doubled = csr_matrix(vectors, dtype=np.float64)
    lengths = np.sqrt(np.asarray(doubled.multiply(doubled).sum(axis=1)).ravel())
    factors = np.minimum(1.0, bound * (1 - 1e-9) / np.maximum(lengths, 1e-12))
    return csr_matrix(diags(factors) @ doubled)


def _words(at: NDArray[np.int64], columns: Sequence[Sequence[ModelText]], k: int) -> dict[str, int | float | str]:
    """Words that more of a cluster's rows hold than of all rows. Words of rows: for open runs, and large clusters."""
    overall: Counter[str] = Counter()
    inside = [Counter[str]() for _ in range(k)]
    for texts in columns:
        for cluster, text in zip(at, texts, strict=True):
            words = set(tokens(text.text))
            overall.update(words)
            inside[cluster].update(words)
    if not overall:
        return {}
    found: dict[str, int | float | str] = {}
    for i, counts in enumerate(inside):
        if int((at == i).sum()) < LEAST_TOLD:
            continue
        share = {w: c / max(1, int((at == i).sum())) - overall[w] / len(at) for w, c in counts.items()}
        found[f"words_{i}"] = " ".join(sorted(share, key=lambda w: (-share[w], w))[:WORDS])
    return found


class ClusterModel:
    """Trained centres, shape (k, width)."""

    def __init__(self, directory: Path, base: Path | None) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            told = told_by(directory, Clusters.name)
            self.centres: NDArray[np.float64] = load_file(directory / WEIGHTS)["centres"]
            self._reader, self._bound = Reader(**told["reader"]), float(told["bound"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise BackendError(
                f"{directory.name}: not clusters that Steelyard found ({type(error).__name__})"
            ) from None
        self._base, self._cache = base, directory / CACHE

    def predict(self, inputs: Inputs, units: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Number of each row's cluster, shape (n,); with `units`, of each customer's, in ascending order of units."""
        vectors = self._reader.vectors(inputs, base=self._base, cache=self._cache)
        if units is not None:
            vectors = means_of(vectors, units)
        return nearest(shortened(vectors, self._bound), self.centres)


def _save(centres: NDArray[np.float64], told: Mapping[str, Any], to: Path) -> None:
    from safetensors.numpy import save

    write_atomic(to / WEIGHTS, save({"centres": np.ascontiguousarray(centres, dtype=np.float64)}))
    write_atomic(to / SETTINGS, json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def _keep(centres: NDArray[np.float64], sizes: NDArray[np.float64], done: int, path: Path) -> None:
    from safetensors.numpy import save

    found = {"centres": np.ascontiguousarray(centres), "sizes": np.ascontiguousarray(sizes), "done": np.array([done])}
    write_atomic(path, save(found))


def _kept(path: Path, fresh: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Centres, sizes and steps done; fresh centres where nothing was kept."""
    from safetensors.numpy import load_file

    if not path.is_file():
        return fresh, np.zeros(len(fresh)), 0
    found = load_file(path)
    return found["centres"], found["sizes"], int(found["done"][0])
