"""The exception tree. What a user can mend is a `SteelyardError`; anything else is a bug.

A message says where, what was expected and found, and what to do. It never quotes a record's text.
"""

from __future__ import annotations


class SteelyardError(Exception):
    """A failure that the user can mend; printed without a traceback."""

    exit_code = 2


class ConfigError(SteelyardError):
    """A config or policy that can't be used; the message names file and key."""


class DataError(SteelyardError):
    """A data set that can't be audited: unreadable, empty, or without what its roles promise."""


class MissingExtra(SteelyardError):
    """A library outside the core is needed; the message names the extra that brings it."""


class ScrubError(SteelyardError):
    """The scrubber can't vouch for its result, so nothing may pass it (fail closed)."""


class BackendError(SteelyardError):
    """A model that can't be loaded or a server that can't be started."""


class BudgetExceeded(SteelyardError):
    """A step would pass the privacy budget of the data set; nothing was spent on it."""


class RecordError(SteelyardError):
    """A run directory that is missing, damaged, or of a schema this version doesn't read."""
