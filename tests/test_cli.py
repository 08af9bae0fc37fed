"""The command: what a tired person types, and what it answers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from governance.cli import main
from tests.tiny import write_config, write_reviews


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def models(**changes: Any) -> dict[str, Any]:
    return {"m": {"kind": "tfidf-logistic", **changes}}


def openai(**changes: Any) -> dict[str, Any]:
    return {
        "m": {
            "kind": "openai",
            "base_url": "http://127.0.0.1:9/v1",
            "model": "x",
            "prompt": "recommend.en.v1",
            **changes,
        }
    }


def encoder(base: str) -> dict[str, Any]:
    return {"m": {"kind": "classifier", "base": base, "cached_layers": 1, "learning_rate": 1}}


def data(**changes: Any) -> dict[str, Any]:
    return {"path": "reviews.csv", **changes}


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"sede": 1}, "bad.yaml: sede: unknown key 'sede'. Did you mean 'seed'?"),
    ({"seed": "one"}, "bad.yaml: seed: expected a whole number, found 'one'"),
    ({"level": 1.5}, "bad.yaml: level: expected less than 1, found 1.5"),
    ({"language": "de"}, "bad.yaml: language: no 'de'. Did you mean 'en'? Known: en, zh."),
    ({"audit": "My Audit!"}, "bad.yaml: audit: "),
    ({"candidate": "basline"}, "candidate: no model 'basline'. Did you mean 'baseline'?"),
    ({"models": None}, "bad.yaml: models: this key is required"),
    ({"models": {"m": {"kind": "tfidf"}}}, "models.m.kind: no 'tfidf'. Did you mean 'tfidf-logistic'?"),
    ({"models": models(max_featuers=3), "candidate": "m"},
     "unknown key 'max_featuers' in models.m.tfidf-logistic. Did you mean 'max_features'?"),
    ({"data": data(text="txt")}, "data.text: no column 'txt'. Did you mean 'text'?"),
    ({"data": data(path="nowhere.csv")}, "bad.yaml: data.path: nowhere.csv: no such file or folder"),
    ({"data": data(path="empty.csv")}, "empty.csv: the file is empty"),
    ({"data": data(path="ragged.csv")}, "ragged.csv: can't be read: CSV parse error: Expected 2 columns, got 3"),
    ({"data": data(path="one.csv")}, "expected at least two classes, found one"),
    ({"data": data(path="hollow.csv", groups=["city"])}, "sensitive column 'city' has no value in any row"),
    ({"data": data(groups=["text"])}, "column 'text' can't be a group too"),
    ({"data": data(positive="maybe")}, "data.positive: no class 'maybe'. Did you mean 'yes'? Known: no, yes"),
    ({"models": encoder("no-such-folder"), "candidate": "m"},
     "models.m.base: no-such-folder: no such file or folder"),
    ({"models": encoder("."), "candidate": "m"},
     "models.m.base: expected a Hugging Face model folder with config.json"),
    ({"models": openai(api_key_env="NO_SUCH_KEY"), "candidate": "m"},
     "models.m.api_key_env: the environment variable 'NO_SUCH_KEY' is not set"),
    ({"models": openai(prompt="recomend.en.v1"), "candidate": "m"}, "models.m.prompt: no 'recomend.en.v1'"),
    ({"models": openai(base_url="http://me:key@x/v1"), "candidate": "m"}, "without a password, parameters"),
    ({"evaluators": [{"name": "quality", "draws": 2}]}, "evaluators.0: draws: expected at least 200, got 2"),
    ({"models": openai(base_url=None), "candidate": "m"}, "exactly one of launch (a local server) and base_url"),
    ({"evaluators": ["quality", "bais"]}, "bad.yaml: evaluators.1.name: no evaluator 'bais'. Did you mean 'fairness'?"),
    ({"evaluators": [{"name": "fairness", "min_row": 3}]},
     "evaluators.0.min_row: unknown key 'min_row'. Did you mean 'min_rows'?"),
    ({"evaluators": [{"name": "fairness", "min_rows": "ten"}]}, "evaluators.0.min_rows: expected int, found 'ten'"),
    ({"evaluators": ["quality", "quality"]}, "'quality' stands twice"),
    ({"policy": "lunch"}, "bad.yaml: policy: no 'lunch' in configs/policies. Did you mean 'launch'?"),
    ({"scrub": {"policy": "defualt"}},
     "bad.yaml: scrub.policy: no 'defualt' in configs/scrub. Did you mean 'default'?"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_reviews(tmp_path / "reviews.csv", 60)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "ragged.csv").write_text("text,label\nAnn Smith,yes,SECRET\n")
    (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"t{i},yes\n" for i in range(9)))
    (tmp_path / "hollow.csv").write_text(
        "text,label,city\n" + "".join(f"t{i},{'yes' if i % 2 else 'no'},\n" for i in range(9))
    )
    return tmp_path


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[message[-40:] for _, message in MISTAKES])
def test_a_mistake_is_named_with_its_place(folder: Path, changes: dict[str, Any], message: str) -> None:
    result = run("audit", write_config(folder / "bad.yaml", **changes), "--out", folder / "runs", "--quiet")
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output
    assert "SECRET" not in result.output
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty; `steelyard init` writes one"),
        ("- a\n", "expected a mapping of keys, found a list"),
        ("audit: [\n", "line 2, column 1: not valid YAML"),
        ("audit: a\naudit: b\n", "key 'audit' stands twice"),
        ("a: &x [1]\nb: *x\n", "aliases (*name) are not read"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_config_is_told(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    result = run("audit", path)
    assert result.exit_code == 2
    assert message in result.output


def test_a_missing_config_is_told(tmp_path: Path) -> None:
    assert "nowhere.yaml: no such file" in run("audit", tmp_path / "nowhere.yaml").output
    (tmp_path / "steelyard.yaml").touch()
    assert "no such file. Did you mean 'steelyard.yaml'?" in run("audit", tmp_path / "steelyard.yml").output
    result = run("audit", "quikstart")
    assert result.exit_code == 2
    assert "Did you mean 'quickstart'?" in result.output


def test_a_bug_says_where_to_report_it_and_quotes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("Ann Smith, 5 Elm Street")

    monkeypatch.setattr("governance.audit.run_audit", broken)
    result = run("audit", write_config(folder / "c.yaml"))
    assert result.exit_code == 4
    assert "internal error ZeroDivisionError at test_cli.py:" in result.output
    assert "please report" in result.output
    assert "Smith" not in result.output


def test_a_full_disk_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "runs/x")

    monkeypatch.setattr("governance.audit.run_audit", full)
    result = run("audit", write_config(folder / "c.yaml"))
    assert result.exit_code == 2
    assert "runs/x: No space left on device; run the same command again to resume" in result.output


def imported_by(*arguments: str) -> set[str]:
    """Modules that a command has imported when it ends."""
    command = f"c.main({list(arguments)})"
    code = f"import sys, governance.cli as c\ntry:\n    {command}\nexcept SystemExit:\n    print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    loaded = imported_by("--help")
    assert not loaded & {"numpy", "torch", "transformers", "pydantic", "yaml", "pyarrow", "rich", "presidio_analyzer"}


def test_a_mistake_is_found_before_anything_heavy_is_imported(folder: Path) -> None:
    config = write_config(folder / "bad.yaml", evaluators=["bais"])
    loaded = imported_by("audit", str(config))
    assert "pydantic" in loaded
    heavy = {"torch", "transformers", "presidio_analyzer", "spacy", "fairlearn", "sklearn", "pandas", "openai"}
    assert not loaded & heavy


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m governance schema | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "{"


def test_the_schema_is_for_editors() -> None:
    schema = json.loads(run("schema").output)
    assert set(schema["properties"]) >= {"audit", "data", "models", "candidate"}
    assert set(json.loads(run("schema", "--table").output)["properties"]) >= {"audit", "table", "settings", "policy"}
    assert set(json.loads(run("schema", "--task").output)["properties"]) >= {"audit", "task", "data", "metrics"}


def test_init_writes_what_audit_runs(tmp_path: Path) -> None:
    write_reviews(tmp_path / "mine.csv", 120, extras=False)
    started = run("init", tmp_path)
    assert started.exit_code == 0, started.output
    assert (tmp_path / ".github/workflows/steelyard.yml").exists()
    done = run("audit", tmp_path / "steelyard.yaml", "--out", tmp_path / "runs", "--quiet", "--json")
    assert done.exit_code == 3, done.output  # honest: fairness and privacy were never measured
    verdict = json.loads(done.stdout)
    assert verdict["exit_code"] == 3
    [out] = (tmp_path / "runs/my-audit").glob("*/latest")
    assert (out / "report.html").stat().st_size > 10_000
    again = run("init", tmp_path)
    assert again.exit_code == 2
    assert "is there already" in again.output


def test_paths_in_a_config_start_from_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mine.yaml").write_text(
        "name: mine\nversion: '1'\ntitle: {en: m}\n"
        "controls: [{id: a, says: {en: s}, metric: quality.accuracy, at_least: 0.1}]\n"
    )
    config = write_config(folder / "c.yaml", policy="mine.yaml")
    monkeypatch.chdir("/")
    done = run("audit", config, "--out", folder / "runs", "--quiet", "--json")
    assert json.loads(done.stdout)["policy"] == "mine"


def test_texts_without_words_are_told(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\n" + "".join(f"{'👍' * (i + 1)},{i % 2}\n" for i in range(40)))
    done = run("audit", write_config(tmp_path / "c.yaml", data={"path": "reviews.csv"}), "--out", tmp_path / "runs")
    assert done.exit_code == 2
    assert "no training text holds a word" in done.output


def test_init_in_chinese(tmp_path: Path) -> None:
    rows = [
        f"{'质量很好，非常喜欢' if i % 3 else '太差了，退货了'}第{i}件,{'好' if i % 3 else '差'}\n" for i in range(90)
    ]
    (tmp_path / "评论.csv").write_text("内容,标签\n" + "".join(rows), encoding="utf-8")
    missing = run("init", tmp_path)
    assert missing.exit_code == 2
    assert "no column 'text'; choose with --text" in missing.output
    assert run("init", tmp_path, "--text", "内容", "--label", "标签").exit_code == 0
    assert "language: zh" in (tmp_path / "steelyard.yaml").read_text(encoding="utf-8")
    done = run("audit", tmp_path / "steelyard.yaml", "--out", tmp_path / "runs", "--quiet", "--lang", "zh")
    assert done.exit_code in (1, 3), done.output
    [report] = (tmp_path / "runs/my-audit").glob("*/latest/report.html")
    assert 'lang="zh' in report.read_text(encoding="utf-8")


def test_init_asks_when_it_cannot_choose(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write_reviews(tmp_path / name, 20)
    result = run("init", tmp_path)
    assert result.exit_code == 2
    assert "several data files (a.csv, b.csv); name one with --data" in result.output


def test_init_without_data_says_where_to_put_it(tmp_path: Path) -> None:
    result = run("init", tmp_path / "new")
    assert result.exit_code == 0
    assert "put your data at" in result.output
    missing = run("audit", tmp_path / "new/steelyard.yaml")
    assert missing.exit_code == 2
    assert "reviews.csv: no such file" in missing.output


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-W", "error", "-m", "governance", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "0.1.0" in done.stdout
