"""The report in a real browser: it loads nothing, complains of nothing, and fits narrow and wide screens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from governance.policy import judge
from reports import render
from tests.sample_record import POLICY, drawn

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

SERIOUS = ("serious", "critical")
EVERY: dict[str, object] = {}
COLOUR: dict[str, object] = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
"""The rule that a theme can break; it is slow, so the second theme is looked at above the chapters."""
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
    judged = drawn()
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


@pytest.mark.parametrize(
    ("language", "theme", "rules"),
    [("en", "light", EVERY), ("zh", "dark", EVERY), ("en", "dark", COLOUR), ("zh", "light", COLOUR)],
)
def test_axe_finds_nothing_serious(
    browser: Browser, reports: Path, language: str, theme: str, rules: dict[str, object]
) -> None:
    """The test alone brings axe's script; the page's own policy would refuse it."""
    from axe_playwright_python.sync_playwright import Axe

    path, size = reports / f"{language}.html", {"width": 1440, "height": 900}
    page, _ = opened(browser, path, viewport=size, color_scheme=theme, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")

    def serious(where: str = "html") -> list[str]:
        found = Axe().run(page, where, {"resultTypes": ["violations"], **rules}).response["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found if one["impact"] in SERIOUS]

    assert serious("html" if rules is EVERY else "section:not(.chapter)") == []
    bad = '<p style="color:#888;background:#999">faint words<img src="data:,"></p>'
    page.evaluate("bad => document.querySelector('main').insertAdjacentHTML('beforeend', bad)", bad)
    found = {line.partition(":")[0] for line in serious("main > p")}
    assert found == {"color-contrast", *(["image-alt"] if rules is EVERY else [])}
    page.context.close()


FOCUSABLE = """() => [...document.querySelectorAll('a[href], summary, input, [tabindex="0"]')].filter(e =>
  e.checkVisibility() && !(e.type === 'radio' && !e.checked)).length"""


def test_keyboard_alone_reaches_everything(browser: Browser, reports: Path) -> None:
    page, _ = opened(browser, reports / "en.html", viewport={"width": 1440, "height": 900})
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    places, all_of_them = 1, page.evaluate(FOCUSABLE)
    for _ in range(all_of_them + 5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        places += 1
    assert places == all_of_them
    page.locator("details.control summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.control").first.get_attribute("open") is not None
    page.locator("#fs-a").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#fs-f").is_checked()
    assert page.locator(".control.pass").first.is_hidden()
    page.context.close()


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


def test_paper_cuts_nothing(browser: Browser, reports: Path) -> None:
    """A4 within its margins: charts and tables end before the sheet does."""
    page, _ = opened(browser, reports / "en.html", viewport={"width": 718, "height": 1000})
    page.emulate_media(media="print")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    over = (
        "() => [...document.querySelectorAll('svg, table')].filter(e => e.getBoundingClientRect().right > 719).length"
    )
    assert page.evaluate(over) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    page.context.close()
