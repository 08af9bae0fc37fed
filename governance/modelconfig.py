"""The YAML of one model: which kind it is, where it comes from, how it is trained or asked."""

from __future__ import annotations

import urllib.parse
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from governance.localmodels import HFModel, SklearnModel
from governance.modelbase import Frozen, Model, Reading, Share, Twin

__all__ = [
    "AnthropicModel",
    "CallableModel",
    "ClassifierModel",
    "ClosedModel",
    "FineTune",
    "Frozen",
    "HFModel",
    "Launch",
    "LexicalModel",
    "MitigatedModel",
    "ModelConfig",
    "OpenAIModel",
    "PredictionsModel",
    "Private",
    "Reading",
    "ScriptedModel",
    "Share",
    "SklearnModel",
    "TfidfModel",
    "TokenPrice",
    "Twin",
    "VariantModel",
    "VendorLimits",
]  # fmt: skip


class Private(Frozen):
    """DP-SGD. Rate, steps and batch are public constants: they must not be derived from the private rows."""

    epsilon: PositiveFloat
    delta: Annotated[float, Field(gt=0, lt=1)]
    sample_rate: Annotated[float, Field(gt=0, le=1)]
    steps: PositiveInt
    batch: PositiveFloat  # the divisor of the noisy gradient sum, whatever a draw's size
    clipping: PositiveFloat = 1.0
    clipping_style: Literal["fixed", "auto-s"] = "fixed"
    unit: Literal["record", "user"] = "record"  # user: by the column `data.unit`
    cap: PositiveInt = 1  # rows of one user at most; others are left out
    drawn: Literal["record", "user"] = "user"  # of a user: each row by its own coin, or all at once
    on_budget: Literal["refuse", "stop"] = "refuse"  # when the data set's budget refuses a block of steps
    publish_loss: bool = False  # put the training loss into the record, flagged: it is private information

    @model_validator(mode="after")
    def _cap_of_users(self) -> Private:
        if self.unit == "record" and self.cap != 1:
            raise ValueError("cap: expected none with unit record; it bounds a user's rows")
        return self


class TfidfModel(Reading):
    """TF-IDF + logistic regression: fast, readable, hard to beat."""

    kind: Literal["tfidf-logistic"]
    max_features: PositiveInt = 50_000
    regularisation: PositiveFloat = 1.0  # scikit-learn's C


class ClassifierModel(Reading):
    """A pretrained encoder with a head: lower layers frozen and computed once, the rest trained."""

    kind: Literal["classifier"]
    base: str  # a folder, or package:module/path
    cached_layers: Annotated[int, Field(ge=1)]
    trained_layers: Annotated[int, Field(ge=0)] = 0
    max_tokens: Annotated[int, Field(ge=8, le=512)] = 64
    epochs: PositiveInt = 2  # non-private training; private training counts steps
    batch: PositiveInt = 32
    learning_rate: PositiveFloat
    class_weights: dict[str, PositiveFloat] = Field(default_factory=dict)  # public constants
    word_buckets: Annotated[int, Field(ge=0, le=2**22)] = 0  # hashed words beside the states
    rank: Annotated[int, Field(ge=0, le=256)] = 0  # of LoRA on the trained layers; 0: they are trained in full
    optimizer: Literal["adamw", "sgd"] | None = None  # None: adamw, or sgd with momentum where private
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["constant", "linear", "cosine"] | None = None  # None: linear, or constant where private
    average: Annotated[float, Field(ge=0, le=1)] = 0.0  # the last share of steps whose mean weights are kept
    private: Private | None = None

    @model_validator(mode="after")
    def _layers_to_adapt(self) -> ClassifierModel:
        if self.rank and not self.trained_layers:
            raise ValueError("rank: expected trained_layers beside it, the layers that get LoRA")
        return self


class Launch(Frozen):
    """Start a local OpenAI-compatible server for the time of the audit."""

    server: Literal["transformers-serve"]
    model: str  # folder or GGUF file; package:module/path works
    timeout: PositiveFloat = 240.0


class TokenPrice(Frozen):
    """Money per million tokens."""

    read: PositiveFloat
    written: PositiveFloat


class VendorLimits(Frozen):
    """What the vendor takes."""

    rows: PositiveInt = 10  # examples that a job needs at least
    bytes: PositiveInt = 512_000_000  # of a file
    tokens: PositiveInt = 65_536  # of one example


class FineTune(Frozen):
    """The vendor trains `base` on the scrubbed training rows. They leave this machine; no privacy claim covers it."""

    base: str = Field(min_length=1)  # the vendor's name for the model to start from
    epochs: PositiveInt | Literal["auto"] = "auto"
    batch_size: PositiveInt | Literal["auto"] = "auto"
    learning_rate_multiplier: PositiveFloat | Literal["auto"] = "auto"
    suffix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] | None = None
    validation_share: Share | None = None  # of the training rows, for the vendor's own figures; they leave as well
    budget: NonNegativeFloat  # the most that the job may cost, in `currency`
    price_per_million_tokens: NonNegativeFloat  # of trained tokens
    delete_file: bool = False  # ask the vendor to delete the rows once the job has ended
    hours: PositiveFloat = 24.0  # to follow it; it goes on after that, and so does a later run
    limits: VendorLimits = VendorLimits()


