"""A forest: where its trees split, and a histogram of classes in each leaf.

Openly, the splits are scikit-learn's (extremely randomised trees). Privately they follow from a public seed and public
bounds alone, and the rows are read once a tree, for its histogram, which gets Gaussian noise: a row lies in one leaf of
a tree, so it moves one count by one. Counting, pooling and predicting are the same for both.

Source: Geurts, Ernst and Wehenkel (2006), doi:10.1007/s10994-006-6226-1; Jagannathan, Pillaipakkamnatt and Wright
(2009), doi:10.1109/ICDMW.2009.93 (private random trees, with Laplace noise).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from governance.dataset import ScrubbedTable
from governance.errors import BackendError, ConfigError
from governance.files import write_atomic
from governance.training.dp.sums import NoisySums, contributions
from governance.training.loop import Ran
from governance.training.recipes import vocabulary
from governance.training.recipes.base import Fitted, Setting, check_alone
from governance.training.recipes.classes import SETTINGS, WEIGHTS, told_by
from governance.training.recipes.features import TARGET, Inputs, Reader, TableSettings, reader
from governance.training.recipes.logistic import CACHE

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHUNK = 1024  # rows written out at once
PARTIAL = "histograms.safetensors"


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes of one tree, the root first.

    Attributes:
        column: whose value a node asks for, shape (nodes,).
        threshold: at most this goes left, shape (nodes,).
        children: left and right, shape (nodes, 2); -1 in a leaf.
    """

    column: NDArray[np.int64]
    threshold: NDArray[np.float64]
    children: NDArray[np.int64]

    def leaves(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """The leaf that each row lies in, shape (n,)."""
        at = np.zeros(len(vectors), dtype=np.int64)
        while (inner := self.children[at, 0] >= 0).any():
            node = at[inner]
            right = vectors[inner, self.column[node]] > self.threshold[node]
            at[inner] = self.children[node, right.astype(np.int64)]
        return at


def random_tree(bounds: NDArray[np.float64], depth: int, rng: np.random.Generator) -> Tree:
    """A tree that looks at no row: random columns, split at random between their public bounds.

    A column with bounds (0, 1) is taken for a flag, which is asked for at most once on the way to a leaf.

    Args:
        bounds: shape (columns, 2).
        depth: of every leaf.
        rng: of the public seed.
    """
    flags = (bounds == (0.0, 1.0)).all(axis=1)
    column, threshold, children = [0], [0.0], [[-1, -1]]
    unsplit = [(0, bounds, depth)]
    while unsplit:
        node, box, left = unsplit.pop()
        wide = np.flatnonzero(box[:, 0] < box[:, 1])
        if not left or not len(wide):
            continue
        chosen = int(rng.choice(wide))
        low, high = box[chosen]
        at = 0.5 if flags[chosen] else float(rng.uniform(low, high))
        column[node], threshold[node] = chosen, at
        for side in (0, 1):
            inner = box.copy()
            inner[chosen, 1 - side] = side if flags[chosen] else at
            children[node][side] = len(column)
            unsplit.append((len(column), inner, left - 1))
            column.append(0)
            threshold.append(0.0)
            children.append([-1, -1])
    return Tree(np.array(column), np.array(threshold), np.array(children))


@dataclass(frozen=True, kw_only=True)
class Forest(TableSettings):
    """A forest of random trees. A private run's plan has one step for each, at sample rate 1.

    Attributes:
        classes: in the order of probabilities; may be left to the rows in an open run.
        trees: how many.
        depth: of each.
        shrinkage: rows' worth of belief in the overall shares of classes that a leaf starts with; noise adds to it.
        text_buckets: hashed words; a random split seldom meets one that matters: an encoder's outputs serve better.
    """

    classes: tuple[str, ...] = ()
    trees: int = 32
    depth: int = 6
    shrinkage: float = 1.0
    text_buckets: int = 0

    name: ClassVar[str] = "tree"

    def fit(self, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
        """Grow, count and save.

        Raises:
            ConfigError: a setting that a private run can't have.
            DataError: a row of a class that is not listed.
            BudgetExceeded: the data set's budget refuses a tree.
        """
        if self.trees < 1 or not 1 <= self.depth <= 20 or not self.shrinkage > 0:
            raise ConfigError(f"{self.name}: expected trees >= 1, depth from 1 to 20 and shrinkage above 0")
        check_alone(setting, self.name)
        if not len(table):
            raise ConfigError(f"{self.name}: expected training rows, found none")
        private = setting.plan is not None
        names = vocabulary.declared(self.classes, table.labels[TARGET], private=private, where=f"{self.name}.classes")
        codes = vocabulary.codes(names, table.labels[TARGET], where=f"{self.name}.classes")
        read = reader(self, table, base=setting.base, private=private, language=setting.language)
        vectors = read.vectors(Inputs.of(table), base=setting.base, cache=directory / CACHE)
        rows = Counted(vectors, codes, len(names), *contributions(table, setting.plan, setting.owners, what=self.name))
        sums = (
            None
            if setting.plan is None
            else NoisySums(setting.plan, setting.charges, sensitivity=1.0, releases=self.trees, what=self.name)
        )
        if sums is None:
            grown = self._grown(vectors, codes, setting.settings.seed)
            found = {i: rows.histogram(tree) for i, tree in enumerate(grown)}
        else:
            rng = np.random.default_rng(setting.settings.seed)
            grown, found = (
                [random_tree(read.bounds(), self.depth, rng) for _ in range(self.trees)],
                _kept(directory / PARTIAL),
            )
            for i in sums.steps(max(found, default=-1) + 1, setting.settings.on_budget):
                found[i] = sums.noisy(rows.histogram(grown[i]))
                _keep(found, directory / PARTIAL)
            if not found:
                raise ConfigError(f"{self.name}: every tree was paid for and lost before it was kept; train again")
        noise = sums.noise if sums else 0.0
        told = {"recipe": self.name, "classes": names, "reader": read.told(), "shrinkage": self.shrinkage + noise}
        _save({i: grown[i] for i in found}, found, told, directory / "model")
        (directory / PARTIAL).unlink(missing_ok=True)
        facts: dict[str, int | float | str] = {"trees": len(found), "classes": len(names), "count_noise": noise}
        if sums is None:
            return Fitted(Ran(len(found), ()), None, "splits and leaves", facts)
        trained = f"counts in the leaves of {len(found)} trees, whose splits follow from a public seed"
        covers = "the noisy class counts in the leaves of this one forest, which are released; its splits read no row"
        claim = sums.claim(covers=covers, trained=trained)
        return Fitted(Ran(claim.steps, (), sums.stopped), claim, trained, facts)

    @staticmethod
    def load(directory: Path, base: Path | None = None) -> ForestClassifier:
        """The model that `fit` left in a folder, with the base it reads texts through. Raises `BackendError`."""
        return ForestClassifier(directory, base)

    def _grown(self, vectors: csr_matrix, codes: NDArray[np.int64], seed: int) -> list[Tree]:
        from sklearn.ensemble import ExtraTreesClassifier

        forest = ExtraTreesClassifier(n_estimators=self.trees, max_depth=self.depth, random_state=seed)
        forest.fit(vectors, codes)
        made = (estimator.tree_ for estimator in forest.estimators_)
        # A leaf's column is -2 in scikit-learn; it is never asked for.
        return [
            Tree(
                t.feature.astype(np.int64).clip(min=0),
                np.array(t.threshold, dtype=np.float64),
                np.stack([t.children_left, t.children_right], axis=1).astype(np.int64),
            )
            for t in made
        ]


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows to count.

    Attributes:
        vectors: shape (n, columns).
        codes: class of each, shape (n,).
        classes: how many there are.
        rows: which of them count, shape (m,).
        weights: and how much, shape (m,).
    """

    vectors: csr_matrix
    codes: NDArray[np.int64]
    classes: int
    rows: NDArray[np.int64]
    weights: NDArray[np.float64]

    def histogram(self, tree: Tree) -> NDArray[np.float64]:
        """Weighted rows of each class at each node, shape (nodes, classes). A row counts in one leaf, by its weight."""
        counts = np.zeros((len(tree.column), self.classes))
        for start in range(0, len(self.rows), CHUNK):
            part = self.rows[start : start + CHUNK]
            leaves = tree.leaves(self.vectors[part].toarray())
            np.add.at(counts, (leaves, self.codes[part]), self.weights[start : start + CHUNK])
        return counts


def shares(
    counts: NDArray[np.float64], leaf: NDArray[np.bool_], prior: NDArray[np.float64], shrinkage: float
) -> NDArray[np.float64]:
    """Probabilities of classes in each leaf: counts below zero are noise; few counts say little beside the prior."""
    known = np.clip(counts, 0.0, None)
    found: NDArray[np.float64] = (known + shrinkage * prior) / (known.sum(axis=1, keepdims=True) + shrinkage)
    return np.where(leaf[:, None], found, 0.0)


class ForestClassifier:
    """A trained forest.

    Attributes:
        classes: in the order of probabilities.
    """

    def __init__(self, directory: Path, base: Path | None) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            told = told_by(directory, Forest.name)
            found = load_file(directory / WEIGHTS)
            numbers = sorted({int(name.partition(".")[0]) for name in found})
            parts = ("column", "threshold", "children")
            self._trees = [Tree(*(found[f"{i}.{part}"] for part in parts)) for i in numbers]
            counts = [found[f"{i}.counts"] for i in numbers]
            self.classes: tuple[str, ...] = tuple(told["classes"])
            self._reader, self._base, self._cache = Reader(**told["reader"]), base, directory / CACHE
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise BackendError(
                f"{directory.name}: not a tree that Steelyard trained ({type(error).__name__})"
            ) from None
        leaves = [tree.children[:, 0] < 0 for tree in self._trees]
        # A leaf's noise averages out over all of them, so the overall shares are the best known figure.
        overall = np.clip(sum(c[leaf].sum(axis=0) for c, leaf in zip(counts, leaves, strict=True)), 1e-9, None)
        prior = overall / overall.sum()
        self._shares = [
            shares(c, leaf, prior, float(told["shrinkage"])) for c, leaf in zip(counts, leaves, strict=True)
        ]

    def predict(self, inputs: Inputs) -> NDArray[np.float64]:
        """Mean of the trees' probabilities, shape (n, classes)."""
        vectors = self._reader.vectors(inputs, base=self._base, cache=self._cache)
        found = np.zeros((len(inputs), len(self.classes)))
        for start in range(0, len(inputs), CHUNK):
            part = vectors[start : start + CHUNK].toarray()
            for tree, share in zip(self._trees, self._shares, strict=True):
                found[start : start + CHUNK] += share[tree.leaves(part)] / len(self._trees)
        return found


def _save(
    trees: Mapping[int, Tree], counts: Mapping[int, NDArray[np.float64]], told: Mapping[str, Any], to: Path
) -> None:
    from safetensors.numpy import save

    found: dict[str, NDArray[Any]] = {f"{i}.counts": count for i, count in counts.items()}
    for i, tree in trees.items():
        found |= {f"{i}.column": tree.column, f"{i}.threshold": tree.threshold, f"{i}.children": tree.children}
    write_atomic(to / WEIGHTS, save(found))
    write_atomic(to / SETTINGS, json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def _keep(found: Mapping[int, NDArray[np.float64]], path: Path) -> None:
    from safetensors.numpy import save

    write_atomic(path, save({str(i): counts for i, counts in found.items()}))


def _kept(path: Path) -> dict[int, NDArray[np.float64]]:
    from safetensors.numpy import load_file

    return {int(name): counts for name, counts in load_file(path).items()} if path.is_file() else {}
