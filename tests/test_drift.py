"""Drift of a fresh sample from the audited run: distances with honest intervals, and evidence over many nights."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from governance.audit import run_audit
from governance.drift import drift_since
from governance.errors import ConfigError, RecordError
from governance.inputs import FEW, INPUTS, LABEL, Histogram, Inputs, load_inputs, paired_bins, script_of, summarise
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Slice
from governance.nightly import Pair, evidence_since, observations
from governance.policy import Status, judge, load_policy
from governance.statistics.distances import (
    Distance,
    MeanVector,
    Shares,
    effective_rows,
    jensen_shannon,
    kolmogorov,
    mean_shift,
    population_stability,
    total_variation,
)
from governance.statistics.sequential import BettingProcess
from tests.tworuns import Run, dataset, run

ROOT = Path(__file__).parent.parent
Measure = Callable[[Shares, Shares], Distance]


# -- distances ----------------------------------------------------------------------------------------


def psi(p: np.ndarray, q: np.ndarray) -> float:
    return float(((p - q) * np.log(p / q)).sum())


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    middle = (p + q) / 2
    return float((p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2)


def variation(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.abs(p - q).sum() / 2)


def largest(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.abs(np.cumsum(p - q)).max())


DISTANCES: list[tuple[Measure, Callable[[np.ndarray, np.ndarray], float]]] = [
    (lambda a, b: total_variation(a, b, draws=500), variation),
    (lambda a, b: kolmogorov(a, b, draws=500), largest),
    (population_stability, psi),
    (jensen_shannon, divergence),
]
BEFORE = np.array([0.3, 0.25, 0.2, 0.15, 0.07, 0.03])
AFTER = np.array([0.1, 0.2, 0.25, 0.2, 0.15, 0.1])


@pytest.mark.parametrize(("measure", "truth"), DISTANCES)
@pytest.mark.parametrize("mix", [0.0, 0.2, 1.0])
def test_a_distances_interval_holds_the_truth_as_often_as_it_promises(
    measure: Measure, truth: Callable[[np.ndarray, np.ndarray], float], mix: float
) -> None:
    """Where nothing has moved the truth is 0, which a bootstrap of the distance itself would never hold."""
    rng, runs = np.random.default_rng(0), 150
    now = (1 - mix) * BEFORE + mix * AFTER
    covered = 0
    for _ in range(runs):
        sides = Shares(rng.multinomial(800, now), 800), Shares(rng.multinomial(1500, BEFORE), 1500)
        found = measure(*sides)
        assert 0 <= found.low <= found.value <= found.high
        covered += found.low <= truth(now, BEFORE) + 1e-12 <= found.high + 1e-12
    # Divergences are normal only near 0: with all of it moved they cover 92 to 95%.
    assert binom.cdf(covered, runs, 0.95 if mix < 1 else 0.92) > 0.001


def test_a_large_shift_is_shown_and_a_tiny_one_is_not_ruled_out() -> None:
    far = population_stability(Shares(2000 * AFTER, 2000), Shares(2000 * BEFORE, 2000))
    assert far.low > 0.25
    alike = population_stability(Shares(200 * BEFORE, 200), Shares(200 * BEFORE, 200))
    assert (alike.value, alike.low) == (0.0, 0.0)
    assert alike.high > 0.03  # samples that are alike by luck prove nothing


def test_fewer_effective_rows_mean_wider_intervals() -> None:
    counts = 1000 * BEFORE
    for measure, _ in DISTANCES:
        wide, narrow = (measure(Shares(1000 * AFTER, n), Shares(counts, n)) for n in (100, 1000))
        assert wide.value == pytest.approx(narrow.value, rel=0.1)
        assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


@pytest.mark.parametrize(
    ("counts", "effective"), [([1], 1), ([-1, 2], 1), ([0, 0], 1), ([math.nan, 1], 1), ([5, 5], 11), ([5, 5], math.nan)]
)
def test_impossible_counts_are_refused(counts: list[float], effective: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        Shares(np.array(counts), effective)


def test_bins_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="same bins"):
        total_variation(Shares(np.ones(2), 2), Shares(np.ones(3), 3))


def test_rows_of_one_cluster_count_as_one_where_they_agree() -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 3, 200)
    assert effective_rows(codes, np.arange(200)) == 200
    assert effective_rows(np.repeat(codes, 5), np.repeat(np.arange(200), 5)) == pytest.approx(200, rel=0.02)
    assert effective_rows(rng.integers(0, 3, 1000), np.repeat(np.arange(200), 5)) > 800
    assert effective_rows(codes, np.zeros(200)) == 1
    assert effective_rows(np.zeros(200), np.arange(200) // 2) == 100


def test_equal_samples_of_vectors_are_seldom_called_shifted_and_shifted_ones_are() -> None:
    rng, runs, alarms, covered = np.random.default_rng(2), 200, 0, 0
    scale = np.linspace(0.02, 0.2, 16)
    shift = np.zeros(16)
    shift[-1] = 0.1

    def sample(n: int, by: np.ndarray) -> MeanVector:
        return MeanVector.of(scale * rng.normal(size=(n, 16)) + by, np.arange(n))

    for _ in range(runs):
        found, p = mean_shift(sample(300, np.zeros(16)), sample(400, np.zeros(16)), draws=1000)
        assert (p <= 0.05) == (found.low > 0) or abs(p - 0.05) < 0.01
        alarms += p <= 0.05
        found, p = mean_shift(sample(300, shift), sample(400, np.zeros(16)), draws=1000)
        covered += found.low <= 0.05 <= found.high
    assert binom.sf(alarms - 1, runs, 0.05) > 0.001
    assert binom.cdf(covered, runs, 0.95) > 0.001
    assert p < 0.01


# -- summaries ----------------------------------------------------------------------------------------

WORDS = ("love", "great", "dress", "soft", "returned", "cheap", "fits", "colour", "small", "perfect")


def reviews(rng: np.random.Generator, n: int, *, words: int = 10, zh: float = 0.0) -> list[str]:
    made = []
    for _ in range(n):
        if rng.random() < zh:
            made.append("这条裙子很漂亮，质量也不错" * int(rng.integers(1, 4)))
        else:
            made.append(" ".join(rng.choice(WORDS, size=max(1, int(rng.poisson(words))))))
    return made


def sampled(folder: Path, seed: int, n: int = 600, *, right: float = 0.9, data: str = "", **texts: float) -> Run:
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < texts.pop("positive", 0.5)).astype(int)
    rows = dataset(truth, texts=reviews(rng, n, **texts), groups={"shop": rng.choice(["a", "b"], n).tolist()})  # type: ignore[arg-type]
    said = np.where(rng.random(n) < right, truth, 1 - truth).tolist()
    return run(folder / f"{seed}", rows, said, data=data or f"sha256:{seed}", save=True)


def test_a_summary_holds_no_text_no_rare_value_and_little_of_few_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    texts = [*reviews(rng, 300), "the only secretive unicorn"]
    towns = ["Paris"] * 200 + ["Lyon"] * 97 + ["Hermitville"] * 4
    rows = dataset([0, 1] * 150 + [1], texts=texts, groups={"town": towns})
    record, folder = run(tmp_path / "r", rows, [1] * 301)
    kept = (folder / INPUTS).read_text("utf-8")
    assert "unicorn" not in kept
    assert "Hermitville" not in kept
    found = load_inputs(record, folder)
    assert found == summarise(rows)
    assert found is not None
    assert found.categories["town"].few == 4
    assert found.categories["town"].rows == found.rows == 301
    assert (folder / INPUTS).stat().st_mode & 0o777 == 0o600
    assert found.features is not None
    assert summarise(rows.take(np.arange(199))).features is None
    assert summarise(dataset([0, 1] * 150, clusters=[i // 2 for i in range(300)], texts=texts[:300])).features is None


def test_lengths_count_words_and_han_characters() -> None:
    rows = dataset([0] * 12, texts=["great dress"] * 6 + ["裙子很好 OK"] * 6)
    tokens = summarise(rows).lengths["tokens"].counts
    assert tokens == {"2 to 3": 6, "4 to 5": 6}


@pytest.mark.parametrize(
    ("text", "script"),
    [("", "none"), ("123 !?", "none"), ("Крутое", "cyrillic"), ("かわいいドレス", "hiragana"), ("好 good", "latin")],
)
def test_scripts_are_those_of_most_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def histogram(**counts: int) -> Histogram:
    told = {name: n for name, n in counts.items() if n >= FEW}
    rows = sum(counts.values())
    return Histogram(counts=told, few=rows - sum(told.values()), effective=rows)


def test_what_is_rare_on_both_sides_is_pooled_and_what_is_new_is_not() -> None:
    now, before = paired_bins(histogram(a=500, b=5, c=4), histogram(a=500, b=4, c=5))
    assert now.counts.tolist() == [500, 9]
    assert before.counts.tolist() == [500, 9]
    now, before = paired_bins(histogram(a=100, new=400), histogram(a=100, old=400))
    assert total_variation(now, before).value == pytest.approx(0.8)
    now, before = paired_bins(histogram(a=100), histogram(a=50))
    assert total_variation(now, before).low == 0
    assert total_variation(now, before).high > 0


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 40), min_size=1), st.integers(0, 3))
def test_pooling_loses_no_row(counts: dict[str, int], few: int) -> None:
    one, other = histogram(**counts, rest=few, x=20), histogram(x=30)
    now, before = paired_bins(one, other)
    assert now.counts.sum() == one.rows
    assert before.counts.sum() == other.rows


def test_a_damaged_summary_is_told(tmp_path: Path) -> None:
    record, folder = sampled(tmp_path, 0, 60)
    good = json.loads((folder / INPUTS).read_text())
    for change, message in (
        ({"schema_version": 9}, "expected schema_version 1, found 9"),
        ({"script": {"counts": {"latin": 1}, "few": 0, "effective": 1}}, "at least 5 rows per bin"),
        ({"script": {"counts": {"latin": 10}, "few": 0, "effective": 11}}, "at most as many effective rows"),
        ({"features": {"made": "x", "mean": [1.0, 2.0], "covariance": [1.0]}}, "upper triangle"),
    ):
        (folder / INPUTS).write_text(json.dumps({**good, **change}))
        with pytest.raises(RecordError, match=message):
            load_inputs(record, folder)


# -- drift --------------------------------------------------------------------------------------------


def drift(now: Run, then: Run) -> tuple[Outcome, ...]:
    return drift_since(*now, *then)


def by_name(outcomes: tuple[Outcome, ...], metric: str, **where: str) -> Outcome:
    [one] = [o for o in outcomes if o.metric == metric and o.slice == Slice.of(where)]
    return one


def statuses(now: Run, changes: tuple[Outcome, ...]) -> dict[str, Status]:
    verdict = judge(now[0], load_policy("drift"), changes=changes)
    return {finding.control: finding.status for finding in verdict.of("m").findings if finding.slice != "x"}


def test_a_sample_from_the_same_source_passes(tmp_path: Path) -> None:
    now, then = sampled(tmp_path, 1, 1500), sampled(tmp_path, 2, 1500)
    changes = drift(now, then)
    assert all(getattr(one, "reference", None) == "baseline" and one.model is None for one in changes)
    found = statuses(now, changes)
    for name in ("length", "script", "category", "category.psi", "embedding"):
        assert found[f"drift.{name}"] is Status.PASS, name


@pytest.mark.parametrize(
    ("texts", "moved"),
    [
        ({"zh": 0.3}, {"drift.script", "drift.embedding"}),
        ({"words": 22}, {"drift.length"}),
        ({"positive": 0.85}, {"drift.category"}),
    ],
)
def test_what_has_moved_is_named(tmp_path: Path, texts: dict[str, float], moved: set[str]) -> None:
    now, then = sampled(tmp_path, 3, 800, **texts), sampled(tmp_path, 4, 800)
    verdict = judge(now[0], load_policy("drift"), changes=drift(now, then))
    failed = {f.control for f in verdict.of("m").findings if f.status is Status.FAIL and f.severity == "block"}
    assert moved <= failed
    assert failed <= moved | {"drift.length", "drift.embedding"}  # Chinese is shorter


def test_columns_that_one_run_lacks_and_runs_without_a_summary_are_told(tmp_path: Path) -> None:
    now, then = sampled(tmp_path, 5, 60), sampled(tmp_path, 6, 60)
    assert isinstance(by_name(drift(now, then), "drift.embedding"), NotMeasured)  # too few rows
    bare = then[0].model_copy(update={"files": {}})
    changes = drift(now, (bare, then[1]))
    gone = by_name(changes, "drift.length")
    assert isinstance(gone, NotMeasured)
    assert gone.reason == "no summary of the texts is kept by the baseline"
    label = by_name(changes, "drift.category", column=LABEL)  # from what the records count
    assert isinstance(label, Measurement)
    data = then[0].data.model_copy(update={"groups": {"town": {"x": 60}}, "groups_missing": {}})
    other = drift(now, (bare.model_copy(update={"data": data}), then[1]))
    assert isinstance(by_name(other, "drift.category", column="town"), NotMeasured)


# -- evidence over many nights ------------------------------------------------------------------------


def process(rng: np.random.Generator, n: int, rate: float) -> BettingProcess:
    return BettingProcess(null=0.5, reach=(0.0, 1.0)).update((rng.random(n) < rate).astype(float))


@pytest.mark.slow
def test_a_year_of_nightly_looks_raises_no_more_false_alarms_than_promised() -> None:
    """The baseline's accuracy is itself measured, on 300 rows: testing its point figure would nearly always alarm."""
    rng, runs, alarms, naive = np.random.default_rng(8), 60, 0, 0
    for _ in range(runs):
        pair = Pair(process(rng, 300, 0.9), BettingProcess(null=0.5, reach=(0.0, 1.0)))
        alarmed = blamed = False
        for _ in range(365):
            pair = Pair(pair.before, pair.since.update((rng.random(20) < 0.9).astype(float)))
            # The least over all accuracies is at most what it is at the true one; only then is it worth finding.
            bound = _one_sided(pair.before, "greater").log_e(0.9) + _one_sided(pair.since, "less").log_e(0.9)
            if bound >= math.log(20) and pair.log_e() >= math.log(20):
                alarmed = True
            mean = pair.before.mean
            blamed |= mean is not None and _one_sided(pair.since, "less").log_e(min(mean, 1.0)) >= math.log(20)
        alarms += alarmed
        naive += blamed
    assert binom.sf(alarms - 1, runs, 0.05) > 0.001
    assert naive > 0.2 * runs


