"""Finished stages, each under the digest of its inputs and settings: a rerun does only what changed.

A stage works in `<name>-<digest>.part/`, which survives a kill so that the next run can pick up
what is there, and becomes `<name>-<digest>/` by one rename when it is whole.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from governance.files import digest_of, make_private, private_folder

DIGITS = 16  # of a digest in a folder's name: 64 bits


class Store:
    """Stage artefacts of one audit.

    Args:
        root: folder; made private to the user (0700), since stages hold scrubbed text.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        make_private(private_folder(root))

    def path(self, name: str, inputs: Mapping[str, object]) -> Path:
        """Where the finished stage is, or will be."""
        return self.root / f"{name}-{digest_of(inputs)[:DIGITS]}"

    @contextlib.contextmanager
    def building(self, finished: Path) -> Iterator[Path]:
        """A working folder for a stage; renamed to `finished` if the block ends without an error.

        What an earlier, interrupted attempt left is still in it.
        """
        working = finished.with_name(finished.name + ".part")
        make_private(private_folder(working))
        yield working
        for path in working.rglob("*"):
            if path.is_symlink():
                continue
            make_private(path)  # libraries write as the umask says
            if path.is_file():
                with path.open("rb") as handle:
                    os.fsync(handle.fileno())
        working.replace(finished)


@functools.cache
def code_digest(*modules: str) -> str:
    """SHA-256 over the source of modules or packages: an artefact made by other code is not reused."""
    hashed = hashlib.sha256()
    for name in sorted(modules):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ValueError(f"no module {name}")
        origin = Path(spec.origin)
        # Templates and tables that stand beside the code are part of what it does.
        beside = (file for file in origin.parent.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        files = sorted(beside) if origin.name == "__init__.py" else [origin]
        for file in files:
            hashed.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return hashed.hexdigest()


@functools.cache
def versions(*distributions: str) -> Mapping[str, str]:
    """Installed versions, without importing anything."""
    found = {}
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
