"""A result file, whoever wrote it: told by what it holds, not by its name."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from governance.errors import ConfigError
from governance.files import digest_bytes, digest_file
from governance.imports.hostile import MAX_BYTES, parse_json, read_bytes
from governance.imports.inspectlog import read_inspect
from governance.imports.lmeval import is_lmeval, read_lmeval
from governance.imports.logs import Log
from governance.imports.promptfoo import is_promptfoo, read_promptfoo
from governance.registry import nearest


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file holds.

    Attributes:
        path: of the file.
        digest: of its bytes.
        logs: one per model and task.
        beside: digests of other files that were read with it, by name.
    """

    path: Path
    digest: str
    logs: tuple[Log, ...]
    beside: Mapping[str, str]

    @property
    def digests(self) -> dict[str, str]:
        """Digest of every file that was read, by name."""
        return {self.path.name: self.digest, **self.beside}


def read_import(path: Path) -> Imported:
    """Read a result file.

    Raises:
        ConfigError: there is no such file, or it is none that can be imported.
        RecordError: it is damaged, or not what it seems.
        MissingExtra: a library is needed to read it.
    """
    if path.is_file() and zipfile.is_zipfile(path):
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: expected at most {MAX_BYTES:,} bytes, found {path.stat().st_size:,}")
        return Imported(path, digest_file(path), read_inspect(path), {})
    data = read_bytes(path)
    digest = digest_bytes(data)
    if path.suffix == ".jsonl":
        raise ConfigError(f"{path}: lines of samples; give the results file beside it, which says what they are")
    raw = parse_json(data, str(path))
    if _is_inspect(raw):
        return Imported(path, digest, read_inspect(path), {})
    if is_promptfoo(raw):
        return Imported(path, digest, read_promptfoo(path, raw), {})
    if is_lmeval(raw):
        logs, beside = read_lmeval(path, raw)
        return Imported(path, digest, logs, beside)
    raise ConfigError(
        f"{path}: expected Inspect's log (.eval), lm-eval's results_*.json or promptfoo's output, found another file"
    )


def select(logs: Sequence[Log], *, of: str | None = None, task: str | None = None) -> tuple[Log, ...]:
    """The logs of one model, on one task if one is named.

    Args:
        logs: of a file.
        of: the model, as the file calls it; None: the only one that it holds.
        task: as the file calls it; None: all.

    Raises:
        ConfigError: the file holds no such model or task, or several models and none is named.
    """
    models = tuple(dict.fromkeys(log.model for log in logs))
    if of is None and len(models) > 1:
        raise ConfigError(f"of: the file holds several models; name one of them: {', '.join(models)}")
    if of is not None and of not in models:
        raise ConfigError(f"of: no model '{of}' in the file. {nearest(of, models)}")
    found = tuple(log for log in logs if of in (None, log.model) and task in (None, log.task))
    if not found:
        raise ConfigError(f"task: no task '{task}' in the file. {nearest(str(task), (log.task for log in logs))}")
    return found


def _is_inspect(raw: Any) -> bool:
    return isinstance(raw, dict) and {"eval", "status", "version"} <= raw.keys()
