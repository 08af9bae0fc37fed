"""Language models that are asked as those behind an API are, on this machine: the same prompts, gates and reading.

What such a server can't do is here too: labels and candidates by their likelihood, and the likelihood of a text.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from governance.backends.asking import Gate
from governance.backends.base import Answer, Capability, Request
from governance.backends.hf.asking import Asking, Given
from governance.backends.hf.batches import NOT_FINITE, Done, Loaded, Row
from governance.backends.hf.heads import finite, ranked
from governance.backends.hf.likelihood import Continuation, log_probabilities
from governance.backends.prompts import BoundPrompt
from governance.backends.taskprompts import BoundTaskPrompt
from governance.dataset import ModelText
from governance.errors import BackendError, ScrubError

Asked = TypeVar("Asked", ModelText, Request)
# Rules of a model's own that name tokens. Penalties for repeating also look at padding, so greedy is without them.
_RULES = (
    "bos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens",
    "begin_suppress_tokens",
)  # fmt: skip
_OTHER_TASK = "its prompt asks for something else"


class Writing:
    """A causal or an encoder-decoder language model. Implements `Backend`, `Writes`, `Ranks` and `Likelihoods`.

    Args:
        loaded: the model.
        gate: the scrubber.
        prompt: how the task is put; decides whether labels, words or an order are asked for. None: nothing may be.

    Raises:
        BackendError: the model's chat template can't be used, or nothing ends its answers.
    """

    def __init__(self, loaded: Loaded, gate: Gate, prompt: BoundPrompt | BoundTaskPrompt | None) -> None:
        self._loaded, self._gate, self._prompt = loaded, gate, prompt
        self._tokenizer, self._settings = loaded.tokenizer, loaded.settings
        self._pairs = bool(loaded.model.config.is_encoder_decoder)
        self._likely = loaded.settings.protocol == "log-likelihood"
        self._asking = Asking(loaded.tokenizer, gate, pairs=self._pairs)
        self._greedy()

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `Backend`."""
        found = {Capability.TOKENS}
        if not self._pairs:
            found.add(Capability.LOGPROBS)
        if isinstance(self._prompt, BoundPrompt):
            found |= {Capability.CLASSIFY, *((Capability.SCORES,) if self._likely else ())}
        elif self._prompt is not None:
            found.add(Capability.RANK if self._prompt.orders or self._likely else Capability.WRITE)
        return frozenset(found)

    def reword(self, prompt: BoundPrompt | BoundTaskPrompt) -> None:
        """See `Rewords`."""
        self._prompt = prompt

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """One answer per text, in order.

        By what it writes, read as strictly as an API's answer; or by the likelihood of each class's first accepted
        answer after the prompt, the sum over its tokens, with a softmax over the classes.
        """
        prompt = self._prompt
        if not isinstance(prompt, BoundPrompt):
            return [Answer(failure=_OTHER_TASK)] * len(texts)
        if not self._likely:
            return self._written(
                texts, prompt.system, prompt.fill, lambda _, said: {"label": prompt.parse(said)}, "a label"
            )
        classes = list(prompt.answers)
        given = [self._asking.given(prompt.system, prompt.fill(text)) for text in texts]
        wanted = [[prompt.answers[name][0] for name in classes]] * len(texts)
        done = log_probabilities(self._loaded, self._continued(given, wanted))
        answers = []
        for i, one in enumerate(given):
            own = done[i * len(classes) : (i + 1) * len(classes)]
            answers.append(self._likeliest(one, own, classes))
        return answers

    def write(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Writes`."""
        prompt = self._prompt
        if not isinstance(prompt, BoundTaskPrompt) or Capability.WRITE not in self.capabilities:
            return [Answer(failure=_OTHER_TASK)] * len(requests)
        return self._written(
            requests, prompt.system, prompt.fill, lambda _, said: {"output": prompt.words(said)}, "words"
        )

    def rank(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Ranks`: by the order that it writes, or by the mean log-probability of each candidate's tokens."""
        prompt = self._prompt
        if not isinstance(prompt, BoundTaskPrompt) or Capability.RANK not in self.capabilities:
            return [Answer(failure=_OTHER_TASK)] * len(requests)
        if self._likely:
            given = [self._asking.given(prompt.system, prompt.fill(request)) for request in requests]
            wanted = [[self._asking.vouched(candidate) for candidate in request.candidates] for request in requests]
            done = log_probabilities(self._loaded, self._continued(given, wanted))
            means = [Done(None if d.value is None else float(d.value.mean()), d.failure, d.seconds) for d in done]
            return [
                replace(answer, tokens_in=len(one.ids), tokens_out=0) if isinstance(one, Given) else answer
                for answer, one in zip(ranked(requests, means), given, strict=True)
            ]

        def order(request: Request, said: str) -> dict[str, Any]:
            return {"scores": prompt.order(said, len(request.candidates))}

        return self._written(requests, prompt.system, prompt.fill, order, "an order of the candidates")

    def logprobs(self, texts: Sequence[ModelText]) -> Sequence[NDArray[np.float64]]:
        """See `Likelihoods`: of the text alone, without a prompt. NaN for each token of one that can't be read."""
        ids = [[*self._asking.begin, *self._asking.ids(text.text)] for text in texts]
        asked = [Continuation((row[0],), tuple(row[1:])) if len(row) > 1 else "no tokens" for row in ids]
        done = log_probabilities(self._loaded, asked)
        return [
            np.full(max(0, len(row) - 1), np.nan) if one.value is None else one.value
            for row, one in zip(ids, done, strict=True)
        ]

    def close(self) -> None:
        """See `Backend`."""
        self._loaded.close()

    # -- by what it writes --------------------------------------------------------------------

    def _greedy(self) -> None:
        """Make greedy decoding the model's own way: what its files say of sampling, beams and penalties is left out."""
        from transformers import GenerationConfig

        own = self._loaded.model.generation_config
        ends = {own.eos_token_id, self._tokenizer.eos_token_id} if not isinstance(own.eos_token_id, list) else {
            *own.eos_token_id, self._tokenizer.eos_token_id
        }  # fmt: skip
        self._ends = sorted(end for end in ends if end is not None)
        if not self._ends:
            raise BackendError("the model names no token that ends an answer (eos_token_id)")
        self._pad = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else self._ends[0]
        self._loaded.model.generation_config = GenerationConfig(
            **{name: getattr(own, name, None) for name in _RULES},
            do_sample=False,
            num_beams=1,
            max_new_tokens=self._settings.max_tokens,
            eos_token_id=self._ends,
            pad_token_id=self._pad,
        )

    def _written(
        self,
        asked: Sequence[Asked],
        system: str,
        fill: Callable[[Asked], ModelText],
        read: Callable[[Asked, str], Mapping[str, Any]],
        wanted: str,
    ) -> list[Answer]:
        """One answer per thing asked, in order; `read` and `wanted` as those of `Asking`."""
        given = [self._asking.given(system, fill(one)) for one in asked]
        more = 0 if self._pairs else self._settings.max_tokens
        rows = [one if isinstance(one, str) else self._loaded.checked(_row(one.ids), more=more) for one in given]
        done = self._loaded.each(rows, self._generated, left=not self._pairs, more=more)
        return [
            self._answer(row, result, functools.partial(read, one), wanted)
            for one, row, result in zip(asked, rows, done, strict=True)
        ]

    def _generated(self, batch: dict[str, torch.Tensor], _: list[int]) -> list[list[int]]:
        """Tokens written, the end token included where there is one."""
        written = self._loaded.model.generate(**batch)
        start = 1 if self._pairs else batch["input_ids"].shape[1]
        found = []
        for row in written[:, start:].tolist():
            end = next((i + 1 for i, token in enumerate(row) if token in self._ends), len(row))
            found.append(row[:end])
        return found

    def _answer(
        self, row: Row | str, done: Done[list[int]], read: Callable[[str], Mapping[str, Any]], wanted: str
    ) -> Answer:
        if done.value is None or isinstance(row, str):
            return Answer(failure=done.failure, seconds=done.seconds)
        counted: dict[str, Any] = {
            "seconds": done.seconds,
            "tokens_in": len(row["input_ids"]),
            "tokens_out": len(done.value),
        }
        try:
            said = self._tokenizer.decode(done.value, skip_special_tokens=True)
            output, pieces = self._gate(said, "output")
        except ScrubError:
            return Answer(failure="the scrubber can't vouch for the answer", **counted)
        found = read(output)
        meant = any(value is not None for value in found.values())
        return Answer(
            **{"output": output, **(found if meant else {})},
            failure=None if meant else f"answer is not {wanted}",
            personal=sum(pieces.values()),
            **counted,
        )

    # -- by likelihood ------------------------------------------------------------------------

    def _continued(
        self, given: Sequence[Given | str], wanted: Sequence[Sequence[str | None]]
    ) -> list[Continuation | str]:
        """Each prompt with each of its texts, one after the other."""
        found: list[Continuation | str] = []
        for one, texts in zip(given, wanted, strict=True):
            for text in texts:
                if isinstance(one, str):
                    found.append(one)
                elif text is None:
                    found.append("not asked: the scrubber can't vouch for a candidate")
                else:
                    space = " " if one.spaced and text[:1].isascii() else ""
                    found.append(Continuation(one.ids, tuple(self._asking.ids(space + text))))
        return found

    def _likeliest(
        self, given: Given | str, done: Sequence[Done[NDArray[np.float64]]], classes: Sequence[str]
    ) -> Answer:
        seconds = sum(one.seconds for one in done)
        sums = [float(one.value.sum()) for one in done if one.value is not None]
        failure = next((one.failure for one in done if one.failure is not None), None)
        if failure is None and not finite(sums):
            failure = NOT_FINITE
        if failure is not None or isinstance(given, str):
            return Answer(failure=failure, seconds=seconds)
        odds = [math.exp(value - max(sums)) for value in sums]
        scores = tuple(value / sum(odds) for value in odds)
        label = classes[scores.index(max(scores))]
        return Answer(label=label, scores=scores, seconds=seconds, tokens_in=len(given.ids), tokens_out=0)


def _row(ids: Sequence[int]) -> Row:
    return {"input_ids": ids, "attention_mask": (1,) * len(ids)}