class ClosedModel(Reading):
    """What every model behind an API has: a prompt, a key, a price, and how it may be asked."""

    kind: str
    prompt: str
    other_prompts: tuple[str, ...] = ()  # the held-out rows are asked by each of them too; see docs/wording.md
    base_url: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    price_per_million_tokens: TokenPrice | None = None
    budget: NonNegativeFloat | None = None  # the most that all its answers may cost, in `currency`; None: no limit
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None  # read and written together
    concurrency: PositiveInt = 4
    timeout: PositiveFloat = 60.0
    max_retries: Annotated[int, Field(ge=0, le=20)] = 5
    max_tokens: PositiveInt = 8
    structured: Annotated[bool, Field(strict=True)] = False  # hold answers to a JSON schema

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.base_url is not None and not self.base_url.startswith(("http://", "https://")):
            raise ValueError("expected base_url to start with http:// or https://")
        parts = urllib.parse.urlsplit(self.base_url or "")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("expected base_url without a password, parameters or fragment; keys go into api_key_env")
        if self.budget is not None and self.price_per_million_tokens is None:
            raise ValueError("budget: expected price_per_million_tokens beside it, to know what is spent")
        if self.structured and self.max_tokens < 32:
            raise ValueError(f"max_tokens: expected at least 32, for the JSON of structured, found {self.max_tokens}")
        return self


class OpenAIModel(ClosedModel):
    """A model behind an OpenAI-compatible API: a vendor's, or one that `launch` starts on loopback."""

    kind: Literal["openai"]
    launch: Launch | None = None
    fine_tune: FineTune | None = None  # then there is no `model`: the vendor names the one that it makes
    logprobs: Annotated[bool, Field(strict=True)] = False  # scores from the probability of an answer's first token
    top_logprobs: Annotated[int, Field(ge=1, le=20)] = 20  # alternatives of a token that are asked for

    @model_validator(mode="after")
    def _readable(self) -> OpenAIModel:
        if self.structured and self.logprobs:
            raise ValueError("logprobs: expected false beside structured, whose answers all begin with the same brace")
        if "top_logprobs" in self.model_fields_set and not self.logprobs:
            raise ValueError("top_logprobs: expected logprobs: true beside it")
        return self

    @model_validator(mode="after")
    def _one_server(self) -> OpenAIModel:
        if (self.launch is None) == (self.base_url is None):
            raise ValueError("expected exactly one of launch (a local server) and base_url (a vendor's)")
        if self.fine_tune is not None and self.base_url is None:
            raise ValueError("fine_tune: expected base_url, a vendor's; what launch starts can't train")
        if self.fine_tune is not None and self.model is not None:
            raise ValueError("fine_tune: expected no model beside it; the model to start from is fine_tune.base")
        if self.base_url is not None and self.model is None and self.fine_tune is None:
            raise ValueError("expected model, the vendor's name for it, beside base_url")
        return self


class AnthropicModel(ClosedModel):
    """A model behind Anthropic's Messages API: the vendor's own, or a gateway that speaks it."""

    kind: Literal["anthropic"]
    model: str = Field(min_length=1)
    base_url: str | None = None  # None: the vendor's own; without "/v1"
    max_tokens: PositiveInt = 16  # thoughts included
    thinking: Literal["disabled"] | None = None  # None: as the model does by itself

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.base_url is None and self.api_key_env is None:
            raise ValueError("expected api_key_env, the environment variable that holds the key")
        if urllib.parse.urlsplit(self.base_url or "").path.rstrip("/").endswith("/v1"):
            raise ValueError("base_url: expected the address without /v1, which is added")
        return self


class PredictionsModel(Model):
    """What another system answered, from a file that it wrote; every key but `path` names a column of it."""

    kind: Literal["predictions"]
    path: str  # Parquet, CSV, TSV or JSON lines; package:module/path works
    id: str = "id"  # a row's value of data.id or, where that is not given, its number, from 0
    label: str = "label"  # of tasks that write or rank: the column of its words, or of a list of scores
    scores: dict[str, str] = Field(default_factory=dict)  # class -> column of its probability: all classes, or none
    seconds: str | None = None
    failure: str | None = None  # rows in which it says anything have failed

    @property
    def columns(self) -> dict[str, Any]:
        """What its columns mean."""
        return self.model_dump(include={"id", "label", "scores", "seconds", "failure"})

    @model_validator(mode="after")
    def _timed_if_priced(self) -> PredictionsModel:
        if self.price_per_hour is not None and self.seconds is None:
            raise ValueError("price_per_hour: expected seconds beside it, the column of the time that each row took")
        return self


