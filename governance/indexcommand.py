"""What `steelyard report --index` does: one page of all runs in a folder."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from governance.errors import ConfigError, RecordError, SteelyardError
from governance.evidence.folder import LATEST
from governance.files import write_atomic
from governance.lastverdict import last_verdict
from governance.trail import LOCK, TRAIL, read_trail
from governance.trainrecord import RECORD as TRAINING

if TYPE_CHECKING:
    from reports.index import Index, Listed
    from reports.indexbudget import Spent
    from reports.text import Texts

_MOST = 1e300  # a number that is more is none
PAGE = "index.html"
REPORT = "report.html"
TRAINED = "a trained model, not an audit's run"


def index_command(runs: Path, *, out: Path | None, today: str | None, lang: str, echo: Callable[[str], None]) -> int:
    """Write the page and say where it is.

    Args:
        runs: folder with runs in `<audit>/<id>/`.
        out: the page; `index.html` in that folder if it is absent.
        today: ISO date that waivers are held against; this day (UTC) if it is absent.
        lang: "en" or "zh".
        echo: prints a result.

    Raises:
        ConfigError: there is no such folder, the date is none, or the page would go into a run.
    """
    from reports import index
    from reports.text import Texts

    if not runs.is_dir():
        raise ConfigError(f"{runs}: expected a folder of runs (runs/<audit>/<id>)")
    day, page, texts = _day(today), out or runs / PAGE, Texts(lang)
    if page.is_dir():
        raise ConfigError(f"{page}: expected a file to write, found a folder")
    inside = page.resolve().parent
    if page.resolve().name in (TRAIL, LOCK):
        raise ConfigError(f"{page}: is the audit trail, which is evidence; write it elsewhere")
    if inside.is_relative_to(runs.resolve()) and len(inside.relative_to(runs.resolve()).parts) >= 2:
        raise ConfigError(f"{page}: lies inside a run, which is evidence; write it elsewhere")
    with _uncollected():
        write_atomic(page, index.render(read_runs(runs, texts, page.parent), texts, day))
    echo(str(page))
    return 0


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Records are millions of objects that stay; a collector walking them over and over takes as long as the rest."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def read_runs(runs: Path, texts: Texts, beside: Path) -> Index:
    """Every run in a folder, and what else is there with the reason why it is none.

    Args:
        runs: the folder.
        texts: of the reader's language.
        beside: where the page goes, from which its links lead.
    """
    from reports.index import Index

    listed: list[Listed] = []
    unreadable: list[tuple[str, str]] = []
    for folder in sorted(runs.glob("*/*")):
        if folder.name.startswith(".") or folder.parent.name.startswith(".") or not folder.is_dir():
            continue
        place = folder.relative_to(runs).as_posix()
        try:
            listed.append(_listed(folder, place, texts, beside))
        except SteelyardError as error:
            unreadable.append((place, _reason(error, folder, runs)))
        except OSError as error:
            unreadable.append((place, error.strerror or type(error).__name__))
    spent, problems, broken = _spending(runs, {run.place for run in listed})
    return Index(runs=listed, unreadable=unreadable, spent=spent, problems=problems, trail=broken)


def _listed(folder: Path, place: str, texts: Texts, beside: Path) -> Listed:
    from reports.index import Listed
    from reports.view import View

    if (folder / TRAINING).is_file():
        raise RecordError(TRAINED)
    record, terms, verdict = last_verdict(folder)
    view = View(record, verdict, terms.policy, texts, terms.changes)
    report = (folder / LATEST / REPORT).resolve()
    inside = report.is_relative_to(folder.resolve()) and report.is_file()  # a link may lead anywhere
    link = quote(os.fsencode(os.path.relpath(report, beside.resolve()).replace(os.sep, "/"))) if inside else ""
    return Listed(view=view, place=place, link=link)


def _reason(error: SteelyardError, folder: Path, runs: Path) -> str:
    """An error's message without the paths of this machine."""
    return str(error).replace(f"{folder}{os.sep}", "").replace(f"{folder}: ", "").replace(f"{runs}{os.sep}", "")


def _day(today: str | None) -> date:
    if today is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(today)
    except ValueError:
        raise ConfigError("--today: expected a date as YYYY-MM-DD") from None


def _spending(runs: Path, known: set[str]) -> tuple[list[Spent], int, str]:
    """What the trail says was spent without a record, how many files it has no line of, and why it can't be read."""
    if not (runs / TRAIL).is_file():
        return [], 0, ""
    try:
        trail = read_trail(runs)
    except RecordError as error:
        return [], 0, _reason(error, runs, runs)
    found: dict[tuple[str, str], Spent] = {}
    for entry in trail.entries:
        run = str(entry.get("run"))
        if entry.get("act") == "spend" and run not in known:
            found |= {(one.run, one.model): one for one in _promises(run, entry)}  # a resumed one stands once
    return list(found.values()), len(trail.problems), ""


def _promises(run: str, entry: Mapping[str, Any]) -> list[Spent]:
    """What one line says; nothing where it says it in another way than this version."""
    from reports.indexbudget import Spent

    promises = entry.get("epsilon")
    found = []
    for model, told in promises.items() if isinstance(promises, dict) else ():
        epsilon, delta = (_number(told, name) for name in ("epsilon", "delta"))
        if epsilon is not None and delta is not None:
            found.append(Spent(run, model, epsilon, delta, str(told.get("unit")), str(entry.get("at"))))
    return found


def _number(told: object, name: str) -> float | None:
    number = told.get(name) if isinstance(told, dict) else None
    return float(number) if isinstance(number, int | float) and abs(number) < _MOST else None
