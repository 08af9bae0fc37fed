"""Judged records for tests of reports and CI: any mixture of policy, outcomes and waivers, small and quick."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from governance.measure import Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import Control, Policy, Verdict, Waiver, judge
from governance.record import RunRecord, save_record
from reports.text import Texts
from reports.view import View
from tests.test_policy import record

TODAY = date(2026, 11, 1)
METRICS = ("a", "b", "c")
HOSTILE = "<script>x</script> [y](javascript:z) ::error:: {0} \u202e]]>\x00"


def waiver(name: str, control: str, **changes: Any) -> Waiver:
    fields = {
        "id": name, "control": control, "covers": "fail", "owner": "Ann", "approver": "Bo",
        "reason": "a gap that is being mended", "granted": TODAY - timedelta(9), "expires": TODAY + timedelta(9),
    }  # fmt: skip
    return Waiver.model_validate({**fields, **changes})


def control(name: str, metric: str, **changes: Any) -> Control:
    fields = {"id": name, "says": {"en": f"Says {name}."}, "metric": metric, "at_least": 0.5}
    return Control.model_validate({**fields, **changes})


def policy(*controls: Control, **changes: Any) -> Policy:
    return Policy(name="p", version="1", title={"en": "P"}, controls=controls, **changes)


def outcome(metric: str, kind: str, *, model: str = "m", where: Slice = Slice(), task: str | None = None) -> Outcome:  # noqa: B008 - frozen
    """One that passes, fails, or can't tell against "at least 0.5"."""
    shared: dict[str, Any] = {"metric": metric, "model": model, "slice": where, "task": task}
    if kind == "absent":
        return NotMeasured(reason="too few rows", **shared)
    low, high = {"pass": (0.6, 0.8), "fail": (0.1, 0.3), "unproven": (0.4, 0.6)}[kind]
    return Measurement(
        value=0.5 * (low + high), low=low, high=high, level=0.95, n=100, unit=Unit.SCORE, method="t", **shared
    )


def _controls() -> st.SearchStrategy[list[Control]]:
    one = st.fixed_dictionaries(
        {
            "metric": st.sampled_from((*METRICS, "nowhere")),
            "severity": st.sampled_from(("block", "warn")),
            "unproven": st.sampled_from(("block", "warn")),
            "models": st.sampled_from(("all", "candidate", ("m",), ("n",), ("ghost", "n"))),
            "slice": st.sampled_from((None, "any", {"g": "*"})),
            "reference": st.sampled_from((None, None, None, "incumbent", "baseline")),
            "says": st.sampled_from(({"en": "Says."}, {"en": HOSTILE, "zh": "说"})),
        }
    )
    return st.lists(one, min_size=1, max_size=5).map(
        lambda found: [control(f"c{i}", **fields) for i, fields in enumerate(found)]
    )


def _outcomes() -> st.SearchStrategy[list[Outcome]]:
    one = st.builds(
        outcome,
        st.sampled_from(METRICS),
        st.sampled_from(("pass", "pass", "fail", "unproven", "absent")),
        model=st.sampled_from(("m", "n")),
        where=st.sampled_from((Slice(), Slice.of(g="*"), Slice.of(g="1"), Slice.of(g=HOSTILE))),
        task=st.sampled_from((None, "t", "u")),
    )
    return st.lists(one, max_size=14)


def _waivers() -> st.SearchStrategy[list[Waiver]]:
    one = st.fixed_dictionaries(
        {
            "control": st.sampled_from(("c0", "c1", "c2", "ghost")),
            "covers": st.sampled_from(("fail", "unproven")),
            "model": st.sampled_from((None, "m", "n")),
            "slice": st.sampled_from((None, None, "g=*", "everyone")),
            "granted": st.sampled_from((TODAY - timedelta(9), TODAY - timedelta(9), TODAY + timedelta(1))),
            "expires": st.sampled_from((TODAY + timedelta(9), TODAY + timedelta(9), TODAY + timedelta(1))),
            "owner": st.sampled_from(("Ann", HOSTILE)),
            "reason": st.sampled_from(("being mended by Ann", HOSTILE)),
            "ticket": st.sampled_from((None, HOSTILE)),
        }
    )
    past = st.booleans().map(
        lambda old: {"granted": TODAY - timedelta(9), "expires": TODAY - timedelta(1)} if old else {}
    )
    fields = st.lists(st.tuples(one, past), max_size=3)
    return fields.map(lambda found: [waiver(f"w{i}", **{**a, **b}) for i, (a, b) in enumerate(found)])


@st.composite
def judgements(draw: st.DrawFn) -> tuple[RunRecord, Verdict, Policy]:
    """Any record of two models, any policy, any waivers."""
    made = record(*draw(_outcomes()), models=("m", "n"), incumbent=draw(st.sampled_from((None, "n"))))
    rules = policy(*draw(_controls()), signed_waivers=draw(st.booleans()))
    given = draw(_waivers())
    trusted = [one.id for one in given if draw(st.booleans())]
    return made, judge(made, rules, waivers=given, today=TODAY, trusted=trusted), rules


def view(made: RunRecord, verdict: Verdict, rules: Policy, language: str = "en") -> View:
    return View(made, verdict, rules, Texts(language))


def save_run(folder: Path, *outcomes: Outcome, created: str = "2026-01-01T00:00:00+00:00") -> Path:
    """A run's directory, of the models m and n, that nobody has judged yet."""
    save_record(record(*outcomes, models=("m", "n")).model_copy(update={"created": created}), folder)
    return folder


def write_policy(path: Path, controls: Sequence[Control]) -> Path:
    """A policy's file; JSON is YAML."""
    raw = policy(*controls).model_dump(mode="json", exclude_none=True)
    path.write_text(json.dumps(raw, indent=1), "utf-8")
    return path


def write_waivers(path: Path, *given: Waiver) -> Path:
    """A file of waivers."""
    raw = {"waivers": [one.model_dump(mode="json", exclude_none=True) for one in given]}
    path.write_text(json.dumps(raw, indent=1), "utf-8")
    return path
