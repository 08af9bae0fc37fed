"""Statements written beside what they speak of, and signed: then, or later if the key comes later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from governance.errors import RecordError
from governance.evidence.envelope import open_envelope, seal
from governance.evidence.folder import scan
from governance.evidence.signing import SigningKey, checking_keys
from governance.evidence.statement import (
    ATTESTATION,
    MANIFEST,
    RECORD,
    VERDICT,
    audit_statement,
    judgement_statement,
)
from governance.evidence.verify import verify
from governance.files import write_atomic
from governance.record import RunRecord, record_bytes, save_record


def save_attested(record: RunRecord, directory: Path, key: SigningKey | None) -> None:
    """Write a record and its attestation; the files that it names must already be there.

    The record comes last: a run that has one is whole, and has its attestation.

    Raises:
        RecordError: the directory already holds a record: records are written once.
    """
    content = record_bytes(record)
    files = {path: digest.removeprefix("sha256:") for path, digest in record.files.items()}
    statement = audit_statement(json.loads(content), {RECORD: hashlib.sha256(content).hexdigest(), **files})
    if not (directory / RECORD).exists():  # else `save_record` refuses, and what is there stays
        write_atomic(directory / ATTESTATION, seal(statement, key))
    save_record(record, directory)


def save_manifest(
    record: RunRecord, inputs: Mapping[str, str], contents: Mapping[str, bytes], folder: Path, key: SigningKey | None
) -> None:
    """Write a judgement's manifest. It comes last: a folder that has one is whole.

    Args:
        record: what was judged.
        inputs: see `judgement_inputs`.
        contents: the judgement's files: path from its folder -> content.
        folder: of the judgement.
        key: signs it, if there is one.
    """
    files = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    verdict = json.loads(contents[VERDICT])
    statement = judgement_statement({"audit": record.audit, "run": record.run}, verdict, dict(inputs), files)
    write_atomic(folder / MANIFEST, seal(statement, key))


def sign_run(directory: Path, key: SigningKey) -> list[str]:
    """Sign what nobody has signed in a run, after checking all of it.

    Signatures that are there must be by this key or by one in `STEELYARD_VERIFY_KEY`.

    Returns:
        The envelopes that were signed.

    Raises:
        RecordError: something is not as it was attested, or was never attested.
    """
    found = verify(directory, [*checking_keys(), key.public])
    if found.findings:
        more = f" (and {len(found.findings) - 1} more)" if len(found.findings) > 1 else ""
        raise RecordError(f"{directory}: not signed: {found.findings[0]}{more}; see `steelyard verify`")
    envelopes = scan(directory).envelopes
    for path in found.unsigned:
        write_atomic(directory / path, seal(open_envelope(envelopes[path]).statement, key))
    return list(found.unsigned)
