"""Rows for figures of everyone: shares, scores, and differences from the incumbent."""

from __future__ import annotations

import math

from governance.preflight.held import HeldOut
from governance.preflight.plan import NO_INTERVAL, ONE_CLUSTER, Aim, Plan
from governance.statistics.planning import auc_variance, balanced_variance, f1_variance, rows_past
from governance.statistics.power import paired_rows


def level_plan(name: str, aim: Aim, held: HeldOut) -> Plan:
    """A share or score of one model: "accuracy", "auc", or any other that is a mean over rows.

    A score of which nothing else is known is taken for a share of rows, which varies more than any other between
    0 and 1.
    """
    truth, effect = aim.inside, held.effect(aim.assumed.correlation, aim.level)
    if truth is None:
        return NO_INTERVAL
    if effect is None:
        return ONE_CLUSTER
    says, power = f"if it is truly {truth:.4g}", aim.assumed.power
    variance = score_variance(name, truth, held)
    if variance:
        rows = paired_rows(truth - aim.bound, variance, level=aim.level, power=power, effect=effect)
        return Plan(rows=rows, says=says)
    among = held.share if name in ("precision", "recall") and held.share else 1.0
    if variance is not None:  # a score without a flaw doesn't vary: it rests on the rarest class alone
        among = min(held.shares)
    rows = rows_past(aim.bound, truth, level=aim.level, power=power, effect=effect)
    return Plan(rows=math.ceil(rows / among), says=says)


def difference_plan(name: str, aim: Aim, held: HeldOut) -> Plan:
    """The difference of one model from another, on the rows that both are weighed on.

    Right answers differ between two models with the assumed variance. AUC and F1 are taken to differ as much as one
    model's varies, which is what a correlation of one half comes to.
    """
    effect = held.effect(aim.assumed.correlation, aim.level)
    if effect is None:
        return ONE_CLUSTER
    variance = aim.assumed.variance
    if name == "balanced_accuracy" and held.shares:
        variance *= sum(1 / share for share in held.shares) / len(held.shares) ** 2
    elif name in ("auc", "f1"):
        variance = score_variance(name, aim.assumed.rate, held) or variance
    power = aim.assumed.power
    rows = paired_rows(aim.assumed.margin, variance, level=aim.level, power=power, effect=effect)
    return Plan(rows=rows, says=f"if it is truly {aim.truth:+.4g}, rows varying by {variance:.2g}")


def score_variance(name: str, value: float, held: HeldOut) -> float | None:
    """Of one row of a score that is no share of rows; None for one that is."""
    if not held.shares:
        return None
    one_class = held.share
    if name == "balanced_accuracy" or (name in ("recall", "precision", "f1") and one_class is None):
        return balanced_variance(value, held.shares)
    if name == "f1" and one_class is not None:
        return f1_variance(value, one_class)
    if name == "auc" and len(held.shares) > 1:
        # Of several classes, the mean of one against the rest varies less than the rarest does.
        return max(auc_variance(value, share) for share in (held.shares if one_class is None else (one_class,)))
    return None
