"""The report in a real browser: it loads nothing, complains of nothing, and fits narrow and wide screens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from governance.policy import judge
from reports import render
from tests.sample_record import POLICY, record

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

OVERFLOWING = """() => [...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  if (e.closest('.scroll, pre, .sr, .skip, svg') || !box.width) return false;
  return box.right > document.documentElement.clientWidth + 1;
}).map(e => e.tagName + '.' + e.className)"""

CONTRAST = """() => {
  const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const over = colours => { context.clearRect(0, 0, 1, 1);
    for (const c of colours) { context.fillStyle = c; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3); };
  const light = rgb => { const [r, g, b] = rgb.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const bad = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg, .skip') || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const layers = [];
    for (let p = e; p; p = p.parentElement) layers.unshift(getComputedStyle(p).backgroundColor);
    const back = over(['Canvas', ...layers]), front = over(['Canvas', ...layers, getComputedStyle(e).color]);
    const [a, b] = [light(back), light(front)];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.add(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2));
  }
  return [...bad];
}"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    judged = record()
    verdict = judge(judged, POLICY)
    for language in ("en", "zh"):
        page = render(judged, verdict, POLICY, language=language)["report.html"]
        (folder / f"{language}.html").write_bytes(page)
    return folder


def opened(browser: Browser, path: Path, **settings: object) -> tuple[Page, list[str]]:
    """The page, and all it said and asked for beyond its own file."""
    page = browser.new_context(**settings).new_page()  # type: ignore[arg-type]
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url))
    page.goto(path.as_uri())
    return page, [line for line in heard if line != path.as_uri() and line != "data:,"]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_is_quiet_and_fits(browser: Browser, reports: Path, language: str, width: int, theme: str) -> None:
    path = reports / f"{language}.html"
    page, heard = opened(browser, path, viewport={"width": width, "height": 900}, color_scheme=theme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert heard == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate(CONTRAST) == []
    # Checks that find nothing must be able to find something.
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<p class=faint>x</p>')")
    page.add_style_tag(content=".faint{color:#888;background:#999;width:3000px;max-width:none}")
    assert [found[:7] for found in page.evaluate(CONTRAST)] == ["P.faint"]
    assert "P.faint" in page.evaluate(OVERFLOWING)


def test_page_works_without_scripts(browser: Browser, reports: Path) -> None:
    page, heard = opened(browser, reports / "en.html", java_script_enabled=False)
    assert heard == []
    control = page.locator("details.control").first
    assert not control.locator(".evidence").is_visible()
    control.locator("summary").click()
    assert control.locator(".evidence").is_visible()


def test_keyboard_reaches_the_controls(browser: Browser, reports: Path) -> None:
    page, _ = opened(browser, reports / "en.html", viewport={"width": 1440, "height": 900})
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("details.control summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.control").first.get_attribute("open") is not None


def test_chinese_is_drawn_with_a_font_that_has_it(browser: Browser, reports: Path) -> None:
    """A missing glyph is drawn as the same box for every character."""
    page, _ = opened(browser, reports / "zh.html")
    drawn = page.evaluate(
        """() => [...'结论通过'].map(character => {
          const canvas = document.createElement('canvas'), context = canvas.getContext('2d');
          context.font = '32px ' + getComputedStyle(document.body).fontFamily;
          context.fillText(character, 4, 40);
          return canvas.toDataURL();
        })"""
    )
    assert len(set(drawn)) == 4
    assert page.locator("h2#verdict-h").inner_text() == "open-private 目前不应上线。"


def test_page_prints_with_its_evidence(browser: Browser, reports: Path) -> None:
    page, _ = opened(browser, reports / "en.html")
    pdf = page.pdf(format="A4")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.remove())")
    assert pdf.startswith(b"%PDF") and len(pdf) > 1.2 * len(page.pdf(format="A4"))
