"""The Ray engine against the real Ray: same results, nothing listening beyond loopback, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from governance import engine

pytestmark = pytest.mark.slow
SECONDS = 400  # a loaded machine takes 20 s to start Ray; a hung one must not hold up the suite

SCRIPT = """
import functools, json, psutil, sys
from governance.engine import map_batches
from governance.errors import BackendError, MissingExtra, ScrubError
TOTAL = functools.partial(functools.partial, sum)

def addresses():
    me = psutil.Process()
    mine = [me, *me.children(recursive=True)]
    mine += [p for p in psutil.process_iter() if p.name() in ("raylet", "gcs_server") and p.ppid() == me.pid]
    return {c.laddr.ip for p in mine for c in p.net_connections(kind="inet") if c.status == "LISTEN"}

try:
    results = map_batches(([n] * 3 for n in range(40)), TOTAL, engine="ray", workers=2)
    first = next(results)
except (BackendError, MissingExtra) as error:
    print(json.dumps({"skip": str(error)}))
    sys.exit()
listening = sorted(addresses())
same = [first, *results] == [3 * n for n in range(40)]
try:
    list(map_batches([["secret"], [1]], TOTAL, engine="ray", workers=1))
    failure = ""
except ScrubError as error:
    failure = str(error)
left = [p.name() for p in psutil.Process().children(recursive=True)]
print(json.dumps({"listening": listening, "same": same, "failure": failure, "left": left}))
"""


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # The temporary folder must have a short path: Ray puts sockets into it.
    environment = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parents[1]), "TMPDIR": str(folder)}
    try:
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"Ray took longer than {SECONDS} s on this machine")


def test_ray_gives_what_a_loop_gives_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        done = run("-c", SCRIPT, folder=Path(folder))
        left = list(Path(folder).iterdir())
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    if "skip" in told:
        pytest.skip(told["skip"])
    assert told["same"]
    assert {address.removeprefix("::ffff:") for address in told["listening"]} == {"127.0.0.1"}
    assert told["failure"] == "a scrubbing function failed (TypeError); nothing was passed on"
    assert "secret" not in done.stderr
    assert told["left"] == []
    assert left == []


def test_command_writes_the_same_bytes_on_ray(tmp_path: Path) -> None:
    lines = [json.dumps({"n": n, "text": f"{n} me{n}@x.org 手机13800138000"}) + "\n" for n in range(1200)]
    (tmp_path / "in.jsonl").write_text("".join(lines), encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        for name in ("local", "ray"):
            words = ["scrub", str(tmp_path / "in.jsonl"), str(tmp_path / f"{name}.jsonl"), "--policy", "patterns"]
            done = run("-m", "governance", *words, "--engine", name, "--workers", "2", folder=Path(folder))
            if "Ray does not start" in done.stderr:
                pytest.skip(done.stderr)
            assert done.returncode == 0, done.stderr
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    assert b"@x.org" not in (tmp_path / "ray.jsonl").read_bytes()
