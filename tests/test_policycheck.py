"""`steelyard policy`: what can never be measured, fail or pass is told before a run, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from governance.cli import main
from governance.configfile import shipped
from governance.evidence.signing import make_keys, signing_key
from governance.measure import ANY, Fact, Measurement, NotMeasured, Slice, Unit
from governance.policy import Control, Parameter, Policy, load_waivers
from governance.policy.check import Problem, check_policy, check_waivers
from governance.policy.scope import Scope
from governance.policyscope import scope_of
from governance.record import save_record
from governance.tableconfig import KINDS
from governance.waiverkeys import sign_waiver
from tests.sample_record import record as sample_record
from tests.test_policy import measured, record
from tests.test_vocabulary import COLUMNS, SETTINGS
from tests.test_waivers import DAY, waiver
from tests.tiny import write_config

SCOPE = Scope(
    audit="small",
    candidate="private",
    incumbent="old",
    models={
        "private": frozenset({"trained", "scores", "private", "price"}),
        "old": frozenset({"trained", "scores", "weights"}),
        "fairer": frozenset({"trained", "scores", "mitigated"}),
        "api": frozenset(),
    },
    bases={"fairer": "old"},
    makers={
        "quality": {},
        "fairness": {"depth": 2, "controls": ("region",)},
        "mitigation": {},
        "claim": {},
        "membership": {},
        "anonymity": {"quasi_identifiers": ("age", "sex")},
    },
    groups=("age", "region", "sex"),
    positive=True,
    level=0.95,
)


def control(**changes: Any) -> Control:
    return Control.model_validate({"id": "c", "says": {"en": "s"}, "metric": "quality.accuracy", **changes})


def policy(*controls: Control, **more: Any) -> Policy:
    return Policy(name="p", version="1", title={"en": "p"}, controls=controls, **more)


def errors(found: list[Problem]) -> list[str]:
    return [problem.says for problem in found if problem.weight == "error"]


def warnings(found: list[Problem]) -> list[str]:
    return [problem.says for problem in found if problem.weight == "warning"]


GOOD: list[Mapping[str, Any]] = [
    {"at_least": 0.8},
    {"at_least": 0.8, "task": "classification"},
    {"metric": "quality.auc", "at_least": 0.8, "models": ["private", "old"]},
    {"metric": "quality.auc.difference", "reference": "incumbent", "at_least": -0.1, "models": "candidate"},
    {"metric": "quality.auc.difference", "reference": "old", "at_least": -0.1, "models": "candidate"},
    {"metric": "fairness.selection_rate.ratio", "slice": "any", "at_least": 0.8},
    {"metric": "fairness.selection_rate.ratio", "slice": {"age": ANY}, "at_least": 0.8},
    {"metric": "fairness.selection_rate.ratio", "slice": {"age": ANY, "sex": ANY}, "at_least": 0.8},
    {"metric": "fairness.selection_rate.ratio", "slice": {"age": ANY, "region": "north"}, "at_least": 0.8},
    {"metric": "fairness.accuracy", "slice": {"age": "30-39"}, "at_least": 0.8},
    {"metric": "fairness.accuracy", "slice": {"age": ANY}, "at_least": 0.8},
    {"metric": "fairness.accuracy", "slice": {"age": "30-39", "sex": ANY}, "at_least": 0.8},
    {"metric": "fairness.accuracy.difference_to_rest", "slice": {"region": "north", "age": ANY}, "at_least": -0.2},
    {"metric": "mitigation.accuracy.difference", "reference": "old", "models": ["fairer"], "at_least": -0.02},
    {"metric": "privacy.epsilon", "models": "candidate", "at_most": 8},
    {"metric": "membership.auc", "models": ["private", "old"], "at_most": 0.6},
    {"metric": "anonymity.unique", "slice": {"age": ANY, "sex": ANY}, "at_most": 0.1},
    {"metric": "imported.toxicity", "slice": {"topic": "health"}, "at_most": 0.1},
]


@pytest.mark.parametrize("fields", GOOD, ids=lambda fields: str(fields.get("metric")))
def test_what_a_run_measures_passes_without_a_word(fields: Mapping[str, Any]) -> None:
    assert check_policy(policy(control(**fields)), scope=SCOPE) == []
    assert check_policy(policy(control(**fields))) == []


NEVER: list[tuple[Mapping[str, Any], str]] = [
    ({"metric": "quality.acuracy"}, "nothing measures 'quality.acuracy': did you mean 'quality.accuracy'"),
    ({"metric": "scrubber.residual"}, "the evaluator 'personal-data' measures it, which the config doesn't run"),
    ({"metric": "fairness.ndcg", "slice": "any"}, "an audit of a table of kind 'ranking' measures it"),
    ({"task": "clasification"}, "its task is 'classification', not 'clasification'"),
    ({"metric": "membership.auc", "task": "classification", "models": ["old"]}, "its outcomes carry no task"),
    ({"metric": "fairness.accuracy"}, "the control asks for everyone, for it names no slice"),
    (
        {"metric": "fairness.accuracy", "slice": {"ages": ANY}},
        "no group column 'ages' in the config; it has age, region",
    ),
    ({"metric": "fairness.accuracy.ratio", "slice": {"age": "30-39"}}, "it is measured for all groups of a column"),
    (
        {"metric": "fairness.accuracy", "slice": {"age": "x", "sex": "y", "region": "z"}},
        "it is measured for single groups",
    ),
    (
        {"metric": "fairness.accuracy.ratio", "slice": {"age": "30-39", "sex": ANY}},
        "the groups within a value of a contr",
    ),
    ({"metric": "anonymity.unique", "slice": {"age": ANY}, "at_most": 0.1}, "all identifying columns together"),
    ({"slice": {"age": ANY}}, "it is measured for everyone; the control asks for {'age': '*'}"),
    ({"metric": "quality.auc.difference"}, "it is a difference from the incumbent; write 'reference: incumbent'"),
    ({"metric": "quality.auc.difference", "reference": "api"}, "it is a difference from the incumbent; write"),
    ({"reference": "incumbent"}, "it is no difference from anything; leave out 'reference: incumbent'"),
    ({"metric": "quality.accuracy.change"}, "it is a change since an earlier run; write 'reference: baseline'"),
    ({"metric": "mitigation.accuracy.difference", "reference": "api"}, "that a mitigated one was made from; name that"),
    ({"models": ["old", "aip"]}, "the config has no model 'aip'. Did you mean 'api'?"),
    ({"metric": "privacy.epsilon", "models": ["old"], "at_most": 1}, "old: it isn't trained with differential privacy"),
    ({"metric": "membership.auc", "models": ["api"], "at_most": 0.6}, "api: it isn't trained by this audit"),
    ({"metric": "quality.auc.difference", "reference": "old", "models": ["old"]}, "tested on no model of the config"),
    ({"metric": "mitigation.accuracy"}, "can't be measured for the candidate, which so can't pass"),
]


@pytest.mark.parametrize(("fields", "message"), NEVER, ids=[message[-40:] for _, message in NEVER])
def test_what_no_run_measures_is_an_error(fields: Mapping[str, Any], message: str) -> None:
    found = errors(
        check_policy(policy(control(**{"at_least": 0.5} if "at_most" not in fields else {}, **fields)), scope=SCOPE)
    )
    assert len(found) == 1
    assert message in found[0]


def test_a_model_that_lacks_something_stays_unproven_and_is_told() -> None:
    auc = control(metric="membership.auc", at_most=0.6)
    assert errors(check_policy(policy(auc), scope=SCOPE)) == []
    (told,) = warnings(check_policy(policy(auc), scope=SCOPE))
    assert told == "'membership.auc' stays unproven for 'api': it isn't trained by this audit"
    words = {"metric": "mitigation.accuracy", "at_least": 0.5}
    for lenient in ({"severity": "warn"}, {"unproven": "warn"}):
        other = control(id="d", at_least=0.5)
        assert errors(check_policy(policy(control(**words, **lenient), other), scope=SCOPE)) == []


def test_a_config_without_groups_or_incumbent_or_positive_class() -> None:
    bare = Scope(
        audit="a", candidate="m", models={"m": frozenset({"scores"})}, makers={"quality": {}, "fairness": {"depth": 1}},
        groups=(), level=0.95,
    )  # fmt: skip
    gap = control(metric="fairness.accuracy.ratio", slice="any", at_least=0.8)
    assert "the config declares no group columns" in errors(check_policy(policy(gap), scope=bare))[0]
    against = control(metric="quality.auc.difference", reference="incumbent", at_least=-0.1)
    assert "names no incumbent" in errors(check_policy(policy(against), scope=bare))[0]
    several = control(metric="fairness.precision.ratio", slice={"(class)": "good", "age": ANY}, at_least=0.8)
    assert "no group column '(class)'" in errors(check_policy(policy(several), scope=SCOPE))[0]
    from dataclasses import replace

    assert check_policy(policy(several), scope=replace(SCOPE, positive=False)) == []
    shallow = replace(SCOPE, makers={"fairness": {"depth": 1}})
    deep = control(metric="fairness.accuracy", slice={"age": "x", "sex": "y"}, at_least=0.5)
    assert errors(check_policy(policy(deep), scope=shallow))


def test_another_packages_evaluator_may_measure_what_nobody_here_knows() -> None:
    from dataclasses import replace

    stranger = replace(SCOPE, makers={**SCOPE.makers, "tone": {}})
    found = check_policy(policy(control(metric="tone.politeness", at_least=0.5)), scope=stranger)
    assert errors(found) == []
    assert "perhaps 'tone' does" in warnings(found)[0]


def test_a_change_is_measured_by_a_gate_with_a_baseline() -> None:
    change = control(metric="quality.accuracy.change", reference="baseline", at_least=-0.02)
    assert check_policy(policy(change)) == []
    assert warnings(check_policy(policy(change), scope=SCOPE)) == [
        "measured only by a gate with '--baseline RUN'; unproven without"
    ]


BOUNDS: list[tuple[Mapping[str, Any], str | None, str | None]] = [
    ({"at_least": 0}, "it can't fail: at least 0 is asked of what is between 0 and 1", None),
    ({"at_least": -0.1}, "it can't fail", None),
    ({"at_most": 1}, "it can't fail: at most 1", None),
    ({"at_least": 1.1}, "it can't be met: at least 1.1 is asked of what is between 0 and 1", None),
    ({"at_most": -0.1}, "it can't be met", None),
    ({"at_least": 1}, None, "no interval from so many rows as there are will show at least 1"),
    ({"at_most": 0}, None, "will show at most 0"),
    ({"at_least": 1, "end": "value"}, None, None),
    ({"at_least": 0.01}, None, None),
    ({"metric": "data.shared_texts", "at_most": 0}, None, None),  # a count is exact
    ({"metric": "data.shared_texts", "at_least": 0}, "asked of what is at least 0", None),
    ({"metric": "leakage.outputs_after", "at_most": 0}, None, None),  # exact for models that emit labels alone
    ({"metric": "fairness.accuracy.difference", "slice": "any", "at_least": 0}, "it can't fail", None),
    ({"metric": "fairness.accuracy.difference_to_rest", "slice": "any", "at_least": -0.1}, None, None),
    ({"metric": "quality.accuracy.change", "reference": "baseline", "at_most": 1}, "between -1 and 1", None),
    ({"metric": "quality.cost.change", "reference": "baseline", "at_least": -1}, "what is at least -1", None),
    ({"metric": "imported.x", "at_most": 1e9}, None, None),
]


@pytest.mark.parametrize(("fields", "error", "warning"), BOUNDS)
def test_a_bound_that_decides_nothing(fields: Mapping[str, Any], error: str | None, warning: str | None) -> None:
    found = check_policy(policy(control(**fields)))
    for expected, told in ((error, errors(found)), (warning, warnings(found))):
        assert len(told) == (0 if expected is None else 1)
        assert expected is None or expected in told[0]


def test_a_parameters_value_is_a_bound_too() -> None:
    given = Parameter(value=1.5, says={"en": "p"})
    unmet = policy(control(at_least="x"), parameters={"x": given})
    assert "at least 1.5" in errors(check_policy(unmet))[0]


def test_what_is_wrong_with_a_policy_as_a_whole() -> None:
    warn = control(severity="warn", at_least=0.5)
    assert "every control only warns" in errors(check_policy(policy(warn)))[0]
    lenient = control(unproven="warn", at_least=0.5)
    assert "every control has 'unproven: warn'" in warnings(check_policy(policy(lenient)))[0]
    assert check_policy(policy(lenient, control(id="d", metric="quality.auc", at_least=0.5))) == []
    given = {"x": Parameter(value=0.5, says={"en": "p"}), "y": Parameter(value=0.5, says={"en": "p"})}
    told = warnings(check_policy(policy(control(at_least="x"), parameters=given)))
    assert "nobody has confirmed the parameter 'x' (0.5); until somebody does, these stay unproven: c" in told
    assert "no control uses the parameter 'y'" in told


def test_an_interval_of_too_low_a_level_proves_nothing() -> None:
    strict = policy(control(at_least=0.5), level=0.99)
    assert "write 'level: 0.99' into the config" in errors(check_policy(strict, scope=SCOPE))[0]
    exact = policy(control(metric="data.shared_texts", at_most=0), level=0.99)
    assert check_policy(exact, scope=SCOPE) == []


def test_two_controls_of_one_outcome() -> None:
    twice = policy(control(at_least=0.5), control(id="d", at_least=0.6))
    assert warnings(check_policy(twice)) == ["it tests the very outcomes that 'c' tests: 0.5 and 0.6"]
    between = policy(control(at_least=0.5), control(id="d", at_most=0.9))
    assert check_policy(between) == []
    never = policy(control(at_least=0.9), control(id="d", at_most=0.5))
    assert "can't both be met" in errors(check_policy(never))[0]
    apart = policy(control(at_least=0.5), control(id="d", at_least=0.6, models="candidate"))
    assert check_policy(apart) == []


def test_a_sentence_that_lacks_a_language() -> None:
    both = control(says={"en": "s", "zh": "句"}, at_least=0.5)
    found = warnings(check_policy(policy(both, control(id="d", metric="quality.auc", at_least=0.5))))
    assert found == ["not said in 'zh', so reports in it show English: the title, control d"]
    from dataclasses import replace

    english = policy(control(at_least=0.5))
    assert check_policy(english, scope=SCOPE) == []
    assert "not said in 'zh'" in warnings(check_policy(english, scope=replace(SCOPE, language="zh")))[0]


# -- against a record -------------------------------------------------------------------------------


def test_a_record_tells_what_stays_open_and_what_is_asked_in_vain() -> None:
    judged = record(
        measured(0.8, 0.9, value=0.85, metric="quality.accuracy"),
        NotMeasured(metric="quality.auc", model="m", reason="gives labels without scores"),
        Fact(metric="data.shared_texts", value=0, unit=Unit.COUNT, method="t"),
        measured(0.1, 0.2, metric="fairness.accuracy.difference", slice=Slice.of(age=ANY), value=0.15),
    )
    open_ = check_policy(policy(control(metric="quality.auc", at_least=0.5)), record=judged)
    assert warnings(open_) == ["unproven for 'm': not measured: gives labels without scores"]
    assert errors(open_) == []
    gap = control(metric="fairness.accuracy.difference", slice={"sex": ANY}, at_most=0.2)
    assert errors(check_policy(policy(gap), record=judged)) == [
        "unproven for 'm': the record holds no 'fairness.accuracy.difference' for this model; it has it for age=*"
    ]
    change = control(metric="quality.accuracy.change", reference="baseline", at_least=-0.1)
    assert "--baseline RUN" in warnings(check_policy(policy(change), record=judged))[0]
    given = {"x": Parameter(value=0.5, says={"en": "p"})}
    confirmed = check_policy(policy(control(at_least="x"), parameters=given), record=judged)
    assert [told for told in warnings(confirmed) if "unproven for" in told] == []  # it is measured, whoever confirms
    assert errors(check_policy(policy(control(at_least=0.5), level=0.99), record=judged))
    own = record(measured(0.8, 0.9, value=0.85, metric="house.score"))
    assert check_policy(policy(control(metric="house.score", at_least=0.5)), record=own) == []


# -- waivers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "weight", "message"),
    [
        ({}, "warning", "it expires on 2026-12-06, in 10 days"),
        ({"expires": DAY + timedelta(days=31)}, None, ""),
        ({"expires": DAY}, "warning", "in 0 days"),
        ({"expires": DAY - timedelta(days=1)}, "error", "it expired on 2026-11-25"),
        ({"granted": DAY + timedelta(days=1)}, "error", "its first day is 2026-11-27"),
        ({"control": "b"}, "error", "no control 'b'. Known: c, lenient, soft."),
        ({"control": "soft"}, "error", "only warns, so there is nothing to waive"),
        ({"control": "lenient", "covers": "unproven"}, "error", "doesn't block for lack of evidence"),
        ({"audit": "other"}, "warning", "it is for the audit 'other', not for 'small', and doesn't count here"),
        ({"model": "aip"}, "error", "no model 'aip'. Did you mean 'api'?"),
    ],
)
def test_a_waiver_that_will_fail_the_gate(changes: Mapping[str, Any], weight: str | None, message: str) -> None:
    soft, lenient = (
        control(id="soft", severity="warn", at_least=0.5),
        control(id="lenient", unproven="warn", at_least=0.5),
    )
    asked = policy(control(at_least=0.5), soft, lenient)
    found = check_waivers([waiver(**changes)], DAY, policy=asked, scope=SCOPE)
    told = [(one.weight, one.says) for one in found if weight == "warning" or one.weight == "error"]
    assert [one for one, _ in told] == ([] if weight is None else [weight])
    assert all(message in says and one.waiver == "w" for (_, says), one in zip(told, found, strict=False))


def test_a_policy_that_asks_for_signatures_tells_those_that_lack_one() -> None:
    strict = policy(control(at_least=0.5), signed_waivers=True)
    late = DAY + timedelta(days=300)
    assert "it has none" in errors(check_waivers([waiver(expires=late)], DAY, policy=strict))[0]
    assert check_waivers([waiver(expires=late, signature="0" * 128)], DAY, policy=strict) == []


# -- the command ------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["policy", *map(str, arguments)])


def write_policy(path: Path, *controls: Mapping[str, Any], **more: Any) -> Path:
    found = [
        {"id": f"c{number}", "says": {"en": "s"}, "metric": "quality.accuracy", **one}
        for number, one in enumerate(controls)
    ]
    whole = {"name": "p", "version": "1", "title": {"en": "p"}, "controls": found, **more}
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return path


def write_waivers(path: Path, **changes: Any) -> Path:
    today = datetime.now(UTC).date()
    given = waiver(granted=today, expires=today + timedelta(days=200), **changes)
    path.write_text(yaml.safe_dump({"waivers": [given.model_dump(mode="json", exclude_none=True)]}))
    return path


def table_config(folder: Path, kind: str, **changes: Any) -> Path:
    table = {"path": "t.parquet", "kind": kind, "columns": dict(COLUMNS[kind]), "groups": ["sex", "region", "seller"]}
    path = folder / f"{kind}.yaml"
    settings = dict(SETTINGS.get(kind, {}))
    path.write_text(yaml.safe_dump({"audit": kind, "table": table, "settings": settings, **changes}))
    return path


@pytest.mark.parametrize("name", shipped("audits"))
def test_shipped_configs_pass_with_their_policies(name: str) -> None:
    result = run("check", name)
    assert result.exit_code == 0, result.output
    assert "0 errors" in result.output


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_table_policies_pass_for_a_table_of_their_kind(tmp_path: Path, kind: str) -> None:
    result = run("check", table_config(tmp_path, kind), "--quiet")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("name", shipped("policies"))
def test_shipped_policies_have_no_errors(name: str) -> None:
    result = run("check", name, "--quiet")
    assert result.exit_code == 0, result.output
    told = [line for line in result.output.splitlines() if "nobody has confirmed" not in line]
    assert all("unproven: warn" in line or line.endswith("warnings") for line in told), told


def test_table_policies_tell_what_a_table_lacks(tmp_path: Path) -> None:
    path = table_config(tmp_path, "ranking", settings={"provider": "seller"})
    result = run("check", path, "--quiet")
    assert result.exit_code == 2
    assert (
        "control 'ranking.quality': 'fairness.ndcg.difference' can't be measured as it is asked for: the setting "
        in (result.output)
    )
    columns = {key: value for key, value in COLUMNS["ranking"].items() if key != "popularity"}
    table = {"path": "t.parquet", "kind": "ranking", "columns": columns, "groups": ["seller", "region"]}
    path.write_text(
        yaml.safe_dump({"audit": "r", "table": table, "settings": {"provider": "seller", "user": "region"}})
    )
    assert "the table has no column popularity" in run("check", path).output
    wrong = {"metric": "fairness.exposure_share", "slice": {"region": ANY}, "at_least": 0.1}
    told = run("check", write_policy(tmp_path / "p.yaml", wrong), "--config", path).output
    assert "it is measured by seller, not by 'region'" in told


def test_problems_point_at_their_line_and_decide_the_exit_code(tmp_path: Path) -> None:
    path = write_policy(tmp_path / "p.yaml", {"at_least": 0.5}, {"metric": "quality.acuracy", "at_least": 0.5})
    line = path.read_text().splitlines().index("- id: c1") + 1
    result = run("check", path)
    assert result.exit_code == 2
    assert f"p.yaml:{line}: error: control 'c1': nothing measures 'quality.acuracy': did you mean" in result.output
    assert "quality.accuracy (Accuracy); everyone; every model: its low end is at least 0.5; blocks" in result.output
    only = write_policy(tmp_path / "w.yaml", {"at_least": 1})
    result = run("check", only, "--quiet")
    assert (result.exit_code, "0 errors, 1 warnings" in result.output) == (0, True)
    assert run("check", only, path, "--quiet").exit_code == 2


def test_json_holds_all_that_is_told(tmp_path: Path) -> None:
    path = write_policy(tmp_path / "p.yaml", {"at_least": 2})
    result = run("check", path, "launch", "--json")
    found = json.loads(result.output)
    assert (result.exit_code, found["exit_code"]) == (2, 2)
    mine, launch = found["files"]
    assert mine["problems"][0]["control"] == "c0"
    assert (mine["problems"][0]["weight"], mine["problems"][0]["line"]) == ("error", 6)
    assert (launch["policy"], launch["problems"], len(launch["controls"])) == ("launch", [], 19)


def test_a_config_is_checked_with_its_own_policy_and_waivers(tmp_path: Path) -> None:
    write_policy(tmp_path / "p.yaml", {"metric": "membership.auc", "at_most": 0.6}, {"at_least": 0.5})
    write_waivers(tmp_path / "w.yaml", control="c9")
    config = write_config(tmp_path / "c.yaml", policy="p.yaml", waivers="w.yaml")
    result = run("check", config, "--quiet")
    assert result.exit_code == 2
    assert (
        "control 'c0': 'membership.auc' can't be measured as it is asked for: the evaluator 'membership'"
        in result.output
    )
    assert "w.yaml:2: error: waiver 'w': no control 'c9'" in result.output
    assert scope_of(str(config)).groups == ("department", "age_band")
    assert scope_of(str(config)).models == {"baseline": {"trained", "scores", "weights", "price", "seconds"}}


def test_a_run_is_checked_by_its_record(tmp_path: Path) -> None:
    judged = sample_record().model_copy(update={"files": {}})
    save_record(judged, tmp_path / "run")
    result = run("check", "launch", "--run", tmp_path / "run", "--quiet")
    assert result.exit_code == 0, result.output
    assert "control 'quality.auc': unproven for 'closed': not measured: gives labels without scores" in result.output
    assert "unproven for 'open-private': the record holds no 'explanation.placeholders'" in result.output  # only warns
    missing = write_policy(
        tmp_path / "p.yaml", {"metric": "fairness.accuracy", "slice": {"city": ANY}, "at_least": 0.5}
    )
    result = run("check", missing, "--run", tmp_path / "run", "--quiet")
    assert result.exit_code == 2
    assert "it has it for age_band=18-29, age_band=30-39, age_band=40-49, age_band=50-59 and" in result.output


def test_files_of_waivers_are_checked_by_their_dates_and_signatures(tmp_path: Path) -> None:
    path = write_waivers(tmp_path / "w.yaml", control="quality.auc")
    assert run("check", path).exit_code == 0
    make_keys(tmp_path / "bo")
    make_keys(tmp_path / "stranger")
    key = signing_key(tmp_path / "bo")
    assert key is not None
    sign_waiver(path, "w", key)
    assert run("check", path, "--waiver-key", tmp_path / "bo.pub").exit_code == 0
    result = run("check", "launch", "--waivers", path, "--waiver-key", tmp_path / "stranger.pub", "--quiet")
    assert result.exit_code == 2
    assert "w.yaml:2: error: waiver 'w': its signature fits none of the 1 keys given" in result.output
    assert run("check", "table-prices", "--waivers", path, "--quiet").exit_code == 2


def test_signing_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_waivers(tmp_path / "w.yaml")
    make_keys(tmp_path / "bo")
    result = run("sign", path, "--id", "w", "--key", tmp_path / "bo")
    assert (result.exit_code, load_waivers(path)[0].signature is None) == (0, False)
    assert "waiver 'w' signed for Bo" in result.output
    monkeypatch.delenv("STEELYARD_SIGNING_KEY", raising=False)
    result = run("sign", path, "--id", "w")
    assert result.exit_code == 2
    assert "expected a private key: --key FILE, or STEELYARD_SIGNING_KEY" in result.output


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("lunch", None, "no policy or audit 'lunch'. Did you mean 'launch'?"),
        ("gone.yaml", None, "gone.yaml: no such file"),
        ("other.yaml", "a: 1\n", "expected a policy, an audit config or a file of waivers"),
        ("bad.yaml", "controls: [\n", "not valid YAML"),
        ("half.yaml", "controls: []\n", "this key is required"),
    ],
)
def test_a_file_that_is_none_of_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path(name).write_text(text)
    result = run("check", name)
    assert result.exit_code == 2
    assert message in result.output


def test_measurements_of_the_sample_are_known(tmp_path: Path) -> None:
    """The check by a config and the check by a record agree on what a run of that config holds."""
    made = {one.metric for one in sample_record().outcomes if isinstance(one, Measurement)}
    scope = scope_of("quickstart")
    for metric in sorted(made):
        reference = "incumbent" if metric.startswith("quality.") and metric.endswith(".difference") else None
        asked = control(metric=metric, slice="any", reference=reference, at_least=0.5, severity="warn")
        found = errors(check_policy(policy(asked, control(id="d", at_least=0.5)), scope=scope))
        assert found == [], metric
