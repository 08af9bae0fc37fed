"""Names in configs: found, spelt out when wrong, never silently absent."""

import sys
from importlib.metadata import EntryPoint

import pytest

from governance import registry
from governance.config import EVALUATORS
from governance.errors import ConfigError, MissingExtra


def test_every_shipped_evaluator_can_be_loaded() -> None:
    for name in EVALUATORS:
        assert registry.load("evaluator", name, EVALUATORS)().measure


def test_suggests_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"no evaluator 'fairnes'. Did you mean 'fairness'\? Known: anonymity, "):
        registry.check("evaluator", "fairnes", EVALUATORS)


def test_imports_nothing_but_what_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("evaluators.claim", "evaluators.fairness"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    registry.load("evaluator", "claim", EVALUATORS)
    assert "evaluators.fairness" not in sys.modules


def test_a_name_offered_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("claim", "elsewhere:Claim", "steelyard.evaluators")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.raises(ConfigError, match=r"'claim' is offered twice: by evaluators\.claim:Claim and by elsewhere"):
        registry.table("evaluator", EVALUATORS)


def test_an_outsider_joins_through_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "evaluators.claim:Claim", "steelyard.evaluators")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "steelyard.evaluators" else [])
    assert registry.load("evaluator", "mine", EVALUATORS).__name__ == "Claim"


def test_a_missing_library_names_its_extra_and_other_bugs_stay_bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    table = {"x": "captum:X"}
    with pytest.raises(MissingExtra, match=r"evaluator 'x' needs captum: pip install 'steelyard\[explain\]'"):
        registry.load("evaluator", "x", table, extras={"captum": "explain"})
    with pytest.raises(ModuleNotFoundError):
        registry.load("evaluator", "x", table)
