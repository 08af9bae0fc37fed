"""The whole audit, small: what it writes, that it resumes, and that nothing raw or paid for is lost on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from governance import judge, run_audit
from governance.conclude import conclude
from governance.configfile import shipped
from governance.measure import Measurement, NotMeasured
from governance.policy import Status, Terms, load_policy
from governance.prepare import prepare
from governance.record import RunRecord, load_record
from governance.taskconfig import load_task_config
from governance.taskprepare import prepare_task
from tests.fakeserver import Play, closed_port, fake_server
from tests.tiny import write_config, write_encoder, write_reviews

ROOT = Path(__file__).parent.parent
CONCURRENCY = 4
CLOSED = {
    "kind": "openai",
    "concurrency": CONCURRENCY,
    "model": "fake",
    "prompt": "recommend.en.v1",
    "rows": 20,
    "max_retries": 2,
    "timeout": 5,
}


def closed(url: str, **changes: Any) -> dict[str, Any]:
    return {**CLOSED, "base_url": url, **changes}


def encoder_models(folder: Path) -> dict[str, Any]:
    """An openly and a privately trained tiny encoder."""
    write_encoder(folder / "encoder")
    shared = {"kind": "classifier", "base": "encoder", "cached_layers": 1, "max_tokens": 16}
    private = {"epsilon": 8, "delta": 1.0e-4, "sample_rate": 0.3, "steps": 40, "batch": 50, "clipping": 1.0}
    return {
        "open": {**shared, "trained_layers": 1, "learning_rate": 1.0e-3, "epochs": 1},
        "open-private": {**shared, "learning_rate": 0.5, "private": private},
    }


def figures(record: RunRecord) -> dict[str, Any]:
    """All of a record that the clock and the calendar don't touch."""
    raw = record.model_dump(mode="json", exclude={"created", "seconds", "outcomes", "files"})
    raw["outcomes"] = [outcome for outcome in record.model_dump(mode="json")["outcomes"] if not _timed(outcome)]
    return raw


def _timed(outcome: Mapping[str, Any]) -> bool:
    return outcome.get("unit") in ("seconds", "money")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_reviews(tmp_path / "reviews.csv")
    return tmp_path


def by_name(record: RunRecord, metric: str, model: str) -> list[Any]:
    return [o for o in record.outcomes if (o.metric, o.model) == (metric, model)]


def test_an_audit_writes_its_evidence_and_a_second_one_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(folder / "c.yaml")
    first = run_audit(config, out=folder / "runs")
    assert load_record(first.directory) == first.record
    assert first.directory.stat().st_mode & 0o777 == 0o700
    written = {path.relative_to(first.out).as_posix() for path in first.out.rglob("*") if path.is_file()}
    assert written == {
        *("report.html", "junit.xml", "results.sarif", "summary.md", "card/baseline.md"),
        *("card/baseline.cdx.json", "card/data.md", "card/data.croissant.json"),
        *("verdict.json", "policy.json", "places.json", "manifest.dsse.json"),
    }
    assert (first.directory / "attestation.dsse.json").is_file()
    assert (first.directory / "latest").resolve() == first.out.resolve()
    assert first.record.data.groups.keys() == {"department", "age_band"}
    [accuracy] = by_name(first.record, "quality.balanced_accuracy", "baseline")
    assert accuracy.value > 0.8
    assert first.record.data.rows_train + first.record.data.rows_test == 240

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr("governance.audit._Audit.run", lambda _: pytest.fail("a second run did something"))
    again = run_audit(config, out=folder / "runs")
    assert again.record == first.record
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_the_same_seed_gives_the_same_figures_and_another_one_others(folder: Path) -> None:
    config = write_config(folder / "c.yaml")
    a, b = (run_audit(config, out=folder / name).record for name in ("a", "b"))
    assert figures(a) == figures(b)
    assert len(figures(a)["outcomes"]) < len(a.outcomes)
    other = run_audit(write_config(folder / "d.yaml", seed=1), out=folder / "a").record
    assert figures(other)["outcomes"] != figures(a)["outcomes"]


