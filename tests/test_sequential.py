"""The betting process: odds that are fair under the null, whatever one does with the looks."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import binom

from governance.statistics import sequential
from governance.statistics.sequential import BETS, BettingProcess


def test_wealth_by_hand() -> None:
    """Each bet multiplies its stake by (1 + k x) / (1 + k m) per observation, up or down; wealth is their mean."""
    x, m = np.array([0.2, 0.9, 0.5]), 0.4
    process = BettingProcess(null=0.4, reach=(0.0, 1.0)).update(x)
    up = [np.prod((1 + k * x) / (1 + k * m)) for k in BETS]
    down = [np.prod((1 + k * (1 - x)) / (1 + k * (1 - m))) for k in BETS]
    assert process.e_value == pytest.approx(np.mean(up + down))
    assert process.mean == pytest.approx(x.mean())
    for alternative, side in (("greater", up), ("less", down)):
        one_sided = BettingProcess(null=0.4, reach=(0.0, 1.0), alternative=alternative).update(x)
        assert one_sided.e_value == pytest.approx(np.mean(side))


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_the_game_is_fair_by_exact_summation(alternative: str) -> None:
    """Over all sequences of 5 observations with mean m, wealth averages 1; beyond a one-sided null, less."""
    support, chances = np.array([-1.0, 0.0, 1.0]), np.array([0.3, 0.3, 0.4])
    process = BettingProcess(null=float(support @ chances), alternative=alternative)
    beyond = BettingProcess(null=0.2 if alternative != "less" else 0.0, alternative=alternative)
    mean = mean_beyond = 0.0
    for picks in itertools.product(range(3), repeat=5):
        chance = float(np.prod(chances[list(picks)]))
        mean += chance * process.update(support[list(picks)]).e_value
        mean_beyond += chance * beyond.update(support[list(picks)]).e_value
    assert mean == pytest.approx(1.0)
    if alternative != "two-sided":
        assert mean_beyond < 1.0
    else:
        assert mean_beyond > 1.0


def test_before_the_first_observation_nothing_is_known() -> None:
    process = BettingProcess()
    assert (process.e_value, process.p_value, process.mean, process.n) == (1.0, 1.0, None, 0)
    assert process.confidence_sequence() == (-1.0, 1.0)
    assert process.update([]) == process


def test_batches_split_otherwise_give_the_very_same_state(monkeypatch: pytest.MonkeyPatch) -> None:
    observations = np.random.default_rng(0).uniform(-1, 1, 500)
    whole = BettingProcess(null=0.1).update(observations)
    for cuts in ([250], [1, 2, 499], list(range(0, 500, 7))):
        process = BettingProcess(null=0.1)
        for batch in np.split(observations, cuts):
            process = process.update(batch)
        assert process == whole
    monkeypatch.setattr(sequential, "_CHUNK", 33)
    assert BettingProcess(null=0.1).update(observations) == whole


def test_the_order_of_observations_moves_the_peak_alone() -> None:
    observations = np.random.default_rng(1).uniform(-0.2, 1, 60)
    forth, back = (BettingProcess().update(np.sort(observations)[::step]) for step in (1, -1))
    assert forth.log_e() == pytest.approx(back.log_e())
    assert forth.confidence_sequence() == pytest.approx(back.confidence_sequence())
    assert forth.log_peak != back.log_peak


def test_p_remembers_the_largest_evidence() -> None:
    """The peak is taken after every observation, also inside a batch."""
    good, bad = np.ones(8), -np.ones(8)
    peak = BettingProcess().update(good)
    after = peak.update(bad)
    assert peak.p_value == pytest.approx(1 / peak.e_value)
    assert after.p_value == peak.p_value
    assert after.e_value < peak.e_value
    assert BettingProcess().update(np.concatenate([good, bad])).p_value == peak.p_value
    assert BettingProcess(alternative="less").update(good).p_value == 1.0


def test_json_continues_where_it_stopped() -> None:
    rng = np.random.default_rng(2)
    process = BettingProcess(null=-0.02, alternative="greater").update(rng.choice([-1.0, 0, 1], 300))
    text = json.dumps(process.to_json(), allow_nan=False)
    again = BettingProcess.from_json(json.loads(text))
    assert again == process
    more = rng.uniform(-1, 1, 50)
    assert again.update(more) == process.update(more)
    assert len(text) < 1500


def test_a_state_keeps_the_bets_that_it_was_made_with(monkeypatch: pytest.MonkeyPatch) -> None:
    process = BettingProcess(bets=(0.5, 2.0), upward=(0.0, 0.0), downward=(0.0, 0.0)).update([1, 0.5, 1])
    again = BettingProcess.from_json(process.to_json())
    assert again.bets == (0.5, 2.0)
    assert again.log_e() == process.log_e()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": "3"}, "numbers, one string and lists of numbers"),
        ({"null": 1.0}, "null inside a finite reach, got 1.0"),
        ({"null": -1.0}, "null inside a finite reach"),
        ({"null": math.nan}, "null inside a finite reach, got nan"),
        ({"reach": [-math.inf, 1]}, "finite reach"),
        ({"alternative": "larger"}, "'larger'"),
        ({"bets": []}, "at least one bet"),
        ({"bets": [0.0] * len(BETS)}, "finite and above 0"),
        ({"upward": [0.0]}, "a finite sum per bet"),
        ({"downward": [math.nan] * len(BETS)}, "a finite sum per bet"),
        ({"total": 2.5}, "0 <= total <= n"),
        ({"total": -1.0}, "0 <= total <= n"),
        ({"n": -1}, "0 <= total <= n"),
        ({"n": 2.5}, "0 <= total <= n"),
        ({"log_peak": -0.1}, "a peak >= 0"),
        ({"extra": 1}, "expected exactly"),
    ],
)
def test_what_is_no_state_is_refused(change: dict[str, object], message: str) -> None:
    state = BettingProcess().update([0.5, 1.0]).to_json()
    with pytest.raises(ValueError, match=message):
        BettingProcess.from_json(state | change)
    with pytest.raises(ValueError, match="expected exactly"):
        BettingProcess.from_json({name: value for name, value in state.items() if name != "n"})


def test_observations_and_means_out_of_reach_are_refused() -> None:
    for wrong in ([1.1], [-1.1], [math.nan], [[0.5]], 0.5):
        with pytest.raises(ValueError, match=r"observations within \(-1.0, 1.0\)"):
            BettingProcess().update(wrong)
    assert BettingProcess().update([1.0, -1.0]).n == 2
    with pytest.raises(ValueError, match=r"a mean within \(-1.0, 1.0\), got 1.5"):
        BettingProcess().log_e(1.5)
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"level in \(0, 1\)"):
            BettingProcess().confidence_sequence(level)


SAMPLES = {
    "many": np.random.default_rng(3).beta(2, 3, 200),
    "few": np.array([0.9, 1.0, 0.7, 1.0, 0.8, 1.0]),
    "mostly lost": np.where(np.arange(400) % 40, -1.0, 1.0),
    "mostly won": np.where(np.arange(400) % 40, 1.0, -1.0),
}


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("level", [0.3, 0.8, 0.95])
def test_the_confidence_sequence_agrees_with_a_grid(alternative: str, sample: str, level: float) -> None:
    """The interval is where wealth stays below 1 / (1 - level), and that set has no holes."""
    process = BettingProcess(alternative=alternative).update(SAMPLES[sample])
    assert process.mean == pytest.approx(SAMPLES[sample].mean())
    low, high = process.confidence_sequence(level)
    grid = np.linspace(-1, 1, 2001)
    kept = grid[[process.log_e(m) < -math.log(1 - level) for m in grid]]
    assert low == pytest.approx(kept.min(), abs=1.1e-3)
    assert high == pytest.approx(kept.max(), abs=1.1e-3)
    assert len(kept) == np.sum((grid >= kept.min()) & (grid <= kept.max()))
    assert low == -1 or alternative != "less"
    assert high == 1 or alternative != "greater"


def test_constant_observations_leave_no_hole_either() -> None:
    for value in (-1.0, 1.0):
        low, high = BettingProcess().update(np.full(100, value)).confidence_sequence()
        assert low <= value <= high
        assert high - low < 0.2


def test_evidence_beyond_floating_point_stays_finite() -> None:
    process = BettingProcess().update(np.ones(5000))
    assert process.log_e() > 1000
    assert math.isfinite(process.e_value)
    assert 0 < process.p_value < 1e-300


def test_forty_looks_raise_no_more_false_alarms_than_promised() -> None:
    """600 audits of two equal models, 40 nightly looks at 50 new rows each, the p-value taken after every row.

    At most 5%, tested at 0.1%. The control, a two-sided z test on the 40 looks: more than 15%. Here: 3% and 30%.
    """
    rng, runs, looks, batch = np.random.default_rng(4), 600, 40, 50
    alarms = naive = 0
    for run in range(runs):
        rows = rng.choice([-1.0, 0.0, 1.0], size=(looks, batch), p=[0.06, 0.88, 0.06])
        process = BettingProcess()
        for night in rows:
            process = process.update(night)
            if run < 60:
                low, high = process.confidence_sequence()
                assert (low <= 0 <= high) == (process.e_value < 20)
        alarms += process.p_value <= 0.05
        seen = np.cumsum(rows.sum(axis=1)) / np.sqrt(np.cumsum((rows**2).sum(axis=1)) + 1e-12)
        naive += bool((np.abs(seen) > 1.96).any())
    assert binom.sf(alarms - 1, runs, 0.05) > 0.001, alarms / runs
    assert naive / runs > 0.15, naive / runs
    assert alarms / runs < 0.05, alarms / runs


@pytest.mark.parametrize(("difference", "discordant"), [(0.05, 0.1), (0.2, 0.3)])
def test_power_is_near_that_of_a_test_at_a_fixed_size(difference: float, discordant: float) -> None:
    """At the rows that one t test needs for 80% power, at least 40% have stopped; at twice as many, 80% (at 0.1%).

    Here: 47% and 85%, 48% and 84%.
    """
    from governance.statistics.power import paired_rows

    rng, runs = np.random.default_rng(5), 300
    planned = paired_rows(difference, discordant - difference**2)
    chances = [(discordant - difference) / 2, 1 - discordant, (discordant + difference) / 2]
    at_once = twice = 0
    for _ in range(runs):
        rows = rng.choice([-1.0, 0.0, 1.0], size=2 * planned, p=chances)
        early = BettingProcess().update(rows[:planned])
        at_once += early.p_value <= 0.05
        twice += early.update(rows[planned:]).p_value <= 0.05
    assert binom.cdf(at_once, runs, 0.4) > 0.001, at_once / runs
    assert binom.cdf(twice, runs, 0.8) > 0.001, twice / runs


def test_non_inferiority_is_found_and_not_invented() -> None:
    """Margin 0.05, rows' standard deviation 0.3. Truly at the margin: at most 5%; truly equal: nearly always found."""
    rng, runs, invented, found = np.random.default_rng(6), 300, 0, 0
    for _ in range(runs):
        for mean in (-0.05, 0.0):
            rows = np.clip(rng.normal(mean, 0.3, 1500), mean - 0.9, mean + 0.9)  # clipped evenly: the mean stays
            shown = BettingProcess(null=-0.05, alternative="greater").update(rows).p_value <= 0.05
            invented += mean < 0 and shown
            found += mean == 0 and shown
    assert binom.sf(invented - 1, runs, 0.05) > 0.001, invented / runs
    assert found / runs > 0.95, found / runs
