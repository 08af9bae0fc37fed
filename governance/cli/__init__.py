"""The `steelyard` command. Thin: it parses words and prints results; imports what a command needs when it runs."""

from governance.cli import audits, evidence, policies, texts, training
from governance.cli.base import main

__all__ = ["audits", "evidence", "main", "policies", "texts", "training"]
