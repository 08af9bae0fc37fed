"""Group fairness from counts against Fairlearn, sliceline and the clock: CPU seconds of one run, figures compared.

    make bench NAME=fairness

Five metrics by ten groups. Fairlearn's bootstrap of 100 draws over 100,000 rows takes minutes; ours draws 1,000
tables. What policies use is cheaper still (closed intervals), but a race should be over the same thing.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.adult import adult_errors
from governance.groups.counts import GroupCounts, codes_of
from governance.groups.metrics import RATES, outcomes, rate, share
from governance.groups.slices import search
from governance.statistics.resample import PoissonBootstrap, count_table, multinomial_draws

GROUPS, DRAWS, FAIRLEARN_DRAWS = 10, 1_000, 100
ROWS_50M = 50_000_000


def cpu(work: Callable[[], Any], rounds: int = 1) -> tuple[float, Any]:
    """(least CPU seconds of this process, result)."""
    seconds, result = [], None
    for _ in range(rounds):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group, truth and answer; the groups' rates differ."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, GROUPS, n)
    truth = rng.random(n) < 0.4 + 0.02 * group
    answer = rng.random(n) < np.where(truth, 0.75, 0.2) - 0.01 * group
    return group, truth.astype(np.int64), answer.astype(np.int64)


def names(group: np.ndarray) -> pa.Array:
    return pa.array(np.array([f"group {i}" for i in range(GROUPS)], dtype=object)[group])


def metric_frame(group: Any, truth: np.ndarray, answer: np.ndarray, draws: int | None = None) -> Any:
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score, precision_score

    functions = {
        "selection_rate": selection_rate, "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate, "precision": precision_score, "accuracy": accuracy_score,
    }  # fmt: skip
    more = {} if draws is None else {"n_boot": draws, "ci_quantiles": [0.025, 0.975], "random_state": 0}
    frame = MetricFrame(metrics=functions, y_true=truth, y_pred=answer, sensitive_features=group, **more)
    gaps = [frame.by_group, frame.difference(), frame.ratio()]
    if draws is not None:
        gaps += [frame.by_group_ci, frame.difference_ci(), frame.ratio_ci()]
    return gaps


def counted(group: np.ndarray, truth: np.ndarray, answer: np.ndarray) -> GroupCounts:
    return GroupCounts.of({"g": ([f"group {i}" for i in range(GROUPS)], group)}, truth, answer, ["0", "1"])


def points(table: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Metric -> by group, difference, ratio; over the last axis but those of the table."""
    confusion, found = outcomes(table, 1), {}
    for metric in RATES:
        values = share(*rate(confusion, metric))
        found[metric] = values, np.ptp(values, axis=-1), values.min(axis=-1) / values.max(axis=-1)
    return found


def with_intervals(group: np.ndarray, truth: np.ndarray, answer: np.ndarray) -> Any:
    table = counted(group, truth, answer)
    drawn = points(multinomial_draws(table.counts, DRAWS, 0))
    return points(table.counts), {
        metric: [np.quantile(values, (0.025, 0.975), axis=0) for values in three] for metric, three in drawn.items()
    }


def same_points(ours: Any, frame: Any) -> None:
    for metric, (by_group, difference, ratio) in ours.items():
        assert np.array_equal(by_group, frame[0][metric].to_numpy())
        assert difference == frame[1][metric]
        assert ratio == frame[2][metric]


def same_intervals(ours: Any, frame: Any) -> float:
    """Largest distance of an interval's end from Fairlearn's, in widths of that interval."""
    worst = 0.0
    for metric, three in ours.items():
        for place, ends in enumerate(three):
            theirs = [np.asarray(frame[3 + place][end][metric], dtype=float) for end in (0, 1)]
            width = theirs[1] - theirs[0]
            worst = max(worst, *(float(np.max(np.abs(ends[i] - theirs[i]) / width)) for i in (0, 1)))
    return worst


