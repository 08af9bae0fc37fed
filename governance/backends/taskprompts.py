"""Prompts of tasks whose answers are words or an order: a row's parts filled in, and what an answer means.

One YAML file per task, language and version (`configs/prompts/qa.en.v1.yaml`), like those that ask for a label.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from functools import cached_property
from typing import Self

from pydantic import model_validator

from governance.backends.base import Request
from governance.backends.prompts import PromptFile, normalise
from governance.dataset import ModelText, joined
from governance.errors import ConfigError
from governance.registry import nearest

CANDIDATES = "candidates"
_SLOT = re.compile(r"\{([a-z_]+)\}")
_ORDER = re.compile(  # possessive, or an answer of white space would take minutes
    r"\s*+\d{1,4}\s*+(?:[.。]\s*+)?(?:(?:[,，、;；>]\s*+|(?<=\s))\d{1,4}\s*+(?:[.。]\s*+)?)*+"
)


class TaskPrompt(PromptFile):
    """A task put to a language model that writes, or that orders candidates.

    Attributes:
        task: of which task ("qa").
        language: of the prompt and of the answers.
        version: rises whenever a word changes.
        system: the system message; has no slots.
        user: the user message, with a `{slot}` for each part of a row that the model is shown; `{candidates}` becomes
            a numbered list, and the answer is read as their numbers in order, the best first.
        no_answer: what the model is told to write where the text holds no answer; read as "".
    """

    no_answer: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        slots = _SLOT.findall(self.user)
        if not slots:
            raise ValueError("user: expected a {slot} for each part of a row that the model is shown, found none")
        if len(set(slots)) < len(slots):
            raise ValueError("user: expected every {slot} once")
        if _SLOT.search(self.system):
            raise ValueError("system: expected no slots; they belong into user, which is scrubbed")
        if any(not normalise(phrase) for phrase in self.no_answer):
            raise ValueError("no_answer: a phrase is empty once quotes and full stops are gone")
        return self

    def bind(self, shown: Collection[str], *, ranks: bool) -> BoundTaskPrompt:
        """Fit the prompt to a task.

        Args:
            shown: parts of a row that a model may see.
            ranks: whether the task wants candidates ordered; they are no part of `shown` then.

        Raises:
            ConfigError: a slot that the task has not, or no slot for the candidates of a task that ranks.
        """
        known = {*shown, *((CANDIDATES,) if ranks else ())}
        slots = _SLOT.findall(self.user)
        for slot in slots:
            if slot not in known:
                raise ConfigError(
                    f"prompt '{self.name}': user: the task has no part {{{slot}}}. {nearest(slot, known)}"
                )
        if ranks and CANDIDATES not in slots:
            raise ConfigError(f"prompt '{self.name}': user: expected {{candidates}}, which are to be ranked")
        return BoundTaskPrompt(self)


class BoundTaskPrompt:
    """A prompt that fits one task: fills in rows, reads answers."""

    def __init__(self, prompt: TaskPrompt) -> None:
        self.prompt = prompt
        # Words and slots in turn, split once: a slot's name inside a row's text is just text.
        self._parts = _SLOT.split(prompt.user)
        self._nothing = frozenset(normalise(phrase) for phrase in prompt.no_answer)

    @property
    def system(self) -> str:
        """The system message; the same for all rows."""
        return self.prompt.system

    @property
    def orders(self) -> bool:
        """Whether an answer is an order of candidates."""
        return CANDIDATES in self._parts[1::2]

    def fill(self, request: Request) -> ModelText:
        """The user message for one row: sealed as scrubbed as soon as one part of it is."""
        filled: list[str | ModelText] = []
        for place, part in enumerate(self._parts):
            if place % 2 == 0:
                filled.append(part)
            elif part == CANDIDATES:
                for number, candidate in enumerate(request.candidates, start=1):
                    filled += [f"{number}. ", candidate, "\n"]
            else:
                filled.append(request.fields[part])
        return joined(filled)

    def words(self, answer: str) -> str | None:
        """What was written, without white space around it; "" where it says that there is no answer; None: nothing.

        >>> prompt = BoundTaskPrompt(TaskPrompt(task="qa", language="en", version=1, system="", user="{question}",
        ...     no_answer=("not in the text",)))
        >>> prompt.words(" 30 days. "), prompt.words("Not in the text."), prompt.words(" ")
        ('30 days.', '', None)
        """
        said = answer.strip()
        if not said:
            return None
        return "" if normalise(said) in self._nothing else said

    def order(self, answer: str, count: int) -> tuple[float, ...] | None:
        """A score per candidate from their numbers in order, the best first; those not named share the last place.

        None: it is anything else than numbers, or a number is no candidate's, or stands twice.

        >>> prompt = BoundTaskPrompt(TaskPrompt(task="ranking", language="en", version=1, system="",
        ...     user="{query} {candidates}"))
        >>> prompt.order("3, 1", 3), prompt.order("3, 3", 3), prompt.order("the third", 3)
        ((1.0, 0.0, 2.0), None, None)
        """
        if not _ORDER.fullmatch(answer):
            return None
        named = [int(number) for number in re.findall(r"\d+", answer)]
        if len(set(named)) < len(named) or not all(1 <= number <= count for number in named):
            return None
        places = {number: place for place, number in enumerate(named)}
        return tuple(float(len(named) - places.get(number, len(named))) for number in range(1, count + 1))

    def digest(self) -> str:
        """SHA-256 over everything that shapes a request or the reading of its answer."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        content = {"prompt": self.prompt.model_dump(mode="json"), "reads": "words or order 1"}
        canonical = json.dumps(content, ensure_ascii=False, sort_keys=True)
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
