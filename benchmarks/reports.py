"""How long does a large record take to become a page, and how large is the page? make bench NAME=reports

50 models and 2,000 outcomes, as an audit leaves them: quality with paired differences, rates of five groups and the
gaps between them, privacy claims and the attack beside them, curves, and a policy of 17 controls over all models. Each
page is made by a process that has drawn nothing before: the best of three, since the machine does other things. The
slower language counts.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from governance.measure import ANY, Measurement, Outcome, Slice, Unit
from governance.policy import judge
from governance.record import ModelEntry, RunRecord
from tests.sample_record import AGES, CLAIM, POLICY, curves, record

MODELS, OUTCOMES, LANGUAGES, TRIES = 50, 2_000, ("en", "zh"), 3
LEVELS = ("coverage", "accuracy", "accuracy_all", "balanced_accuracy", "auc", "precision", "recall", "f1")
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")


def figure(rng: random.Random, metric: str, model: str, unit: Unit, **more: Any) -> Measurement:
    """A figure somewhere, with an interval around it."""
    value = rng.uniform(-0.1, 0.1) if more.get("reference") else rng.uniform(0.5, 0.95)
    ends: dict[str, Any] = {"low": value - 0.03, "high": value + 0.03, "level": 0.95, "n": 2000}
    method = "cluster bootstrap, 2000 draws"
    return Measurement(metric=metric, value=value, unit=unit, model=model, method=method, **ends, **more)


def outcomes_of(rng: random.Random, model: str, reference: str) -> Iterator[Outcome]:
    """40 outcomes of one model."""
    for name in LEVELS:
        yield figure(rng, f"quality.{name}", model, Unit.SCORE if name in ("auc", "f1") else Unit.RATE)
    for name in ("balanced_accuracy", "auc", "accuracy"):
        yield figure(rng, f"quality.{name}.difference", model, Unit.DIFFERENCE, reference=reference)
    for name in ("latency_p50", "latency_p95"):
        yield figure(rng, f"quality.{name}", model, Unit.SECONDS)
    yield figure(rng, "quality.cost", model, Unit.MONEY)
    for name in RATES:
        for age in AGES:
            yield figure(rng, f"fairness.{name}", model, Unit.RATE, slice=Slice.of(age_band=age))
        yield figure(rng, f"fairness.{name}.difference", model, Unit.DIFFERENCE, slice=Slice.of(age_band=ANY))
    yield figure(rng, "membership.auc", model, Unit.SCORE)
    yield figure(rng, "membership.tpr_at_1pct_fpr", model, Unit.RATE)


def large() -> RunRecord:
    """The record."""
    rng, small = random.Random(0), record()  # noqa: S311 - figures, not secrets
    names = [f"model-{place:02d}" for place in range(MODELS)]
    models = tuple(
        ModelEntry(
            name=name, kind="classifier", title=f"Classifier number {place}", source="a package", weighed_on=2000,
            trained=True, trained_on=6000, settings={"seed": place, "lr": 5e-5}, digest=f"sha256:{place:064x}",
            claim=replace(CLAIM, epsilon=1.0 + place / 10, ledger_epsilon=9.0, ledger_runs=MODELS)
            if place % 5 == 0
            else None,
            curve=tuple({"epoch": e, "loss": 0.5 / e + place / 100} for e in range(1, 6)),
        )
        for place, name in enumerate(names)
    )  # fmt: skip
    of_all = [o for o in small.outcomes if o.model is None]
    found = [outcome for name in names for outcome in outcomes_of(rng, name, names[0])]
    drawn = [replace(curve, model=name) for name in names for curve in curves() if curve.model == "open"]
    return small.model_copy(
        update={
            "models": models,
            "candidate": names[1],
            "incumbent": names[0],
            "outcomes": (*of_all, *found)[:OUTCOMES],
            "curves": tuple(drawn),
            "files": {},
        }
    )


def timed(language: str) -> tuple[float, float, int]:
    """Seconds to the page, of them on the processor, and the page's bytes, in this process."""
    from reports import html
    from reports.text import Texts
    from reports.view import View

    whole = large()
    verdict = judge(whole, POLICY)
    began, busy = time.perf_counter(), time.process_time()
    page = html.render(View(whole, verdict, POLICY, Texts(language)))
    return time.perf_counter() - began, time.process_time() - busy, len(page)


def main() -> None:
    whole = large()
    print(f"{len(whole.models)} models, {len(whole.outcomes):,} outcomes")
    figures = {"render_seconds": 0.0, "report_mb": 0.0}
    for language in LANGUAGES:
        tries = []
        for _ in range(TRIES):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                tries.append(pool.apply(timed, (language,)))
        seconds, busy, size = min(tries)
        print(f"{language}  {seconds:.2f} s, {busy:.2f} s of processor time, {size / 1e6:.2f} MB")
        figures["render_seconds"] = round(max(figures["render_seconds"], seconds), 2)
        figures["report_mb"] = round(max(figures["report_mb"], size / 1e6), 3)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
