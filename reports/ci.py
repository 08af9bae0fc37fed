"""What a CI system reads: JUnit XML and a summary in Markdown.

JUnit has two ways to be red, and a verdict has two ways not to pass, so each keeps its own:
a control that fails is a `<failure>`, one that is unproven is an `<error type="unproven">`. The
file is red exactly when the gate's exit code is not 0: findings on reference models, and
warnings, are `<skipped>` with their status in the message.
"""

from __future__ import annotations

from functools import partial

from governance.policy import Status
from reports.blocks import Cell, Table
from reports.markdown import environment, fill
from reports.tables import comparison
from reports.text import clean
from reports.view import ControlView, Evidence, ModelView, View


def junit(view: View) -> bytes:
    """JUnit XML: a suite per model, a case per control and slice."""
    from junitparser import JUnitXml, TestSuite

    xml = JUnitXml(name=f"steelyard {clean(view.record.audit, 80)}")
    for model in view.charted:
        suite = TestSuite(clean(model.name, 80))
        suite.timestamp = clean(view.record.created, 40)
        suite.add_property("policy", f"{clean(view.policy.name, 80)} {clean(view.policy.version, 40)}")
        suite.add_property("record", view.record.digest())
        suite.add_property("status", model.status.value)
        for control in view.controls:
            for item in control.of(model.name):
                suite.add_testcase(_case(view, model, control, item))
        xml.add_testsuite(suite)
    xml.update_statistics()
    return _bytes(xml)


def _bytes(xml: object) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    xml.write(buffer, pretty=True)  # type: ignore[attr-defined]
    return buffer.getvalue()


def _case(view: View, model: ModelView, control: ControlView, item: Evidence) -> object:
    from junitparser import Error, Failure, Skipped, TestCase

    name = (
        control.control.id if item.finding.slice == "everyone" else f"{control.control.id} [{clean(item.where, 160)}]"
    )
    case = TestCase(name, classname=f"{clean(view.record.audit, 80)}.{clean(model.name, 80)}", time=0.0)
    status = item.finding.status
    detail = detail_of(view, control, item)
    if status is Status.PASS:
        case.system_out = detail
        return case
    said = view.texts(f"status.{status.value}")
    if not model.candidate:
        case.result = [Skipped(view.texts("junit.reference", status=said, detail=detail))]
    elif not control.blocks:
        case.result = [Skipped(view.texts("junit.warning", status=said, detail=detail))]
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
    """Markdown for a pull request or a CI step: verdict, all models, controls not met."""
    unmet = [
        (control, item)
        for control in view.controls
        for item in control.of(view.record.candidate)
        if item.finding.status is not Status.PASS
    ]
    texts = view.texts
    names = ("status", "control", "value", "bound", "reason")
    rows = [
        [
            Cell(_marked(view, item.finding.status)),
            Cell(control.says, small="" if control.blocks else texts("severity.warn")),
            Cell(item.figure, small=item.interval),
            Cell(control.bound),
            Cell(item.reason),
        ]
        for control, item in unmet
    ]
    page = (
        environment()
        .get_template("summary.md")
        .render(
            t=texts,
            f=partial(fill, texts),
            v=view,
            status=_marked(view, view.verdict.status),
            comparison=comparison(view),
            unmet=Table(texts("summary.controls"), [Cell(texts(f"table.{name}")) for name in names], rows)
            if rows
            else None,
        )
    )
    return page.encode()


def _marked(view: View, status: Status) -> str:
    mark = {Status.PASS: "✅", Status.FAIL: "❌", Status.UNPROVEN: "❔"}[status]
    return f"{mark} {view.texts(f'status.{status.value}')}"
