"""What a record says of one model, criterion by criterion. What it doesn't say is `NotMeasured`, never 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from governance.decision.front import Spread
from governance.decision.switching import currency_of, interval, switch_costs
from governance.measure import ANY, EVERYONE, Fact, Measurement, NotMeasured, Outcome, Unit
from governance.record import ModelEntry, RunRecord

Better: TypeAlias = Literal["higher", "lower"]
Pinned: TypeAlias = Literal["weights", "pinned", "alias", "changed", "file", "unknown"]
WEIGHED = ("quality", "cost", "latency", "gap", "epsilon", "leaving")
"""The criteria that rank; of all but quality, less is better."""
_COSTS = ("quality.coverage", "quality.latency_p50", "quality.latency_p95", "quality.cost")
_BY_KIND = {
    "tfidf-logistic": "head", "sklearn": "head", "classifier": "head", "mitigated": "head", "openai": "written",
    "anthropic": "written", "predictions": "file", "table": "file", "callable": "function",
}  # fmt: skip
"""For records from before models told their protocol."""


@dataclass(frozen=True, slots=True)
class Main:
    """The metric that stands for a task's quality."""

    metric: str
    better: Better = "higher"


MAIN: Mapping[str, Main] = {
    "classification": Main("quality.balanced_accuracy"),
    "description": Main("quality.attribute_precision"),
    "generation": Main("quality.rouge_l"),
    "qa": Main("quality.token_f1"),
    "ranking": Main("quality.mrr"),
}
"""Task -> its main metric; a task that is not here is told by the record's first figure of quality."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One model.

    Attributes:
        model: its name.
        protocol: how it answers.
        figures: "quality", "cost" (per 1,000 rows), "latency_p50", "latency" (p95), "throughput" (rows a second),
            "leaving" (rows of the data), "epsilon", "attack", "gap", "robustness", "switch_once", "switch_month".
        pinned: what keeps it the same tomorrow: weights with a digest, a pinned version, a file of its answers; or
            what doesn't: a moving alias, a version that changed under way.
        prompts: to write anew for who comes from the incumbent.
        spreads: criterion of `WEIGHED` -> how good, more is better; None: not known.
    """

    model: str
    protocol: str
    figures: Mapping[str, Outcome]
    pinned: Pinned
    prompts: int
    spreads: Mapping[str, Spread | None]


def protocol_of(entry: ModelEntry) -> str:
    """How a model answers; for older records by its kind, "unknown" for what no kind tells."""
    return entry.protocol or _BY_KIND.get(entry.kind, "unknown")


def main_of(record: RunRecord, main: Mapping[str, Main]) -> Main | None:
    """What stands for quality: the task's metric; of a task that isn't known, the first figure of a rate or score.

    A known task whose metric wasn't measured has nothing in its place: of its other figures less may be more.
    """
    if (wanted := main.get(record.task)) is not None:
        return wanted
    found = [
        outcome.metric
        for outcome in record.outcomes
        if outcome.metric.startswith("quality.")
        and outcome.metric.count(".") == 1
        and outcome.metric not in _COSTS
        and outcome.slice == EVERYONE
        and not isinstance(outcome, NotMeasured)
        and outcome.unit in (Unit.RATE, Unit.SCORE)
    ]
    return Main(found[0]) if found else None


def profiles(record: RunRecord, names: Sequence[str], main: Main | None) -> tuple[Profile, ...]:
    """The models of one group; their gaps are the widest of those measured for all of them."""
    reader = _Reader(record)
    gaps = reader.gaps(names)
    known = [cost for name in names if not isinstance(cost := reader.cost(name), NotMeasured)]
    currencies = {currency_of(cost) for cost in known}
    same_money = len(known) < 2 or (len(currencies) == 1 and None not in currencies)
    return tuple(reader.profile(record.model(name), main, gaps[name], same_money=same_money) for name in names)


