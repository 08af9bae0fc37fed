"""SARIF: valid by the official schema, at the right lines, the same over runs, and nothing in it is markup."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from sarif_kit.validate import validation_errors

from governance.conclude import gate_run
from governance.errors import RecordError
from governance.measure import Slice
from governance.policy import Policy, Status, Terms, Verdict, judge, load_policy
from governance.policy.places import Place, Places, controls_in
from governance.record import RunRecord
from reports import render, sarif
from tests.judged import HOSTILE, TODAY, control, judgements, outcome, policy, save_run, view, waiver
from tests.sample_record import POLICY
from tests.sample_record import record as sample
from tests.test_policy import record as small

Judged = tuple[RunRecord, Verdict, Policy]
PLACES = Places(
    controls={"c0": Place("a folder/p%.yaml", 3), "c1": Place("评论.yaml", 1)}, waivers={"w0": Place("w.yaml", 7)}
)


def log(judged: Judged, places: Places = PLACES, language: str = "en") -> dict[str, Any]:
    found = json.loads(sarif.render(view(*judged, language), places))
    assert validation_errors(found) == []
    return found


def results(judged: Judged, places: Places = PLACES) -> list[dict[str, Any]]:
    return log(judged, places)["runs"][0]["results"]


@given(judgements())
@settings(deadline=None)
def test_valid_and_one_result_per_finding_that_is_not_met(judged: Judged) -> None:
    made, verdict, rules = judged
    (run,) = log(judged)["runs"]
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(ids) == len(set(ids))
    assert {one.id for one in rules.controls} <= set(ids)
    unmet = [one for one in verdict.of(made.candidate).findings if one.status is not Status.PASS]
    bad = [use for use in verdict.waivers if not use.counts]
    assert len(run["results"]) == len(unmet) + len(bad)
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert (result["kind"] == "fail") is (result["level"] != "none")  # the standard: only what fails has a level
    prints = [result["partialFingerprints"]["steelyardFinding/v1"] for result in run["results"]]
    assert len(prints) == len(set(prints))
    suppressed = [result for result in run["results"] if result["suppressions"]]
    assert len(suppressed) == sum(one.waiver is not None for one in unmet)
    # Read as code scanning does: an error that nothing suppresses, or something open that blocks, closes the gate.
    closed = [
        result
        for result in run["results"]
        if (result["level"] == "error" and not result["suppressions"])
        or (result["kind"] == "open" and result["properties"]["blocks"])
    ]
    # "Nothing decides" is no result of any rule: the run's own properties say it.
    nothing = view(*judged).conclusion == "nothing"
    assert bool(closed or nothing) is (verdict.exit_code != 0)
    assert run["invocations"][0]["exitCode"] == verdict.exit_code


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_sample_is_valid_and_says_what_the_summary_says(language: str) -> None:
    judged = sample(), judge(sample(), POLICY), POLICY
    (run,) = log(judged, language=language)["runs"]
    by_rule = {result["ruleId"]: result for result in run["results"]}
    assert by_rule["quality.no-loss"]["level"] == "error"
    assert by_rule["quality.auc"]["kind"] == "open"
    assert by_rule["privacy.names"]["level"] == "warning"
    assert run["language"] == language
    rule = run["tool"]["driver"]["rules"][by_rule["quality.no-loss"]["ruleIndex"]]
    assert {"en": "wrong queue", "zh": "错误的队列"}[language] in rule["help"]["text"]


def test_a_waived_finding_is_suppressed_from_outside_with_who_and_why() -> None:
    made, rules = small(outcome("a", "fail")), policy(control("c0", "a"))
    verdict = judge(made, rules, waivers=[waiver("w0", "c0")], today=TODAY)
    (result,) = results((made, verdict, rules))
    assert (result["kind"], result["level"]) == ("fail", "error")  # the finding keeps its status
    (suppression,) = result["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    for part in ("w0", "Ann", "Bo", "2026-11-10", "a gap that is being mended"):
        assert part in suppression["justification"]


def test_an_expired_waiver_is_an_error_at_its_own_line() -> None:
    made, rules = small(outcome("a", "pass")), policy(control("c0", "a"))
    verdict = judge(made, rules, waivers=[waiver("w0", "c0", expires="2026-10-31")], today=TODAY)
    (result,) = results((made, verdict, rules))
    assert (result["ruleId"], result["level"]) == ("waiver.expired", "error")
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "w.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 7},
    }


def test_paths_are_relative_and_encoded() -> None:
    made = small(outcome("a", "fail"), outcome("b", "fail"))
    rules = policy(control("c0", "a"), control("c1", "b"), control("c2", "a"))
    found = {one["ruleId"]: one["locations"][0] for one in results((made, judge(made, rules), rules))}
    uris = [found[name]["physicalLocation"]["artifactLocation"]["uri"] for name in ("c0", "c1")]
    assert uris == ["a%20folder/p%25.yaml", "%E8%AF%84%E8%AE%BA.yaml"]
    assert "physicalLocation" not in found["c2"]  # nothing is known: no line is made up


@pytest.mark.parametrize("file", ["/etc/passwd", "../x.yaml", "a/../../x"])
def test_a_place_outside_the_repository_is_refused(file: str) -> None:
    with pytest.raises(ValueError, match="expected a path below the repository"):
        Places(controls={"c": Place(file, 1)})


def test_places_of_a_damaged_judgement_are_refused(tmp_path: Path) -> None:
    out = gate_run(save_run(tmp_path / "run", outcome("a", "pass")), policy="launch", language="en").out
    assert Terms.read(out).places.controls["quality.auc"].file == "configs/policies/launch.yaml"
    (out / "places.json").write_text('{"controls": {"c": ["/etc/passwd", 1]}}')
    with pytest.raises(RecordError, match="not the terms of a judgement"):
        Terms.read(out)


def test_fingerprints_follow_what_is_weighed_and_not_its_figures_or_lines() -> None:
    rules = policy(control("c0", "a", slice="any"))

    def prints(*outcomes: Any, places: Places = PLACES) -> dict[str, dict[str, str]]:
        made = small(*outcomes).model_copy(update={"run": str(len(outcomes)), "created": "2027-01-01T00:00:00+00:00"})
        found = results((made, judge(made, rules), rules), places)
        return {one["properties"]["slice"]: one["partialFingerprints"] for one in found}

    one, two = Slice.of(g="1"), Slice.of(g="2")
    before = prints(outcome("a", "fail", where=one), outcome("a", "fail", where=two))
    after = prints(outcome("a", "unproven", where=two), places=Places(controls={"c0": Place("moved.yaml", 99)}))
    assert before["g=1"] != before["g=2"]
    assert after["g=2"] == before["g=2"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_in_a_message_is_a_link_or_a_placeholder(language: str) -> None:
    made = small(outcome("a", "fail", where=Slice.of(g=HOSTILE))).model_copy(update={"audit": HOSTILE})
    rules = policy(control("c0", "a", slice="any", says={"en": HOSTILE}, why={"en": HOSTILE}))
    verdict = judge(made, rules, waivers=[waiver("w0", "c0", owner=HOSTILE, reason=HOSTILE)], today=TODAY)
    found = log((made, verdict, rules), language=language)
    texts = [text for run in found["runs"] for text in _texts(run["results"]) + _texts(run["tool"])]
    assert any("javascript" in text for text in texts)
    for text in texts:
        assert "](" not in text
        assert not re.search(r"(?<!{){\d+}(?!})", text)
        assert not {"\u202e", "\x00"} & set(text)
    markdown = [rule["help"]["markdown"] for rule in found["runs"][0]["tool"]["driver"]["rules"]]
    assert all("<script" not in text for text in markdown)


def _texts(value: Any) -> list[str]:
    """Every text or markdown of messages, at any depth."""
    if isinstance(value, dict):
        own = [
            inner
            for key, inner in value.items()
            if key in {"text", "markdown", "justification"} and isinstance(inner, str)
        ]
        return own + [text for inner in value.values() for text in _texts(inner)]
    return [text for inner in value for text in _texts(inner)] if isinstance(value, list) else []


PARENT = """\
name: parent
version: "1"
title: {en: p}
controls:
  - id: one
    says: {en: s}
    metric: a
    at_least: 0.1

  - {id: two, says: {en: s}, metric: a, at_least: 0.1}
