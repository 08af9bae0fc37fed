"""Narrowing the gaps between groups, on plain arrays: thresholds by group, mixtures of classifiers, row weights.

Groups are whatever values the caller has, None where there is none. A group with few rows of either class gets no
rule of its own: a threshold that three rows chose would bind everybody, since all groups are held to the same rates.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from governance.errors import DataError
from governance.training.decisions import Cut, Features, Groups, Mixture, Rule, Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

Constraint: TypeAlias = Literal["demographic-parity", "equalized-odds"]

LEAST_CLASS_ROWS = 10
"""Training rows of each class that a group needs to be told apart."""


def fit_thresholds(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    groups: Groups,
    *,
    constraint: Constraint,
    balanced: bool,
) -> Thresholds:
    """Fairlearn's ThresholdOptimizer on the scores of a model that is trained already.

    Args:
        scores: chance of the positive class, shape (n,).
        positive: truth, shape (n,).
        groups: group of each row; rows without one take no part.
        constraint: what the groups shall have in common.
        balanced: maximise balanced accuracy, as a model that weighs its classes does; else accuracy.

    Raises:
        DataError: fewer than two groups have enough rows of both classes.

    Source:
        Hardt, Price and Srebro (2016), arXiv:1610.02413; Fairlearn 0.15.
    """
    from fairlearn.postprocessing import ThresholdOptimizer

    names = large_groups(positive, groups)
    code = {name: place for place, name in enumerate(names)}
    kept = np.array([value in code for value in groups], dtype=bool)
    codes = np.array([code[value] for value in groups if value in code], dtype=np.int64)
    optimizer = ThresholdOptimizer(
        estimator=_given_scores(),
        constraints=constraint.replace("-", "_"),
        objective="balanced_accuracy_score" if balanced else "accuracy_score",
        prefit=True,
        predict_method="predict_proba",
    )
    optimizer.fit(scores[kept].reshape(-1, 1), positive[kept].astype(int), sensitive_features=codes)
    fitted = optimizer.interpolated_thresholder_.interpolation_dict
    return Thresholds({name: _rule(fitted[place]) for place, name in enumerate(names)})


def _rule(fitted: Any) -> Rule:
    first, second = (Cut(cut.operator, float(cut.threshold)) for cut in (fitted.operation0, fitted.operation1))
    ignore, coin = float(fitted.get("p_ignore", 0.0)), float(fitted.get("prediction_constant", 0.0))
    # Interpolation leaves shares a rounding error outside [0, 1].
    return Rule(first, second, *(min(1.0, max(0.0, share)) for share in (float(fitted.p0), ignore, coin)))


def _given_scores() -> Any:
    """What scikit-learn takes for a fitted classifier whose features are its scores."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, features: Any, labels: Any) -> Any:  # noqa: ARG002 - scikit-learn asks that it be there
            return self

        def predict_proba(self, features: Any) -> Any:
            scores = np.asarray(features, dtype=float)[:, 0]
            return np.stack([1 - scores, scores], axis=1)

        def __sklearn_is_fitted__(self) -> bool:
            return True

    return Given()


