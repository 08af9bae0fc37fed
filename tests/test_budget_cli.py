"""`steelyard budget`: what a tired person types, and what it answers."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from governance.budget.accounting import Spent, epsilon_pld
from governance.budget.book import BOOK, KEY_VARIABLE
from governance.budget.ledger import Budget, Ledger, Tuning
from governance.budget.place import FOLDER, PLACE_VARIABLE
from governance.budgetcommand import _parsed
from governance.cli import main
from governance.errors import ConfigError

PLAN = Spent(4.0, 0.05, 100)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.delenv(PLACE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set with a book beside it: a budget of 2, one run done, one cut off."""
    path = tmp_path / "data" / "reviews.csv"
    path.parent.mkdir()
    path.write_text("text,label\nfine,1\npoor,0\n")
    ledger = Ledger(path.parent / FOLDER)
    ledger.set_budget(Budget(2.0, 1e-5))
    rows = ledger.fingerprint(["fine", "poor"])
    ledger.open_run("run-1", rows, PLAN, delta=1e-5, label="logistic \x1b[31mred").charge(100)
    ledger.open_run("run-2", rows, PLAN, delta=1e-6, label="分类器").charge(40)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["budget", *(str(argument) for argument in arguments)])


def test_spent_left_and_by_run(data: Path) -> None:
    for path in (data, data.parent, data.parent / FOLDER):
        result = run(path)
        assert result.exit_code == 0, result.output
    one, both = (epsilon_pld([Spent(4.0, 0.05, steps)], 1e-5) for steps in (100, 140))
    assert f"spent epsilon {both:.3f} of 2, left {2 - both:.3f}, at delta 1e-05 for each record" in result.output
    lines = result.output.splitlines()
    first, second = (next(line for line in lines if line.startswith(f"{number} ")) for number in (1, 2))
    assert first.split()[-2:] == [f"{one:.3f}", f"{one:.3f}"]
    assert second.split()[-1] == f"{both:.3f}"
    assert " 40/100 " in second
    assert "分类器" in second
    assert "\x1b" not in result.output
    assert Ledger(data.parent / FOLDER).head[:16] in result.output


def test_json_says_the_same(data: Path) -> None:
    found = json.loads(run(data, "--json").output)
    assert found["spent"] == found["runs"][1]["together"] == epsilon_pld([Spent(4.0, 0.05, 140)], 1e-5)
    assert found["left"] == pytest.approx(2 - found["spent"])
    assert [(r["id"], r["steps"], r["planned"]) for r in found["runs"]] == [("run-1", 100, 100), ("run-2", 40, 100)]
    assert found["budgets"][0]["reason"] == ""
    assert "seal" not in json.dumps(found)


