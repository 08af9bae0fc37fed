"""The audit trail: every record and verdict has its line, whenever a process dies; what was said can't be unsaid."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import reports
from governance import conclude, rundir, trail
from governance.cli import main
from governance.errors import RecordError
from governance.files import digest_file, digest_of, private_folder
from governance.journal import Journal
from governance.policy import Terms, load_policy
from governance.progress import Progress
from governance.record import RunRecord, load_record
from governance.trail import ACTOR, CI_ACTORS, TRAIL, Trail, actor, read_trail
from governance.trainrun import run_training
from tests import sample_record, test_trainrun
from tests.tiny import write_reviews

FORK = multiprocessing.get_context("fork")
RUN = "small/abc"


@pytest.fixture(autouse=True)
def cheap_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts take seconds; what is rendered doesn't matter here."""

    def render(record: RunRecord, verdict: Any, *_: object, **__: object) -> dict[str, bytes]:
        judged = json.dumps(verdict.model_dump(mode="json")).encode()
        return {"card/a.md": b"card", "verdict.json": judged}

    monkeypatch.setattr(reports, "render", render)
    for variable in (ACTOR, *CI_ACTORS):
        monkeypatch.delenv(variable, raising=False)


def record() -> RunRecord:
    return sample_record.record().model_copy(update={"audit": "small", "run": "abc", "files": {}})


def audit(runs: Path, run: str = RUN, policy: str = "launch") -> conclude.Result:
    """A run's record and judgement by the code that every audit uses, without its hours of work."""
    directory = runs / run
    if not (directory / "record.json").exists():
        rundir.recorded(directory, record)
    return conclude.conclude(load_record(directory), Terms(policy=load_policy(policy)), directory)


def show(runs: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["trail", str(runs), *arguments])


def lines(runs: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (runs / TRAIL).read_bytes().splitlines()]


def test_a_run_leaves_who_did_what_and_what_came_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACTOR, "mia")
    result = audit(tmp_path)
    begun, started, ended, judged = lines(tmp_path)
    assert (begun["act"], begun["before"]) == ("begun", {})
    assert (started["act"], started["moment"], started["run"]) == ("audit", "started", RUN)
    assert (ended["moment"], ended["id"], ended["record"]) == ("ended", started["id"], result.record.digest())
    assert ended["epsilon"]["open-private"]["unit"] == "record"
    assert (judged["who"], judged["run"], judged["out"]) == ("mia", RUN, result.out.name)
    assert judged["policy"]["digest"] == "sha256:" + digest_of(result.policy.model_dump(mode="json"))
    assert judged["verdicts"] == {one.model: one.status for one in result.verdict.models}
    assert judged["verdict"] == digest_file(result.out / "verdict.json")
    assert "host" not in judged
    done = show(tmp_path)
    assert done.exit_code == 0, done.output
    assert "mia  judgement  small/abc" in done.stdout
    assert f"{result.verdict.candidate} {result.verdict.status}" in done.stdout
    assert f"epsilon {ended['epsilon']['open-private']['epsilon']:.4g}" in done.stdout
    told = json.loads(show(tmp_path, "--json").stdout)
    assert [act["act"] for act in told["acts"]] == ["begun", "audit", "judgement"]
    assert told["problems"] == []


def test_only_what_changes_something_has_a_line_and_every_gate(tmp_path: Path) -> None:
    result = audit(tmp_path)
    before = (tmp_path / TRAIL).read_bytes()
    audit(tmp_path)
    assert (tmp_path / TRAIL).read_bytes() == before
    conclude.gate_run(result.directory, language="en")
    conclude.gate_run(result.directory, language="en")
    conclude.render_again(result.directory, language="zh")
    assert [line["act"] for line in lines(tmp_path)[4:]] == ["gate", "gate", "report"]
    assert show(tmp_path).exit_code == 0


def test_an_older_judgement_made_the_latest_again_has_a_line(tmp_path: Path) -> None:
    first = audit(tmp_path)
    terms = Terms(policy=load_policy("launch").model_copy(update={"version": "other"}))
    conclude.conclude(first.record, terms, first.directory)
    again = conclude.conclude(first.record, first.terms, first.directory)
    assert again.out == first.out
    assert [line["out"] == first.out.name for line in lines(tmp_path)[3:]] == [True, False, True]


# -- what was said can't be unsaid ---------------------------------------------------------------


