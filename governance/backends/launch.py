"""Starts a server on loopback for as long as an audit lasts, and no longer.

The stand-in for a vendor is a real third-party server, so that the closed model is weighed through the very
code that talks to a vendor. `supervise` is what ends it when the audit is killed.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from governance.backends import supervise
from governance.backends.environment import child_environment
from governance.errors import BackendError, MissingExtra

LOOPBACK = "127.0.0.1"
_TAIL = 2_000  # characters of a server's log that an error shows
_LINUX: bool = sys.platform.startswith("linux")
_lifelines: weakref.WeakSet[_Lifeline] = weakref.WeakSet()


class _Lifeline:
    """The pipe whose write end only the audit holds."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()  # neither is inherited by programs that the audit starts (PEP 446)
        self.owner = os.getpid()
        _lifelines.add(self)

    def cut(self) -> None:
        """Close the write end: the supervisor takes it as the end of the audit."""
        write, self.write = self.write, -1
        if write >= 0:
            os.close(write)


def _forget_in_child() -> None:
    # A forked worker (a process pool's) inherits descriptors; one that held the write end would hide the audit's death.
    for lifeline in list(_lifelines):
        lifeline.cut()


os.register_at_fork(after_in_child=_forget_in_child)


@dataclass(frozen=True)
class Command:
    """How to start a server.

    Attributes:
        arguments: program and arguments; `{port}` stands for the port.
        folder: working directory.
        threads: processor threads that it may use.
        environment: variables on top of the bare environment that a child gets.
        health: path that answers 200 once the server is ready.
        served_model: what a client must call the model.
    """

    arguments: tuple[str, ...]
    folder: Path
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    health: str = "/health"
    served_model: str = ""


def transformers_serve(model_dir: Path, *, dtype: str = "auto", threads: int = 1) -> Command:
    """`transformers serve`: a real OpenAI-compatible server by a third party, on a local model folder.

    The server runs beside the folder and calls the model by the folder's name, so that no path of this
    machine gets into requests, answers or records.

    Args:
        model_dir: a Hugging Face folder whose tokenizer has a chat template.
        dtype: "auto" (as saved), "float32" or "bfloat16".
        threads: processor threads. More than one is slower where others use the machine too: SmolLM2-135M on
            two shared cores took 0.3 s per review with one thread and 5 s with two, which wait for each other.

    Raises:
        BackendError: not a model folder, or a name that the server would misread.
        MissingExtra: the server isn't installed.
    """
    folder = model_dir.absolute()
    if not (folder / "config.json").is_file():
        raise BackendError(f"{model_dir}: expected a model folder with a config.json, found none")
    if set("@:") & set(folder.name):
        raise BackendError(f"{model_dir}: '@' and ':' mean something else to the server; rename the folder")
    for module in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(f"serving a local model needs {module}: pip install 'steelyard[serve]'")
    # -P: the working directory is a user's; nothing in it may pose as a library.
    program = (sys.executable, "-P", "-m", "transformers.cli.transformers", "serve", folder.name)
    options = ("--host", LOOPBACK, "--port", "{port}", "--device", "cpu", "--dtype", dtype, "--default-seed", "0")
    return Command((*program, *options), folder.parent, threads=threads, served_model=folder.name)


