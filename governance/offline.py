"""Nothing leaves the machine: the switches of every library that would otherwise phone home or fetch files.

Set before any of them is imported, in this process and in every child.
"""

from __future__ import annotations

import os

SWITCHES = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",  # the hub's command asks the package index for news otherwise
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


def stay_home() -> None:
    """Set the switches, whatever the environment said."""
    os.environ.update(SWITCHES)
