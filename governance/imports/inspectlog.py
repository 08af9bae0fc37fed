"""Inspect's logs (`.eval`, or its JSON), read by inspect-ai itself once the archive is known to be harmless.

Epochs of one sample are one cluster. A score is the mean over samples and epochs, whatever reducer the log used.
"""

from __future__ import annotations

import contextlib
import io
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.errors import MissingExtra, RecordError
from governance.imports.logs import NO_SAMPLES, Column, Log, Reported, column, coverage, plain, row_key, short_name

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

MOST_ENTRIES = 200_000
MOST_INSIDE = 4_000_000_000  # bytes of all entries once unpacked
MOST_ENTRY = 500_000_000
CHUNK = 1 << 20
TEXTS = frozenset(
    {"messages", "events", "store", "attachments", "output", "metadata", "timelines", "choices", "events_data"}
)
"""Of a sample, what is not even read into memory."""
WORDS: Mapping[str, float] = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # Inspect's own, among them "no answer"
YES_NO: Mapping[str, float] = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
MEANS, SPREADS = ("mean", "accuracy"), ("stderr", "bootstrap_stderr", "std", "var")


def read_inspect(path: Path) -> tuple[Log, ...]:
    """The one model and task of a log.

    Raises:
        MissingExtra: inspect-ai isn't installed.
        RecordError: not a log that it reads, or an archive that unpacks to more than a log should.
    """
    try:
        from inspect_ai.log import read_eval_log
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{path}: Inspect's logs need inspect-ai: pip install 'steelyard[inspect]'") from error
    if zipfile.is_zipfile(path):
        check_archive(path)
        kind = "eval"
    else:
        kind = "json"
    try:
        log = read_eval_log(path.absolute().as_posix(), format=kind, exclude_fields=set(TEXTS))
    except Exception as error:  # noqa: BLE001 - whatever its reader raises on a damaged log may quote a sample
        raise RecordError(f"{path}: not a log that inspect-ai reads ({type(error).__name__})") from None
    return (_log(str(path), log),)


def check_archive(path: Path) -> None:
    """Refuse an archive that is damaged or unpacks to more than a log should; its own figures are not trusted.

    Raises:
        RecordError: it is one.
    """
    _learn_zstandard()
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES or sum(entry.file_size for entry in entries) > MOST_INSIDE:
                raise RecordError(f"{path}: expected a log, found an archive that unpacks beyond {MOST_INSIDE:,} bytes")
            if len({entry.filename for entry in entries}) < len(entries):
                raise RecordError(f"{path}: an entry of the archive stands twice")
            total = sum(_unpacked(path, archive, entry) for entry in entries)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError) as error:
        raise RecordError(f"{path}: a damaged archive ({type(error).__name__})") from None
    except RuntimeError as error:  # encrypted
        raise RecordError(f"{path}: an archive that can't be unpacked ({type(error).__name__})") from None
    if total > MOST_INSIDE:
        raise RecordError(f"{path}: expected a log, found an archive that unpacks beyond {MOST_INSIDE:,} bytes")


def _learn_zstandard() -> None:
    """Teach `zipfile` the compression that Inspect writes; it comes with inspect-ai, and with Python from 3.14."""
    with contextlib.suppress(ModuleNotFoundError):
        import zipfile_zstd  # noqa: F401 - it patches zipfile


