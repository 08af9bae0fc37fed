"""Prompts as shipped files, and answers read strictly.

A prompt is one YAML file per task, language and version (`configs/prompts/recommend.en.v1.yaml`), so that a record
can name it by digest. An answer counts only if all of it is one of the accepted answers: a
model that hedges has not answered, and coverage says so.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from governance import configfile
from governance.dataset import Labels, ModelText
from governance.errors import ConfigError

FOLDER = "prompts"
_SLOT = re.compile(r"\{(text|labels)\}")
_AROUND = " \t\r\n\f\v\u00a0\u3000\"'`*“”‘’„«»「」『』《》"
_CLOSING = ".!。！｡"
_SEPARATOR = {"en": ", ", "zh": "、"}


def normalise(answer: str) -> str:
    """What two answers must share to be the same one.

    Compatibility forms are unified (full-width letters), then white space, quotes, emphasis marks and closing full
    stops or exclamation marks go from the ends, then case goes. A question mark or a comma stays: "Yes?" is not a yes.

    >>> normalise(' "Yes." ')
    'yes'
    >>> normalise("ＹＥＳ！"), normalise("「是。」")
    ('yes', '是')
    >>> normalise("Yes and no")
    'yes and no'
    """
    text, before = unicodedata.normalize("NFKC", answer), None
    while text != before:
        before, text = text, text.strip(_AROUND).rstrip(_CLOSING)
    return text.casefold()


class PromptFile(BaseModel):
    """What every prompt is: one file per task, language and version.

    Attributes:
        task: what is asked.
        language: of the prompt and of the answers.
        version: rises whenever a word changes.
        system: the system message; has no slots.
        user: the user message.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(min_length=1)
    language: Literal["en", "zh"]
    version: int = Field(ge=1)
    system: str
    user: str

    @property
    def name(self) -> str:
        """Its name among the shipped ones, e.g. "recommend.en.v1"."""
        return f"{self.task}.{self.language}.v{self.version}"

    @classmethod
    def load(cls, source: str, base: Path = Path()) -> Self:
        """Read a shipped prompt by name, or a user's by path; relative ones start from `base`.

        Raises:
            ConfigError: no such prompt, or not one.
        """
        return configfile.read(cls, configfile.find(FOLDER, source, base))


class Prompt(PromptFile):
    """A task put to a language model, and how its answers are read.

    Attributes:
        task: what is asked ("recommend"), or "classify" for any labels.
        language: the language of the prompt and of the answers.
        version: rises whenever a word changes.
        system: the system message; has no slots.
        user: the user message, with one `{text}` and at most one `{labels}`; other braces are plain text.
        answers: label -> accepted answers. Empty: each label is its own answer.
        positive: the label in `answers` that stands for a task's positive class, whatever its own name.
    """

    answers: dict[str, list[str]] = Field(default_factory=dict)
    positive: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        slots = _SLOT.findall(self.user)
        if slots.count("text") != 1:
            raise ValueError(f"user: expected exactly one {{text}}, found {slots.count('text')}")
        if slots.count("labels") > 1:
            raise ValueError("user: expected at most one {labels}, found more")
        if _SLOT.search(self.system):
            raise ValueError("system: expected no slots; {text} and {labels} belong into user, which is scrubbed")
        if not self.answers and "labels" not in slots:
            raise ValueError(
                "answers: expected accepted answers, or {labels} in user so that the labels are the answers"
            )
        if self.positive is not None and self.positive not in self.answers:
            raise ValueError(f"positive: expected a label of answers, found {self.positive!r}")
        _index(self.answers)
        return self

    def bind(self, labels: Labels) -> BoundPrompt:
        """Fit the prompt to a task's classes.

        Classes are matched by name. A prompt that names its `positive` label also fits any task of two
        classes of which one is positive: 1 and 0 of a data set become yes and no.

        Raises:
            ConfigError: the prompt has no accepted answers for a class, or two classes share one.
        """
        if not self.answers:
            answers = {label: [label] for label in labels.classes}
        elif set(self.answers) == set(labels.classes):
            answers = {label: self.answers[label] for label in labels.classes}
        elif self.positive is not None and len(self.answers) == 2 and labels.binary:
            negative = next(label for label in self.answers if label != self.positive)
            names = {label: self.positive if label == labels.positive else negative for label in labels.classes}
            answers = {label: self.answers[name] for label, name in names.items()}
        else:
            ours, theirs = ", ".join(self.answers), ", ".join(labels.classes)
            raise ConfigError(
                f"prompt '{self.name}' has answers for {ours}, but the task's labels are {theirs}: "
                f"choose 'classify.{self.language}.v1' or write a prompt with answers for them"
            )
        try:
            return BoundPrompt(self, answers)
        except ValueError as error:
            raise ConfigError(f"prompt '{self.name}': {error}") from None


class BoundPrompt:
    """A prompt that fits one task: fills in texts, reads answers."""

    def __init__(self, prompt: Prompt, answers: Mapping[str, Sequence[str]]) -> None:
        """See `Prompt.bind`.

        Raises:
            ValueError: two labels share an accepted answer.
        """
        self.prompt = prompt
        self.answers = {label: tuple(accepted) for label, accepted in answers.items()}
        self._labels = _index(self.answers)
        # One pass over the shipped text alone: a slot's name inside a text or a label is just text.
        listed = _SEPARATOR[prompt.language].join(self.answers)
        before, after = prompt.user.split("{text}")
        self._before, self._after = before.replace("{labels}", listed), after.replace("{labels}", listed)

    @property
    def system(self) -> str:
        """The system message; the same for all rows."""
        return self.prompt.system

    def fill(self, text: ModelText) -> ModelText:
        """The user message for one text, under the same seal."""
        return text.within(self._before, self._after)

    def parse(self, answer: str) -> str | None:
        """The label that an answer means, or None.

        >>> labels = Labels(("1", "0"), positive="1")
        >>> prompt = Prompt.load("recommend.en.v1").bind(labels)
        >>> prompt.parse("Yes."), prompt.parse("no"), prompt.parse("Yes and no")
        ('1', '0', None)
        """
        return self._labels.get(normalise(answer))

    def digest(self) -> str:
        """SHA-256 over everything that shapes a request or the reading of its answer."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        content = {"prompt": self.prompt.model_dump(mode="json"), "answers": self.answers}
        canonical = json.dumps(content, ensure_ascii=False, sort_keys=True)
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _index(answers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Normalised answer -> label.

    Raises:
        ValueError: an answer is empty, or two labels share one.
    """
    index: dict[str, str] = {}
    for label, accepted in answers.items():
        if not accepted:
            raise ValueError(f"answers.{label}: expected at least one accepted answer")
        for answer in accepted:
            key = normalise(answer)
            if not key:
                raise ValueError(f"answers.{label}: an accepted answer is empty once quotes and full stops are gone")
            if index.setdefault(key, label) != label:
                raise ValueError(f"answers: {index[key]!r} and {label!r} share an accepted answer")
    return index
