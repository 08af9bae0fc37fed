"""The budget book: nothing spent is ever missing, nothing fits that shouldn't, and no edit goes unseen."""

import json
import math
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.budget import fingerprint as prints
from governance.budget.accounting import Spent, epsilon_pld, user_epsilon
from governance.budget.book import BOOK, HEAD, KEY, KEY_VARIABLE
from governance.budget.fingerprint import Fingerprint, fingerprint
from governance.budget.ledger import Budget, BudgetExceeded, Ledger, Run, Tuning
from governance.budget.place import FOLDER, PLACE_VARIABLE, find_book, place_for, state_book
from governance.budget.tuning import tuned_epsilon
from governance.errors import ConfigError, DataError, RecordError

SECRET = bytes(range(32))
PLAN = Spent(1.0, 0.01, 1000)
ROWS = [f"row {number}" for number in range(500)]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.delenv(PLACE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def opened(ledger: Ledger, run_id: str = "a", rows: Sequence[str] = ROWS, plan: Spent = PLAN, **more: object) -> Run:
    return ledger.open_run(run_id, ledger.fingerprint(rows), plan, delta=1e-5, **more)  # type: ignore[arg-type]


def finished(ledger: Ledger, run_id: str = "a", rows: Sequence[str] = ROWS, **more: object) -> Run:
    run = opened(ledger, run_id, rows, **more)
    run.charge(run.state.plan.steps)
    return run


# The fingerprint


TEXT = st.text(max_size=20)
TABLE = st.lists(st.fixed_dictionaries({"text": TEXT, "label": st.integers(0, 3)}), min_size=1, max_size=30)


@given(rows=TABLE, data=st.data())
def test_order_of_rows_and_columns_makes_no_difference(rows: list[dict[str, object]], data: st.DataObject) -> None:
    one = fingerprint(rows, SECRET)
    shuffled = [dict(reversed(row.items())) for row in data.draw(st.permutations(rows))]
    other = fingerprint(shuffled, SECRET)
    assert (one.digest, one.rows) == (other.digest, other.rows)
    assert one.overlap(other) == 1.0


@given(rows=TABLE, more=TABLE)
def test_more_rows_are_another_data_set_that_overlaps(
    rows: list[dict[str, object]], more: list[dict[str, object]]
) -> None:
    one, both = fingerprint(rows, SECRET), fingerprint([*rows, *more], SECRET)
    assert one.digest != both.digest
    assert one.overlap(both) == both.overlap(one) == 1.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"t": "a\r\nb", "y": 1}, {"t": "a\nb ", "y": "1"}, True),
        ({"t": "x", "y": 1.0}, {"t": "x", "y": "1.0"}, True),
        ({"t": "x", "y": True}, {"t": "x", "y": "True"}, True),
        ({"t": "x", "y": None}, {"t": "x", "y": math.nan}, True),
        ({"t": "café"}, {"t": "café"}, True),
        ({"t": "x", "y": 1}, {"t": "x", "y": 2}, False),
        ({"t": "x", "y": 1.5}, {"t": "x", "y": 1}, False),
        ({"t": "x"}, {"u": "x"}, False),
        ({"t": "a", "u": "bc"}, {"t": "ab", "u": "c"}, False),
        ({"t": "x"}, {"t": "X"}, False),
    ],
)
def test_a_row_is_the_same_in_every_file_format(one: dict[str, object], other: dict[str, object], same: bool) -> None:
    assert (fingerprint([one], SECRET).digest == fingerprint([other], SECRET).digest) is same


def test_a_broken_text_has_a_digest() -> None:
    assert fingerprint(["\ud83d"], SECRET).digest != fingerprint([{"t": "\ud83d"}], SECRET).digest


def test_a_fingerprint_needs_the_key() -> None:
    one, other = fingerprint(ROWS, SECRET), fingerprint(ROWS, SECRET[::-1])
    assert one.digest != other.digest
    assert one.overlap(other) == 0


def test_repeated_rows_count() -> None:
    assert fingerprint(["a", "a"], SECRET).digest != fingerprint(["a"], SECRET).digest
    assert fingerprint(["a", "a"], SECRET).rows == 2


def test_no_rows_no_fingerprint() -> None:
    with pytest.raises(DataError, match="expected rows to take a fingerprint of, found none"):
        fingerprint([], SECRET)


