"""What a CI system reads: JUnit XML and a summary in Markdown.

JUnit has two ways to be red, and a verdict has two ways not to pass, so each keeps its own:
a control that fails is a `<failure>`, one that is unproven is an `<error type="unproven">`. The
file is red exactly when the gate's exit code is not 0: findings on reference models, warnings and
what is waived are `<skipped>` with their status in the message; a waiver that does not count is a failing case.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from governance.measure import EVERYONE
from governance.policy import Status
from reports import chapter_changes, waivers
from reports.blocks import Cell, Table
from reports.findings import ControlView, Evidence, aside
from reports.markdown import environment, fill
from reports.tables import comparison
from reports.text import clean
from reports.view import ModelView, View


def junit(view: View) -> bytes:
    """JUnit XML: a suite per model with a case per control and slice, and one with a case per waiver."""
    from junitparser import JUnitXml

    xml = JUnitXml(name=f"steelyard {clean(view.record.audit, 80)}")
    for model in view.charted:
        xml.append(_model_suite(view, model))  # `add_testsuite` would merge two models whose shown names are equal
    if view.verdict.waivers:
        xml.append(_waiver_suite(view))
    xml.update_statistics()
    return _bytes(xml)


def _model_suite(view: View, model: ModelView) -> object:
    from junitparser import Error

    suite = _suite(view, clean(model.name, 80))
    suite.add_property("status", model.status.value)
    seen: Counter[str] = Counter()
    cases = [_case(view, model, control, item, seen) for control in view.controls for item in control.of(model.name)]
    if model.candidate and view.conclusion == "nothing":  # else nothing here would say why the gate is closed
        case = _new_case(view, "verdict", model.name)
        case.result = [Error(view.texts("verdict.sentence.nothing"), "unproven")]
        cases.append(case)
    suite.add_testcases(cases)  # at once: one by one, each counts all those before it
    return suite


def _waiver_suite(view: View) -> object:
    from junitparser import Failure

    suite, cases = _suite(view, "waivers"), []
    for use in view.verdict.waivers:
        case = _new_case(view, f"waiver.{use.waiver.id}", "waivers")
        if not use.counts:
            case.result = [Failure(waivers.bad(view.texts, use), use.state.value)]
        cases.append(case)
    suite.add_testcases(cases)
    return suite


def _suite(view: View, name: str) -> Any:
    from junitparser import TestSuite

    suite = TestSuite(name)
    suite.timestamp = clean(view.record.created, 40)
    suite.add_property("policy", f"{clean(view.policy.name, 80)} {clean(view.policy.version, 40)}")
    suite.add_property("record", view.record.digest())
    return suite


def _new_case(view: View, name: str, group: str) -> Any:
    from junitparser import TestCase

    return TestCase(name, classname=f"{clean(view.record.audit, 80)}.{clean(group, 80)}", time=0.0)


def _bytes(xml: object) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    xml.write(buffer, pretty=True)  # type: ignore[attr-defined]
    return buffer.getvalue()


def _case(view: View, model: ModelView, control: ControlView, item: Evidence, seen: Counter[str]) -> object:
    from junitparser import Error, Failure, Skipped

    name = control.control.id
    if item.finding.slice != EVERYONE.label():
        name = f"{name} [{clean(item.where, 160)}]"
    seen[name] += 1
    case = _new_case(view, name if seen[name] == 1 else f"{name} #{seen[name]}", model.name)
    status, detail = item.finding.status, detail_of(view, control, item)
    if status is Status.PASS:
        case.system_out = detail
        return case
    said = view.texts(f"status.{status.value}")
    if item.waived:
        case.result = [Skipped(view.texts("junit.waived", status=said, waiver=item.waived, detail=detail))]
    elif not model.candidate:
        case.result = [Skipped(view.texts("junit.reference", status=said, detail=detail))]
    elif not item.finding.blocks:
        kind = "junit.shown" if control.blocks else "junit.warning"
        case.result = [Skipped(view.texts(kind, status=said, detail=detail))]
    elif status is Status.FAIL:
        case.result = [Failure(detail, "fail")]
    else:
        case.result = [Error(detail, "unproven")]
    return case


def detail_of(view: View, control: ControlView, item: Evidence) -> str:
    """What was demanded and found, on one line."""
    line = view.texts(
        "verdict.line", what=control.metric.title, figure=item.full, bound=control.bound, reason=item.reason
    )
    return f"{clean(control.says)} {line}"


def summary(view: View) -> bytes:
    """Markdown for a pull request or a CI step: verdict, all models, controls not met, waivers."""
    texts, candidate = view.texts, view.record.candidate
    names = ("status", "control", "value", "bound", "reason")
    rows = [
        [
            Cell(marked(view, item.finding.status), small=item.waived),
            Cell(control.says, small=aside(view.texts, control, item)),
            Cell(item.figure, small=item.interval),
            Cell(control.bound),
            Cell(item.reason),
        ]
        for control in view.controls
        for item in control.of(candidate)
        if item.finding.status is not Status.PASS
    ]
    head = [Cell(texts(f"table.{name}")) for name in names]
    page = (
        environment()
        .get_template("summary.md")
        .render(
            t=texts,
            f=partial(fill, texts),
            v=view,
            status=marked(view, view.verdict.status),
            comparison=comparison(view),
            unmet=Table(texts("summary.controls"), head, rows) if rows else None,
            changed=chapter_changes.changed_table(view),
            statements=chapter_changes.sentences(view),
            bad=[waivers.bad(texts, use) for use in view.bad_waivers],
            waivers=waivers.table(view),
        )
    )
    return page.encode()


def marked(view: View, status: Status) -> str:
    """A status with the sign that a summary puts before it."""
    mark = {Status.PASS: "✅", Status.FAIL: "❌", Status.UNPROVEN: "❔"}[status]
    return f"{mark} {view.texts(f'status.{status.value}')}"
