"""Waivers: what they cover and for how long, who may give them, and that no list of them outlives its reasons."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml

from governance.errors import ConfigError
from governance.evidence.signing import SigningKey, make_keys, signing_key
from governance.measure import NotMeasured, Outcome, Slice
from governance.policy import Policy, Status, Terms, Verdict, Waiver, WaiverState, judge, load_waivers
from governance.policy.waivers import signed
from governance.waiverkeys import KEYS, sign_waiver, waiver_keys
from tests.test_policy import measured, policy, record

DAY = date(2026, 11, 26)
FAILING = measured(0.1, 0.2, value=0.15)
ASKED = policy(at_least=0.5)


def waiver(**changes: object) -> Waiver:
    fields: dict[str, object] = {
        "id": "w",
        "control": "c",
        "covers": "fail",
        "owner": "Ann",
        "approver": "Bo",
        "reason": "mended in the next version",
        "granted": DAY - timedelta(days=10),
        "expires": DAY + timedelta(days=10),
    }
    return Waiver.model_validate(fields | changes)


def verdict(*outcomes: Outcome, waivers: tuple[Waiver, ...] = (), asked: Policy = ASKED, **more: object) -> Verdict:
    return judge(record(*outcomes or (FAILING,), models=("m", "o")), asked, waivers=waivers, today=DAY, **more)  # type: ignore[arg-type]


def states(found: Verdict) -> dict[str, WaiverState]:
    return {use.waiver.id: use.state for use in found.waivers}


def test_a_waiver_lets_pass_and_hides_nothing() -> None:
    assert verdict().status is Status.FAIL
    found = verdict(waivers=(waiver(),))
    assert found.status is Status.PASS
    (finding,) = found.of("m").findings
    assert (finding.status, finding.waiver, finding.blocks) == (Status.FAIL, "w", False)
    # Of both models: for the other one nothing was measured.
    assert [(use.state, use.findings) for use in found.waivers] == [(WaiverState.USED, 2)]
    assert found.judged == DAY


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"expires": DAY}, WaiverState.USED),  # its last day counts
        ({"granted": DAY}, WaiverState.USED),
        ({"expires": DAY - timedelta(days=1)}, WaiverState.EXPIRED),
        ({"granted": DAY + timedelta(days=1)}, WaiverState.EARLY),
        ({"control": "d"}, WaiverState.UNMATCHED),
        ({"covers": "unproven"}, WaiverState.UNMATCHED),
        ({"audit": "a"}, WaiverState.USED),
        ({"audit": "b"}, WaiverState.UNMATCHED),
        ({"model": "m"}, WaiverState.USED),
        ({"model": "o"}, WaiverState.UNMATCHED),
        ({"slice": "everyone"}, WaiverState.USED),
        ({"slice": "age=30-39"}, WaiverState.UNMATCHED),
    ],
)
def test_only_a_waiver_in_force_that_fits_counts_and_any_other_fails_the_gate(
    changes: dict[str, object], state: WaiverState
) -> None:
    good = policy(at_least=0.5, models="candidate")
    found = verdict(waivers=(waiver(**changes),), asked=good)
    assert states(found) == {"w": state}
    assert found.status is (Status.PASS if state is WaiverState.USED else Status.FAIL)
    met = verdict(measured(0.6, 0.7, value=0.65), waivers=(waiver(**changes),), asked=good)
    assert met.status is Status.FAIL  # nothing is left to waive, so the waiver has to go
    assert met.of("m").findings[0].status is Status.PASS


def test_one_that_covers_lack_of_evidence_alone_lets_no_failure_pass() -> None:
    lacking = waiver(covers="unproven")
    missing = NotMeasured(metric="q", model="m", reason="12 rows, 30 needed")
    assert verdict(missing, waivers=(lacking,)).of("m").status is Status.PASS
    assert verdict(measured(0.4, 0.6), waivers=(lacking,)).of("m").status is Status.PASS
    assert verdict(waivers=(lacking,)).of("m").status is Status.FAIL


def test_a_waiver_for_one_slice_leaves_the_others_blocked() -> None:
    young, old = (measured(0.1, 0.2, value=0.15, slice=Slice.of(age=age)) for age in ("under 30", "30 and over"))
    found = verdict(young, old, waivers=(waiver(slice="age=under 30"),), asked=policy(at_least=0.5, slice="any"))
    assert {one.slice: one.waiver for one in found.of("m").findings} == {"age=under 30": "w", "age=30 and over": None}
    assert found.status is Status.FAIL


def test_two_waivers_on_one_finding_are_both_used_in_either_order() -> None:
    both = (waiver(id="narrow", slice="everyone"), waiver(id="broad"))
    for given in (both, both[::-1]):
        found = verdict(waivers=given)
        assert states(found) == {"narrow": WaiverState.USED, "broad": WaiverState.USED}
        assert found.status is Status.PASS
        assert found.of("m").findings[0].waiver == "broad"
    with pytest.raises(ValueError, match="each waiver's id once"):
        verdict(waivers=(waiver(), waiver(control="d")))


def test_one_waiver_that_does_not_count_fails_the_gate_whatever_the_others_do() -> None:
    old = waiver(id="old", expires=DAY - timedelta(days=1))
    found = verdict(waivers=(waiver(), old))
    assert states(found) == {"w": WaiverState.USED, "old": WaiverState.EXPIRED}
    assert found.of("m").findings[0].waiver == "w"
    assert (found.status, found.of("o").status) == (Status.FAIL, Status.PASS)  # the gate is the candidate's


def test_a_control_that_only_warns_needs_no_waiver() -> None:
    assert states(verdict(waivers=(waiver(),), asked=policy(at_least=0.5, severity="warn"))) == {
        "w": WaiverState.UNMATCHED
    }
    with pytest.raises(ValueError, match="need a day"):
        judge(record(FAILING), ASKED, waivers=[waiver()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"approver": " ann "}, "somebody other than the owner"),
        ({"expires": DAY - timedelta(days=20)}, "a day on or after granted"),
        ({"reason": "because"}, "reason"),
        ({"signature": "abc"}, "signature"),
        ({"ends": DAY}, "ends"),
    ],
)
def test_a_waiver_needs_two_people_a_reason_and_an_end(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        waiver(**changes)


def test_a_time_of_day_is_no_day(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(TEXT.replace("2026-12-31", "2026-12-31 10:00:00"))
    with pytest.raises(ConfigError, match=r"waivers\.0\.expires"):
        load_waivers(tmp_path / "w.yaml")


# -- signatures -------------------------------------------------------------------------------------

TEXT = """# Who answers for what. Reviewed monthly.
waivers:
  - id: first # the old model
    control: c
    covers: fail
    owner: Ann
    approver: Bo
    reason: >
      mended in the
      next version
    granted: 2026-11-01
    expires: 2026-12-31 # ends with the year
  # The second one is for one group alone.
  - {id: second, control: c, slice: "age=30-39", covers: unproven, owner: 安, approver: Bo,
     reason: too few rows until spring, granted: 2026-11-01, expires: 2027-03-31}
