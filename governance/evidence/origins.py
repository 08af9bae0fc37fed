"""Where a file that doesn't belong here comes from: another place in this run, or a run beside it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from governance.evidence.envelope import MAX_BYTES, DamagedEnvelope, open_envelope
from governance.evidence.folder import shown
from governance.evidence.statement import ATTESTATION, MANIFEST

MOST = 500  # envelopes of other runs that are read for it


class Origins:
    """Digests of what is attested nearby.

    Args:
        directory: of the run.
        envelopes: the run's own, by path.
    """

    def __init__(self, directory: Path, envelopes: Mapping[str, bytes]) -> None:
        self._directory, self._envelopes = directory, envelopes

    def of(self, digest: str) -> str | None:
        """Where a content that isn't attested where it was found belongs, in words; None: nowhere near.

        Args:
            digest: SHA-256, as hex.
        """
        return self._known.get(digest)

    @cached_property
    def _known(self) -> dict[str, str]:
        """Digest -> the place in words; in this run rather than in another."""
        known: dict[str, str] = {}
        for envelope, content in self._envelopes.items():
            folder = envelope.rpartition("/")[0]
            for name, digest in _attested(content):
                path = f"{folder}/{name}" if folder else name
                known.setdefault(digest, f"the content of {shown(path)}")
        for run, path, content in self._others():
            folder, called = path.rpartition("/")[0], shown(run)
            known.setdefault(hashlib.sha256(content).hexdigest(), f"{shown(path)} of run {called}")
            for name, digest in _attested(content):
                where = f"{folder}/{name}" if folder else name
                known.setdefault(digest, f"{shown(where)} of run {called}")
        return known

    def _others(self) -> Iterator[tuple[str, str, bytes]]:
        """Envelopes of the runs beside this one: run, path in it, content."""
        here = self._directory.resolve()
        found = (
            (other, file)
            for other in sorted(here.parent.iterdir())
            if other != here and other.is_dir()
            for file in (other / ATTESTATION, *sorted(other.glob(f"out/*/{MANIFEST}")))
        )
        for other, file in itertools.islice(found, MOST):
            try:
                with file.open("rb") as opened:
                    yield other.name, file.relative_to(other).as_posix(), opened.read(MAX_BYTES + 1)
            except OSError:  # no run, or not ours to read: nothing can be said about it
                continue


def _attested(content: bytes) -> list[tuple[str, str]]:
    """What an envelope speaks of; nothing if it can't be read, for that is told where the envelope is checked."""
    try:
        return [(str(one["name"]), str(one["digest"]["sha256"])) for one in open_envelope(content).statement["subject"]]
    except (DamagedEnvelope, KeyError, TypeError):
        return []
