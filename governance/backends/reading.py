"""What an endpoint's reply becomes for the rest of an audit: taken out of its form, scrubbed, scored, an answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from governance.backends.base import Answer
from governance.backends.cache import Reply
from governance.backends.faults import Fault
from governance.backends.firsttoken import FirstToken
from governance.backends.gates import Gate, Passed
from governance.backends.prompts import BoundPrompt
from governance.backends.shapes import NOT_AS_ASKED, opened
from governance.backends.taskprompts import BoundTaskPrompt
from governance.errors import ScrubError

UNVOUCHED = "the scrubber can't vouch for the answer"
_SHORT = 64  # characters of an output whose scrubbed form is remembered: most say one of a few words
_REMEMBERED = 1024


class Reading:
    """Makes replies of one model to one prompt fit to be seen."""

    def __init__(
        self, prompt: BoundPrompt | BoundTaskPrompt, gate: Gate, *, structured: bool = False, scored: bool = False
    ) -> None:
        """Get ready.

        Args:
            prompt: how the task is put.
            gate: the scrubber.
            structured: whether outputs should be the JSON of `shapes`.
            scored: whether scores are made of the tokens that come with an output.

        Raises:
            ConfigError: they are, and classes begin alike.
        """
        self._gate, self._structured, self._order = gate, structured, not isinstance(prompt, BoundPrompt)
        self._first = FirstToken(prompt.answers) if scored and isinstance(prompt, BoundPrompt) else None
        self._known: Callable[[str], Passed] = functools.lru_cache(_REMEMBERED)(lambda text: gate(text, "output"))

    def by(self, prompt: BoundPrompt | BoundTaskPrompt) -> Reading:
        """The same for replies to another prompt."""
        return Reading(prompt, self._gate, structured=self._structured, scored=self.scored)

    @property
    def structured(self) -> bool:
        """Whether outputs should be JSON."""
        return self._structured

    @property
    def scored(self) -> bool:
        """Whether scores are made."""
        return self._first is not None

    def shown(self, reply: Reply) -> Reply:
        """The reply as the rest of the audit may see it."""
        scores = self._first.scores(reply.positions) if self._first and reply.output is not None else None
        changed: dict[str, Any] = {"positions": (), "scores": scores}
        if reply.output is None:
            return reply.model_copy(update=changed)
        output = reply.output
        if self._structured:  # before it is scrubbed: JSON can write an address so that no scrubber finds it
            said = opened(output, order=self._order)
            output, changed["problem"] = (output, NOT_AS_ASKED) if said is None else (said, None)
        try:
            scrubbed, pieces = self._known(output) if len(output) <= _SHORT else self._gate(output, "output")
        except ScrubError:
            return reply.model_copy(update={**changed, "output": None, "problem": UNVOUCHED})
        return reply.model_copy(update={**changed, "output": scrubbed, "personal": sum(pieces.values())})


def label_of(prompt: BoundPrompt, reply: Reply) -> dict[str, Any]:
    """The class that a reply names and, where they are defined, the scores of all."""
    label, scores = prompt.parse(reply.output or ""), reply.scores
    if label is None or scores is None or scores.keys() != prompt.answers.keys():
        return {"label": label}
    return {"label": label, "scores": tuple(scores[name] for name in prompt.answers)}


def answer_of(reply: Reply | Fault, read: Callable[[Reply], Mapping[str, Any]], wanted: str) -> Answer:
    """A row's answer.

    Args:
        reply: what came back.
        read: what it means, as fields of `Answer`; None in all of them: nothing.
        wanted: what that is, in words.
    """
    if isinstance(reply, Fault):
        return Answer(failure=reply.reason, seconds=reply.seconds)
    found = {} if reply.output is None or reply.problem is not None else read(reply)
    meant = any(value is not None for value in found.values())
    return Answer(
        **{"output": reply.output, **(found if meant else {})},
        failure=None if meant else reply.problem or f"answer is not {wanted}",
        seconds=reply.seconds,
        tokens_in=reply.tokens_in,
        tokens_out=reply.tokens_out,
        personal=reply.personal,
        version=reply.model,
    )
