"""Training in several processes: two ranks do what one does, nothing is paid or noised twice, and a death ends all."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pydantic import TypeAdapter

from governance.budget.accounting import Spent
from governance.budget.ledger import Budget, Ledger
from governance.dataset import ScrubbedTable
from governance.errors import BackendError, BudgetExceeded, ConfigError
from governance.offline import SWITCHES
from governance.training import distributed, loop
from governance.training.dp.draws import Owners
from governance.training.dp.plan import Plan, claim
from governance.training.job import Job, read
from governance.training.recipes.base import Fitted, Setting
from tests import ranked
from tests.tinyrecipe import table

pytestmark = pytest.mark.slow
ROOT = Path(ranked.__file__).parents[1]
SECONDS = 400  # a loaded machine takes 20 s to import torch twice; a hung process must not hold up the suite
N, EACH = 64, Spent(2.0, 0.25, 50)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two gloo ranks on loopback says of all cases in `tests.ranked`."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, **distributed._loopback(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ranked", str(folder), str(rank)], env=environment, stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=SECONDS)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], said
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("case", ["private", "openly"])
def test_two_ranks_train_what_one_process_trains(case: str, told: list[dict[str, Any]], tmp_path: Path) -> None:
    one = ranked.alone(getattr(ranked, case), tmp_path / case)
    first, second = (each[case] for each in told)
    assert first["digest"] == second["digest"]  # to the last bit
    assert np.abs(np.array(first["weights"]) - one["weights"]).max() < 2e-5
    assert [point["step"] for point in first["curve"]] == [point["step"] for point in one["curve"]]
    assert [p["loss"] for p in first["curve"]] == pytest.approx([p["loss"] for p in one["curve"]], abs=1e-5)
    moved = np.abs(np.array(one["weights"]) - ranked.weights(ranked.started_apart(ranked.ALONE, N).model)).max()
    assert moved > 0.05  # else agreement says nothing


def test_only_rank_0_writes_checkpoints(told: list[dict[str, Any]]) -> None:
    assert [each["private"]["kept"] for each in told] == [["step-00000025"], []]


def test_a_resumed_run_continues_from_rank_0s_checkpoint(told: list[dict[str, Any]]) -> None:
    assert told[0]["resumed"]["kept"] == ["step-00000020"]
    assert told[1]["resumed"]["kept"] == []
    assert len({each["resumed"][which] for each in told for which in ("whole", "digest")}) == 1
    assert told[0]["resumed"]["curve"] == told[1]["resumed"]["curve"]


def test_steps_that_were_paid_for_and_lost_are_not_taken_again(told: list[dict[str, Any]]) -> None:
    assert told[0]["resumed_private"] == {"steps": 30, "ticks": [30], "charged": 30}
    assert told[1]["resumed_private"]["ticks"] == [30]


def test_a_refused_charge_stops_all_ranks(told: list[dict[str, Any]]) -> None:
    for each in told:
        assert each["refused"]["refuse"] == ["the test's budget", None]
        assert each["refused"]["stop"] == [20, "the data set's privacy budget"]


def test_rank_0_decides_when_to_stop_early(told: list[dict[str, Any]]) -> None:
    assert {(each["patient"]["steps"], each["patient"]["stopped"]) for each in told} == {
        (60, "the loss on public rows no longer fell")
    }


def test_ranks_with_other_rows_are_refused_on_all(told: list[dict[str, Any]]) -> None:
    for each in told:
        assert "rows, steps or trained parameters differ from process to process" in each["unlike"]["error"]


def test_what_fails_on_one_rank_fails_on_all(told: list[dict[str, Any]]) -> None:
    assert [each["failed_check"]["error"] for each in told] == ["the last rank's model is broken"] * 2


def test_noise_is_added_once(told: list[dict[str, Any]], tmp_path: Path) -> None:
    """Standard deviation sigma * C / batch: noise of both ranks would give twice its variance, averaged half of it."""
    wanted = (ranked.SIGMA * ranked.CLIPPING / ranked.BATCH) ** 2
    one = ranked.alone(ranked.noise, tmp_path / "noise")
    numbers = ranked.WIDE * ranked.STEPS
    for found in (told[0]["noise"]["variance"], one["variance"]):
        assert abs(found / wanted - 1) < 5 * (2 / numbers) ** 0.5
    assert told[0]["noise"]["digest"] == told[1]["noise"]["digest"]


def test_noise_does_not_follow_from_a_shared_seed(told: list[dict[str, Any]], tmp_path: Path) -> None:
    """All runs of this case call torch.manual_seed alike."""
    one = ranked.alone(ranked.noise, tmp_path / "noise")
    assert told[0]["noise"]["first"] == told[1]["noise"]["first"]  # one draw, that both ranks apply
    assert np.abs(np.array(told[0]["noise"]["first"]) - one["first"]).min() > 0


def test_each_unit_is_drawn_by_one_rank_at_the_planned_rate(told: list[dict[str, Any]]) -> None:
    counts = np.array([each["draws"]["counts"] for each in told])
    assert (counts[0, 1::2] == 0).all()
    assert (counts[1, 0::2] == 0).all()
    tossed = ranked.UNITS * ranked.DRAWS
    spread = (ranked.RATE * (1 - ranked.RATE) / tossed) ** 0.5
    assert abs(counts.sum() / tossed - ranked.RATE) < 5 * spread
    # Each unit's own count, too, is binomial: the largest of a thousand stays below six standard deviations.
    each = (ranked.DRAWS * ranked.RATE * (1 - ranked.RATE)) ** 0.5
    assert np.abs(counts.sum(0) - ranked.DRAWS * ranked.RATE).max() < 6 * each


def test_inclusion_is_not_correlated_between_ranks(told: list[dict[str, Any]], tmp_path: Path) -> None:
    """With one seed on all ranks, neighbours 2k and 2k + 1 would always join together."""
    drawn = [each["draws"]["drawn"] for each in told]
    sizes = np.array([[len(units) for units in steps] for steps in drawn])
    assert abs(np.corrcoef(sizes)[0, 1]) < 5 / ranked.DRAWS**0.5
    joined = np.zeros((2, ranked.DRAWS, ranked.UNITS // 2))
    for rank, steps in enumerate(drawn):
        for step, units in enumerate(steps):
            joined[rank, step, np.array(units, dtype=int) // 2] = 1
    together, pairs = float((joined[0] * joined[1]).mean()), ranked.DRAWS * ranked.UNITS // 2
    chance = ranked.RATE**2
    assert abs(together - chance) < 5 * (chance * (1 - chance) / pairs) ** 0.5
    again = ranked.alone(ranked.draws, tmp_path / "draws")
    assert again["drawn"][:5] != [sorted(drawn[0][step] + drawn[1][step]) for step in range(5)]
    assert len({again["generator"], *(each["draws"]["generator"] for each in told)}) == 3


def test_dropout_differs_by_rank(told: list[dict[str, Any]], tmp_path: Path) -> None:
    first, second = (each["dropout"] for each in told)
    for mode in ("open", "private"):
        assert not {tuple(mask) for mask in first[mode]} & {tuple(mask) for mask in second[mode]}
    one = ranked.alone(ranked.dropout, tmp_path / "dropout")
    assert one["open"][0] == first["open"][0]  # an open run's follows from its seed
    assert one["private"][0] != first["private"][0]


# Through the launchers.


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A budget book; and a package that offers the tiny recipe, as an outsider's would."""
    package = tmp_path / "site" / "tiny-0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 0\n")
    (package / "entry_points.txt").write_text("[steelyard.recipes]\ntiny = tests.tinyrecipe:TinyRecipe\n")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{package.parent}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield Ledger(tmp_path / "book")
    assert processes_of(tmp_path) == []


