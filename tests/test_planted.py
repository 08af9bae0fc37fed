"""Hostile text in every field of a record: nothing of it runs, nothing is loaded, nothing grows without bound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from governance.policy import judge
from governance.record import RunRecord
from reports import html
from reports.text import Texts
from reports.view import View
from tests.planted import PAYLOADS, Planter, planted
from tests.sample_record import POLICY, drawn
from tests.test_html import Page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVERYWHERE = POLICY.model_copy(
    update={"controls": tuple(control.model_copy(update={"models": "all"}) for control in POLICY.controls)}
)


def page(judged: RunRecord, language: str = "en") -> str:
    return html.render(View(judged, judge(judged, EVERYWHERE), EVERYWHERE, Texts(language))).decode()


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts(part)]
    return [text for part in value for text in texts(part)] if isinstance(value, list) else []


def test_the_planter_fills_what_the_sample_leaves_out() -> None:
    whole = planted(Planter(("@@",)))
    dumped = whole.model_dump(mode="json")
    assert {name for name in RunRecord.model_fields if not dumped.get(name)} == set()
    assert all(entry[name] for entry in dumped["models"] for name in type(whole.models[0]).model_fields)
    assert sum("@@" in text for text in texts(dumped)) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, len(PAYLOADS), 2))
def test_no_field_runs_or_loads_anything(browser: Browser, tmp_path: Path, start: int) -> None:
    text = page(planted(Planter(PAYLOADS, start)), ("en", "zh")[start // 2 % 2])
    parsed, good = Page(text), Page(page(drawn()))
    assert set(parsed.tags) <= set(good.tags) | {"bdi", "em", "ul", "li", "a", "input"}
    assert parsed.tags.count("style") == 1 and "script" not in parsed.tags
    assert not any(name.startswith("on") or name == "srcdoc" for _, name, _ in parsed.attributes)
    assert all(re.fullmatch(r"#[\w.-]+|data:,", href) for href in parsed.values("href"))
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text)
    path = tmp_path / "report.html"
    path.write_text(text, "utf-8")
    # Past the page's own policy: what stops the text must be the escaping alone.
    shown = browser.new_context(bypass_csp=True).new_page()
    heard: list[str] = []
    shown.on("console", lambda message: heard.append(message.text))
    shown.on("pageerror", lambda error: heard.append(str(error)))
    shown.on("request", lambda request: heard.append(request.url))
    shown.on("dialog", lambda dialog: heard.append(dialog.message))
    shown.goto(path.as_uri())
    shown.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert [line for line in heard if line not in (path.as_uri(), "data:,")] == []
    assert shown.evaluate("window.hit === undefined")
    # And the check can fail: the same text as markup does run.
    shown.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.hit=1>')")
    shown.wait_for_function("window.hit === 1")
    shown.context.close()


@pytest.mark.slow
def test_a_megabyte_in_every_field_makes_no_large_page() -> None:
    planter = Planter(("x" * 1_000_000,))
    whole = planted(planter, outcomes=False)
    assert planter.planted > 200
    assert len(page(whole)) < 2_000_000
