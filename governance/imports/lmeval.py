"""lm-eval's results (`results_*.json`), and the scores by sample beside them (`samples_*.jsonl`) where there are any.

A metric's scores are taken only where their mean is the figure that the results state: corpus metrics such as BLEU are
no means, and samples of another run would show.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from governance.errors import RecordError
from governance.files import digest_bytes
from governance.imports.hostile import checked, parse_json, read_bytes
from governance.imports.logs import (
    MOST,
    NO_SAMPLES,
    Column,
    Log,
    Reported,
    column,
    coverage,
    plain,
    row_key,
    short_name,
)

MOST_TASKS = 2_000
SAME = 1e-6  # of a mean that is stated and one that is made here
STDERR = "_stderr"
Name = Annotated[str, Field(max_length=500)]


class _Lax(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Samples(_Lax):
    original: int | None = Field(default=None, ge=0)
    effective: int = Field(ge=0)


class _Results(_Lax):
    """What is read of a results file; versions since 0.4 have it."""

    results: dict[Name, dict[str, Any]] = Field(min_length=1, max_length=MOST_TASKS)
    versions: dict[Name, Any] = Field(default_factory=dict)
    shots: dict[Name, Any] = Field(default_factory=dict, alias="n-shot")
    samples: dict[Name, _Samples] = Field(default_factory=dict, alias="n-samples")
    higher: dict[Name, Any] = Field(default_factory=dict, alias="higher_is_better")
    subtasks: dict[Name, list[Name]] = Field(default_factory=dict, alias="group_subtasks")
    config: dict[str, Any] = Field(default_factory=dict)
    version: Name | None = Field(default=None, alias="lm_eval_version")
    model: Name | None = Field(default=None, alias="model_name")
    source: Name | None = Field(default=None, alias="model_source")


class _Sample(_Lax):
    """A line of samples; the texts in it are not kept."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    doc_id: int
    doc_hash: Name | None = None
    target_hash: Name | None = None
    filter: Name = "none"


def is_lmeval(raw: Any) -> bool:
    """Whether JSON looks like lm-eval's."""
    return isinstance(raw, dict) and isinstance(raw.get("results"), dict)


def read_lmeval(path: Path, raw: Any) -> tuple[tuple[Log, ...], Mapping[str, str]]:
    """Every task of a results file.

    Returns:
        One log per task, and the digest of each file of samples that was read, by its name.

    Raises:
        RecordError: not lm-eval's format, or samples that contradict themselves.
    """
    found = checked(_Results, raw, str(path))
    beside, digests, logs = _beside(path, found), dict[str, str](), []
    for task, stated in found.results.items():
        where, samples = f"{path}: results.{task[:60]}", None
        if task in beside:
            data = read_bytes(beside[task])
            digests[beside[task].name] = digest_bytes(data)
            samples = _samples(str(beside[task]), data)
        logs.append(_log(where, found, task, stated, samples))
    return tuple(logs), digests


def _beside(path: Path, found: _Results) -> dict[str, Path]:
    """Task -> its file of samples. Names are compared, never put together to a path: a task's name may be anything."""
    stamp = re.fullmatch(r"results(?:_(.+))?\.json", path.name)
    if stamp is None:
        return {}
    tail = f"_{stamp[1]}.jsonl" if stamp[1] else ".jsonl"
    files = {file.name: file for file in path.parent.glob("samples_*.jsonl")}
    return {task: files[name] for task in found.results if (name := f"samples_{task}{tail}") in files}


_Rows = dict[str, list[tuple[int, str, dict[str, Any]]]]


def _samples(where: str, data: bytes) -> _Rows:
    """Filter -> document, key and line of each sample."""
    rows: _Rows = {}
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            sample = checked(_Sample, parse_json(line, f"{where}: line {number}"), f"{where}: line {number}")
            key = row_key(sample.doc_id, sample.doc_hash, sample.target_hash)
            rows.setdefault(sample.filter, []).append((sample.doc_id, key, dict(sample.model_extra or {})))
    for found in rows.values():
        if len({document for document, _, _ in found}) < len(found):
            raise RecordError(f"{where}: a sample stands twice")
    return rows


