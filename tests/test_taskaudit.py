"""Audits of tasks whose answers are words or rankings: from a config to a verdict, with every kind of model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from governance.audit import run_audit
from governance.backends.taskprompts import TaskPrompt
from governance.cli import main
from governance.errors import ConfigError, DataError
from governance.measure import EVERYONE, Measurement, NotMeasured
from governance.record import RunRecord, load_record
from tests.fakeserver import Play, fake_server

EMAIL, PHONE = "wei.zhang@mail-example.com", "13912345678"
POLICY = "You may return shoes within 30 days. Refunds take 5 working days. Write to wei.zhang@mail-example.com."
QUESTIONS = [
    ("How many days do I have to return shoes?", POLICY, ["30 days"], "new"),
    ("How long do refunds take?", POLICY, ["5 working days"], "returning"),
    ("Do you ship to Norway?", POLICY, [], "new"),
    ("I am at 212-555-0187, when is my refund there?", POLICY, ["5 working days"], "returning"),
] + [
    (
        f"Question {i}: may I return my shoes after {i} days?",
        POLICY,
        ["within 30 days"],
        "new" if i % 2 else "returning",
    )
    for i in range(36)
]
ZH = "鞋子可在收货后30天内退货。退款需要5个工作日。有问题请打13912345678。"
QUESTIONS_ZH = [
    ("鞋子多少天内可以退？", ZH, ["30天内"], "新客"),
    ("退款要多久？", ZH, ["5个工作日"], "老客"),
    ("可以寄到挪威吗？", ZH, [], "新客"),
] + [(f"第{i}个问题：鞋子穿了{i}天还能退吗？", ZH, ["30天内"], "老客") for i in range(20)]


def questions(folder: Path, rows: Any = QUESTIONS) -> Path:
    path = folder / "questions.jsonl"
    lines = [
        {"key": f"q{i}", "ask": ask, "policy": policy, "gold": gold, "segment": segment, "topic": f"t{i % 12}"}
        for i, (ask, policy, gold, segment) in enumerate(rows)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


RULES = {"kind": "lexical", "price_per_hour": 0.1}


def config(folder: Path, *, models: dict[str, Any] | None = None, **changes: Any) -> Path:
    data = {
        "path": "questions.jsonl",
        "columns": {"question": "ask", "context": "policy", "answers": "gold"},
        "groups": ["segment"],
        "cluster": "topic",
        "id": "key",
    } | changes.pop("data", {})
    given = models or {"rules": RULES}
    whole = {
        "audit": "answers",
        "task": "qa",
        "data": data,
        "models": given,
        "candidate": next(iter(given)),
        "draws": 200,
    }
    whole |= {"scrub": {"policy": "patterns", "workers": 1}} | changes
    path = folder / "answers.yaml"
    kept = {key: value for key, value in whole.items() if value is not None}
    path.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    return path


def found(record: RunRecord, metric: str, model: str, **more: Any) -> Any:
    matching = [
        o for o in record.outcomes
        if o.metric == metric and o.model == model and o.slice == EVERYONE
        and all(getattr(o, key) == value for key, value in more.items())
    ]  # fmt: skip
    assert len(matching) == 1, [o.metric for o in record.outcomes]
    return matching[0]


def scripted(*answers: str, **more: Any) -> dict[str, Any]:
    return {"kind": "scripted", "prompt": "qa.en.v1", "answers": list(answers), "max_tokens": 16, **more}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_models_that_write_end_in_a_verdict_and_a_page(tmp_path: Path, language: str) -> None:
    questions(tmp_path, QUESTIONS if language == "en" else QUESTIONS_ZH)
    models = {"rules": RULES, "script": scripted("30 days", prompt=f"qa.{language}.v1")}
    path = config(tmp_path, models=models, incumbent="script", language=language)
    done = CliRunner().invoke(
        main, ["audit", str(path), "--out", str(tmp_path / "runs"), "--lang", language, "--exit-zero", "--quiet"]
    )
    assert done.exit_code == 0, done.output
    (run,) = (tmp_path / "runs" / "answers").glob("*/record.json")
    record = load_record(run.parent)
    rows = len(QUESTIONS if language == "en" else QUESTIONS_ZH)
    assert (record.task, record.data.rows_test, record.data.clusters_test) == ("qa", rows, 12)
    assert found(record, "quality.coverage", "rules").value == 1.0
    assert isinstance(found(record, "quality.token_f1", "rules"), Measurement)
    difference = found(record, "quality.token_f1.difference", "rules", reference="script")
    mine, theirs = found(record, "quality.token_f1", "rules"), found(record, "quality.token_f1", "script")
    assert difference.value == pytest.approx(mine.value - theirs.value)
    assert {"p", "p_holm"} <= set(difference.counts)
    page = (run.parent / "latest" / "report.html").read_text("utf-8")
    assert {"en": "Token F1", "zh": "词元 F1 值"}[language] in page
    cards = list((run.parent / "latest" / "card").glob("*.md"))
    assert {card.stem for card in cards} == {"rules", "script", "data"}


def test_a_script_that_knows_the_answers_scores_what_it_must(tmp_path: Path) -> None:
    """By hand: '30 days' is right once in 40, and shares two of three tokens with 'within 30 days'."""
    questions(tmp_path)
    record = run_audit(config(tmp_path, models={"script": scripted("30 days")}), out=tmp_path / "runs").record
    assert found(record, "quality.exact_match", "script").value == pytest.approx(1 / 40)
    # The row without an answer wants "", the two on refunds share "days" with "5 working days".
    f1 = (1 + 2 * (2 * 1 / 5) + 0 + 36 * (2 * 2 / 5)) / 40
    assert found(record, "quality.token_f1", "script").value == pytest.approx(f1)
    assert found(record, "quality.refused_unanswerable", "script").value == 0.0
    silent = run_audit(
        config(tmp_path, models={"script": scripted("Not in the policy.")}), out=tmp_path / "others"
    ).record
    assert found(silent, "quality.exact_match", "script").value == pytest.approx(1 / 40)
    assert found(silent, "quality.refused_answerable", "script").value == 1.0


def test_no_personal_data_reaches_a_model_or_the_disk(tmp_path: Path) -> None:
    questions(tmp_path)
    with fake_server(lambda message, _: Play(f"Ask Ann at ann.lee@shop-example.com ({len(message)})")) as server:
        api = {"kind": "openai", "base_url": server.url, "model": "m", "prompt": "qa.en.v1", "max_tokens": 32}
        record = run_audit(config(tmp_path, models={"api": api}), out=tmp_path / "runs").record
        assert len(server.messages) == len(QUESTIONS)
        assert not any(EMAIL in message or "555-0187" in message for message in server.messages)
        assert all("EMAIL" in message for message in server.messages)
    secrets = [EMAIL.encode(), b"ann.lee@shop-example.com", b"555-0187"]
    for file in (tmp_path / "runs").rglob("*"):
        if file.is_file():
            content = file.read_bytes() if file.suffix != ".parquet" else str(pq.read_table(file).to_pydict()).encode()
            assert not any(secret in content for secret in secrets), file.name
    entry = record.model("api")
    assert entry.sent["rows"] == len(QUESTIONS) and entry.remote
    assert record.data.scrubbed["EMAIL_ADDRESS"] >= 1  # a policy that many rows share is scrubbed once
    assert entry.protocol == "written"


def test_a_second_run_asks_nothing_and_changes_nothing(tmp_path: Path) -> None:
    questions(tmp_path)
    with fake_server() as server:
        api = {"kind": "openai", "base_url": server.url, "model": "m", "prompt": "qa.en.v1", "max_tokens": 8}
        path = config(tmp_path, models={"api": api})
        first = run_audit(path, out=tmp_path / "runs")
        again = run_audit(path, out=tmp_path / "runs")
        anew = run_audit(path, out=tmp_path / "runs", again=True)
        assert len(server.messages) == len(QUESTIONS)
    assert again.record.digest() == first.record.digest()
    assert anew.record.outcomes == first.record.outcomes


def test_a_failing_api_is_counted_and_asked_again(tmp_path: Path) -> None:
    questions(tmp_path)
    broken = True

    def behave(message: str, _: int) -> Play:
        return Play(status=400, body="{}") if broken and "Question 3:" in message else Play("30 days")

    with fake_server(behave) as server:
        api = {"kind": "openai", "base_url": server.url, "model": "m", "prompt": "qa.en.v1", "max_tokens": 8}
        path = config(tmp_path, models={"api": api})
        record = run_audit(path, out=tmp_path / "runs").record
        assert found(record, "quality.coverage", "api").value == pytest.approx(39 / 40)
        assert found(record, "quality.exact_match", "api").n == 39
        broken = False
        mended = run_audit(path, out=tmp_path / "runs", again=True).record
        assert found(mended, "quality.coverage", "api").value == 1.0
        assert max(server.answered.values()) == 1


def test_answers_in_a_file_and_of_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions(tmp_path)
    lines = [{"id": f"q{i}", "said": gold[0] if gold else ""} for i, (_, _, gold, _) in enumerate(QUESTIONS)]
    lines[5] = {"id": "q5", "said": None}
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "shop_function.py").write_text(
        "def answer(rows):\n    return ['30 days' if 'return' in row['question'] else '' for row in rows]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    models = {
        "file": {"kind": "predictions", "path": "said.jsonl", "label": "said"},
        "function": {"kind": "callable", "function": "shop_function:answer", "code": True},
    }
    record = run_audit(config(tmp_path, models=models), out=tmp_path / "runs").record
    assert found(record, "quality.coverage", "file").value == pytest.approx(39 / 40)
    assert found(record, "quality.exact_match", "file").value == 1.0
    assert found(record, "quality.exact_match", "function").value == pytest.approx(2 / 40)  # and the one without
    assert [record.model(name).protocol for name in models] == ["file", "function"]


def ranked(folder: Path) -> Path:
    lines = []
    for i in range(40):
        query = f"when will order {i} arrive"
        lines += [("1", query, f"order {i} will arrive soon"), ("0", query, "thank you"), ("0", query, "blue or red?")]
    (folder / "dialogues.txt").write_text("".join(f"{y}\thello\t{q}\t{a}\n" for y, q, a in lines), encoding="utf-8")
    return folder / "dialogues.txt"


def test_rankings_from_a_file_of_dialogues(tmp_path: Path) -> None:
    ranked(tmp_path)
    data = {
        "path": "dialogues.txt", "dialogues": True, "columns": {"query": "dialogue", "candidates": "answer"},
        "gather": "query", "right": "label", "groups": [], "cluster": None, "id": None,
    }  # fmt: skip
    models = {
        "rules": RULES,
        "second": {"kind": "scripted", "prompt": "ranking.en.v1", "answers": ["2, 1, 3"], "max_tokens": 16},
        "lost": {"kind": "scripted", "prompt": "ranking.en.v1", "answers": ["the first"], "max_tokens": 16},
    }
    record = run_audit(config(tmp_path, task="ranking", data=data, models=models), out=tmp_path / "runs").record
    assert found(record, "quality.mrr", "rules").value == 1.0
    assert found(record, "quality.mrr", "second").value == 0.5
    assert found(record, "quality.recall_at_5", "second").value == 1.0
    assert found(record, "quality.coverage", "lost").value == 0.0
    assert isinstance(found(record, "quality.mrr", "lost"), NotMeasured)
    assert (record.data.rows_read, record.data.rows_test) == (120, 40)


def test_a_metric_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions(tmp_path)
    (tmp_path / "shop_metric.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Short:\n"
        "    most: int = 10\n"
        "    name = 'short'\n"
        "    unit = 'rate'\n"
        "    def score(self, item, reply, language):\n"
        "        return float(len(reply.words) <= self.most)\n"
        "class Raises(Short):\n"
        "    def score(self, item, reply, language):\n"
        "        raise ValueError(item.texts['question'])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = {"name": "shop_metric:Short", "code": True, "most": 8}
    models = {"a": scripted("30 days"), "b": scripted("within 30 days of it")}
    path = config(tmp_path, models=models, incumbent="b", metrics=[entry])
    record = run_audit(path, out=tmp_path / "runs").record
    assert [found(record, "own.short", name).value for name in models] == [1.0, 0.0]
    assert found(record, "own.short.difference", "a", reference="b").value == 1.0
    raising = config(tmp_path, models=models, metrics=[{"name": "shop_metric:Raises", "code": True}])
    with pytest.raises(ConfigError, match=r"metric 'Raises': score raised ValueError$"):
        run_audit(raising, out=tmp_path / "others")


def test_groups_are_told_apart(tmp_path: Path) -> None:
    """A file that serves new customers right and returning ones wrong."""
    rows = [
        (f"{ask} ({i})", policy, gold or ["no"], segment)
        for i, (ask, policy, gold, segment) in enumerate(QUESTIONS * 4)
    ]
    questions(tmp_path, rows)
    said = [
        {"id": f"q{i}", "label": gold[0] if segment == "new" else "no"} for i, (_, _, gold, segment) in enumerate(rows)
    ]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    models = {"file": {"kind": "predictions", "path": "said.jsonl"}}
    record = run_audit(config(tmp_path, models=models, data={"cluster": None}), out=tmp_path / "runs").record
    gaps = [o for o in record.outcomes if o.metric == "fairness.token_f1.difference" and isinstance(o, Measurement)]
    assert len(gaps) == 1 and gaps[0].low is not None and gaps[0].low > 0.8


def test_a_corrected_id_column_pairs_answers_anew(tmp_path: Path) -> None:
    """Answers keyed by `key`; without data.id they are taken for row numbers of other rows."""
    questions(tmp_path)
    lines = [{"id": f"q{i}", "label": gold[0] if gold else ""} for i, (_, _, gold, _) in enumerate(QUESTIONS)]
    lines += [{"id": str(i), "label": "no such thing"} for i in range(len(QUESTIONS))]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    models = {"file": {"kind": "predictions", "path": "said.jsonl"}}
    wrong = run_audit(config(tmp_path, models=models, data={"id": None}), out=tmp_path / "runs").record
    right = run_audit(config(tmp_path, models=models), out=tmp_path / "runs").record
    assert found(wrong, "quality.exact_match", "file").value == 0.0
    assert found(right, "quality.exact_match", "file").value == 1.0


def test_failures_and_blank_cells_of_a_file_of_answers(tmp_path: Path) -> None:
    questions(tmp_path)
    lines = [
        f"q{i},{gold[0] if gold else ''},{'timeout' if i < 10 else ''}" for i, (_, _, gold, _) in enumerate(QUESTIONS)
    ]
    lines[2] = "q2,,"  # the row without an answer, said so
    (tmp_path / "said.csv").write_text("id,label,err\n" + "\n".join(lines) + "\n")
    models = {"file": {"kind": "predictions", "path": "said.csv", "failure": "err"}}
    record = run_audit(config(tmp_path, models=models), out=tmp_path / "runs").record
    assert found(record, "quality.coverage", "file").value == pytest.approx(31 / 40)
    assert found(record, "quality.refused_unanswerable", "file").value == 1.0


def test_a_candidate_is_whole_whatever_stands_in_it_and_alike_ones_are_one(tmp_path: Path) -> None:
    lines = ["1\tmay I return it\tYes; you can return it", "0\tmay I return it\tNo way", "0\tmay I return it\t[1]"]
    lines += ["1\twhom do I call\tCall 212-555-0187", "0\twhom do I call\tCall 212-555-0188", "0\twhom do I call\tHi"]
    (tmp_path / "dialogues.txt").write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    seen: list[list[str]] = []

    def behave(message: str, _: int) -> Play:
        seen.append([line for line in message.splitlines() if line[:1].isdigit()])
        return Play("1, 2")

    data = {
        "path": "dialogues.txt", "dialogues": True, "columns": {"query": "dialogue", "candidates": "answer"},
        "gather": "query", "right": "label", "groups": [], "cluster": None, "id": None,
    }  # fmt: skip
    with fake_server(behave) as server:
        api = {"kind": "openai", "base_url": server.url, "model": "m", "prompt": "ranking.en.v1", "max_tokens": 8}
        record = run_audit(
            config(tmp_path, task="ranking", data=data, models={"api": api}), out=tmp_path / "runs"
        ).record
    assert sorted(seen) == [
        ["1. Call <PHONE_NUMBER>", "2. Hi"], ["1. Yes; you can return it", "2. No way", "3. [1]"],
    ] or sorted(len(one) for one in seen) == [2, 3]  # fmt: skip
    assert found(record, "quality.mrr", "api").value == 1.0


def test_a_killed_scrub_goes_on_with_the_texts_it_began_with(tmp_path: Path) -> None:
    """Shards are matched by place, so another order of columns is another stage."""
    questions(tmp_path)
    roles = {"question": "ask", "context": "policy", "answers": "gold"}
    first = run_audit(config(tmp_path, data={"columns": roles}), out=tmp_path / "runs")
    turned = dict(reversed(roles.items()))
    second = run_audit(config(tmp_path, data={"columns": turned}), out=tmp_path / "runs", again=True)
    assert len(list((tmp_path / "runs" / "answers" / ".stages").glob("scrub-*"))) == 2
    assert found(second.record, "quality.token_f1", "rules") == found(first.record, "quality.token_f1", "rules")


def test_another_cluster_column_changes_the_records_answers_too(tmp_path: Path) -> None:
    questions(tmp_path)
    written = []
    for cluster in ("topic", None):
        done = run_audit(config(tmp_path, data={"cluster": cluster}), out=tmp_path / "runs")
        table = pq.read_table(done.directory / "predictions" / "rules.parquet")
        written.append(len(set(table["cluster"].to_pylist())))
    assert written == [12, 40]


def test_a_reply_of_white_space_is_no_order() -> None:
    prompt = TaskPrompt.load("ranking.en.v1").bind(["query"], ranks=True)
    assert prompt.order("1" + " " * 4_000 + "x", 3) is None
    assert prompt.order(" 2、 1 . 3\n", 3) == (2.0, 3.0, 1.0)


BAD = {
    "an unknown task": ({"task": "qqa"}, r"answers\.yaml: task\.name: no task 'qqa'\. Did you mean 'qa'\?"),
    "an unknown role": (
        {"data": {"columns": {"question": "ask", "contxt": "policy", "answers": "gold"}}},
        r"data\.columns\.contxt: no such role of this task\. Did you mean 'context'\?",
    ),
    "a role that is missing": (
        {"data": {"columns": {"question": "ask", "answers": "gold"}}},
        r"data\.columns\.context: this role is required",
    ),
    "a column that is missing": (
        {"data": {"columns": {"question": "aks", "context": "policy", "answers": "gold"}}},
        r"data\.columns\.question: no column 'aks'\. Did you mean 'ask'\?",
    ),
    "a group that models see": ({"data": {"groups": ["policy"]}}, r"data\.groups: column 'policy' can't be a group"),
    "a model of classes": (
        {"models": {"a": {"kind": "tfidf-logistic"}}},
        r"models\.a\.kind: 'tfidf-logistic' tells classes apart",
    ),
    "a prompt of classes": (
        {"models": {"a": scripted("x", prompt="recommend.en.v1")}},
        r"models\.a\.prompt: .*recommend\.en\.v1\.yaml: positive: unknown key",
    ),
    "a prompt of another task": (
        {"models": {"a": scripted("x", prompt="description.en.v1")}},
        r"models\.a\.prompt: prompt 'description\.en\.v1': user: the task has no part \{title\}",
    ),
    "a metric without consent": (
        {"metrics": [{"name": "json:JSONDecoder"}]},
        r"metrics\.0: code: expected true, since 'json:JSONDecoder' is run in this process",
    ),
    "a metric that is none": (
        {"metrics": [{"name": "json:JSONDecoder", "code": True}]},
        r"metrics\.0: metric 'JSONDecoder': expected a `name`",
    ),
    "a candidate that is not there": ({"candidate": "ruels"}, r"no model 'ruels'\. Did you mean 'rules'\?"),
    "an unknown setting of the task": ({"task": {"name": "qa", "k": 3}}, r"task\.k: unknown key 'k'"),
    "two metrics of one name": (
        {
            "metrics": [
                {"name": "tests.owned:Long", "code": True},
                {"name": "tests.owned:Long", "code": True, "least": 9},
            ]
        },
        r"metrics\.1: a metric named 'long' stands twice",
    ),
    "no data": ({"data": {"path": "questoins.jsonl"}}, r"data\.path: questoins\.jsonl: no such file"),
    "right without gather": ({"data": {"right": "label"}}, r"right: expected gather beside it"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_config_is_told_at_once(tmp_path: Path, what: str) -> None:
    questions(tmp_path)
    changes, message = BAD[what]
    path = config(tmp_path, **changes)
    with pytest.raises((ConfigError, DataError), match=message):
        run_audit(path, out=tmp_path / "runs")
    done = CliRunner().invoke(main, ["audit", str(path), "--out", str(tmp_path / "runs")])
    assert done.exit_code == 2 and "Traceback" not in done.output


def test_the_verdict_can_be_asked_again_and_its_policy_checked(tmp_path: Path) -> None:
    questions(tmp_path)
    out = tmp_path / "runs"
    first = run_audit(config(tmp_path), out=out)
    changed = questions(tmp_path, QUESTIONS[:30])
    assert changed.exists()
    second = run_audit(config(tmp_path), out=out)
    runner = CliRunner()
    again = runner.invoke(main, ["gate", str(second.directory), "--baseline", str(first.directory)])
    assert again.exit_code == 1, again.output
    assert runner.invoke(main, ["report", str(second.directory), "--lang", "zh"]).exit_code == 0
    two = {"rules": RULES, "eager": {**RULES, "least": 0.0}}
    checked = runner.invoke(
        main, ["policy", "check", "task-qa", "--config", str(config(tmp_path, models=two, incumbent="eager"))]
    )
    assert checked.exit_code == 0, checked.output


@pytest.mark.slow
def test_a_killed_audit_pays_for_nothing_twice(tmp_path: Path) -> None:
    questions(tmp_path)
    with fake_server(lambda *_: Play("30 days", delay=0.05)) as server:
        api = {
            "kind": "openai", "base_url": server.url, "model": "m", "prompt": "qa.en.v1", "max_tokens": 8,
            "concurrency": 2,
        }  # fmt: skip
        path = config(tmp_path, models={"api": api})
        command = [
            sys.executable,
            "-m",
            "governance",
            "audit",
            str(path),
            "--out",
            str(tmp_path / "runs"),
            "--exit-zero",
        ]
        child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
        while len(server.messages) < 15:
            assert child.poll() is None
        child.kill()
        child.wait()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        twice = sum(count > 1 for count in server.answered.values())
        assert len(server.answered) == len(QUESTIONS) and twice <= 2
