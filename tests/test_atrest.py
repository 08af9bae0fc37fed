"""Texts at rest: encrypted where a key is given, readable with it alone, and never half of them."""

from __future__ import annotations

import secrets
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from governance import atrest, run_audit
from governance.atrest import FILE_VARIABLE, VARIABLE
from governance.backends.cache import AnswerCache, Reply
from governance.cli import main
from governance.errors import BackendError, ConfigError, RecordError
from governance.files import digest_file
from governance.keys import Key
from governance.record import load_record
from tests.fakeserver import Play, fake_server
from tests.tiny import write_config, write_reviews

KEY, OTHER = secrets.token_hex(32), secrets.token_hex(32)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (VARIABLE, FILE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)


def test_without_a_key_a_file_is_as_it_is_and_its_owners_alone(tmp_path: Path) -> None:
    assert atrest.keep(tmp_path / "f", b"text") == tmp_path / "f"
    assert (tmp_path / "f").read_bytes() == b"text"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert atrest.read(tmp_path / "f") == b"text"


@settings(max_examples=25, deadline=None)
@given(content=st.binary(max_size=200), piece=st.integers(1, 64))
def test_what_is_kept_comes_back(tmp_path_factory: pytest.TempPathFactory, content: bytes, piece: int) -> None:
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, KEY)
        patch.setattr(atrest, "PIECE", piece)
        hidden = atrest.keep(folder / "f", content)
        assert hidden == folder / "f.enc"
        assert [path.name for path in folder.iterdir()] == ["f.enc"]
        assert atrest.read(folder / "f") == atrest.read(hidden) == content


def test_nothing_of_it_is_in_the_clear_and_no_two_are_alike(tmp_path: Path, keyed: None) -> None:
    one, two = (atrest.keep(tmp_path / name / "f", b"a secret sentence" * 9) for name in ("a", "b"))
    assert b"secret" not in one.read_bytes()
    assert one.read_bytes() != two.read_bytes()