@pytest.mark.parametrize("change", ["edit", "cut in the middle", "cut at the beginning", "add"])
def test_an_edit_is_found(tmp_path: Path, change: str) -> None:
    audit(tmp_path)
    path = tmp_path / TRAIL
    said = path.read_bytes().splitlines(keepends=True)
    changed = {
        "edit": [*said[:2], said[2].replace(b'"who":"', b'"who":"x'), *said[3:]],
        "cut in the middle": [*said[:2], *said[3:]],
        "cut at the beginning": said[1:],
        "add": [*said, said[1]],
    }
    path.write_bytes(b"".join(changed[change]))
    done = show(tmp_path)
    assert done.exit_code == 2
    assert "the chain breaks at line" in done.output


def test_an_end_that_was_cut_off_is_found_by_what_is_there_and_by_a_head(tmp_path: Path) -> None:
    result = audit(tmp_path)
    path, head = tmp_path / TRAIL, read_trail(tmp_path).heads[-1]
    assert show(tmp_path, "--holds", head).exit_code == 0
    assert show(tmp_path, "--holds", head[:16]).exit_code == 0
    said = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(said[:-1]))
    done = show(tmp_path)
    assert done.exit_code == 2
    assert f"{RUN}/out/{result.out.name}/verdict.json: no line of the trail tells of it" in done.stderr
    path.write_bytes(b"".join(said[:2]))
    assert {problem.partition(":")[0] for problem in read_trail(tmp_path).problems} == {
        f"{RUN}/record.json",
        f"{RUN}/out/{result.out.name}/verdict.json",
    }
    set_back = show(tmp_path, "--holds", head)
    assert set_back.exit_code == 2
    assert f"does not hold what it held at head {head}: it was set back" in set_back.output
    path.unlink()
    gone = show(tmp_path)
    assert gone.exit_code == 2
    assert "although 2 records and verdicts are here" in gone.output


def test_records_and_verdicts_that_were_changed_or_put_there_are_found(tmp_path: Path) -> None:
    result = audit(tmp_path)
    verdict = result.out / "verdict.json"
    verdict.write_bytes(verdict.read_bytes().replace(b'"unproven"', b'"pass"'))
    (tmp_path / "small/def").mkdir()
    (tmp_path / "small/def/record.json").write_bytes((result.directory / "record.json").read_bytes())
    done = show(tmp_path)
    assert done.exit_code == 2
    assert [line.partition(": ")[2].partition(":")[0] for line in done.stderr.splitlines()] == [
        f"{RUN}/out/{result.out.name}/verdict.json",
        "small/def/record.json",
    ]


def test_a_trail_that_begins_late_says_what_was_there_before(tmp_path: Path) -> None:
    audit(tmp_path)
    (tmp_path / TRAIL).unlink()
    audit(tmp_path, "small/abd")
    assert set(lines(tmp_path)[0]["before"]) == {
        f"{RUN}/record.json",
        *(path.relative_to(tmp_path).as_posix() for path in (tmp_path / RUN).glob("out/*/verdict.json")),
    }
    done = show(tmp_path)
    assert done.exit_code == 0
    assert "2 records and verdicts were here before it" in done.stdout


def test_what_a_hostile_trail_says_cannot_move_the_cursor(tmp_path: Path) -> None:
    Journal(tmp_path / TRAIL).append({"act": "audit\x1b[2J", "at": "\x1b[2J", "who": "a\u202eb", "moment": "ended"})
    done = show(tmp_path)
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert "[U+202E]" in done.stdout


def test_lines_of_another_version_are_shown_as_such(tmp_path: Path) -> None:
    journal = Journal(tmp_path / TRAIL)
    journal.append({})
    journal.append({"act": "audit", "moment": "ended", "epsilon": {"m": 3}})
    journal.append({"act": 5, "moment": "ended", "epsilon": {"m": {"epsilon": "x", "delta": None}}, "before": [1]})
    done = show(tmp_path)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("not a line that this version writes") == 2


@pytest.mark.parametrize("line", [b"[]\n", b"{}\n", b"\xff\n", b'{"previous":"0"}\n'])
def test_what_is_no_trail_is_refused(tmp_path: Path, line: bytes) -> None:
    (tmp_path / TRAIL).write_bytes(line)
    with pytest.raises(RecordError, match="line 1"):
        read_trail(tmp_path)


# -- killed --------------------------------------------------------------------------------------


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(act: Callable[[], object], where: object, name: str) -> None:
    """Run in a process of its own that is killed when it comes to a function."""

    def child() -> None:
        setattr(where, name, die)
        act()

    process = FORK.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


POINTS = [(rundir, "save_attested"), (conclude, "write_atomic"), (conclude, "save_manifest"), (conclude, "_point")]