class Server:
    """A running server; ends with `close()`, with the `with` block, or with the audit, whichever comes first."""

    def __init__(self, command: Command, *, timeout: float = 180) -> None:
        """Start a server and wait until it is healthy.

        Args:
            command: what to start.
            timeout: seconds to become healthy.

        Raises:
            BackendError: it ended early or took too long; the message holds the end of its log,
                written before any request was sent.
        """
        self._scratch = Path(tempfile.mkdtemp(prefix="steelyard-serve-"))
        self.log = self._scratch / "server.log"
        self._reserved, self.port = _reserve()
        self.served_model = command.served_model
        self._lifeline = _Lifeline()
        try:
            self._supervisor = self._start(command)
        except OSError as error:
            self._lifeline.cut()
            self._reserved.close()
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise BackendError(f"the server's supervisor can't be started: {error.strerror}") from None
        finally:
            os.close(self._lifeline.read)
        try:
            self._wait(command.health, timeout)
        except BaseException:  # an interrupt as well: nothing may be left running
            self.close()
            raise
        finally:
            self._reserved.close()

    @property
    def base_url(self) -> str:
        """Where an OpenAI client finds it."""
        return f"http://{LOOPBACK}:{self.port}/v1"

    @property
    def supervisor_pid(self) -> int:
        """Process id of what watches over the server."""
        return self._supervisor.pid

    def alive(self) -> bool:
        """Whether the server is still running."""
        return self._supervisor.returncode is None and not _has_ended(self._supervisor)

    def close(self) -> None:
        """End the server and remove its scratch folder; again is harmless. In a forked child, nothing happens."""
        if os.getpid() != self._lifeline.owner:
            return
        self._lifeline.cut()
        deadline = time.monotonic() + supervise.GRACE + 5
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._supervisor.returncode is None:
            self._supervisor.kill()
            # Before its id is free again: what a supervisor that was killed left of its session is ours for certain.
            for pid in _session(self._supervisor.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._supervisor.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _start(self, command: Command) -> subprocess.Popen[bytes]:
        arguments = [part.replace("{port}", str(self.port)) for part in command.arguments]
        environment = child_environment(home=self._scratch / "home", threads=command.threads)
        head = [sys.executable, "-I", "-S", supervise.__file__, str(os.getpid()), str(self._lifeline.read)]
        descriptor = os.open(self.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                [*head, str(self._scratch), *arguments],
                cwd=command.folder,
                env={**environment, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                pass_fds=[self._lifeline.read],
                start_new_session=True,  # a Ctrl-C in the terminal reaches the audit alone
            )
        finally:
            os.close(descriptor)

    def _wait(self, health: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        pause = 0.05
        # Kept open, so that the end of the log can be read after the supervisor has removed the folder.
        with self.log.open("rb") as log:
            while time.monotonic() < deadline:
                if not self.alive():
                    code = self._supervisor.wait()
                    raise BackendError(f"the server ended with exit code {code} before it was ready{_tail(log.read())}")
                if _healthy(self.port, health):
                    return
                time.sleep(pause)
                pause = min(pause * 1.5, 0.5)
            raise BackendError(f"the server was not ready within {timeout:g} s{_tail(log.read())}")


def _reserve() -> tuple[socket.socket, int]:
    """A free port, held until the server listens: nobody else is given it meanwhile.

    Both sides set SO_REUSEADDR and this one never listens, which Linux allows; elsewhere the port is only found.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((LOOPBACK, 0))
    port = int(holder.getsockname()[1])
    if not _LINUX:
        holder.close()
    return holder, port


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process has ended; where the system can tell, its id is not given up yet."""
    if _LINUX:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None


def _session(leader: int) -> list[int]:
    """Processes of a session, its leader aside; none where there is no /proc."""
    members = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # "pid (name) state parent group session …"; a name may hold anything, parentheses included.
            session = int(entry.read_text(errors="replace").rpartition(")")[2].split()[3])
            if session == leader and int(entry.parent.name) != leader:
                members.append(int(entry.parent.name))
    return members


def _healthy(port: int, path: str) -> bool:
    # http.client knows no proxies: loopback is asked directly, whatever the environment says.
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


def _tail(log: bytes) -> str:
    text = log.decode(errors="replace").strip()[-_TAIL:]
    return f"; its log ends:\n{text}" if text else "; its log is empty"


def launch(command: Command | Sequence[str], *, timeout: float = 180) -> Server:
    """Start a server on a free loopback port and wait until it is healthy; see `Server`."""
    if not isinstance(command, Command):
        command = Command(tuple(command), Path.cwd())
    return Server(command, timeout=timeout)
