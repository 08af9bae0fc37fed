"""`steelyard report --index`: every run is there, or named with the reason why not; no record's text is markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result

from governance.claims import PrivacyClaim
from governance.cli import main
from governance.conclude import conclude
from governance.evidence.attest import save_attested
from governance.files import write_atomic
from governance.indexcommand import read_runs
from governance.measure import NotMeasured, Outcome
from governance.policy import Policy, Terms, Waiver
from governance.record import RunRecord, save_record
from governance.trail import Trail
from reports import index
from reports.text import Texts
from reports.trends import DAY, Moment, trend
from tests.judged import TODAY, control, outcome, policy, waiver
from tests.sample_record import record as sample
from tests.test_browser import CONTRAST, OVERFLOWING, opened
from tests.test_html import HOSTILE, Page
from tests.test_policy import record

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RULES = policy(control("c", "quality.auc"), control("d", "quality.gone"))
START = date(2026, 1, 1)


def made(
    runs: Path, audit: str, name: str, *outcomes: Outcome, day: int = 0, rules: Policy = RULES,
    waivers: tuple[Waiver, ...] = (), candidate: str = "m", **changes: Any,
) -> RunRecord:  # fmt: skip
    """A judged run in a folder of runs."""
    created = f"{START + timedelta(day)}T08:00:00+00:00"
    fields = {"audit": audit, "run": name, "created": created, "candidate": candidate, **changes}
    one = record(*outcomes, models=("m", "n")).model_copy(update=fields)
    judged(runs / audit / name, one, Terms(policy=rules, waivers=waivers, today=TODAY if waivers else None))
    return one


def judged(folder: Path, one: RunRecord, terms: Terms) -> None:
    save_record(one, folder)
    for name, content in terms.files().items():
        write_atomic(folder / "latest" / name, content)
    write_atomic(folder / "latest" / "verdict.json", terms.judge(one).model_dump_json().encode())
    write_atomic(folder / "latest" / "report.html", b"<!doctype html>")


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", "--index", *map(str, arguments)])


def shown(runs: Path, *, language: str = "en", today: date = TODAY) -> tuple[str, Page]:
    texts = Texts(language)
    text = index.render(read_runs(runs, texts, runs), texts, today).decode()
    return text, Page(text)


def auc(kind: str, model: str = "m") -> Outcome:
    return outcome("quality.auc", kind, model=model)


def test_every_run_stands_there_with_its_verdict_and_a_link_that_leads_to_it(tmp_path: Path) -> None:
    for day, kind in enumerate(("pass", "unproven", "fail")):
        made(
            tmp_path, "loan", f"r{day}", auc(kind), auc("pass", "n"), day=day, rules=policy(control("c", "quality.auc"))
        )
    made(tmp_path, "评论 #1?", "a b", auc("pass"), rules=policy(control("c", "quality.auc")))
    done = command(tmp_path, "--out", tmp_path / "pages" / "all.html")
    assert done.exit_code == 0, done.output
    page = tmp_path / "pages" / "all.html"
    assert done.output.strip() == str(page)
    parsed = Page(page.read_text("utf-8"))
    links = [href for href in parsed.values("href") if href.endswith("report.html")]
    assert len(set(links)) == 4
    assert all((page.parent / unquote(link)).is_file() for link in links)
    text = re.sub(r"\s+", " ", parsed.text)
    assert "Latest run passes1" in text and "Latest run fails1" in text and "Latest run is unproven0" in text
    table = text[text.index("Runs of loan, the latest first") :]
    assert table.index("January 3, 2026") < table.index("January 2, 2026") < table.index("January 1, 2026")
    assert "0.700" in table and "0.600 to 0.800" in table


def test_trends_have_a_band_for_each_interval_and_break_where_a_figure_is_missing(tmp_path: Path) -> None:
    for day, kind in enumerate(("pass", "absent", "fail", "fail")):
        made(tmp_path, "loan", f"r{day}", auc(kind), day=day * 30)
    text, parsed = shown(tmp_path)
    assert text.count('<figure class="panel">') == 1  # the other model has no figures
    assert "Chart over time with intervals: m, AUC" in parsed.text
    assert "too few rows" in parsed.text
    alone, _ = shown_alone(tmp_path / "alone")
    assert "<figure" not in alone


def shown_alone(folder: Path) -> tuple[str, Page]:
    made(folder, "loan", "r", auc("pass"))
    return shown(folder)


def test_a_line_breaks_where_a_run_has_no_figure_and_open_ends_reach_the_edge() -> None:
    def drawn(*values: float | None) -> str:
        moments = [Moment(at * DAY, v, None if v is None else v - 0.1, None) for at, v in enumerate(values)]
        return trend(moments, mark=0, name="t", title="T", axis="score")

    def pieces(svg: str) -> int:
        """Of the line, which is the only path that is two wide and has no fill."""
        [line] = [path for path in re.findall(r"<path[^>]*>", svg) if 'stroke-width="2"' in path and "fill" not in path]
        return len(re.findall("M", line))

    whole, broken = drawn(0.4, 0.5, 0.6, 0.7), drawn(0.4, 0.5, None, 0.7, 0.6)
    assert (pieces(whole), pieces(broken)) == (1, 2)
    assert "NaN" not in whole + broken
    assert "1970" not in whole and "01-0" in whole  # so few days are told apart by the clock
    assert "1970-01" in trend([Moment(0, 0.5), Moment(99 * DAY, 0.6)], mark=0, name="t", title="T", axis="score")


def test_waivers_that_expire_are_told_and_others_are_not(tmp_path: Path) -> None:
    ends = {"over": -3, "today": 0, "near": index.SOON, "distant": index.SOON + 1}
    given = tuple(waiver(name, "d", covers="unproven", expires=TODAY + timedelta(n)) for name, n in ends.items())
    old = waiver("older-run", "d", covers="unproven")
    made(tmp_path, "loan", "r0", auc("pass"), waivers=(old,))
    made(tmp_path, "loan", "r1", auc("pass"), waivers=given, day=9)
    _, parsed = shown(tmp_path)
    chapter = parsed.text[parsed.text.index("Of each audit's latest run") :]
    assert "over since 3 days" in chapter and "last day is today" in chapter and "30 days left" in chapter
    assert "distant" not in re.findall(r"\w+", chapter) and "older-run" not in chapter
    assert chapter.index("over since") < chapter.index("last day is today") < chapter.index("30 days left")
    _, later = shown(tmp_path, today=TODAY + timedelta(100))
    assert later.text.count("over since") == 4


def claim(epsilon: float, **changes: Any) -> PrivacyClaim:
    found = next(entry.claim for entry in sample().models if entry.claim is not None)
    return replace(found, epsilon=epsilon, **changes)


def private(one: RunRecord, digest: str, promise: PrivacyClaim) -> tuple[Any, ...]:
    return (one.models[0].model_copy(update={"claim": promise, "digest": digest}), *one.models[1:])


def test_the_budget_counts_a_model_once_and_what_left_no_record(tmp_path: Path) -> None:
    plain = record(models=("m", "n"))
    one, two = claim(2.0, ledger_epsilon=2.0, ledger_runs=1), claim(3.0, ledger_epsilon=4.25, ledger_runs=2)
    made(tmp_path, "loan", "r0", auc("pass"), models=private(plain, "sha256:a", one))
    made(tmp_path, "loan", "r1", auc("pass"), models=private(plain, "sha256:a", one), day=1)
    made(tmp_path, "loan", "r2", auc("pass"), models=private(plain, "sha256:b", two), day=2)
    trail = Trail(tmp_path)
    for run in ("loan/r0", "loan/lost", "loan/lost"):
        trail.note("spend", {"run": run, "epsilon": {"m": {"epsilon": 6.5, "delta": 1e-5, "unit": "record"}}})
    trail.note("spend", {"run": "loan/odd", "epsilon": {"m": {"epsilon": "much", "delta": None}, "n": 3}})
    _, parsed = shown(tmp_path)
    text = re.sub(r"\s+", " ", parsed.text[parsed.text.index("What was spent on each data set") :])
    assert "2m" in text and "3.00" in text and "4.25" in text and "2 runs on these rows" in text
    assert text.count("loan/lost") == 1 and "6.50" in text and "loan/r0" not in text and "loan/odd" not in text
    assert "m: 3.00" in parsed.text


def test_a_trail_that_was_changed_or_lacks_a_line_is_told(tmp_path: Path) -> None:
    Trail(tmp_path).note("gate", {})
    made(tmp_path, "loan", "r0", auc("pass"))
    assert "1 records or verdicts here have no line in the audit trail" in shown(tmp_path)[1].text
    (tmp_path / "trail.jsonl").write_text('{"previous": "0"}\n', "utf-8")
    _, parsed = shown(tmp_path)
    assert "The audit trail could not be read: trail.jsonl: the chain breaks at line 1" in parsed.text
    assert str(tmp_path) not in parsed.text


def test_damaged_and_foreign_folders_are_named_with_the_reason(tmp_path: Path) -> None:
    good = made(tmp_path, "loan", "good", auc("pass"))
    made(tmp_path, "loan", "torn", auc("pass"))
    (tmp_path / "loan" / "torn" / "record.json").write_bytes(b'{"schema_version": 1, "au')
    made(tmp_path, "loan", "deep", auc("pass"))
    (tmp_path / "loan" / "deep" / "record.json").write_text("[" * 200_000, "utf-8")
    made(tmp_path, "loan", "nobody", auc("pass"))
    lost = good.model_copy(update={"candidate": "ghost"})
    (tmp_path / "loan" / "nobody" / "record.json").write_text(lost.model_dump_json(), "utf-8")
    made(tmp_path, "loan", "swapped", auc("pass"))
    other = good.model_copy(update={"title": "another"})
    (tmp_path / "loan" / "swapped" / "record.json").write_text(other.model_dump_json(), "utf-8")
    made(tmp_path, "loan", "away", auc("pass"), files={"../good/record.json": "sha256:0"})
    save_attested(record(auc("pass")), tmp_path / "loan" / "tampered", None)
    told = conclude(record(auc("pass")), Terms(policy=RULES), tmp_path / "loan" / "tampered").out / "verdict.json"
    told.write_bytes(told.read_bytes() + b" ")
    (tmp_path / "photos" / "2026").mkdir(parents=True)
    (tmp_path / "models" / "x").mkdir(parents=True)
    (tmp_path / "models" / "x" / "training.json").write_text("{}", "utf-8")
    outside = tmp_path / "loan" / "led"
    save_record(good.model_copy(update={"run": "led"}), outside)
    (outside / "latest").symlink_to(tmp_path / "loan" / "good" / "latest")
    (tmp_path / ".hidden" / "x").mkdir(parents=True)
    text, parsed = shown(tmp_path)
    rows = dict(re.findall(r'<tr><th scope="row">([\w/]+)</th><td>([^<]*)</td></tr>', text))
    expected = {
        "loan/torn": "not JSON that Steelyard wrote", "loan/deep": "not JSON that Steelyard wrote",
        "loan/nobody": "the candidate is none of its models", "loan/swapped": "reached on another record",
        "loan/away": "names a file outside its own folder", "loan/tampered": "not as it was attested",
        "photos/2026": "no record.json here", "models/x": "a trained model", "loan/led": "leads outside of the run",
    }  # fmt: skip
    assert rows.keys() == expected.keys()
    assert {place: part for place, part in expected.items() if part not in rows[place]} == {}
    assert str(tmp_path) not in text
    assert "Made on 2026-11-01 from 1 run records" in parsed.text


def test_the_option_asks_for_a_folder_and_a_date(tmp_path: Path) -> None:
    made(tmp_path, "loan", "r0", auc("pass"))
    assert command(tmp_path).output.strip() == str(tmp_path / "index.html")
    cases = [
        ([tmp_path / "nowhere"], "expected a folder of runs"),
        ([tmp_path, "--today", "soon"], "--today: expected a date"),
        ([tmp_path, "--out", tmp_path / "loan" / "r0" / "i.html"], "lies inside a run"),
        ([tmp_path, "--out", tmp_path / "loan"], "expected a file to write, found a folder"),
        ([tmp_path, tmp_path / "loan" / "r0"], "expected RUN, or --index RUNS"),
    ]
    for arguments, message in cases:
        done = command(*arguments)
        assert done.exit_code == 2, arguments
        assert message in done.output
    assert CliRunner().invoke(main, ["report", str(tmp_path / "loan" / "r0"), "--today", "2026-01-01"]).exit_code == 2
    assert CliRunner().invoke(main, ["report"]).exit_code == 2


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    for language, words in (("en", "No run can be read here."), ("zh", "此处没有可读取的运行。")):
        assert words in shown(tmp_path, language=language)[1].text


@pytest.mark.parametrize("text", [*HOSTILE, pytest.param("x" * 1_000_000, id="long", marks=pytest.mark.slow)])
def test_hostile_strings_stay_text(text: str, tmp_path: Path) -> None:
    plain = record(models=("m", "n"))
    models = (plain.models[0].model_copy(update={"name": text, "claim": claim(2.0), "title": text}), plain.models[1])
    data = plain.data.model_copy(update={"name": text, "source": text})
    figures = (auc("pass", text), NotMeasured(metric="quality.f1", model=text, reason=text))
    given = waiver("w", "d", covers="unproven", reason=(text + " " * 9)[:2000].ljust(10, "."), owner=text[:200])
    for number in range(3):
        one = plain.model_copy(
            update={"audit": text, "title": text, "created": text if number else "2026-01-01", "models": models,
                    "candidate": text, "data": data, "outcomes": figures, "run": str(number)}
        )  # fmt: skip
        judged(tmp_path / "a" / f"r{number}", one, Terms(policy=RULES, waivers=(given,), today=TODAY))
    made(tmp_path, "b", "plain", auc("pass"))
    (tmp_path / "a" / re.sub(r"[/\0]", "-", text[:60])).mkdir()
    Trail(tmp_path).note("spend", {"run": text, "epsilon": {text: {"epsilon": 6.5, "delta": 1e-5, "unit": text}}})
    shown_text, parsed = shown(tmp_path)
    allowed = {"html", "head", "meta", "title", "link", "style", "body", "svg", "symbol", "circle", "path", "use", "a"}
    allowed |= {"header", "p", "strong", "h1", "h2", "h3", "div", "nav", "ol", "li", "main", "section", "table", "b"}
    allowed |= {"caption", "thead", "tbody", "tr", "th", "td", "span", "small", "details", "summary", "footer", "bdi"}
    allowed |= {"figure", "figcaption", "g", "text", "rect", "line", "br", "defs", "clippath"}
    assert set(parsed.tags) <= allowed
    assert parsed.tags.count("style") == 1
    assert not any(name.startswith("on") for _, name, _ in parsed.attributes)
    assert not set("\u202a\u202e\u2066") & set(shown_text)
    assert all(re.fullmatch(r"#[\w-]+|data:,|[\w./%~-]+", href) for href in parsed.values("href"))
    assert len(shown_text) < 200_000


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    for day in range(3):
        made(tmp_path, "loan", f"r{day}", auc("pass"), day=day)
    _, parsed = shown(tmp_path)
    assert not {"script", "img", "iframe", "object", "form", "base"} & set(parsed.tags)
    assert parsed.values("src") == []
    assert len(parsed.values("id")) == len(set(parsed.values("id")))
    assert {href[1:] for href in parsed.values("href") if href.startswith("#")} <= set(parsed.values("id"))
    [rule] = [value for value in parsed.values("content") if "default-src" in value]
    assert rule.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;") and "script" not in rule


def shop(runs: Path) -> Path:
    """Twelve runs of a real audit's shape, and one of another."""
    from tests.sample_record import POLICY
    from tests.test_comparecommand import moved

    base = sample().model_copy(update={"files": {}})
    for number in range(12):
        outcomes = tuple(
            moved(one, f"quality.{metric}", model, 0.004 * (number % 5) * sign)
            for one in base.outcomes
            for metric, model, sign in [("balanced_accuracy", one.model, 1 if one.model == "open-private" else -1)]
        )
        created = f"{START + timedelta(25 * number)}T03:00:00+00:00"
        one = base.model_copy(update={"run": f"r{number:02}", "created": created, "outcomes": outcomes})
        given = (waiver("gap-until-spring", "quality.no-loss", expires=TODAY + timedelta(12)),)
        judged(runs / one.audit / one.run, one, Terms(policy=POLICY, waivers=given, today=TODAY))
    made(runs, "search", "r0", auc("pass"), rules=policy(control("c", "quality.auc")))
    (runs / "search" / "photos").mkdir()
    return runs


@pytest.mark.slow
def test_the_page_reads_well_narrow_and_wide(browser: Browser, tmp_path: Path) -> None:
    runs = shop(tmp_path / "runs")
    for language in ("en", "zh"):
        path = runs / f"{language}.html"
        path.write_text(shown(runs, language=language)[0], "utf-8")
        for width, theme in ((390, "light"), (1440, "dark")):
            page, heard = opened(browser, path, viewport={"width": width, "height": 900}, color_scheme=theme)
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert heard == []
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(OVERFLOWING) == []
            assert page.evaluate(CONTRAST) == []
            page.context.close()


@pytest.mark.slow
def test_a_hundred_runs_make_a_page_of_less_than_two_megabytes(tmp_path: Path) -> None:
    for audit in range(10):
        for day in range(10):
            made(tmp_path, f"audit-{audit}", f"r{day}", auc("pass"), auc("fail", "n"), day=day)
    text, _ = shown(tmp_path)
    assert text.count("report.html") == 110
    assert len(text.encode()) < 2_000_000
