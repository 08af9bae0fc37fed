"""Whole files and folders: shard by shard, resumable, and never half an output.

Finished shards wait in `<OUT>.part/` under the digest of all that made them: the input's bytes, the settings, the
code. A killed run goes on from there; OUT appears by one rename when everything is in it. Beside OUT stand
`<OUT>.scrub.json`, which says what it was made from, and, where rows couldn't be passed on,
`<OUT>.quarantine.jsonl`, which says which and why, and nothing of what was in them.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.engine import Engine, Factory, map_batches
from governance.errors import DataError
from governance.files import digest_of, write_atomic
from governance.privacy.files.batch import Report
from governance.privacy.files.kept import Job
from governance.privacy.files.rowfiles import format_of, open_rows
from governance.privacy.files.rowsout import target_format
from governance.sources import digest_source

if TYPE_CHECKING:
    import pyarrow as pa


SESSION = ".session"
"""Ending of the file beside OUT that keeps a vault session's id."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is done to texts.

    Attributes:
        identity: JSON of all that decides the result; shards made under another are not used.
        factory: makes, in a worker, a function from texts to new texts and a report.
    """

    identity: Mapping[str, object]
    factory: Factory[pa.Array, tuple[pa.Array, Report]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run did; no text.

    Attributes:
        files: files read.
        rows: rows in OUT.
        texts: values of the text columns that are not null.
        changed: texts that came out different.
        counts: entity -> pieces taken out.
        unreadable: texts that became `[UNREADABLE]`, in rows that were kept.
        dropped: stretches of a file that are no row and are left out, most often single lines.
        left_out: files of other formats in an input folder.
        quarantine: path of the list of bad rows; None: there are none.
        seconds: wall-clock time of this process.
        reused: whether OUT stood already, finished, and nothing was done.
    """

    files: int
    rows: int
    texts: int
    changed: int
    counts: Mapping[str, int]
    unreadable: int
    dropped: int
    left_out: int
    quarantine: str | None
    seconds: float
    reused: bool = False


class _Places:
    """OUT and what stands beside it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.part, self.receipt, self.quarantine, self.session = (
            out.with_name(out.name + ending) for ending in (".part", ".scrub.json", ".quarantine.jsonl", SESSION)
        )


def run(
    source: Path,
    out: Path,
    columns: Sequence[str],
    work: Work,
    *,
    workers: int,
    engine: Engine = "local",
    force: bool = False,
    reach: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Rewrite the texts of a file, or of every file of rows in a folder.

    Args:
        source: file or folder.
        out: file or folder, of the same kind; a file's ending decides its format, a folder keeps names and formats.
        columns: text columns; every file has all of them.
        work: what is done to texts.
        workers: processes.
        engine: as `map_batches`.
        force: replace an `out` that something else made.
        reach: told how many bytes of the input are dealt with, now and then.

    Raises:
        DataError: input or output can't be used, or another run writes to `out`.
        ScrubError: a worker died.
        OSError: the disk is full; what is finished is kept.
    """
    began = time.perf_counter()
    places = _Places(out)
    check_apart(source, out)
    files, left_out = _files(source, out)
    rows = [open_rows(path, columns) for path, _ in files]
    with _alone(places):
        jobs = [
            Job(one, target, places.part, {**work.identity, "columns": sorted(set(columns))})
            for one, (_, target) in zip(rows, files, strict=True)
        ]
        identity = digest_of([[target.as_posix(), job.identity] for job, (_, target) in zip(jobs, files, strict=True)])
        if (standing := _standing(places, identity, force=force)) is not None:
            return standing
        _drop_others(places.part, jobs)
        for job in _finished(jobs, work, engine, workers, reach):
            job.assemble()
        summary = _summary(jobs, places, left_out, began)
        _publish(places, source, jobs, summary, identity)
    return summary


def _files(source: Path, out: Path) -> tuple[list[tuple[Path, Path]], int]:
    """(input, name under OUT) of each file, in the order of names, and how many files are of other formats."""
    if source.is_file():
        target_format(out)
        return [(source, Path(out.name))], 0
    found = sorted(path for path in source.rglob("*") if path.is_file())
    seen = [path for path in found if not any(part.startswith(".") for part in path.relative_to(source).parts)]
    files = [(path, path.relative_to(source)) for path in seen if format_of(path) is not None]
    if not files:
        raise DataError(f"{source}: expected files that end in .jsonl, .ndjson, .csv, .tsv or .parquet, found none")
    return files, len(seen) - len(files)