def _one_sided(process: BettingProcess, alternative: str) -> BettingProcess:
    from dataclasses import replace

    return replace(process, alternative=alternative)  # type: ignore[arg-type]


def test_a_real_drop_is_found_within_weeks() -> None:
    rng, found = np.random.default_rng(9), []
    for _ in range(10):
        pair = Pair(process(rng, 1000, 0.9), BettingProcess(null=0.5, reach=(0.0, 1.0)))
        for night in range(1, 60):
            pair = Pair(pair.before, pair.since.update((rng.random(40) < 0.8).astype(float)))
            if pair.log_e() >= math.log(20):
                found.append(night)
                break
    assert len(found) == 10
    assert np.median(found) <= 15


def test_the_interval_of_the_change_holds_it_and_agrees_with_the_evidence() -> None:
    rng, held = np.random.default_rng(10), 0
    for _ in range(40):
        pair = Pair(process(rng, 400, 0.9), process(rng, 400, 0.8))
        value, low, high = pair.change(0.95)
        assert low <= value <= high
        held += low <= -0.1 <= high
    assert held >= 38
    far = Pair(process(rng, 2000, 0.95), process(rng, 2000, 0.6))
    assert far.change(0.95)[2] < 0
    assert far.log_e() > math.log(20)
    assert Pair(far.since, far.before).log_e() < 0  # it became better


