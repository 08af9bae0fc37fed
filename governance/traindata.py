"""The rows of a training run: read, cleaned, capped by user, scrubbed, sealed. Kept as one stage.

What a row says never leaves this module but scrubbed, and what is said of the rows is counts.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance import atrest
from governance.cleaning import Cleaning, clean
from governance.dataset import ScrubbedTable, ScrubbedText
from governance.encoding import Language
from governance.errors import DataError
from governance.files import write_atomic
from governance.privacy.aligned import joined, retagged
from governance.privacy.policy import ScrubPolicy, load_policy
from governance.privacy.shards import scrub_shards
from governance.progress import Progress
from governance.sources import NO_UNIT, digest_source, unit_codes
from governance.store import Store, code_digest, versions
from governance.tables import RawTable, Wanted, read_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

TABLE, FACTS, CHOSEN = "rows.parquet", "facts.json", "chosen.json"
ALIGNED = {"tokens": "tags"}  # text column -> label column with one tag for each of its tokens
USER = "user"  # the id column of whoever a recipe follows
HIDDEN = "hidden"  # in place of a name that holds personal data
ROWS_CODE = (
    "governance.privacy", "governance.sources", "governance.tables", "governance.cleaning", "governance.encoding",
    "governance.similar", "governance.traindata", "governance.dataset",
)  # fmt: skip
"""What decides which rows come of a source, and how they read."""
ROWS_LIBRARIES = ("presidio-analyzer", "spacy", "phonenumbers", "pyarrow", "ftfy")
LABEL_POLICY = "patterns"  # class names are words, in which a model of names would see people


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows to train on, or public ones.

    Attributes:
        path: of the data.
        wanted: the recipe's names -> columns.
        unit: column of a user's id.
        cap: rows of one user at most, chosen by a coin that does not look at them; None: all.
        rows: at most so many.
        seed: of their draw.
        cleaning: what to do about bad ones.
        language: of the texts.
        declared: class and item names that the config gives away, whatever they hold.
    """

    path: Path
    wanted: Mapping[str, Wanted]
    unit: str | None = None
    cap: int | None = None
    rows: int | None = None
    seed: int = 0
    cleaning: Cleaning = field(default_factory=Cleaning)
    language: Language = "en"
    declared: tuple[str, ...] = ()

    def inputs(self) -> dict[str, object]:
        """All that decides which rows come of it."""
        return {**asdict(replace(self, path=Path())), "path": "", "data": digest_source(self.path)}


@dataclass(frozen=True, slots=True)
class Cleansed:
    """Raw rows after cleaning.

    Attributes:
        table: raw.
        read: rows of the source.
        sampled: rows that were looked at.
        found: what cleaning counted.
    """

    table: RawTable
    read: int
    sampled: int
    found: Mapping[str, int]

    def sizes(self, cap: int | None) -> tuple[int, int | None]:
        """Rows after the cap, and users; None: nobody says whose the rows are, or nobody asks."""
        if cap is None or self.table.units is None:
            return len(self.table), None
        _, counts = np.unique(self.table.units, return_counts=True)
        return int(np.minimum(counts, cap).sum()), len(counts)


@dataclass(frozen=True, slots=True)
class Rows:
    """Sealed rows, and what was done to get them.

    Attributes:
        table: what a recipe is given.
        read: rows of the source.
        sampled: rows that were looked at.
        found: what cleaning counted.
        replaced: entity -> pieces that the scrubber took out.
        left_out: why -> rows that were left out after cleaning.
        hidden: label column -> class names that hold personal data, all of which go by one word.
    """

    table: ScrubbedTable
    read: int
    sampled: int
    found: Mapping[str, int]
    replaced: Mapping[str, int]
    left_out: Mapping[str, int]
    hidden: Mapping[str, int]

    @property
    def users(self) -> int | None:
        """How many there are; None: nobody says whose the rows are."""
        return None if self.table.units is None else len(np.unique(self.table.units[self.table.units >= 0]))


def cleansed(source: Source) -> Cleansed:
    """Read and clean.

    Raises:
        DataError: a column is missing, or no row stays.
    """
    raw, read = read_table(source.path, source.wanted, unit=source.unit, rows=source.rows, seed=source.seed)
    done = clean(raw, source.cleaning, language=source.language)
    table, found = done.table, Counter(done.counts)
    if source.cap is not None and table.units is not None:
        # Nobody can tell whether two rows without an id are one person's, so neither can a promise to people.
        known = table.units != NO_UNIT
        found["dropped: no user"] = int((~known).sum())
        table = table.take(np.flatnonzero(known))
    if not len(table):
        raise DataError(f"{source.path}: none of {len(raw)} rows stays after cleaning: {_told(found)}")
    return Cleansed(table, read, len(raw), dict(sorted((+found).items())))


def sealed(
    source: Source, policy: ScrubPolicy, *, workers: int, store: Store, progress: Progress, name: str = "rows"
) -> Rows:
    """Scrubbed rows, from the stage that holds them or made now.

    Args:
        source: where they come from.
        policy: what to look for.
        workers: processes.
        store: of stages.
        progress: where to say what is done.
        name: of the stage.
    """
    inputs = {
        "source": source.inputs(),
        "policy": policy.fingerprint(),
        "code": code_digest(*ROWS_CODE),
        "versions": dict(versions(*ROWS_LIBRARIES)),
    }  # fmt: skip
    finished = store.path(name, inputs)
    if not finished.exists():
        with progress.stage(f"clean {name}"):
            cleaned = cleansed(source)
        texts = len(cleaned.table) * len(cleaned.table.texts)
        with progress.stage(f"scrub {name}", texts), store.building(finished) as working:
            _seal(cleaned, source, policy, working, workers=workers, advance=progress.advance)
    facts = json.loads((finished / FACTS).read_bytes())
    return Rows(table=ScrubbedTable.load(atrest.plain(finished / TABLE)), **facts)


