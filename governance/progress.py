"""What the audit is doing, on stderr: a bar on a terminal, a line per stage elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Progress:
    """Says which stage runs and how long each took.

    Args:
        quiet: say nothing.

    Attributes:
        seconds: stage -> wall-clock seconds, of the stages that this process ran.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Announce a stage; `total` is the number of units that `advance` will count."""
        began = time.perf_counter()
        self._open(name, total)
        try:
            yield
        finally:
            self._close()
        spent = time.perf_counter() - began
        self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)
        self.say(f"  {name}: {spent:.1f} s")

    def advance(self, units: int) -> None:
        """Count finished units of the running stage."""
        if self._bar is not None:
            self._bar.update(self._task, advance=units)

    def reach(self, units: int, note: str = "") -> None:
        """Say how many units of the running stage are finished in all, and, on a terminal, a word about it."""
        if self._bar is not None:
            self._bar.update(self._task, completed=units, note=note)

    def say(self, line: str) -> None:
        """One line to stderr."""
        if not self._quiet:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def _open(self, name: str, total: int | None) -> None:
        if self._quiet or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = [TextColumn("  {task.description}"), BarColumn()]
        columns += [MofNCompleteColumn(), TimeRemainingColumn()] if total else [TimeElapsedColumn()]
        columns.append(TextColumn("{task.fields[note]}"))
        self._bar = Bars(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(name, total=total, note="")
        self._bar.start()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
