"""DSSE envelopes with an in-toto statement in them, written in one way only.

What is read must be byte for byte what would be written again. JSON and base64 have many spellings of one value, and
a signature speaks of the payload alone: without this, whatever stands around it could be changed unseen.

Source:
    DSSE 1.0.2 (github.com/secure-systems-lab/dsse); securesystemslib does the encoding and the signatures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from governance.evidence.signing import SigningKey
from governance.files import canonical

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_BYTES = 32_000_000


class DamagedEnvelope(Exception):
    """Not an envelope as we write it; the message says in what."""


@dataclass(frozen=True)
class Opened:
    """An envelope that is spelt as it should be; its signatures are not checked yet."""

    envelope: Envelope
    statement: Mapping[str, Any]

    @property
    def payload(self) -> bytes:
        """The statement's bytes, which are signed."""
        return self.envelope.payload

    @property
    def signed(self) -> bool:
        """Whether somebody signed it."""
        return bool(self.envelope.signatures)

    def wrong(self, keys: Mapping[str, SSlibKey]) -> str | None:
        """What is wrong with its signatures, held against keys by id; None: each is good.

        All must be: one by an unknown key would be bytes that nobody vouches for.
        """
        from securesystemslib.exceptions import UnverifiedSignatureError

        for keyid, signature in self.envelope.signatures.items():
            if keyid not in keys:
                return f"signed by another key than you gave (its id begins with {_shown(keyid)})"
            try:
                keys[keyid].verify_signature(signature, self.envelope.pae())
            except UnverifiedSignatureError:
                return f"the signature of key {keyid[:12]} is not of this statement"
        return None

    def signers(self) -> tuple[str, ...]:
        """Ids of the keys that it says it was signed by."""
        return tuple(self.envelope.signatures)


def seal(statement: Mapping[str, Any], key: SigningKey | None) -> bytes:
    """A statement in an envelope, signed if there is a key."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(canonical(statement), PAYLOAD_TYPE, {})
    if key is not None:
        envelope.sign(key.signer)
    return _written(envelope)


def open_envelope(data: bytes) -> Opened:
    """Read an envelope.

    Raises:
        DamagedEnvelope: it isn't exactly as it would be written.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import Error

    if len(data) > MAX_BYTES:
        raise DamagedEnvelope(f"larger than {MAX_BYTES} bytes")
    try:
        envelope = Envelope.from_dict(json.loads(data))
        statement = json.loads(envelope.payload)
        whole = _written(envelope) == data and canonical(statement) == envelope.payload
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Error):
        raise DamagedEnvelope("not a DSSE envelope with a statement in it") from None
    if not whole or any(one.unrecognized_fields for one in envelope.signatures.values()):
        raise DamagedEnvelope("not spelt as Steelyard writes envelopes")
    if envelope.payload_type != PAYLOAD_TYPE or not isinstance(statement, dict):
        raise DamagedEnvelope("holds something else than an in-toto statement")
    return Opened(envelope, statement)


def _written(envelope: Envelope) -> bytes:
    return canonical(envelope.to_dict()) + b"\n"


def _shown(keyid: object) -> str:
    """The start of an id that a stranger wrote, fit to be printed."""
    return ascii(str(keyid)[:12]).strip("'\"")
