"""Extractive question answering: the likeliest span of a context, which may be longer than the model reads at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from governance.backends.asking import Gate
from governance.backends.base import Answer, Capability, Request
from governance.backends.hf.batches import NOT_FINITE, Done, Loaded, Row
from governance.dataset import ModelText
from governance.errors import ScrubError
from governance.training.recipes.tokens import accepted

QUESTION, CONTEXT = "question", "context"


@dataclass(frozen=True, slots=True)
class _Window:
    """A part of one context, with the question before it.

    Attributes:
        row: as the model reads it.
        offsets: characters of the context that each token covers; None for tokens of no context.
    """

    row: Row
    offsets: list[tuple[int, int] | None]


@dataclass(frozen=True, slots=True)
class _Best:
    """What one window says, in logits of start plus end: its best span, as characters, and that there is none."""

    score: float
    begin: int
    end: int
    null: float


class Extraction:
    """A head that points at the first and the last token of an answer. Implements `Writes`.

    The spans of all windows of a context are under one softmax of start plus end, with "no answer" at its least
    likely window, since a window that misses the answer says that there is none (as in SQuAD 2.0's evaluation,
    Rajpurkar et al. 2018, arXiv:1806.03822). A softmax keeps the order and the differences of its logits, so these
    are what is compared.

    Args:
        loaded: the model.
        gate: the scrubber: a span is an answer like any other.
    """

    capabilities = frozenset({Capability.WRITE})

    def __init__(self, loaded: Loaded, gate: Gate) -> None:
        self._loaded = loaded
        self._gate = gate

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`: it has no classes."""
        return [Answer(failure="a head that extracts has no classes")] * len(texts)

    def write(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Writes`: a span of the part "context" that answers the part "question", or "" where there is none."""
        windows = [self._windows(request) for request in requests]
        flat = [window for found in windows if not isinstance(found, str) for window in found]

        def compute(batch: dict[str, torch.Tensor], at: list[int]) -> list[_Best]:
            out = self._loaded.model(**batch)
            starts, ends = out.start_logits.float().cpu(), out.end_logits.float().cpu()
            return [self._best(starts[k], ends[k], flat[i].offsets) for k, i in enumerate(at)]

        done = iter(self._loaded.each([window.row for window in flat], compute))
        return [
            Answer(failure=found)
            if isinstance(found, str)
            else self._answer(request.fields[CONTEXT].text, [next(done) for _ in found])
            for request, found in zip(requests, windows, strict=True)
        ]

    def close(self) -> None:
        """See `Backend`."""
        self._loaded.close()

    def _windows(self, request: Request) -> list[_Window] | str:
        """The context in overlapping parts, or why there are none."""
        for part in (QUESTION, CONTEXT):
            if part not in request.fields:
                return f"the row has no part '{part}'"
        question, context = (request.fields[part].text for part in (QUESTION, CONTEXT))
        loaded, settings = self._loaded, self._loaded.settings
        room = loaded.room - len(loaded.tokenizer(question, "")["input_ids"])
        if room <= settings.stride:
            return f"too long: the question leaves {max(0, room)} tokens of {loaded.room} for a window, over the stride"
        batch = loaded.tokenizer(
            [question],
            [context],
            truncation="only_second",
            max_length=loaded.room,
            stride=settings.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_attention_mask=True,
        )
        names = [name for name in batch if name in accepted(loaded.model)]
        return [
            _Window(
                {name: batch[name][i] for name in names},
                [
                    (span[0], span[1]) if part == 1 and span[1] > span[0] else None
                    for span, part in zip(batch["offset_mapping"][i], batch.sequence_ids(i), strict=True)
                ],
            )
            for i in range(len(batch["input_ids"]))
        ]

    def _best(self, starts: torch.Tensor, ends: torch.Tensor, offsets: Sequence[tuple[int, int] | None]) -> _Best:
        """The best span of at most `max_answer` tokens, all of the context; of equals the first."""
        n = len(offsets)  # what is behind pads the batch
        scores = starts[:n, None] + ends[None, :n]
        null = float(scores[0, 0])
        inside = torch.tensor([span is not None for span in offsets])
        at = torch.arange(n)
        ahead = at[None, :] - at[:, None]
        allowed = inside[:, None] & inside[None, :] & (ahead >= 0) & (ahead < self._loaded.settings.max_answer)
        if not allowed.any():
            return _Best(float("-inf"), 0, 0, null)
        first, last = divmod(int(scores.masked_fill(~allowed, float("-inf")).argmax()), n)
        begin, end = offsets[first], offsets[last]
        assert begin is not None  # noqa: S101 - `inside` says so
        assert end is not None  # noqa: S101 - likewise
        return _Best(float(scores[first, last]), begin[0], end[1], null)

    def _answer(self, context: str, done: Sequence[Done[_Best]]) -> Answer:
        seconds = sum(one.seconds for one in done)
        failure = next((one.failure for one in done if one.failure is not None), None)
        found = [one.value for one in done if one.value is not None]
        if failure is None and not all(abs(best.null) < float("inf") and best.score < float("inf") for best in found):
            failure = NOT_FINITE
        if failure is not None:
            return Answer(failure=failure, seconds=seconds)
        best = max(found, key=lambda one: one.score)
        threshold = self._loaded.settings.null_threshold
        if best.begin == best.end or (
            threshold is not None and min(one.null for one in found) - best.score > threshold
        ):
            return Answer(output="", seconds=seconds)
        try:
            output, pieces = self._gate(context[best.begin : best.end].strip(), "output")
        except ScrubError:
            return Answer(failure="the scrubber can't vouch for the answer", seconds=seconds)
        return Answer(output=output, personal=sum(pieces.values()), seconds=seconds)
