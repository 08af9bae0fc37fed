"""Contenders of tasks whose answers are words or rankings, where they differ from those of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from typing_extensions import override

from governance.backends.base import Backend
from governance.backends.givenreplies import FunctionBackend, Replies, RepliesBackend
from governance.contenders.anthropic import Anthropic
from governance.contenders.base import Contender, Ring
from governance.contenders.callable import Function
from governance.contenders.hf import HF
from governance.contenders.openai import OpenAI
from governance.contenders.predictions import FromFile
from governance.contenders.scripted import Scripted
from governance.modelconfig import (
    AnthropicModel,
    CallableModel,
    HFModel,
    LexicalModel,
    OpenAIModel,
    PredictionsModel,
    ScriptedModel,
)
from governance.record import ModelEntry
from governance.store import code_digest, versions


class Lexical(Contender):
    """Rules alone; see `governance.backends.lexical`."""

    trained = False

    def __init__(self, name: str, config: LexicalModel, ring: Ring, *, ranks: bool) -> None:
        super().__init__(name, ring)
        self.config, self._ranks = config, ranks

    @property
    @override
    def protocol(self) -> str:
        return "scored" if self._ranks else "rules"

    @override
    def prepare(self) -> None:
        """Nothing: there are no weights."""

    @override
    def identity(self) -> Mapping[str, object]:
        return {
            "rule": [self.config.rule, self.config.least],
            "ranks": self._ranks,
            "code": code_digest("governance.backends.lexical"),
            "versions": dict(versions("scikit-learn")),
        }

    @override
    def open(self) -> Backend:
        from governance.backends.lexical import LexicalBackend

        return LexicalBackend(ranks=self._ranks, shortest=self.config.rule == "shortest", least=self.config.least)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        return ModelEntry(
            **self._told(self.config, weighed_on, facts),
            title=self.config.title or "rules alone",
            source="rules that ship with Steelyard",
            licence=self.config.licence,
            note=self.config.note,
            settings={"rule": self.config.rule},
        )


class GivenReplies(FromFile):
    """Words, or scores of candidates."""

    def __init__(self, name: str, config: PredictionsModel, ring: Ring, *, replies: Replies) -> None:
        super().__init__(name, config, ring, replies.found)
        self._replies = replies

    @override
    def identity(self) -> Mapping[str, object]:
        code = code_digest("governance.backends.givenreplies", "governance.privacy")
        return {**super().identity(), "paired": self._replies.paired, "scrub": self.ring.scrub, "code": code}

    @override
    def open(self) -> Backend:
        return RepliesBackend(self._replies)


class TaskFunction(Function):
    """A function that the config names and vouches for, asked by rows instead of texts."""

    def __init__(self, name: str, config: CallableModel, ring: Ring, *, ranks: bool) -> None:
        super().__init__(name, config, ring)
        self._ranks = ranks

    @override
    def identity(self) -> Mapping[str, object]:
        return {
            **super().identity(),
            "ranks": self._ranks,
            "code": code_digest("governance.backends.givenreplies", "governance.privacy"),
        }

    @override
    def open(self) -> Backend:
        from governance.backends.callable import load_function

        # The same loader: what it is called with, and what it answers, is this backend's business.
        function = cast("Callable[[list[dict[str, Any]]], Any]", load_function(self.config.function))
        return FunctionBackend(function, ranks=self._ranks, batch=self.config.batch, gate=self.ring.gate)


ASKED: Mapping[type, Callable[[str, Any, Ring], Contender]] = {
    OpenAIModel: OpenAI,
    AnthropicModel: Anthropic,
    ScriptedModel: Scripted,
    HFModel: HF,
}
"""Those that are made alike for every task."""


def task_contenders(
    models: Mapping[str, Any], ring: Ring, *, ranks: bool, replies: Mapping[str, Replies]
) -> list[Contender]:
    """The contenders for the models of a task audit's config, in its order.

    Args:
        models: name -> its config.
        ring: what all are given.
        ranks: whether the task wants candidates ranked.
        replies: name -> what a file says that it answered.
    """
    made: list[Contender] = []
    for name, config in models.items():
        if isinstance(config, LexicalModel):
            made.append(Lexical(name, config, ring, ranks=ranks))
        elif isinstance(config, PredictionsModel):
            made.append(GivenReplies(name, config, ring, replies=replies[name]))
        elif isinstance(config, CallableModel):
            made.append(TaskFunction(name, config, ring, ranks=ranks))
        else:
            made.append(ASKED[type(config)](name, config, ring))
    return made
