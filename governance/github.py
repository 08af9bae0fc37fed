"""What GitHub Actions takes from a step: lines on the job's page and outputs for later steps. Nothing anywhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from governance.files import digest_of

if TYPE_CHECKING:
    from governance.conclude import Result

SUMMARY = "GITHUB_STEP_SUMMARY"
OUTPUT = "GITHUB_OUTPUT"


def tell_github(result: Result, complain: Callable[[str], object]) -> None:
    """Append the summary and the outputs where the environment names files for them; what is there stays.

    Args:
        result: the judgement.
        complain: told what can't be written. The verdict stands all the same, and so does its exit code.
    """
    summary = result.out / "summary.md"
    _append(SUMMARY, summary.read_bytes() + b"\n", f"the summary is in {summary}", complain)
    outputs = {
        "status": result.verdict.status.value,
        "exit-code": result.verdict.exit_code,
        "run": result.directory,
        "report": result.out / "report.html",
        "junit": result.out / "junit.xml",
        "sarif": result.out / "results.sarif",
    }
    lines = "".join(_output(name, str(value)) for name, value in outputs.items())
    _append(OUTPUT, lines.encode(), "later steps get no outputs", complain)


def _output(name: str, value: str) -> str:
    """One output. The mark that ends it is made from it, so no path, whatever is in it, can end it early."""
    mark = f"end-{digest_of(value)}"
    return f"{name}<<{mark}\n{value}\n{mark}\n"


def _append(variable: str, content: bytes, otherwise: str, complain: Callable[[str], object]) -> None:
    path = os.environ.get(variable)
    if not path:
        return
    try:
        with Path(path).open("ab") as file:
            file.write(content)
    except OSError as error:
        complain(f"steelyard: {variable}: can't append to {path}: {error.strerror}; the verdict stands, {otherwise}")