def _log(where: str, found: _Results, task: str, stated: Mapping[str, Any], samples: _Rows | None) -> Log:
    asked, counted = _asked(found, task, {task}), stated.get("sample_count")
    # Of a group: figure -> samples of those of its tasks that have it.
    counts = {key: n for key, n in counted.items() if type(n) is int} if isinstance(counted, dict) else {}
    scores: dict[str, Column | Reported | str] = {}
    for metric, kind, value, error in _figures(where, stated):
        name = metric if kind == "none" else f"{metric}-{kind}"
        reported = Reported(value, error, counts.get(f"{metric},{kind}", asked))
        scores[name] = _column(where, metric, value, (samples or {}).get(kind, [])) or reported
    higher = found.higher.get(task)
    lower = {m for m, up in higher.items() if up is False} if isinstance(higher, dict) else set()
    return Log(
        tool="lm-eval",
        version=plain(found.version or "unknown"),
        task=task,
        model=short_name(found.model or found.source or "unnamed"),
        asked=asked,
        coverage=NO_SAMPLES if samples is None else _coverage(where, scores, samples, asked),
        scores=scores,
        group=bool(found.subtasks.get(task)),
        lower_is_better=frozenset(name for name in scores if name.partition("-")[0] in lower or name in lower),
        settings={
            "task_version": _setting(found.versions.get(task)),
            "num_fewshot": _setting(found.shots.get(task)),
            **{key: _setting(found.config.get(key)) for key in ("limit", "random_seed", "fewshot_seed")},
        },
    )


def _figures(where: str, stated: Mapping[str, Any]) -> Iterator[tuple[str, str, float, float | None]]:
    """Metric, filter, value and standard error, from keys such as "acc,none" and "acc_stderr,none"."""
    for key, value in stated.items():
        metric, _, kind = key.partition(",")
        if metric in ("alias", "name", "sample_len", "sample_count", " ", "") or metric.endswith(STDERR):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MOST:
            raise RecordError(f"{where}: expected numbers of a sane size, found a {type(value).__name__}")
        error = stated.get(f"{metric}{STDERR}{key[len(metric) :]}")
        if isinstance(error, str) or error is None:  # "N/A"
            yield metric, kind or "none", float(value), None
        elif isinstance(error, bool) or not isinstance(error, int | float) or not 0 <= error <= MOST:
            raise RecordError(f"{where}: expected standard errors of 0 or more")
        else:
            yield metric, kind or "none", float(value), float(error)


def _column(where: str, metric: str, stated: float, rows: list[tuple[int, str, dict[str, Any]]]) -> Column | None:
    """The scores behind a figure, if they are numbers and average to it."""
    found = [(key, line[metric]) for _, key, line in rows if metric in line]
    if not found or any(not isinstance(value, bool | int | float) for _, value in found):
        return None
    made = column(where, [(key, key, float(value)) for key, value in found])
    return made if math.isclose(float(made.values.mean()), stated, rel_tol=SAME, abs_tol=SAME) else None


def _coverage(
    where: str, scores: Mapping[str, Column | Reported | str], samples: _Rows, asked: int | None
) -> Column | str:
    """Whether each document has all scores that were taken by sample."""
    keys = dict.fromkeys(key for rows in samples.values() for _, key, _ in rows)
    columns = [set(score.keys) for score in scores.values() if isinstance(score, Column)]
    if not columns or asked is None:
        return NO_SAMPLES
    return coverage(where, [(key, key, all(key in scored for scored in columns)) for key in keys], asked)


def _asked(found: _Results, task: str, seen: set[str]) -> int | None:
    """Samples of a task, or of all tasks of a group."""
    if task in found.samples:
        return found.samples[task].effective
    parts = [part for part in found.subtasks.get(task, []) if part not in seen]
    counts = [_asked(found, part, seen | set(parts)) for part in parts]
    return sum(count for count in counts if count is not None) if counts and None not in counts else None


def _setting(value: Any) -> str | int | float | bool | None:
    return value if isinstance(value, bool | int | float) or value is None else plain(value)
