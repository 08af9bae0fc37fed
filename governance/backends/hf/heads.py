"""Heads that score: a text's class, or how well a candidate fits a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from governance.backends.base import Answer, Capability, Request
from governance.backends.hf.batches import NOT_FINITE, Done, Loaded
from governance.backends.hf.source import class_columns
from governance.dataset import Labels, ModelText
from governance.errors import BackendError


class Classification:
    """A head with an output per class: softmax over all of them. Implements `Backend`.

    Args:
        loaded: the model.
        labels: the task's classes.
        mapping: label of the model -> class; empty: they match by name.

    Raises:
        BackendError: it has one output, or its outputs don't exclude each other.
        ConfigError: its labels are not the task's.
    """

    capabilities = frozenset({Capability.CLASSIFY, Capability.SCORES})

    def __init__(self, loaded: Loaded, labels: Labels, mapping: Mapping[str, str]) -> None:
        config = loaded.model.config
        if config.num_labels < 2:
            raise BackendError("head: expected an output per class, found one output: is it a cross-encoder?")
        if config.problem_type == "multi_label_classification":
            raise BackendError("head: expected classes that exclude each other, found a multi-label head")
        named = [str(config.id2label[i]) for i in range(config.num_labels)]
        self._columns = [list(columns) for columns in class_columns(named, mapping, labels.classes)]
        self._labels = labels
        self._loaded = loaded

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`."""
        rows = self._loaded.rows([text.text for text in texts])
        return [self._answer(done) for done in self._loaded.each(rows, self._probabilities)]

    def close(self) -> None:
        """See `Backend`."""
        self._loaded.close()

    def _probabilities(self, batch: dict[str, torch.Tensor], _: list[int]) -> list[list[float]]:
        outputs = self._loaded.model(**batch).logits.double().softmax(1)
        return torch.stack([outputs[:, columns].sum(1) for columns in self._columns], 1).tolist()

    def _answer(self, done: Done[list[float]]) -> Answer:
        if done.value is None:
            return Answer(failure=done.failure, seconds=done.seconds)
        if not finite(done.value):
            return Answer(failure=NOT_FINITE, seconds=done.seconds)
        best = max(range(len(done.value)), key=done.value.__getitem__)
        return Answer(label=self._labels.classes[best], scores=tuple(done.value), seconds=done.seconds)


class CrossEncoder:
    """A head with one output, which reads query and candidate together. Implements `Ranks`.

    Args:
        loaded: the model.

    Raises:
        BackendError: it has several outputs.
    """

    capabilities = frozenset({Capability.RANK})

    def __init__(self, loaded: Loaded) -> None:
        if loaded.model.config.num_labels != 1:
            raise BackendError(f"head: a cross-encoder has one output, found {loaded.model.config.num_labels}")
        self._loaded = loaded

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`: it has no classes."""
        return [Answer(failure="a cross-encoder has no classes")] * len(texts)

    def rank(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Ranks`: the output itself, which has no scale."""
        pairs = [(query_of(request), candidate.text) for request in requests for candidate in request.candidates]
        rows = self._loaded.rows([query for query, _ in pairs], [candidate for _, candidate in pairs])
        return ranked(requests, self._loaded.each(rows, self._outputs))

    def close(self) -> None:
        """See `Backend`."""
        self._loaded.close()

    def _outputs(self, batch: dict[str, torch.Tensor], _: list[int]) -> list[float]:
        return self._loaded.model(**batch).logits[:, 0].float().tolist()  # type: ignore[no-any-return]


def query_of(request: Request) -> str:
    """What a request's candidates are ranked for: its parts, a line each."""
    return "\n".join(text.text for text in request.fields.values())


def finite(values: Sequence[float]) -> bool:
    """Whether all are numbers."""
    return all(abs(value) < float("inf") for value in values)


def ranked(requests: Sequence[Request], scored: Sequence[Done[float]]) -> list[Answer]:
    """One answer per request from the scores of all candidates, one after the other; one that failed fails its row."""
    answers, start = [], 0
    for request in requests:
        own = scored[start : start + len(request.candidates)]
        start += len(own)
        seconds = sum(done.seconds for done in own)
        scores = tuple(done.value for done in own if done.value is not None)
        failure = next((done.failure for done in own if done.failure is not None), None)
        if not own:
            failure = "there are no candidates"
        elif failure is None and not finite(scores):
            failure = NOT_FINITE
        answers.append(
            Answer(failure=failure, seconds=seconds) if failure is not None else Answer(scores=scores, seconds=seconds)
        )
    return answers
