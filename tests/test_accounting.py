"""What noisy steps cost: the published figures, a second implementation, and what must always hold."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from governance.budget import accounting
from governance.budget.accounting import (
    COARSE,
    AccountantsDisagree,
    Spent,
    TooLarge,
    aggregated,
    cross_checked,
    curve,
    delta_pld,
    epsilon_by,
    epsilon_pld,
    epsilon_prv,
    epsilon_rdp,
    user_epsilon,
)
from governance.budget.calibration import sigma_for
from governance.budget.mixture import mixture_pld
from governance.budget.tuning import selected_epsilon, tuned_epsilon
from governance.errors import ConfigError

FIRST, SECOND, THIRD = Spent(1.0, 0.01, 1000), Spent(0.7, 0.05, 500), Spent(1.0, 0.001, 10_000)
SETTINGS = [(FIRST, 1e-5), (SECOND, 1e-5), (THIRD, 1e-6)]
FIGURES = [(2.101, 1.838, 1.828, 2.843), (18.28, 16.49, 16.48, 22.62), (0.980, 0.565, 0.555, 0.911)]


@pytest.mark.parametrize(("setting", "figures"), list(zip(SETTINGS, FIGURES, strict=True)))
def test_the_table_of_three_settings(setting: tuple[Spent, float], figures: Sequence[float]) -> None:
    block, delta = setting
    assert epsilon_rdp([block], delta) == pytest.approx(figures[0], rel=5e-4)
    assert epsilon_prv([block], delta) == pytest.approx(figures[1], rel=5e-4)
    assert epsilon_pld([block], delta) == pytest.approx(figures[2], rel=1e-3)
    assert epsilon_pld([block], delta, neighbouring="replace-one") == pytest.approx(figures[3], rel=5e-4)


@pytest.mark.parametrize(("setting", "gdp"), list(zip(SETTINGS, (1.618, 15.91, 0.530), strict=True)))
def test_gdp_is_below_what_prv_proves_is_spent(setting: tuple[Spent, float], gdp: float) -> None:
    """The reason to refuse it: it lies under a lower bound of the truth."""
    from opacus.accountants.gdp import GaussianAccountant

    block, delta = setting
    with pytest.warns(UserWarning, match="can underestimate"):
        accountant = GaussianAccountant()
    accountant.history = [(block.sigma, block.sample_rate, block.steps)]
    claimed = accountant.get_epsilon(delta)
    assert claimed == pytest.approx(gdp, rel=1e-3)
    assert claimed < accounting._prv_interval([block], delta)[0]


def test_gdp_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'gdp' is refused: its central limit approximation underestimates"):
        epsilon_by("gdp", [FIRST], 1e-5)
    with pytest.raises(ConfigError, match=r"no 'moments'. Known: prv, pld, rdp"):
        epsilon_by("moments", [FIRST], 1e-5)
    assert epsilon_by("rdp", [FIRST], 1e-5) == epsilon_rdp([FIRST], 1e-5)


def test_runs_compose_jointly() -> None:
    found = [epsilon_pld([FIRST] * runs, 1e-5) for runs in range(1, 6)]
    assert found == pytest.approx([1.83, 2.58, 3.19, 3.72, 4.20], abs=0.006)


@pytest.mark.slow
def test_a_user_with_several_records() -> None:
    found = [user_epsilon([FIRST], 1e-5, cap) for cap in (2, 4, 8)]
    assert found == pytest.approx([3.98, 8.90, 20.9], rel=1e-3)
    assert user_epsilon([FIRST], 1e-5, 1) == epsilon_pld([FIRST], 1e-5)


def test_tuning_with_a_random_number_of_runs() -> None:
    found = [tuned_epsilon([FIRST], 1e-5, 10, name) for name in ("poisson", "geometric", "logarithmic")]
    assert found == pytest.approx([4.33, 4.10, 3.52], abs=0.005)
    assert tuned_epsilon([FIRST], 1e-5, 10, others=[FIRST]) > found[0]
    with pytest.raises(ConfigError, match="distribution: no 'uniform'"):
        tuned_epsilon([FIRST], 1e-5, 10, "uniform")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"mean_runs: expected a number >= 1, got 0\.5"):
        tuned_epsilon([FIRST], 1e-5, 0.5)
    with pytest.raises(ConfigError, match="RDP covers one contribution a unit"):
        selected_epsilon([], 1e-5, others=[Spent(1.0, 0.01, 5, cap=3)])


@pytest.mark.slow
@pytest.mark.parametrize(("epsilon", "sigma"), [(1, 1.416), (3, 0.8145), (8, 0.5863)])
def test_noise_for_a_target_is_enough_and_hardly_more(epsilon: float, sigma: float) -> None:
    found = sigma_for(epsilon, 1e-5, 0.01, 1000)
    assert found == pytest.approx(sigma, rel=7e-3)
    assert cross_checked([Spent(found, 0.01, 1000)], 1e-5).epsilon <= epsilon
    assert cross_checked([Spent(found * 0.998, 0.01, 1000)], 1e-5).epsilon > epsilon


@pytest.mark.slow
def test_noise_for_a_user_and_beside_what_is_spent() -> None:
    sigma = sigma_for(3, 1e-5, 0.01, 1000, cap=4)
    assert user_epsilon([Spent(sigma, 0.01, 1000)], 1e-5, 4) <= 3
    assert user_epsilon([Spent(sigma * 0.99, 0.01, 1000)], 1e-5, 4) > 3
    histogram = Spent(5.0, 1.0, 1)
    sigma = sigma_for(2, 1e-5, 0.05, 50, beside=[histogram])
    assert cross_checked([histogram, Spent(sigma, 0.05, 50)], 1e-5).epsilon <= 2
    assert sigma > sigma_for(2, 1e-5, 0.05, 50)


def test_a_target_that_nothing_reaches_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no noise reaches 1 at delta 1e-05 .* costs 1.838 already"):
        sigma_for(1, 1e-5, 0.01, 5, beside=[FIRST])
    with pytest.raises(ConfigError, match="epsilon: expected a positive finite target, got nan"):
        sigma_for(math.nan, 1e-5, 0.01, 100)
    with pytest.raises(ConfigError, match="steps: expected at least 1"):
        sigma_for(1, 1e-5, 0.01, 0)
    with pytest.raises(ConfigError, match="sample_rate"):
        sigma_for(1, 1e-5, 1.5, 10)


def closed_form(sigma: float, delta: float) -> float:
    """Epsilon of one plain Gaussian step (Balle and Wang 2018, theorem 8)."""

    def excess(epsilon: float) -> float:
        shift, half = epsilon * sigma, 1 / (2 * sigma)
        return float(stats.norm.cdf(half - shift) - math.exp(epsilon) * stats.norm.cdf(-half - shift)) - delta

    return float(brentq(excess, 0, 50))


@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_plain_gaussian_steps_have_a_closed_form(sigma: float, delta: float) -> None:
    for steps in (1, 9):  # n steps are one step of sigma / sqrt(n)
        truth = closed_form(sigma / math.sqrt(steps), delta)
        found = cross_checked([Spent(sigma, 1.0, steps)], delta)
        assert truth <= found.pld <= truth * 1.001 + 1e-4
        assert found.prv is not None
        assert truth <= found.prv <= truth + 0.021


def test_one_sampled_step_for_a_user_by_quadrature() -> None:
    """Another way to delta: integrate the two densities' difference where it is positive."""
    sigma, rate, cap, epsilon = 1.3, 0.2, 3, 0.4
    x = np.linspace(-20, 25, 900_001)
    weights = stats.binom.pmf(np.arange(cap + 1), cap, rate)
    mixture = sum(w * stats.norm.pdf(x, i, sigma) for i, w in enumerate(weights))
    plain = stats.norm.pdf(x, 0, sigma)
    step = x[1] - x[0]
    truth = max(
        float(np.maximum(one - math.exp(epsilon) * other, 0).sum() * step)
        for one, other in ((mixture, plain), (plain, mixture))
    )
    found = delta_pld([Spent(sigma, rate, 1, cap=cap)], epsilon)
    assert truth * (1 - 1e-6) <= found <= truth * 1.001


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "cap"), [(1.0, 2), (2.5, 5)])
def test_the_mixture_is_the_library_s(sigma: float, cap: int) -> None:
    from dp_accounting.pld import privacy_loss_distribution

    weights = stats.binom.pmf(np.arange(cap + 1), cap, 0.05)
    library = privacy_loss_distribution.from_mixture_gaussian_mechanism(
        sigma, list(range(cap + 1)), list(weights), value_discretization_interval=2e-3
    )
    ours = mixture_pld(sigma, 0.05, cap, 2e-3)
    for steps in (1, 200):
        expected = library.self_compose(steps).get_epsilon_for_delta(1e-6)
        assert ours.self_compose(steps).get_epsilon_for_delta(1e-6) == pytest.approx(expected, rel=1e-6)