def test_a_gate_judges_again_without_running(folder: Path) -> None:
    result = run_audit(write_config(folder / "c.yaml"), out=folder / "runs")
    strict = folder / "strict.yaml"
    strict.write_text(
        "name: strict\nversion: '1'\ntitle: {en: s}\ncontrols:\n"
        "- {id: impossible, says: {en: s}, metric: quality.accuracy, at_least: 1.0}\n"
    )
    shutil.move(folder / "reviews.csv", folder / "gone.csv")
    again = conclude(load_record(result.directory), Terms(policy=load_policy(strict)), result.directory, language="zh")
    assert again.verdict.status is not Status.PASS
    assert again.out != result.out
    assert (result.directory / "latest").resolve() == again.out.resolve()
    assert judge(result.record, load_policy("launch")) == result.verdict


def test_many_classes_without_any_other_knowledge(tmp_path: Path) -> None:
    words = {"tops": "shirt blouse", "shoes": "heel sole", "bags": "strap zip"}
    rows = [f"{words[label]} nice {i},{label}\n" for i in range(60) for label in words]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "".join(rows))
    config = write_config(tmp_path / "c.yaml", data={"path": "reviews.csv"})
    record = run_audit(config, out=tmp_path / "runs").record
    [accuracy] = by_name(record, "quality.accuracy", "baseline")
    assert accuracy.value > 0.9
    assert record.data.positive is None
    assert all(isinstance(o, NotMeasured) for o in by_name(record, "fairness.selection_rate.ratio", "baseline"))


def test_chinese_reviews_are_read_scrubbed_and_reported(tmp_path: Path) -> None:
    said = [("质量很好非常喜欢", "好") if i % 3 else ("太差了我要退货", "差") for i in range(150)]
    rows = [f"{text}第{i}件，邮箱zhang.wei{i}@qq.com谢谢,{label}\n" for i, (text, label) in enumerate(said)]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    config = write_config(tmp_path / "c.yaml", language="zh", data={"path": "reviews.csv", "positive": "好"})
    result = run_audit(config, out=tmp_path / "runs", language="zh")
    assert result.record.data.scrubbed == {"EMAIL_ADDRESS": 150}
    [accuracy] = by_name(result.record, "quality.balanced_accuracy", "baseline")
    assert accuracy.value > 0.95
    assert 'lang="zh' in (result.out / "report.html").read_text(encoding="utf-8")


def test_no_raw_personal_data_is_anywhere_in_what_an_audit_leaves(folder: Path) -> None:
    secret = "mia.wong77@example.org"
    text = (folder / "reviews.csv").read_text()
    (folder / "data.csv").write_text(text.replace("dress", f"dress {secret}"))
    data = {"path": "data.csv", "groups": ["department"], "cluster": "customer"}
    result = run_audit(write_config(folder / "c.yaml", data=data), out=folder / "runs")
    assert result.record.data.scrubbed["EMAIL_ADDRESS"] > 50
    everything = b"".join(path.read_bytes() for path in (folder / "runs").rglob("*") if path.is_file())
    assert b"mia.wong77" not in everything
    assert b"love" in everything  # the store was really read


def test_plans_of_shipped_configs_hold() -> None:
    for name in shipped("audits"):
        of_task = load_task_config(name)
        plan = prepare(name) if of_task is None else prepare_task(*of_task)
        assert plan.identity


def test_texts_that_scrubbing_makes_equal_stay_on_one_side(tmp_path: Path) -> None:
    rows = [f"Please call me back at 212-555-{1000 + i} thanks,{'yes' if i % 2 else 'no'}\n" for i in range(40)]
    rows += [f"love number {i},yes\npoor number {i},no\n" for i in range(40)]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "".join(rows))
    record = run_audit(write_config(tmp_path / "c.yaml", data={"path": "reviews.csv"}), out=tmp_path / "runs").record
    assert record.data.scrubbed["PHONE_NUMBER"] == 40
    [shared] = [o for o in record.outcomes if o.metric == "data.shared_texts"]
    assert shared.value == 0  # type: ignore[union-attr]
    assert record.data.rows_train + record.data.rows_test == 120