def processes_of(folder: Path) -> list[int]:
    """Those that have the folder in their command line, once they had time to go; zombies are gone."""
    end = time.monotonic() + 60
    while True:
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(folder) in word for word in words):
                found.append(process.pid)
        found = [pid for pid in found if pid != os.getpid()]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.2)


def opened(book: Ledger, run: str = "one", budget: Budget | None = None) -> None:
    book.open_run(run, book.fingerprint([{"row": i} for i in range(N)]), EACH, delta=1e-3, budget=budget, partial=True)


def charged(book: Ledger, run: str = "one") -> int:
    return Ledger(book.folder).state.runs[run].charged


def setting(**changes: Any) -> Setting:
    plan = Plan(n=N, units=N, sample_rate=0.25, steps=50, batch=16.0, clipping=1.0, sigma=2.0, epsilon=8.0, delta=1e-3)
    made = Setting(base=None, settings=loop.Settings(learning_rate=0.5, optimizer="sgd"), plan=plan)
    return dataclasses.replace(made, **changes)


def fit(book: Ledger, directory: Path, given: Setting, launcher: distributed.Launcher, **options: Any) -> Fitted:
    return distributed.fit(
        "tiny", options, table(N), directory, given, processes=2, launcher=launcher, book=book.folder, run="one"
    )


