"""Signatures without a key of one's own: a run's statements in sigstore bundles, kept beside the run.

Signing asks a sigstore service for a certificate of who one is, and writes statement and signature into its public log;
so it happens only when asked for, and needs the service. Verifying needs nothing but the bundles and the
service's root of trust, which the sigstore package ships or a file holds.

Source:
    sigstore bundles 0.3 (github.com/sigstore/protobuf-specs), by sigstore-python.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.errors import BackendError, ConfigError, MissingExtra, RecordError
from governance.evidence.envelope import MAX_BYTES, PAYLOAD_TYPE, open_envelope
from governance.evidence.folder import ENVELOPE, Finding, scan, shown
from governance.evidence.verify import verify
from governance.files import write_atomic

if TYPE_CHECKING:
    from sigstore.models import ClientTrustConfig

ENDING = ".sigstore.json"
TOKEN = "SIGSTORE_ID_TOKEN"  # noqa: S105 - the name of a variable


def sign_keyless(directory: Path, bundles: Path, *, config: Path | None = None) -> list[Path]:
    """Have a run's statements signed by a sigstore service, after checking all of the run.

    Who signs is what the identity token in `SIGSTORE_ID_TOKEN` says, or that of the CI system that this runs in.

    Args:
        directory: of the run.
        bundles: folder for the bundles, outside the run.
        config: which service: a client trust config. Absent: the public one, whose log anybody can read.

    Returns:
        The bundles.

    Raises:
        MissingExtra: sigstore is not installed.
        ConfigError: no identity token, no such config, or the folder lies in the run.
        RecordError: the run is not as it was attested.
        BackendError: the service can't be reached, or doesn't sign.
    """
    sigstore = _sigstore()
    if bundles.resolve().is_relative_to(directory.resolve()):
        raise ConfigError(f"{bundles}: expected a folder outside {directory}, in which only the run's own files belong")
    found = verify(directory)
    if found.findings:
        raise RecordError(f"{directory}: not signed: {found.findings[0]}; see `steelyard verify`")
    statements = {path: open_envelope(content).payload for path, content in scan(directory).envelopes.items()}
    token = _token()
    try:
        context = sigstore.sign.SigningContext.from_trust_config(_config(config, offline=False))
        with context.signer(token) as signer:
            signed = {path: signer.sign_dsse(sigstore.dsse.Statement(said)) for path, said in statements.items()}
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - sigstore, TUF and HTTP have no base in common; none of it is shown
        raise BackendError(f"sigstore could not sign: {type(error).__name__}; is the service reachable?") from None
    made = []
    for path, bundle in signed.items():
        made.append(bundles / _name(path))
        write_atomic(made[-1], bundle.to_json().encode())
    return made


def read_bundles(
    bundles: Path, *, identity: str, issuer: str, config: Path | None = None
) -> tuple[Mapping[bytes, str], list[Finding]]:
    """The statements that sigstore bundles vouch for.

    Args:
        bundles: folder of bundles; each must be by this identity.
        identity: who must have signed, as the certificate has it: an address, or the URL of a CI workflow.
        issuer: who must have known them: the URL of an OpenID provider.
        config: which service to trust: a client trust config. Absent: the public one, by the root that the sigstore
            package holds.

    Returns:
        Statement -> who vouches for it; and what is wrong with other bundles.

    Raises:
        MissingExtra: sigstore is not installed.
        ConfigError: no bundles there, or no such config.
    """
    sigstore = _sigstore()
    files = sorted(bundles.glob(f"*{ENDING}"))
    if not files:
        raise ConfigError(f"{bundles}: expected a folder of sigstore bundles (*{ENDING}), found none")
    verifier = sigstore.verify.Verifier(trusted_root=_config(config, offline=True).trusted_root)
    policy = sigstore.verify.policy.Identity(identity=identity, issuer=issuer)
    vouched, wrong = {}, []
    for file in files:
        try:
            with file.open("rb") as opened:
                bundle = sigstore.models.Bundle.from_json(opened.read(MAX_BYTES))
            kind, payload = verifier.verify_dsse(bundle, policy)
        except Exception as error:  # noqa: BLE001 - a hostile bundle can fail in any way; it must stop here
            why = f"not a bundle by {shown(identity)} that verifies ({type(error).__name__})"
            wrong.append(Finding("signature", shown(file.name), why))
            continue
        if kind == PAYLOAD_TYPE:
            vouched[payload] = f"{identity} ({issuer})"
    return vouched, wrong


def _name(path: str) -> str:
    """The bundle of an envelope: `attestation.sigstore.json`, or a judgement's name before the ending."""
    folder, _, name = path.rpartition("/")
    return (folder.rpartition("/")[2] or name.removesuffix(ENVELOPE)) + ENDING


def _sigstore() -> Any:
    try:
        import sigstore.dsse
        import sigstore.models
        import sigstore.oidc
        import sigstore.sign
        import sigstore.verify
    except ModuleNotFoundError as error:
        if error.name not in ("sigstore", "sigstore.dsse"):
            raise
        raise MissingExtra("--sigstore needs sigstore: pip install 'steelyard[sigstore]'") from None
    return sigstore


def _config(file: Path | None, *, offline: bool) -> ClientTrustConfig:
    from sigstore.models import ClientTrustConfig

    if file is None:
        return ClientTrustConfig.production(offline=offline)
    try:
        return ClientTrustConfig.from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: can't be read ({error.strerror})") from None
    except ValueError:
        raise ConfigError(f"{file}: not a sigstore client trust config") from None


def _token() -> Any:
    from sigstore.oidc import IdentityError, IdentityToken, detect_credential

    raw = os.environ.get(TOKEN) or detect_credential()
    if not raw:
        raise ConfigError(f"sigstore needs to know who signs: run in a CI system that tells it, or set {TOKEN}")
    try:
        return IdentityToken(raw)
    except IdentityError:
        raise ConfigError(f"{TOKEN}: not an identity token, or no longer valid") from None
