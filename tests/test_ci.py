"""JUnit, the summary and what GitHub reads: red exactly when the gate is closed, and every waiver in sight."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from junit2htmlreport.parser import Junit
from junitparser import Error, Failure, JUnitXml, Skipped
from markdown_it import MarkdownIt

from governance.cli import main
from governance.measure import Slice
from governance.policy import Policy, Status, Verdict, judge, load_policy, load_waivers
from governance.record import RunRecord
from reports import ci, render, terminal
from tests.judged import (
    HOSTILE,
    TODAY,
    control,
    judgements,
    outcome,
    policy,
    save_run,
    view,
    waiver,
    write_policy,
    write_waivers,
)
from tests.sample_record import POLICY, golden, record
from tests.test_policy import record as small

Judged = tuple[RunRecord, Verdict, Policy]


def suites(judged: RunRecord, language: str = "en") -> JUnitXml:
    data = render(judged, judge(judged, POLICY), POLICY, language=language)["junit.xml"]
    return JUnitXml.fromroot(JUnitXml.fromstring(data)._elem)


def cases(judged: Judged) -> dict[str, dict[str, list[object]]]:
    """Suite -> case -> result."""
    xml = JUnitXml.fromstring(ci.junit(view(*judged)))
    return {suite.name: {case.name: case.result for case in suite} for suite in JUnitXml.fromroot(xml._elem)}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_summary_is_as_expected(language: str) -> None:
    judged = record()
    files = render(judged, judge(judged, POLICY), POLICY, language=language)
    golden(f"summary-{language}.md", files["summary.md"].decode())


def test_one_case_per_finding() -> None:
    verdict = judge(record(), POLICY)
    named = {suite.name: [case.name for case in suite] for suite in suites(record())}
    assert {name: len(found) for name, found in named.items()} == {m.model: len(m.findings) for m in verdict.models}
    assert all(len(found) == len(set(found)) for found in named.values())


def test_fail_unproven_and_warning_keep_apart() -> None:
    results = {case.name: case.result for suite in suites(record()) if suite.name == "open-private" for case in suite}
    (failed,) = results["quality.no-loss"]
    assert isinstance(failed, Failure) and failed.type == "fail" and "must be at least −0.03" in failed.message
    (unproven,) = results["quality.auc"]
    assert isinstance(unproven, Error) and unproven.type == "unproven"
    (warned,) = results["privacy.names [entity: PERSON, language: zh]"]
    assert isinstance(warned, Skipped) and warned.message.startswith("fail; a warning")
    assert results["coverage"] == []


@given(judgements())
@settings(deadline=None)
def test_red_exactly_when_the_gate_is_closed(judged: Judged) -> None:
    made, verdict, _ = judged
    data = ci.junit(view(*judged))
    xml = JUnitXml.fromfile(io.BytesIO(data))
    assert bool(xml.failures or xml.errors) is (verdict.exit_code != 0)
    other = Junit(xmlstring=data.decode())  # another reader, which counts by itself
    assert any(suite.failed() for suite in other.suites) is (verdict.exit_code != 0)
    found = cases(judged)
    for model in verdict.models:
        extra = {"verdict"} & found[model.model].keys()
        assert len(found[model.model]) == len(model.findings) + len(extra)  # so no two cases share a name
        assert not extra or (model.model == made.candidate and verdict.status is Status.UNPROVEN)
    waived = {f"waiver.{use.waiver.id}": use.counts for use in verdict.waivers}
    assert {name: not result for name, result in found.get("waivers", {}).items()} == waived


@given(judgements())
@settings(deadline=None)
def test_waived_findings_count_neither_as_failing_nor_as_passing(judged: Judged) -> None:
    _, verdict, _ = judged
    for model in view(*judged).models:
        findings = [one for one in verdict.of(model.name).findings if one.severity == "block"]
        assert sum(model.counts.values()) == len({one.control for one in findings})
        failing = {one.control for one in findings if one.blocks and one.status is Status.FAIL}
        assert model.counts["fail"] == len(failing)  # type: ignore[index]
        waived = {one.control for one in findings if one.waiver} - {one.control for one in findings if one.blocks}
        assert model.counts["waived"] == len(waived)  # type: ignore[index]
        passing = {one.control for one in findings} - {one.control for one in findings if one.status is not Status.PASS}
        assert model.counts["pass"] == len(passing)  # type: ignore[index]


def test_a_waived_finding_is_skipped_and_says_who_answers_until_when() -> None:
    made, rules = small(outcome("a", "fail")), policy(control("c", "a"))
    given_ = [waiver("w-7", "c")]
    verdict = judge(made, rules, waivers=given_, today=TODAY)
    assert verdict.exit_code == 0
    found = cases((made, verdict, rules))
    (skipped,) = found["m"]["c"]
    assert isinstance(skipped, Skipped)
    for part in ("fail; waived by w-7", "Ann", "Bo", "2026-11-10", "must be at least 0.5"):
        assert part in skipped.message
    assert found["waivers"] == {"waiver.w-7": []}


BAD = {
    "expired": ({"granted": "2026-01-01", "expires": "2026-10-31"}, "its last day was 2026-10-31"),
    "early": ({"granted": "2026-11-02"}, "its first day is 2026-11-02"),
    "unmatched": ({"slice": "g=1"}, "no finding is left that it is for: c (slice g=1)"),
    "unsigned": ({}, "a signature by a known key"),
}


@pytest.mark.parametrize("state", BAD)
def test_a_waiver_that_does_not_count_is_a_failing_case_and_is_told_everywhere(state: str) -> None:
    changes, said = BAD[state]
    made, rules = small(outcome("a", "pass")), policy(control("c", "a"), signed_waivers=state == "unsigned")
    verdict = judge(made, rules, waivers=[waiver("w-7", "c", **changes)], today=TODAY)
    assert verdict.exit_code == 1
    (failed,) = cases((made, verdict, rules))["waivers"]["waiver.w-7"]
    assert isinstance(failed, Failure)
    assert failed.type == state
    files = render(made, verdict, rules)
    for text in (
        failed.message,
        terminal.render(made, verdict, rules, language="en"),
        files["summary.md"].decode(),
        files["report.html"].decode(),
        files["results.sarif"].decode(),
    ):
        assert "Waiver w-7 fails the gate" in text
        assert said in text
    assert said in files["card/m.md"].decode()


@pytest.mark.parametrize(
    ("kinds", "changes", "given_", "conclusion"),
    [
        (["pass"], {}, [], "pass"),
        (["fail"], {}, [], "fail"),
        (["unproven"], {}, [], "unproven"),
        (["fail"], {}, [waiver("w", "c")], "waived"),
        (["fail", "pass"], {"slice": "any"}, [waiver("w", "c")], "waived"),
        (["unproven"], {"unproven": "warn"}, [], "nothing"),
        (["unproven", "pass"], {"unproven": "warn", "slice": "any"}, [], "shown"),
        (["fail"], {"severity": "warn"}, [], "nothing"),
        (["pass"], {}, [waiver("w", "c")], "waivers"),
        (["fail"], {}, [waiver("w", "c"), waiver("v", "ghost")], "waivers"),
        (["fail"], {}, [waiver("w", "c", expires="2026-10-31")], "fail"),
    ],
)
def test_the_headline_says_why(kinds: list[str], changes: dict[str, str], given_: list, conclusion: str) -> None:
    places = [Slice(), Slice.of(g="1")]
    made = small(*(outcome("a", kind, where=where) for kind, where in zip(kinds, places, strict=False)))
    rules = policy(control("c", "a", **changes))
    verdict = judge(made, rules, waivers=given_, today=TODAY)
    told = view(made, verdict, rules)
    assert told.conclusion == conclusion
    files = render(made, verdict, rules)
    xml = JUnitXml.fromstring(files["junit.xml"])
    assert bool(xml.failures or xml.errors) is (verdict.exit_code != 0)
    page = files["report.html"].decode()
    assert told.texts(f"verdict.sentence.{conclusion}") in page
    assert told.texts(f"verdict.headline.{conclusion}", model="m") in page


def test_figures_of_two_tasks_stay_with_their_findings() -> None:
    made = small(outcome("a", "pass", task="t"), outcome("a", "fail", task="u"))
    rules = policy(control("c", "a"))
    (shown,) = view(made, judge(made, rules), rules).controls
    assert [(item.finding.status.value, item.figure) for item in shown.evidence] == [
        ("fail", "0.200"),
        ("pass", "0.700"),
    ]


def test_why_nothing_was_tested_is_told() -> None:
    number = {"n": {"value": 0.5, "says": {"en": "a number"}}}
    rules = policy(
        control("strangers", "a", models=("ghost",)),
        control("incumbent", "a", reference="incumbent"),
        control("baseline", "a.difference", reference="baseline"),
        control("parameter", "a", at_least="n"),
        control("absent", "b"),
        parameters=number,
        level=0.99,
    )
    made = small(outcome("a", "pass"))
    found = {one.control.id: one.evidence[0] for one in view(made, judge(made, rules), rules).controls}
    assert {name: item.reason for name, item in found.items()} == {
        "strangers": "The control names models that the record does not hold: ghost.",
        "incumbent": "The config names no incumbent to compare with.",
        "baseline": "The record holds no figure “a.difference” against a baseline, and no baseline was named.",
        "parameter": "Nobody has confirmed the parameter “n” of the policy.",
        "absent": "The record holds no figure “b” for this model.",
    }
    assert all(item.outcome is None for item in found.values())
    both = small(outcome("a", "pass"), outcome("a", "fail", model="n"), models=("m", "n"))
    rules = policy(control("strangers", "a", models=("ghost", "n")))
    (shown,) = view(both, judge(both, rules), rules).controls
    assert [item.figure for item in shown.evidence] == ["–", "0.200"]  # the stranger is told once, of the candidate
    strict = policy(control("level", "a"), level=0.99)
    (shown,) = view(made, judge(made, strict), strict).controls
    assert shown.evidence[0].reason == "Its interval has level 0.95; the policy asks for 0.99."


def test_models_whose_shown_names_are_equal_keep_their_own_suites() -> None:
    made = small(outcome("a", "fail", model="x y"), outcome("a", "pass", model="x  y"), models=("x y", "x  y"))
    rules = policy(control("c", "a"))
    xml = JUnitXml.fromstring(ci.junit(view(made, judge(made, rules), rules)))
    assert [(suite.name, suite.failures) for suite in JUnitXml.fromroot(xml._elem)] == [("x y", 1), ("x y", 0)]


def test_hostile_strings_make_well_formed_xml() -> None:
    bad = record().model_copy(update={"audit": "]]><x>\x00\uffff", "created": "\x1b"})
    data = render(bad, judge(bad, POLICY), POLICY)["junit.xml"]
    assert JUnitXml.fromfile(io.BytesIO(data)).tests == sum(len(m.findings) for m in judge(bad, POLICY).models)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_hostile_waivers_stay_text(language: str) -> None:
    made, rules = small(outcome("a", "fail"), outcome("b", "pass")), policy(control("c", "a"), control("d", "b"))
    hostile = {"owner": HOSTILE, "approver": f"{HOSTILE}!", "reason": HOSTILE, "ticket": HOSTILE, "control": HOSTILE}
    given_ = [
        waiver("w", **{**hostile, "control": "c"}),
        waiver("x", **hostile),
        waiver("y", **{**hostile, "model": HOSTILE}),
    ]
    verdict = judge(made, rules, waivers=given_, today=TODAY)
    files = render(made, verdict, rules, language=language)
    assert "<script" not in files["report.html"].decode()
    for name in ("summary.md", "card/m.md"):
        page = (
            MarkdownIt("commonmark", {"html": True})
            .enable("table")
            .render(files[name].decode().partition("\n---\n")[2])
        )
        assert "<script" not in page
        assert 'href="javascript' not in page
    shown = terminal.render(made, verdict, rules, language=language)
    for text in (shown, *(content.decode() for name, content in files.items() if name.endswith(("xml", "html", "md")))):
        assert not {"\u202e", "\x00", "\x1b"} & set(text)
    assert JUnitXml.fromfile(io.BytesIO(files["junit.xml"])).failures == 2


def gate(run: Path, *arguments: object):
    return CliRunner().invoke(main, ["gate", str(run), *map(str, arguments)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that fails one control and passes another, and the policy that says so."""
    write_policy(tmp_path / "policy.yaml", [control("c", "a"), control("d", "b")])
    write_waivers(tmp_path / "waivers.yaml", waiver("w", "c", model="m", granted="2020-01-01", expires="2999-12-31"))
    return save_run(tmp_path / "run", outcome("a", "fail"), outcome("b", "pass"))


