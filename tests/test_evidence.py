"""Evidence: a run that was signed verifies, and no byte, name or key of it can change unseen."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance import policy as policies
from governance import record as records
from governance.cli import main
from governance.conclude import conclude
from governance.errors import ConfigError, RecordError
from governance.evidence import checking, statement
from governance.evidence.attest import save_attested, sign_run
from governance.evidence.envelope import PAYLOAD_TYPE, open_envelope, seal
from governance.evidence.signing import CHECKING, PASSWORD, SIGNING, SigningKey, checking_keys, make_keys, signing_key
from governance.evidence.statement import ATTESTATION, AUDIT, JUDGEMENT, MANIFEST
from governance.evidence.verify import Verified, verify
from governance.files import canonical, digest_file, write_atomic
from governance.policy import Terms
from governance.record import RECORD, RunRecord, load_record
from tests.test_policy import measured, policy, record
from tests.test_tableaudit import config, decisions

PASSES = Terms(policy=policy(at_least=0.7))
FAILS = Terms(policy=policy(at_least=0.95))


def made(
    folder: Path, run: str, key: SigningKey | None, *, edit: Callable[[dict[str, Any]], None] | None = None
) -> Path:
    """A run of two models' predictions, judged twice."""
    directory = folder / "a" / run
    (directory / "predictions").mkdir(parents=True)
    files = {}
    for model in ("m", "other"):
        path = f"predictions/{model}.parquet"
        (directory / path).write_bytes(f"rows of {model} in {run}".encode() * 9)
        files[path] = digest_file(directory / path)
    value = 0.8 + len(run) / 100  # so that two runs have two reports
    named = record(measured(value, 0.9, value=0.9)).model_copy(update={"run": run, "files": files})
    save_attested(named, directory, key)
    for terms in (FAILS, PASSES):
        conclude(named, terms, directory)
    return directory


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two signed runs and an unsigned one, side by side, with their keys. Never to be changed."""
    folder = tmp_path_factory.mktemp("evidence")
    make_keys(folder / "key")
    make_keys(folder / "stranger")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(SIGNING, raising=False)
        made(folder / "unsigned", "run", None)
        patch.setenv(SIGNING, str(folder / "key"))
        made(folder / "signed", "run", signing_key())
        made(folder / "signed", "another", signing_key())
    return SimpleNamespace(folder=folder, key=folder / "key", public=folder / "key.pub")


@pytest.fixture
def signed(original: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of a signed run, with another one beside it."""
    shutil.copytree(original.folder / "signed", tmp_path / "runs", symlinks=True)
    return tmp_path / "runs/a/run"


