from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from governance.backends import gguf
from governance.backends.environment import child_environment
from governance.backends.launch import Command, Server, launch, transformers_serve
from governance.errors import BackendError, MissingExtra

# Ignores SIGTERM and has a child of its own: the worst guest.
DUMMY = """
import http.server, os, pathlib, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[2]).write_text(f"{os.getpid()} {child.pid}")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

AUDIT = """
import os, sys, time
from pathlib import Path
from governance.backends.launch import Command, launch
server = launch(Command(tuple(sys.argv[1:4]) + ("{port}", sys.argv[4]), Path.cwd()))
if sys.argv[5] == "fork" and os.fork() == 0:
    time.sleep(600)
print(server.supervisor_pid, server.log.parent, flush=True)
time.sleep(600)
"""


def _dummy(tmp_path: Path) -> Command:
    return Command((sys.executable, "-c", DUMMY, "{port}", str(tmp_path / "pids")), tmp_path)


def _pids(tmp_path: Path) -> list[int]:
    return [int(pid) for pid in (tmp_path / "pids").read_text().split()]


def _wait_gone(*pids: int, timeout: float = 30) -> list[int]:
    """Those of the processes that are still there after a while; zombies don't count."""
    deadline = time.monotonic() + timeout
    left = list(pids)
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [pid for pid in left if psutil.pid_exists(pid) and _status(pid) != psutil.STATUS_ZOMBIE]
    return left


def _status(pid: int) -> str:
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE


def _get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.slow
def test_a_server_is_up_inside_the_block_and_gone_with_its_children_after_it(tmp_path: Path) -> None:
    with launch(_dummy(tmp_path)) as server:
        assert _get(server.port, "/health") == 200
        assert server.alive()
        assert server.base_url == f"http://127.0.0.1:{server.port}/v1"
        assert server.log.stat().st_mode & 0o077 == 0
        pids = _pids(tmp_path)
    assert _wait_gone(server.supervisor_pid, *pids, timeout=1) == []
    assert not server.log.parent.exists()
    assert not server.alive()
    server.close()


@pytest.mark.slow
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("mode", ["plain", "fork"])
def test_no_server_outlives_an_audit_that_is_killed(tmp_path: Path, death: signal.Signals, mode: str) -> None:
    """In "fork" mode a worker of the audit lives on, with every descriptor that it inherited."""
    dummy = [sys.executable, "-c", DUMMY, str(tmp_path / "pids"), mode]
    with subprocess.Popen(
        [sys.executable, "-c", AUDIT, *dummy], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0
    ) as audit:
        assert audit.stdout is not None
        supervisor, scratch = audit.stdout.readline().decode().split()
        pids = [int(supervisor), *_pids(tmp_path)]
        try:
            audit.send_signal(death)
            audit.wait()
            assert _wait_gone(*pids) == []
            assert not Path(scratch).exists()
        finally:
            os.killpg(audit.pid, signal.SIGKILL) if mode == "fork" else None


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent-death signal is Linux's")
def test_the_server_dies_with_its_supervisor_and_the_audit_notices(tmp_path: Path) -> None:
    with launch(_dummy(tmp_path)) as server:
        pid, child = _pids(tmp_path)
        os.kill(server.supervisor_pid, signal.SIGKILL)
        assert _wait_gone(pid) == []
        assert not server.alive()
    assert _wait_gone(child) == []


def test_an_early_death_is_reported_with_the_end_of_the_log(tmp_path: Path) -> None:
    script = "import sys; print('x' * 5000); sys.exit('no such model: 模型')"
    with pytest.raises(
        BackendError, match=r"exit code 1 before it was ready; its log ends:(?s:.*)no such model: 模型"
    ) as e:
        launch([sys.executable, "-c", script])
    assert len(str(e.value)) < 2_200


def test_a_program_that_does_not_exist_is_reported() -> None:
    with pytest.raises(BackendError, match=r"ended with exit code 1 before it was ready(?s:.*)no-such-program"):
        launch(["/no-such-program"])


@pytest.mark.slow
def test_a_server_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    path = str(tmp_path / "pid")
    script = f"import os, pathlib, time; pathlib.Path({path!r}).write_text(str(os.getpid())); time.sleep(600)"
    with pytest.raises(BackendError, match=r"not ready within 1 s; its log is empty"):
        Server(Command((sys.executable, "-c", script), tmp_path), timeout=1)
    assert _wait_gone(int((tmp_path / "pid").read_text()), timeout=5) == []


def test_a_child_gets_no_secrets_and_no_way_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "HTTPS_PROXY", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"):
        monkeypatch.setenv(name, "secret")
    environment = child_environment(home=tmp_path / "home", threads=1)
    assert "secret" not in environment.values()
    assert environment["HF_HUB_OFFLINE"] == environment["HF_HUB_DISABLE_UPDATE_CHECK"] == "1"
    assert environment["DO_NOT_TRACK"] == environment["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert (tmp_path / "home" / "hub").is_dir()


def test_a_folder_without_a_model_or_with_a_misleading_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"config\.json"):
        transformers_serve(tmp_path)
    for name in ("a@b", "a:b.gguf"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        with pytest.raises(BackendError, match="rename the folder"):
            transformers_serve(tmp_path / name)


def test_a_missing_server_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"fastapi: pip install 'steelyard\[serve\]'"):
        transformers_serve(tmp_path)


def test_no_path_of_this_machine_reaches_the_server_s_requests(tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    model.mkdir()
    (model / "config.json").write_text("{}")
    command = transformers_serve(model)
    assert command.served_model == "tiny"
    assert command.folder == tmp_path
    assert not any(str(tmp_path) in argument for argument in command.arguments)


def test_a_gguf_file_that_is_none_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no such file"):
        gguf.convert(tmp_path / "none.gguf", tmp_path / "out")
    with pytest.raises(ValueError, match="expected one of bfloat16, float32, got int3"):
        gguf.convert(tmp_path / "none.gguf", tmp_path / "out", dtype="int3")


@pytest.mark.slow
def test_a_damaged_gguf_file_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(BackendError, match=r"bad\.gguf: can't be converted: "):
        gguf.convert(tmp_path / "bad.gguf", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.gguf"]
