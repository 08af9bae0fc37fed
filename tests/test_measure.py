"""Absence is a value, and no number gets in without being one."""

import math
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from governance.measure import Fact, Measurement, NotMeasured, Outcome, Slice, Unit


def measurement(**changes: object) -> Measurement:
    fields: dict[str, object] = {
        "metric": "quality.auc", "value": 0.5, "low": 0.4, "high": 0.6, "level": 0.95, "n": 10,
        "unit": Unit.SCORE, "method": "test",
    }  # fmt: skip
    return Measurement(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["value", "low", "high"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_refuses_what_is_not_finite(name: str, number: float) -> None:
    with pytest.raises(ValueError, match=f"expected a finite {name}"):
        measurement(**{name: number})


def test_refuses_an_interval_upside_down() -> None:
    with pytest.raises(ValueError, match=r"expected low <= high, got 0\.7 > 0\.6"):
        measurement(low=0.7)
    assert measurement(low=0.6, high=0.6).low == 0.6


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan])
def test_refuses_a_level_that_is_none(level: float) -> None:
    with pytest.raises(ValueError, match="expected a level in"):
        measurement(level=level)


def test_refuses_a_fact_that_is_no_number() -> None:
    with pytest.raises(ValueError, match="expected a finite value"):
        Fact(metric="privacy.epsilon", value=math.nan, unit=Unit.NATS, method="claim")


def test_absence_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        NotMeasured(metric="quality.auc", reason=" ")


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4))
def test_a_slice_does_not_depend_on_order(columns: dict[str, str]) -> None:
    assert Slice.of(columns) == Slice.of(dict(reversed(columns.items())))


def test_outcomes_survive_json_and_unknown_keys_do_not() -> None:
    adapter: TypeAdapter[Outcome] = TypeAdapter(Annotated[Outcome, Field(discriminator="kind")])
    for outcome in (
        measurement(slice=Slice.of(age_band="30-39"), high=None),
        Fact(metric="f", value=1.0, unit=Unit.COUNT, method="m"),
        NotMeasured(metric="n", reason="too few"),
    ):
        assert adapter.validate_json(adapter.dump_json(outcome)) == outcome
    with pytest.raises(ValidationError, match="Unexpected keyword argument"):
        adapter.validate_python({"kind": "not-measured", "metric": "n", "reason": "r", "surprise": 1})
