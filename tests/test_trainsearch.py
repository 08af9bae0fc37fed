"""A search over settings: the number of runs is drawn once, the best is shown, the rest is gone and paid for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from governance import trainsearch
from governance.budget.account import Account
from governance.budget.ledger import Ledger
from governance.budget.place import FOLDER
from governance.budget.tuning import tuned_epsilon
from governance.errors import ConfigError
from governance.trainconfig import TuningConfig
from governance.trainrun import plan_training, run_training
from tests.test_trainrun import PRIVATE, config
from tests.tiny import write_reviews

TRIES = {"learning_rate": [0.5, 5.0], "average": [0.0, 0.5]}


def searching(folder: Path, **changes: Any) -> Path:
    write_reviews(folder / "reviews.csv", 60)
    write_reviews(folder / "public.csv", 40, seed=7)
    tuning = {"group": "rates", "mean_runs": 3, "distribution": "geometric", "tries": TRIES, **changes}
    return config(folder, public={"path": "public.csv"}, tuning=tuning, private=PRIVATE)


@pytest.mark.parametrize("distribution", ["geometric", "logarithmic"])
@pytest.mark.parametrize("mean", [1.0, 1.5, 10.0])
def test_numbers_of_runs_have_the_distribution_that_the_accountant_assumes(distribution: Any, mean: float) -> None:
    """Against the negative binomial's own weights: P(k) is proportional to (1 - gamma)^k (eta)_k / k! for k >= 1."""
    tuning, rng = TuningConfig(group="g", mean_runs=mean, distribution=distribution), np.random.default_rng(0)
    drawn = np.array([trainsearch.number_of_runs(tuning, rng) for _ in range(20_000)])
    assert drawn.min() == 1
    assert drawn.mean() == pytest.approx(mean, abs=4 * drawn.std() / math.sqrt(len(drawn)) + 1e-9)
    if mean > 1:
        ratio = np.mean(drawn == 2) / np.mean(drawn == 1)
        gamma = 1 / mean if distribution == "geometric" else trainsearch_gamma(mean)
        assert ratio == pytest.approx((1 - gamma) * (1 if distribution == "geometric" else 0.5), rel=0.1)


def trainsearch_gamma(mean: float) -> float:
    """Of the logarithmic distribution with this mean, by bisection on the published formula."""
    low, high = 1e-12, 1 - 1e-12
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / middle - 1) / math.log(1 / middle) > mean else (low, middle)
    return low


@pytest.mark.slow
def test_only_the_best_of_a_search_is_left_and_the_book_has_all(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(trainsearch, "number_of_runs", lambda tuning, rng: 3)
    losses: list[float] = []
    loss = trainsearch._loss
    monkeypatch.setattr(trainsearch, "_loss", lambda trial: losses.append(loss(trial)) or losses[-1])
    done = run_training(str(searching(tmp_path)), out=tmp_path / "models")
    assert len(losses) == 3
    assert done.record.facts["public_loss"] == min(losses)
    assert done.record.loop["learning_rate"] in TRIES["learning_rate"]
    assert not list((tmp_path / "models").rglob("*.search"))
    [model] = (tmp_path / "models").rglob("training.json")
    assert model.parent == done.directory
    runs = list(Ledger(tmp_path / FOLDER, create=False).state.runs.values())
    assert len(runs) == 3
    assert all(run.charged == run.plan.steps for run in runs)
    claim = done.record.claim
    assert claim is not None
    assert "the best by the loss on public rows of the search 'rates', 3 runs on average" in str(claim.tuning)
    assert claim.ledger_runs == 1  # how many there were was drawn in secret
    expected = tuned_epsilon([runs[0].plan], claim.delta, 3, "geometric")
    assert claim.ledger_epsilon == pytest.approx(expected, rel=1e-6)


class Killed(BaseException):
    pass


@pytest.mark.slow
def test_a_killed_search_goes_on_with_the_runs_that_it_drew(tmp_path: Path, monkeypatch: Any) -> None:
    source, charge = str(searching(tmp_path)), Account.charge
    monkeypatch.setattr(trainsearch, "number_of_runs", lambda tuning, rng: 2)
    calls = []

    def dies(self: Account, steps: int) -> None:
        calls.append(steps)
        if len(calls) == 3:
            raise Killed
        charge(self, steps)

    monkeypatch.setattr(Account, "charge", dies)
    with pytest.raises(Killed):
        run_training(source, out=tmp_path / "models")
    [drawn] = (tmp_path / "models").rglob(trainsearch.DRAWN)
    before = json.loads(drawn.read_bytes())
    monkeypatch.setattr(trainsearch, "number_of_runs", lambda tuning, rng: pytest.fail("drawn again"))
    done = run_training(source, out=tmp_path / "models")
    assert {name: done.record.loop[name] for name in TRIES} in before["runs"]
    assert len(Ledger(tmp_path / FOLDER, create=False).state.runs) == 2


@pytest.mark.slow
def test_a_search_is_priced_before_it_begins(tmp_path: Path) -> None:
    ahead = plan_training(str(searching(tmp_path)), out=tmp_path / "models")
    assert ahead.cost is not None
    assert ahead.cost.selected is not None
    assert ahead.cost.selected > ahead.plan.epsilon  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"distribution": "poisson"}, "tries: expected mean_runs and distribution geometric or logarithmic"),
        ({"mean_runs": None}, "tries: expected mean_runs"),
        ({"tries": {"learning_rate": []}}, "tries.learning_rate: expected values"),
    ],
)
def test_a_search_that_no_accountant_covers_is_refused(tmp_path: Path, changes: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run_training(str(searching(tmp_path, **changes)), out=tmp_path / "models")


def test_every_setting_is_checked_before_anything_is_paid(tmp_path: Path) -> None:
    source = str(searching(tmp_path, tries={"learningrate": [1.0]}))
    with pytest.raises(ConfigError, match="Did you mean 'learning_rate'"):
        run_training(source, out=tmp_path / "models")
    assert not (tmp_path / FOLDER).exists()