@pytest.mark.parametrize("change", ["flip", "cut", "cut a piece", "swap", "append", "rename", "header"])
def test_a_changed_one_is_refused(tmp_path: Path, keyed: None, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    monkeypatch.setattr(atrest, "PIECE", 16)
    path = atrest.keep(tmp_path / "f", bytes(range(48)))
    clear, _, rest = path.read_bytes().partition(b"\n")
    size = 16 + 28
    changed = {
        "flip": rest[:-1] + bytes([rest[-1] ^ 1]),
        "cut": rest[:-1],
        "cut a piece": rest[: 2 * size],
        "swap": rest[size : 2 * size] + rest[:size] + rest[2 * size :],
        "append": rest + rest[-size:],
    }
    path.write_bytes(clear + b"\n" + changed.get(change, rest))
    if change == "rename":
        path = path.rename(tmp_path / "g.enc")
    if change == "header":
        path.write_bytes(clear.replace(b'"version":1', b'"version":2') + b"\n" + rest)
    with pytest.raises(RecordError, match=r"cut off or renamed|not an encrypted file"):
        atrest.read(path)


def test_a_missing_key_and_another_one_are_told(tmp_path: Path, keyed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    path = atrest.keep(tmp_path / "f", b"text")
    monkeypatch.setenv(VARIABLE, OTHER)
    with pytest.raises(RecordError, match=r"encrypted under the key [0-9a-f]{16}, found the key"):
        atrest.read(path)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(RecordError, match=f"set {VARIABLE}, or {FILE_VARIABLE}"):
        atrest.read(path)


def test_a_key_comes_from_a_file_that_others_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    with pytest.raises(ConfigError, match="chmod 600"):
        atrest.record_key()
    file.chmod(0o600)
    sealed = atrest.keep(tmp_path / "f", b"text")
    monkeypatch.setenv(VARIABLE, KEY)
    with pytest.raises(ConfigError, match="expected one of them, found both"):
        atrest.read(sealed)
    monkeypatch.delenv(FILE_VARIABLE)
    assert atrest.read(sealed) == b"text"  # the same key, from elsewhere


def test_an_attempt_made_without_the_key_leaves_nothing_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atrest.keep(tmp_path / "f", b"first")
    monkeypatch.setenv(VARIABLE, KEY)
    atrest.keep(tmp_path / "f", b"second")
    assert [path.name for path in tmp_path.iterdir()] == ["f.enc"]


def test_the_answer_cache_is_encrypted_by_row(tmp_path: Path) -> None:
    secret, reply = Key.from_text(KEY), Reply(output="a private answer")
    with AnswerCache(tmp_path / "c") as cache:
        cache.put("old", reply)
    with AnswerCache(tmp_path / "c", secret=secret) as cache:
        cache.put("k", Reply(output="another private answer"))
        assert cache.get("old") == reply  # paid for before there was a key
        assert cache.get("k") == Reply(output="another private answer")
    assert b"another private" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for wrong in (None, Key.from_text(OTHER)):
        with AnswerCache(tmp_path / "c", secret=wrong) as cache, pytest.raises(BackendError, match=VARIABLE):
            cache.get("k")


def audit(folder: Path, url: str, out: str = "runs"):
    models = {
        "baseline": {"kind": "tfidf-logistic"},
        "closed": {"kind": "openai", "model": "fake", "prompt": "recommend.en.v1", "rows": 20, "base_url": url},
    }
    config = write_config(
        folder / "c.yaml", models=models, evaluators=[{"name": "quality", "draws": 200}, "explanation"]
    )
    return run_audit(config, out=folder / out)


def readable(folder: Path) -> str:
    """All that can be read without a key: Parquet files' strings, and every other file as it is."""
    said: list[str] = []
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            said += [value for row in table.to_pylist() for value in row.values() if isinstance(value, str)]
        elif path.is_file():
            said.append(path.read_bytes().decode("latin-1"))
    return "\n".join(said)


@pytest.mark.slow
def test_an_audit_with_a_key_leaves_no_text_in_the_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = write_reviews(tmp_path / "reviews.csv").read_text().splitlines()[1].partition(",")[0]
    with fake_server(lambda *_: Play("Yes.")) as fake:
        plain = audit(tmp_path, fake.url, "plain")
        monkeypatch.setenv(VARIABLE, KEY)
        asked = len(fake.messages)
        sealed = audit(tmp_path, fake.url, "sealed")
        assert len(fake.messages) == 2 * asked
        stages = {path.name for path in (tmp_path / "sealed/small/.stages").glob("*-*/*.enc")}
        assert stages == {"train.parquet.enc", "test.parquet.enc", "answers.parquet.enc"}
        for text in (said, "Yes."):  # what is looked for would be found
            assert text in readable(tmp_path / "plain")
            assert text not in readable(tmp_path / "sealed")
        assert set(sealed.record.files) >= {"predictions/baseline.parquet", "predictions/closed.parquet.enc"}
        assert [o.value for o in sealed.record.outcomes if o.metric == "quality.accuracy"] == [
            o.value for o in plain.record.outcomes if o.metric == "quality.accuracy"
        ]

        again = audit(tmp_path, fake.url, "sealed")  # stages are read back, nothing is asked
        assert again.record == sealed.record
        run_audit(tmp_path / "c.yaml", out=tmp_path / "sealed", again=True)
        assert len(fake.messages) == 2 * asked

        monkeypatch.delenv(VARIABLE)
        assert load_record(sealed.directory) == sealed.record  # digests need no key
        with pytest.raises(RecordError, match=f"set {VARIABLE}"):
            run_audit(tmp_path / "c.yaml", out=tmp_path / "sealed", again=True)

    file = sealed.directory / "predictions/closed.parquet.enc"
    refused = CliRunner().invoke(main, ["decrypt", str(file), str(tmp_path / "open.parquet")])
    assert (refused.exit_code, VARIABLE in refused.output) == (2, True)
    assert sealed.record.files["predictions/closed.parquet.enc"] == digest_file(file)
    monkeypatch.setenv(VARIABLE, KEY)
    assert CliRunner().invoke(main, ["decrypt", str(file), str(tmp_path / "open.parquet")]).exit_code == 0
    assert set(pq.read_table(tmp_path / "open.parquet")["output"].to_pylist()) == {"Yes."}
