"""`steelyard train`: from a YAML file to a model with a record, privately and not, killed and resumed."""

from __future__ import annotations

import csv
import functools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from governance import trainrun
from governance.budget.ledger import Ledger
from governance.budget.place import FOLDER
from governance.cli import main
from governance.configfile import shipped
from governance.dataset import ScrubbedTable
from governance.errors import BudgetExceeded, ConfigError, RecordError
from governance.progress import Progress
from governance.trainconfig import load_train_config
from governance.traindata import TABLE
from governance.training.dp import plan
from governance.trainprepare import columns_of, recipe_of
from governance.trainrecord import RECORD, load_training
from governance.trainrun import plan_training, run_training
from tests.tiny import write_encoder, write_reviews
from tests.tinymodels import write_model

PRIVATE = {"epsilon": 8.0, "delta": 1e-4, "sample_rate": 0.2, "steps": 40, "batch": 48.0, "clipping": 1.0}
DATA = {"path": "reviews.csv", "columns": {"text": "text"}}
LOGISTIC = {"recipe": "logistic", "learning_rate": 0.5, "text_buckets": 256, "classes": ["no", "yes"]}


def config(folder: Path, **changes: Any) -> Path:
    """A config beside reviews.csv; `changes` replace top-level keys (None removes one)."""
    made: dict[str, Any] = {
        "train": "small",
        "data": DATA,
        "scrub": {"policy": "patterns", "workers": 1},
        "training": LOGISTIC,
        **changes,
    }
    path = folder / f"{made['train']}.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in made.items() if value is not None}))
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def rows_of(out: Path, name: str = "small") -> ScrubbedTable:
    [found] = (out / name / ".stages").glob(f"rows-*/{TABLE}")
    return ScrubbedTable.load(found)


