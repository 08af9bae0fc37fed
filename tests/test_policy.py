"""The verdict: three values, on interval ends, pure."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.configfile import shipped
from governance.errors import ConfigError
from governance.measure import EVERYONE, Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import Control, Policy, Status, judge, load_policy, worst
from governance.record import DataEntry, Lineage, ModelEntry, RunRecord


def record(*outcomes: Outcome, models: tuple[str, ...] = ("m",), incumbent: str | None = None) -> RunRecord:
    data = DataEntry(
        name="d", source="d.csv", digest="sha256:0", rows_read=10, rows_empty=0, rows_duplicate=0, rows_used=10,
        rows_train=5, rows_test=5, clusters_test=5, labels={"0": 5, "1": 5},
    )  # fmt: skip
    return RunRecord(
        audit="a", run="r", created="2026-01-01T00:00:00+00:00", title="t", task="classification", question="q",
        candidate=models[0], incumbent=incumbent, data=data,
        models=tuple(ModelEntry(name=name, kind="k", title=name, source="s", weighed_on=5) for name in models),
        outcomes=outcomes,
        lineage=Lineage(plan="p", config="c", policy="s", code="x", versions={}, hardware="h", seed=0),
    )  # fmt: skip


def measured(low: float | None, high: float | None, *, value: float = 0.5, **more: object) -> Measurement:
    fields: dict[str, object] = {
        "metric": "q",
        "model": "m",
        "level": 0.95,
        "n": 100,
        "unit": Unit.SCORE,
        "method": "t",
    }
    return Measurement(value=value, low=low, high=high, **{**fields, **more})  # type: ignore[arg-type]


def policy(**control: object) -> Policy:
    fields = {"id": "c", "says": {"en": "s"}, "metric": "q", **control}
    return Policy(name="p", version="1", title={"en": "p"}, controls=(Control(**fields),))


def status(outcome: Outcome, **control: object) -> Status:
    return judge(record(outcome), policy(**control)).status


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.8, 0.9, Status.PASS),  # the bound itself is kept
        (0.79, 0.9, Status.UNPROVEN),
        (0.7, 0.8, Status.UNPROVEN),  # the better end just keeps it
        (0.7, 0.79, Status.FAIL),
        (None, 0.9, Status.UNPROVEN),  # unbounded below
        (0.85, None, Status.PASS),
        (None, 0.5, Status.FAIL),
    ],
)
def test_at_least_tests_the_low_end(low: float | None, high: float | None, expected: Status) -> None:
    assert status(measured(low, high, value=0.79), at_least=0.8) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, Status.PASS),
        (0.1, 0.21, Status.UNPROVEN),
        (0.2, 0.3, Status.UNPROVEN),
        (0.21, 0.3, Status.FAIL),
        (0.1, None, Status.UNPROVEN),
        (None, 0.1, Status.PASS),
    ],
)
def test_at_most_tests_the_high_end(low: float | None, high: float | None, expected: Status) -> None:
    assert status(measured(low, high, value=0.2), at_most=0.2) == expected


def test_absence_is_unproven_whatever_the_bound() -> None:
    gone = NotMeasured(metric="q", model="m", reason="12 rows, 30 needed")
    verdict = judge(record(gone), policy(at_most=1e9))
    assert verdict.status is Status.UNPROVEN
    assert verdict.exit_code == 3
    assert "12 rows, 30 needed" in verdict.of("m").findings[0].reason
    assert judge(record(), policy(at_least=-1e9)).status is Status.UNPROVEN


def test_a_fact_is_held_against_the_bound_itself() -> None:
    fact = Fact(metric="q", model="m", value=8.0, unit=Unit.NATS, method="claim")
    assert status(fact, at_most=8.0) is Status.PASS
    assert status(fact, at_most=7.99) is Status.FAIL


def test_a_warning_does_not_decide_but_is_shown() -> None:
    verdict = judge(
        record(measured(0.1, 0.2), Fact(metric="w", model="m", value=1, unit=Unit.COUNT, method="t")),
        Policy(
            name="p", version="1", title={"en": "p"},
            controls=(
                Control(id="a", says={"en": "s"}, metric="w", at_least=0),
                Control(id="b", says={"en": "s"}, metric="q", at_least=0.9, severity="warn"),
            ),
        ),
    )  # fmt: skip
    assert verdict.status is Status.PASS
    assert [finding.status for finding in verdict.of("m").findings] == [Status.PASS, Status.FAIL]


def test_nothing_tested_is_not_a_pass() -> None:
    assert worst([]) is Status.UNPROVEN
    only_warnings = policy(at_least=0.1, severity="warn")
    assert judge(record(measured(0.2, 0.3)), only_warnings).status is Status.UNPROVEN


def test_a_model_is_not_compared_with_itself_but_an_absent_incumbent_is_told() -> None:
    control = policy(at_least=-0.1, reference="incumbent")
    difference = measured(0.0, 0.1, value=0.05, reference="old")
    verdict = judge(record(difference, models=("m", "old"), incumbent="old"), control)
    assert verdict.of("m").status is Status.PASS
    assert verdict.of("old").findings == ()
    alone = judge(record(measured(0.0, 0.1, value=0.05)), control)
    assert "names no incumbent" in alone.of("m").findings[0].reason


def test_a_control_that_names_no_model_of_the_record_does_not_vanish() -> None:
    verdict = judge(record(measured(0.9, 0.95, value=0.92)), policy(at_least=0.5, models=["basline"]))
    assert verdict.status is Status.UNPROVEN
    assert "models that the record doesn't hold: basline" in verdict.of("m").findings[0].reason


@pytest.mark.parametrize(("level", "expected"), [(0.95, Status.PASS), (0.99, Status.PASS), (0.9, Status.UNPROVEN)])
def test_an_interval_of_too_low_a_level_proves_nothing(level: float, expected: Status) -> None:
    assert status(measured(0.9, 0.95, value=0.92, level=level), at_least=0.5) is expected
    assert status(measured(0.1, 0.2, value=0.15, level=0.5), at_least=0.5) is Status.UNPROVEN


@pytest.mark.parametrize(
    ("pattern", "where", "matches"),
    [
        (None, EVERYONE, True),
        (None, Slice.of(age="*"), False),
        ("any", Slice.of(age="*"), True),
        ({"age": "*"}, Slice.of(age="30"), True),
        ({"age": "30"}, Slice.of(age="40"), False),
        ({"age": "*"}, Slice.of(age="*", city="*"), False),
    ],
)
def test_slices_match_column_by_column(pattern: object, where: Slice, matches: bool) -> None:
    control = Control(id="c", says={"en": "s"}, metric="q", slice=pattern, at_least=0.0)
    assert control.matches(measured(0.1, 0.2, slice=where), incumbent=None) is matches


ends = st.floats(-2, 2, allow_nan=False)


@given(ends, ends, ends, st.floats(0, 2))
def test_tightening_a_bound_never_turns_fail_into_pass(a: float, b: float, bound: float, tighter: float) -> None:
    outcome = measured(min(a, b), max(a, b), value=(a + b) / 2)
    order = [Status.PASS, Status.UNPROVEN, Status.FAIL]
    loose, tight = status(outcome, at_least=bound), status(outcome, at_least=bound + tighter)
    assert order.index(tight) >= order.index(loose)
    loose, tight = status(outcome, at_most=bound), status(outcome, at_most=bound - tighter)
    assert order.index(tight) >= order.index(loose)


def test_order_and_unrelated_outcomes_change_nothing() -> None:
    outcomes = [
        measured(0.1, 0.9),
        measured(0.85, 0.9, value=0.87, slice=Slice.of(age="30")),
        measured(0.7, 0.8, metric="z"),
    ]
    control = policy(at_least=0.8, slice="any")
    verdicts = {judge(record(*order), control).status for order in itertools.permutations(outcomes)}
    assert verdicts == {judge(record(*outcomes[:2]), control).status} == {Status.UNPROVEN}


def test_refuses_controls_that_test_nothing_or_two_things() -> None:
    for bounds in ({}, {"at_least": 0, "at_most": 1}):
        with pytest.raises(ValueError, match="exactly one of at_least and at_most"):
            Control(id="c", says={"en": "s"}, metric="q", **bounds)
    with pytest.raises(ValueError, match="finite"):
        Control(id="c", says={"en": "s"}, metric="q", at_least=math.nan)
    with pytest.raises(ValueError, match="stands twice"):
        control = Control(id="c", says={"en": "s"}, metric="q", at_least=0)
        Policy(name="p", version="1", title={"en": "p"}, controls=(control, control))


@pytest.mark.parametrize("name", shipped("policies"))
def test_shipped_policies_load_in_both_languages(name: str) -> None:
    loaded = load_policy(name)
    assert len(loaded.controls) >= (10 if name == "launch" else 1)
    for control in loaded.controls:
        assert set(control.says) == {"en", "zh"}, control.id


def test_a_misspelt_policy_key_is_told_with_its_place(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "p.yaml"
    path.write_text(
        "name: p\nversion: '1'\ntitle: {en: p}\ncontrols:\n- {id: a, says: {en: s}, metric: q, atleast: 1}\n"
    )
    with pytest.raises(
        ConfigError, match=r"p.yaml: controls.0.atleast: unknown key 'atleast'.*Did you mean 'at_least'"
    ):
        load_policy(path)
