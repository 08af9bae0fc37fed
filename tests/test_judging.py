"""What holds for every verdict, whatever the policy, the record and the waivers: against a slow oracle, and by law."""

from __future__ import annotations

import json
import math
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.errors import ConfigError, RecordError
from governance.measure import ANY, EVERYONE, Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import (
    Control,
    Finding,
    Parameter,
    Policy,
    Status,
    Terms,
    Verdict,
    Waiver,
    WaiverState,
    judge,
    load_policy,
    worst,
)
from governance.record import RunRecord, load_record
from tests.test_policy import measured, record

MODELS = ("m", "o", "baseline")
TODAY = date(2026, 11, 26)
ORDER = (Status.PASS, Status.UNPROVEN, Status.FAIL)
SLICES = (EVERYONE, Slice.of(g="x"), Slice.of(g="y"), Slice.of(g=ANY), Slice.of(g="x", h="z"), Slice.of(g=ANY, h=ANY))
numbers = st.integers(-6, 6).map(lambda n: n / 4)  # few, so that bounds and ends meet
names = st.sampled_from(["q", "r", "q.change"])


@st.composite
def outcomes(draw: st.DrawFn, metric: st.SearchStrategy[str] = names) -> Outcome:
    shared = {
        "metric": draw(metric),
        "model": draw(st.sampled_from([*MODELS, None])),
        "task": draw(st.sampled_from([None, "t", "u"])),
        "slice": draw(st.sampled_from(SLICES)),
    }
    reference = draw(st.sampled_from([None, "o", "baseline"]))
    kind = draw(st.sampled_from(["measured", "measured", "fact", "missing"]))
    if kind == "missing":
        return NotMeasured(reason="too few rows", reference=reference, **shared)
    if kind == "fact":
        return Fact(value=draw(numbers), unit=Unit.COUNT, method="t", reference=reference, **shared)
    low, value, high = sorted(draw(st.tuples(numbers, numbers, numbers)))
    return Measurement(
        value=value,
        low=draw(st.sampled_from([low, None])),
        high=draw(st.sampled_from([high, None])),
        level=draw(st.sampled_from([0.95, 0.95, 0.99, 0.9])),
        n=100,
        unit=Unit.UNITS,
        method="t",
        reference=reference,
        **shared,
    )


PARAMETERS = {
    "agreed": Parameter(value=0.25, says={"en": "p"}, confirmed_by="Zhou", confirmed_on=TODAY),
    "open": Parameter(value=0.25, says={"en": "p"}),
}


@st.composite
def controls(draw: st.DrawFn, name: str) -> Control:
    bound = draw(st.one_of(numbers, numbers, st.sampled_from(sorted(PARAMETERS))))
    where: dict[str, str] = draw(st.sampled_from([{"g": "x"}, {"g": ANY}, {"g": ANY, "h": "z"}, {}]))
    return Control(
        id=name,
        says={"en": "s"},
        metric=draw(names),
        task=draw(st.sampled_from([None, None, "t"])),
        slice=draw(st.sampled_from([None, "any", where])),
        models=draw(st.sampled_from(["all", "candidate", ("m", "o"), ("m", "stranger")])),
        reference=draw(st.sampled_from([None, None, "incumbent", "baseline"])),
        end=draw(st.sampled_from(["pessimistic", "pessimistic", "value"])),
        severity=draw(st.sampled_from(["block", "block", "warn"])),
        unproven=draw(st.sampled_from(["block", "block", "warn"])),
        **{draw(st.sampled_from(["at_least", "at_most"])): bound},
    )


