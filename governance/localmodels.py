"""The YAML of a model that is on this disk already and is used as it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from governance.modelbase import Model, Reading

_HEADS = {
    "labels": {"classification"},
    "prompt": {"causal", "seq2seq"},
    "protocol": {"causal", "seq2seq"},
    "max_tokens": {"causal", "seq2seq"},
    "truncate": {"classification", "cross-encoder", "embedding"},
    "pooling": {"embedding"},
    "query_prefix": {"embedding"},
    "passage_prefix": {"embedding"},
    "stride": {"qa"},
    "max_answer": {"qa"},
    "null_threshold": {"qa"},
}
"""Setting of a local model -> the heads that it says something of."""


class HFModel(Reading):
    """A local Hugging Face model, used as it is: nothing is trained, nothing is fetched."""

    kind: Literal["hf"]
    base: str  # a folder, a GGUF file, package:module/path, or a hub's organisation/name with `revision`
    head: Literal["classification", "causal", "seq2seq", "embedding", "qa", "cross-encoder"]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None  # a commit that is in the local cache
    file: str | None = None  # a GGUF file in the folder
    code: Annotated[bool, Field(strict=True)] = False  # Python files in its folder are run only if this is true
    labels: dict[str, str] = Field(default_factory=dict)  # the model's label -> class; empty: they match by name
    prompt: str | None = None
    other_prompts: tuple[str, ...] = ()  # the held-out rows are asked by each of them too; see docs/wording.md
    protocol: Literal["written", "log-likelihood"] = "written"
    max_tokens: PositiveInt = 64  # written, at most
    max_length: PositiveInt | None = None  # read, at most; None: what the model has room for
    truncate: Annotated[bool, Field(strict=True)] = False  # longer texts are cut off; else their rows fail
    pooling: Literal["mean", "cls"] = "mean"
    query_prefix: str = ""
    passage_prefix: str = ""
    stride: PositiveInt = 128  # tokens that neighbouring windows of a context share
    max_answer: Annotated[int, Field(ge=1, le=512)] = 30  # tokens of a span
    null_threshold: float | None = 0.0  # nats by which "no answer" must lead; None: there always is one
    batch_tokens: PositiveInt = 4096  # of a batch, padding included
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Annotated[str, Field(pattern=r"^[a-z]+(:\d{1,3})?$")] = "cpu"
    quantise: Literal["int8"] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None

    @property
    def computing(self) -> dict[str, Any]:
        """Settings of its backend."""
        return self.model_dump(
            exclude={*Reading.model_fields, "kind", "base", "revision", "file", "prompt", "other_prompts"}
        )

    @model_validator(mode="after")
    def _fits_head(self) -> HFModel:
        for key, heads in _HEADS.items():
            if key in self.model_fields_set and self.head not in heads:
                wanted = " or ".join(sorted(heads))
                raise ValueError(f"{key}: expected none with head {self.head}; it is for {wanted}")
        if self.other_prompts and self.prompt is None:
            raise ValueError("other_prompts: expected prompt beside them, whose figures stand for the model")
        if self.quantise and (self.dtype != "float32" or self.device != "cpu"):
            raise ValueError("quantise: int8 works on the CPU, from float32: expected no other device or dtype")
        if (self.file or self.base).endswith(".gguf") and self.head != "causal":
            raise ValueError(f"head: a GGUF file holds a causal model, found {self.head}")
        if self.file is not None and not self.file.endswith(".gguf"):
            raise ValueError(f"file: expected the name of a .gguf file, found '{self.file}'")
        return self


class SklearnModel(Model):
    """A scikit-learn pipeline from texts to classes, saved with skops."""

    kind: Literal["sklearn"]
    path: str  # package:module/path works
    trusted: tuple[str, ...] = ()  # types beyond skops' own list that may be made: as good as running their code
