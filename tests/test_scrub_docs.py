"""The commands in docs/scrubbing.md run, and print what the page's figures are made of."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import governance
from governance.privacy.entities import ENTITIES
from governance.privacy.policy import load_policy

ROOT = Path(governance.__file__).parents[1]


@pytest.mark.slow
def test_first_command_prints_the_recall_that_the_page_states() -> None:
    page = (ROOT / "docs" / "scrubbing.md").read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    figures = dict(re.findall(r"^(scrubber\.\S+ .+?) (\d\.\d{3}) \[", done.stdout, re.MULTILINE))
    for row, metric in (
        ("**texts that leak a letter or digit**", "scrubber.leak {}"),
        ("names of people", "scrubber.recall entity=PERSON, {}"),
        ("street addresses", "scrubber.recall entity=STREET_ADDRESS, {}"),
        ("all else, pooled", "scrubber.recall.structured {}"),
        ("false alarms per 100 shop texts", "scrubber.false_per_100 {}"),
    ):
        english, chinese = (figures[metric.format(f"language={language}")] for language in ("en", "zh"))
        assert re.search(rf"^\| {re.escape(row)} \| {english} \[.*\| {chinese} \[", page, re.MULTILINE), row


def test_every_gap_can_be_told_in_chinese() -> None:
    """Reports print what a policy does not look for; a phrase without a translation would stay in English."""
    from reports.text import Texts

    policies = [load_policy(name) for name in ("default", "patterns")]
    phrases = {phrase for policy in policies for gaps in policy.not_covered.values() for phrase in gaps}
    assert len(phrases) > 5
    assert [phrase for phrase in sorted(phrases | set(ENTITIES.values())) if Texts("zh").said(phrase) == phrase] == []