def evidence(now: Run, then: Run, state: Path | None) -> tuple[Outcome, Outcome]:
    first, second = evidence_since(*now, *then, state)
    assert (first.metric, second.metric) == ("drift.evidence", "drift.accuracy")
    return first, second


def test_nights_add_up_and_the_same_night_twice_adds_nothing(tmp_path: Path) -> None:
    then, state = sampled(tmp_path, 100, right=0.9), tmp_path / "kept" / "evidence.jsonl"
    nights = [sampled(tmp_path, seed, right=0.7) for seed in (101, 102)]
    first = evidence(nights[0], then, state)
    assert evidence(nights[0], then, state) == first
    assert len(state.read_text().splitlines()) == 2
    second = evidence(nights[1], then, state)
    assert isinstance(first[0], Fact)
    assert isinstance(second[0], Fact)
    assert second[0].value > first[0].value > 20
    assert isinstance(second[1], Measurement)
    assert second[1].n == 1200
    assert (second[1].high or 0) < -0.1
    assert evidence(nights[0], then, state) == first  # as it was on its night
    again = nights[1][0].model_copy(update={"title": "another audit of the same rows"})
    assert evidence((again, nights[1][1]), then, state) == second
    assert evidence(then, then, state) == second  # the baseline's rows are no new ones
    assert len(state.read_text().splitlines()) == 3
    assert state.stat().st_mode & 0o777 == 0o600
    assert statuses(nights[1], second)["drift.evidence"] is Status.FAIL


