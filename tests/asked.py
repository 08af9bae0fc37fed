"""What tests of models behind an API share: a task, a toy scrubber, settings of a backend."""

from __future__ import annotations

import re
from typing import Any

from pydantic import SecretStr

from governance.backends.asking import Direction
from governance.backends.prompts import Prompt
from governance.dataset import Labels, ModelText, ScrubbedText
from governance.errors import ScrubError

FLAG = Labels(("0", "1"), positive="1")
KEY = "sk-very-secret"
EMAIL = re.compile(r"[\w.]+@[\w.]+")


def gate(text: str, direction: Direction) -> tuple[str, dict[str, int]]:
    """A toy scrubber: e-mail addresses."""
    if "UNVOUCHABLE" in text:
        raise ScrubError("can't vouch")
    scrubbed, n = EMAIL.subn("<EMAIL_ADDRESS>", text)
    return scrubbed, {"EMAIL_ADDRESS": n} if n else {}


def settings(url: str, **change: Any) -> dict[str, Any]:
    """Of a backend that asks this endpoint."""
    return {
        "base_url": url,
        "model": "m",
        "prompt": Prompt.load("recommend.en.v1").bind(FLAG),
        "gate": gate,
        "api_key": SecretStr(KEY),
        "timeout": 5,
        "max_retries": 4,
        **change,
    }


def texts(*words: str) -> list[ModelText]:
    return [ScrubbedText(word) for word in words]


def failures(answers: Any) -> set[str | None]:
    return {answer.failure for answer in answers}
