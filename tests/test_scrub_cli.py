"""`steelyard scrub` and `steelyard restore`: what people type, what they get, and what a kill leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from governance import cli
from governance.privacy.policy import load_policy

ROWS = [
    {"id": 1, "text": "Call Ann Smith on 212-555-0187 or ann@shop.org. Ann Smith, ann@shop.org"},
    {"id": 2, "text": "邮箱zhang.wei@qq.com谢谢，手机13800138000"},
    {"id": 3, "text": None},
    {"id": 4, "text": ""},
    {"id": 5, "text": "order 20231234567890123, size M"},
]
KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff0"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.main, [str(word) for word in words])


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def texts(path: Path) -> list[str | None]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "in.jsonl", ROWS)


def test_files_policy_is_the_default_one_with_numbers() -> None:
    files, default = load_policy("files"), load_policy("default")
    numbered = {name: rule.model_copy(update={"action": "number"}) for name, rule in default.entities.items()}
    assert files == default.model_copy(update={"description": files.description, "entities": numbered})


@pytest.mark.slow
def test_placeholders_are_numbered_and_everything_else_stays(source: Path, tmp_path: Path) -> None:
    done = run("scrub", source, tmp_path / "out.jsonl", "--text", "text", "--language", "auto", "--json")
    assert done.exit_code == 0, done.stderr
    assert texts(tmp_path / "out.jsonl") == [
        "Call [PERSON_1] on [PHONE_NUMBER_1] or [EMAIL_ADDRESS_1]. [PERSON_1], [EMAIL_ADDRESS_1]",
        "邮箱[EMAIL_ADDRESS_1]谢谢，手机[PHONE_NUMBER_1]",
        None,
        "",
        "order 20231234567890123, size M",
    ]
    told = json.loads(done.stdout)
    assert (told["rows"], told["texts"], told["changed"], told["quarantine"]) == (5, 4, 2, None)
    assert told["counts"] == {"EMAIL_ADDRESS": 3, "PERSON": 2, "PHONE_NUMBER": 2}
    assert "5 rows, 2 of 4 texts changed" in done.stderr
    for value in ("Ann", "shop.org", "qq.com", "0187"):
        assert value not in done.stderr + done.stdout


def test_bad_rows_are_exit_0_with_a_note_and_3_with_strict(source: Path, tmp_path: Path) -> None:
    with source.open("a") as file:
        file.write('broken me@x.org\n{"id": 7, "text": 5550123}\n')
    words = ("scrub", source, tmp_path / "out.jsonl", "--policy", "patterns")
    done = run(*words, "--quiet")
    assert done.exit_code == 0
    assert "1 rows that can't be read are left out, 1 texts stand as [UNREADABLE]" in done.stderr
    assert done.stderr.count("\n") == 1
    assert run(*words, "--strict").exit_code == 3
    assert texts(tmp_path / "out.jsonl")[5:] == ["[UNREADABLE]"]
    assert "me@x.org" not in (tmp_path / "out.jsonl.quarantine.jsonl").read_text()


MISTAKES = [
    (["nowhere.jsonl", "out.jsonl"], "nowhere.jsonl: no such file or folder"),
    (["in.jsonl", "in.jsonl"], "OUT is IN itself"),
    (["in.jsonl", "out.docx"], "expected an ending of .jsonl"),
    (["in.jsonl", "out.jsonl", "--text", "txt"], "no column 'txt'. Did you mean 'text'?"),
    (["in.jsonl", "out.jsonl", "--policy", "patern"], "no 'patern' in configs/scrub. Did you mean 'patterns'?"),
    (["in.jsonl", "old.jsonl"], "--force"),
    (["in.jsonl", "out.jsonl", "--vault", "v", "--engine", "ray"], "--vault: hides plain texts"),
    (["in.jsonl", "out.jsonl", "--vault", "v"], "STEELYARD_SCRUB_KEY"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[message[:30] for _, message in MISTAKES])
def test_mistakes_are_one_clear_message(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEELYARD_SCRUB_KEY", raising=False)
    (tmp_path / "old.jsonl").write_text("mine")
    done = run("scrub", *words, *([] if "--policy" in words else ["--policy", "patterns"]))
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "old.jsonl").read_text() == "mine"


def test_missing_model_names_package_and_the_policy_that_needs_none(source: Path, tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text("ner: {en: no_such_model}\nentities: {PERSON: {threshold: 0.4}}\n")
    done = run("scrub", source, tmp_path / "out.jsonl", "--policy", policy)
    assert done.exit_code == 2
    assert "pip install no-such-model" in done.stderr and "'patterns'" in done.stderr


def test_only_the_leaves_of_structured_texts_are_rewritten(tmp_path: Path) -> None:
    value = '{"mail": "me@x.org", "电话": "13800138000", "n": 1e400}'
    write(tmp_path / "in.jsonl", [{"text": value}])
    done = run("scrub", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--policy", "patterns", "--structure", "json")
    assert done.exit_code == 0, done.stderr
    expected = '{"mail": "[EMAIL_ADDRESS]", "电话": "[PHONE_NUMBER]", "n": 1e400}'
    assert texts(tmp_path / "out.jsonl") == [expected]


def test_hidden_values_come_back_into_the_answers(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_SCRUB_KEY", KEY)
    words = ("scrub", source, tmp_path / "sent.jsonl", "--policy", "patterns", "--vault", tmp_path / "vault")
    done = run(*words, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["session"] == (tmp_path / "sent.jsonl.session").read_text()
    assert told["counts"]["EMAIL_ADDRESS"] == 3 and told["counts"]["PHONE_NUMBER"] == 2
    sent = (tmp_path / "sent.jsonl").read_text(encoding="utf-8")
    assert not re.search(r"shop\.org|qq\.com|0187|13800138000", sent)
    [token] = re.findall(r"\[EMAIL_ADDRESS_\d+\](?=谢谢)", sent)
    write(tmp_path / "answers.jsonl", [{"text": f"好的，{token.strip('[]').lower()}，再见 x@made.up"}])
    back = ("restore", tmp_path / "answers.jsonl", tmp_path / "back.jsonl", "--policy", "patterns")
    done = run(*back, "--vault", tmp_path / "vault", "--session", told["session"])
    assert done.exit_code == 0, done.stderr
    assert texts(tmp_path / "back.jsonl") == ["好的，zhang.wei@qq.com，再见 [EMAIL_ADDRESS]"]
    assert json.loads(run(*words, "--json").stdout)["reused"]
    done = run(*back, "--vault", tmp_path / "vault", "--session", "0" * 32, "--force")
    assert done.exit_code == 2 and "session" in done.stderr


def hide(source: Path, out: Path, vault: str, *words: str, policy: str | Path = "patterns") -> Result:
    return run("scrub", source, out, "--policy", policy, "--vault", out.with_name(vault), "--json", *words)


def test_another_policy_hides_and_restores_anew(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_SCRUB_KEY", KEY)
    mails, phones = tmp_path / "mails.yaml", tmp_path / "phones.yaml"
    mails.write_text("entities: {EMAIL_ADDRESS: {threshold: 0.4}}\n")
    phones.write_text("entities: {EMAIL_ADDRESS: {threshold: 0.4}, PHONE_NUMBER: {threshold: 0.4}}\n")
    sent, back = tmp_path / "sent.jsonl", tmp_path / "back.jsonl"
    session = json.loads(hide(source, sent, "vault", policy=mails).stdout)["session"]
    assert "13800138000" in sent.read_text(encoding="utf-8")
    refused = hide(source, sent, "vault", policy=phones)
    assert refused.exit_code == 2 and "--force" in refused.stderr
    assert hide(source, sent, "vault", "--force", policy=phones).exit_code == 0
    assert "13800138000" not in sent.read_text(encoding="utf-8")
    words = ("restore", source, back, "--vault", tmp_path / "vault", "--session", session, "--policy")
    assert run(*words, mails).exit_code == 0
    assert "13800138000" in back.read_text(encoding="utf-8")
    assert run(*words, phones).exit_code == 2
    assert run(*words, phones, "--force").exit_code == 0
    assert "13800138000" not in back.read_text(encoding="utf-8")


def test_session_of_an_output_is_given_up_by_force_alone(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_SCRUB_KEY", KEY)
    out, note = tmp_path / "sent.jsonl", tmp_path / "sent.jsonl.session"
    first = json.loads(hide(source, out, "vault").stdout)["session"]
    made = out.read_bytes()
    for vault, key in (("other", KEY), ("vault", KEY[::-1])):
        monkeypatch.setenv("STEELYARD_SCRUB_KEY", key)
        refused = hide(source, out, vault)
        assert refused.exit_code == 2 and "can't go on" in refused.stderr and "Traceback" not in refused.stderr
        assert (note.read_text(), out.read_bytes()) == (first, made)
    monkeypatch.setenv("STEELYARD_SCRUB_KEY", KEY)
    failed = hide(source, out, "other", "--force", "--text", "nothing")
    assert failed.exit_code == 2 and note.read_text() == first
    second = json.loads(hide(source, out, "other", "--force").stdout)["session"]
    assert second != first and note.read_text() == second


def test_unfinished_output_keeps_its_session(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_SCRUB_KEY", KEY)
    out, note = tmp_path / "sent.jsonl", tmp_path / "sent.jsonl.session"
    assert hide(source, out, "vault", "--text", "nothing").exit_code == 2
    first = note.read_text()  # a killed run needs it
    (tmp_path / "sent.jsonl.part").mkdir()
    assert hide(source, out, "other").exit_code == 2 and note.read_text() == first
    assert json.loads(hide(source, out, "vault").stdout)["session"] == first


def test_output_without_a_session_gets_none_where_it_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_SCRUB_KEY", KEY)
    (tmp_path / "sent.jsonl").write_text("mine")
    assert hide(source, tmp_path / "sent.jsonl", "vault").exit_code == 2
    assert not (tmp_path / "sent.jsonl.session").exists()


def test_input_that_is_named_like_the_session_stays(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_SCRUB_KEY", KEY)
    named = source.rename(tmp_path / "sent.jsonl.session")
    before = named.read_bytes()
    assert hide(named, tmp_path / "sent.jsonl", "vault").exit_code == 2
    assert named.read_bytes() == before


@pytest.mark.parametrize("action", ["redact", "mask", "hash", "encrypt", "surrogate"])
def test_vault_refuses_a_policy_that_asks_for_anything_but_tokens(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setenv("STEELYARD_SCRUB_KEY", KEY)
    policy = tmp_path / "p.yaml"
    policy.write_text(f"entities: {{QQ_ID: {{action: keep}}, EMAIL_ADDRESS: {{prompt: {{action: {action}}}}}}}\n")
    refused = hide(source, tmp_path / "sent.jsonl", "vault", policy=policy)
    assert refused.exit_code == 2
    assert "hides everything behind tokens: expected the action placeholder, number or keep" in refused.stderr
    assert f"found EMAIL_ADDRESS: {action};" in refused.stderr
    policy.write_text(f"entities: {{QQ_ID: {{action: keep}}, EMAIL_ADDRESS: {{train: {{action: {action}}}}}}}\n")
    assert hide(source, tmp_path / "sent.jsonl", "vault", policy=policy).exit_code == 0


# -- killed -------------------------------------------------------------------------------------


def start(*words: str | Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-m", "governance", *map(str, words)], stderr=subprocess.PIPE, text=True, env=environment
    )


def many(path: Path, count: int) -> Path:
    rows = [
        {"n": n, "text": f"{n} write to me{n}@x.org, 手机13{n % 10}00138{n % 1000:03d}, size {n}."}
        for n in range(count)
    ]
    return write(path, rows)  # type: ignore[arg-type]


@pytest.mark.slow
def test_killed_run_leaves_no_process_and_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    source = many(tmp_path / "in.jsonl", 12_000)
    words = ("scrub", source, tmp_path / "out.jsonl", "--policy", "patterns", "--workers", "2")
    parent = start(*words)
    part = tmp_path / "out.jsonl.part"
    try:
        deadline = time.monotonic() + 120
        while len(list(part.rglob("*.shard"))) < 3 and time.monotonic() < deadline:
            assert parent.poll() is None, "the run ended before it could be killed"
            time.sleep(0.02)
        workers = psutil.Process(parent.pid).children(recursive=True)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=15)
    assert not alive
    assert not (tmp_path / "out.jsonl").exists()
    kept = {path: path.stat().st_mtime_ns for path in part.rglob("*.shard")}
    assert 3 <= len(kept) < 24
    for path in [part, *part.rglob("*")]:
        assert path.name.startswith(".lock") or path.stat().st_mode & 0o077 == 0, path.name
    # The shards that are there are used: one that was tampered with shows in the output.
    first = min(kept)
    first.write_bytes(first.read_bytes().replace(b'"n": 0,', b'"n": -1,'))
    resumed = start(*words)
    assert resumed.wait() == 0, resumed.communicate()[1]
    resumed.communicate()
    whole = start("scrub", source, tmp_path / "whole.jsonl", "--policy", "patterns", "--workers", "1")
    assert whole.wait() == 0
    whole.communicate()
    out = (tmp_path / "out.jsonl").read_bytes()
    assert out.startswith(b'{"n": -1,')
    assert out.replace(b'"n": -1,', b'"n": 0,') == (tmp_path / "whole.jsonl").read_bytes()
    assert not part.exists()


@pytest.mark.slow
def test_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    source = many(tmp_path / "in.jsonl", 40_000)
    parent = start("scrub", source, tmp_path / "out.jsonl", "--policy", "patterns", "--workers", "2")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out.jsonl.part").rglob("*.shard")) and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = psutil.Process(parent.pid).children(recursive=True)
    for process in [parent, *workers]:  # as a terminal does
        process.send_signal(signal.SIGINT)
    _, told = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert "run the same command again to resume" in told
    assert "Traceback" not in told and "@x.org" not in told
    _, alive = psutil.wait_procs(workers, timeout=15)
    assert not alive
