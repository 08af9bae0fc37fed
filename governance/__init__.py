"""Weigh a model before a shop ships it: run an audit, and judge its record.

>>> from governance import judge, run_audit
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from governance.audit import run_audit
    from governance.policy import judge

__all__ = ["judge", "run_audit"]

_HOMES = {"run_audit": "governance.audit", "judge": "governance.policy"}


def __getattr__(name: str) -> Any:
    """Import the two public names on use: `import governance` must stay instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'governance' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