@pytest.fixture(autouse=True, scope="module")
def _noise_found_once() -> Iterator[None]:
    """The search for a plan's noise takes seconds: equal plans of these tests share one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "sigma_for", functools.cache(plan.sigma_for))
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_reviews(tmp_path / "reviews.csv", 120)
    return tmp_path


# -- an open run --------------------------------------------------------------------------------


def test_a_model_stands_beside_its_record_and_card(folder: Path) -> None:
    source = config(folder, data={**DATA, "licence": "MIT", "name": "Shop"})
    done = run("train", source, "--out", folder / "models", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    record = load_training(Path(told["record"]).parent)
    assert (told["rows"], told["epsilon"], told["fresh"]) == (120, None, True)
    assert (record.data.rows, record.data.columns) == (120, {"text": "text", "label": "label"})
    assert record.curve.loss
    assert not record.curve.loss_is_private
    assert {"README.md", "model/model.safetensors"} <= set(record.files)
    again = run("train", source, "--out", folder / "models")
    assert again.exit_code == 0
    assert "nothing changed" in again.stderr


def test_the_card_is_one_that_the_hub_reads_and_quotes_no_row(folder: Path) -> None:
    from huggingface_hub import ModelCard

    done = run_training(str(config(folder, language="zh")), out=folder / "models", language="zh")
    content = (done.directory / "README.md").read_text("utf-8")
    card = ModelCard(content)
    assert card.data.language == "zh"
    assert "训练数据" in content
    with (folder / "reviews.csv").open() as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    everything = content + (done.directory / RECORD).read_text("utf-8")
    assert not [text for text in texts if text in everything]


def test_training_again_gives_the_same_weights(folder: Path) -> None:
    source = str(config(folder))
    one = run_training(source, out=folder / "a")
    other = run_training(source, out=folder / "b")
    third = run_training(source, out=folder / "a", again=True)
    assert third.directory.name == f"{one.directory.name}-2"
    weights = [done.record.files["model/model.safetensors"] for done in (one, other, third)]
    assert len(set(weights)) == 1


def test_a_changed_model_is_noticed(folder: Path) -> None:
    done = run_training(str(config(folder)), out=folder / "models")
    (done.directory / "model" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(RecordError, match="changed since the model was trained"):
        load_training(done.directory)


def test_cleaning_and_scrubbing_are_counted(folder: Path) -> None:
    with (folder / "reviews.csv").open("a", newline="") as file:
        csv.writer(file).writerows(
            [
                ["CafÃ© style, write to ann.lee@shop.example.com", "yes", 30, "Tops", 900],
                ["", "no", 30, "Tops", 901],
                ["the dress is great", "", 30, "Tops", 902],
                ["the dress is awful", "no", 3000, "Tops", 903],
            ]
        )
    columns = {"text": "text", "numbers": ["age"]}
    cleaning = {"bounds": {"age": {"low": 18, "high": 100}}}
    source = config(folder, data={"path": "reviews.csv", "columns": columns}, cleaning=cleaning)
    data = run_training(str(source), out=folder / "models").record.data
    assert (data.rows_read, data.rows) == (124, 122)
    found = {"encoding: mojibake": 1, "missing: text": 1, "missing: label": 1, "out of bounds: age": 1}
    assert found.items() <= data.cleaning.items()
    assert data.scrubbed == {"EMAIL_ADDRESS": 1}
    table = rows_of(folder / "models")
    assert table.texts["text"][120].text == "Café style, write to [EMAIL_ADDRESS]"
    assert table.numbers["age"].max() <= 100


def test_hostile_rows_neither_stop_a_run_nor_reach_a_message(folder: Path) -> None:
    hostile = [
        "\ud83d half a pair and call 212-555-0187",
        "A" * 50_000,
        "{{ 7 * 7 }} {text} %s \\x00 \x00 \x1b[2J",
        "'; DROP TABLE rows; -- <script>alert(1)</script>",
        "[PERSON][PERSON] [EMAIL_ADDRESS",
        "﷽" * 200,
        "\u202eevil\u202c \u200b\u200b",
    ]
    rows = [{"text": text, "label": ["no", "yes"][i % 2]} for i, text in enumerate(hostile * 3)]
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    source = config(folder, data={"path": "rows.jsonl", "columns": {"text": "text"}})
    done = run("train", source, "--out", folder / "models")
    assert done.exit_code == 0, done.output
    assert "DROP TABLE" not in done.output
    record = next((folder / "models" / "small").glob(f"*/{RECORD}")).read_text()
    assert "555" not in record
    assert "DROP TABLE" not in record
    assert "555-0187" not in str([text.text for text in rows_of(folder / "models").texts["text"]])


def test_chinese_rows(folder: Path) -> None:
    rng = random.Random(0)
    good, bad = ["质量很好", "非常喜欢", "物流很快"], ["质量太差", "很失望", "退货了"]
    rows = [("好", f"{rng.choice(good)}，下次再来 {i}") for i in range(60)]
    rows += [("差", f"{rng.choice(bad)}，电话13812345678 {i}") for i in range(60)]
    broken = "质量很好非常喜欢".encode().decode("gb18030")
    lines = [f"{label},{text}" for label, text in [*rows, ("好", broken)]]
    (folder / "zh.csv").write_text("\n".join(["评价,内容", *lines]), "utf-8")
    training = {**LOGISTIC, "classes": ["好", "差"]}
    data = {"path": "zh.csv", "columns": {"text": "内容", "label": "评价"}}
    record = run_training(str(config(folder, data=data, training=training, language="zh")), out=folder / "m").record
    assert record.data.scrubbed == {"PHONE_NUMBER": 60}
    assert record.data.cleaning == {"encoding: mojibake": 1}
    texts = [text.text for text in rows_of(folder / "m").texts["text"]]
    assert texts[-1] == "质量很好非常喜欢"
    assert not any("1381234" in text for text in texts)
    assert record.curve.loss[-1][1] < record.curve.loss[0][1] or len(record.curve.loss) == 1


def test_a_class_whose_name_is_personal_data_is_hidden(folder: Path) -> None:
    text = (folder / "reviews.csv").read_text()
    (folder / "reviews.csv").write_text(text.replace(",yes,", ",ann.lee@shop.example.com,"))
    training = {key: value for key, value in LOGISTIC.items() if key != "classes"}
    done = run_training(str(config(folder, training=training)), out=folder / "models")
    assert done.record.data.hidden == {"label": 1}
    assert set(rows_of(folder / "models").labels["label"]) == {"no", "hidden"}
    everything = b"".join(file.read_bytes() for file in done.directory.rglob("*") if file.is_file())
    assert b"ann.lee" not in everything


def test_public_rows_stop_a_run(folder: Path) -> None:
    write_reviews(folder / "public.csv", 40, seed=7)
    training = {**LOGISTIC, "learning_rate": 200.0, "epochs": 60, "patience": 2, "schedule": "constant", "warm_up": 0.0}
    source = config(folder, training=training, public={"path": "public.csv", "rows": 30})
    record = run_training(str(source), out=folder / "models").record
    assert record.stopped == "the loss on public rows no longer fell"
    assert record.steps < 60 * 4
    assert record.public is not None
    assert record.public.rows == 30


def test_what_a_recipe_caches_of_the_rows_does_not_stand_beside_the_model(folder: Path) -> None:
    write_encoder(folder / "base")
    source = config(folder, training={**LOGISTIC, "base": "base", "text_buckets": 0})
    directory = run_training(str(source), out=folder / "models").directory
    assert {entry.name for entry in directory.iterdir() if entry.is_dir()} == {"model"}


# -- a private run ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two private runs on the same data, one after the other; the plan is made once."""
    folder = tmp_path_factory.mktemp("shop")
    write_reviews(folder / "reviews.csv", 120)
    data = {**DATA, "budget": {"epsilon": 11.0, "delta": 1e-4}}
    source = str(config(folder, data=data, private=PRIVATE))
    run_training(source, out=folder / "models")
    return folder