def _seal(
    cleaned: Cleansed,
    source: Source,
    policy: ScrubPolicy,
    working: Path,
    *,
    workers: int,
    advance: Callable[[int], None],
) -> None:
    left_out: Counter[str] = Counter()
    raw = _capped(cleaned.table, source.cap, working, left_out)
    tokens = {name: [(text or "").split() for text in raw.texts[name]] for name in ALIGNED if name in raw.texts}
    flat = [
        text
        for name, values in raw.texts.items()
        for text in (map(joined, tokens[name]) if name in tokens else (value or "" for value in values))
    ]
    scrubbed: list[ScrubbedText] = []
    replaced: Counter[str] = Counter()
    for shard in scrub_shards(flat, policy, workers=workers, keep=working / "shards"):
        scrubbed += [one.text for one in shard]
        for one in shard:
            replaced.update(one.counts)
        advance(len(shard))
    texts = {name: scrubbed[i * len(raw) : (i + 1) * len(raw)] for i, name in enumerate(raw.texts)}
    labels, hidden = _labels(raw, source)
    stays = np.ones(len(raw), dtype=bool)
    for name, words in tokens.items():
        tags = labels.get(ALIGNED[name])
        if tags is None:
            continue
        for row, (before, tagged, after) in enumerate(zip(words, tags, texts[name], strict=True)):
            made = retagged(before, tagged.split(), after)
            stays[row] = made is not None
            if made is not None:
                texts[name][row], tags[row] = made
    if not stays.all():
        left_out["tags that no longer fit the scrubbed tokens"] = int((~stays).sum())
    table = ScrubbedTable(
        rows=raw.rows,
        texts={name: tuple(values) for name, values in texts.items()},
        labels={name: tuple(values) for name, values in labels.items()},
        numbers=dict(raw.numbers),
        units=raw.units,
    ).take(np.flatnonzero(stays))
    if not len(table):
        raise DataError(f"{source.path}: none of {len(raw)} rows stays after scrubbing: {_told(left_out)}")
    atrest.keep(working / TABLE, table.save)
    facts = {
        "read": cleaned.read,
        "sampled": cleaned.sampled,
        "found": dict(cleaned.found),
        "replaced": dict(sorted(replaced.items())),
        "left_out": dict(left_out),
        "hidden": hidden,
    }
    write_atomic(working / FACTS, json.dumps(facts, sort_keys=True).encode())
    shutil.rmtree(working / "shards", ignore_errors=True)
    (working / CHOSEN).unlink(missing_ok=True)


def _capped(raw: RawTable, cap: int | None, working: Path, left_out: Counter[str]) -> RawTable:
    """At most `cap` rows of a user. The choice is written down first: what an attempt has scrubbed is of its rows."""
    if cap is None or raw.units is None:
        return raw
    chosen = working / CHOSEN
    if not chosen.exists():
        order = np.random.default_rng(secrets.randbits(128)).permutation(len(raw))
        taken: Counter[int] = Counter()
        kept = []
        for row in order:
            unit = int(raw.units[row])
            taken[unit] += 1
            if taken[unit] <= cap:
                kept.append(int(row))
        write_atomic(chosen, json.dumps(sorted(kept)).encode())
    index: NDArray[np.int64] = np.array(json.loads(chosen.read_bytes()), dtype=np.int64)
    if len(index) < len(raw):
        left_out["more rows of one user than the cap"] = len(raw) - len(index)
    return raw.take(index)


def _labels(raw: RawTable, source: Source) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Labels and ids as a model may know them: a name that holds personal data is hidden, users are codes.

    Names end up in a model's own settings, for all to read. What stands for one depends on that name alone: a number
    counted over all rows would change with every row that joins them.
    """
    from governance.privacy.scrubber import Scrubber

    labels = {name: [value or "" for value in values] for name, values in raw.labels.items()}
    scrubber = Scrubber(load_policy(LABEL_POLICY)) if labels else None
    hidden: dict[str, int] = {}
    for name, values in labels.items():
        if source.wanted[name].role == "id" and (name == USER or source.wanted[name].column == source.unit):
            labels[name] = [str(code) for code in unit_codes([value or None for value in values]).tolist()]
        elif scrubber is not None:
            tags = name in ALIGNED.values()
            known = {part for value in values for part in (value.split() if tags else [value])}
            asked = sorted(known - set(source.declared))
            personal = {one for one, spans in zip(asked, scrubber.find(asked), strict=True) if spans}
            if personal:
                hidden[name] = len(personal)
                labels[name] = [_hiding(value, personal, tags=tags) for value in values]
    return labels, hidden


def _hiding(value: str, personal: Set[str], *, tags: bool) -> str:
    parts = value.split() if tags else [value]
    return " ".join(HIDDEN if part in personal else part for part in parts)


def _told(counts: Mapping[str, Any] | Counter[str], most: int = 4) -> str:
    pairs: Sequence[tuple[str, Any]] = [pair for pair in counts.items() if pair[1]][:most]
    return ", ".join(f"{name} {count}" for name, count in pairs) or "nothing was counted"