def test_without_a_file_nothing_is_kept_and_that_is_said(tmp_path: Path) -> None:
    then = sampled(tmp_path, 110)
    for one in evidence(sampled(tmp_path, 111), then, None):
        assert isinstance(one, NotMeasured)
        assert "--state FILE" in one.reason


def test_a_file_of_another_baseline_a_changed_line_and_another_file_are_refused(tmp_path: Path) -> None:
    then, now, state = sampled(tmp_path, 120), sampled(tmp_path, 121), tmp_path / "evidence.jsonl"
    evidence(now, then, state)
    with pytest.raises(ConfigError, match="another baseline; name that one, or another file"):
        evidence(now, sampled(tmp_path, 122), state)
    text = state.read_text()
    state.write_text(text.replace('"n":600', '"n":900', 1))
    state.write_text(state.read_text() + '{"previous":"x"}\n')
    with pytest.raises(RecordError, match="the chain breaks at line 3"):
        evidence(sampled(tmp_path, 123), then, state)
    (tmp_path / "other.jsonl").write_text('{"kind":"spent","previous":"' + "0" * 64 + '"}\n')
    with pytest.raises(RecordError, match="not a file of evidence"):
        evidence(now, then, tmp_path / "other.jsonl")


def test_a_cluster_is_one_observation_and_an_unanswered_row_is_wrong(tmp_path: Path) -> None:
    rows = dataset([1, 1, 0, 1], clusters=[7, 7, 8, 9])
    made = run(tmp_path / "a", rows, [1, 0, None, 1])
    found = observations(*made, "m")
    assert found is not None
    assert found.tolist() == [0.5, 0.0, 1.0]