@pytest.mark.slow
def test_a_claim_covers_all_steps_and_says_what_it_does_not_cover(shop: Path) -> None:
    [path] = (shop / "models" / "small").glob(f"*/{RECORD}")
    record = load_training(path.parent)
    claim = record.claim
    assert claim is not None
    assert claim.steps == record.steps == 40
    assert claim.epsilon <= 8.0
    assert any("counts of what cleaning" in line for line in claim.not_covered)
    assert json.loads((path.parent / "claim.json").read_bytes())["epsilon"] == claim.epsilon
    assert record.spending is not None
    assert (record.spending.runs, claim.ledger_runs) == (1, 1)
    steps, epsilons = zip(*record.curve.epsilon, strict=True)
    assert (steps[-1], epsilons[-1]) == (40, claim.epsilon)
    assert list(epsilons) == sorted(epsilons)


@pytest.mark.slow
def test_the_audit_trail_says_what_a_private_run_spends_before_it_does(shop: Path) -> None:
    [path] = (shop / "models" / "small").glob(f"*/{RECORD}")
    claim = load_training(path.parent).claim
    assert claim is not None
    _, started, spend, ended = map(json.loads, (shop / "models/trail.jsonl").read_bytes().splitlines())
    assert [line["act"] for line in (started, spend, ended)] == ["training", "spend", "training"]
    assert {line["run"] for line in (started, spend, ended)} == {f"small/{path.parent.name}"}
    assert spend["epsilon"]["small"]["epsilon"] >= claim.epsilon > 0
    assert ended["epsilon"]["small"] == {"epsilon": claim.epsilon, "delta": 1e-4, "unit": "record"}