def listening() -> set[tuple[int, str, int]]:
    """Where this process and its descendants listen."""
    found = set()
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        try:
            sockets = process.net_connections(kind="inet")
        except psutil.Error:  # it has just ended
            continue
        found |= {(process.pid, c.laddr.ip, c.laddr.port) for c in sockets if c.status == psutil.CONN_LISTEN}
    return found


def launched(launcher: distributed.Launcher, book: Path, directory: Path, **options: Any) -> dict[str, Any]:
    """A private run by a launcher: what came of it, what was told on the way, and where its processes listened."""
    before, ticks, seen = listening(), [], set()
    nodes = set(psutil.Process().children(recursive=True))

    def tick(at: loop.Tick) -> None:
        ticks.append((at.step, at.steps))
        seen.update(listening() - before)

    try:
        fitted = fit(Ledger(book), directory, setting(tick=tick), launcher, **options)
    except BackendError as error:
        return {"error": str(error)}
    left = set(psutil.Process().children(recursive=True)) - nodes
    return {
        "fitted": dataclasses.asdict(fitted), "ticks": ticks, "left": [process.name() for process in left],
        "addresses": sorted({ip.removeprefix("::ffff:") for _, ip, _ in seen}),
    }  # fmt: skip


LAUNCHED = """
import json, sys
from pathlib import Path
from tests.test_distributed import cluster, launched
launcher, book, folder, options = sys.argv[1:]
if launcher == "cluster":
    with cluster():
        told = launched("ray", Path(book), Path(folder), **json.loads(options))
else:
    told = launched(launcher, Path(book), Path(folder), **json.loads(options))
print(json.dumps(told))
"""


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    """Two nodes of Ray, with room for one process each; in a process of its own, that is soon to end."""
    temporary = Path(tempfile.gettempdir())
    (temporary / "ray").mkdir()
    os.environ |= {"RAY_TMPDIR": str(temporary), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", **distributed._loopback(), **SWITCHES}
    from ray.cluster_utils import Cluster

    nodes = Cluster()
    try:
        for _ in range(2):
            nodes.add_node(
                node_ip_address="127.0.0.1", num_cpus=1, object_store_memory=100 << 20, include_dashboard=False
            )
        os.environ["RAY_ADDRESS"] = nodes.address
        yield
    finally:
        started = psutil.Process().children(recursive=True)
        nodes.shutdown()
        for process in psutil.wait_procs(started, timeout=30)[1]:
            process.kill()


def told_by(launcher: str, book: Ledger, directory: Path, **options: Any) -> tuple[dict[str, Any], str]:
    """What `launched` returns in a process of its own, and what that said on standard error."""
    if launcher != "torchrun" and importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    words = [sys.executable, "-c", LAUNCHED, launcher, str(book.folder), str(directory), json.dumps(options)]
    with tempfile.TemporaryDirectory(prefix="r") as short:  # Ray puts sockets into it, whose paths must be short
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, "TMPDIR": short}, check=False
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    if "Ray does not start" in told.get("error", ""):
        pytest.skip(told["error"])
    return told, done.stderr