def test_github_gets_the_summary_and_outputs_and_keeps_what_was_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, outputs = tmp_path / "page.md", tmp_path / "outputs"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    monkeypatch.setenv("GITHUB_OUTPUT", str(outputs))
    assert gate(run, "--policy", tmp_path / "policy.yaml").exit_code == 1
    out = (run / "latest").resolve()
    assert page.read_text("utf-8") == f"before\n{(out / 'summary.md').read_text('utf-8')}\n"
    assert gate(run, "--waivers", tmp_path / "waivers.yaml", "--json").exit_code == 0
    assert page.read_text("utf-8").count("## Steelyard") == 2
    read = github_outputs(outputs)
    assert read["status"] == "pass"
    assert read["exit-code"] == "0"
    assert Path(read["report"]).is_file()
    assert Path(read["sarif"]).is_file()
    assert Path(read["run"]) == run


def github_outputs(path: Path) -> dict[str, str]:
    """A file of outputs, read as GitHub's runner does: the last one of a name counts."""
    found, lines = {}, iter(path.read_text("utf-8").splitlines())
    for line in lines:
        name, mark = line.split("<<", 1) if "<<" in line.split("=")[0] else (line, "")
        if not mark:
            name, value = line.split("=", 1)
            found[name] = value
            continue
        value = []
        for inner in lines:
            if inner == mark:
                break
            value.append(inner)
        else:
            raise AssertionError(f"nothing ends {name}")
        found[name] = "\n".join(value)
    return found


