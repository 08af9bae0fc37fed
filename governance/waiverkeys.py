"""Signatures of waivers: whose keys count, and how an approver's signature gets into a file that people keep.

Keys come from files or the environment, never from a config: who may approve is not for the audited to say.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from governance.configfile import StrictLoader
from governance.errors import ConfigError
from governance.evidence.signing import SigningKey, checking_keys
from governance.files import write_atomic
from governance.policy.reading import load_waivers
from governance.policy.waivers import Key, Waiver
from governance.registry import nearest

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

KEYS = "STEELYARD_WAIVER_KEYS"


def waiver_keys(files: Sequence[Path] = ()) -> tuple[Key, ...]:
    """The public keys of those who may approve a waiver.

    Args:
        files: PEM files. None given: those that `STEELYARD_WAIVER_KEYS` names, as `PATH` does.

    Raises:
        ConfigError: one can't be read, or is no Ed25519 public key.
    """
    sources = [str(file) for file in files] or [path for path in os.environ.get(KEYS, "").split(os.pathsep) if path]
    return tuple(_key(key) for key in checking_keys(sources)) if sources else ()


def _key(key: SSlibKey) -> Key:
    from securesystemslib.exceptions import UnverifiedSignatureError
    from securesystemslib.signer import Signature

    def fits(signature: bytes, data: bytes) -> bool:
        try:
            key.verify_signature(Signature(key.keyid, signature.hex()), data)
        except UnverifiedSignatureError:
            return False
        return True

    return fits


def sign_waiver(path: Path, name: str, key: SigningKey) -> Waiver:
    """Sign one waiver of a file; nothing else in the file changes, comments included.

    Args:
        path: of the file.
        name: the waiver's id.
        key: the approver's.

    Returns:
        The waiver as it now stands.

    Raises:
        ConfigError: no such waiver, or the file is written in a way that it can't be put into.
    """
    waivers = {waiver.id: waiver for waiver in load_waivers(path)}
    if name not in waivers:
        raise ConfigError(f"{path}: no waiver '{name}'. {nearest(name, waivers)}")
    signature = key.signer.sign(waivers[name].signed_bytes()).signature
    wanted = waivers | {name: waivers[name].model_copy(update={"signature": signature})}
    _replace(path.resolve(), name, signature, wanted)
    return wanted[name]


def _replace(path: Path, name: str, signature: str, wanted: Mapping[str, Waiver]) -> None:
    """Write the file with a signature in it, if it then says exactly what is wanted."""
    before = path.read_bytes()
    text = before.decode("utf-8-sig")
    after = before[: len(before) - len(text.encode())] + _with(text, name, signature).encode()  # a mark of UTF-8 stays
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(after)
        if {waiver.id: waiver for waiver in load_waivers(copy)} != wanted:
            raise ConfigError(
                f"{path}: waiver '{name}' can't be edited; write into it yourself: signature: {signature}"
            )
    mode = path.stat().st_mode & 0o777
    write_atomic(path, after)
    path.chmod(mode)  # the file is in a team's repository: it stays readable for them


def _with(text: str, name: str, signature: str) -> str:
    """The text with `signature` in that waiver: in place of the old one, or after its id."""
    root = yaml.compose(text, Loader=StrictLoader)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 - `load_waivers` has read it
    entries = next(value for key, value in root.value if key.value == "waivers")
    entry = next(one for one in entries.value if any(k.value == "id" and v.value == name for k, v in one.value))
    pairs = {key.value: (key, value) for key, value in entry.value}
    if "signature" in pairs:
        old = pairs["signature"][1]
        return text[: old.start_mark.index] + f'"{signature}"' + text[old.end_mark.index :]
    key, value = pairs["id"]
    quote = key.style or ""
    line = f'{quote}signature{quote}: "{signature}"'
    if entry.flow_style:
        at, new = value.end_mark.index, f", {line}"
    else:
        end = text.find("\n", value.end_mark.index)
        at = len(text) if end < 0 else end + 1
        newline = "\r\n" if text[:at].endswith("\r\n") else "\n"
        new = f"{'' if end >= 0 else newline}{' ' * key.start_mark.column}{line}{newline}"
    return text[:at] + new + text[at:]
