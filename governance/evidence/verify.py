"""Whether a run is as it was attested: what was changed, added, removed, renamed, or put here from another run.

Reads files and public keys, nothing else of the run's environment, and recomputes no figure (`governance.recompute`
does). The statements are made again from the record and the verdicts, so an envelope can't say what they don't.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from governance.errors import RecordError
from governance.evidence.checking import Check
from governance.evidence.folder import LATEST, OUT, Finding, Folder, scan, shown
from governance.evidence.statement import ATTESTATION, MANIFEST, RECORD

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What came of it.

    Attributes:
        run: "audit/run" as attested; None: the attestation is missing or unreadable.
        findings: what is not as it was attested.
        signers: each envelope's path -> ids of the keys that it says it is signed by; none: unsigned.
        vouched: those among them that a sigstore bundle vouches for -> who does.
        checked: whether there were keys to hold signatures against.
        notes: what is no finding, but worth knowing.
    """

    run: str | None
    findings: tuple[Finding, ...]
    signers: Mapping[str, tuple[str, ...]]
    vouched: Mapping[str, str]
    checked: bool
    notes: tuple[str, ...] = ()

    @property
    def unsigned(self) -> tuple[str, ...]:
        """Envelopes that nobody signed."""
        return tuple(path for path, signers in self.signers.items() if not signers)

    @property
    def exit_code(self) -> int:
        """0 verified, 1 something differs or a signature is wrong, 3 digests agree but nothing vouches for them."""
        if self.findings:
            return 1
        return 3 if self.open else 0

    @property
    def open(self) -> tuple[str, ...]:
        """Envelopes that nothing vouches for: not signed, or by a key that wasn't given."""
        return tuple(
            path for path, by in self.signers.items() if path not in self.vouched and not (by and self.checked)
        )


def verify(
    directory: Path, keys: Sequence[SSlibKey] = (), vouched: Mapping[bytes, str] = MappingProxyType({})
) -> Verified:
    """Hold every file of a run against what was attested.

    Args:
        directory: of the run.
        keys: public keys; every signature must be by one of them. None: signatures are not checked.
        vouched: statements that somebody else vouches for -> who; see `governance.evidence.keyless`.

    Raises:
        RecordError: there is no run, a file can't be read, or the record is one that this version doesn't know.
    """
    folder = scan(directory)
    if not {RECORD, ATTESTATION} & folder.files.keys():
        raise RecordError(f"{directory}: no {RECORD} here. Is it a run directory (runs/<audit>/<id>)?")
    return _checked(directory, folder, keys, vouched)


def _checked(
    directory: Path, folder: Folder, keys: Sequence[SSlibKey], vouched: Mapping[bytes, str] = MappingProxyType({})
) -> Verified:
    check = Check(directory, folder, {key.keyid: key for key in keys})
    about, called = check.run(), directory.resolve().name
    moved = f"the folder is called {shown(called)}, but holds run {shown(about.run)}" if about else ""
    return Verified(
        run=None if about is None else shown(f"{about.audit}/{about.run}"),
        findings=tuple(sorted(check.findings, key=lambda one: one.path)),
        signers=check.signers,
        vouched={path: vouched[payload] for path, payload in check.payloads.items() if payload in vouched},
        checked=bool(keys),
        notes=(moved,) if about and called != about.run else (),
    )


def check_run(directory: Path, keys: Sequence[SSlibKey] = ()) -> None:
    """Refuse a record that isn't as it was attested, and a last judgement that isn't: what gate and report start from.

    A run without an attestation is an older one: it passes, unless there are keys that it should be signed by.

    Raises:
        RecordError: something differs, or isn't signed by one of the keys although there are some.
    """
    folder = scan(directory)
    if ATTESTATION not in folder.files:
        if keys:
            raise RecordError(f"{directory}: no {ATTESTATION} here, so nothing is signed by the key that you gave")
        return
    found = _checked(directory, folder, keys)
    last = _latest(directory)
    wanted = (ATTESTATION, RECORD, "predictions/", LATEST, f"{last}/")
    wrong = [one for one in found.findings if one.path.startswith(wanted)]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise RecordError(f"{directory}: not as it was attested: {wrong[0]}{more}; see `steelyard verify`")
    unsigned = {ATTESTATION, f"{last}/{MANIFEST}"} & set(found.unsigned) if keys else ()
    for envelope in sorted(unsigned):
        raise RecordError(f"{directory}: {envelope} is not signed; see `steelyard attest`")


def check_judgement(directory: Path, name: str) -> None:
    """Refuse to show a judgement whose files aren't those of its manifest.

    Raises:
        RecordError: something differs.
    """
    inside = f"{OUT}/{name}/"
    found = [one for one in verify(directory).findings if one.path.startswith(inside)]
    if found:
        raise RecordError(f"{directory}: not as it was written: {found[0]}; delete {inside} to have it made again")


def _latest(directory: Path) -> str:
    """The folder of the last judgement, as paths of findings begin."""
    link = directory / LATEST
    return link.readlink().as_posix() if link.is_symlink() else LATEST