def test_disjoint_data_do_not_overlap() -> None:
    one, other = (fingerprint((f"{name} {i}" for i in range(20_000)), SECRET) for name in ("left", "right"))
    assert one.overlap(other) == 0


def drawn(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.integers(0, 2**64, size=rows, dtype=np.uint64)


def sketched(digests: np.ndarray, kept: int) -> Fingerprint:
    return Fingerprint("0" * 64, len(digests), np.unique(digests)[:kept])


@pytest.mark.parametrize("share", [0.0, 0.005, 0.02, 0.5])
def test_overlap_is_seen_as_often_as_promised(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Keyed digests are uniform draws. A share p is missed with probability exp(-p k): simulated with a small k."""
    kept, rows, trials = 256, 4000, 300
    monkeypatch.setattr(prints, "KEPT", kept)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(trials):
        shared = drawn(rng, int(rows * share))
        one, other = (np.concatenate([shared, drawn(rng, rows - len(shared))]) for _ in range(2))
        found.append(sketched(one, kept).overlap(sketched(other, kept)))
    missed = float(np.mean(np.array(found) == 0))
    promised = math.exp(-share * kept)
    assert missed <= promised + 3 * math.sqrt(promised * (1 - promised) / trials) + 1e-9
    if share == 0:
        assert missed == 1  # never seen where there is none
    elif promised > 0.001:
        assert missed >= promised / 3  # and the promise is no idle one
    if share > 0:
        assert np.mean(found) == pytest.approx(share, rel=0.2)


def test_a_small_part_of_a_large_data_set_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prints, "KEPT", 256)
    rows = [f"row {i}" for i in range(20_000)]
    random.Random(1).shuffle(rows)
    large = fingerprint(rows, SECRET)
    assert len(large.sketch) == 256
    assert fingerprint(rows[:2000], SECRET).overlap(large) == 1.0
    assert large.overlap(fingerprint(rows[:2000] + [f"other {i}" for i in range(2000)], SECRET)) > 0.3


def test_a_sketch_survives_a_file() -> None:
    one = fingerprint(ROWS, SECRET)
    again = Fingerprint.from_bytes(one.to_bytes(), digest=one.digest, rows=one.rows)
    assert np.array_equal(one.sketch, again.sketch)
    with pytest.raises(RecordError, match="expected 8 bytes a row"):
        Fingerprint.from_bytes(b"abc", digest="0" * 64, rows=1)


# Spending


def test_a_run_is_charged_and_goes_on(tmp_path: Path) -> None:
    run = opened(Ledger(tmp_path / "b"))
    assert run.charged == 0
    run.charge(20)
    run.charge(5)
    again = opened(Ledger(tmp_path / "b"))
    assert again.charged == 25
    assert again.spent == (Spent(1.0, 0.01, 25),)
    again.charge_block(Spent(5.0, 1.0, 1))
    assert again.charged == 25
    assert opened(Ledger(tmp_path / "b")).spent == (Spent(1.0, 0.01, 25), Spent(5.0, 1.0, 1))


@pytest.mark.slow
def test_runs_on_the_same_rows_compose_and_others_do_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "b")
    finished(ledger, "a")
    shuffled = finished(ledger, "b", ROWS[::-1])
    part = finished(ledger, "c", ROWS[:10])
    apart = finished(ledger, "d", ["nothing in common"])
    assert shuffled.cumulative == part.cumulative == pytest.approx(3.19, abs=0.005)
    assert apart.cumulative == pytest.approx(1.83, abs=0.005)
    assert Ledger(tmp_path / "b").epsilon() == pytest.approx(3.19, abs=0.005)


def test_two_parts_of_one_data_set_meet_in_the_whole(tmp_path: Path) -> None:
    """Left and right share no row, so each costs its own; the whole overlaps both."""
    ledger = Ledger(tmp_path / "b")
    left, right = finished(ledger, "a", ROWS[:200]), finished(ledger, "b", ROWS[200:])
    assert left.cumulative == right.cumulative == pytest.approx(1.83, abs=0.005)
    whole = opened(ledger, "c")
    assert whole.cumulative == pytest.approx(2.58, abs=0.005)  # an upper bound: no row is in both


@pytest.mark.slow
def test_a_step_past_the_budget_is_refused_before_it_is_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "b")
    ledger.set_budget(Budget(2.0, 1e-5))
    finished(ledger, "a")
    with pytest.raises(BudgetExceeded) as refused:
        opened(ledger, "b")
    assert refused.value.exit_code == 2
    said = re.search(
        r"run b: 1000 more steps would make epsilon 2\.584, past the budget of epsilon 2 .* left: 0\.17\d*; "
        r"(\d+) of these steps would fit",
        str(refused.value),
    )
    assert said is not None
    room = int(said[1])
    assert epsilon_pld([Spent(1.0, 0.01, 1000 + room)], 1e-5) <= 2.0
    assert epsilon_pld([Spent(1.0, 0.01, 1001 + room)], 1e-5) > 2.0
    assert "b" not in ledger.state.runs
    run = opened(ledger, "b", partial=True)
    run.charge(room - 5)
    with pytest.raises(BudgetExceeded, match=r"6 more steps .* 5 of these steps would fit"):
        run.charge(6)
    run.charge(5)
    size = (tmp_path / "b" / BOOK).stat().st_size
    for refuse in (lambda: run.charge(1), lambda: run.charge_block(Spent(2.0, 1.0, 1))):
        with pytest.raises(BudgetExceeded, match=r"1 more steps .* 0 of these steps would fit"):
            refuse()
    assert (tmp_path / "b" / BOOK).stat().st_size == size
    assert Ledger(tmp_path / "b").state.runs["b"].charged == room


def test_without_a_budget_nothing_is_composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from governance.budget import reading

    def never(*_: object, **__: object) -> float:
        raise AssertionError("composed")

    monkeypatch.setattr(reading, "epsilon_pld", never)
    finished(Ledger(tmp_path / "b"))


def test_a_run_alone_composes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from governance.budget import reading

    asked = []
    monkeypatch.setattr(reading, "epsilon_pld", lambda *a, **k: asked.append(a) or epsilon_pld(*a, **k))
    ledger = Ledger(tmp_path / "b")
    ledger.set_budget(Budget(3.0, 1e-7))
    run = opened(ledger, plan=Spent(1.7, 0.013, 400))
    for _ in range(20):
        run.charge(20)
    assert len(asked) == 1


def test_a_budget_is_changed_only_with_a_reason(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "b")
    ledger.set_budget(Budget(1.0, 1e-5))
    ledger.set_budget(Budget(1.0, 1e-5))  # nothing new
    with pytest.raises(ConfigError, match=r"the budget is epsilon 1 at .*; to change it to epsilon 8 .* give a reason"):
        ledger.set_budget(Budget(8.0, 1e-5), reason="  ")
    with pytest.raises(ConfigError, match=r"asks for a budget of epsilon 8 .*, the book has epsilon 1"):
        opened(ledger, budget=Budget(8.0, 1e-5))
    ledger.set_budget(Budget(8.0, 1e-5), reason="agreed")
    assert [e["reason"] for e in Ledger(tmp_path / "b").state.budgets] == ["", "agreed"]
    opened(ledger, budget=Budget(8.0, 1e-5))


def test_the_first_run_may_bring_the_budget(tmp_path: Path) -> None:
    opened(Ledger(tmp_path / "b"), budget=Budget(2.0, 1e-5))
    assert Ledger(tmp_path / "b").state.budget == Budget(2.0, 1e-5)
    with pytest.raises(BudgetExceeded):
        opened(Ledger(tmp_path / "b"), "b", plan=Spent(0.5, 1.0, 10))


def test_a_finished_run_can_be_read_under_a_lower_budget(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "b")
    finished(ledger)
    ledger.set_budget(Budget(0.5, 1e-5))
    assert opened(ledger).charged == 1000


@pytest.mark.parametrize(
    "change",
    [
        {"plan": Spent(1.1, 0.01, 1000)},
        {"plan": Spent(1.0, 0.01, 900)},
        {"rows": ROWS[1:]},
        {"cap": 3},
        {"drawn": "user"},
    ],
)
def test_a_run_goes_on_only_as_it_was(tmp_path: Path, change: dict[str, object]) -> None:
    ledger = Ledger(tmp_path / "b")
    opened(ledger)
    [name] = ["data" if name == "rows" else name for name in change]
    with pytest.raises(ConfigError, match=f"run a: its {name} differs from what the budget book has"):
        opened(ledger, **change)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_user_s_budget_counts_all_of_a_user_s_records(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "b")
    ledger.set_budget(Budget(10.0, 1e-5, "user"))
    with pytest.raises(ConfigError, match=r"run a: its cost for a user can't be told.*give its cap"):
        opened(ledger)
    capped = finished(ledger, "b", cap=4)
    assert capped.cumulative == pytest.approx(user_epsilon([PLAN], 1e-5, 4))
    users = finished(ledger, "c", plan=Spent(1.0, 0.01, 100), drawn="user")
    assert users.cumulative == pytest.approx(epsilon_pld([Spent(1.0, 0.01, 1000, cap=4), Spent(1.0, 0.01, 100)], 1e-5))


def test_a_record_s_budget_counts_a_change_of_its_user(tmp_path: Path) -> None:
    run = finished(Ledger(tmp_path / "b"), "a", drawn="user", budget=Budget(5.0, 1e-5, "record"))
    assert run.cumulative == pytest.approx(2.843, abs=0.002)


def test_a_budget_that_cannot_be_told_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "b")
    opened(ledger)
    with pytest.raises(ConfigError, match="its cost for a user can't be told"):
        ledger.set_budget(Budget(10.0, 1e-5, "user"))
    assert ledger.state.budget is None


@pytest.mark.slow
def test_a_search_counts_as_its_distribution_or_as_its_runs(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "b")
    search = Tuning("lr", 10.0)
    for number in range(8):
        run = finished(ledger, f"r{number}", tuning=search)
        composed = epsilon_pld([Spent(1.0, 0.01, 1000 * (number + 1))], 1e-5)
        assert run.cumulative == pytest.approx(min(composed, tuned_epsilon([PLAN], 1e-5, 10)))
    assert run.cumulative == pytest.approx(4.33, abs=0.005)
    beside = finished(ledger, "other", tuning=Tuning("grid search"))
    assert beside.cumulative == pytest.approx(tuned_epsilon([PLAN], 1e-5, 10, others=[PLAN]))
    histogram = Spent(8.0, 1.0, 1)
    run.charge_block(histogram)  # a repeated run may do all that one of them did
    assert run.cumulative == pytest.approx(tuned_epsilon([PLAN, histogram], 1e-5, 10, others=[PLAN]))


def test_a_search_with_a_random_number_of_runs_repeats_one_plan(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "b")
    opened(ledger, "a", tuning=Tuning("lr", 10.0))
    with pytest.raises(ConfigError, match=r"tuning.group 'lr': run b differs from run a"):
        opened(ledger, "b", plan=Spent(1.0, 0.01, 500), tuning=Tuning("lr", 10.0))
    with pytest.raises(ConfigError, match=r"tuning.group 'lr': run b differs from run a"):
        opened(ledger, "b", tuning=Tuning("lr", 3.0))
    opened(ledger, "c", tuning=Tuning("free"))
    opened(ledger, "d", plan=Spent(2.0, 0.01, 500), tuning=Tuning("free"))


@pytest.mark.slow
def test_what_if_writes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "b")
    ledger.set_budget(Budget(3.0, 1e-5))
    finished(ledger)
    before = ledger.head
    answer = ledger.what_if(PLAN, delta=1e-5)
    assert (answer.alone, answer.before, answer.after) == pytest.approx((1.83, 1.83, 2.58), abs=0.005)
    assert (answer.fits, answer.steps_that_fit, answer.selected) == (True, 1000, None)
    tight = ledger.what_if(Spent(1.0, 0.01, 3000), delta=1e-5)
    assert tight.fits is False
    assert tight.steps_that_fit is not None
    assert epsilon_pld([Spent(1.0, 0.01, 1000 + tight.steps_that_fit)], 1e-5) <= 3.0
    assert epsilon_pld([Spent(1.0, 0.01, 1001 + tight.steps_that_fit)], 1e-5) > 3.0
    search = ledger.what_if(PLAN, delta=1e-5, tuning=Tuning("t", 10.0))
    assert search.selected == pytest.approx(tuned_epsilon([PLAN], 1e-5, 10, others=[PLAN]))
    assert search.after == pytest.approx(epsilon_pld([Spent(1.0, 0.01, 11_000)], 1e-5))
    assert ledger.head == before == Ledger(tmp_path / "b").head


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (Spent(1.0, 0.01, 0), "expected at least one step to charge, got 0"),
        (Spent(1.0, 0.01, 1, cap=2), "expected a block of single contributions"),
    ],
)
def test_a_charge_that_is_none_is_refused(tmp_path: Path, block: Spent, says: str) -> None:
    run = opened(Ledger(tmp_path / "b"))
    with pytest.raises(ConfigError, match=says):
        run.charge_block(block)


@settings(max_examples=20, deadline=None)
@given(charges=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=12), seed=st.integers())
def test_the_book_adds_up_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, charges: list[tuple[str, int]], seed: int
) -> None:
    shuffled = random.Random(seed).sample(charges, len(charges))
    spent = []
    for order in (charges, shuffled):
        ledger = Ledger(tmp_path_factory.mktemp("book") / "b")
        runs = {name: opened(ledger, name, ["x", name]) for name in "abc"}
        for name, steps in order:
            runs[name].charge(steps)
        spent.append({name: run.charged for name, run in runs.items()})
    assert spent[0] == spent[1]
    assert sum(spent[0].values()) == sum(steps for _, steps in charges)


# The book


def lines_of(folder: Path) -> list[bytes]:
    return (folder / BOOK).read_bytes().splitlines(keepends=True)


def rechained(lines: Sequence[bytes]) -> bytes:
    """What one without the key would do: mend the chain."""
    import hashlib

    head, out = "0" * 64, b""
    for line in lines:
        entry = {**json.loads(line), "previous": head}
        made = json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        head = hashlib.sha256(made).hexdigest()
        out += made + b"\n"
    return out


def cheaper(line: bytes) -> bytes:
    return line.replace(b'"steps":20', b'"steps":2', 1)


TAMPERING: dict[str, Callable[[list[bytes]], bytes]] = {
    "edit": lambda lines: b"".join([*lines[:2], cheaper(lines[2]), *lines[3:]]),
    "cut in the middle": lambda lines: b"".join([*lines[:2], *lines[3:]]),
    "cut at the end": lambda lines: b"".join(lines[:-1]),
    "last newline cut": lambda lines: b"".join(lines)[:-1],
    "emptied": lambda lines: b"",
    "swap": lambda lines: b"".join([*lines[:2], lines[3], lines[2]]),
    "edit with a mended chain": lambda lines: rechained([*lines[:2], cheaper(lines[2]), *lines[3:]]),
    "edit of the last line": lambda lines: b"".join([*lines[:3], cheaper(lines[3])]),
    "cut with a mended chain": lambda lines: rechained([*lines[:2], *lines[3:]]),
    "a line more": lambda lines: rechained([*lines, lines[-1]]),
    "garbage": lambda lines: b"".join(lines) + b"garbage\n",
}


@pytest.mark.parametrize("kind", TAMPERING)
@pytest.mark.parametrize("create", [True, False])
def test_a_tampered_ledger_is_refused(tmp_path: Path, kind: str, create: bool) -> None:
    run = opened(Ledger(tmp_path))
    for _ in range(3):
        run.charge(20)
    lines = lines_of(tmp_path)
    (tmp_path / BOOK).write_bytes(TAMPERING[kind](lines))
    with pytest.raises(RecordError, match=r"chain breaks|seal of line|entries were cut off|not a journal entry"):
        Ledger(tmp_path, create=create)


def test_a_ledger_cut_while_it_is_open_is_refused(tmp_path: Path) -> None:
    run = opened(Ledger(tmp_path))
    run.charge(20)
    (tmp_path / BOOK).write_bytes(b"".join(lines_of(tmp_path)[:-1]))
    with pytest.raises(RecordError, match="the file got shorter while it was open"):
        run.charge(20)


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (lambda p: (p / HEAD).unlink(), RecordError, "head.json: missing"),
        (lambda p: (p / HEAD).write_text("{}"), RecordError, "not the head of a budget book"),
        (
            lambda p: (p / HEAD).write_text((p / HEAD).read_text().replace('"entries":2', '"entries":1')),
            RecordError,
            "its seal doesn't fit",
        ),
        (lambda p: (p / KEY).unlink(), RecordError, "the book's key is missing"),
        (
            lambda p: (p / KEY).write_text("ab" * 32),
            RecordError,
            "its seal doesn't fit: it was changed, or made with another key",
        ),
        (lambda p: (p / KEY).write_text("secret"), ConfigError, "expected 32 random bytes or more in hex"),
        (lambda p: (p / KEY).chmod(0o644), ConfigError, "others than its owner can read the key; run: chmod 600"),
        (lambda p: (p / BOOK).unlink(), RecordError, "entries were cut off or replaced"),
    ],
)
def test_a_book_without_what_vouches_for_it_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[Exception], says: str
) -> None:
    opened(Ledger(tmp_path)).charge(20)
    spoil(tmp_path)
    for create in (True, False):
        with pytest.raises(error, match=says):
            Ledger(tmp_path, create=create)


def test_a_lost_sketch_is_told(tmp_path: Path) -> None:
    opened(Ledger(tmp_path))
    shutil.rmtree(tmp_path / "fingerprints")
    with pytest.raises(RecordError, match="missing or changed; put it back from a copy"):
        opened(Ledger(tmp_path), "b", ["other"], budget=Budget(9.0, 1e-5))


def test_a_torn_last_line_was_never_spent(tmp_path: Path) -> None:
    run = opened(Ledger(tmp_path))
    run.charge(20)
    with (tmp_path / BOOK).open("ab") as file:
        file.write(b'{"kind":"charge","ste')
    assert Ledger(tmp_path, create=False).state.runs["a"].charged == 20
    assert (tmp_path / BOOK).read_bytes().endswith(b'"ste')  # a reader leaves it to the writer
    again = opened(Ledger(tmp_path))
    again.charge(20)
    assert Ledger(tmp_path).state.runs["a"].charged == 40


def test_a_kill_between_entry_and_head_loses_nothing(tmp_path: Path) -> None:
    run = opened(Ledger(tmp_path))
    run.charge(20)
    head = (tmp_path / HEAD).read_bytes()
    run.charge(20)
    (tmp_path / HEAD).write_bytes(head)
    assert opened(Ledger(tmp_path)).charged == 40


def test_an_older_copy_is_told_by_a_kept_head(tmp_path: Path) -> None:
    run = opened(Ledger(tmp_path / "b"))
    run.charge(20)
    shutil.copytree(tmp_path / "b", tmp_path / "old")
    run.charge(20)
    assert Ledger(tmp_path / "b").holds(run.head)
    assert not Ledger(tmp_path / "old").holds(run.head)


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    run = opened(Ledger(tmp_path / "b"))
    reader = Ledger(tmp_path / "b", create=False)
    run.charge(20)
    with pytest.raises(ConfigError, match="was opened to be read"):
        reader.set_budget(Budget(1.0, 1e-5))
    with pytest.raises(RecordError, match="no budget book here"):
        Ledger(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_the_book_holds_no_row_and_its_key_is_private(tmp_path: Path) -> None:
    finished(Ledger(tmp_path), rows=["a very private sentence"])
    assert (tmp_path / KEY).stat().st_mode & 0o777 == 0o600
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"private" not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_key_from_the_environment_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "5c" * 32)
    opened(Ledger(tmp_path)).charge(20)
    assert not (tmp_path / KEY).exists()
    assert opened(Ledger(tmp_path)).charged == 20
    monkeypatch.setenv(KEY_VARIABLE, "5d" * 32)
    with pytest.raises(RecordError, match="another key"):
        Ledger(tmp_path)
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(ConfigError, match=f"environment variable {KEY_VARIABLE}: expected 32 random bytes"):
        Ledger(tmp_path)


def test_a_team_s_folder_gives_a_team_s_files(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b").chmod(0o770)
    opened(Ledger(tmp_path / "b"))
    assert (tmp_path / "b" / BOOK).stat().st_mode & 0o777 == 0o660
    assert (tmp_path / "b" / HEAD).stat().st_mode & 0o777 == 0o660
    assert (tmp_path / "b" / KEY).stat().st_mode & 0o777 == 0o600


def test_where_a_book_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "d" / "reviews.csv"
    data.parent.mkdir()
    data.write_text("text\n")
    assert place_for(data) == tmp_path / "d" / FOLDER
    with pytest.raises(RecordError, match="no budget book found; looked in"):
        find_book(data)
    Ledger(place_for(data))
    assert find_book(data) == find_book(data.parent) == find_book(place_for(data)) == tmp_path / "d" / FOLDER
    monkeypatch.setenv(PLACE_VARIABLE, str(tmp_path / "shared"))
    assert place_for(data) == tmp_path / "shared"


def test_data_that_cannot_be_written_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match=f"can't be written to; set {PLACE_VARIABLE}"):
        place_for(tmp_path / "x.csv")
    found = place_for(tmp_path / "x.csv", fallback=state_book(tmp_path / "x.csv"))
    assert found.parent == tmp_path / "state" / "steelyard" / "budget"
    assert found != state_book(tmp_path / "y.csv")


def test_a_book_that_is_there_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(Ledger(tmp_path / FOLDER))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="can't be written to"):
        place_for(tmp_path / "x.csv", fallback=state_book(tmp_path / "x.csv"))


def test_users_are_in_other_rows_as_well(tmp_path: Path) -> None:
    """Runs on disjoint rows don't meet for records, but the same user may have rows in both."""
    ledger = Ledger(tmp_path)
    one = finished(ledger, "a", ["x", "y"], drawn="user")
    finished(ledger, "b", ["v", "w"], drawn="user")
    alone = epsilon_pld([PLAN], 1e-5)
    assert ledger.together(one.state.data, delta=1e-5, unit="user") == pytest.approx(epsilon_pld([PLAN, PLAN], 1e-5))
    assert epsilon_pld([PLAN, PLAN], 1e-5) > alone


def test_a_record_under_a_cap_is_replaced_by_another_of_its_user(tmp_path: Path) -> None:
    capped = finished(Ledger(tmp_path), drawn="record", cap=3)
    found = Ledger(tmp_path).together(capped.state.data, delta=1e-5, unit="record")
    assert found == pytest.approx(epsilon_pld([PLAN], 1e-5, neighbouring="replace-one"))


# Several processes


WORKER = """
import sys
from pathlib import Path
from governance.budget.accounting import Spent
from governance.budget.ledger import Ledger

folder, name, took = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
ledger = Ledger(folder)
run = ledger.open_run(name, ledger.fingerprint(["a", "b"]), Spent(1.0, 0.01, 10**6), delta=1e-5)
with took.open("ab", buffering=0) as steps:
    while True:
        run.charge(1)
        steps.write(b".")  # the step is taken: an unbuffered write outlives the process
"""


def start(folder: Path, name: str, took: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), name, str(took)])


