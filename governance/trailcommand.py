"""What `steelyard trail` does: show who did what, and check that nothing was taken out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from governance.errors import RecordError
from governance.trail import DONE, ENDED, FAILED, STARTED, Reading, read_trail

BROKEN = 2
COLUMNS = ("when (UTC)", "who", "what", "run", "outcome")
GAP = "  "
NAME, WORDS = 40, 160  # characters of a name, and of an outcome
CUT_OFF = "not ended: cut off, or under way"


def trail_command(
    runs: Path, *, holds: str | None, as_json: bool, echo: Callable[[str], None], complain: Callable[[str], None]
) -> int:
    """Show a trail.

    Args:
        runs: folder of runs or of models.
        holds: a head that was kept.
        as_json: for machines.
        echo: prints a result.
        complain: prints what is wrong with it.

    Returns:
        The exit code: 2 if a record or verdict is there whose line is not.

    Raises:
        RecordError: there is no trail, a line was changed, added or taken out, or it was set back since `holds`.
    """
    trail = read_trail(runs)
    if holds is not None and not trail.holds(holds):
        raise RecordError(f"{trail.path}: the trail does not hold what it held at head {holds}: it was set back")
    if as_json:
        echo(json.dumps({"trail": str(trail.path), "head": trail.heads[-1], **_acts(trail)}, ensure_ascii=False))
    else:
        echo("\n".join(_table(trail)))
    for problem in trail.problems:
        complain(f"steelyard: {problem}")
    return BROKEN if trail.problems else 0


def _acts(trail: Reading) -> dict[str, object]:
    acts = [
        {**last, "began": first.get("at")} if first is not last else {**last} for first, last in _merged(trail.entries)
    ]
    return {"acts": acts, "problems": list(trail.problems)}


def _merged(entries: Iterable[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """(first line, last line) of each act, in the order in which they began."""
    acts: dict[object, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    for place, entry in enumerate(entries):
        name = entry.get("id", place)
        acts[name] = (acts[name][0] if name in acts else entry, entry)
    return list(acts.values())


def _table(trail: Reading) -> list[str]:
    from rich.cells import cell_len

    from reports.text import clean

    rows = [COLUMNS]
    for first, last in _merged(trail.entries):
        who = clean("@".join(str(first[name]) for name in ("who", "host") if first.get(name)), NAME)
        when = clean(str(first.get("at", ""))[:16].replace("T", " "), NAME)
        act, run = clean(last.get("act"), NAME), clean(last.get("run", ""), NAME)
        try:
            outcome = clean(_outcome(last), WORDS)
        except (TypeError, ValueError, AttributeError):
            outcome = "can't be read: not a line that this version writes"
        rows.append((when, who, act, run, outcome))
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(COLUMNS) - 1)]
    lines = [
        GAP.join([*(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]
    head = f"head {trail.heads[-1][:16]} (keep it: --holds HEAD tells whether the trail was set back)"
    return [f"audit trail  {trail.path}", "", lines[0], "-" * cell_len(lines[0]), *lines[1:], "", head]


def _outcome(line: Mapping[str, Any]) -> str:
    """What came of an act, in words."""
    if line.get("act") == "begun":
        before = len(line.get("before") or {})
        return f"the trail begins; {before} records and verdicts were here before it" if before else "the trail begins"
    moment = line.get("moment")
    if moment == STARTED:
        return CUT_OFF
    if moment == FAILED:
        return f"failed: {line.get('error')}"
    told = [text for text in (_verdict(line), _spent(line), _recorded(line)) if text]
    return "; ".join(told) if moment in (ENDED, DONE) else f"unknown: {moment}"


def _verdict(line: Mapping[str, Any]) -> str:
    verdicts, policy = line.get("verdicts"), line.get("policy")
    if not isinstance(verdicts, dict) or not isinstance(policy, dict):
        return ""
    first = str(line.get("candidate"))
    rest = ", ".join(f"{name} {status}" for name, status in verdicts.items() if name != first)
    waived = f"; waivers: {', '.join(map(str, line['waivers']))}" if line.get("waivers") else ""
    others = f" ({rest})" if rest else ""
    return f"{first} {verdicts.get(first)}{others} by {policy.get('name')} {policy.get('version')}{waived}"


def _spent(line: Mapping[str, Any]) -> str:
    spent = line.get("epsilon")
    if not isinstance(spent, dict):
        return ""
    may = "may spend " if line.get("act") == "spend" else ""
    return ", ".join(
        f"{name}: {may}epsilon {one.get('epsilon'):.4g} at delta {one.get('delta'):g} for each {one.get('unit')}"
        for name, one in spent.items()
    )


def _recorded(line: Mapping[str, Any]) -> str:
    digest = str(line.get("record") or "").removeprefix("sha256:")
    return f"record {digest[:12]}" if digest and line.get("verdicts") is None else ""