def test_a_path_can_not_add_outputs(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "a\nstatus=pass\nend-\n"
    run.rename(odd)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    assert gate(odd, "--policy", tmp_path / "policy.yaml").exit_code == 1
    read = github_outputs(tmp_path / "outputs")
    assert read["status"] == "fail"
    assert read["run"] == str(odd)


def test_a_page_that_can_not_be_written_is_told_and_the_verdict_stands(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    done = gate(run, "--policy", tmp_path / "policy.yaml", "--json")
    assert done.exit_code == 1
    assert f"GITHUB_STEP_SUMMARY: can't append to {tmp_path}: Is a directory; the verdict stands" in done.stderr
    assert json.loads(done.stdout)["status"] == "fail"


def test_json_holds_the_waivers_the_changes_and_where_all_is(run: Path, tmp_path: Path) -> None:
    told = json.loads(gate(run, "--policy", tmp_path / "policy.yaml", "--json").stdout)
    assert (told["status"], told["exit_code"], told["waivers"], told["changes"]) == ("fail", 1, [], [])
    told = json.loads(gate(run, "--waivers", tmp_path / "waivers.yaml", "--json").stdout)
    assert (told["status"], told["exit_code"]) == ("pass", 0)
    (use,) = told["waivers"]
    assert (use["state"], use["findings"], use["waiver"]["owner"]) == ("used", 1, "Ann")
    assert [one.get("waiver") for one in told["models"][0]["findings"]] == ["w", None]
    assert (Path(told["out"]) / "results.sarif").is_file()
    assert told["run"] == str(run)


def test_the_waiver_in_the_docs_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs/ci.md").read_text("utf-8")
    (shown,) = re.findall(r"```yaml\n# waivers.yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "waivers.yaml").write_text(shown, "utf-8")
    (found,) = load_waivers(tmp_path / "waivers.yaml")
    assert found.control in {one.id for one in load_policy("launch").controls if one.severity == "block"}