@pytest.mark.slow
def test_a_killed_run_never_took_more_than_the_book_says(tmp_path: Path) -> None:
    """Two processes on one book, each killed at random moments, twenty kills in all."""
    rng = random.Random()
    took = {name: tmp_path / f"took-{name}" for name in ("a", "b")}
    running = {name: start(tmp_path / "book", name, took[name]) for name in took}
    for kill in range(20):
        victim = rng.choice(list(running))
        before = took[victim].stat().st_size if took[victim].exists() else 0
        deadline = time.monotonic() + 60
        while (took[victim].stat().st_size if took[victim].exists() else 0) == before:
            assert running[victim].poll() is None, "the worker stopped by itself"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(rng.random() * 0.02)
        running[victim].send_signal(signal.SIGKILL)
        running[victim].wait()
        read = took[victim].stat().st_size
        charged = Ledger(tmp_path / "book").state.runs[victim].charged
        assert charged >= read, f"kill {kill}"
        running[victim] = start(tmp_path / "book", victim, took[victim])
    for process in running.values():
        process.send_signal(signal.SIGKILL)
        process.wait()
    state = Ledger(tmp_path / "book").state
    for name, path in took.items():
        # A kill wastes the charge it fell into, never more.
        assert path.stat().st_size <= state.runs[name].charged <= path.stat().st_size + 21


def _spend(folder: Path, name: str) -> None:
    ledger = Ledger(folder)
    run = opened(ledger, name, partial=True, plan=Spent(1.0, 0.01, 2000))
    try:
        while True:
            run.charge(100)
    except BudgetExceeded:
        pass


@pytest.mark.slow
def test_two_processes_together_stay_within_one_budget(tmp_path: Path) -> None:
    Ledger(tmp_path).set_budget(Budget(2.0, 1e-5))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_spend, args=(tmp_path, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    ledger = Ledger(tmp_path)
    total = sum(run.charged for run in ledger.state.runs.values())
    assert total == 1200  # 1202 steps reach epsilon 2
    assert ledger.epsilon() <= 2.0
