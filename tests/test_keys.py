"""Keys: read from outside, refused when weak, never shown; subkeys and sealed bytes that belong to one tenant."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import ConfigError, ScrubError
from governance.keys import Key, open_sealed, seal

SECRET = hashlib.sha256(b"the tests' own").digest()
KEY = Key(SECRET)
OTHER = Key(hashlib.sha256(b"another").digest())
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def _expand(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 for 32 bytes without salt, straight from RFC 5869."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_a_subkey_is_hkdf_of_purpose_and_tenant_with_their_lengths() -> None:
    info = b"steelyard 1" + b"\x00\x00\x00\x04hash" + b"\x00\x00\x00\x06" + "店铺".encode()
    assert KEY.derive("hash", "店铺") == _expand(SECRET, info)


@given(st.tuples(texts, texts), st.tuples(texts, texts))
def test_two_purposes_or_tenants_never_share_a_subkey(one: tuple[str, str], two: tuple[str, str]) -> None:
    assert (KEY.derive(*one) == KEY.derive(*two)) == (one == two)


@given(st.binary(max_size=200), texts, st.binary(max_size=40))
def test_what_is_encrypted_can_be_decrypted(plaintext: bytes, tenant: str, context: bytes) -> None:
    sealed = KEY.encrypt(plaintext, purpose="vault", tenant=tenant, context=context)
    assert len(sealed) == len(plaintext) + 28
    assert KEY.decrypt(sealed, purpose="vault", tenant=tenant, context=context) == plaintext


@given(st.binary(max_size=60), st.integers(0, 10_000))
def test_an_altered_byte_is_noticed_and_the_message_names_the_key_not_the_data(plaintext: bytes, place: int) -> None:
    sealed = bytearray(KEY.encrypt(plaintext, purpose="vault", tenant="a", context=b"1"))
    sealed[place % len(sealed)] ^= 1
    with pytest.raises(ScrubError, match=f"identity {KEY.identity('a')}"):
        KEY.decrypt(bytes(sealed), purpose="vault", tenant="a", context=b"1")


@pytest.mark.parametrize(
    ("key", "purpose", "tenant", "context"),
    [(OTHER, "vault", "a", b"1"), (KEY, "hash", "a", b"1"), (KEY, "vault", "乙", b"1"), (KEY, "vault", "a", b"2")],
)
def test_another_key_purpose_tenant_or_context_opens_nothing(
    key: Key, purpose: str, tenant: str, context: bytes
) -> None:
    sealed = KEY.encrypt(b"4111", purpose="vault", tenant="a", context=b"1")
    with pytest.raises(ScrubError, match="use the key that it was written with"):
        key.decrypt(sealed, purpose=purpose, tenant=tenant, context=context)


def test_a_nonce_is_never_used_twice() -> None:
    sealed = {KEY.encrypt(b"same", purpose="vault", tenant="a", context=b"") for _ in range(2000)}
    assert len({blob[:12] for blob in sealed}) == 2000


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(27)])
def test_fewer_bytes_than_nonce_and_tag_open_nothing(sealed: bytes) -> None:
    assert open_sealed(SECRET, sealed, b"") is None


def test_the_cipher_is_aes_256_gcm() -> None:
    """Test case 14 of McGrew and Viega's GCM paper: an all-zero key, nonce and block."""
    expected = "cea7403d4d606b6e074ec5d3baf39d18" + "d0d1c8a799996bf0265b98b5d48ab919"
    assert seal(bytes(32), bytes(12), bytes(16), b"").hex() == bytes(12).hex() + expected


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper() + "\n",
        base64.b64encode(SECRET).decode(),
        base64.b64encode(SECRET).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET).decode(),
    ],
)
def test_hex_and_base64_spell_the_same_key(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", text)
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(0o600)
    keys = [Key.from_text(text), Key.from_env("SHOP_KEY"), Key.from_file(file)]
    assert {key.identity("a") for key in keys} == {KEY.identity("a")}


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        (SECRET[:31], "found 31"),
        (b"k" * 32, "pattern or a phrase"),
        (SECRET[:16] * 2, "pattern or a phrase"),
        (SECRET[:20] + SECRET[:20], "pattern or a phrase"),
        (bytes(range(32)), "pattern or a phrase"),
        (bytes(range(64, 0, -2)), "pattern or a phrase"),
        (b"Correct-Horse-Battery-Staple-2026", "pattern or a phrase"),
        (bytes([0, 255, 3]) * 11 + b"7", "pattern or a phrase"),
    ],
)
def test_a_weak_key_is_refused_with_the_way_to_make_one(secret: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=rf"{says}.*secrets\.token_hex\(32\)"):
        Key(secret)


@pytest.mark.parametrize(
    "text", ["correcthorsebatterystaplecorrecthorsebatteryst", "密" * 40, SECRET.hex()[:-1] + "g", "a b c d " * 8]
)
def test_what_is_neither_hex_nor_base64_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match="hex or base64") as caught:
        Key.from_text(text)
    assert text not in str(caught.value) and caught.value.__context__ is None


@given(st.binary(min_size=32, max_size=64).map(lambda seed: hashlib.sha512(seed).digest()))
def test_no_random_key_is_refused(secret: bytes) -> None:
    Key(secret)
    Key(secret[:32])
    Key.from_text(base64.b64encode(secret[:32]).decode())


def test_a_missing_variable_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_KEY", raising=False)
    with pytest.raises(ConfigError, match="environment variable SHOP_KEY: expected a key, found nothing; make one"):
        Key.from_env("SHOP_KEY")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET.hex())
    file.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        Key.from_file(file)


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"key file .*nowhere: can't be read \(No such file or directory\)"):
        Key.from_file(tmp_path / "nowhere")


def test_nothing_shows_the_secret() -> None:
    shown = [repr(KEY), str(KEY), f"{KEY}", repr([KEY])]
    assert all(text in ("Key(hidden)", "[Key(hidden)]") for text in shown)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled or copied"):
            leak(KEY)
    assert SECRET.hex() not in KEY.identity("a") and KEY.identity("a") != KEY.identity("b") != OTHER.identity("b")