def test_a_mixture_of_one_is_the_sampled_gaussian() -> None:
    plain = epsilon_pld([Spent(0.8, 0.03, 50)], 1e-6)
    mixture = mixture_pld(0.8, 0.03, 1, 1e-4).self_compose(50)
    assert mixture.get_epsilon_for_delta(1e-6) == pytest.approx(plain, rel=1e-5)


BLOCKS = st.builds(
    Spent,
    sigma=st.sampled_from([0.8, 2.0, 8.0]),
    sample_rate=st.sampled_from([0.02, 0.3, 1.0]),
    steps=st.integers(1, 40),
)
NOISE = 5e-3  # relative: grids of two questions may differ


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(blocks=st.lists(BLOCKS, min_size=1, max_size=3), more=BLOCKS)
def test_more_steps_never_cost_less(blocks: list[Spent], more: Spent) -> None:
    one, other, both = (epsilon_pld(b, 1e-5, stretch=COARSE) for b in (blocks, [more], [*blocks, more]))
    assert both >= max(one, other) * (1 - NOISE)


@settings(max_examples=10, deadline=None)
@given(blocks=st.lists(BLOCKS, min_size=2, max_size=4), data=st.data())
def test_the_order_of_steps_makes_no_difference(blocks: list[Spent], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(blocks))
    assert aggregated(blocks) == aggregated(shuffled)
    assert epsilon_pld(blocks, 1e-5, stretch=COARSE) == epsilon_pld(shuffled, 1e-5, stretch=COARSE)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(blocks=st.lists(BLOCKS, min_size=1, max_size=2))
