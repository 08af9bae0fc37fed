"""What a child process of the audit is told about the world: enough to run, no secrets, no way home."""

from __future__ import annotations

import os
from pathlib import Path

from governance.offline import SWITCHES

_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SYSTEMROOT")


def child_environment(*, home: Path, threads: int) -> dict[str, str]:
    """Environment variables for a process that serves or converts a local model.

    Keys and tokens of this process are not passed on, telemetry is off, and so is the model hub.

    Args:
        home: an empty folder that stands in for the user's; the hub's cache is made in it.
        threads: processor threads that numeric libraries may use.
    """
    hub = home / "hub"
    hub.mkdir(parents=True, exist_ok=True)  # without it `transformers serve` answers /v1/models with 500
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
        "HOME": str(home),
        "HF_HOME": str(home),
        "NO_PROXY": "*",
        **SWITCHES,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1",
    }
