"""The quickstart, first and second time: `make bench NAME=quickstart`.

First run in an empty folder, demo assets installed; then again, nothing changed; then `--help`. Memory is
the largest sum, over the command and all its children, of proportional set sizes (shared pages count once).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

COMMAND = [sys.executable, "-m", "governance"]
INTERVAL = 0.25  # seconds between two looks at memory
HELPS = 7


class Peak(threading.Thread):
    """Watches a process and its children."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.process, self.bytes = process, 0
        self.finished = threading.Event()

    def run(self) -> None:
        while not self.finished.wait(INTERVAL):
            total = 0
            try:
                family = [self.process, *self.process.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for member in family:
                try:
                    total += member.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.bytes = max(self.bytes, total)


def timed(*arguments: str) -> tuple[float, float]:
    """Seconds and peak GiB of one command."""
    began = time.perf_counter()
    child = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL)
    peak = Peak(psutil.Process(child.pid))
    peak.start()
    if child.wait() != 0:
        sys.exit(f"{' '.join(arguments)}: exit code {child.returncode}")
    seconds = time.perf_counter() - began
    peak.finished.set()
    peak.join()
    return seconds, peak.bytes / 2**30


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("audit", "quickstart", "--out", folder, "--exit-zero")
        first, peak = timed(*arguments)
        [record] = Path(folder).glob("quickstart/*/record.json")
        stages = json.loads(record.read_bytes())["seconds"]
        second, _ = timed(*arguments, "--quiet")
    help_seconds = statistics.median(timed("--help")[0] for _ in range(HELPS))
    rows = [(name, f"{seconds:8.1f} s") for name, seconds in stages.items()]
    rows += [
        ("first run, all of it", f"{first:8.1f} s   (bar: 600)"),
        ("second run", f"{second:8.1f} s   (bar: 10)"),
        ("--help, median", f"{help_seconds:8.2f} s   (bar: 0.3)"),
        ("peak memory, children included", f"{peak:8.2f} GiB (bar: 4)"),
    ]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:{width}}  {figure}" for name, figure in rows))
    figures = {"first_seconds": first, "second_seconds": second, "peak_gib": peak, "help_seconds": help_seconds}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