"""


@pytest.fixture
def keys(tmp_path: Path) -> tuple[SigningKey, Path, Path]:
    """An approver's key, its public half, and a stranger's."""
    for name in ("bo", "stranger"):
        make_keys(tmp_path / name)
    key = signing_key(tmp_path / "bo")
    assert key is not None
    return key, tmp_path / "bo.pub", tmp_path / "stranger.pub"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_signing_changes_nothing_but_the_signature(
    tmp_path: Path, keys: tuple[SigningKey, Path, Path], newline: str, mark: str
) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes((mark + TEXT.replace("\n", newline)).encode())
    path.chmod(0o644)
    before = load_waivers(path)
    made = [sign_waiver(path, name, keys[0]) for name in ("first", "second", "first")]
    after = load_waivers(path)
    assert [one.model_copy(update={"signature": None}) for one in after] == list(before)
    assert list(after) == [made[2], made[1]]
    assert made[0] == made[2]  # signed again, the same
    assert signed(after, waiver_keys([keys[1]])) == ("first", "second")
    kept = path.read_bytes().decode()
    for one in after:
        kept = kept.replace(f'    signature: "{one.signature}"{newline}', "")
        kept = kept.replace(f', signature: "{one.signature}"', "")
    assert kept == mark + TEXT.replace("\n", newline)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_of_json_and_one_without_a_last_line_end_can_be_signed(
    tmp_path: Path, keys: tuple[SigningKey, Path, Path]
) -> None:
    import json

    one = waiver().model_dump(mode="json", exclude={"signature"})
    path = tmp_path / "w.json.yaml"
    path.write_text(json.dumps({"waivers": [one]}, indent=2))
    sign_waiver(path, "w", keys[0])
    assert json.loads(path.read_text())["waivers"][0]["signature"]
    last = {**{key: value for key, value in one.items() if key != "id"}, "id": "w"}
    path.write_text(yaml.safe_dump({"waivers": [last]}, sort_keys=False).rstrip("\n"))
    assert signed([sign_waiver(path, "w", keys[0])], waiver_keys([keys[1]])) == ("w",)


def test_a_waiver_that_was_changed_after_it_was_signed_is_an_error_whatever_the_policy(
    tmp_path: Path, keys: tuple[SigningKey, Path, Path]
) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(TEXT)
    sign_waiver(path, "first", keys[0])
    path.write_text(path.read_text().replace("2026-12-31", "2029-12-31"))
    terms = Terms(policy=ASKED, waivers=load_waivers(path), today=DAY)
    with pytest.raises(
        ConfigError, match=r"waiver 'first': its signature fits none .* changed since its approver \(Bo\)"
    ):
        terms.trusting(waiver_keys([keys[1]]))
    with pytest.raises(ConfigError, match="or the approver's key is missing"):
        terms.trusting(waiver_keys([keys[2]]))
    assert terms.trusting(()).trusted == ()


def test_a_policy_may_ask_for_signatures(tmp_path: Path, keys: tuple[SigningKey, Path, Path]) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump({"waivers": [waiver().model_dump(mode="json", exclude={"signature"})]}))
    strict = ASKED.model_copy(update={"signed_waivers": True})
    terms = Terms(policy=strict, waivers=load_waivers(path), today=DAY)
    known = waiver_keys([keys[1], keys[2]])
    unsigned = terms.trusting(known).judge(record(FAILING))
    assert states(unsigned) == {"w": WaiverState.UNSIGNED}
    assert unsigned.status is Status.FAIL
    sign_waiver(path, "w", keys[0])
    given = Terms(policy=strict, waivers=load_waivers(path), today=DAY)
    assert given.trusting(known).judge(record(FAILING)).status is Status.PASS
    assert states(given.trusting(()).judge(record(FAILING))) == {"w": WaiverState.UNSIGNED}  # nobody's key is known


def test_keys_come_from_files_or_the_environment(
    tmp_path: Path, keys: tuple[SigningKey, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEYS, raising=False)
    monkeypatch.setenv("STEELYARD_VERIFY_KEY", str(keys[1]))  # who signs records need not be who approves waivers
    assert waiver_keys() == ()
    monkeypatch.setenv(KEYS, os.pathsep.join(map(str, keys[1:])))
    assert len(waiver_keys()) == 2
    assert len(waiver_keys([keys[1]])) == 1
    monkeypatch.setenv(KEYS, str(tmp_path / "bo"))
    with pytest.raises(ConfigError, match="this is a private key"):
        waiver_keys()


def test_only_a_waiver_that_is_there_is_signed(tmp_path: Path, keys: tuple[SigningKey, Path, Path]) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(TEXT)
    with pytest.raises(ConfigError, match=r"w\.yaml: no waiver 'frist'\. Did you mean 'first'\?"):
        sign_waiver(path, "frist", keys[0])
    assert path.read_text() == TEXT


@pytest.mark.slow
def test_audits_and_gates_check_signatures(
    tmp_path: Path, keys: tuple[SigningKey, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: an audit fails, an approver signs a waiver, one gate knows the key and another doesn't."""
    from click.testing import CliRunner

    from governance.cli import main
    from tests.tiny import write_config, write_reviews

    def run(*arguments: str | Path) -> tuple[int, str]:
        done = CliRunner().invoke(main, [str(one) for one in arguments])
        return done.exit_code, done.output

    monkeypatch.delenv(KEYS, raising=False)
    write_reviews(tmp_path / "reviews.csv", 120)
    asked = policy(id="quality.perfect", metric="quality.accuracy", at_least=0.999, end="value")
    asked = asked.model_copy(update={"signed_waivers": True})
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(asked.model_dump(mode="json", exclude_none=True)))
    config = write_config(tmp_path / "c.yaml", policy="p.yaml", evaluators=[{"name": "quality", "draws": 200}])
    assert run("audit", config, "--out", tmp_path / "runs", "--quiet")[0] == 1
    (directory,) = (path.parent for path in tmp_path.glob("runs/small/*/record.json"))
    own = waiver(control="quality.perfect", granted=date(2026, 1, 1), expires=date(2999, 1, 1))
    given = tmp_path / "w.yaml"
    given.write_text(yaml.safe_dump({"waivers": [own.model_dump(mode="json", exclude={"signature"})]}))
    assert run("gate", directory, "--waivers", given, "--waiver-key", keys[1])[0] == 1
    sign_waiver(given, "w", keys[0])
    assert run("gate", directory, "--waivers", given)[0] == 1  # whose signature it is, nobody can tell
    assert run("gate", directory, "--waivers", given, "--waiver-key", keys[1])[0] == 0
    code, output = run("gate", directory, "--waiver-key", keys[2])  # the waivers that it was last judged with
    assert (code, "signature fits none of the 1 keys given" in output) == (2, True)
    assert run("gate", directory)[0] == 1  # what another gate trusted is not trusted here
    monkeypatch.setenv(KEYS, str(keys[1]))
    assert run("gate", directory)[0] == 0
    write_config(tmp_path / "c.yaml", policy="p.yaml", waivers="w.yaml", evaluators=[{"name": "quality", "draws": 200}])
    assert run("audit", config, "--out", tmp_path / "runs", "--quiet")[0] == 0


def test_audits_may_share_a_file_of_waivers_and_the_last_one_may_go(tmp_path: Path) -> None:
    shared = Terms(policy=policy(at_least=0.5), waivers=(waiver(audit="another"),), today=DAY)
    met = shared.judge(record(measured(0.6, 0.7, value=0.65)))
    assert (met.status, met.waivers) == (Status.PASS, ())
    assert shared.judge(record(measured(0.1, 0.2, value=0.15))).status is Status.FAIL
    assert shared.under("launch").waivers == ()  # whose control the other policy doesn't have
    (tmp_path / "waivers.yaml").write_text("waivers: []\n")
    assert load_waivers(tmp_path / "waivers.yaml") == ()