def table(folder: Path, seed: int, right: float, n: int = 800) -> Path:
    """Last night's decisions, and the audit of them."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.5
    said = np.where(rng.random(n) < right, truth, ~truth)
    words = np.array(["refuse", "accept"])
    columns = {"sex": rng.choice(["f", "m"], n), "true": words[truth.astype(int)], "said": words[said.astype(int)]}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "decisions.parquet")
    config = {
        "audit": "credit",
        "table": {
            "path": "decisions.parquet", "kind": "classification", "positive": "accept", "groups": ["sex"],
            "columns": {"truth": "true", "prediction": "said"},
        },
    }  # fmt: skip
    (folder / "sample.yaml").write_text(yaml.safe_dump(config))
    return folder / "sample.yaml"


@pytest.mark.slow
def test_the_nightly_script_is_silent_while_all_is_well_and_speaks_up_when_it_is_not(tmp_path: Path) -> None:
    base = run_audit(table(tmp_path / "base", 0, 0.9), out=tmp_path / "runs").directory
    found = observations(*_loaded(base), "credit")
    assert found is None or len(found) == 800
    script = ROOT / "configs" / "starter" / "nightly.sh"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def night(config: Path) -> subprocess.CompletedProcess[str]:
        settings = {"STEELYARD_BASELINE": str(base), "STEELYARD_RUNS": str(tmp_path / "nights")}
        return subprocess.run(
            ["sh", str(script), str(config)], capture_output=True, text=True, check=False, timeout=300,
            env={**os.environ, "PATH": path, **settings},
        )  # fmt: skip

    well = night(table(tmp_path / "one", 1, 0.9))
    assert (well.returncode, well.stdout) == (0, ""), well
    ill = night(table(tmp_path / "two", 2, 0.75))
    assert ill.returncode == 1, ill
    assert "[drift.evidence]" in ill.stdout
    assert len(Path(f"{base}.evidence.jsonl").read_text().splitlines()) == 3


def _loaded(directory: Path) -> Run:
    from governance.record import load_record

    return load_record(directory), directory


def test_an_inputs_file_is_part_of_the_runs_evidence(tmp_path: Path) -> None:
    from governance.record import load_record

    _, folder = sampled(tmp_path, 200, 60)
    assert isinstance(load_inputs(load_record(folder), folder), Inputs)
    (folder / INPUTS).write_bytes((folder / INPUTS).read_bytes() + b" ")
    with pytest.raises(RecordError, match=r"inputs\.json: changed since the record was written"):
        load_record(folder)