@pytest.fixture
def unsigned(original: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of a run that nobody signed."""
    shutil.copytree(original.folder / "unsigned", tmp_path / "plain", symlinks=True)
    return tmp_path / "plain/a/run"


@pytest.fixture
def check(original: SimpleNamespace) -> Callable[[Path], Verified]:
    """Verification by the key that signed."""
    keys = checking_keys([str(original.public)])
    return lambda directory: verify(directory, keys)


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def judgements(directory: Path) -> list[Path]:
    return sorted((directory / "out").iterdir())


def told(found: Verified) -> list[str]:
    return [f"{one.kind} {one.path}" for one in found.findings]


# -- keys -------------------------------------------------------------------------------------


def test_a_pair_is_made_once_and_the_private_half_is_its_owners(tmp_path: Path) -> None:
    done = command("keygen", tmp_path / "keys/k")
    assert done.exit_code == 0
    assert (tmp_path / "keys/k").stat().st_mode & 0o777 == 0o600
    signer, [public] = signing_key(tmp_path / "keys/k"), checking_keys([str(tmp_path / "keys/k.pub")])
    assert signer is not None
    assert signer.public.keyid == public.keyid
    assert public.keyid in done.output
    before = (tmp_path / "keys/k").read_bytes()
    again = command("keygen", tmp_path / "keys/k")
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    (tmp_path / "keys/k").unlink()
    assert command("keygen", tmp_path / "keys/k").exit_code == 2  # the public half alone is not overwritten either
    assert before != b""


def test_two_who_make_one_key_at_once_dont_overwrite_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_keys(tmp_path / "k")
    kept = (tmp_path / "k").read_bytes()
    monkeypatch.setattr("os.path.lexists", lambda path: False)  # as the other one saw it a moment before
    with pytest.raises(ConfigError, match="can't be written"):
        make_keys(tmp_path / "k")
    assert (tmp_path / "k").read_bytes() == kept


def test_a_key_comes_from_a_file_or_the_environment(original: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = checking_keys([str(original.public)])[0].keyid
    for value in (str(original.key), original.key.read_text()):
        monkeypatch.setenv(SIGNING, value)
        key = signing_key()
        assert key is not None
        assert key.public.keyid == expected
    monkeypatch.delenv(SIGNING)
    assert signing_key() is None
    for value in (str(original.public), original.public.read_text()):
        monkeypatch.setenv(CHECKING, value)
        assert [key.keyid for key in checking_keys()] == [expected]


def test_an_encrypted_key_needs_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "correct horse")
    make_keys(tmp_path / "k")
    assert "ENCRYPTED" in (tmp_path / "k").read_text()
    assert signing_key(tmp_path / "k") is not None
    monkeypatch.setenv(PASSWORD, "battery staple")
    with pytest.raises(ConfigError, match="doesn't open it") as wrong:
        signing_key(tmp_path / "k")
    assert "staple" not in str(wrong.value)
    monkeypatch.delenv(PASSWORD)
    with pytest.raises(ConfigError, match=f"encrypted; set {PASSWORD}"):
        signing_key(tmp_path / "k")


def test_a_password_that_isnt_needed_does_no_harm(original: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "for another key")
    assert signing_key(original.key) is not None


def other_kinds(tmp_path: Path) -> dict[str, Path]:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1())
    write_atomic(tmp_path / "ec", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_atomic(tmp_path / "ec.pub", key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    write_atomic(tmp_path / "noise", b"not a key")
    write_atomic(tmp_path / "broken", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    write_atomic(tmp_path / "broken.pub", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    write_atomic(tmp_path / "large", b"x" * 70_000)
    return {path.name: path for path in tmp_path.iterdir()}


def test_what_is_no_signing_key_is_refused(original: SimpleNamespace, tmp_path: Path) -> None:
    files = other_kinds(tmp_path)
    for path, message in (
        (tmp_path / "none", "can't be read"),
        (tmp_path, "can't be read"),
        (files["ec"], "expected an Ed25519 key"),
        (files["noise"], "expected a PKCS8 PEM"),
        (files["broken"], "expected a PKCS8 PEM"),
        (files["large"], "more than 65536 bytes"),
    ):
        with pytest.raises(ConfigError, match=message):
            signing_key(path)
    shutil.copy(original.public, tmp_path / "public")
    (tmp_path / "public").chmod(0o600)
    with pytest.raises(ConfigError, match="expected a private key, found a public one"):
        signing_key(tmp_path / "public")


def test_a_private_key_that_others_can_read_is_refused(original: SimpleNamespace, tmp_path: Path) -> None:
    shutil.copy(original.key, tmp_path / "key")
    for mode in (0o640, 0o604, 0o620):
        (tmp_path / "key").chmod(mode)
        with pytest.raises(ConfigError, match=f"run: chmod 600 {tmp_path / 'key'}"):
            signing_key(tmp_path / "key")


def test_what_is_no_public_key_is_refused(original: SimpleNamespace, tmp_path: Path, signed: Path) -> None:
    files = other_kinds(tmp_path / "keys") if (tmp_path / "keys").mkdir() is None else {}
    for path, message in (
        (tmp_path / "none", "can't be read"),
        (files["ec.pub"], "expected an Ed25519 key"),
        (files["noise"], "expected a public key in PEM"),
        (files["broken.pub"], "not a public key in PEM"),
        (original.key, "needs the public one: FILE.pub"),
    ):
        done = command("verify", signed, "--key", path)
        assert (done.exit_code, message in done.stderr) == (2, True), done.stderr


def test_no_secret_is_shown(original: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "".join(original.key.read_text().splitlines()[1:-1])
    key = signing_key(original.key)
    assert key is not None
    assert key.public.keyid in repr(key)
    with pytest.raises(TypeError, match="not copied"):
        pickle.dumps(key)
    monkeypatch.setenv(SIGNING, body)  # without its PEM lines, where a path would be expected
    with pytest.raises(ConfigError, match="expected the path of a key file, or a PEM; found neither") as error:
        signing_key()
    assert body not in str(error.value)
    assert body not in repr(key)
    monkeypatch.setenv(SIGNING, f"-----BEGIN PRIVATE KEY-----\n{body[:30]}\n-----END PRIVATE KEY-----")
    with pytest.raises(ConfigError, match="expected a PKCS8 PEM") as error:
        signing_key()
    assert body[:30] not in str(error.value)


# -- what is attested -------------------------------------------------------------------------


def payload(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
    return found


def test_the_attestation_speaks_of_every_immutable_file(signed: Path) -> None:
    said, kept = payload(signed / ATTESTATION), load_record(signed)
    assert {one["name"]: one["digest"]["sha256"] for one in said["subject"]} == {
        name: hashlib.sha256((signed / name).read_bytes()).hexdigest() for name in (RECORD, *kept.files)
    }
    assert said["predicateType"] == AUDIT
    predicate = said["predicate"]
    assert (predicate["audit"], predicate["run"], predicate["candidate"]) == ("a", "run", "m")
    assert predicate["record"] == kept.digest()
    assert predicate["data"]["digest"] == kept.data.digest
    assert predicate["lineage"] == kept.lineage.model_dump(mode="json")
    assert predicate["models"] == [{"name": "m", "kind": "k", "digest": None}]


def test_a_manifest_speaks_of_every_file_of_its_judgement(signed: Path) -> None:
    verdicts = set()
    for folder in judgements(signed):
        said = payload(folder / MANIFEST)
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert {one["name"] for one in said["subject"]} == files - {MANIFEST}
        assert said["predicateType"] == JUDGEMENT
        predicate = said["predicate"]
        assert predicate["record"] == load_record(signed).digest()
        assert predicate["policy"] == {"name": "p", "version": "1", "digest": digest_file(folder / "policy.json")}
        assert predicate["inputs"]["language"] == "en"
        assert predicate["judgement"] == folder.name
        verdicts.add((predicate["verdict"], predicate["exitCode"]))
    assert verdicts == {("pass", 0), ("fail", 1)}


def test_the_names_are_those_of_record_and_policy() -> None:
    """Verifying needs neither of these packages, so it has constants of its own."""
    assert checking.SCHEMA == records.SCHEMA
    assert statement.RECORD == records.RECORD
    assert dict(statement.EXIT_CODES) == {str(status): code for status, code in policies.EXIT_CODES.items()}
    assert statement.POLICY in PASSES.files()


def test_a_second_record_leaves_the_first_ones_attestation(signed: Path, check: Callable[[Path], Verified]) -> None:
    other = load_record(signed).model_copy(update={"title": "another"})
    with pytest.raises(RecordError, match="a record is written once"):
        save_attested(other, signed, None)
    assert check(signed).exit_code == 0


# -- other tools ------------------------------------------------------------------------------


def test_securesystemslib_reads_and_verifies_it(signed: Path, original: SimpleNamespace) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    envelope = Envelope.from_dict(json.loads((signed / ATTESTATION).read_bytes()))
    key = SSlibKey.from_crypto(load_pem_public_key(original.public.read_bytes()))
    assert list(envelope.verify([key], 1)) == [key.keyid]
    envelope.payload = envelope.payload.replace(b'"run"', b'"ran"')
    with pytest.raises(VerificationError):
        envelope.verify([key], 1)


def test_in_toto_reads_the_statements(signed: Path) -> None:
    """By its protobuf schema, which knows no field but those of Statement v1."""
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    for path in (signed / ATTESTATION, *signed.glob(f"out/*/{MANIFEST}")):
        message = statement_pb2.Statement()
        json_format.ParseDict(payload(path), message)
        Statement.copy_from_pb(message).validate()
        assert {subject.name for subject in message.subject} >= {RECORD if path.parent == signed else "verdict.json"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_the_signature(signed: Path, original: SimpleNamespace, tmp_path: Path) -> None:
    """DSSE by its specification, written out here, and a program that shares no code with ours."""
    envelope = json.loads((signed / ATTESTATION).read_bytes())
    body = base64.b64decode(envelope["payload"], validate=True)
    assert envelope["payloadType"] == PAYLOAD_TYPE == "application/vnd.in-toto+json"
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"], validate=True))
    arguments = ["-verify", "-pubin", "-inkey", str(original.public), "-rawin", "-sigfile", str(tmp_path / "signature")]
    for content, expected in ((body, 0), (body.replace(b"run", b"ran"), 1)):
        (tmp_path / "pae").write_bytes(b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(content), content))
        openssl = ["openssl", "pkeyutl", *arguments, "-in", str(tmp_path / "pae")]
        done = subprocess.run(openssl, check=False, capture_output=True)
        assert done.returncode == expected, done.stderr


@pytest.mark.parametrize("tool", ["python", "shell"])
def test_the_page_tells_how_to_check_with_other_tools(signed: Path, original: SimpleNamespace, tool: str) -> None:
    shutil.copy(original.public, signed / "audit.pub")
    page = (Path(__file__).parent.parent / "docs/evidence.md").read_text("utf-8").partition("## With other tools")[2]
    if tool == "shell":
        [code] = re.findall(r"alone:\n\n```\n(.*?)```", page, re.DOTALL)
        arguments = ["bash", "-euc", "set -o pipefail\n" + code]
        missing = [name for name in ("bash", "jq", "openssl") if shutil.which(name) is None]
        if missing:
            pytest.skip(f"not installed: {missing}")
    else:
        [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        arguments = [sys.executable, "-c", code]
    for content, works in ((None, True), (b"other rows", False)):
        if content is not None and tool == "shell":
            (signed / "predictions/m.parquet").write_bytes(content)
        elif content is not None:
            shutil.copy(original.folder / "stranger.pub", signed / "audit.pub")
        done = subprocess.run(arguments, cwd=signed, check=False, capture_output=True)
        assert (done.returncode == 0) == works, done.stderr


# -- verifying --------------------------------------------------------------------------------


def test_a_signed_run_verifies(signed: Path, original: SimpleNamespace, check: Callable[[Path], Verified]) -> None:
    found = check(signed)
    assert (found.findings, found.notes, found.run, found.exit_code) == ((), (), "a/run", 0)
    assert len(found.signers) == 3
    done = command("verify", signed, "--key", original.public)
    assert done.exit_code == 0
    assert "verified: every file is as it was signed" in done.output


def test_verifying_needs_nothing_of_the_runs_environment(signed: Path, original: SimpleNamespace) -> None:
    """Not numpy, not torch, not even pydantic, from a folder that knows nothing of this project's."""
    code = (
        "import sys; from governance.cli import main\n"
        f"try: main(['verify', {str(signed)!r}, '--key', {str(original.public)!r}])\n"
        "except SystemExit as done: print('exit', done.code)\n"
        "heavy = {'numpy', 'torch', 'pydantic', 'pyarrow', 'transformers', 'sklearn', 'yaml'} & set(sys.modules)\n"
        "print('heavy', sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=signed.parent,
        env={"PYTHONPATH": str(Path(__file__).parent.parent), "PATH": os.environ["PATH"]},
    )
    assert "exit 0" in done.stdout
    assert "heavy []" in done.stdout


def test_an_unsigned_run_is_told_to_prove_nothing(unsigned: Path, original: SimpleNamespace) -> None:
    for arguments in ((), ("--key", original.public)):
        done = command("verify", unsigned, *arguments)
        assert done.exit_code == 3
        assert "not signed: anybody could have made these digests" in done.output


def test_without_a_key_a_signature_proves_nothing(signed: Path) -> None:
    done = command("verify", signed)
    assert done.exit_code == 3
    assert "signatures not checked: no key was given" in done.output


def test_a_wrong_key_is_told(signed: Path, original: SimpleNamespace) -> None:
    done = command("verify", signed, "--key", original.folder / "stranger.pub")
    assert done.exit_code == 1
    assert f"signature: {ATTESTATION}: signed by another key than you gave" in done.output


def test_any_of_several_keys_will_do(signed: Path, original: SimpleNamespace, tmp_path: Path) -> None:
    stranger = original.folder / "stranger.pub"
    assert command("verify", signed, "--key", stranger, "--key", original.public).exit_code == 0
    (tmp_path / "both.pub").write_text(stranger.read_text() + original.public.read_text())
    assert command("verify", signed, "--key", tmp_path / "both.pub").exit_code == 0


def test_every_signature_must_be_by_a_known_key(
    signed: Path, original: SimpleNamespace, check: Callable[[Path], Verified]
) -> None:
    """A second one, by anybody, would be bytes that nobody vouches for."""
    stranger = signing_key(original.folder / "stranger")
    assert stranger is not None
    opened = open_envelope((signed / ATTESTATION).read_bytes())
    opened.envelope.sign(stranger.signer)
    (signed / ATTESTATION).write_bytes(canonical(opened.envelope.to_dict()) + b"\n")
    assert told(check(signed)) == [f"signature {ATTESTATION}"]
    both = checking_keys([str(original.public), str(original.folder / "stranger.pub")])
    assert verify(signed, both).exit_code == 0


def test_a_run_in_another_folder_is_noted(signed: Path, check: Callable[[Path], Verified]) -> None:
    signed.rename(signed.with_name("elsewhere"))
    found = check(signed.with_name("elsewhere"))
    assert (found.exit_code, found.notes) == (0, ("the folder is called elsewhere, but holds run run",))


def test_a_copy_without_links_verifies(signed: Path, tmp_path: Path, check: Callable[[Path], Verified]) -> None:
    """What a CI system keeps of a run has a folder where the link was."""
    copy = tmp_path / "copy/run"
    shutil.copytree(signed, copy, symlinks=False)
    assert (copy / "latest").is_dir()
    assert not (copy / "latest").is_symlink()
    assert check(copy).exit_code == 0
    (copy / "latest/summary.md").write_bytes(b"all is well")
    assert told(check(copy)) == ["changed latest/summary.md"]


@pytest.mark.parametrize("path", ["nowhere", "file", "empty"])
def test_what_is_no_run_is_told(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    done = command("verify", tmp_path / path)
    assert done.exit_code == 2
    assert "run directory" in done.stderr


# -- a single byte ----------------------------------------------------------------------------


def flipped(directory: Path, place: int, mask: int) -> tuple[Path, bytes]:
    """Change one byte, counted over all files; what it was is given back."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    files = [path for path in files if path.relative_to(directory).parts[0] != "latest"]
    place %= sum(path.stat().st_size for path in files)
    for path in files:
        content = path.read_bytes()
        if place < len(content):
            path.write_bytes(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
            return path, content
        place -= len(content)
    raise AssertionError("no such byte")


@pytest.fixture(scope="module")
def shared(original: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed run for tests that undo what they do."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(original.folder / "signed", folder / "runs", symlinks=True)
    return folder / "runs/a/run"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_no_changed_byte_is_missed(shared: Path, check: Callable[[Path], Verified], place: int, mask: int) -> None:
    path, content = flipped(shared, place, mask)
    try:
        found = check(shared)
        name = path.relative_to(shared).as_posix()
        assert found.exit_code == 1
        assert any(one.path in (name, str(Path(name).parent)) for one in found.findings)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["signed", "unsigned"])
@pytest.mark.parametrize("mask", [1, 0x20])
def test_every_part_of_an_envelope_counts(
    kind: str, mask: int, request: pytest.FixtureRequest, original: SimpleNamespace
) -> None:
    """Spaces, padding of base64, letters' case, ids of keys: also where there is no signature to break."""
    directory: Path = request.getfixturevalue(kind)
    keys = checking_keys([str(original.public)]) if kind == "signed" else []
    envelopes = [directory / ATTESTATION, judgements(directory)[0] / MANIFEST]
    missed = []
    for path in envelopes:
        content = path.read_bytes()
        for place in [*range(0, len(content), 13), *range(len(content) - 40, len(content))]:
            path.write_bytes(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
            try:
                if verify(directory, keys).exit_code != 1:
                    missed.append((path.name, place))
            except RecordError:  # "of a later version" is an answer, too
                pass
        path.write_bytes(content)
    assert missed == []
    assert verify(directory, keys).findings == ()


def respelt(change: Callable[[dict[str, Any]], Any], *, indent: int | None = None) -> Callable[[bytes], bytes]:
    def act(content: bytes) -> bytes:
        value = json.loads(content)
        change(value)
        return json.dumps(value, indent=indent, separators=None if indent else (",", ":")).encode() + b"\n"

    return act


@pytest.mark.parametrize(
    "respell",
    [
        lambda content: content + b"\n",
        lambda content: content[:-1],
        lambda content: content.replace(b'"payload":', b'"payload": '),
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b'"payload"', b'"payloa\\u0064"'),
        respelt(lambda value: value.update(note="added")),
        respelt(lambda value: value["signatures"][0].update(to="sorts last")),
        respelt(lambda value: value.update(payload=value["payload"].rstrip("=") + "\n")),
        respelt(lambda value: value["signatures"][0].update(keyid=value["signatures"][0]["keyid"].upper())),
        respelt(lambda value: value["signatures"].append(dict(value["signatures"][0]))),
        respelt(lambda value: None, indent=1),
        respelt(lambda value: value.update(signatures={})),
        respelt(lambda value: value.update(payload=7)),
        respelt(lambda value: value.clear()),
        lambda content: b"[" * 100_000,
        lambda content: b"null",
        lambda content: b"\xff",
        lambda content: b"",
    ],
)
def test_an_envelope_has_one_spelling(
    respell: Callable[[bytes], bytes], signed: Path, check: Callable[[Path], Verified]
) -> None:
    for path in (signed / ATTESTATION, judgements(signed)[0] / MANIFEST):
        content = path.read_bytes()
        assert respell(content) != content
        path.write_bytes(respell(content))
        assert check(signed).exit_code == 1
        path.write_bytes(content)


def test_a_statement_has_one_spelling(unsigned: Path) -> None:
    """Where there is no signature to break, spaces in the statement are a change, too."""
    path = unsigned / ATTESTATION
    envelope = json.loads(path.read_bytes())
    envelope["payload"] = base64.b64encode(json.dumps(payload(path), indent=1).encode()).decode()
    path.write_bytes(canonical(envelope) + b"\n")
    assert told(verify(unsigned)) == [f"changed {ATTESTATION}"]


# -- files ------------------------------------------------------------------------------------


def exchange(one: Path, other: Path) -> None:
    kept = one.with_name("kept")
    one.rename(kept)
    other.rename(one)
    kept.rename(other)


def test_a_changed_file_is_named(signed: Path, check: Callable[[Path], Verified]) -> None:
    (signed / "predictions/m.parquet").write_bytes(b"better rows")
    [finding] = check(signed).findings
    assert str(finding).startswith("changed: predictions/m.parquet: expected sha256:")


def test_added_files_are_named(signed: Path, check: Callable[[Path], Verified]) -> None:
    [one, _] = judgements(signed)
    added = ["notes.txt", "predictions/x.parquet", "out/loose", f"out/{one.name}/card/x.md", ".hidden", "x.dsse.json"]
    added += [f"out/{one.name}/card/{MANIFEST}", f"predictions/{ATTESTATION}"]
    for path in added:
        (signed / path).write_bytes(b"")
    assert sorted(told(check(signed))) == sorted(f"added {path}" for path in added)


def test_removed_files_are_named(signed: Path, check: Callable[[Path], Verified]) -> None:
    [one, other] = judgements(signed)
    removed = ["predictions/m.parquet", f"out/{one.name}/report.html", f"out/{other.name}/{MANIFEST}"]
    for path in removed:
        (signed / path).unlink()
    assert sorted(told(check(signed))) == sorted(f"removed {path}" for path in removed)
    (signed / RECORD).unlink()
    assert f"removed {RECORD}" in told(check(signed))


def test_a_missing_attestation_is_named(signed: Path, check: Callable[[Path], Verified]) -> None:
    (signed / ATTESTATION).unlink()
    assert told(check(signed)) == [f"removed {ATTESTATION}"]


def test_a_whole_judgement_may_go(signed: Path, check: Callable[[Path], Verified]) -> None:
    """Judgements are separate: which ones were made is the audit trail's to tell."""
    [gone] = [folder for folder in judgements(signed) if folder.name != (signed / "latest").readlink().name]
    shutil.rmtree(gone)
    assert check(signed).exit_code == 0


def test_renamed_files_are_named(signed: Path, check: Callable[[Path], Verified]) -> None:
    (signed / "predictions/m.parquet").rename(signed / "predictions/better.parquet")
    [finding] = check(signed).findings
    assert str(finding) == "renamed: predictions/m.parquet: is now called predictions/better.parquet"


def test_a_renamed_judgement_is_named(signed: Path, check: Callable[[Path], Verified]) -> None:
    [one, other] = judgements(signed)
    exchange(one, other)
    assert sorted(told(check(signed))) == [f"renamed out/{one.name}", f"renamed out/{other.name}"]


def test_files_exchanged_within_a_run_are_named(signed: Path, check: Callable[[Path], Verified]) -> None:
    exchange(signed / "predictions/m.parquet", signed / "predictions/other.parquet")
    assert [str(finding) for finding in check(signed).findings] == [
        "swapped: predictions/m.parquet: it is the content of predictions/other.parquet",
        "swapped: predictions/other.parquet: it is the content of predictions/m.parquet",
    ]


def test_a_verdict_of_the_other_judgement_is_named(signed: Path, check: Callable[[Path], Verified]) -> None:
    """The kinder policy's verdict in the folder of the stricter one."""
    [one, other] = judgements(signed)
    shutil.copy(one / "verdict.json", other / "verdict.json")
    [finding] = check(signed).findings
    assert str(finding) == f"swapped: out/{other.name}/verdict.json: it is the content of out/{one.name}/verdict.json"


def test_files_of_another_run_are_named(signed: Path, check: Callable[[Path], Verified]) -> None:
    another = signed.with_name("another")
    for path in ("predictions/m.parquet", ATTESTATION, RECORD):
        kept = (signed / path).read_bytes()
        shutil.copy(another / path, signed / path)
        [finding] = check(signed).findings
        assert (finding.kind, finding.path) == ("swapped", path)
        assert "of run" in finding.detail
        assert "another" in finding.detail
        (signed / path).write_bytes(kept)
    assert check(signed).exit_code == 0


def test_a_judgement_of_another_run_is_named(signed: Path, check: Callable[[Path], Verified]) -> None:
    [one, _], [other, _] = judgements(signed), judgements(signed.with_name("another"))
    kept = (one / MANIFEST).read_bytes()
    shutil.copy(other / MANIFEST, one / MANIFEST)
    [finding] = check(signed).findings
    assert str(finding) == f"swapped: out/{one.name}/{MANIFEST}: made for run a/another"
    (one / MANIFEST).write_bytes(kept)
    shutil.copytree(other, signed / "out" / other.name)
    [finding] = check(signed).findings
    assert str(finding) == f"swapped: out/{other.name}: made for run a/another"


def test_another_runs_files_all_together_are_that_run(signed: Path, check: Callable[[Path], Verified]) -> None:
    """Only the folder's name is left to tell, and that is said."""
    another = signed.with_name("another")
    shutil.rmtree(signed)
    shutil.copytree(another, signed, symlinks=True)
    found = check(signed)
    assert (found.run, found.notes) == ("a/another", ("the folder is called run, but holds run another",))


def test_a_manifest_is_no_attestation(tmp_path: Path, signed: Path, check: Callable[[Path], Verified]) -> None:
    """A judgement's files, signed and whole, laid out as if they were a run."""
    shutil.copytree(judgements(signed)[0], tmp_path / "run")
    (tmp_path / "run" / MANIFEST).rename(tmp_path / "run" / ATTESTATION)
    found = check(tmp_path / "run")
    assert (found.exit_code, f"changed {ATTESTATION}" in told(found)) == (1, True)


def links(signed: Path) -> dict[str, Callable[[], object]]:
    [one, _] = judgements(signed)
    outside = signed.parent / "outside"
    outside.mkdir()

    def latest(target: str) -> None:
        (signed / "latest").unlink()
        (signed / "latest").symlink_to(target)

    def replaced() -> None:
        (signed / "predictions/m.parquet").rename(outside / "m.parquet")
        (signed / "predictions/m.parquet").symlink_to(outside / "m.parquet")

    return {
        "latest": lambda: latest("../outside"),
        "latest ": lambda: latest(str(outside)),
        "latest  ": lambda: latest("out/gone"),
        "latest   ": lambda: latest("out/.."),
        "latest    ": lambda: latest("predictions"),
        "latest     ": lambda: latest(f"out/{one.name}/card"),
        "latest      ": lambda: latest("out"),
        "extra": lambda: (signed / "extra").symlink_to("record.json"),
        "out/extra": lambda: (signed / "out/extra").symlink_to(one.name),
        "predictions/m.parquet": replaced,
        "empty": (signed / "empty").mkdir,
        "out/empty": (signed / "out/empty").mkdir,
        "pipe": lambda: os.mkfifo(signed / "pipe"),
    }


@pytest.mark.parametrize("what", range(13))
def test_links_folders_and_devices_have_no_place(what: int, signed: Path, check: Callable[[Path], Verified]) -> None:
    path, act = list(links(signed).items())[what]
    act()
    assert f"added {path.strip()}" in told(check(signed))


def test_names_are_fit_to_be_printed(signed: Path) -> None:
    (signed / "a\x1b[2Jb").write_bytes(b"")
    os.close(os.open(os.fsencode(signed) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    for arguments in ((), ("--json",)):
        done = command("verify", signed, *arguments)
        assert done.exit_code == 1
        assert "\x1b" not in done.output
        assert "\\x1b[2J" in done.output
        assert "\\udcff" in done.output


def test_findings_are_json_too(signed: Path, original: SimpleNamespace) -> None:
    (signed / "notes.txt").write_bytes(b"")
    done = command("verify", signed, "--key", original.public, "--json")
    said = json.loads(done.output)
    assert (done.exit_code, said["exit_code"], said["run"]) == (1, 1, "a/run")
    assert said["findings"] == [{"kind": "added", "path": "notes.txt", "detail": "nothing attests it"}]
    assert len(said["envelopes"]) == 3


# -- records that can't be read ---------------------------------------------------------------


def reattested(directory: Path, key: SigningKey | None, change: Callable[[str], str]) -> None:
    """Whoever holds the key attests a record that was changed, with digests to match."""
    text = change((directory / RECORD).read_text())
    (directory / RECORD).write_text(text)
    said = payload(directory / ATTESTATION)
    for subject in said["subject"]:
        if subject["name"] == RECORD:
            subject["digest"]["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (directory / ATTESTATION).write_bytes(seal(said, key))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"schema_version": 1', '"schema_version": 2', "expected schema_version 1, found 2"),
        ('"value": 0.9', '"value": NaN', "NaN"),
        ('"lineage"', '"lineages"', "lacks a part that every record has"),
    ],
)
def test_a_record_that_this_version_cant_read_is_no_verified_one(
    old: str, new: str, message: str, signed: Path, original: SimpleNamespace
) -> None:
    kept = (signed / RECORD).read_text()
    assert old in kept
    (signed / RECORD).write_text(kept.replace(old, new))
    done = command("verify", signed, "--key", original.public)
    assert (done.exit_code, f"changed: {RECORD}" in done.output) == (1, True)
    done = command("gate", signed)
    assert (done.exit_code, f"not as it was attested: changed: {RECORD}" in done.stderr) == (2, True)
    (signed / RECORD).write_text(kept)
    reattested(signed, signing_key(original.key), lambda text: text.replace(old, new))
    done = command("verify", signed, "--key", original.public)
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr
    assert command("gate", signed).exit_code == 2


def test_a_statement_of_a_later_version_is_told(signed: Path, original: SimpleNamespace) -> None:
    said = payload(signed / ATTESTATION)
    later = said | {"predicateType": AUDIT.replace(":v1", ":v2")}
    (signed / ATTESTATION).write_bytes(seal(later, signing_key(original.key)))
    done = command("verify", signed, "--key", original.public)
    assert done.exit_code == 2
    assert "use a matching steelyard" in done.stderr


def test_an_attestation_says_what_the_record_says(
    signed: Path, original: SimpleNamespace, check: Callable[[Path], Verified]
) -> None:
    said = payload(signed / ATTESTATION)
    said["predicate"]["data"]["digest"] = "sha256:1"
    (signed / ATTESTATION).write_bytes(seal(said, signing_key(original.key)))
    assert told(check(signed)) == [f"changed {ATTESTATION}"]


def test_an_attestation_speaks_of_the_files_that_the_record_names(unsigned: Path) -> None:
    """Other predictions, with an attestation to match: the record has digests of its own."""
    path = unsigned / "predictions/m.parquet"
    path.write_bytes(b"better rows")
    said = payload(unsigned / ATTESTATION)
    for subject in said["subject"]:
        subject["digest"]["sha256"] = digest_file(unsigned / subject["name"]).removeprefix("sha256:")
    (unsigned / ATTESTATION).write_bytes(seal(said, None))
    assert told(verify(unsigned)) == [f"changed {ATTESTATION}"]


def test_a_manifest_says_what_the_verdict_says(
    signed: Path, original: SimpleNamespace, check: Callable[[Path], Verified]
) -> None:
    for folder in judgements(signed):
        said = payload(folder / MANIFEST)
        said["predicate"].update(verdict="pass", exitCode=0, models={"m": "pass"})
        (folder / MANIFEST).write_bytes(seal(said, signing_key(original.key)))
    [finding] = check(signed).findings
    assert "says something else than verdict.json" in str(finding)


# -- gate and report --------------------------------------------------------------------------


def test_renderers_refuse_what_is_not_as_it_was_attested(signed: Path) -> None:
    text = (signed / RECORD).read_text()
    (signed / RECORD).write_text(text.replace('"title": "t"', '"title": "T"'))
    for arguments in (("gate", signed), ("report", signed)):
        done = command(*arguments)
        assert (done.exit_code, "not as it was attested" in done.stderr) == (2, True)
    (signed / RECORD).write_text(text)
    assert command("gate", signed).exit_code == 0


def test_a_policy_that_was_changed_judges_nothing(signed: Path) -> None:
    """`gate` without a policy takes that of the last judgement."""
    path = signed / "latest/policy.json"
    path.write_text(path.read_text().replace("0.7", "0.1"))
    done = command("gate", signed)
    assert (done.exit_code, "policy.json" in done.stderr) == (2, True)


def test_a_report_that_was_changed_is_not_shown(signed: Path) -> None:
    for folder in judgements(signed):
        (folder / "report.html").write_bytes(b"all is well")
    done = command("report", signed)
    assert (done.exit_code, "report.html" in done.stderr) == (2, True)


def test_a_judgement_that_was_changed_is_not_taken_for_one_that_was_made(signed: Path) -> None:
    """The same terms lead to the same folder, whose reports would be shown again."""
    [older] = [folder for folder in judgements(signed) if folder.name != (signed / "latest").readlink().name]
    (older / "report.html").write_bytes(b"all is well")
    with pytest.raises(RecordError, match=f"report.html.*delete out/{older.name}/ to have it made again"):
        conclude(load_record(signed), FAILS, signed)
    shutil.rmtree(older)
    assert conclude(load_record(signed), FAILS, signed).out == older


def test_a_latest_that_leads_elsewhere_is_not_followed(signed: Path, tmp_path: Path) -> None:
    shutil.copytree(signed / "latest", tmp_path / "mine")
    (signed / "latest").unlink()
    (signed / "latest").symlink_to(tmp_path / "mine")
    done = command("gate", signed)
    assert (done.exit_code, "points somewhere else" in done.stderr) == (2, True)


def test_with_a_key_a_gate_wants_signatures(
    signed: Path, unsigned: Path, original: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("gate", unsigned).exit_code == 0
    monkeypatch.setenv(CHECKING, str(original.public))
    assert command("gate", signed).exit_code == 0
    done = command("gate", unsigned)
    assert (done.exit_code, "is not signed" in done.stderr) == (2, True)
    monkeypatch.setenv(CHECKING, str(original.folder / "stranger.pub"))
    done = command("gate", signed)
    assert (done.exit_code, "signed by another key" in done.stderr) == (2, True)
    (signed / ATTESTATION).unlink()
    done = command("gate", signed)
    assert (done.exit_code, "nothing is signed by the key" in done.stderr) == (2, True)


def test_a_run_from_before_attestations_is_still_judged(signed: Path) -> None:
    (signed / ATTESTATION).unlink()
    shutil.rmtree(signed / "out")
    (signed / "latest").unlink()
    assert command("gate", signed, "--policy", "launch").exit_code == 3


# -- the key comes later ----------------------------------------------------------------------


def test_a_run_is_signed_later(unsigned: Path, original: SimpleNamespace) -> None:
    done = command("attest", unsigned, "--key", original.key)
    assert (done.exit_code, done.output.count("signed by")) == (0, 3)
    assert command("verify", unsigned, "--key", original.public).exit_code == 0
    assert "nothing to sign" in command("attest", unsigned, "--key", original.key).output


def test_only_a_run_that_agrees_is_signed(unsigned: Path, original: SimpleNamespace) -> None:
    (unsigned / "predictions/m.parquet").write_bytes(b"better rows")
    done = command("attest", unsigned, "--key", original.key)
    assert (done.exit_code, "not signed: changed: predictions/m.parquet" in done.stderr) == (2, True)
    assert not open_envelope((unsigned / ATTESTATION).read_bytes()).signed


def test_what_was_never_attested_is_not_signed(unsigned: Path, original: SimpleNamespace) -> None:
    """Else whoever removes an attestation could change the record and have it signed anew."""
    (unsigned / ATTESTATION).unlink()
    done = command("attest", unsigned, "--key", original.key)
    assert (done.exit_code, f"removed: {ATTESTATION}" in done.stderr) == (2, True)


def test_nobody_signs_beside_a_stranger(
    signed: Path, original: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SIGNING, raising=False)
    conclude(load_record(signed), PASSES, signed, language="zh")  # by somebody without a key
    stranger = signing_key(original.folder / "stranger")
    assert stranger is not None
    with pytest.raises(RecordError, match="signed by another key"):
        sign_run(signed, stranger)
    monkeypatch.setenv(CHECKING, str(original.public))
    assert len(sign_run(signed, stranger)) == 1
    both = ("--key", original.public, "--key", original.folder / "stranger.pub")
    assert command("verify", signed, *both).exit_code == 0


def test_a_judgement_without_a_signature_is_not_verified(
    signed: Path, original: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SIGNING, raising=False)
    out = conclude(load_record(signed), PASSES, signed, language="zh").out
    done = command("verify", signed, "--key", original.public)
    assert (done.exit_code, f"out/{out.name}/{MANIFEST} not signed" in done.output) == (3, True)


def test_attesting_needs_a_key(unsigned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SIGNING, raising=False)
    done = command("attest", unsigned)
    assert (done.exit_code, "no key to sign with" in done.stderr) == (2, True)


# -- made again -------------------------------------------------------------------------------


def test_deep_makes_verdicts_and_reports_again(signed: Path, original: SimpleNamespace) -> None:
    done = command("verify", signed, "--key", original.public, "--deep")
    assert done.exit_code == 0
    for folder in judgements(signed):
        assert f"made again: verdict of out/{folder.name}" in done.output
        assert f"made again: out/{folder.name}/report.html" in done.output
    assert "not made again: digest of the data" in done.output


def test_deep_finds_a_verdict_that_doesnt_follow(unsigned: Path) -> None:
    """Without a signature, somebody may write another verdict and a manifest that fits it."""
    [failed] = [one for one in judgements(unsigned) if payload(one / MANIFEST)["predicate"]["verdict"] == "fail"]
    verdict = failed / "verdict.json"
    verdict.write_text(verdict.read_text().replace('"fail"', '"pass"'))
    said = payload(failed / MANIFEST)
    for subject in said["subject"]:
        subject["digest"]["sha256"] = hashlib.sha256((failed / subject["name"]).read_bytes()).hexdigest()
    said["predicate"].update(verdict="pass", exitCode=0, models={"m": "pass"})
    (failed / MANIFEST).write_bytes(seal(said, None))
    assert command("verify", unsigned).exit_code == 3
    done = command("verify", unsigned, "--deep")
    assert done.exit_code == 1
    assert f"changed: out/{failed.name}/verdict.json: verdict of out/{failed.name}: comes out otherwise" in done.output


def test_deep_finds_terms_that_were_exchanged(unsigned: Path) -> None:
    """Another policy with the same outcome, and a manifest that fits it, in the folder of the first one."""
    folder = judgements(unsigned)[0]
    file = folder / "policy.json"
    changed = json.loads(file.read_bytes())
    changed["title"] = {"en": "another"}
    file.write_text(json.dumps(changed))
    said = payload(folder / MANIFEST)
    for subject in said["subject"]:
        subject["digest"]["sha256"] = digest_file(folder / subject["name"]).removeprefix("sha256:")
    said["predicate"]["policy"]["digest"] = digest_file(file)
    (folder / MANIFEST).write_bytes(seal(said, None))
    assert command("verify", unsigned).exit_code == 3
    done = command("verify", unsigned, "--deep")
    assert done.exit_code == 1
    assert f"terms of out/{folder.name}: comes out otherwise" in done.output


def test_deep_finds_a_record_that_reads_as_another(unsigned: Path) -> None:
    """By other code: this version would write 100 where it has 100.0, and verdicts would name another digest."""
    shutil.rmtree(unsigned / "out")
    (unsigned / "latest").unlink()
    text = (unsigned / RECORD).read_text()
    (unsigned / RECORD).write_text(text.replace('"n": 100', '"n": 100.0'))
    raw = json.loads((unsigned / RECORD).read_bytes())
    files = {name: digest_file(unsigned / name).removeprefix("sha256:") for name in (RECORD, *raw["files"])}
    (unsigned / ATTESTATION).write_bytes(seal(statement.audit_statement(raw, files), None))
    assert command("verify", unsigned).exit_code == 3
    done = command("verify", unsigned, "--deep")
    assert (done.exit_code, "the record's own digest: comes out otherwise" in done.output) == (1, True)


def test_deep_says_what_it_leaves_to_other_versions(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.recompute.code_digest", lambda *names: "of another version")
    done = command("verify", signed, "--deep")
    assert f"not made again: reports of out/{judgements(signed)[0].name}: made by another version" in done.output
    assert "made again: verdict of" in done.output


def test_deep_waits_until_digests_agree(signed: Path) -> None:
    (signed / "notes.txt").write_bytes(b"")
    assert "nothing was made again: first mend what differs" in command("verify", signed, "--deep").output


def test_data_and_weights_are_for_deep(signed: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("--data", tmp_path), "are for --deep"),
        (("--model", "m=x"), "are for --deep"),
        (("--deep", "--data", tmp_path / "none"), "no such file or folder"),
        (("--deep", "--model", "m"), "expected NAME=PATH"),
        (("--deep", "--model", "n=x"), "the record holds no such model"),
        (("--deep", "--model", "m=x"), "no digest of its weights"),
    ):
        done = command("verify", signed, *arguments)
        assert (done.exit_code, message in done.stderr) == (2, True), done.stderr


def test_an_audit_signs_what_it_writes(
    tmp_path: Path, original: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a config to evidence that verifies, down to the data."""
    monkeypatch.setenv(SIGNING, str(original.key))
    data = decisions(tmp_path, 400)
    assert command("audit", config(tmp_path), "--out", tmp_path / "runs", "--exit-zero", "--quiet").exit_code == 0
    [run] = [path.parent for path in (tmp_path / "runs").rglob(RECORD)]
    arguments = ("verify", run, "--key", original.public, "--deep", "--data")
    done = command(*arguments, data)
    assert done.exit_code == 0, done.output
    assert "made again: digest of the data" in done.output
    (tmp_path / "changed.parquet").write_bytes(data.read_bytes() + b" ")
    assert command(*arguments, tmp_path / "changed.parquet").exit_code == 1


def test_an_audit_with_a_bad_key_stops_before_it_starts(
    tmp_path: Path, original: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions(tmp_path, 400)
    monkeypatch.setenv(SIGNING, str(original.public))
    done = command("audit", config(tmp_path), "--out", tmp_path / "runs")
    assert (done.exit_code, SIGNING in done.stderr) == (2, True)
    assert not list(tmp_path.rglob(RECORD))


def with_weights(folder: Path, digest: str) -> Path:
    [entry] = record().models
    kept: RunRecord = record(measured(0.8, 0.9)).model_copy(
        update={"models": (entry.model_copy(update={"digest": digest}),)}
    )
    (folder / "a/r").mkdir(parents=True)
    save_attested(kept, folder / "a/r", None)
    return folder / "a/r"


def test_deep_recomputes_the_digest_of_weights(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"weights")
    run = with_weights(tmp_path, digest_file(weights / "model.safetensors"))
    assert (
        "made again: digest of the weights of m" in command("verify", run, "--deep", "--model", f"m={weights}").output
    )
    (weights / "model.safetensors").write_bytes(b"other weights")
    assert command("verify", run, "--deep", "--model", f"m={weights}").exit_code == 1


@pytest.mark.slow
def test_deep_recomputes_the_digest_of_a_linear_model_from_its_numbers(tmp_path: Path) -> None:
    import numpy as np

    from governance.dataset import Labels, ScrubbedDataset, SyntheticText
    from governance.training.tfidf import DIGEST, WEIGHTS, train

    texts = tuple(SyntheticText(text) for text in ("good fine", "bad poor", "fine good", "poor bad"))
    rows = ScrubbedDataset(
        rows=np.arange(4), texts=texts, labels=("1", "0", "1", "0"), groups={}, clusters=np.arange(4), units=None
    )
    for name, strength in (("own", 1.0), ("other", 0.5)):
        train(rows, Labels(("0", "1"), "1"), tmp_path / name, max_features=10, regularisation=strength,
              language="en", seed=0)  # fmt: skip
    run = with_weights(tmp_path, (tmp_path / "own" / DIGEST).read_text())
    for name, expected in (("own", 3), ("other", 1)):
        for path in (tmp_path / name, tmp_path / name / WEIGHTS):
            assert command("verify", run, "--deep", "--model", f"m={path}").exit_code == expected
