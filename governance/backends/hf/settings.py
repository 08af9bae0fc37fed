"""How a local model is used: which head, how long its texts may be, and with what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Head = Literal["classification", "causal", "seq2seq", "embedding", "qa", "cross-encoder"]
Protocol = Literal["written", "log-likelihood"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of every head; those of another head have no effect.

    Attributes:
        head: what is on top of the model.
        labels: label of a classification head -> the task's class. [default: they match by name]
        protocol: whether a language model's labels and orders are read from what it writes, or are the likeliest ones.
        max_tokens: written, at most.
        max_length: tokens read, at most. [default: what the model has room for]
        truncate: longer texts are cut off; else their rows fail.
        pooling: how an embedding comes from its tokens.
        query_prefix: put before what candidates are ranked for ("query: ").
        passage_prefix: put before every other text that is embedded ("passage: ").
        stride: tokens that neighbouring windows of a long context share.
        max_answer: tokens of an extracted answer.
        null_threshold: by how much "no answer" must lead the best span, in nats, to be given; None: it never is.
        batch_tokens: of a batch, padding included.
        dtype: in which numbers it computes.
        device: as torch names it.
        quantise: int8: linear layers in 8-bit integers, on a CPU.
        threads: of a CPU. [default: as torch has it]
        code: run Python files of the model's folder.
    """

    head: Head
    labels: Mapping[str, str] = field(default_factory=dict)
    protocol: Protocol = "written"
    max_tokens: int = 64
    max_length: int | None = None
    truncate: bool = False
    pooling: Literal["mean", "cls"] = "mean"
    query_prefix: str = ""
    passage_prefix: str = ""
    stride: int = 128
    max_answer: int = 30
    null_threshold: float | None = 0.0
    batch_tokens: int = 4096
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"
    quantise: Literal["int8"] | None = None
    threads: int | None = None
    code: bool = False