def fit_mixture(
    features: Features,
    positive: NDArray[np.bool_],
    groups: Groups,
    *,
    constraint: Constraint,
    tolerance: float,
    costs: tuple[float, float] = (1.0, 1.0),
    regularisation: float = 1.0,
    seed: int = 0,
) -> Mixture:
    """Fairlearn's ExponentiatedGradient over logistic regression.

    Rows whose group is too small or absent are one group together if they are enough for one; else they take no part.

    Args:
        features: shape (n, d). An array is standardised on the way, a sparse matrix is taken as it is.
        positive: truth, shape (n,).
        groups: group of each row.
        constraint: what the groups shall have in common.
        tolerance: by how much a group's rate may differ from that of all rows (Fairlearn's `difference_bound`), and
            the bound on the multipliers (its `eps`).
        costs: of a false positive and of a false negative.
        regularisation: scikit-learn's C.
        seed: of the solver.

    Raises:
        DataError: fewer than two groups have enough rows of both classes.

    Source:
        Agarwal et al. (2018), arXiv:1803.02453; Fairlearn 0.15.
    """
    from fairlearn.reductions import DemographicParity, EqualizedOdds, ErrorRate, ExponentiatedGradient
    from threadpoolctl import threadpool_limits

    codes = _pooled(positive, groups)
    kept = np.flatnonzero(codes >= 0)
    scaled, shift, scale = _standardised(features[kept])
    moments = {"demographic-parity": DemographicParity, "equalized-odds": EqualizedOdds}
    made = ExponentiatedGradient(
        _on_rows(_Held(scaled), regularisation, seed),
        moments[constraint](difference_bound=tolerance),
        objective=ErrorRate(costs={"fp": costs[0], "fn": costs[1]}),
        eps=tolerance,
    )
    # Fairlearn wants an array of two dimensions: it gets row numbers, and the features stay as they are.
    numbers = np.arange(len(kept)).reshape(-1, 1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas, about Fairlearn's own code
        made.fit(numbers, positive[kept].astype(int), sensitive_features=codes[kept])
    used = [(float(made.weights_[place]), made.predictors_[place]) for place in made.weights_.index]
    used = [(weight, predictor) for weight, predictor in used if weight > 0]
    weights = np.array([weight for weight, _ in used])
    rows = [_linear(predictor, scaled.shape[1]) for _, predictor in used]
    coefficients = np.stack([row for row, _ in rows]) / scale
    intercepts = np.array([intercept for _, intercept in rows]) - coefficients @ shift
    return Mixture(weights / weights.sum(), coefficients, intercepts)


@dataclass(frozen=True)
class _Held:
    """Features that scikit-learn's `clone` doesn't copy."""

    value: Features

    def __deepcopy__(self, memo: object) -> _Held:
        return self


def _on_rows(held: _Held, regularisation: float, seed: int) -> Any:
    """Logistic regression whose features are numbers of rows."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.linear_model import LogisticRegression

    class OnRows(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def __init__(self, held: _Held, regularisation: float, seed: int) -> None:
            self.held, self.regularisation, self.seed = held, regularisation, seed

        def fit(self, numbers: Any, labels: Any, sample_weight: Any) -> Any:  # noqa: ARG002 - scikit-learn's
            model = LogisticRegression(C=self.regularisation, max_iter=1000, random_state=self.seed)
            self.model_ = model.fit(self.held.value, np.asarray(labels), np.asarray(sample_weight))
            self.classes_ = self.model_.classes_
            return self

        def predict(self, numbers: Any) -> Any:  # noqa: ARG002 - scikit-learn's
            return self.model_.predict(self.held.value)

    return OnRows(held, regularisation, seed)


def _linear(predictor: Any, width: int) -> tuple[NDArray[np.float64], float]:
    """Coefficients and intercept; where all weight lay on one class, Fairlearn has a constant instead."""
    model = getattr(predictor, "model_", None)
    if model is None:
        return np.zeros(width), math.inf if predictor.constant else -math.inf
    return np.asarray(model.coef_[0], dtype=float), float(model.intercept_[0])


def _standardised(features: Features) -> tuple[Features, NDArray[np.float64], NDArray[np.float64]]:
    """Features, shift and scale: (x - shift) / scale."""
    width = features.shape[1]
    if not isinstance(features, np.ndarray):
        return features, np.zeros(width), np.ones(width)
    dense = features.astype(float)
    shift, scale = dense.mean(axis=0), dense.std(axis=0)
    scale[scale == 0] = 1.0
    return (dense - shift) / scale, shift, scale


def row_weights(positive: NDArray[np.bool_], groups: Groups) -> NDArray[np.float64]:
    """Weights under which group and class are independent: P(g) P(y) / P(g, y), shape (n,).

    Rows without a group are a group of their own. The mean is 1 where every group has rows of both classes.

    Source:
        Kamiran and Calders (2012), Knowl. Inf. Syst. 33, reweighing.
    """
    pairs = list(zip(groups, positive.tolist(), strict=True))
    both, group, label = Counter(pairs), Counter(groups), Counter(positive.tolist())
    weight = {(g, y): group[g] * label[y] / (n * len(pairs)) for (g, y), n in both.items()}
    return np.array([weight[pair] for pair in pairs], dtype=float)


def large_groups(positive: NDArray[np.bool_], groups: Groups) -> list[str]:
    """The groups with enough rows of both classes, sorted.

    Raises:
        DataError: there are fewer than two.
    """
    found = Counter(zip(groups, positive.tolist(), strict=True))
    names = sorted(
        value
        for value in set(groups)
        if value is not None and min(found[value, False], found[value, True]) >= LEAST_CLASS_ROWS
    )
    if len(names) < 2:
        raise DataError(
            f"expected at least two groups with {LEAST_CLASS_ROWS} training rows of each class, found {len(names)}"
        )
    return names


def _pooled(positive: NDArray[np.bool_], groups: Groups) -> NDArray[np.int64]:
    """Code of each row's group; the small and the absent ones share a code if they are enough, else they have -1."""
    code = {name: place for place, name in enumerate(large_groups(positive, groups))}
    codes = np.array([-1 if value is None else code.get(value, -1) for value in groups], dtype=np.int64)
    rest = codes < 0
    if min((positive & rest).sum(), (~positive & rest).sum()) >= LEAST_CLASS_ROWS:
        codes[rest] = len(code)
    return codes
