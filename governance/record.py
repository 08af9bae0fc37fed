"""The run record: everything that the gate, the cards and the auditor read, and nothing else.

A run directory holds `record.json` and `predictions/<model>.parquet`; both are written once.
Judgements and renderings go to `out/<digest>/` beside them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from governance.claims import PrivacyClaim
from governance.curves import Curve
from governance.datafacts import DataStatistics
from governance.errors import RecordError
from governance.files import canonical, digest_file, write_atomic
from governance.measure import Outcome
from governance.vendorfacts import VendorFacts

Read = TypeVar("Read", bound=BaseModel)
SCHEMA = 1
RECORD, PREDICTIONS = "record.json", "predictions"
PROTOCOLS = ("head", "written", "log-likelihood", "extracted", "scored", "embedding", "rules", "file", "function")
"""How answers are got: by a trained head, read from words, …; figures of two of them are never in one ranking."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SentRows(_Frozen):
    """A file of scrubbed training rows that left this machine: counts and a digest, never rows."""

    rows: int
    characters: int  # of the user messages
    bytes: int
    tokens: int  # estimated here, rather too many than too few
    scrubbed: Mapping[str, int] = Field(default_factory=dict)  # entity -> pieces taken out on the way
    left_out: Mapping[str, int] = Field(default_factory=dict)  # reason -> rows that stayed here
    digest: str
    file: str | None = None  # the vendor's id for it


class VendorPrice(_Frozen):
    """What a vendor's training was expected to cost, and what its own count of tokens comes to."""

    per_million_tokens: float
    currency: str
    epochs: int  # assumed for the estimate
    estimate: float
    budget: float
    charged: float | None = None  # the vendor's trained tokens at this price; None: it gave no count


class Deletion(_Frozen):
    """That the vendor was asked to delete what was uploaded, and what it answered."""

    asked: str  # ISO 8601, UTC
    answers: Mapping[str, str]  # "training", "validation" -> the answer


class VendorTraining(_Frozen):
    """A model fine-tuned by a vendor: what left, to whom, what came back, and that nothing is promised about it."""

    host: str  # never the key
    base: str  # as asked for
    base_reported: str  # the version that the vendor says it trained
    model: str  # the fine-tuned model's id
    job: str
    started: str  # ISO 8601, UTC
    finished: str | None
    training: SentRows
    validation: SentRows | None = None
    hyperparameters: Mapping[str, str | int | float | None] = Field(default_factory=dict)  # as reported
    seed: int | None = None
    trained_tokens: int | None = None
    checkpoints: tuple[Mapping[str, str | int | float | None], ...] = ()
    price: VendorPrice
    deletion: Deletion | None = None  # None: not asked for; the vendor keeps the file
    privacy: str  # the plain sentence that no privacy claim covers it


class Twin(_Frozen):
    """That a model is another one but for one thing."""

    of: str
    by: str  # "differential-privacy", "scrubbing", "quantised" or "distilled"


class ModelEntry(_Frozen):
    """One weighed model: what it is, where it comes from, how it was trained."""

    name: str
    kind: str  # "sklearn", "classifier", "openai", …
    # The model that this one is a fairer version of. Left out where there is none: older records keep their digests.
    of: str | None = Field(default=None, exclude_if=lambda of: of is None)
    title: str  # one line for people
    source: str  # base model, package or endpoint host; never a path of this machine
    licence: str | None = None
    note: str | None = None  # e.g. "stands in for a vendor"
    trained: bool = False
    trained_on: int | None = None  # rows
    trained_parts: str | None = None  # which layers
    weighed_on: int  # held-out rows asked
    settings: Mapping[str, str | int | float | bool | None] = Field(default_factory=dict)
    digest: str | None = None  # of its weights, "sha256:…"
    claim: PrivacyClaim | None = None
    capabilities: tuple[str, ...] = ()
    remote: bool = False  # an API outside this process
    sent: Mapping[str, int] = Field(
        default_factory=dict
    )  # what left: rows, personal data scrubbed on the way by entity
    curve: tuple[Mapping[str, float], ...] = ()  # training: one point per epoch; private information where private
    # A vendor's training. Left out where there is none: older records keep their digests.
    vendor: VendorTraining | None = Field(default=None, exclude_if=lambda vendor: vendor is None)
    # What follows is left out where it isn't known: older records keep their digests.
    protocol: str | None = Field(
        default=None, exclude_if=lambda protocol: protocol is None
    )  # how it answers: `PROTOCOLS`
    versions: Mapping[str, int] = Field(
        default_factory=dict, exclude_if=lambda versions: not versions
    )  # that its endpoint reported -> messages
    vendor_facts: VendorFacts | None = Field(default=None, exclude_if=lambda facts: facts is None)
    twin: Twin | None = Field(default=None, exclude_if=lambda twin: twin is None)
    # "filled": it reads made-up values where the scrubber left placeholders.
    placeholders: str | None = Field(default=None, exclude_if=lambda how: how is None)


