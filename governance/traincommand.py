"""What `steelyard train` prints: the plan before, the summary after."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from governance.progress import Progress
from governance.trainrecord import CARD, RECORD, TrainingRecord
from governance.trainrun import Trained, plan_training, run_training

DOES_NOT_FIT = 1


def train_command(
    config: str,
    *,
    echo: Callable[[str], None],
    out: Path,
    only_plan: bool,
    again: bool,
    quiet: bool,
    lang: str,
    as_json: bool,
) -> int:
    """Plan or train, and say so.

    Returns:
        The exit code: 1 if a planned run doesn't fit into the budget.

    Raises:
        SteelyardError: what the user can mend.
    """
    progress = Progress(quiet=quiet)
    if only_plan:
        ahead = plan_training(config, out=out, progress=progress)
        echo(json.dumps(ahead.to_json()) if as_json else "\n".join(ahead.lines()))
        return DOES_NOT_FIT if ahead.cost is not None and ahead.cost.fits is False else 0
    done = run_training(config, out=out, language=lang, again=again, progress=progress)
    echo(json.dumps(_summary(done), ensure_ascii=False) if as_json else "\n".join(_lines(done)))
    return 0


def _summary(done: Trained) -> dict[str, object]:
    record, claim, spending = done.record, done.record.claim, done.record.spending
    return {
        "model": str(done.directory / "model"),
        "record": str(done.directory / RECORD),
        "card": str(done.directory / CARD),
        "fresh": done.fresh,
        "recipe": record.recipe,
        "rows": record.data.rows,
        "steps": record.steps,
        "stopped": record.stopped,
        "epsilon": None if claim is None else claim.epsilon,
        "delta": None if claim is None else claim.delta,
        "unit": None if claim is None else claim.unit,
        "ledger_epsilon": None if spending is None else spending.epsilon,
        "ledger_runs": None if spending is None else spending.runs,
    }


def _lines(done: Trained) -> list[str]:
    record = done.record
    lines = [f"{record.name}: {record.recipe}, {record.steps:,} steps on {record.data.rows:,} rows"]
    if record.stopped:
        lines.append(f"stopped early: {record.stopped}")
    lines.append(_promise(record))
    if record.spending is not None:
        lines.append(
            f"budget book: epsilon {record.spending.epsilon:.4g} by all runs on these rows ({record.spending.runs}); "
            f"budget: {record.spending.budget or 'none set'}"
        )
    lines += [
        f"{name}: {done.directory / file}" for name, file in (("model", "model"), ("card", CARD), ("record", RECORD))
    ]
    return lines


def _promise(record: TrainingRecord) -> str:
    claim = record.claim
    if claim is None:
        return "privacy: no claim; trained without noise"
    return f"privacy: epsilon {claim.epsilon:.4g} at delta {claim.delta:g} for each {claim.unit}; see what that omits"