@st.composite
def waivers(draw: st.DrawFn, name: str) -> Waiver:
    granted = TODAY + timedelta(days=draw(st.sampled_from([-30, 0, 1])))
    return Waiver(
        id=name,
        control=f"c{draw(st.integers(0, 4))}",
        audit=draw(st.sampled_from([None, None, "a", "other"])),
        model=draw(st.sampled_from([None, *MODELS])),
        slice=draw(st.sampled_from([None, None, *(one.label() for one in SLICES)])),
        covers=draw(st.sampled_from(["unproven", "fail"])),
        owner="Ann",
        approver="Bo",
        reason="known, and being mended",
        granted=granted,
        expires=max(granted, TODAY + timedelta(days=draw(st.sampled_from([-1, 0, 9])))),
    )


@dataclass(frozen=True)
class Case:
    """One judgement's arguments."""

    record: RunRecord
    policy: Policy
    waivers: tuple[Waiver, ...]
    trusted: tuple[str, ...]

    def judge(self, **changes: object) -> Verdict:
        case = replace(self, **changes)  # type: ignore[arg-type]
        return judge(case.record, case.policy, waivers=case.waivers, today=TODAY, trusted=case.trusted)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    found = draw(st.lists(outcomes(), max_size=8))
    policy = Policy(
        name="p",
        version="1",
        title={"en": "p"},
        parameters=PARAMETERS,
        signed_waivers=draw(st.booleans()),
        controls=tuple(draw(controls(f"c{number}")) for number in range(draw(st.integers(1, 4)))),
    )
    given_waivers = tuple(draw(waivers(f"w{number}")) for number in range(draw(st.integers(0, 3))))
    trusted = tuple(one.id for one in given_waivers if draw(st.booleans()))
    judged = record(*found, models=MODELS, incumbent=draw(st.sampled_from(["o", None])))
    return Case(judged, policy, given_waivers, trusted)


# -- the oracle -------------------------------------------------------------------------------------

Told = tuple[str, str, Status, str, float | None]  # control, model, status, slice, number tested


def naive(case: Case) -> tuple[dict[str, Status], Counter[tuple[Told, bool]], dict[str, WaiverState]]:
    """Statuses, findings (and whether each is waived) and what became of waivers, as slowly as the rules are told."""
    counted: Counter[tuple[Told, bool]] = Counter()
    statuses, used = {}, set[str]()
    for model in (entry.name for entry in case.record.models):
        deciding = []
        for control in case.policy.controls:
            for status, where, tested in tell(case, control, model):
                met = status is Status.PASS or control.severity == "warn"
                met = met or (status is Status.UNPROVEN and control.unproven == "warn")
                covering = [w for w in case.waivers if not met and covers(case, w, control.id, model, status, where)]
                used |= {waiver.id for waiver in covering}
                counted[(control.id, model, status, where, tested), bool(covering)] += 1
                if control.severity == "block" and (status is Status.PASS or covering or not met):
                    deciding.append(Status.PASS if covering else status)
        statuses[model] = max(deciding, key=ORDER.index, default=Status.UNPROVEN)
    states = {waiver.id: state(case, waiver, waiver.id in used) for waiver in case.waivers}
    if set(states.values()) - {WaiverState.USED}:
        statuses[case.record.candidate] = Status.FAIL
    return statuses, counted, states


def tell(case: Case, control: Control, model: str) -> list[tuple[Status, str, float | None]]:
    judged, nothing = case.record, [(Status.UNPROVEN, "everyone", None)]
    speaks_of = {"all": MODELS, "candidate": (judged.candidate,)}.get(str(control.models), control.models)
    if model == judged.candidate and "stranger" in speaks_of:
        return nothing
    reference = judged.incumbent if control.reference == "incumbent" else control.reference
    itself = reference == model and not (control.reference == "baseline" and control.metric == "q.change")
    if model not in speaks_of or itself:
        return []
    if control.reference == "incumbent" and judged.incumbent is None:
        return nothing
    bound: object = control.at_least if control.at_least is not None else control.at_most
    if isinstance(bound, str) and not case.policy.parameters[bound].confirmed:
        return nothing
    limit = case.policy.parameters[bound].value if isinstance(bound, str) else bound
    found = [
        one
        for one in judged.outcomes
        if one.model in (model, None) and control.matches(one, incumbent=judged.incumbent)
    ]
    tested = [(held(control, one, case.policy.level, limit), one.slice.label()) for one in found]
    return [(status, where, number) for (status, number), where in tested] or nothing


