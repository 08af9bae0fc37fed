"""Raw text ends at the scrubber: who may seal a text, and what the type checker says to who tries without."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import governance

ROOT = Path(governance.__file__).parents[1]
MAY_SEAL = (ROOT / "governance" / "privacy", ROOT / "governance" / "dataset.py")


def seals(source: str) -> Iterator[int]:
    """Lines that make a `ScrubbedText`, or give the class another name under which it could be made."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            handed_on = any(map(_names, node.args)) and not _asks(node)  # map(ScrubbedText, texts)
            if _names(node.func) or handed_on:
                yield node.lineno
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            if node.value is not None and _names(node.value):
                yield node.lineno
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield from (node.lineno for name in node.names if name.name == "ScrubbedText" and name.asname)
        elif isinstance(node, ast.ClassDef) and any(map(_names, node.bases)):
            yield node.lineno


def _names(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "ScrubbedText") or (
        isinstance(node, ast.Attribute) and node.attr == "ScrubbedText"
    )


def _asks(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in {"isinstance", "issubclass"}


def test_only_the_scrubber_and_the_data_set_seal_texts() -> None:
    files = [path for folder in ("governance", "evaluators", "reports") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 20
    elsewhere = [path for path in files if not any(path == may or may in path.parents for may in MAY_SEAL)]
    found = [f"{path.relative_to(ROOT)}:{line}" for path in elsewhere for line in seals(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "ScrubbedText(raw)",
        "dataset.ScrubbedText(raw)",
        "make = ScrubbedText",
        "make: type = ScrubbedText",
        "from governance.dataset import ScrubbedText as T",
        "class Mine(ScrubbedText): ...",
        "list(map(ScrubbedText, raws))",
    ],
)
def test_the_walk_sees_each_way_round_it(source: str) -> None:
    assert list(seals(source))


def test_the_walk_lets_types_and_checks_pass() -> None:
    assert not list(seals("def f(x: ScrubbedText) -> bool:\n    return isinstance(x, ScrubbedText)"))


PLANTED = """
from governance.backends.base import Backend
from governance.dataset import ScrubbedText, SyntheticText

def good(backend: Backend, text: ScrubbedText, probe: SyntheticText) -> None:
    backend.classify([text, probe])

def leak(backend: Backend, raw: str) -> None:
    backend.classify([raw])
"""


@pytest.mark.slow
def test_type_checker_rejects_raw_text_at_a_backend(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(PLANTED)
    # Without site-packages: the check needs our own types alone, and numpy's stubs take a minute.
    options = [
        "--strict",
        "--follow-imports=silent",
        "--config-file=",
        "--no-site-packages",
        "--ignore-missing-imports",
    ]
    command = [sys.executable, "-m", "mypy", *options, "--cache-dir", str(tmp_path / "cache"), str(planted)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert 'planted.py:9: error: List item 0 has incompatible type "str"' in errors[0]
