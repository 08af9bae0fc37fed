"""Presidio and spaCy, imported without torch and kept from logging what they read."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec

_HEAVY = frozenset({"torch", "transformers", "stanza", "gliner", "cupy"})
_LOGGERS = ("presidio-analyzer", "decision_process", "spacy", "tldextract")


class _WithoutHeavy:
    """Import finder that hides libraries from one thread, unless they are imported already."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if threading.get_ident() == self.thread and name.partition(".")[0] in _HEAVY:
            raise ModuleNotFoundError(f"{name} is hidden while Presidio is imported", name=name)
        return None


@contextmanager
def light_import() -> Iterator[None]:
    """Import Presidio and spaCy without torch and transformers, which they probe for and we don't use there.

    It saves 4 s and 300 MB in every scrubbing process.
    """
    finder = _WithoutHeavy()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _drop(_record: logging.LogRecord) -> bool:
    return False


def silence() -> None:
    """Drop whatever these libraries log: at DEBUG (one of them at ERROR) it holds the text."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _drop not in logger.filters:
            logger.addFilter(_drop)