def held(control: Control, outcome: Outcome, level: float, limit: float) -> tuple[Status, float | None]:
    sign = 1 if control.at_least is not None else -1
    if isinstance(outcome, NotMeasured) or (isinstance(outcome, Measurement) and outcome.level < level):
        return Status.UNPROVEN, None
    if isinstance(outcome, Fact) or control.end == "value":
        return (Status.PASS if sign * outcome.value >= sign * limit else Status.FAIL), outcome.value
    worse, better = (outcome.low, outcome.high)[::sign]
    if worse is not None and sign * worse >= sign * limit:
        return Status.PASS, worse
    if better is not None and sign * better < sign * limit:
        return Status.FAIL, better
    return Status.UNPROVEN, worse


def covers(case: Case, waiver: Waiver, control: str, model: str, status: Status, where: str) -> bool:
    about = (waiver.control, waiver.audit or "a", waiver.model or model, waiver.slice or where)
    enough = waiver.covers == "fail" or status is Status.UNPROVEN
    return state(case, waiver, True) is WaiverState.USED and about == (control, "a", model, where) and enough


def state(case: Case, waiver: Waiver, used: bool) -> WaiverState:
    if case.policy.signed_waivers and waiver.id not in case.trusted:
        return WaiverState.UNSIGNED
    if not waiver.granted <= TODAY <= waiver.expires:
        return WaiverState.EARLY if waiver.granted > TODAY else WaiverState.EXPIRED
    return WaiverState.USED if used else WaiverState.UNMATCHED


def told(verdict: Verdict) -> Counter[tuple[Told, bool]]:
    return Counter(
        ((one.control, one.model, one.status, one.slice, one.tested), one.waiver is not None)
        for model in verdict.models
        for one in model.findings
    )


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_verdict_is_what_a_slow_reading_of_the_rules_gives(case: Case) -> None:
    verdict = case.judge()
    statuses, findings, states = naive(case)
    assert {one.model: one.status for one in verdict.models} == statuses
    assert told(verdict) == findings
    assert {use.waiver.id: use.state for use in verdict.waivers} == states


# -- laws -------------------------------------------------------------------------------------------


def tightened(policy: Policy, place: int, by: float) -> Policy:
    """A policy with one bound moved against whoever must keep it."""
    control = policy.controls[place]
    key, sign = ("at_least", 1) if control.at_least is not None else ("at_most", -1)
    number, parameters = policy.bound(control) + sign * by, dict(policy.parameters)
    bound: object = number
    if control.parameter is not None:  # others may use the same parameter from the other side
        bound = "tighter"
        parameters["tighter"] = parameters[control.parameter].model_copy(update={"value": number})
    changed = control.model_copy(update={key: bound})
    rest = (*policy.controls[:place], changed, *policy.controls[place + 1 :])
    return policy.model_copy(update={"controls": rest, "parameters": parameters})


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(0, 3), st.sampled_from([0.0, 0.25, 1.0, 9.0]))
def test_tightening_a_bound_never_turns_fail_into_pass(case: Case, place: int, by: float) -> None:
    """But a waiver that fitted nothing fails the candidate, until the control that it is for is no longer met."""
    loose = case.judge()
    tight = case.judge(policy=tightened(case.policy, place % len(case.policy.controls), by))
    for before, after in zip(loose.models, tight.models, strict=True):
        held_by_waivers = before.model == loose.candidate and not all(use.counts for use in loose.waivers)
        if not held_by_waivers:
            assert ORDER.index(after.status) >= ORDER.index(before.status)
        for one, other in zip(before.findings, after.findings, strict=True):
            assert ORDER.index(other.status) >= ORDER.index(one.status)


