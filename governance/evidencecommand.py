"""What `steelyard verify`, `attest` and `keygen` do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from governance.errors import ConfigError
from governance.evidence.folder import Finding, shown
from governance.evidence.signing import SIGNING, checking_keys, make_keys, signing_key
from governance.evidence.verify import Verified, verify

if TYPE_CHECKING:
    from governance.recompute import Recomputed

NOTHING_VOUCHES = "not signed: anybody could have made these digests"
UNCHECKED = "signatures not checked: no key was given (--key FILE, or STEELYARD_VERIFY_KEY)"


def verify_command(
    run: Path,
    *,
    keys: tuple[str, ...],
    deep: bool,
    data: Path | None,
    models: tuple[str, ...],
    sigstore: Path | None,
    identity: str | None,
    issuer: str | None,
    trust_config: Path | None,
    as_json: bool,
    echo: Callable[[str], None],
) -> int:
    """Verify a run and tell what was found.

    Returns:
        The exit code: 0 verified, 1 something differs or a signature is wrong, 3 nothing vouches for the digests.

    Raises:
        SteelyardError: there is no such run, or a key can't be read.
    """
    if (data is not None or models) and not deep:
        raise ConfigError("--data and --model are for --deep")
    vouched, wrong = _bundles(sigstore, identity, issuer, trust_config)
    found, made = verify(run, checking_keys(keys), vouched), None
    found = replace(found, findings=(*found.findings, *wrong))
    if deep and not found.findings:
        from governance.recompute import read_models, recompute

        made = recompute(run, data=data, models=read_models(models))
    code = 1 if made is not None and made.findings else found.exit_code
    echo(_as_json(found, made, code) if as_json else "\n".join(_lines(found, made, deep=deep)))
    return code


def _bundles(
    folder: Path | None, identity: str | None, issuer: str | None, config: Path | None
) -> tuple[Mapping[bytes, str], list[Finding]]:
    if folder is None:
        if identity or issuer or config:
            raise ConfigError("--identity, --issuer and --trust-config are for --sigstore")
        return {}, []
    if not (identity and issuer):
        raise ConfigError("--sigstore: expected --identity and --issuer beside it: anybody can sign as themselves")
    from governance.evidence.keyless import read_bundles

    return read_bundles(folder, identity=identity, issuer=issuer, config=config)


def attest_command(
    run: Path, *, key: Path | None, sigstore: Path | None, trust_config: Path | None, echo: Callable[[str], None]
) -> int:
    """Sign what nobody has signed in a run; or have all of it signed by a sigstore service.

    Raises:
        SteelyardError: there is no key, or the run is not as it was attested.
    """
    from governance.evidence.attest import sign_run

    if sigstore is not None:
        from governance.evidence.keyless import sign_keyless

        for bundle in sign_keyless(run, sigstore, config=trust_config):
            echo(f"signed: {bundle}")
        return 0
    signer = signing_key(key)
    if signer is None:
        raise ConfigError(f"no key to sign with: --key FILE, or {SIGNING}; make a pair with `steelyard keygen FILE`")
    signed = sign_run(run, signer)
    for path in signed:
        echo(f"signed by {signer.public.keyid[:12]}: {path}")
    if not signed:
        echo("nothing to sign: all of it is signed")
    return 0


def keygen_command(file: Path, *, echo: Callable[[str], None]) -> int:
    """Make a pair of keys."""
    keyid = make_keys(file)
    echo(f"key {keyid}")
    echo(f"  {file}  signs; keep it secret: export {SIGNING}={file}")
    echo(f"  {file}.pub  checks; give it to whoever verifies: steelyard verify RUN --key {file}.pub")
    return 0


def _lines(found: Verified, made: Recomputed | None, *, deep: bool) -> list[str]:
    lines = [f"run {found.run or 'unknown'}"]
    for path, signers in found.signers.items():
        by = [keyid[:12] for keyid in signers] + [shown(who) for one, who in found.vouched.items() if one == path]
        lines.append(f"  {path}: " + (f"signed by {', '.join(by)}" if by else "not signed"))
    lines += [f"note: {note}" for note in found.notes]
    lines += [str(finding) for finding in found.findings]
    if made is not None:
        lines += [f"made again: {what}" for what in made.agree]
        lines += [f"not made again: {what}" for what in made.left]
        lines += [str(finding) for finding in made.findings]
    elif deep:
        lines.append("nothing was made again: first mend what differs")
    return [*lines, _conclusion(found, made)]


def _conclusion(found: Verified, made: Recomputed | None) -> str:
    count = len(found.findings) + (len(made.findings) if made is not None else 0)
    if count:
        return f"NOT verified: {count} {'finding' if count == 1 else 'findings'}"
    if not found.open:
        return "verified: every file is as it was signed"
    unsigned = [path for path in found.open if path in found.unsigned]
    if len(unsigned) == len(found.signers):
        return f"digests agree, but {NOTHING_VOUCHES}"
    if not unsigned:
        return f"digests agree; {UNCHECKED}"
    return f"digests agree, but {', '.join(unsigned)} {NOTHING_VOUCHES}"


def _as_json(found: Verified, made: Recomputed | None, code: int) -> str:
    told = {
        "run": found.run,
        "exit_code": code,
        "conclusion": _conclusion(found, made),
        "findings": [
            {"kind": one.kind, "path": one.path, "detail": one.detail}
            for one in [*found.findings, *(made.findings if made is not None else ())]
        ],
        "envelopes": found.signers,
        "vouched": found.vouched,
        "keys_given": found.checked,
        "notes": found.notes,
        "made_again": None if made is None else {"agree": made.agree, "left": made.left},
    }
    return json.dumps(told, ensure_ascii=True)