@pytest.mark.parametrize("launcher", ["torchrun", "ray", "cluster"])
def test_private_run_by_launcher(launcher: str, book: Ledger, tmp_path: Path) -> None:
    opened(book)
    told, said = told_by(launcher, book, tmp_path / "run", pause=0.05)
    assert "error" not in told, said
    assert told["ticks"] == [[20, 50], [40, 50], [50, 50]]
    assert told["addresses"] == ["127.0.0.1"]
    assert told["left"] == [] or launcher == "cluster"  # a cluster's nodes keep processes for whoever comes next
    fitted, plan = TypeAdapter(Fitted).validate_python(told["fitted"]), setting().plan
    assert charged(book) == fitted.ran.steps == 50
    assert fitted.facts == {"rows": N, "share": 0.5}
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["model", "step-00000050"]
    assert not (tmp_path / ".run.job").exists()
    assert plan is not None
    assert fitted.claim is not None
    alone = claim(plan, 50, trained="all parameters", extra=fitted.claim.not_covered[-1:])
    # Another number of threads rounds the accountants' last digits otherwise.
    same = {name: pytest.approx(getattr(alone, name), rel=1e-9) for name in ("epsilon", "epsilon_pld")}
    told_alone = {**dataclasses.asdict(alone), **same, "rng": fitted.claim.rng}
    told_alone["curve"] = tuple((pytest.approx(epsilon, rel=1e-9), delta) for epsilon, delta in alone.curve or ())
    assert dataclasses.asdict(fitted.claim) == told_alone
    assert "of each of 2 processes" in fitted.claim.rng


def test_open_run_by_torchrun_learns(book: Ledger, tmp_path: Path) -> None:
    given = setting(plan=None, settings=loop.Settings(learning_rate=0.1, epochs=20))
    fitted = distributed.fit("tiny", {}, table(N), tmp_path / "run", given, processes=2)
    assert fitted.claim is None
    assert fitted.ran.curve[-1]["loss"] < 0.5 * fitted.ran.curve[0]["loss"]


@pytest.mark.parametrize(("launcher", "rank"), [("torchrun", 0), ("torchrun", 1), ("ray", 1)])
def test_a_killed_rank_ends_the_run_which_then_goes_on(launcher: str, rank: int, book: Ledger, tmp_path: Path) -> None:
    """Dies in the second block, of which nothing is kept: it stays paid for, and is not taken again."""
    opened(book)
    options = {"dies": rank, "at": 30, "died": str(tmp_path / "died"), "pause": 0.01}
    told, said = told_by(launcher, book, tmp_path / "run", **options)
    assert "one of the 2 training processes died" in told["error"]
    assert "SIGKILL" in said or launcher == "ray"
    assert processes_of(tmp_path) == []
    assert charged(book) == 40
    assert [path.name for path in (tmp_path / "run").glob("step-*")] == ["step-00000020"]
    steps: list[int] = []
    fitted = fit(book, tmp_path / "run", setting(tick=lambda at: steps.append(at.step)), "torchrun", **options)
    assert steps == [50]
    assert charged(book) == 50
    assert fitted.claim is not None
    assert fitted.claim.steps == 50


def test_a_refused_charge_is_the_launchers_error(book: Ledger, tmp_path: Path) -> None:
    opened(book, budget=Budget(2.5, 1e-3))
    with pytest.raises(BudgetExceeded, match="past the budget"):
        fit(book, tmp_path / "run", setting(), "torchrun")
    steps = charged(book)
    assert steps % loop.BLOCK == 0
    assert 0 < steps < 50
    assert [path.name for path in (tmp_path / "run").glob("step-*")] == [f"step-{steps:08d}"]


LAUNCH = """
import sys
from pathlib import Path
from governance.budget.ledger import Ledger
from tests.test_distributed import fit, setting
book, folder = map(Path, sys.argv[1:])
fit(Ledger(book), folder, setting(tick=lambda at: print(at.step, flush=True)), "torchrun", pause=0.2)
"""