def test_a_new_group_trains_nothing_again(folder: Path) -> None:
    run_audit(write_config(folder / "c.yaml"), out=folder / "runs")
    before = {p.name for p in (folder / "runs/small/.stages").glob("tfidf-*")}
    data = {"path": "reviews.csv", "positive": "yes", "cluster": "customer", "groups": ["department"]}
    run_audit(write_config(folder / "d.yaml", data=data), out=folder / "runs")
    assert {p.name for p in (folder / "runs/small/.stages").glob("tfidf-*")} == before


def test_placeholders_are_one_word_in_both_languages(tmp_path: Path) -> None:
    for language, words in (("en", ("love it", "poor thing")), ("zh", ("非常喜欢", "质量很差"))):
        rows = [f"{words[i % 2]} {'a@b.com' if i % 2 else ''} {i},{i % 2}\n" for i in range(80)]
        (tmp_path / "reviews.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
        config = write_config(tmp_path / f"{language}.yaml", language=language, data={"path": "reviews.csv"})
        record = run_audit(config, out=tmp_path / language).record
        [found] = by_name(record, "explanation.placeholders", "baseline")
        assert found.value >= 1, language


def test_a_run_copied_without_links_can_be_judged(folder: Path) -> None:
    result = run_audit(write_config(folder / "c.yaml"), out=folder / "runs")
    shutil.copytree(result.directory, folder / "copy", symlinks=False)
    again = conclude(load_record(folder / "copy"), Terms(policy=load_policy("launch")), folder / "copy", language="zh")
    assert again.verdict.status == result.verdict.status
    assert not list((folder / "copy").glob(".latest*"))


# -- the closed side ---------------------------------------------------------------------------


def audit_closed(folder: Path, url: str, **changes: Any) -> RunRecord:
    models = {"baseline": {"kind": "tfidf-logistic"}, "closed": closed(url, **changes)}
    config = write_config(folder / "c.yaml", models=models, candidate="closed", incumbent="baseline")
    return run_audit(config, out=folder / "runs").record


def coverage(record: RunRecord) -> Any:
    [outcome] = by_name(record, "quality.coverage", "closed")
    return outcome


def statuses(record: RunRecord, control: str) -> set[Status]:
    findings = judge(record, load_policy("launch")).of("closed").findings
    return {finding.status for finding in findings if finding.control == control}


def test_a_closed_model_is_weighed_on_fewer_rows_and_paired(folder: Path) -> None:
    with fake_server() as fake:
        record = audit_closed(folder, fake.url)
    assert coverage(record).value == 1.0
    assert record.model("closed").weighed_on == 20
    assert record.model("closed").sent["rows"] == len(fake.messages) == 20
    assert record.model("closed").settings["model"] == "fake-1.2"
    [difference] = by_name(record, "quality.accuracy.difference", "closed")
    assert isinstance(difference, Measurement)
    assert (difference.reference, difference.n) == ("baseline", 20)


def test_what_leaves_is_scrubbed(folder: Path) -> None:
    text = (folder / "reviews.csv").read_text()
    (folder / "reviews.csv").write_text(text.replace("dress", "call 13800138000 or mia@example.org"))
    with fake_server() as fake:
        record = audit_closed(folder, fake.url)
    sent = json.dumps(fake.bodies, ensure_ascii=False)
    assert "13800138000" not in sent
    assert "mia@" not in sent
    assert "[EMAIL_ADDRESS]" in sent
    assert coverage(record).value == 1.0


@pytest.mark.parametrize("fault", ["down", "429", "500", "nonsense", "slow"])
def test_a_failing_api_costs_rows_not_the_audit(folder: Path, fault: str) -> None:
    soon = {"retry-after-ms": "5"}
    plays = {
        "429": Play(status=429, headers=soon),
        "500": Play(status=500, headers=soon),
        "nonsense": Play(body="I think that this is a lovely dress."),
        "slow": Play(delay=0.6),
    }
    if fault == "down":
        record = audit_closed(folder, f"http://127.0.0.1:{closed_port()}/v1", max_retries=0)
    else:
        with fake_server(lambda _message, _before: plays[fault]) as fake:
            record = audit_closed(folder, fake.url, timeout=0.3, max_retries=1)
    assert coverage(record).value == 0.0
    assert coverage(record).n == 20
    if fault != "nonsense":  # said nothing, so nothing it said was clean
        assert all(isinstance(o, NotMeasured) for o in by_name(record, "leakage.outputs_after", "closed"))
    assert statuses(record, "quality.coverage") == {Status.FAIL}
    assert record.model("closed").weighed_on == 20
    import pyarrow.parquet as pq

    [path] = (folder / "runs/small").glob("*/predictions/closed.parquet")
    rows = pq.read_table(path).to_pylist()
    assert len(rows) == 20
    assert all(row["failure"] and row["predicted"] is None for row in rows)


def test_a_few_faults_are_retried_and_nothing_is_asked_twice(folder: Path) -> None:
    def behave(message: str, before: int) -> Play:
        bad = Play(status=429 if len(message) % 2 else 500, headers={"retry-after-ms": "5"})
        return bad if before == 0 and hash(message) % 3 == 0 else Play()

    with fake_server(behave) as fake:
        record = audit_closed(folder, fake.url)
        assert coverage(record).value == 1.0
        assert set(fake.answered.values()) == {1}
        shutil.rmtree(folder / "runs/small" / record.run)
        asked = len(fake.messages)
        again = audit_closed(folder, fake.url)
    assert len(fake.messages) == asked
    assert figures(again) == figures(record)


def test_failed_rows_are_asked_again_on_demand_and_the_old_record_stays(folder: Path) -> None:
    well = False
    with fake_server(lambda message, _: Play() if well or len(message) % 2 else Play(status=400)) as fake:
        first = audit_closed(folder, fake.url)
        assert 0 < coverage(first).value < 1
        asked = len(fake.messages)
        assert audit_closed(folder, fake.url) == first
        assert len(fake.messages) == asked
        well = True
        again = run_audit(folder / "c.yaml", out=folder / "runs", again=True)
    assert coverage(again.record).value == 1.0
    assert again.directory.name == f"{first.run}-2"
    assert set(fake.answered.values()) == {1}
    assert load_record(again.directory.with_name(first.run)) == first
    assert run_audit(folder / "c.yaml", out=folder / "runs").record == again.record


# -- killed, and cut off from the world --------------------------------------------------------


def steelyard(*arguments: object, **settings: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "governance", *map(str, arguments)]
    return subprocess.Popen(command, text=True, cwd=ROOT, **settings)


@pytest.mark.slow
def test_an_audit_killed_again_and_again_ends_with_the_same_record(folder: Path) -> None:
    """`kill -9` a moment after something new is kept, so that scrubbing, training and asking are all hit."""
    write_reviews(folder / "reviews.csv", 1400)
    with fake_server(lambda _message, _before: Play(delay=0.02)) as fake:
        models = {
            "baseline": {"kind": "tfidf-logistic"},
            **encoder_models(folder),
            "closed": closed(fake.url, rows=150),
        }
        scrub = {"policy": "patterns", "workers": 2}
        evaluators = [{"name": "quality", "draws": 200}, {"name": "membership", "rows": 200, "draws": 200}, "claim"]
        config = write_config(
            folder / "c.yaml", models=models, candidate="open-private", scrub=scrub, evaluators=evaluators
        )

        def kept() -> set[str]:
            stages = {path.name for path in (folder / "runs/small/.stages").glob("*-*") if path.name[0] != "."}
            return stages | {f"{fake.answered.total() // 60} sixties of answers"}

        kills, seen = 0, kept()
        while kills < 4:
            child = steelyard("audit", config, "--out", folder / "runs", "--quiet", "--exit-zero")
            while child.poll() is None and kept() <= seen:
                time.sleep(0.02)
            time.sleep(0.3 * (kills % 3))
            if child.poll() is not None:
                break
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            kills, seen = kills + 1, seen | kept()
        child = steelyard("audit", config, "--out", folder / "runs", "--quiet", "--exit-zero")
        assert child.wait(timeout=300) == 0
        assert kills >= 3
        # Paid for once, but for answers that were on their way to a process that no longer lived to take them.
        assert fake.answered.total() - len(fake.answered) <= kills * CONCURRENCY
        assert len(fake.answered) == 150
        [run] = (folder / "runs/small").glob("*/record.json")
        killed = load_record(run.parent)
        assert killed.model("open-private").claim.steps == 40  # type: ignore[union-attr]

        # The same audit in one go; the private model's weights are given, since its noise can't be repeated.
        shutil.copytree(folder / "runs", folder / "whole")
        shutil.rmtree(folder / "whole/small" / run.parent.name)
        for stage in (folder / "whole/small/.stages").iterdir():
            claimed = stage.is_dir() and (stage / "claim.json").exists()
            if not claimed and stage.name != "answers.sqlite":
                shutil.rmtree(stage) if stage.is_dir() else stage.unlink()
        whole = run_audit(config, out=folder / "whole").record
        assert figures(whole) == figures(killed)
    assert not _children_of_runs(folder)


def _children_of_runs(folder: Path) -> list[str]:
    """Command lines of processes that still work for this test's folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line or ("spawn_main" in line and f"parent_pid={os.getpid()}" in line):
                found.append(line)
    return found


OFFLINE = """
import json, sys
from pathlib import Path
import socket
try:
    socket.create_connection(("192.0.2.1", 9), timeout=2)
except OSError as error:
    assert error.errno == 101, error  # ENETUNREACH: there is no way out
else:
    raise SystemExit("the network is reachable; this test proves nothing")
from click.testing import CliRunner
from governance.cli import main
from tests.fakeserver import fake_server
if __name__ == "__main__":
    import yaml
    config = Path(sys.argv[1])
    with fake_server() as fake:
        raw = yaml.safe_load(config.read_text())
        raw["models"]["closed"]["base_url"] = fake.url
        config.write_text(yaml.safe_dump(raw))
        result = CliRunner().invoke(main, ["audit", str(config), "--out", sys.argv[2], "--json", "--quiet"])
    print(result.output)
    raise SystemExit(0 if result.exit_code in (0, 1, 3) else f"exit code {result.exit_code}")
"""


@pytest.mark.slow
def test_an_audit_needs_no_network(folder: Path) -> None:
    """All of it, children included, in a network namespace that has loopback and nothing else."""
    write_reviews(folder / "reviews.csv", 1400)
    models = {"baseline": {"kind": "tfidf-logistic"}, **encoder_models(folder), "closed": closed("http://x/v1")}
    config = write_config(
        folder / "c.yaml", models=models, candidate="open-private", incumbent="baseline",
        scrub={"policy": "default", "workers": 2}, evaluators=None,
    )  # fmt: skip
    script = folder / "offline.py"
    script.write_text(OFFLINE)
    inner = f"ip link set lo up && exec {sys.executable} {script} {config} {folder / 'runs'}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", inner], capture_output=True, text=True, env=environment, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    [run] = (folder / "runs/small").glob("*/record.json")
    record = load_record(run.parent)
    assert coverage(record).value == 1.0
    assert {outcome.metric.partition(".")[0] for outcome in record.outcomes} >= {
        "quality", "fairness", "privacy", "membership", "scrubber", "leakage", "explanation", "data",
    }  # fmt: skip


@pytest.mark.slow
def test_two_audits_on_one_folder_do_not_hurt_each_other(folder: Path) -> None:
    config = write_config(folder / "c.yaml")
    both = [
        steelyard("audit", config, "--out", folder / "runs", "--exit-zero", stderr=subprocess.PIPE) for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("waiting for it" in text for text in said) <= 1
    assert len(list((folder / "runs/small").glob("*/record.json"))) == 1


@pytest.mark.slow
def test_a_full_disk_is_told_and_loses_nothing(folder: Path) -> None:
    config = write_config(folder / "c.yaml", models={"baseline": {"kind": "tfidf-logistic"}})
    script = (
        f"mount -t tmpfs -o size=60k none {folder / 'runs'} && "
        f"{sys.executable} -m governance audit {config} --out {folder / 'runs'} --quiet; echo code $?; "
        f"mount -o remount,size=60m {folder / 'runs'} && "
        f"{sys.executable} -m governance audit {config} --out {folder / 'runs'} --quiet --exit-zero; echo code $?"
    )
    (folder / "runs").mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=200, check=False
    )
    assert "No space left on device; run the same command again to resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert "code 2" in done.stdout
    assert done.stdout.rstrip().endswith("code 0"), done.stdout + done.stderr