@settings(max_examples=60, deadline=None)
@given(cases(), st.lists(outcomes(st.sampled_from(["q", "r", "z", "q.change"])), min_size=1, max_size=4), st.randoms())
def test_an_outcome_that_no_control_speaks_of_changes_nothing(
    case: Case, extra: list[Outcome], rng: random.Random
) -> None:
    judged = case.record
    unrelated = [
        one
        for one in extra
        if not any(control.matches(one, incumbent=judged.incumbent) for control in case.policy.controls)
    ]
    together = [*judged.outcomes]
    for one in unrelated:
        together.insert(rng.randint(0, len(together)), one)
    after = case.judge(record=judged.model_copy(update={"outcomes": tuple(together)}))
    assert after.model_copy(update={"record": ""}) == case.judge().model_copy(update={"record": ""})


@settings(max_examples=60, deadline=None)
@given(cases(), st.randoms())
def test_order_decides_nothing(case: Case, rng: random.Random) -> None:
    def shuffled(values: Sequence[object]) -> tuple[object, ...]:
        return tuple(rng.sample(list(values), len(values)))

    before = case.judge()
    after = case.judge(
        record=case.record.model_copy(update={"outcomes": shuffled(case.record.outcomes)}),
        policy=case.policy.model_copy(update={"controls": shuffled(case.policy.controls)}),
        waivers=shuffled(case.waivers),
        trusted=shuffled(case.trusted),
    )
    for model in MODELS:
        assert after.of(model).status is before.of(model).status
        # With the names of waivers: who is shown to answer for a finding doesn't hang on the order of a file either.
        assert Counter(map(Finding.model_dump_json, after.of(model).findings)) == Counter(
            map(Finding.model_dump_json, before.of(model).findings)
        )
    assert {(use.waiver.id, use.state, use.findings) for use in after.waivers} == {
        (use.waiver.id, use.state, use.findings) for use in before.waivers
    }


@settings(max_examples=60, deadline=None)
@given(cases(), waivers("another"), st.sampled_from(MODELS))
def test_a_waiver_for_one_model_never_helps_another(case: Case, waiver: Waiver, model: str) -> None:
    own = waiver.model_copy(update={"model": model})
    before, after = case.judge(), case.judge(waivers=(*case.waivers, own))
    for other in MODELS:
        if other != model:
            assert told(after).items() >= {key: n for key, n in told(before).items() if key[0][1] == other}.items()
            assert ORDER.index(after.of(other).status) >= ORDER.index(before.of(other).status)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_a_verdict_and_its_terms_survive_being_written_down(case: Case) -> None:
    verdict = case.judge()
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert Verdict.model_validate(json.loads(json.dumps(verdict.model_dump(mode="json"), allow_nan=False))) == verdict
    changes = tuple(one for one in case.record.outcomes if one.metric.endswith(".change"))
    terms = Terms(
        policy=case.policy, waivers=case.waivers, today=TODAY, trusted=tuple(sorted(case.trusted)), changes=changes,
        baseline="sha256:0" if changes else None,
    )  # fmt: skip
    again = written(terms)
    assert again.judge(case.record) == terms.judge(case.record)
    assert again.identity() == terms.identity()
    assert again == (terms if case.waivers else replace(terms, today=None, trusted=()))


def written(terms: Terms) -> Terms:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in terms.files().items():
            (Path(folder) / name).write_bytes(content)
        return Terms.read(Path(folder))


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_terms_keep_every_character(sentence: str, name: str) -> None:
    control = Control(id="c", says={"en": sentence}, metric=name, at_most=0)
    terms = Terms(policy=Policy(name=name, version=name, title={"en": sentence}, controls=(control,)))
    assert written(terms) == terms