@pytest.mark.slow
def test_the_loss_of_a_private_run_is_kept_back_unless_asked_for(shop: Path) -> None:
    [path] = (shop / "models" / "small").glob(f"*/{RECORD}")
    record, card = load_training(path.parent), (path.parent / "README.md").read_text()
    assert (record.curve.loss, record.curve.loss_kept_back) == ((), True)
    assert "kept back" in card
    assert "loss by step" not in card
    assert not list((shop / "models").rglob("fitted-*"))
    shown = config(shop, train="shown", private={**PRIVATE, "steps": 4, "publish_loss": True, "epsilon": 1.0})
    done = run_training(str(shown), out=shop / "models")
    assert done.record.curve.loss
    assert done.record.curve.loss_is_private
    assert "does not cover it" in (done.directory / "README.md").read_text()
    assert done.record.claim is not None
    assert any("training loss" in line for line in done.record.claim.not_covered)


@pytest.mark.slow
def test_runs_on_the_same_rows_compose_and_the_budget_refuses_what_is_too_much(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", 120)
    budget = {"epsilon": 3.2, "delta": 1e-4}
    private = {**PRIVATE, "epsilon": 2.0, "steps": 10}

    def source(name: str, text: str) -> Path:
        # Other columns, cleaning and folders: still the same rows.
        data = {"path": "reviews.csv", "columns": {"text": text}, "budget": budget}
        return config(
            tmp_path, train=name, data=data, private=private, cleaning={"characters": {"high": 30, "outside": "clip"}}
        )

    one = run_training(str(source("one", "text")), out=tmp_path / "a").record
    other = run_training(str(source("other", "department")), out=tmp_path / "b").record
    assert one.spending is not None
    assert other.spending is not None
    assert other.spending.runs == 2
    assert one.spending.epsilon < other.spending.epsilon < 2 * one.spending.epsilon + 1e-6
    before = (tmp_path / FOLDER / "book.jsonl").read_bytes()
    ahead = run("train", source("third", "text"), "--plan", "--out", tmp_path / "c")
    assert ahead.exit_code == 1
    assert "PAST the budget" in ahead.stdout
    refused = run("train", source("third", "text"), "--out", tmp_path / "c")
    assert refused.exit_code == 2
    assert "Nothing was trained or spent" in refused.stderr
    assert (tmp_path / FOLDER / "book.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_run_may_stop_where_the_budget_ends(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", 120)
    private = {**PRIVATE, "steps": 60, "on_budget": "stop"}
    data = {**DATA, "budget": {"epsilon": 5.5, "delta": 1e-4}}
    record = run_training(str(config(tmp_path, data=data, private=private)), out=tmp_path / "models").record
    assert record.stopped == "the data set's privacy budget"
    assert record.steps in (20, 40)
    assert record.claim is not None
    assert record.claim.steps == record.steps
    assert record.claim.epsilon < 5.6


@pytest.mark.slow
def test_a_plan_writes_nothing_beside_the_data(folder: Path) -> None:
    source = config(folder, private={**PRIVATE, "steps": 2})
    done = run("train", source, "--plan", "--json", "--out", folder / "models")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["plan"]["steps"] == 2
    assert told["cost"]["before"] == 0
    assert told["cost"]["after"] <= 8.0
    assert not (folder / FOLDER).exists()
    assert not list((folder / "models").rglob("rows-*"))


@pytest.mark.slow
def test_what_was_trained_is_not_paid_for_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after training, before the record: the next start finishes it."""
    source = str(config(folder, private={**PRIVATE, "steps": 2}))
    finish = trainrun.finish

    def cut_off(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainrun, "finish", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run_training(source, out=folder / "models")
    monkeypatch.setattr(trainrun, "finish", finish)
    done = run_training(source, out=folder / "models")
    assert done.record.steps == 2
    [spent] = Ledger(folder / FOLDER, create=False).state.runs.values()
    assert spent.charged == 2


@pytest.mark.slow
@pytest.mark.parametrize("lost", [True, False])
def test_an_untrained_model_never_gets_a_claim(folder: Path, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    """All steps are paid for: with the weights lost, the run is another one and pays again; else it goes on."""
    source = str(config(folder, private={**PRIVATE, "steps": 2}))
    write = trainrun.write_atomic

    def cut_off(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainrun, "write_atomic", cut_off)  # the model is there, what was trained isn't written down
    with pytest.raises(KeyboardInterrupt):
        run_training(source, out=folder / "models")
    monkeypatch.setattr(trainrun, "write_atomic", write)
    for checkpoint in (folder / "models").rglob("step-*") if lost else ():
        shutil.rmtree(checkpoint)
    done = run_training(source, out=folder / "models")
    assert done.record.claim is not None
    runs = [run.charged for run in Ledger(folder / FOLDER, create=False).state.runs.values()]
    assert runs == ([2, 2] if lost else [2])
    assert done.record.claim.ledger_runs == len(runs)
    assert done.record.claim.ledger_epsilon is not None
    if lost:
        assert done.record.claim.ledger_epsilon > done.record.claim.epsilon


def test_what_stands_for_a_hidden_name_does_not_change_with_other_rows(folder: Path) -> None:
    """Names numbered over all rows would change with every row that joins them."""
    shops = [
        ("great", "yes", "zoe@shop.example.com"),
        ("poor", "no", "Corner"),
        ("soft", "yes", "ann@shop.example.com"),
    ]
    lines = [f"the dress is {word} {i},{label},{shop}" for i, (word, label, shop) in enumerate(shops * 20)]
    (folder / "shops.csv").write_text("\n".join(["text,label,shop", *lines]))
    data = {"path": "shops.csv", "columns": {"text": "text", "categories": ["shop"]}}
    training = {**LOGISTIC, "categories": {"shop": ["Corner", "zoe@shop.example.com"]}}
    run_training(str(config(folder, data=data, training=training)), out=folder / "models")
    assert set(rows_of(folder / "models").labels["shop"]) == {"Corner", "zoe@shop.example.com", "hidden"}


def test_followed_users_are_codes_without_a_unit_column_too(folder: Path) -> None:
    lines = [f"u{i % 12}@shop.example.com,item {i % 5},{i}" for i in range(60)]
    (folder / "bought.csv").write_text("user,item,time\n" + "\n".join(lines))
    training = {"recipe": "lstm-recommender", "learning_rate": 0.01, "width": 8}
    data = {"path": "bought.csv", "columns": {}}
    done = run_training(str(config(folder, data=data, training=training)), out=folder / "models")
    everything = b"".join(file.read_bytes() for file in (folder / "models").rglob("*") if file.is_file())
    assert b"shop.example.com" not in everything
    assert done.record.steps > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"recipe": "lstm-classifier", "learning_rate": 1, "base": "base"}}, "base: expected none"),
        ({"training": {**LOGISTIC, "base": "model.gguf"}}, "a GGUF file serves 'causal-lm' alone"),
        (
            {"training": {"recipe": "tree"}, "public": {"path": "reviews.csv"}, "private": None},
            "public: expected none; recipe 'tree' looks at no public rows",
        ),
        (
            {"training": {"recipe": "self-training", "classifier": "mlp", "learning_rate": 1, "options": {"hiden": 3}}},
            "unknown key 'hiden'",
        ),
    ],
)
def test_what_a_recipe_does_not_use_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    (folder / "model.gguf").write_bytes(b"GGUF")
    (folder / "base").mkdir()
    with pytest.raises(ConfigError, match=re.escape(message)):
        run_training(str(config(folder, **changes)), out=folder / "models")


@pytest.mark.slow
def test_users_are_capped_once_and_rows_of_nobody_left_out(folder: Path) -> None:
    lines = [
        f"the dress is {word} {i},{label},u{i % 10}"
        for i, (word, label) in enumerate([("great", "yes"), ("poor", "no")] * 30)
    ]
    (folder / "users.csv").write_text("\n".join(["text,label,who", *lines, "fine,yes,", "fine,no,"]))
    data = {"path": "users.csv", "columns": {"text": "text"}, "unit": "who"}
    private = {**PRIVATE, "steps": 2, "unit": "user", "cap": 4, "drawn": "user", "batch": 2.0}
    record = run_training(str(config(folder, data=data, private=private)), out=folder / "models").record
    assert (record.data.rows, record.data.users) == (40, 10)
    assert record.data.left_out == {"more rows of one user than the cap": 20}
    assert record.data.cleaning["dropped: no user"] == 2
    assert record.claim is not None
    assert (record.claim.unit, record.claim.units, record.claim.cap, record.claim.drawn) == ("user", 10, 4, "user")
    table = rows_of(folder / "models")
    assert table.units is not None
    assert max(np.bincount(table.units)) == 4
    kept = next((folder / "models").rglob(TABLE)).read_bytes()
    assert b"u7" not in kept, "a user's id was kept"


@pytest.mark.slow
def test_kill_9_at_any_moment_never_leaves_less_in_the_book_than_was_taken(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", 120)
    write_encoder(tmp_path / "base", layers=1)
    training = {
        "recipe": "encoder-classifier", "base": "base", "method": "full", "max_tokens": 16,
        "classes": ["no", "yes"], "learning_rate": 0.001,
    }  # fmt: skip
    source = config(tmp_path, training=training, private={**PRIVATE, "steps": 120})
    plan_training(str(source), out=tmp_path / "models")  # its seconds aren't what is killed here
    command = [sys.executable, "-m", "governance", "train", str(source), "--out", str(tmp_path / "models"), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    rng, kills = random.Random(0), 0
    while True:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        moment, seen = rng.randint(1, 40), _taken(tmp_path)
        while process.poll() is None and kills < 3:
            if _taken(tmp_path) >= seen + moment:  # a while after its first new checkpoint
                time.sleep(rng.random() / 10)
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.01)
        out, err = process.communicate(timeout=300)
        charged = sum(one.charged for one in Ledger(tmp_path / FOLDER, create=False).state.runs.values())
        assert charged >= _taken(tmp_path)
        if process.returncode != -signal.SIGKILL:
            break
    assert process.returncode == 0, err
    assert kills == 3
    told = json.loads(out)
    assert told["ledger_runs"] == 1
    assert told["steps"] == charged == 120


def _taken(folder: Path) -> int:
    """Steps in the newest whole checkpoint."""
    states = (folder / "models").glob("small/*.part/step-*/state.json")
    return max((int(path.parent.name.removeprefix("step-")) for path in states), default=0)


# -- mistakes -----------------------------------------------------------------------------------

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"training": {**LOGISTIC, "recipe": "logistics"}},
     r"training.recipe: no recipe 'logistics'. Did you mean 'logistic'\?"),
    ({"training": {**LOGISTIC, "lerning_rate": 1}},
     r"training.lerning_rate: unknown key.* Did you mean 'learning_rate'\?"),
    ({"training": {**LOGISTIC, "text_buckets": "many"}},
     r"training.text_buckets: expected a whole number, found 'many'"),
    ({"training": {**LOGISTIC, "schedule": "liner"}},
     r"training.schedule: no 'liner'. Did you mean 'linear'\?"),
    ({"data": {"path": "reviews.csv", "columns": {"text": "txt"}}},
     r"data.columns.text: no column 'txt'.* Did you mean 'text'\?"),
    ({"data": {"path": "reviews.csv", "columns": {"txt": "text"}}},
     r"data.columns.txt: .*Did you mean 'text'\?"),
    ({"data": {"path": "review.csv"}},
     r"data.path: review.csv: no such file"),
    ({"data": {"path": "reviews.csv", "unit": "customers"}},
     r"data.unit: no column 'customers'.* Did you mean 'customer'\?"),
    ({"scrub": {"policy": "patern"}},
     r"scrub.policy: .*Did you mean 'patterns'\?"),
    ({"cleaning": {"bounds": {"ages": {"low": 1}}}, "data": {"path": "reviews.csv", "columns": {"numbers": ["age"]}}},
     r"cleaning.bounds.ages: no number column 'ages' is read. Did you mean 'age'\?"),
    ({"cleaning": {"outliers": "drop"}, "private": PRIVATE},
     r"cleaning.outliers: expected none in a private run"),
    ({"cleaning": {"encoding": "fix"}},
     r"cleaning.encoding: no 'fix'. .*Known: drop, keep, repair"),
    ({"private": {**PRIVATE, "unit": "user"}},
     r"data.unit: expected the column of the user's id"),
    ({"private": {**PRIVATE, "cap": 3}},
     r"private: cap: expected none with unit record"),
    ({"private": {**PRIVATE, "delta": 0.5}},
     r"private.delta: expected below 1/n"),
    ({"private": {**PRIVATE, "epsilon": -1}},
     r"private.epsilon: expected .*greater than 0"),
    ({"training": {**LOGISTIC, "patience": 2}},
     r"public: expected rows to stop by"),
    ({"data": {"path": "reviews.csv", "budget": {"epsilon": 1, "delta": 1e-5}}},
     r"data.budget: expected none without private"),
    ({"training": {"recipe": "mlm", "learning_rate": 1}, "data": {"path": "reviews.csv"}},
     r"training.base: recipe 'mlm' starts from pretrained weights"),
    ({"training": {"recipe": "mlm", "learning_rate": 1, "base": "."}},
     r"training.base: expected a Hugging Face model folder"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[str(i) for i in range(len(MISTAKES))])
def test_a_mistake_is_told_with_file_key_and_the_nearest_name(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    source = config(folder, **changes)
    done = run("train", source, "--plan", "--out", folder / "models")
    assert done.exit_code == 2, done.output
    assert str(source) in done.stderr
    with pytest.raises(Exception, match=message):
        plan_training(str(source), out=folder / "models")
    assert "Traceback" not in done.stderr


def test_a_repeated_name_in_columns_is_refused(folder: Path) -> None:
    source = config(folder, data={"path": "reviews.csv", "columns": {"numbers": ["age"], "categories": ["age"]}})
    with pytest.raises(ConfigError, match=r"data.columns.(numbers|categories): 'age' stands twice"):
        plan_training(str(source), out=folder / "models")


# -- what ships ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped("training"))
def test_every_shipped_config_fits_its_recipe(name: str) -> None:
    from governance.cleaning import refused
    from governance.registry import load
    from governance.training.recipes import RECIPES

    made, path = load_train_config(name)
    kind = load("recipe", made.training.recipe, RECIPES)
    recipe, _ = recipe_of(kind, made.training, path)
    wanted = columns_of(kind, made, path)
    assert recipe is not None
    assert wanted
    if made.private is not None:
        assert refused(made.cleaning.made()) == ()
    assert made.training.base or not kind.needs_base


def test_the_schema_is_of_the_training_config() -> None:
    done = run("schema", "--training")
    assert json.loads(done.stdout)["title"] == "TrainConfig"


@pytest.mark.slow
def test_a_bar_says_what_the_run_is_at(folder: Path) -> None:
    seen: list[str] = []

    class Watched(Progress):
        def reach(self, units: int, note: str = "") -> None:
            seen.append(note)

    run_training(str(config(folder, private={**PRIVATE, "steps": 2})), out=folder / "m", progress=Watched(quiet=True))
    assert seen
    assert all("epsilon" in note for note in seen)


def test_budget_exceeded_is_a_mistake_of_the_users() -> None:
    assert BudgetExceeded.exit_code == 2


def test_tagged_rows_stay_aligned_through_cleaning_and_scrubbing(folder: Path) -> None:
    write_encoder(folder / "base")
    rows = [
        {"words": ["the", "shirt", "of", "ann@shop.com", "is", "great"], "tags": ["O", "B-KIND", "O", "O", "O", "O"]},
        {"words": ["one", "tag", "too", "few"], "tags": ["O", "O", "O"]},
        {"words": ["裙", "子", "13812345678"], "tags": ["B-KIND", "I-KIND", "B-TEL"]},
    ] * 4
    (folder / "tags.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    training = {"recipe": "tagger", "base": "base", "method": "full", "max_tokens": 16, "learning_rate": 0.001}
    data = {"path": "tags.jsonl", "columns": {"tokens": "words", "tags": "tags"}}
    record = run_training(str(config(folder, data=data, training=training)), out=folder / "models").record
    assert record.data.left_out == {"tags that no longer fit the scrubbed tokens": 4}
    assert record.facts["rows left out"] == 0
    table = rows_of(folder / "models")
    assert table.texts["tokens"][0].text == "the shirt of [EMAIL_ADDRESS] is great"
    assert table.labels["tags"][0] == "O B-KIND O O O O"
    assert (table.texts["tokens"][1].text, table.labels["tags"][1]) == ("裙 子 [PHONE_NUMBER]", "B-KIND I-KIND B-TEL")


def test_of_customers_only_codes_are_kept(folder: Path) -> None:
    rng = random.Random(0)
    lines = [f"ann{i % 9}@shop.com,item-{rng.randint(0, 4)},2026-01-{1 + i // 9:02d}" for i in range(90)]
    (folder / "bought.csv").write_text("\n".join(["customer,product,at", *lines]))
    (folder / "catalogue.txt").write_text("\n".join(f"item-{i}" for i in range(5)))
    columns = {"user": "customer", "item": "product", "time": "at"}
    data = {"path": "bought.csv", "columns": columns, "unit": "customer"}
    training = {"recipe": "lstm-recommender", "catalogue": "catalogue.txt", "width": 8, "learning_rate": 0.01}
    done = run_training(str(config(folder, data=data, training=training)), out=folder / "models")
    assert done.record.data.users == 9
    assert done.record.settings["catalogue"] == "catalogue.txt"  # and no path of this machine
    kept = [file.read_bytes() for file in (folder / "models").rglob("*") if file.is_file()]
    assert not any(b"shop.com" in content for content in kept)
    (folder / "catalogue.txt").write_text("\n".join(f"item-{i}" for i in range(6)))
    assert run_training(str(folder / "small.yaml"), out=folder / "models").fresh, "another catalogue is another model"


def test_a_question_without_an_answer_is_a_row(folder: Path) -> None:
    write_encoder(folder / "base")
    rows = [{"question": "is it soft", "context": "the dress is soft", "answer": ["soft", ""][i % 2]} for i in range(8)]
    (folder / "qa.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    training = {
        "recipe": "qa",
        "base": "base",
        "method": "full",
        "max_question": 8,
        "max_tokens": 32,
        "learning_rate": 0.001,
    }
    record = run_training(str(config(folder, data={"path": "qa.jsonl"}, training=training)), out=folder / "m").record
    assert (record.data.rows, record.data.cleaning["missing: answer"]) == (8, 4)


def test_the_lines_in_the_card_load_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_training(str(config(folder)), out=folder / "models")
    _, code, _ = re.split(r"```(?:python)?\n", (done.directory / "README.md").read_text())
    monkeypatch.chdir(done.directory)
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - our own card
    assert found["model"].classes == ("no", "yes")


def test_product_copy_by_a_small_language_model_with_lora(folder: Path) -> None:
    """The shipped config, with a model that fits into a test."""
    shipped_config, path = load_train_config("product-copy")
    base = write_model(folder / "base", "gpt2")
    made = shipped_config.model_dump(exclude_unset=True)
    made["training"] |= {"base": str(base), "max_source": 24, "max_target": 24}
    made["data"] |= {"path": str(path.parent / "catalogue.csv"), "rows": 40}
    source = folder / "product-copy.yaml"
    source.write_text(
        yaml.safe_dump({**json.loads(json.dumps(made)), "private": None, "scrub": {"policy": "patterns", "workers": 1}})
    )
    done = run_training(str(source), out=folder / "models")
    assert done.record.trained.startswith("lora")
    assert (done.directory / "model" / "config.json").is_file()
    assert not (done.directory / "base").exists()