class CallableModel(Reading):
    """A Python function: a list of texts in, one label, or {label: probability}, per text out."""

    kind: Literal["callable"]
    function: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]  # module:function
    code: Annotated[bool, Field(strict=True)] = False  # nothing of the module is run unless this is true
    scores: bool = False  # it answers with {label: probability}
    batch: Annotated[int, Field(ge=1, le=64)] = 32  # texts at a time

    @model_validator(mode="after")
    def _vouched_for(self) -> CallableModel:
        if not self.code:
            raise ValueError(
                f"code: expected true, since '{self.function}' is run in this process and may do whatever you may; "
                "a config from somebody else could name any function there is"
            )
        return self


class ScriptedModel(ClosedModel):
    """A model that plays fixed answers: an audit's whole way without a key and without money."""

    kind: Literal["scripted"]
    answers: tuple[str, ...] = Field(min_length=1)  # which one a message gets hangs on its words
    failing: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)  # reason -> share
    delay: NonNegativeFloat = 0.0  # seconds

    @model_validator(mode="after")
    def _no_endpoint(self) -> ScriptedModel:
        for key in ("base_url", "model", "api_key_env"):
            if getattr(self, key) is not None:
                raise ValueError(f"{key}: expected none; a script is nobody's endpoint")
        if self.structured:
            raise ValueError("structured: expected false; a script answers as it is written")
        if sum(self.failing.values()) > 1:
            raise ValueError("failing: expected shares that sum to at most 1")
        return self


class LexicalModel(Model):
    """Rules on shared words, in place of a model: what a task's other models must beat."""

    kind: Literal["lexical"]
    rule: Literal["words", "shortest"] = "words"  # shortest, of rankings: the candidate of fewest characters first
    least: Annotated[float, Field(ge=0, le=1)] = 0.2  # likeness below which a sentence is no answer


class MitigatedModel(Model):
    """Another model of the config, made fairer between the groups of one column: a model in its own right."""

    kind: Literal["mitigated"]
    of: str  # a model that this audit trains, without privacy
    method: Literal["threshold-optimizer", "exponentiated-gradient", "reweighing"]
    constraint: Literal["demographic-parity", "equalized-odds"] | None = None
    group: str  # a group column of the data
    tolerance: Share | None = None  # exponentiated-gradient: how far a group's rate may be from everybody's

    @model_validator(mode="after")
    def _fits_method(self) -> MitigatedModel:
        if self.method == "reweighing" and self.constraint is not None:
            raise ValueError(f"constraint: expected none with method reweighing, found '{self.constraint}'")
        if self.method != "reweighing" and self.constraint is None:
            wanted = "demographic-parity or equalized-odds"
            raise ValueError(f"constraint: expected {wanted} with method {self.method}, found none")
        if self.method != "exponentiated-gradient" and self.tolerance is not None:
            raise ValueError(f"tolerance: expected none with method {self.method}, found {self.tolerance:g}")
        return self


_CHANGED: dict[str, Literal["quantised", "distilled"]] = {"int8": "quantised", "distilled": "distilled"}


class VariantModel(Model):
    """A smaller model made from one that this audit trains: its weights in 8-bit integers, or a student of its."""

    kind: Literal["variant"]
    of: str  # a model that this audit trains
    by: Literal["int8", "distilled"]
    max_features: PositiveInt = 20_000  # of the student, which is TF-IDF + logistic regression
    regularisation: PositiveFloat = 1.0  # likewise; scikit-learn's C

    @model_validator(mode="before")
    @classmethod
    def _is_a_twin(cls, raw: Any) -> Any:
        """What it is made from is what it is held against; nobody needs to say so twice."""
        if isinstance(raw, dict) and "twin" not in raw and {"of", "by"} <= raw.keys():
            return {**raw, "twin": {"of": raw["of"], "by": _CHANGED.get(str(raw["by"]), "distilled")}}
        return raw

    @model_validator(mode="after")
    def _fits_way(self) -> VariantModel:
        if self.twin != Twin(of=self.of, by=_CHANGED[self.by]):
            raise ValueError(f"twin: expected none: a variant is held against the model that it is of, '{self.of}'")
        for key in ("max_features", "regularisation"):
            if self.by == "int8" and key in self.model_fields_set:
                raise ValueError(f"{key}: expected none with by int8; it is for a student (by: distilled)")
        return self


ModelConfig = Annotated[
    TfidfModel
    | ClassifierModel
    | OpenAIModel
    | AnthropicModel
    | ScriptedModel
    | LexicalModel
    | PredictionsModel
    | CallableModel
    | HFModel
    | SklearnModel
    | MitigatedModel
    | VariantModel,
    Field(discriminator="kind"),
]
