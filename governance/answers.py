"""Answers on disk: one Parquet file per model, every probe set in it, keyed by row.

No text of a row is in it, but what a generating model answered to one, scrubbed, is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.base import HELD_OUT, Predictions
from governance import atrest
from governance.backends.base import Answer
from governance.dataset import Labels, ScrubbedDataset
from governance.files import private_folder, write_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray


def save_answers(
    path: Path, sets: Mapping[str, tuple[NDArray[np.int64], Sequence[Answer]]], labels: Labels, test: ScrubbedDataset
) -> Path:
    """Write answers; encrypted where a model said something in words and there is a key.

    Args:
        path: the Parquet file.
        sets: set name -> (positions in the set, answers).
        labels: the task's classes; one score column each.
        test: held-out rows, whose source row numbers key their answers.

    Returns:
        Where it is: `path`, or with `.enc` behind it.
    """
    import pyarrow as pa

    columns: dict[str, list[Any]] = {"set": [], "index": [], "row": [], "label": [], "cluster": []}
    answers: list[Answer] = []
    for name, (index, answered) in sets.items():
        columns["set"] += [name] * len(answered)
        columns["index"] += index.tolist()
        held_out = name == HELD_OUT
        columns["row"] += test.rows[index].tolist() if held_out else [None] * len(answered)
        columns["label"] += [test.labels[i] for i in index] if held_out else [None] * len(answered)
        columns["cluster"] += test.clusters[index].tolist() if held_out else [None] * len(answered)
        answers += answered
    types = {"set": pa.string(), "index": pa.int64(), "row": pa.int64(), "label": pa.string(), "cluster": pa.int64()}
    arrays = {name: pa.array(values, types[name]) for name, values in columns.items()}
    arrays["predicted"] = pa.array([a.label for a in answers], pa.string())
    arrays["failure"] = pa.array([a.failure for a in answers], pa.string())
    arrays["seconds"] = pa.array([a.seconds for a in answers], pa.float64())
    arrays["tokens_in"] = pa.array([a.tokens_in for a in answers], pa.int64())
    arrays["tokens_out"] = pa.array([a.tokens_out for a in answers], pa.int64())
    arrays["output"] = pa.array([a.output for a in answers], pa.string())
    arrays["personal"] = pa.array([a.personal for a in answers], pa.int64())
    arrays["version"] = pa.array([a.version for a in answers], pa.string())
    for code, name in enumerate(labels.classes):
        scores = [None if a.scores is None else a.scores[code] for a in answers]
        arrays[f"score:{name}"] = pa.array(scores, pa.float64())
    return keep(pa.table(arrays), path)


def copy_answers(source: Path, target: Path) -> Path:
    """Copy what `save_answers` wrote; returns where it is, as that does.

    Raises:
        RecordError: it is encrypted, and the key is missing or another's.
    """
    import pyarrow.parquet as pq

    return keep(pq.read_table(atrest.plain(source)), target)


def keep(table: Any, path: Path) -> Path:
    """Write a table of answers, encrypted where a record key is set and it holds words; returns where it is."""
    import pyarrow.parquet as pq

    private_folder(path.parent)
    buffer = BytesIO()
    pq.write_table(table, buffer)
    if table["output"].null_count < len(table):
        return atrest.keep(path, buffer.getvalue())
    write_atomic(path, buffer.getvalue())
    return path


def load_answers(path: Path, labels: Labels) -> dict[str, Predictions]:
    """Read what `save_answers` wrote, as evaluators see it: set name -> predictions.

    Raises:
        RecordError: it is encrypted, and the key is missing or another's.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(atrest.plain(path))
    found = {}
    for name in pc.unique(table["set"]).to_pylist():
        part = table.filter(pc.equal(table["set"], name)).sort_by("index")
        found[name] = Predictions(
            index=part["index"].to_numpy(),
            labels=tuple(part["predicted"].to_pylist()),
            scores=_scores(part, labels),
            failures=tuple(part["failure"].to_pylist()),
            seconds=part["seconds"].to_numpy(),
            tokens_in=_whole(part, "tokens_in"),
            tokens_out=_whole(part, "tokens_out"),
            outputs=None if part["output"].null_count == len(part) else tuple(part["output"].to_pylist()),
            personal=part["personal"].to_numpy(),
        )
    return found


def _scores(part: Any, labels: Labels) -> NDArray[np.float64] | None:
    columns = [part[f"score:{name}"] for name in labels.classes]
    if any(column.null_count == len(part) for column in columns):
        return None
    return np.column_stack([column.to_numpy().astype(float) for column in columns])


def _whole(part: Any, name: str) -> NDArray[np.int64] | None:
    """Token counts; rows that failed before they were counted have none spent."""
    column = part[name]
    return None if column.null_count == len(part) else column.fill_null(0).to_numpy()