@pytest.mark.parametrize(("where", "name"), POINTS, ids=[name for _, name in POINTS])
def test_a_kill_never_leaves_a_record_or_verdict_without_its_line(tmp_path: Path, where: object, name: str) -> None:
    killed(lambda: audit(tmp_path), where, name)
    assert read_trail(tmp_path).problems == []
    (tmp_path / RUN / ".latest-77").symlink_to("out")  # of writes that a kill cut short
    if name == "save_attested":
        (tmp_path / RUN / ".record.json.x1").touch()
    result = audit(tmp_path)
    assert read_trail(tmp_path).problems == []
    assert (result.directory / "latest").resolve() == result.out.resolve()
    done = CliRunner().invoke(main, ["verify", str(result.directory), "--json"])
    assert "added" not in done.output, done.output


def test_what_has_begun_and_not_ended_is_shown_as_cut_off(tmp_path: Path) -> None:
    def make() -> RunRecord:
        private_folder(tmp_path / RUN / "predictions")
        return record()

    killed(lambda: rundir.recorded(tmp_path / RUN, make), trail.Act, "end")
    done = show(tmp_path)
    assert done.exit_code == 0
    assert "not ended: cut off, or under way" in done.stdout
    with pytest.raises(RecordError, match="cut off before its record was written"):
        load_record(tmp_path / RUN)


def test_an_error_is_in_the_trail_by_its_name_alone(tmp_path: Path) -> None:
    def fail() -> RunRecord:
        raise RecordError("a text that quotes somebody")

    with pytest.raises(RecordError):
        rundir.recorded(tmp_path / RUN, fail)
    assert b"quotes" not in (tmp_path / TRAIL).read_bytes()
    assert "failed: RecordError" in show(tmp_path).stdout


def test_processes_take_turns(tmp_path: Path) -> None:
    def write(number: int) -> None:
        own = Trail(tmp_path)
        for place in range(20):
            own.note("import", {"run": f"{number}/{place}"})

    workers = [FORK.Process(target=write, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    said = read_trail(tmp_path).entries
    assert sorted(entry["run"] for entry in said[1:]) == sorted(f"{a}/{b}" for a in range(4) for b in range(20))


def test_audits_and_judgements_at_once_make_one_record_and_whole_verdicts(tmp_path: Path) -> None:
    """Two processes for each of two languages, none of which has anything to go on."""
    barrier = FORK.Barrier(4)

    def run(language: str) -> None:
        barrier.wait(60)
        with rundir.alone(tmp_path / "small", Progress(quiet=True)):
            found = rundir.existing(tmp_path / RUN, Progress(quiet=True)) or rundir.recorded(tmp_path / RUN, record)
        conclude.conclude(found, Terms(policy=load_policy("launch")), tmp_path / RUN, language=language)

    workers = [FORK.Process(target=run, args=(language,)) for language in ("en", "zh") * 2]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    trail = read_trail(tmp_path)
    assert trail.problems == []
    assert sum(entry.get("moment") == "ended" for entry in trail.entries) == 1
    assert len(list((tmp_path / RUN / "out").glob("*/manifest.dsse.json"))) == 2
    assert CliRunner().invoke(main, ["verify", str(tmp_path / RUN)]).exit_code in (0, 3)  # 3: nobody signed it


def test_a_copy_elsewhere_is_judged_without_a_trail(tmp_path: Path) -> None:
    result = audit(tmp_path / "runs")
    copy = tmp_path / "copy"
    result.directory.rename(copy)
    conclude.gate_run(copy, language="zh")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "runs"]


# -- who -----------------------------------------------------------------------------------------


def test_who_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail.getpass, "getuser", lambda: "li")
    monkeypatch.setattr(trail.platform, "node", lambda: "host1")
    assert actor() == {"who": "li", "host": "host1"}
    monkeypatch.setenv("GITLAB_USER_LOGIN", "ci-user")
    assert actor() == {"who": "ci-user"}
    monkeypatch.setenv(ACTOR, "a\nb" + "x" * 500)
    assert actor() == {"who": "ab" + "x" * (trail.LONGEST - 2)}


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(trail.getpass, "getuser", nobody)
    assert actor()["who"] == f"user {os.getuid()}"


# -- training ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_training_has_lines_and_one_changed_afterwards_is_found(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", 120)
    done = run_training(str(test_trainrun.config(tmp_path)), out=tmp_path / "models")
    _, started, ended = lines(tmp_path / "models")
    assert {line["act"] for line in (started, ended)} == {"training"}
    assert {line["run"] for line in (started, ended)} == {f"small/{done.directory.name}"}
    assert (started["moment"], ended["moment"], ended["epsilon"]) == ("started", "ended", {})
    assert show(tmp_path / "models").exit_code == 0
    path = done.directory / "training.json"
    path.write_text(path.read_text().replace('"steps": ', '"steps": 1'))
    assert show(tmp_path / "models").exit_code == 2