class _Reader:
    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._at: dict[tuple[str, str | None], Outcome] = {}
        for outcome in record.outcomes:
            if outcome.slice == EVERYONE and getattr(outcome, "reference", None) is None:
                self._at.setdefault((outcome.metric, outcome.model), outcome)

    def find(self, metric: str, model: str, otherwise: str) -> Outcome:
        """The outcome for all rows; NotMeasured, for that reason, where the record has none."""
        return self._at.get((metric, model)) or NotMeasured(metric=metric, model=model, reason=otherwise)

    def cost(self, model: str) -> Outcome:
        """What 1,000 rows cost."""
        return self.find("quality.cost", model, "this audit did not measure it")

    def profile(self, entry: ModelEntry, main: Main | None, gap: Outcome, *, same_money: bool) -> Profile:
        none, name = "this audit did not measure it", entry.name
        figures = {
            "quality": self.find(main.metric if main else "quality", name, none),
            "cost": self.cost(name),
            "latency_p50": self.find("quality.latency_p50", name, none),
            "latency": self.find("quality.latency_p95", name, none),
            "throughput": self._throughput(entry),
            "leaving": self._leaving(entry),
            "epsilon": _epsilon(entry),
            "attack": self.find("membership.auc", name, "no attack was run"),
            "gap": gap,
            "robustness": self._robustness(name),
            **switch_costs(self._record, entry, self.cost),
        }
        spreads = {key: spread(figures[key], main.better if main and key == "quality" else "lower") for key in WEIGHED}
        spreads["epsilon"] = _promise(entry)
        if not same_money:  # 1 in one currency is not 1 in another
            spreads["cost"] = None
        incumbent = self._record.incumbent
        before = next((one.settings.get("prompt") for one in self._record.models if one.name == incumbent), None)
        own = entry.settings.get("prompt")
        return Profile(
            model=name,
            protocol=protocol_of(entry),
            figures=figures,
            pinned=_pinned(entry),
            prompts=int(own is not None and own != before and name != incumbent),
            spreads=spreads,
        )

    def gaps(self, names: Sequence[str]) -> dict[str, Outcome]:
        """The widest gap between the groups of one column, among gaps measured for all: a gap unmeasured is no pass."""
        found: dict[str, dict[tuple[str, str], Measurement]] = {name: {} for name in names}
        for one in self._record.outcomes:
            if (
                isinstance(one, Measurement)
                and one.model in found
                and one.unit is Unit.DIFFERENCE
                and one.metric.startswith("fairness.")
                and one.metric.endswith(".difference")
                and [value for _, value in one.slice] == [ANY]
            ):
                found[one.model][one.metric, one.slice.label()] = one
        common = set.intersection(*(set(gaps) for gaps in found.values())) if found else set()
        reason = "no gap between groups was measured for all models that answer alike"
        return {
            name: max((gaps[key] for key in sorted(common)), key=lambda gap: gap.value)
            if common
            else NotMeasured(metric="fairness", model=name, reason=reason)
            for name, gaps in found.items()
        }

    def _throughput(self, entry: ModelEntry) -> Outcome:
        """Rows a second: one over the mean time of a row, times the requests that were under way at once."""
        metric, latency = "decision.throughput", self._at.get(("quality.latency_p50", entry.name))
        total = latency.counts.get("seconds") if isinstance(latency, Measurement) else None
        if not isinstance(latency, Measurement) or not total:
            return NotMeasured(metric=metric, model=entry.name, reason="the record has no mean time")
        at_once = entry.settings.get("concurrency", None if entry.remote else 1)
        if not isinstance(at_once, int):
            return NotMeasured(metric=metric, model=entry.name, reason="how many requests ran at once isn't known")
        return Fact(
            metric=metric, model=entry.name, value=latency.n / total * at_once, unit=Unit.COUNT,
            method=f"one over the mean time of {latency.n} rows, {at_once} at once",
        )  # fmt: skip

    def _leaving(self, entry: ModelEntry) -> Outcome:
        """Rows of these data that leave: all held-out rows, as far as those asked did, and a vendor's training rows."""
        metric, data = "decision.leaving", self._record.data
        if entry.kind in ("predictions", "callable", "imported", "table"):
            reason = "what another system does with the rows isn't counted here"
            return NotMeasured(metric=metric, model=entry.name, reason=reason)
        if not entry.remote:
            return Fact(metric=metric, model=entry.name, value=0, unit=Unit.COUNT, method="nothing leaves this process")
        if "rows" not in entry.sent or not entry.weighed_on:
            return NotMeasured(metric=metric, model=entry.name, reason="the record doesn't count what left")
        asked = data.rows_test * min(1.0, entry.sent["rows"] / entry.weighed_on)
        parts = (entry.vendor.training, entry.vendor.validation) if entry.vendor else ()
        return Fact(
            metric=metric, model=entry.name, value=round(asked) + sum(part.rows for part in parts if part),
            unit=Unit.COUNT, method="held-out rows, were all asked, and rows sent for training",
        )  # fmt: skip

    def _robustness(self, name: str) -> Outcome:
        every = [one for (metric, model), one in self._at.items() if model == name and metric.startswith("robustness.")]
        found = (one for one in sorted(every, key=lambda one: isinstance(one, NotMeasured)))
        reason = "this audit did not measure it"
        return next(found, None) or NotMeasured(metric="robustness", model=name, reason=reason)


def spread(outcome: Outcome, better: Better) -> Spread | None:
    """An outcome turned so that more is better; None: it wasn't measured."""
    if isinstance(outcome, NotMeasured):
        return None
    low, high = interval(outcome)
    level = outcome.level if isinstance(outcome, Measurement) else 1.0
    if better == "higher":
        return Spread(outcome.value, low, high, level)
    return Spread(-outcome.value, None if high is None else -high, None if low is None else -low, level)


def _epsilon(entry: ModelEntry) -> Outcome:
    if entry.claim is None:
        reason = "no privacy claim: ranked as if anything could be learnt from it"
        return NotMeasured(metric="privacy.epsilon", model=entry.name, reason=reason)
    method = f"per {entry.claim.unit}, as claimed"
    return Fact(metric="privacy.epsilon", model=entry.name, value=entry.claim.epsilon, unit=Unit.NATS, method=method)


def _promise(entry: ModelEntry) -> Spread:
    """A claim by the most that it leaves an attacker to gain, tanh(epsilon / 2) at delta 0: 1 without a claim.

    Epsilon itself has no end, so that "none" would have no place on a scale from worst to best.

    Source:
        Kairouz, Oh and Viswanath 2015, arXiv:1311.0776: TPR - FPR <= (e^epsilon - 1) / (e^epsilon + 1).
    """
    gain = 1.0 if entry.claim is None else math.tanh(entry.claim.epsilon / 2)
    return Spread(-gain, -gain, -gain, 1.0)


def _pinned(entry: ModelEntry) -> Pinned:
    if len(entry.versions) > 1:
        return "changed"
    if entry.kind in ("predictions", "table", "imported"):
        return "file" if entry.kind != "imported" else "unknown"
    if entry.digest is not None:
        return "weights"
    stated = entry.vendor_facts.facts.versioning if entry.vendor_facts else None
    return stated.value if stated else "unknown"