def test_nothing_trains_on_when_the_launcher_is_killed(book: Ledger, tmp_path: Path) -> None:
    opened(book)
    words = [sys.executable, "-c", LAUNCH, str(book.folder), str(tmp_path / "run")]
    launcher = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "20\n"
    finally:
        launcher.send_signal(signal.SIGKILL)
        launcher.communicate()
    assert processes_of(tmp_path) == []  # within a minute
    assert charged(book) == 40
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["step-00000020"]
    fit(book, tmp_path / "run", setting(), "torchrun")
    assert not (tmp_path / ".run.job").exists()


def test_recipes_errors_reach_the_launcher(book: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no recipe 'tinny'\. Did you mean 'tiny'\?"):
        distributed.fit("tinny", {}, table(N), tmp_path / "run", setting(plan=None), processes=2)


def test_what_cannot_be_is_refused_before_anything_starts(book: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="processes: expected at least 2, got 1"):
        distributed.fit("tiny", {}, table(N), tmp_path / "run", setting(plan=None), processes=1)
    with pytest.raises(ConfigError, match="processes: recipe 'tree'"):
        distributed.fit("tree", {}, table(N), tmp_path / "run", setting(plan=None), processes=2)
    with pytest.raises(ValueError, match="a place where its steps are charged"):
        distributed.fit("tiny", {}, table(N), tmp_path / "run", setting(), processes=2)
    assert not (tmp_path / "run").exists()


def test_a_job_is_the_same_when_read_again(tmp_path: Path) -> None:
    given = setting()
    rows = tmp_path / "rows"
    rows.write_bytes(b"rows")
    job = Job(
        recipe="tiny", options={"classes": ["a"], "x": 0.5}, table=rows, directory=tmp_path, settings=given.settings,
        plan=given.plan, store=tmp_path / "store", book=tmp_path, run="one", folder=tmp_path,
        digests={str(rows): distributed.digest_file(rows)},
    )  # fmt: skip
    job.write(tmp_path / "job")
    again = read(tmp_path / "job")
    assert again == job
    again.check_files()
    rows.write_bytes(b"other")
    with pytest.raises(ConfigError, match="missing or different on one of the machines"):
        again.check_files()


def test_users_keep_their_rows_in_another_process(tmp_path: Path) -> None:
    codes = np.array([3, 3, 3, 1, 1, 7])
    owners = Owners(codes, 2)
    owners.save(tmp_path / "owners.npy")
    again = Owners.load(tmp_path / "owners.npy")
    assert again.kept() == owners.kept()
    assert (len(again), again.cap) == (3, 2)


def test_a_table_is_the_same_when_read_again(tmp_path: Path) -> None:
    made = dataclasses.replace(table(5), labels={"class": ("a", "b", "a", "b", "a")}, units=np.array([0, 0, 1, 1, 2]))
    made.numbers["x0"][2] = np.nan
    made.save(tmp_path / "table")
    again = ScrubbedTable.load(tmp_path / "table")
    assert again.labels == made.labels
    assert again.units is not None
    assert again.units.tolist() == [0, 0, 1, 1, 2]
    assert all(np.array_equal(again.numbers[name], made.numbers[name], equal_nan=True) for name in made.numbers)


def test_a_config_trains_on_two_processes(tmp_path: Path) -> None:
    from governance.trainrun import run_training
    from tests.test_trainrun import LOGISTIC, PRIVATE, config, write_reviews

    write_reviews(tmp_path / "reviews.csv", 120)
    source = config(tmp_path, private=PRIVATE, training={**LOGISTIC, "processes": 2})
    made = run_training(str(source), out=tmp_path / "models").record
    assert made.claim is not None
    assert made.claim.steps == PRIVATE["steps"]
    assert "2 processes" in made.claim.rng
    assert made.claim.ledger_epsilon == pytest.approx(made.claim.epsilon, rel=0.02)