"""
CHILD = """\
# a comment
extends: [parent.yaml]
name: child
version: "1"
title: {en: c}
controls:
  -
    metric: a
    says: {en: other}
    id: two
    at_least: 0.2
  - id: three
    says: {en: s}
    metric: a
    at_least: 0.1
"""


def test_lines_are_those_of_the_file_that_a_control_was_taken_from(tmp_path: Path) -> None:
    folder = tmp_path / "repository" / "policies"
    folder.mkdir(parents=True)
    (folder / "parent.yaml").write_text(PARENT)
    (folder / "child.yaml").write_text(CHILD)
    (folder / "waivers.yaml").write_text(
        "waivers:\n- id: w\n  control: one\n  covers: fail\n  owner: Ann\n  approver: Bo\n  reason: being mended\n"
        "  granted: 2026-01-01\n  expires: 2026-12-31\n"
    )
    terms = Terms.load("child.yaml", "waivers.yaml", base=folder)
    assert terms.places == Places(
        controls={"one": Place("parent.yaml", 5), "two": Place("child.yaml", 8), "three": Place("child.yaml", 12)},
        waivers={"w": Place("waivers.yaml", 2)},
    )
    (tmp_path / "repository" / ".git").mkdir()
    inside = Terms.load("child.yaml", "waivers.yaml", base=folder).places
    assert inside.controls["one"] == Place("policies/parent.yaml", 5)
    assert inside.waivers["w"] == Place("policies/waivers.yaml", 2)
    elsewhere = controls_in(folder / "child.yaml", base=tmp_path / "other")
    assert elsewhere["three"] == Place("policies/child.yaml", 12)


def test_every_control_that_ships_has_its_line() -> None:
    found = controls_in("launch")
    assert found.keys() >= {one.id for one in load_policy("launch").controls}
    lines = (Path(__file__).parent.parent / "configs/policies/launch.yaml").read_text("utf-8").splitlines()
    assert all(lines[place.line - 1].strip() == f"- id: {name}" for name, place in found.items())


def test_lines_go_along_with_a_run_and_change_no_policy(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", outcome("quality.auc", "fail"))
    first = gate_run(run, policy="launch", language="en")
    again = gate_run(run, language="en")  # by the policy kept beside the judgement, not by its file
    assert again.out == first.out
    (result,) = [
        one
        for one in json.loads((again.out / "results.sarif").read_bytes())["runs"][0]["results"]
        if one["ruleId"] == "quality.auc"
    ]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "configs/policies/launch.yaml"
    assert first.policy == load_policy("launch")
    for path in first.out.glob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_pure() -> None:
    judged = sample(), judge(sample(), POLICY), POLICY
    assert render(*judged, places=PLACES)["results.sarif"] == render(*judged, places=PLACES)["results.sarif"]