def write_parquet(path: Path) -> None:
    """50M rows, a million at a time."""
    writer = None
    for number in range(ROWS_50M // 1_000_000):
        group, truth, answer = rows(1_000_000, number)
        batch = pa.table(
            {"g": names(group).dictionary_encode(), "t": truth.astype(np.int8), "p": answer.astype(np.int8)}
        )
        writer = writer or pq.ParquetWriter(path, batch.schema)
        writer.write_table(batch)
    assert writer is not None
    writer.close()


def scan_alone(path: Path) -> tuple[float, float]:
    """(peak resident MB, CPU seconds) of a process that counts the file and nothing else."""
    code = """
import resource, sys
from pathlib import Path
from governance.groups.scan import scan
found = scan(Path(sys.argv[1]), groups=["g"], truth="t", predicted="p")
used = resource.getrusage(resource.RUSAGE_SELF)  # its ru_maxrss would have the parent's too
peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
print(found.rows, int(peak) / 1024, used.ru_utime + used.ru_stime)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    counted_rows, peak, seconds = done.stdout.split()
    assert int(counted_rows) == ROWS_50M
    return float(peak), float(seconds)


def cluster_bootstrap() -> tuple[float, np.ndarray]:
    """1M rows of 100,000 users, 1,000 draws of every cell; from encoded columns."""
    group, truth, answer = rows(1_000_000)
    user = np.random.default_rng(1).integers(0, 100_000, len(group))
    cell = (group * 2 + truth) * 2 + answer

    def work() -> np.ndarray:
        table = count_table(user, cell, shape=(100_000, GROUPS * 4))
        draws = PoissonBootstrap(100_000, draws=DRAWS, seed=0).sums(table)
        found = points(draws.reshape(DRAWS, GROUPS, 2, 2))
        return np.quantile(found["selection_rate"][1], (0.025, 0.975))

    return cpu(work)


def slices() -> tuple[float, float, str]:
    """(our CPU seconds, sliceline's, the top slice) on the errors of a logistic regression on Adult's test rows."""
    from sliceline.slicefinder import Slicefinder

    columns, wrong = adult_errors()
    features = {name: codes_of(values) for name, values in columns.items()}
    minimum = len(wrong) // 100
    ours, (found, looked) = cpu(lambda: search(features, wrong, depth=3, min_rows=minimum, most=1), rounds=5)
    matrix = np.stack([codes + 1 for _, codes in features.values()], axis=1)
    finder = Slicefinder(alpha=0.95, k=1, max_l=3, min_sup=minimum, verbose=False)
    theirs, _ = cpu(lambda: finder.fit(matrix, wrong.astype(float)))
    named = {
        name: features[name][0][int(code) - 1]
        for name, code in zip(features, finder.top_slices_[0], strict=True)
        if code is not None
    }
    top = found[0]
    assert top.where == named, (top.where, named)
    rate_in, rate_all = top.errors / top.rows, wrong.mean()
    said = f"{dict(top.where)}: {rate_in:.1%} errors against {rate_all:.1%}, score {top.score:.3f}, {looked} slices"
    return ours, theirs, said


def gates() -> tuple[float, float]:
    """(share of audits failed without a gap, share of those found with a 4% group at 0.6 times, 40,000 rows)."""
    from governance.groups.asked import Asked
    from governance.groups.gaps import group_outcomes
    from governance.policy import Status, hold, load_policy

    control = next(one for one in load_policy("launch").controls if one.id == "fairness.selection")
    rng, runs = np.random.default_rng(0), 1_000

    def failed(sizes: np.ndarray, tpr: np.ndarray, fpr: np.ndarray) -> float:
        hits = 0
        for _ in range(runs):
            positive = rng.binomial(sizes, 0.5)
            hit, false = rng.binomial(positive, tpr), rng.binomial(sizes - positive, fpr)
            cells = np.stack([sizes - positive - false, false, positive - hit, hit], axis=-1).reshape(-1, 2, 2)
            table = GroupCounts(("g",), tuple((f"{i:02}",) for i in range(len(sizes))), ("no", "yes"), cells)
            found = group_outcomes(table, Asked(model="m", task="t", level=0.95, positive=1))
            spoken = [one for one in found if control.matches(one, incumbent=None)]
            hits += any(hold(control, one, 0.95)[0] is Status.FAIL for one in spoken)
        return hits / runs

    alike = failed(np.full(10, 400), np.full(10, 0.7), np.full(10, 0.2))
    worse = np.array([0.6, *[1.0] * 9])
    return alike, failed(np.array([1_600, *[38_400 // 9] * 9]), 0.8 * worse, 0.4 * worse)


def main() -> None:
    """Print a table, then one line of JSON."""
    for work in (lambda: metric_frame(*rows(1_000)), lambda: with_intervals(*rows(1_000))):
        work()  # imports
    lines = []
    group, truth, answer = rows(100_000)
    ours, (figures, intervals) = cpu(lambda: with_intervals(group, truth, answer), rounds=5)
    theirs, frame = cpu(lambda: metric_frame(group, truth, answer, FAIRLEARN_DRAWS))
    same_points(figures, frame)
    apart = same_intervals(intervals, frame)
    lines.append(
        ("intervals, 1e5 rows", ours, theirs, f"ends at most {apart:.2f} widths apart (100 draws against 1,000)")
    )
    figures_json = {"intervals_vs_fairlearn_1e5": theirs / ours}

    group, truth, answer = rows(1_000_000)
    column = names(group)
    ours, table = cpu(lambda: GroupCounts.of({"g": codes_of(column)}, truth, answer, ["0", "1"]).counts, rounds=3)
    theirs, frame = cpu(lambda: metric_frame(column.to_pandas(), truth, answer))
    same_points(points(table), frame)
    lines.append(("points from raw columns, 1e6", ours, theirs, "equal to the last bit"))
    figures_json["points_vs_fairlearn_1e6"] = theirs / ours
    figures_json["seconds_1e6"], _ = cpu(lambda: with_intervals(group, truth, answer), rounds=3)
    lines.append(("with intervals, encoded, 1e6", figures_json["seconds_1e6"], float("nan"), ""))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write_parquet(path)
        figures_json["rss_mb_50m"], seconds = scan_alone(path)
        size = path.stat().st_size / 1e6
    lines.append(
        ("50M-row Parquet", seconds, float("nan"), f"{figures_json['rss_mb_50m']:.0f} MB resident, file {size:.0f} MB")
    )
    figures_json["cluster_seconds"], ends = cluster_bootstrap()
    lines.append(
        ("cluster bootstrap, 1M rows, 100k users", figures_json["cluster_seconds"], float("nan"), f"{ends.round(4)}")
    )
    ours, theirs, said = slices()
    lines.append(("worst slices against sliceline", ours, theirs, said))
    figures_json["slices_vs_sliceline"] = theirs / ours
    figures_json["false_fail_rate"], figures_json["power_40k"] = gates()
    print(f"{'':40} {'ours, CPU s':>12} {'theirs':>10} {'ratio':>9}")
    for name, mine, other, note in lines:
        ratio = f"{other / mine:9.0f}" if other == other else " " * 9  # noqa: PLR0124 - NaN is not itself
        print(f"{name:40} {mine:12.4f} {other:10.3f} {ratio}  {note}")
    print(f"gate on selection, 1,000 audits each: {figures_json['false_fail_rate']:.3f} failed without a gap, "
          f"{figures_json['power_40k']:.3f} found with one")  # fmt: skip
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    print(json.dumps({key: round(value, 4) for key, value in figures_json.items()}))


if __name__ == "__main__":
    main()
