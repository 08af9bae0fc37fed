"""A training run as files: what a process needs to take part in it, and what it leaves. JSON and Parquet, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from governance.errors import ConfigError
from governance.files import digest_file, write_atomic
from governance.training.dp.plan import Plan
from governance.training.group import error_named
from governance.training.loop import Settings
from governance.training.recipes.base import Fitted

STALL_SECONDS = 900.0
"""A process that says nothing for so long is given up by the others; rank 0 may write or account alone for minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every process is given.

    Attributes:
        recipe: its name.
        options: its settings.
        table: the scrubbed rows.
        directory: rank 0's; the others have one of their own, and what they write in it is thrown away.
        settings: of the loop.
        language: of the texts.
        base: folder of pretrained weights.
        plan: makes it private.
        owners: users and their rows, where the plan draws users.
        public: rows that are nobody's secret.
        book: folder of the budget book, in which `run` is open.
        run: where this run's steps are charged.
        folder: for what the processes leave, empty at the start.
        store: file by which the processes find each other.
        stall: seconds after which a silent process is given up.
        digests: path -> digest of each file that all must have alike.
    """

    recipe: str
    options: Mapping[str, Any]
    table: Path
    directory: Path
    settings: Settings
    language: str = "en"
    base: Path | None = None
    plan: Plan | None = None
    owners: Path | None = None
    public: Path | None = None
    book: Path | None = None
    run: str | None = None
    folder: Path
    store: Path
    stall: float = STALL_SECONDS
    digests: Mapping[str, str]

    @property
    def ticks(self) -> Path:
        """Where rank 0 tells where the run is, one JSON line a block."""
        return self.folder / "ticks"

    def check_files(self) -> None:
        """That this machine has the same rows as the one that launched the job.

        Raises:
            ConfigError: a file is missing or differs.
        """
        for name, digest in self.digests.items():
            if not Path(name).is_file() or digest_file(Path(name)) != digest:
                raise ConfigError(
                    f"{name}: missing or different on one of the machines; training's folder must be shared by all"
                )

    def write(self, path: Path) -> None:
        """As JSON."""
        from pydantic import TypeAdapter

        write_atomic(path, TypeAdapter(Job).dump_json(self))


def read(path: Path) -> Job:
    """What `Job.write` wrote."""
    from pydantic import TypeAdapter

    return TypeAdapter(Job).validate_json(path.read_bytes())


def leave(job: Job, rank: int, said: Fitted | Exception | None) -> None:
    """Leave what a process came to: what rank 0 fitted, or why it stopped."""
    told: dict[str, Any] = {}
    if isinstance(said, Fitted):
        told = {"fitted": asdict(said)}
    elif said is not None:
        told = {"error": type(said).__name__, "message": str(said)}
    write_atomic(job.folder / f"{rank}.json", json.dumps(told).encode())


def collect(job: Job) -> Fitted | None:
    """What rank 0 fitted; None: some process died.

    Raises:
        SteelyardError: what a process stopped for, the lowest rank's.
    """
    from pydantic import TypeAdapter

    left = [
        json.loads(path.read_bytes()) for path in sorted(job.folder.glob("*.json"), key=lambda path: int(path.stem))
    ]
    for told in left:
        if "error" in told:
            raise error_named(told["error"], told["message"])
    found = [told["fitted"] for told in left if "fitted" in told]
    return TypeAdapter(Fitted).validate_python(found[0]) if found else None
