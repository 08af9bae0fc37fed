"""What `steelyard compare` does: what changed between two runs of one task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.baseline import changes_since
from governance.drift import drift_since
from governance.errors import ConfigError, RecordError
from governance.files import write_atomic
from governance.lastverdict import last_verdict
from governance.matching import check_comparable, counterpart
from governance.policy.terms import OUTCOMES
from governance.record import RECORD
from governance.trail import LOCK, TRAIL

if TYPE_CHECKING:
    from governance.policy import WaiverUse
    from reports.differences import Compared, Difference


def compare_command(
    before: Path,
    now: Path,
    *,
    out: Path | None,
    markdown: Path | None,
    lang: str,
    as_json: bool,
    echo: Callable[[str], None],
) -> int:
    """Compare two runs, write the page and the Markdown that were asked for, and tell the rest.

    Args:
        before: directory of the earlier run.
        now: directory of the later one.
        out: where the page goes, if anywhere.
        markdown: where the Markdown goes.
        lang: "en" or "zh".
        as_json: for machines.
        echo: prints a result.

    Returns:
        The exit code, 0: whatever changed is for a gate to judge.

    Raises:
        RecordError: one of them is no run or damaged, or they are of different tasks.
        ConfigError: a file would go into a run.
    """
    from reports import comparison

    for path in (out, markdown):
        if path is not None:
            _check_outside(path, before, now)
    two = compare(before, now, language=lang)
    if out is not None:
        write_atomic(out, comparison.page(two))
    if markdown is not None:
        write_atomic(markdown, comparison.markdown(two))
    echo(json.dumps(told(two), ensure_ascii=False) if as_json else comparison.terminal(two))
    return 0


def compare(before: Path, now: Path, *, language: str = "en") -> Compared:
    """Two runs as each was last judged, with every change between them.

    Raises:
        RecordError: one of them is no run or damaged, or they are of different tasks.
    """
    from reports.differences import Compared
    from reports.text import Texts
    from reports.view import View

    earlier, earlier_terms, earlier_verdict = last_verdict(before)
    later, terms, verdict = last_verdict(now)
    try:
        check_comparable(later, earlier)
    except RecordError as error:
        raise RecordError(f"{before} and {now} can't be compared: {error}") from None
    runs = (later, now, earlier, before)
    changes = (*changes_since(*runs), *drift_since(*runs))
    pairs = {}
    for entry in later.models:
        found = counterpart(entry, later, earlier)
        pairs[entry.name] = None if found is None else found.name
    texts = Texts(language)
    views = (
        View(earlier, earlier_verdict, earlier_terms.policy, texts),
        View(later, verdict, terms.policy, texts, changes),
    )
    return Compared(*views, pairs)


def told(two: Compared) -> dict[str, Any]:
    """What `--json` prints."""
    sides = {
        name: {
            "audit": view.record.audit,
            "run": view.record.run,
            "record": view.record.digest(),
            "policy": f"{view.policy.name} {view.policy.version}",
            "candidate": view.record.candidate,
            "status": view.verdict.status.value,
        }
        for name, view in (("before", two.before), ("now", two.now))
    }
    return {
        **sides,
        "unchanged": two.unchanged,
        "models": [
            {
                "model": one.told.name,
                "before": one.before.status.value if one.before else None,
                "now": one.now.status.value if one.now else None,
                "differences": [_difference(each) for each in one.differences],
            }
            for one in two.models
        ],
        "controls": [
            {"control": one.control.control.id, "model": one.model.name, "slice": one.where, "before": one.before,
             "now": one.now, "reason": one.reason}
            for one in two.turns
        ],
        "data": [_difference(one) for one in two.data],
        "settings": [_difference(one) for one in two.settings],
        "waivers": [
            {"before": _waiver(before), "now": _waiver(now)} for before, now in two.waivers
        ],
        "certain": OUTCOMES.dump_python(tuple(two.certain), mode="json"),
        "changes": OUTCOMES.dump_python(two.now.changes, mode="json"),
    }  # fmt: skip


def _difference(one: Difference) -> dict[str, Any]:
    return {"part": one.part, "field": one.field, "name": one.name, "before": one.before, "now": one.now}


def _waiver(use: WaiverUse | None) -> dict[str, Any] | None:
    return None if use is None else use.model_dump(mode="json")


def _check_outside(path: Path, *runs: Path) -> None:
    """A run's folder is evidence: nothing may be added to it."""
    for run in runs:
        if path.resolve().is_relative_to(run.resolve()):
            raise ConfigError(f"{path}: lies inside the run {run}, which is evidence; write it elsewhere")
    if path.resolve().name in (TRAIL, LOCK) or (path.resolve().parent / RECORD).is_file():
        raise ConfigError(f"{path}: is evidence, or lies beside some; write it elsewhere")
    if path.is_dir():
        raise ConfigError(f"{path}: expected a file to write, found a folder")
