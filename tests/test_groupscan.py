"""Counting in one pass over files and tables, with clusters and without: the same counts as row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from governance.errors import DataError
from governance.groups.clusters import ClusterCounts, rates, table_of
from governance.groups.counts import MISSING, GroupCounts, codes_of
from governance.groups.scan import row_count, scan
from governance.statistics.intervals import clustered_wilson, wilson

HOSTILE = "a\"b'; DROP TABLE rows; --"


def shop(n: int = 3_000, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    score = np.clip(rng.normal(0.35 + 0.3 * truth, 0.2), 0, 1)
    sex = np.array(["f", "m", "男", None], dtype=object)[rng.integers(0, 4, n)]
    return pa.table(
        {
            HOSTILE: sex,
            "age": rng.uniform(18, 70, n).round(0),
            "bought": np.array(["no", "yes"])[truth],
            "said": np.array(["no", "yes"])[(score > 0.5).astype(int)],
            "score": score,
            "customer": [f"c{i}" for i in rng.integers(0, n // 5, n)],
        }
    )


def by_rows(table: pa.Table, groups: list[str]) -> GroupCounts:
    classes = ["no", "yes"]
    truth, said = (np.array([classes.index(v) for v in table[name].to_pylist()]) for name in ("bought", "said"))
    coded = {name: codes_of(table[name]) for name in groups}
    return GroupCounts.of(coded, truth, said, classes, scores=table["score"].to_numpy(), positive=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | pa.Table]:
    folder, table = tmp_path_factory.mktemp("rows"), shop()
    pq.write_table(table, folder / "rows.parquet", row_group_size=500)
    pyarrow.csv.write_csv(table, folder / "it's rows.csv")
    return {"arrow": table, "parquet": folder / "rows.parquet", "csv": folder / "it's rows.csv"}


@pytest.mark.parametrize("kind", ["arrow", "parquet", "csv"])
def test_a_scan_counts_what_a_loop_counts(files, kind: str) -> None:
    expected = by_rows(files["arrow"], [HOSTILE])
    found = scan(files[kind], groups=[HOSTILE], truth="bought", predicted="said", positive="yes", score="score")
    assert isinstance(found, GroupCounts)
    assert found.cells == expected.cells == (((MISSING,), ("f",), ("m",), ("男",)))
    assert found.counts.tolist() == expected.counts.tolist()
    assert found.scores is not None
    assert expected.scores is not None
    assert found.scores.tolist() == expected.scores.tolist()
    assert found.score_sums == pytest.approx(expected.score_sums)


def test_a_folder_of_shards_is_one_table(files, tmp_path: Path) -> None:
    table = files["arrow"]
    for number in range(3):  # the first shard has rows of one class alone
        order = np.argsort(np.array(table["bought"].to_pylist()), kind="stable")
        pq.write_table(table.take(order[number * 1_000 : (number + 1) * 1_000]), tmp_path / f"shard {number}.parquet")
    (tmp_path / "_SUCCESS").touch()
    arguments = {"groups": [HOSTILE], "truth": "bought", "predicted": "said"}
    whole, shards = scan(table, **arguments), scan(tmp_path, **arguments)
    assert table_of(shards).counts.tolist() == table_of(whole).counts.tolist()
    assert row_count(tmp_path) == 3_000
    (tmp_path / "more.csv").write_text("a\n")
    with pytest.raises(DataError, match="expected files of one kind"):
        scan(tmp_path, **arguments)


def test_bands_are_named_as_an_audit_names_them(files) -> None:
    found = scan(
        files["parquet"], groups=["band"], truth="bought", predicted="said", bands={"band": ("age", [30, 40.5])}
    )
    ages = files["arrow"]["age"].to_numpy()
    rows = dict(zip((cell for (cell,) in found.cells), found.counts.sum(axis=(1, 2)), strict=True))
    assert rows == {
        "under 30": (ages < 30).sum(),
        "30 to under 40.5": ((ages >= 30) & (ages < 40.5)).sum(),
        "40.5 and over": (ages >= 40.5).sum(),
    }


def test_clusters_give_clustered_intervals(files) -> None:
    table = files["arrow"]
    found = scan(files["parquet"], groups=[HOSTILE], truth="bought", predicted="said", cluster="customer")
    assert isinstance(found, ClusterCounts)
    assert found.table.counts.tolist() == by_rows(table, [HOSTILE]).counts.tolist()
    sex = [value or MISSING for value in table[HOSTILE].to_pylist()]
    truth, said, customer = (np.array(table[name].to_pylist()) for name in ("bought", "said", "customer"))
    everyone = np.ones(len(truth), dtype=bool)
    for metric, among, hit in (
        ("selection_rate", everyone, said == "yes"),
        ("true_positive_rate", truth == "yes", said == "yes"),
        ("precision", said == "yes", truth == "yes"),
        ("accuracy", everyone, truth == said),
    ):
        measured = rates(found, metric, positive=1, level=0.9)
        for (cell,), rate in zip(found.table.cells, measured, strict=True):
            rows = (np.array(sex) == cell) & among
            _, codes = np.unique(customer[rows], return_inverse=True)
            assert rate == clustered_wilson(np.bincount(codes, hit[rows]), np.bincount(codes), 0.9)
    assert rates(found, "accuracy", positive=None, level=0.9) == rates(found, "accuracy", positive=1, level=0.9)


def test_shards_with_clusters_in_common_add_up(files) -> None:
    table = files["arrow"]
    arguments = {"groups": [HOSTILE, "customer"], "truth": "bought", "predicted": "said", "cluster": "customer"}
    whole = scan(table, **arguments)
    parts = [scan(table.slice(start, 1_000), **arguments) for start in (0, 1_000, 2_000)]
    merged = parts[0].merge(*parts[1:])
    assert table_of(merged).counts.tolist() == table_of(whole).counts.tolist()
    for columns in ([HOSTILE], []):
        assert rates(merged.over(columns), "selection_rate", positive=1, level=0.95) == rates(
            whole.over(columns), "selection_rate", positive=1, level=0.95
        )
    some = whole.over([HOSTILE])
    assert (
        rates(some.without(HOSTILE, MISSING), "accuracy", positive=1, level=0.95)
        == rates(some, "accuracy", positive=1, level=0.95)[1:]
    )
    assert (
        rates(some.where(HOSTILE, "f"), "accuracy", positive=1, level=0.95)
        == rates(some, "accuracy", positive=1, level=0.95)[1:2]
    )


def test_plain_counts_give_plain_intervals() -> None:
    table = GroupCounts.of({"g": codes_of(["a", "a", "b"])}, np.array([1, 0, 0]), np.array([1, 0, 1]), ["n", "y"])
    first, second = rates(table, "true_positive_rate", positive=1, level=0.95)
    assert first is not None
    assert (first.bounds, first.n) == (wilson(1, 1), 1)
    assert second is None  # no positives: Fairlearn says 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": "buys"}, 'Referenced column "buys" not found'),
        ({"score": "age", "positive": "yes"}, r"a score in \[0, 1\]"),
        ({"score": "customer", "positive": "yes"}, "not of the type"),
        ({"score": "score"}, "needs the class"),
    ],
)
def test_mistakes_are_told_without_quoting_a_row(files, change, message: str) -> None:
    arguments = {"groups": [HOSTILE], "truth": "bought", "predicted": "said"} | change
    with pytest.raises(DataError, match=message) as told:
        scan(files["parquet"], **arguments)
    assert "c1" not in str(told.value)


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    arguments = {"groups": [], "truth": "t", "predicted": "p"}
    with pytest.raises(DataError, match=r"end in \.parquet"):
        scan(tmp_path / "rows.pickle", **arguments)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"broken\.parquet"):
        scan(tmp_path / "broken.parquet", **arguments)
    (tmp_path / "empty.csv").write_text("t,p\n,\n")
    with pytest.raises(DataError, match="no row has both"):
        scan(tmp_path / "empty.csv", **arguments)