def check_apart(source: Path, out: Path) -> None:
    """Make sure that nothing which a run writes or removes is its input.

    Raises:
        DataError: there is no input; OUT, or what stands beside it, is the input or lies within it, or
            the other way round.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    here, there = source.resolve(), out.resolve()
    if here == there or (out.exists() and source.samefile(out)):
        raise DataError(f"{out}: OUT is IN itself: name another place; nothing is ever written over the input")
    if there.is_relative_to(here) or here.is_relative_to(there):
        raise DataError(f"{out}: OUT and IN lie within each other: name a place outside of {source}")
    places = _Places(out)
    for beside in (places.part, places.receipt, places.quarantine, places.session):
        there = beside.resolve()
        if there.is_relative_to(here) or here.is_relative_to(there):
            raise DataError(f"{out}: a run keeps its own files at {beside}, where IN is: name another OUT")
    if out.exists() and out.is_dir() != source.is_dir():
        kinds = ("a folder", "a file") if out.is_dir() else ("a file", "a folder")
        raise DataError(f"{out}: OUT is {kinds[0]}, IN is {kinds[1]}: expected two of a kind")


@contextmanager
def _alone(places: _Places) -> Iterator[None]:
    """One run at a time on one OUT."""
    import filelock

    places.part.mkdir(parents=True, exist_ok=True)
    places.part.chmod(0o700)
    lock = filelock.FileLock(places.part / ".lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise DataError(f"{places.out}: another run is writing to it; wait until that one has ended") from None
    try:
        yield
    finally:
        if places.part.exists() and all(path.name == ".lock" for path in places.part.iterdir()):
            shutil.rmtree(places.part)  # nothing was done here: no work to go on from
        lock.release()


def _standing(places: _Places, identity: str, *, force: bool) -> Summary | None:
    """The summary of an OUT that this very run would make again; None: there is none."""
    if not places.out.exists():
        return None
    receipt = _receipt(places)
    if receipt.get("identity") == identity and receipt.get("output") == digest_source(places.out):
        return Summary(**{**receipt["summary"], "reused": True})
    if not force:
        raise DataError(
            f"{places.out}: it exists, and is not what this run would write (another input, policy or version made it, "
            "or it was changed): name another OUT, or add --force to replace it"
        )
    return None


def _receipt(places: _Places) -> dict[str, Any]:
    """What OUT says that it was made from; empty where it says nothing that we can read."""
    try:
        found = json.loads(places.receipt.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _drop_others(part: Path, jobs: Sequence[Job]) -> None:
    """Shards that other inputs or settings made are of no use any more."""
    wanted = {job.folder for job in jobs}
    for folder in part.iterdir():
        if folder.is_dir() and folder not in wanted:
            shutil.rmtree(folder)


def _finished(
    jobs: Sequence[Job], work: Work, engine: Engine, workers: int, reach: Callable[[int], None]
) -> Iterator[Job]:
    """Every job, once all of its shards are kept."""
    under_way: deque[tuple[Job, int, Any]] = deque()

    def batches() -> Iterator[pa.Array]:
        before = 0
        for job in jobs:
            for number, shard in job.missing():
                under_way.append((job, number, shard))
                yield shard.texts
                reach(before + shard.consumed)
            before += job.size
            reach(before)

    waiting = deque(jobs)
    for texts, report in map_batches(batches(), work.factory, engine=engine, workers=workers):
        job, number, shard = under_way.popleft()
        while waiting[0] is not job:
            yield waiting.popleft()
        job.keep(number, shard, texts, report)
    yield from waiting


def _summary(jobs: Sequence[Job], places: _Places, left_out: int, began: float) -> Summary:
    counts: Counter[str] = Counter()
    for job in jobs:
        counts.update(job.totals["counts"])
    totals = {
        name: sum(job.totals[name] for job in jobs) for name in ("rows", "texts", "changed", "unreadable", "dropped")
    }
    bad = totals["unreadable"] + totals["dropped"]
    return Summary(
        files=len(jobs),
        **totals,
        counts=dict(sorted(counts.items())),
        left_out=left_out,
        quarantine=str(places.quarantine) if bad else None,
        seconds=round(time.perf_counter() - began, 3),
    )


def _publish(places: _Places, source: Path, jobs: Sequence[Job], summary: Summary, identity: str) -> None:
    """Put OUT in its place, and before it what stands beside it: an OUT is never there without them."""
    made = places.part / "out" if source.is_dir() else jobs[0].made
    if source.is_dir():
        shutil.rmtree(made, ignore_errors=True)
        for job in jobs:
            (made / job.target).parent.mkdir(parents=True, exist_ok=True)
            job.made.rename(made / job.target)
    if summary.quarantine is None:
        places.quarantine.unlink(missing_ok=True)
    else:
        with (places.part / "quarantine").open("wb") as file:
            for job in jobs:
                with job.quarantine.open("rb") as listed:
                    shutil.copyfileobj(listed, file)
        (places.part / "quarantine").replace(places.quarantine)
    receipt = {"identity": identity, "output": digest_source(made), "summary": asdict(summary)}
    write_atomic(places.receipt, json.dumps(receipt, ensure_ascii=False, indent=1).encode())
    if places.out.is_dir():
        places.out.rename(places.part / "replaced")  # a folder can't be renamed over one that holds something
    made.replace(places.out)
    shutil.rmtree(places.part)
