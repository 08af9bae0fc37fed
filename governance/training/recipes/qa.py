"""Answers that are a span of a given text, or that there is none, by a pretrained encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.nn import functional

from governance.dataset import ModelText, ScrubbedTable
from governance.errors import ConfigError
from governance.training.recipes.base import Column, Setting
from governance.training.recipes.pretrained import BATCH, TextTask, Tuning, trained
from governance.training.recipes.tokens import Rows, encoded, filler, inputs, texts_in

LEFT_OUT = "rows left out"
UNCOVERED = f"the number of '{LEFT_OUT}', whose answer the scrubbed text does not hold within max_tokens, told exactly"


@dataclass(frozen=True, kw_only=True)
class ExtractiveQA(Tuning):
    """An encoder that points at the first and the last token of the answer, or at the first of all: no answer.

    A row whose answer the scrubbed context does not hold, or not within `max_tokens`, stays a row with zero loss: so
    the number of rows that a plan knows does not depend on what they hold.

    Attributes:
        max_tokens: of question and context together; the context's end is cut off.
        max_question: tokens of the question.
        max_answer: tokens of an answer that is given.
        margin: by how much "no answer" must lead the best span, in nats, to be given.
    """

    max_tokens: int = 256
    max_question: int = 48
    max_answer: int = 30
    margin: float = 0.0

    columns: ClassVar[Mapping[str, Column]] = {
        "question": Column("text"),
        "context": Column("text"),
        "answer": Column("text"),  # empty: the context holds none
    }
    blank: ClassVar[tuple[str, ...]] = ("answer",)
    uncovered: ClassVar[tuple[str, ...]] = (UNCOVERED,)

    def tasks(self, setting: Setting) -> Callable[[ScrubbedTable], TextTask]:
        """See `Tuning`."""
        from transformers import AutoModelForQuestionAnswering

        model, tokenizer = self.opened(AutoModelForQuestionAnswering, setting)
        return lambda table: _Task(model, tokenizer, self, table)

    @staticmethod
    def load(directory: Path) -> TrainedQA:
        """The model that `fit` left in a folder."""
        return TrainedQA(directory)


class _Pairs:
    """Questions and contexts as tokens, and where in the context each token is."""

    def __init__(
        self, tokenizer: Any, model: Any, recipe: ExtractiveQA, questions: Sequence[str], contexts: Sequence[str]
    ) -> None:
        if recipe.max_question + 8 > recipe.max_tokens:
            raise ConfigError(
                f"training.max_question: expected room for a context within max_tokens = {recipe.max_tokens}, "
                f"got {recipe.max_question}"
            )
        short = [_cut(tokenizer, question, recipe.max_question) for question in questions]
        batch = encoded(
            tokenizer,
            model,
            short,
            contexts,
            max_tokens=recipe.max_tokens,
            truncation="only_second",
            return_offsets_mapping=True,
        )
        parts = [batch.sequence_ids(i) for i in range(len(short))]
        # Nothing but a token of the context, or the first of all, may be pointed at: padding would couple the rows.
        open_to = [[int(i == 0 or part == 1) for i, part in enumerate(row)] for row in parts]
        self.offsets = [
            [span if part == 1 and span[1] > span[0] else None for span, part in zip(spans, row, strict=True)]
            for spans, row in zip(batch["offset_mapping"], parts, strict=True)
        ]
        self.rows = Rows({**inputs(tokenizer, model, batch), "open": open_to}, filler(tokenizer))


class _Task(TextTask):
    def __init__(self, model: Any, tokenizer: Any, recipe: ExtractiveQA, table: ScrubbedTable) -> None:
        questions, contexts, answers = (
            [text.text for text in texts_in(table.texts, name)] for name in ("question", "context", "answer")
        )
        pairs = _Pairs(tokenizer, model, recipe, questions, contexts)
        found = [span_of(*row) for row in zip(contexts, answers, pairs.offsets, strict=True)]
        super().__init__(model, tokenizer, pairs.rows, {LEFT_OUT: sum(span is None for span in found)})
        self._spans = torch.tensor([span or (0, 0) for span in found])
        self._counts = torch.tensor([float(span is not None) for span in found])

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        first, last = pointers(self.model, self.data.batch(rows))
        spans = self._spans[rows]
        each = functional.cross_entropy(first, spans[:, 0], reduction="none")
        each = each + functional.cross_entropy(last, spans[:, 1], reduction="none")
        return each / 2 * self._counts[rows]


class TrainedQA:
    """Answers to questions about contexts."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoModelForQuestionAnswering

        self.recipe = ExtractiveQA.recall(directory)
        self._model, self._tokenizer = trained(AutoModelForQuestionAnswering, directory)

    @torch.inference_mode()
    def predict(self, questions: Sequence[ModelText], contexts: Sequence[ModelText]) -> list[str]:
        """A span of each context, or "" where it holds no answer; beyond `max_tokens` it is not read."""
        given = [text.text for text in contexts]
        pairs = _Pairs(self._tokenizer, self._model, self.recipe, [text.text for text in questions], given)
        found: list[str] = []
        for batch in pairs.rows.batches(BATCH):
            for first, last in zip(*pointers(self._model, batch), strict=True):
                row = len(found)
                found.append(self._answer(first.log_softmax(0), last.log_softmax(0), pairs.offsets[row], given[row]))
        return found

    def _answer(
        self, first: torch.Tensor, last: torch.Tensor, offsets: Sequence[tuple[int, int] | None], context: str
    ) -> str:
        scores = first[:, None] + last[None, :]
        at = torch.arange(len(first))
        far = (at[None, :] < at[:, None]) | (at[None, :] - at[:, None] >= self.recipe.max_answer)
        none = scores[0, 0].item() - self.recipe.margin
        scores = scores.masked_fill(far, -torch.inf)
        scores[0, :] = scores[:, 0] = -torch.inf
        best = int(scores.argmax())
        begin, end = divmod(best, len(first))
        if scores.flatten()[best].item() <= none:
            return ""
        spans = [span for span in offsets[begin : end + 1] if span is not None]
        return context[spans[0][0] : spans[-1][1]].strip() if spans else ""


def pointers(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the answer's first and last token, shape (b, t) each; minus infinity where none may be."""
    closed = batch.pop("open") == 0
    out = model(**batch)
    return out.start_logits.float().masked_fill(closed, -torch.inf), out.end_logits.float().masked_fill(
        closed, -torch.inf
    )


def span_of(context: str, answer: str, offsets: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    """First and last token of an answer's first occurrence; (0, 0) for an empty answer; None where it can't be found.

    Args:
        context: the text.
        answer: to be found in it.
        offsets: characters of each token of the context; None for other tokens.

    >>> span_of("so soft", "soft", [None, None, (0, 2), (3, 7), None])
    (3, 3)
    """
    answer = answer.strip()
    if not answer:
        return 0, 0
    begin = context.find(answer)
    end = begin + len(answer)
    tokens = [i for i, span in enumerate(offsets) if span is not None and span[0] < end and span[1] > begin]
    if begin < 0 or not tokens or offsets[tokens[-1]][1] < end:  # type: ignore[index]  # not None: filtered above
        return None
    return tokens[0], tokens[-1]


def _cut(tokenizer: Any, text: str, limit: int) -> str:
    """The text up to the end of its token number `limit`."""
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text if len(spans) <= limit else text[: spans[limit - 1][1]]