def _unpacked(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Bytes that an entry really has, counted without keeping them."""
    size = 0
    with archive.open(entry) as file:
        raw: io.BufferedIOBase = file  # type: ignore[assignment]
        while chunk := raw.read(CHUNK):
            size += len(chunk)
            if size > min(entry.file_size, MOST_ENTRY):
                raise RecordError(f"{path}: an entry of the archive unpacks to more than it says or a log holds")
    return size


def _log(where: str, log: EvalLog) -> Log:
    spec = log.eval
    rows = _rows(where, log.samples or [])
    columns = {name: column(where, found) for name, found in _by_scorer(where, rows).items()}
    reported = dict(_reported(log, columns))
    clash = columns.keys() & reported.keys()
    if clash:
        raise RecordError(f"{where}: two of its scores would both be called alike")
    asked = _asked(log)
    return Log(
        tool="inspect-ai",
        version=plain(spec.packages.get("inspect_ai", "unknown")),
        task=spec.task,
        model=short_name(spec.model),
        asked=asked,
        coverage=_coverage(where, rows, asked),
        scores={**columns, **reported},
        settings={
            "epochs": spec.config.epochs,
            "limit": plain(spec.config.limit) if spec.config.limit is not None else None,
            "seed": spec.model_generate_config.seed,
            "temperature": spec.model_generate_config.temperature,
            "task_version": plain(spec.task_version),
            "status": plain(log.status),
        },
    )


class _Row:
    """One epoch of one sample: its key, its cluster, whether it failed, its scores."""

    __slots__ = ("cluster", "failed", "key", "scores")

    def __init__(self, where: str, sample: EvalSample) -> None:
        # Ids are often 1, 2, 3: what was asked belongs to the key, or another data set's samples would match.
        asked = sample.input if isinstance(sample.input, str) else [message.text for message in sample.input]
        target = sample.target if isinstance(sample.target, str) else list(sample.target)
        self.cluster = row_key(sample.id, asked, target)
        self.key = row_key(self.cluster, sample.epoch)
        self.failed = sample.error is not None
        self.scores = dict(_values(where, sample))


def _rows(where: str, samples: Sequence[EvalSample]) -> list[_Row]:
    seen = {(sample.id, sample.epoch) for sample in samples}
    if len(seen) < len(samples):
        raise RecordError(f"{where}: a sample stands twice")
    return [_Row(where, sample) for sample in samples]


def _values(where: str, sample: EvalSample) -> Iterator[tuple[str, float | str]]:
    """Scorer, or scorer and the key of its score, -> number; a word that is no number stays one."""
    for scorer, score in (sample.scores or {}).items():
        value: Any = score.value
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        for key, one in [(None, value)] if parts is None else parts:
            number = _number(one)
            if isinstance(number, float) and math.isinf(number):
                raise RecordError(f"{where}: expected finite scores, found one that is infinite")
            if number is not None:
                yield scorer if key is None else f"{scorer}-{key}", number


def _number(value: Any) -> float | str | None:
    """A score as a number; None where Inspect says that there is none (NaN)."""
    if isinstance(value, str):
        if value in WORDS or value.lower() in YES_NO:
            return WORDS[value] if value in WORDS else YES_NO[value.lower()]
        try:
            value = float(value)
        except ValueError:
            return str(value)
    if isinstance(value, bool | int | float):
        return None if math.isnan(value) else float(value)
    return None


def _by_scorer(where: str, rows: Sequence[_Row]) -> dict[str, list[tuple[str, str, float]]]:
    """Scorer -> key, cluster and score of the rows that it scored."""
    found: dict[str, list[tuple[str, str, float]]] = {}
    for row in rows:
        for scorer, value in row.scores.items():
            if isinstance(value, str):
                raise RecordError(f"{where}: a scorer's scores are words; only numbers can be held against a policy")
            found.setdefault(scorer, []).append((row.key, row.cluster, value))
    return found


def _reported(log: EvalLog, columns: Mapping[str, Column]) -> Iterator[tuple[str, Reported | str]]:
    """What the log states beyond the means of the scores at hand."""
    for score in log.results.scores if log.results else []:
        name = score.scorer if score.name == score.scorer else f"{score.scorer}-{score.name}"
        usual = score.reducer in (None, "mean")
        error = score.metrics["stderr"].value if "stderr" in score.metrics else None
        for metric, found in score.metrics.items():
            if metric in SPREADS or not math.isfinite(found.value):
                continue
            if metric in MEANS and usual:
                if name not in columns:
                    yield name, Reported(float(found.value), _finite(error), score.scored_samples)
                continue
            label = "-".join(part for part in (name, score.reducer if not usual else None, metric) if part)
            yield label, f"reported as {found.value:.4g}, which has no interval and can't be made from single scores"


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) or value < 0 else float(value)


def _asked(log: EvalLog) -> int | None:
    """Rows that were planned; an evaluation that was cut off has fewer in its log."""
    if log.results is not None and log.results.total_samples:
        return int(log.results.total_samples)
    planned = len(log.eval.dataset.sample_ids or []) * (log.eval.config.epochs or 1)
    return planned or (len(log.samples) if log.samples else None)


def _coverage(where: str, rows: Sequence[_Row], asked: int | None) -> Column | str:
    if not rows or asked is None:
        return NO_SAMPLES
    scorers = {scorer for row in rows for scorer in row.scores}
    return coverage(
        where,
        [(row.key, row.cluster, not row.failed and bool(scorers) and scorers <= row.scores.keys()) for row in rows],
        asked,
    )
