"""Keeps a server from outliving the audit, even one that is killed outright.

A process of its own, in its own session, holds the read end of a pipe whose write end only the audit
holds. When the audit ends, however it ends, the kernel closes the write end, and this process
ends the server's whole process group. Should this process be killed itself, the server, its child, gets the
kernel's parent-death signal (Linux). Standard library only: it must start at once and weigh little.

    python supervise.py PARENT FD SCRATCH COMMAND…
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from types import FrameType

GRACE = 3.0  # seconds between asking a server to stop and stopping it
_TICK = 0.2  # seconds between looks at the server and the parent
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; elsewhere than on Linux, nothing happens.

    The signal is tied to the thread that started this process, so call it only where that thread waits for it.

    Args:
        parent: process id of the parent, to notice that it ended before we could ask.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def end_group(server: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    """Ask a server's process group to end, then make it: what is left of it once the leader is gone as well."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(grace)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _audit_is_gone(parent: int, pipe: int) -> bool:
    # The pipe tells at once; the parent's id catches a write end that leaked into a process that lives on.
    readable, _, _ = select.select([pipe], [], [], _TICK)
    return bool(readable) or os.getppid() != parent


def supervise(parent: int, pipe: int, scratch: str, command: list[str]) -> int:
    """Run a server until it ends by itself or the audit is gone.

    Args:
        parent: the audit's process id.
        pipe: read end of the audit's pipe; end of file means that the audit is gone.
        scratch: folder to remove at the end; empty: none.
        command: the server and its arguments.

    Returns:
        The server's exit code, negative for a signal.
    """
    me = os.getpid()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the audit decides what an interrupt means
    server = subprocess.Popen(command, process_group=0, preexec_fn=lambda: die_with_parent(me))  # noqa: PLW1509 - one thread
    try:
        while server.poll() is None and not _audit_is_gone(parent, pipe):
            pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_group(server)
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
    return server.returncode


def main(arguments: list[str]) -> int:
    """Entry point: PARENT FD SCRATCH COMMAND…."""
    parent, pipe, scratch, *command = arguments
    return supervise(int(parent), int(pipe), scratch, command)


if __name__ == "__main__":
    # A signal's negative code has no meaning as an exit code; shells say 128 + n.
    code = main(sys.argv[1:])
    sys.exit(code if code >= 0 else 128 - code)
