"""The training record: what a model was trained on and how, in counts, digests and settings. Never a row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from governance.claims import PrivacyClaim
from governance.errors import RecordError
from governance.files import write_atomic
from governance.record import check_files, read_as

SCHEMA = 1
RECORD, CARD = "training.json", "README.md"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrainedRows(_Frozen):
    """Rows: where they came from, what was done to them, how many are left."""

    name: str
    source: str  # a file's name or package:module/path, never a path of this machine
    digest: str
    # Of all rows read, the same in any order and format. Left out where it wasn't taken, as in older records.
    rows_digest: str | None = Field(default=None, exclude_if=lambda digest: digest is None)
    licence: str | None = None
    rows_read: int
    rows_sampled: int
    rows: int  # trained on
    users: int | None = None
    columns: Mapping[str, str]  # the recipe's name for it -> column
    cleaning: Mapping[str, int] = Field(default_factory=dict)  # what was found -> rows or cells
    scrubbed: Mapping[str, int] = Field(default_factory=dict)  # entity -> pieces taken out
    not_scrubbed: tuple[str, ...] = ()  # what the scrub policy does not look for, in words
    left_out: Mapping[str, int] = Field(default_factory=dict)  # why, after cleaning -> rows
    hidden: Mapping[str, int] = Field(default_factory=dict)  # label column -> class names replaced by a number


class Curve(_Frozen):
    """How training went. Epsilon follows from public settings; the loss of a private run is private information."""

    epsilon: tuple[tuple[int, float], ...] = ()  # (step, nats at the claim's delta)
    loss: tuple[tuple[int, float], ...] = ()  # (step, mean since the last point); empty where it is kept back
    loss_is_private: bool = False  # published although no claim covers it
    loss_kept_back: bool = False


class Spending(_Frozen):
    """The budget book of the data after this run."""

    epsilon: float  # of all runs on these rows
    runs: int
    budget: str | None = None  # in words
    head: str  # names all that the book said then


class TrainingRecord(_Frozen):
    """One training run's evidence. Immutable once written."""

    schema_version: int = SCHEMA
    name: str
    run: str
    created: str  # ISO 8601, UTC
    title: str
    language: str
    recipe: str
    recipe_class: str  # module:class, whose `load` reads the model back
    load_from: str = "."  # folder that it is given, from the record's
    load_needs_base: bool = False  # it reads through the base model, which is not in the folder
    settings: Mapping[str, Any]  # the recipe's
    loop: Mapping[str, Any]
    base: str | None = None
    base_digest: str | None = None
    trained: str  # which parameters, in words
    data: TrainedRows
    public: TrainedRows | None = None
    steps: int
    stopped: str | None = None
    facts: Mapping[str, int | float | str] = Field(default_factory=dict)  # the recipe's own figures
    curve: Curve
    claim: PrivacyClaim | None = None
    spending: Spending | None = None
    seed: int  # public: of the draw of rows, the order and dropout of an open run; a private run's draws have none
    scrub_policy: str  # digest
    identity: str  # digest of config, data and code
    code: str
    dirty: bool | None = Field(default=None, exclude_if=lambda dirty: dirty is None)  # this package's files differ
    code_digest: str | None = Field(default=None, exclude_if=lambda digest: digest is None)
    versions: Mapping[str, str]
    hardware: str
    seconds: Mapping[str, float] = Field(default_factory=dict)
    files: Mapping[str, str] = Field(default_factory=dict)  # relative path -> "sha256:…"


def save_training(record: TrainingRecord, directory: Path) -> None:
    """Write the record; the files that it names are there already."""
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(directory / RECORD, text.encode() + b"\n")


def load_training(directory: Path) -> TrainingRecord:
    """Read a record and check the files that it names against their digests.

    Raises:
        RecordError: missing, damaged or changed.
    """
    path = directory / RECORD
    if not path.is_file():
        raise RecordError(f"{directory}: no {RECORD} here. Is it a folder that `steelyard train` made?")
    record = read_as(TrainingRecord, path, schema=SCHEMA)
    check_files(record.files, path, since="the model was trained")
    return record