def test_the_accountants_agree(blocks: list[Spent]) -> None:
    try:
        found = cross_checked(blocks, 1e-5)
    except TooLarge:
        return
    assert found.prv is not None
    assert found.epsilon == max(found.prv, found.pld)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_accountants_that_disagree_are_not_believed(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    def wrong(blocks: Sequence[Spent], delta: float, **more: float) -> float:
        return factor * epsilon_pld(blocks, delta, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(accounting, "epsilon_pld", wrong)
    with pytest.raises(AccountantsDisagree, match=r"PRV says 1.818 to 1.838 and PLD says"):
        cross_checked([FIRST], 1e-5)


def test_the_curve_falls() -> None:
    points = curve([FIRST], [1e-4, 1e-5, 1e-6, 1e-8])
    assert [delta for _, delta in points] == [1e-4, 1e-5, 1e-6, 1e-8]
    epsilons = [epsilon for epsilon, _ in points]
    assert epsilons == sorted(epsilons)
    assert epsilons[1] == pytest.approx(1.828, abs=1e-3)
    assert delta_pld([FIRST], epsilons[1]) == pytest.approx(1e-5, rel=0.01)


def test_nothing_spent_costs_nothing() -> None:
    nothing = [Spent(1.0, 0.01, 0)]
    assert epsilon_prv(nothing, 1e-5) == epsilon_pld(nothing, 1e-5) == epsilon_rdp(nothing, 1e-5) == 0
    assert cross_checked([], 1e-5).epsilon == 0
    assert delta_pld([], 1.0) == 0


def test_noise_that_protects_nobody_is_told_as_such() -> None:
    with pytest.raises(TooLarge, match="this noise protects nobody"):
        epsilon_pld([Spent(0.05, 0.5, 1000)], 1e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"sigma": 0.0}, "sigma: expected a positive finite noise multiplier, got 0"),
        ({"sigma": math.nan}, "sigma"),
        ({"sigma": math.inf}, "sigma"),
        ({"sample_rate": 0.0}, "sample_rate: expected a share above 0 and up to 1, got 0"),
        ({"sample_rate": 1.01}, "sample_rate"),
        ({"sample_rate": math.nan}, "sample_rate"),
        ({"steps": -1}, "steps: expected a whole number >= 0, got -1"),
        ({"steps": 1.5}, "steps"),
        ({"cap": 0}, "cap: expected a whole number >= 1, got 0"),
        ({"neighbouring": "swap"}, "neighbouring: expected 'add-or-remove-one' or 'replace-one', got 'swap'"),
        ({"cap": 2, "neighbouring": "replace-one"}, "cap: 2 contributions can only be accounted for"),
    ],
)
def test_a_block_that_cannot_be_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Spent(**{"sigma": 1.0, "sample_rate": 0.01, "steps": 10, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan])
def test_a_delta_that_cannot_be_is_refused(delta: float) -> None:
    for function in (epsilon_prv, epsilon_pld, epsilon_rdp):
        with pytest.raises(ConfigError, match="delta: expected a number between 0 and 1"):
            function([FIRST], delta)


def test_prv_has_no_formula_for_users() -> None:
    with pytest.raises(ConfigError, match=r"PRV covers one contribution a unit.*use PLD"):
        epsilon_prv([Spent(1.0, 0.01, 10, cap=2)], 1e-5)
    checked = cross_checked([Spent(1.0, 0.01, 1000, cap=2)], 1e-5)
    assert checked.prv is None
    assert checked.epsilon == checked.pld == pytest.approx(3.98, abs=0.005)
