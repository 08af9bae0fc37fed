"""Sigstore bundles around a run's statements, made by the real client at a service of our own."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.errors import BackendError, ConfigError, RecordError
from governance.evidence.attest import save_attested
from governance.evidence.keyless import TOKEN, read_bundles, sign_keyless
from governance.evidence.signing import checking_keys
from governance.evidence.statement import ATTESTATION
from governance.files import digest_file
from governance.record import RECORD
from tests.fakesigstore import ISSUER, FakeSigstore, serving, token
from tests.test_evidence import command
from tests.test_policy import measured, record

WHO = "auditor@example.com"


@pytest.fixture(scope="module")
def service() -> Iterator[FakeSigstore]:
    with serving() as fake:
        yield fake


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sigstore keeps what it knows of roots in the user's folders."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv(TOKEN, token(WHO))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = tmp_path / "a/r"
    (directory / "predictions").mkdir(parents=True)
    (directory / "predictions/m.parquet").write_bytes(b"rows")
    files = {"predictions/m.parquet": digest_file(directory / "predictions/m.parquet")}
    save_attested(record(measured(0.8, 0.9)).model_copy(update={"files": files}), directory, None)
    return directory


@pytest.fixture
def config(service: FakeSigstore, tmp_path: Path) -> Path:
    return service.config(tmp_path / "trust.json")


def test_a_bundle_vouches_for_what_nobody_signed(run: Path, config: Path, tmp_path: Path) -> None:
    done = command("attest", run, "--sigstore", tmp_path / "bundles", "--trust-config", config)
    assert done.exit_code == 0, done.stderr
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["attestation.sigstore.json"]
    assert command("verify", run).exit_code == 3
    arguments = ("verify", run, "--sigstore", tmp_path / "bundles", "--issuer", ISSUER, "--trust-config", config)
    done = command(*arguments, "--identity", WHO)
    assert done.exit_code == 0, done.output
    assert f"{ATTESTATION}: signed by {WHO} ({ISSUER})" in done.output
    done = command(*arguments, "--identity", "somebody@example.com")
    assert done.exit_code == 1
    assert "signature: attestation.sigstore.json: not a bundle by somebody@example.com that verifies" in done.output
    (run / "predictions/m.parquet").write_bytes(b"other rows")
    assert command(*arguments, "--identity", WHO).exit_code == 1


def test_the_bundle_holds_our_statement(run: Path, config: Path, tmp_path: Path) -> None:
    [bundle] = sign_keyless(run, tmp_path / "bundles", config=config)
    envelope = json.loads((run / ATTESTATION).read_bytes())
    assert json.loads(bundle.read_bytes())["dsseEnvelope"]["payload"] == envelope["payload"]


def test_a_bundle_of_another_statement_vouches_for_nothing_here(run: Path, config: Path, tmp_path: Path) -> None:
    other = tmp_path / "b/r"
    other.mkdir(parents=True)
    save_attested(record(measured(0.7, 0.9)), other, None)
    sign_keyless(other, tmp_path / "bundles", config=config)
    done = command("verify", run, "--sigstore", tmp_path / "bundles", "--identity", WHO, "--issuer", ISSUER,
                   "--trust-config", config)  # fmt: skip
    assert done.exit_code == 3


def test_a_changed_bundle_is_refused(run: Path, config: Path, tmp_path: Path) -> None:
    [bundle] = sign_keyless(run, tmp_path / "bundles", config=config)
    whole = json.loads(bundle.read_bytes())
    vouched, wrong = read_bundles(tmp_path / "bundles", identity=WHO, issuer=ISSUER, config=config)
    assert (list(vouched.values()), wrong) == ([f"{WHO} ({ISSUER})"], [])
    for place in ("payload", "payloadType", "sig"):
        changed = json.loads(json.dumps(whole))
        envelope = changed["dsseEnvelope"]
        if place == "sig":
            envelope["signatures"][0]["sig"] = base64.b64encode(b"0" * 70).decode()
        else:
            envelope[place] = envelope[place][::-1]
        bundle.write_text(json.dumps(changed))
        vouched, wrong = read_bundles(tmp_path / "bundles", identity=WHO, issuer=ISSUER, config=config)
        assert (dict(vouched), len(wrong)) == ({}, 1)
    for content in (b"", b"{}", b"[" * 100_000, b"\xff"):
        bundle.write_bytes(content)
        assert len(read_bundles(tmp_path / "bundles", identity=WHO, issuer=ISSUER, config=config)[1]) == 1


def test_a_bundle_around_something_else_vouches_for_nothing(
    run: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_keyless(run, tmp_path / "bundles", config=config)
    monkeypatch.setattr("governance.evidence.keyless.PAYLOAD_TYPE", "application/another")
    assert read_bundles(tmp_path / "bundles", identity=WHO, issuer=ISSUER, config=config) == ({}, [])


def test_another_issuer_or_service_is_not_trusted(run: Path, config: Path, tmp_path: Path) -> None:
    sign_keyless(run, tmp_path / "bundles", config=config)
    assert read_bundles(tmp_path / "bundles", identity=WHO, issuer=ISSUER, config=config)[0]
    with serving() as other:
        elsewhere = other.config(tmp_path / "other.json")
    for issuer, service in ((ISSUER + "/x", config), (ISSUER, elsewhere), (ISSUER, None)):  # None: the public one
        vouched, wrong = read_bundles(tmp_path / "bundles", identity=WHO, issuer=issuer, config=service)
        assert (dict(vouched), len(wrong)) == ({}, 1)


def test_only_a_run_that_agrees_is_signed(run: Path, config: Path, tmp_path: Path) -> None:
    (run / RECORD).write_bytes(b"{}")
    with pytest.raises(RecordError, match=r"not signed: changed: record.json"):
        sign_keyless(run, tmp_path / "bundles", config=config)


def test_mistakes_are_told(run: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="expected a folder outside"):
        sign_keyless(run, run / "bundles", config=config)
    with pytest.raises(ConfigError, match="found none"):
        read_bundles(tmp_path / "none", identity=WHO, issuer=ISSUER, config=config)
    (tmp_path / "bad.json").write_text("{}")
    shutil.copy(config, tmp_path / "x.sigstore.json")
    for bad, message in ((tmp_path / "no.json", "can't be read"), (tmp_path / "bad.json", "not a sigstore client")):
        with pytest.raises(ConfigError, match=message):
            read_bundles(tmp_path, identity=WHO, issuer=ISSUER, config=bad)
        with pytest.raises(ConfigError, match=message):
            sign_keyless(run, tmp_path / "bundles", config=bad)
    with serving() as gone:
        stopped = gone.config(tmp_path / "gone.json")
    with pytest.raises(BackendError, match="could not sign: ConnectionError; is the service reachable"):
        sign_keyless(run, tmp_path / "bundles", config=stopped)
    monkeypatch.setenv(TOKEN, "secret.that.isnt")
    with pytest.raises(ConfigError, match="not an identity token") as error:
        sign_keyless(run, tmp_path / "bundles", config=config)
    assert "secret" not in str(error.value)
    monkeypatch.delenv(TOKEN)
    with pytest.raises(ConfigError, match="needs to know who signs"):
        sign_keyless(run, tmp_path / "bundles", config=config)


def test_a_missing_sigstore_names_its_extra(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sigstore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sigstore", None)
    done = command("attest", run, "--sigstore", tmp_path / "bundles")
    assert (done.exit_code, "pip install 'steelyard[sigstore]'" in done.stderr) == (2, True)


def test_options_belong_together(run: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("--identity", WHO), "are for --sigstore"),
        (("--sigstore", tmp_path), "expected --identity and --issuer"),
    ):
        done = command("verify", run, *arguments)
        assert (done.exit_code, message in done.stderr) == (2, True)


def test_a_key_and_a_bundle_may_stand_side_by_side(run: Path, config: Path, tmp_path: Path) -> None:
    assert command("keygen", tmp_path / "key").exit_code == 0
    assert command("attest", run, "--key", tmp_path / "key").exit_code == 0
    sign_keyless(run, tmp_path / "bundles", config=config)
    bundles = ("--sigstore", tmp_path / "bundles", "--identity", WHO, "--issuer", ISSUER, "--trust-config", config)
    assert command("verify", run, *bundles).exit_code == 0
    assert command("verify", run, *bundles, "--key", tmp_path / "key.pub").exit_code == 0
    assert len(checking_keys([str(tmp_path / "key.pub")])) == 1