class DataEntry(_Frozen):
    """What was audited: counts and digests, never rows."""

    name: str
    source: str
    digest: str
    rows_read: int
    rows_empty: int  # dropped: no text or no label
    # What cleaning found -> rows or cells. Left out where there was none: older records keep their digests.
    cleaning: Mapping[str, int] | None = Field(default=None, exclude_if=lambda found: found is None)
    rows_duplicate: int  # share their text with another sampled row; kept, on one side of the split
    rows_used: int
    rows_train: int
    rows_test: int
    clusters_test: int
    cluster: str | None = None
    # Of all rows read, the same in any order and format. Left out where it wasn't taken: older records keep theirs.
    rows_digest: str | None = Field(default=None, exclude_if=lambda digest: digest is None)
    labels: Mapping[str, int]  # class -> rows used
    positive: str | None = None
    groups: Mapping[str, Mapping[str, int]] = Field(default_factory=dict)  # column -> value -> held-out rows
    groups_missing: Mapping[str, int] = Field(default_factory=dict)  # column -> held-out rows without a value
    scrubbed: Mapping[str, int] = Field(default_factory=dict)  # entity -> pieces replaced
    not_scrubbed: tuple[str, ...] = ()  # what the scrub policy does not look for, in words
    language: str = "en"
    licence: str | None = None
    # Of the scrubbed texts. Left out where they weren't taken: older records keep their digests.
    statistics: DataStatistics | None = Field(default=None, exclude_if=lambda found: found is None)


class Lineage(_Frozen):
    """What this record was made from, so that it can be made again."""

    plan: str  # digest of config, data and code version: the run's identity
    config: str
    policy: str  # digest of the scrub policy
    code: str  # package version and commit where known
    dirty: bool | None = None  # files of this package differ from that commit; None: unknown
    versions: Mapping[str, str]
    hardware: str
    seed: int
    prompts: Mapping[str, str] = Field(default_factory=dict)  # prompt name -> digest
    # What follows is left out where it isn't known: older records keep their digests.
    bases: Mapping[str, str] = Field(
        default_factory=dict, exclude_if=lambda bases: not bases
    )  # model -> of its weights
    parts: Mapping[str, str] = Field(
        default_factory=dict, exclude_if=lambda parts: not parts
    )  # code, probes, …: digest
    config_commit: str | None = Field(default=None, exclude_if=lambda commit: commit is None)  # of its own repository
    config_dirty: bool | None = Field(default=None, exclude_if=lambda dirty: dirty is None)  # files differ from that


class RunRecord(_Frozen):
    """One audit's evidence. Immutable once written."""

    schema_version: int = SCHEMA
    audit: str
    run: str
    created: str  # ISO 8601, UTC
    title: str
    task: str
    question: str  # the business question, in one sentence
    candidate: str
    incumbent: str | None = None
    # Expected in use, for what a switch would cost. Left out where nobody states it: older records keep their digests.
    requests_per_month: int | None = Field(default=None, exclude_if=lambda n: n is None)
    data: DataEntry
    models: tuple[ModelEntry, ...]
    outcomes: tuple[Annotated[Outcome, Field(discriminator="kind")], ...]
    # What people call the values of slices that no column of the data has: column -> value -> language -> name. Left
    # out where there are none: older records keep their digests.
    names: Mapping[str, Mapping[str, Mapping[str, str]]] = Field(
        default_factory=dict, exclude_if=lambda names: not names
    )
    # For charts; nothing is judged by them. Left out where there are none: older records keep their digests.
    curves: tuple[Curve, ...] = Field(default=(), exclude_if=lambda curves: not curves)
    lineage: Lineage
    files: Mapping[str, str] = Field(default_factory=dict)  # relative path -> "sha256:…"
    seconds: Mapping[str, float] = Field(default_factory=dict)  # stage -> wall-clock time of the run that did it

    def model(self, name: str) -> ModelEntry:
        """The entry of one model."""
        return next(entry for entry in self.models if entry.name == name)

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the record."""
        return "sha256:" + hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()


def save_record(record: RunRecord, directory: Path) -> Path:
    """Write `record.json`; the files that it names must already be there.

    Raises:
        RecordError: the directory already holds a record: records are written once.
    """
    path = directory / RECORD
    if path.exists():
        raise RecordError(f"{path}: a record is written once; audit into another folder or delete this run")
    write_atomic(path, record_bytes(record))
    return path


def record_bytes(record: RunRecord) -> bytes:
    """A record as its file has it."""
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def load_record(directory: Path) -> RunRecord:
    """Read a record and check the files it names against their digests.

    Raises:
        RecordError: missing, damaged, or of another schema.
    """
    path = directory / RECORD
    if not path.is_file():
        if (directory / PREDICTIONS).is_dir() or any(directory.glob(".*")):
            raise RecordError(f"{directory}: this run was cut off before its record was written; run the audit again")
        raise RecordError(f"{directory}: no {RECORD} here. Is it a run directory (runs/<audit>/<id>)?")
    record = read_as(RunRecord, path, schema=SCHEMA)
    check_files(record.files, path, since="the record was written")
    return record


def read_as(kind: type[Read], path: Path, *, schema: int) -> Read:
    """A record's file as a model of one schema.

    Raises:
        RecordError: damaged, or of another schema.
    """
    try:
        raw = json.loads(path.read_bytes())
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version != schema:
            raise RecordError(f"{path}: expected schema_version {schema}, found {version!r}; use a matching steelyard")
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path}: {where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not JSON that Steelyard wrote ({type(error).__name__})") from None


def check_files(files: Mapping[str, str], path: Path, *, since: str) -> None:
    """Hold the files that a record names against their digests.

    Args:
        files: path from the record's folder -> digest.
        path: of the record.
        since: when they were as they should be, for the message.

    Raises:
        RecordError: one is missing, changed, or outside the folder.
    """
    directory = path.parent
    for name, expected in files.items():
        file = directory / name
        if not file.resolve().is_relative_to(directory.resolve()):
            raise RecordError(f"{path}: names a file outside its own folder")
        found = digest_file(file) if file.is_file() else "nothing"
        if found != expected:
            raise RecordError(f"{file}: changed since {since}: expected {expected}, found {found}")
