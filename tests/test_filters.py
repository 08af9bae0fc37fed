"""The filter's classes and rules, and what a browser makes of them without a script."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from governance.policy import judge
from governance.record import RunRecord
from reports import html
from reports.filters import MANY, Filter
from reports.text import Texts
from reports.view import View
from tests.sample_record import POLICY, record

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def view(judged: RunRecord | None = None) -> View:
    judged = judged or record()
    return View(judged, judge(judged, POLICY), POLICY, Texts("en"))


def expected(found: View, mark: int | None, status: str | None) -> set[str]:
    """Controls that a choice should show."""
    shown = set()
    for control in found.controls:
        names = [model.name for model in found.models if mark in (None, model.mark)]
        statuses = {control.statuses[name].value for name in names if name in control.statuses}
        if (mark is None and status is None) or (statuses if status is None else {status} & statuses):
            shown.add(f"control-{control.control.id}")
    return shown


def test_few_controls_and_one_model_need_no_filter() -> None:
    few = POLICY.model_copy(update={"controls": POLICY.controls[:3]})
    assert not Filter(View(record(), judge(record(), few), few, Texts("en"))).shown
    alone = record()
    alone = alone.model_copy(
        update={
            "models": alone.models[2:3],
            "incumbent": None,
            "outcomes": tuple(o for o in alone.outcomes if o.model in (None, "open-private")),
        }
    )
    found = Filter(view(alone))
    assert found.shown and found.models == []
    assert "#fm-" not in found.css and "#controls:has(#fs-f:checked)" in found.css


def test_rules_hold_nothing_of_the_record() -> None:
    hostile = record().model_copy(update={"candidate": "}*{display:none}"})
    named = [entry.model_copy(update={"name": "}*{display:none}"}) if e == 2 else entry
             for e, entry in enumerate(hostile.models)]  # fmt: skip
    css = Filter(view(hostile.model_copy(update={"models": tuple(named)}))).css
    assert re.fullmatch(r"(#controls[\w#:().,\-\[\] {}]+\n?)+", css)
    assert "display:none}" in css and "}*{" not in css


def test_many_models_are_counted_instead_of_drawn() -> None:
    small = record()
    entries = [small.models[0].model_copy(update={"name": f"m{place}"}) for place in range(MANY + 1)]
    found = view(small.model_copy(update={"models": (*small.models, *entries)}))
    control = next(one for one in found.controls if one.control.id == "coverage")
    tally = Filter(found).tally(control)
    assert sum(n for _, n in tally) == len(control.statuses) - 1
    assert Filter(view()).tally(view().controls[0]) == []


@pytest.mark.slow
def test_choices_show_what_fits_without_scripts(browser: Browser, tmp_path: Path) -> None:
    found, path = view(), tmp_path / "report.html"
    path.write_bytes(html.render(found))
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(path.as_uri())
    letters = {None: "a", "fail": "f", "unproven": "u", "pass": "p"}
    for mark in (None, 2, 3):
        page.locator("label", has=page.locator(f"#fm-{'a' if mark is None else mark}")).click()
        for status, letter in letters.items():
            page.locator("label", has=page.locator(f"#fs-{letter}")).click()
            shown = {one.get_attribute("id") for one in page.locator(".control").all() if one.is_visible()}
            assert shown == expected(found, mark, status), (mark, status)
            assert page.locator(".nothing").is_visible() == (not shown)
    page.locator("label", has=page.locator("#fs-a")).click()
    page.locator(".control summary:visible").first.click()
    rows = page.locator(".evidence tr[class]:visible")
    assert {one.get_attribute("class") for one in rows.all()} == {"m3"}
    page.context.close()
