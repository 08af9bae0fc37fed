"""Two runs of one classifier's audit, made from arrays: real predictions files and figures by the real evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluators.base import HELD_OUT, Setting, Subject
from evaluators.tasks.classification import Quality
from governance.answers import load_answers, save_answers
from governance.backends.base import Answer
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.files import digest_file
from governance.inputs import INPUTS, save_inputs, summarise
from governance.measure import Outcome
from governance.record import PREDICTIONS, DataEntry, Lineage, ModelEntry, RunRecord, save_record

LABELS = Labels(("no", "yes"), "yes")
Run = tuple[RunRecord, Path]


def dataset(
    truth: Sequence[int],
    *,
    rows: Sequence[int] | None = None,
    clusters: Sequence[int] | None = None,
    texts: Sequence[str] | None = None,
    groups: dict[str, Sequence[str | None]] | None = None,
) -> ScrubbedDataset:
    """Held-out rows whose true classes are these codes."""
    n = len(truth)
    return ScrubbedDataset(
        rows=np.arange(n) if rows is None else np.asarray(rows),
        texts=tuple(ScrubbedText(text) for text in (texts or [f"text {i}" for i in range(n)])),
        labels=tuple(LABELS.classes[code] for code in truth),
        groups={name: tuple(values) for name, values in (groups or {}).items()},
        clusters=np.arange(n) if clusters is None else np.asarray(clusters),
    )


def run(
    directory: Path,
    test: ScrubbedDataset,
    predicted: Sequence[int | None],
    *,
    scores: Sequence[float] | None = None,
    model: str = "m",
    data: str = "sha256:data",
    weights: str | None = None,
    extra: Sequence[Outcome] = (),
    task: str = "classification",
    positive: str | None = "yes",
    measured: bool = True,
    save: bool = False,
) -> Run:
    """A run directory with predictions, and its record; `save` writes that as well.

    Without `measured` the record has the `extra` figures alone, and keeps no summary of its inputs.
    """
    answers = []
    for i, code in enumerate(predicted):
        if code is None:
            answers.append(Answer(failure="timed out", seconds=0.01))
            continue
        score = None if scores is None else (1 - float(scores[i]), float(scores[i]))
        answers.append(Answer(label=LABELS.classes[code], scores=score, seconds=0.01 + i % 7 / 1000))
    path = directory / PREDICTIONS / f"{model}.parquet"
    save_answers(path, {HELD_OUT: (np.arange(len(test)), answers)}, LABELS, test)
    files = {path.relative_to(directory).as_posix(): digest_file(path)}
    outcomes: Sequence[Outcome] = ()
    if measured:
        subject = Subject(model, frozenset(), load_answers(path, LABELS), trained=False)
        setting = Setting(labels=LABELS, train=test.take(np.arange(0)), test=test, find_personal=lambda _: [])
        outcomes = Quality(draws=200).measure([subject], setting)
        files[INPUTS] = digest_file(save_inputs(summarise(test), directory))
    counts = {name: sum(label == name for label in test.labels) for name in LABELS.classes}
    record = RunRecord(
        audit="a", run=directory.name, created="2026-01-01T00:00:00+00:00", title="t", task=task, question="q",
        candidate=model,
        data=DataEntry(
            name="d", source="d.csv", digest=data, rows_read=len(test), rows_empty=0, rows_duplicate=0,
            rows_used=len(test), rows_train=0, rows_test=len(test), clusters_test=len(np.unique(test.clusters)),
            labels=counts, positive=positive,
        ),
        models=(
            ModelEntry(name=model, kind="k", title=model, source="s", weighed_on=len(test), digest=weights),
        ),
        outcomes=(*outcomes, *extra),
        lineage=Lineage(plan="p", config="c", policy="s", code="x", versions={}, hardware="h", seed=0),
        files=files,
    )  # fmt: skip
    if save:
        save_record(record, directory)
    return record, directory
