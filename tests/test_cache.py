from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from governance.backends.cache import AnswerCache, Reply, key
from governance.errors import BackendError

PARTS = {
    "endpoint": "http://h/v1",
    "model": "m",
    "prompt": "sha256:p",
    "settings": {"seed": 0},
    "system": "s",
    "message": "t",
}


def test_a_reply_survives_reopening(tmp_path: Path) -> None:
    reply = Reply(output="是", personal=2, seconds=0.25, tokens_in=9, tokens_out=1, model="m-1")
    with AnswerCache(tmp_path / "deep" / "answers.sqlite") as cache:
        assert cache.get("k") is None
        cache.put("k", reply)
    with AnswerCache(tmp_path / "deep" / "answers.sqlite") as cache:
        assert cache.get("k") == reply
        assert len(cache) == 1


def test_the_key_tells_apart_whatever_shapes_an_answer() -> None:
    def made(**change: object) -> str:
        return key(**(PARTS | change))  # type: ignore[arg-type]

    changes = [{name: "other"} for name in PARTS if name != "settings"] + [{"settings": {"seed": 1}}, {"settings": {}}]
    keys = [made(), *(made(**change) for change in changes)]
    # Parts must not run into each other.
    keys += [made(system="st", message=""), made(system="", message="st")]
    assert len(set(keys)) == len(keys)
    assert made() == made()
    assert made(settings={"a": 1, "b": 2}) == made(settings={"b": 2, "a": 1})


def test_the_file_is_its_owners_alone_and_holds_no_message(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with AnswerCache(path) as cache:
        cache.put(key(**(PARTS | {"message": "a very recognisable text"})), Reply(output="Yes"))  # type: ignore[arg-type]
        written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert path.stat().st_mode & 0o077 == 0
    assert b"recognisable" not in written
    assert b"Yes" in written


WRITER = """
import os, signal, sys
from pathlib import Path
from governance.backends.cache import AnswerCache, Reply
path, name, n, die = sys.argv[1:]
cache = AnswerCache(Path(path))
for i in range(int(n)):
    cache.put(f"{name}{i}", Reply(output=name))
if die == "die":
    os.kill(os.getpid(), signal.SIGKILL)
cache.close()
"""


def _write(path: Path, name: str, n: int, then: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(n), then])


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    writers = [_write(path, name, 50, "close") for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    with AnswerCache(path) as cache:
        assert len(cache) == 100
        assert cache.get("b49") == Reply(output="b")


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """SQLite doesn't wait by itself where two switch one file to its write-ahead mode."""
    for turn in range(20):
        together = threading.Barrier(8)

        def opened(path: Path = tmp_path / f"{turn}.sqlite", together: threading.Barrier = together) -> int:
            together.wait()
            with AnswerCache(path) as cache:
                return len(cache)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _: opened(), range(8))) == [0] * 8


def test_what_was_put_survives_being_killed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    assert _write(path, "kept", 5, "die").wait() == -signal.SIGKILL
    with AnswerCache(path) as cache:
        assert [cache.get(f"kept{i}") for i in range(5)] == [Reply(output="kept")] * 5


def test_a_damaged_file_is_named_and_not_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"not a database, but somebody's money" * 100)
    with pytest.raises(BackendError, match=r"answers\.sqlite: the answer cache can't be used .*delete it.*paid for"):
        AnswerCache(path)
    assert path.read_bytes().startswith(b"not a database")


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="can't be opened"):
        AnswerCache(tmp_path)


@pytest.mark.parametrize("value", ["", "{", '{"output": 3}', '{"output": "a", "evil": 1}', '{"seconds": -1}'])
def test_a_reply_that_cannot_be_read_is_a_miss_and_can_be_replaced(tmp_path: Path, value: str) -> None:
    path = tmp_path / "answers.sqlite"
    with AnswerCache(path) as cache:
        cache.put("k", Reply(output="Yes"))
        other = sqlite3.connect(path)
        with other:
            other.execute("UPDATE replies SET reply = ?", (value,))
        other.close()
        assert cache.get("k") is None
        cache.put("k", Reply(output="No"))
        assert cache.get("k") == Reply(output="No")
