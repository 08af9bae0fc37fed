"""Policies that extend one another: what is taken over, what replaces it, and whose mistake it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from governance.errors import ConfigError
from governance.policy import Policy, load_policy

PARAMETER = {"value": 0.5, "says": {"en": "p", "zh": "参"}}


def write(folder: Path, name: str, *controls: str | dict[str, Any], **more: Any) -> Path:
    """A policy; a control's id alone stands for one with a bound of 0.5."""
    made = [
        {"id": one, "says": {"en": "s"}, "metric": "q", "at_least": 0.5} if isinstance(one, str) else one
        for one in controls
    ]
    whole = {"name": name, "version": "1", "title": {"en": name}, "controls": made, **more}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(whole))
    return path


def ids(policy: Policy) -> list[str]:
    return [control.id for control in policy.controls]


def test_controls_are_taken_over_replaced_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a", "one", "two", "three", level=0.9)
    write(tmp_path, "b", "four", level=0.95, signed_waivers=True)
    other = {"id": "two", "says": {"en": "s"}, "metric": "q", "at_most": 9}
    mine = load_policy(
        write(tmp_path, "c", other, "five", extends=["a.yaml", "b.yaml"], without={"three": "not for us"})
    )
    assert ids(mine) == ["one", "two", "four", "five"]
    assert mine.controls[1].at_most == 9
    assert (mine.level, mine.signed_waivers, mine.built_on) == (0.95, True, ("a 1", "b 1"))
    assert mine.without == {"three": "not for us"}


def test_what_a_parent_leaves_out_stays_out_unless_somebody_brings_it(tmp_path: Path) -> None:
    write(tmp_path, "a", "one", "two")
    write(tmp_path, "b", extends="a.yaml", without={"one": "not for us"})
    child = load_policy(write(tmp_path, "c", extends="b.yaml"))
    assert (ids(child), child.without) == (["two"], {"one": "not for us"})
    again = load_policy(write(tmp_path, "d", "one", extends="b.yaml"))
    assert (set(ids(again)), again.without) == ({"one", "two"}, {})
    with pytest.raises(ConfigError, match=r"d\.yaml: without: no control 'tow'\. Did you mean 'two'\?"):
        load_policy(write(tmp_path, "d", extends="b.yaml", without={"tow": "w"}))


def test_a_parameter_keeps_what_it_says_and_never_its_value(tmp_path: Path) -> None:
    used = {"id": "one", "says": {"en": "s"}, "metric": "q", "at_least": "x"}
    write(tmp_path, "a", used, parameters={"x": PARAMETER})
    who = {"confirmed_by": "Zhou", "confirmed_on": "2026-11-01"}
    mine = load_policy(write(tmp_path, "b", extends="a.yaml", parameters={"x": {"value": 0.6, **who}}))
    assert (mine.bound(mine.controls[0]), mine.parameters["x"].confirmed) == (0.6, True)
    assert mine.parameters["x"].says == PARAMETER["says"]
    with pytest.raises(ConfigError, match=r"b\.yaml: parameters\.x\.value: this key is required"):
        load_policy(write(tmp_path, "b", extends="a.yaml", parameters={"x": who}))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"level": "high"}, r"a\.yaml: level: expected a number"),
        ({"source": 5}, r"a\.yaml: source: expected text"),
        ({"not_covered": 5}, r"a\.yaml: not_covered: expected a list"),
        ({"without": ["one"]}, r"a\.yaml: without: expected a mapping"),
        ({"parameters": {"x": 5}}, r"a\.yaml: parameters\.x: expected a mapping"),
        ({"controls": [{"id": ["one"]}]}, r"a\.yaml: controls\.0\.id: expected text"),
        ({"controls": ["one"]}, r"a\.yaml: controls\.0: expected a mapping"),
        ({"extends": "b.yaml"}, "can't extend itself"),
        ({"extends": [5]}, "expected names or paths of policies"),
    ],
)
def test_a_mistake_is_told_in_the_file_that_makes_it(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    write(tmp_path, "base", "zero")
    write(tmp_path, "a", "one", **more)
    with pytest.raises(ConfigError, match=message):
        load_policy(write(tmp_path, "b", "two", extends=["base.yaml", "a.yaml"]))
    if "extends" not in more:
        with pytest.raises(ConfigError, match=message):
            load_policy(write(tmp_path, "a", **{"extends": "base.yaml", **more}))


def test_a_level_in_quotes_is_a_number(tmp_path: Path) -> None:
    write(tmp_path, "a", "one", level="0.9")
    write(tmp_path, "b", "two", level=0.95)
    assert load_policy(write(tmp_path, "c", extends=["a.yaml", "b.yaml"])).level == 0.95