# -- numbers that are none --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1e999"])
@pytest.mark.parametrize(
    "line",
    [
        "level: {}", "controls: [{{id: c, says: {{en: s}}, metric: q, at_least: {}}}]",
        "controls: [{{id: c, says: {{en: s}}, metric: q, at_most: {}}}]",
        "parameters: {{x: {{value: {}, says: {{en: s}}}}}}",
    ],
)  # fmt: skip
def test_no_policy_holds_what_is_no_number(tmp_path: Path, line: str, number: str) -> None:
    head = "name: p\nversion: '1'\ntitle: {en: p}\n"
    rest = "" if line.startswith("controls") else "controls: [{id: c, says: {en: s}, metric: q, at_least: 0}]\n"
    (tmp_path / "p.yaml").write_text(head + rest + line.format(number) + "\n")
    with pytest.raises(ConfigError, match=r"p\.yaml: (level|controls\.0|parameters\.x)"):
        load_policy(tmp_path / "p.yaml")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_outcome_holds_what_is_no_number(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Fact(metric="q", value=number, unit=Unit.COUNT, method="t")
    for key in ("value", "low", "high"):
        with pytest.raises(ValueError, match="finite"):
            measured(**{"low": 0.1, "high": 0.9, key: number})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite counts"):
        measured(0.1, 0.9, counts={"rows": number})
    with pytest.raises(ValueError, match="level"):
        measured(0.1, 0.9, level=number)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", '"nan"', "1e999", "null"])
@pytest.mark.parametrize("key", ["value", "level", "counts"])
def test_no_record_holds_what_is_no_number(tmp_path: Path, key: str, number: str) -> None:
    text = record(measured(0.1, 0.9, counts={"x": 123456})).model_dump_json()
    for found in ('"value":0.5', '"level":0.95', '"x":123456.0'):
        assert found in text
    mark = {"value": '"value":0.5', "level": '"level":0.95', "counts": '"x":123456.0'}[key]
    (tmp_path / "record.json").write_text(text.replace(mark, f"{mark.rpartition(':')[0]}:{number}"))
    with pytest.raises(RecordError, match=r"record\.json: outcomes\.0"):
        load_record(tmp_path)


# -- what the cases above found ---------------------------------------------------------------------


def test_a_control_of_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="models"):
        Control(id="c", says={"en": "s"}, metric="q", at_least=0, models=[])


def test_a_model_called_baseline_is_still_held_against_its_own_past() -> None:
    control = Control(id="c", says={"en": "s"}, metric="q.change", reference="baseline", at_least=-0.1)
    policy = Policy(name="p", version="1", title={"en": "p"}, controls=(control,))
    worse = measured(-0.9, -0.8, value=-0.85, metric="q.change", model="baseline", reference="baseline")
    assert judge(record(models=("baseline",)), policy, changes=[worse], baseline="sha256:0").status is Status.FAIL
    alone = judge(record(models=("baseline",)), policy)
    assert "name one: --baseline RUN" in alone.of("baseline").findings[0].reason


def test_a_bound_in_powers_of_ten_is_a_number_and_a_truth_is_none(tmp_path: Path) -> None:
    policy = "name: p\nversion: '1'\ntitle: {{en: p}}\ncontrols: [{{id: c, says: {{en: s}}, metric: q, at_most: {}}}]\n"
    (tmp_path / "p.yaml").write_text(policy.format("1e-5"))
    assert load_policy(tmp_path / "p.yaml").controls[0].at_most == 1e-5
    (tmp_path / "p.yaml").write_text(policy.format("yes"))
    with pytest.raises(ConfigError, match="expected a number, or the name of a parameter"):
        load_policy(tmp_path / "p.yaml")


def test_nothing_that_decides_is_unproven() -> None:
    assert worst([]) is Status.UNPROVEN
    lenient = Control(id="c", says={"en": "s"}, metric="q", at_least=0, unproven="warn")
    policy = Policy(name="p", version="1", title={"en": "p"}, controls=(lenient,))
    assert judge(record(), policy).status is Status.UNPROVEN
    assert judge(record(measured(0.1, 0.9)), policy).status is Status.PASS
