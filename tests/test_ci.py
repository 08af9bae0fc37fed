from __future__ import annotations

import io

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from governance.policy import Status, judge
from governance.record import RunRecord
from reports import render
from tests.sample_record import POLICY, golden, record


def suites(judged: RunRecord, language: str = "en") -> JUnitXml:
    data = render(judged, judge(judged, POLICY), POLICY, language=language)["junit.xml"]
    return JUnitXml.fromroot(JUnitXml.fromstring(data)._elem)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_summary_is_as_expected(language: str) -> None:
    judged = record()
    files = render(judged, judge(judged, POLICY), POLICY, language=language)
    golden(f"summary-{language}.md", files["summary.md"].decode())


def test_one_case_per_finding() -> None:
    verdict = judge(record(), POLICY)
    cases = {suite.name: [case.name for case in suite] for suite in suites(record())}
    assert {name: len(found) for name, found in cases.items()} == {m.model: len(m.findings) for m in verdict.models}
    assert all(len(found) == len(set(found)) for found in cases.values())


def test_fail_unproven_and_warning_keep_apart() -> None:
    results = {case.name: case.result for suite in suites(record()) if suite.name == "open-private" for case in suite}
    (failed,) = results["quality.no-loss"]
    assert isinstance(failed, Failure) and failed.type == "fail" and "must be at least −0.03" in failed.message
    (unproven,) = results["quality.auc"]
    assert isinstance(unproven, Error) and unproven.type == "unproven"
    (warned,) = results["privacy.names [entity: PERSON, language: zh]"]
    assert isinstance(warned, Skipped) and warned.message.startswith("fail; a warning")
    assert results["coverage"] == []


def test_red_exactly_when_the_candidate_does_not_pass() -> None:
    for keep, status in ((("coverage",), Status.PASS), (("quality.no-loss",), Status.FAIL)):
        policy = POLICY.model_copy(update={"controls": tuple(c for c in POLICY.controls if c.id in keep)})
        verdict = judge(record(), policy)
        assert verdict.status is status
        xml = JUnitXml.fromstring(render(record(), verdict, policy)["junit.xml"])
        assert bool(xml.failures or xml.errors) is (status is not Status.PASS)


def test_hostile_strings_make_well_formed_xml() -> None:
    bad = record().model_copy(update={"audit": "]]><x>\x00\uffff", "created": "\x1b"})
    data = render(bad, judge(bad, POLICY), POLICY)["junit.xml"]
    assert JUnitXml.fromfile(io.BytesIO(data)).tests == sum(len(m.findings) for m in judge(bad, POLICY).models)