def test_the_plot_stands_alone(data: Path, tmp_path: Path) -> None:
    assert run(data, "--plot", tmp_path / "b.svg").exit_code == 0
    root = ET.parse(tmp_path / "b.svg").getroot()  # noqa: S314 - our own file
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = " ".join("".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "2 分类器" in words
    assert "epsilon at delta 1e-05" in words
    dashed = [e for e in root.iter() if e.get("stroke-dasharray")]
    assert len(dashed) == 1  # the budget


def test_an_empty_book_and_its_plot(tmp_path: Path) -> None:
    Ledger(tmp_path / "b")
    result = run(tmp_path / "b", "--plot", tmp_path / "b.svg")
    assert result.exit_code == 0
    assert "No run has spent anything yet." in result.output
    assert "no budget is set" in result.output
    assert json.loads(run(tmp_path / "b", "--json").output)["left"] is None


def test_what_if_a_run_fits(data: Path) -> None:
    result = run(data, "--what-if", "sigma=4, sample-rate=0.05, steps=100")
    assert result.exit_code == 0
    after = epsilon_pld([Spent(4.0, 0.05, 240)], 1e-5)
    assert f"together  {after:.3f}" in result.output
    assert "budget    2 at delta 1e-05 for each record: fits" in result.output


def test_what_if_a_run_does_not_fit(data: Path) -> None:
    result = run(data, "--what-if", "sigma=1,sample_rate=1,steps=3", "--json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert (found["fits"], found["steps_that_fit"], found["sigma"]) == (False, 0, 1.0)
    assert "does not fit; 0 of its steps would" in run(data, "--what-if", "sigma=1,sample_rate=1,steps=3").output


@pytest.mark.slow
def test_what_if_from_a_target_and_for_a_search(data: Path) -> None:
    found = json.loads(run(data, "--what-if", "epsilon=0.5,sample_rate=0.05,steps=50", "--json").output)
    assert 0.4 < found["alone"] <= 0.5
    result = run(data, "--what-if", "sigma=8,sample_rate=0.05,steps=50,runs=10,distribution=geometric")
    assert "as a search of which only the best run is shown" in result.output
    assert "selected  " in result.output


def test_searches_are_listed(data: Path) -> None:
    ledger = Ledger(data.parent / FOLDER)
    rows = ledger.fingerprint(["fine"])
    for number in range(2):
        ledger.open_run(f"s{number}", rows, Spent(20.0, 0.05, 10), delta=1e-5, tuning=Tuning("lr", 3.0)).charge(10)
    result = run(data)
    assert "lr: 2 runs; epsilon " in result.output
    assert "3 s0 [lr]" in result.output


def test_a_budget_is_set_and_changed_with_a_reason(tmp_path: Path) -> None:
    data = tmp_path / "reviews.csv"
    data.write_text("text\n")
    missing = run(data)
    assert missing.exit_code == 2
    assert "no budget book found; looked in" in missing.output
    assert "--set-epsilon makes one now" in missing.output
    assert run(data, "--set-epsilon", "3").output.startswith("steelyard: --set-epsilon: expected --delta beside it")
    assert run(data, "--set-epsilon", "3", "--delta", "1e-6", "--unit", "user").exit_code == 0
    refused = run(data, "--set-epsilon", "8", "--delta", "1e-6")
    assert refused.exit_code == 2
    assert "give a reason, which stays in the book" in refused.output
    raised = run(data, "--set-epsilon", "8", "--delta", "1e-6", "--reason", "agreed on 3 May")
    assert "agreed on 3 May" in raised.output
    assert "left 8.000, at delta 1e-06 for each record" in raised.output
    assert Ledger(tmp_path / FOLDER).state.budget == Budget(8.0, 1e-6)


def test_a_tampered_book_is_told(data: Path) -> None:
    book = data.parent / FOLDER / BOOK
    book.write_bytes(book.read_bytes().replace(b'"steps":40', b'"steps":4', 1))
    result = run(data)
    assert result.exit_code == 2
    assert "the seal of line 5 doesn't fit" in result.output


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    for more in ((), ("--set-epsilon", "1", "--delta", "1e-5")):
        result = run(tmp_path / "none.csv", *more)
        assert result.exit_code == 2
        assert "none.csv: no such file or folder, so there is no budget book beside it" in result.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sigma", "expected name=value"),
        ("sigm=1", "known: epsilon, sigma"),
        ("steps=1.5", "steps: expected a whole number, found '1.5'"),
        ("sigma=much", "sigma: expected a number, found 'much'"),
        ("drawn=rows", "drawn: no 'rows'. Known: record, user"),
    ],
)
def test_a_what_if_that_cannot_be_read(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace(".", r"\.")):
        _parsed(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps=10,sample_rate=0.1", "expected one of sigma and epsilon"),
        ("sigma=1,epsilon=1,steps=10,sample_rate=0.1", "expected one of sigma and epsilon"),
        ("sigma=1", "expected sample_rate, steps"),
        ("sigma=1,steps=3,sample_rate=2", "sample_rate: expected a share above 0 and up to 1, got 2"),
    ],
)
def test_a_what_if_that_lacks_something(data: Path, text: str, says: str) -> None:
    result = run(data, "--what-if", text)
    assert result.exit_code == 2
    assert says in result.output


def test_showing_a_book_needs_no_training_library(data: Path) -> None:
    code = (
        "import sys; from governance.cli import main\n"
        "try: main(['budget', sys.argv[1]])\n"
        "except SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'opacus', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(data)], check=True, capture_output=True)


def test_a_head_that_was_kept_shows_whether_the_book_was_set_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "book")
    ledger.set_budget(Budget(3.0, 1e-5))
    ledger.set_budget(Budget(4.0, 1e-5), reason="more rows")
    kept = ledger.head[:16]
    runner = CliRunner()
    assert runner.invoke(main, ["budget", str(tmp_path / "book"), "--holds", kept]).exit_code == 0
    for other in ("f" * 16, kept[:8]):
        refused = runner.invoke(main, ["budget", str(tmp_path / "book"), "--holds", other])
        assert refused.exit_code == 2
        assert "it was set back" in refused.output + refused.stderr
