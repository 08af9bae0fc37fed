"""One look at all of a run: each envelope held against the files it speaks of, and against what those files say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from governance.errors import RecordError
from governance.evidence.envelope import DamagedEnvelope, Opened, open_envelope
from governance.evidence.folder import LATEST, OUT, Finding, Folder, Kind, shown
from governance.evidence.origins import Origins
from governance.evidence.statement import (
    ATTESTATION,
    AUDIT,
    JUDGEMENT,
    MANIFEST,
    RECORD,
    VERDICT,
    audit_statement,
    judgement_name,
    judgement_statement,
)
from governance.files import digest_of

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

SCHEMA = 1  # of the records that this version knows; a test holds it against `governance.record`
MAX_JSON = 256_000_000  # bytes of a record or verdict
CUT_OFF = "."  # begins the names of files and folders that are being written
NOT_AS_WRITTEN = (KeyError, TypeError, AttributeError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class About:
    """Which run this is, as far as that is known."""

    audit: str
    run: str
    record: str  # digest


class Check:
    """One verification; findings gather as it goes.

    Args:
        directory: of the run.
        folder: what a scan of it saw.
        keys: public keys by id; none: signatures are not checked.
    """

    def __init__(self, directory: Path, folder: Folder, keys: Mapping[str, SSlibKey]) -> None:
        self.directory, self.files, self.envelopes = directory, folder.files, folder.envelopes
        self.keys = keys
        self.findings: list[Finding] = list(folder.findings)
        self.signers: dict[str, tuple[str, ...]] = {}
        self.payloads: dict[str, bytes] = {}

    def run(self) -> About | None:
        """Look at everything once.

        Returns:
            Which run it is; None: that can't be known.

        Raises:
            RecordError: the record or a statement is one that this version doesn't know.
        """
        about = self._audit({path: digest for path, digest in self.files.items() if not _is_judgement(path)})
        for inside in self._judgements():
            self._judgement(inside, about)
        loose = [path for path in self.files if path.startswith(f"{OUT}/") and path.count("/") == 1]
        for path in loose:
            self._say("added", path, "not part of a judgement")
        return about

    def _say(self, kind: Kind, path: str, detail: str) -> None:
        self.findings.append(Finding(kind, shown(path), detail))

    @cached_property
    def _origins(self) -> Origins:
        return Origins(self.directory, self.envelopes)

    # -- the record ---------------------------------------------------------------------------

    def _audit(self, found: Mapping[str, str]) -> About | None:
        found = {path: digest for path, digest in found.items() if path != ATTESTATION}
        record = self._read(RECORD) if RECORD in found else None
        opened = self._open(ATTESTATION, AUDIT, RECORD)
        if opened is None:
            return _about(record)
        expected = _subjects(opened)
        if found.get(RECORD) == expected.get(RECORD):
            self._compare("", expected, found)
            self._same_record(record, opened, expected)
            return _attested(opened)
        stranger = self._stranger(record, opened, found)
        if stranger == ATTESTATION:
            return _about(record)
        self._compare("", expected, found, but=stranger)
        return _attested(opened)

    def _same_record(self, record: Any, opened: Opened, expected: Mapping[str, str]) -> None:
        """A record that is as it was attested must be one that we know, and the attestation must say what it says."""
        path = self.directory / RECORD
        version = record.get("schema_version") if isinstance(record, dict) else None
        if record is None:
            _refuse(path, "is not JSON that Steelyard writes (NaN and infinity have no place in a record)")
        if version != SCHEMA:
            _refuse(path, f"expected schema_version {SCHEMA}, found {ascii(version)[:40]}; use a matching steelyard")
        try:
            named = {name: digest.removeprefix("sha256:") for name, digest in record["files"].items()}
            same = audit_statement(record, {RECORD: expected[RECORD], **named}) == opened.statement
        except NOT_AS_WRITTEN:
            _refuse(path, "lacks a part that every record has")
        if not same:
            self._say("changed", ATTESTATION, f"says something else than {RECORD}")

    def _stranger(self, record: Any, opened: Opened, found: Mapping[str, str]) -> str | None:
        """If record and attestation are of two runs: which of them the rest of the folder speaks against."""
        here, there = _about(record), _attested(opened)
        if here is None or there is None or (here.audit, here.run) == (there.audit, there.run):
            return None
        rest = {path: f"sha256:{digest}" for path, digest in found.items() if path != RECORD}
        path, other = (ATTESTATION, there) if rest == record.get("files") else (RECORD, here)
        self._say("swapped", path, f"it is that of run {shown(f'{other.audit}/{other.run}')}")
        return path

    # -- judgements ---------------------------------------------------------------------------

    def _judgements(self) -> list[str]:
        """Folders of judgements, with the copy that `latest` is where links were followed."""
        parts = (path.split("/") for path in self.files)
        names = {"/".join(part[:2]) for part in parts if part[0] == OUT and len(part) > 2}
        return sorted(names) + ([LATEST] if any(path.startswith(f"{LATEST}/") for path in self.files) else [])

    def _judgement(self, inside: str, about: About | None) -> None:
        prefix, manifest = f"{inside}/", f"{inside}/{MANIFEST}"
        found = {path.removeprefix(prefix): digest for path, digest in self.files.items() if path.startswith(prefix)}
        opened = self._open(manifest, JUDGEMENT, VERDICT)
        if opened is None:
            return
        expected = _subjects(opened)
        said = opened.statement["predicate"]
        found.pop(MANIFEST)
        if self._of_another(inside, said, about, whole=found == expected):
            return
        self._compare(prefix, expected, found)
        if about is None or found.get(VERDICT) != expected.get(VERDICT):
            return
        verdict, names = self._read(prefix + VERDICT), {"audit": about.audit, "run": about.run}
        try:
            same = judgement_statement(names, verdict, said["inputs"], expected) == opened.statement
            same = same and said["inputs"]["record"] == verdict["record"]
        except NOT_AS_WRITTEN:
            same = False
        if not same:
            self._say("changed", manifest, f"says something else than {VERDICT}")

    def _of_another(self, inside: str, said: Mapping[str, Any], about: About | None, *, whole: bool) -> bool:
        """Whether a judgement, or its manifest alone, was made for another record or another folder."""
        of = f"run {shown(str(said.get('audit')))}/{shown(str(said.get('run')))}"
        path = inside if whole else f"{inside}/{MANIFEST}"
        if about is not None and said.get("record") != about.record:
            same_run = (said.get("audit"), said.get("run")) == (about.audit, about.run)
            self._say("swapped", path, "made for another record of this run" if same_run else f"made for {of}")
            return True
        try:
            name = judgement_name(said.get("inputs"))
        except NOT_AS_WRITTEN:
            return False
        if inside != LATEST and name != inside.removeprefix(f"{OUT}/"):
            kind: Kind = "renamed" if whole else "swapped"
            self._say(kind, path, f"it is that of {OUT}/{name}")
            return True
        return False

    # -- both ---------------------------------------------------------------------------------

    def _open(self, path: str, kind: str, about: str) -> Opened | None:
        """An envelope with a statement of this kind, about this file among others; None: it was told what is wrong."""
        if path not in self.envelopes:
            self._say("removed", path, "there is none: it was taken away, or what it belongs to was cut off unfinished")
            return None
        try:
            opened = open_envelope(self.envelopes[path])
        except DamagedEnvelope as damage:
            self._say("changed", path, str(damage))
            return None
        self.signers[path], self.payloads[path] = opened.signers(), opened.payload
        wrong = opened.wrong(self.keys) if self.keys else None
        if wrong:
            self._say("signature", path, wrong)
        found = str(opened.statement.get("predicateType"))
        if not wrong and found != kind and re.fullmatch(re.escape(kind.rpartition(":")[0]) + r":v\d{1,4}", found):
            # Of a later version: it isn't damaged, but we can't tell what it says.
            _refuse(self.directory / path, f"expected a statement {kind}, found {found}; use a matching steelyard")
        try:
            sound = found == kind and about in _subjects(opened) and isinstance(opened.statement["predicate"], dict)
        except NOT_AS_WRITTEN:
            sound = False
        if not sound:
            self._say("changed", path, f"not a statement about {about} as Steelyard writes it")
        return opened if sound else None

    def _compare(
        self, prefix: str, expected: Mapping[str, str], found: Mapping[str, str], but: str | None = None
    ) -> None:
        """Tell files apart by name and digest."""
        removed = {path: expected[path] for path in sorted(expected.keys() - found.keys())}
        added = {path: found[path] for path in sorted(found.keys() - expected.keys())}
        for path, digest in list(removed.items()):
            new = next((name for name, other in added.items() if other == digest), None)
            if new is not None:
                self._say("renamed", prefix + path, f"is now called {shown(new)}")
                del removed[path], added[new]
        for path in removed:
            self._say("removed", prefix + path, "was attested, and is not here")
        for path, digest in added.items():
            origin = self._origins.of(digest)
            hint = (
                "left by a write that was cut off, or put here" if f"/{CUT_OFF}" in f"/{path}" else "nothing attests it"
            )
            self._say("added", prefix + path, f"it is {origin}" if origin else hint)
        for path in sorted(expected.keys() & found.keys()):
            if path != but and expected[path] != found[path]:
                self._differs(prefix + path, expected[path], found[path])

    def _differs(self, path: str, expected: str, found: str) -> None:
        origin = self._origins.of(found)
        if origin:
            self._say("swapped", path, f"it is {origin}")
        else:
            self._say("changed", path, f"expected sha256:{expected}, found sha256:{found}")

    def _read(self, path: str) -> Any:
        """A JSON file; None: it is none."""
        file = self.directory / path
        if file.stat().st_size > MAX_JSON:
            _refuse(file, f"expected at most {MAX_JSON} bytes")
        try:
            return json.loads(file.read_bytes(), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return None


def _is_judgement(path: str) -> bool:
    return path.startswith((f"{OUT}/", f"{LATEST}/"))


def _refuse(path: Path, why: str) -> NoReturn:
    raise RecordError(f"{path}: {why}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _subjects(opened: Opened) -> dict[str, str]:
    """What a statement speaks of: name -> SHA-256, as hex.

    Raises:
        KeyError, TypeError: it isn't a statement.
    """
    return {str(one["name"]): str(one["digest"]["sha256"]) for one in opened.statement["subject"]}


def _about(record: Any) -> About | None:
    try:
        return About(str(record["audit"]), str(record["run"]), f"sha256:{digest_of(record)}")
    except NOT_AS_WRITTEN:
        return None


def _attested(opened: Opened) -> About | None:
    said = opened.statement["predicate"]
    try:
        return About(str(said["audit"]), str(said["run"]), str(said["record"]))
    except NOT_AS_WRITTEN:
        return None
