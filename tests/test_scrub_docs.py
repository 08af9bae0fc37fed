"""The commands in docs/scrubbing.md run, and print what the page's figures are made of."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import governance

ROOT = Path(governance.__file__).parents[1]


@pytest.mark.slow
def test_first_command_prints_the_recall_that_the_page_states() -> None:
    page = (ROOT / "docs" / "scrubbing.md").read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    figures = dict(re.findall(r"^(scrubber\.\S+ .+?) (\d\.\d{3}) \[", done.stdout, re.MULTILINE))
    assert f"| names of people | {figures['scrubber.recall entity=PERSON, language=en']} [" in page
    assert figures["scrubber.recall entity=PERSON, language=zh"] == "0.000"
    for language in ("en", "zh"):
        assert f" {figures[f'scrubber.leak language={language}']} [" in page
        assert figures[f"scrubber.recall.structured language={language}"] == "1.000"
