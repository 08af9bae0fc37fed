"""What can be known of a config's models before anything runs: where they come from, and that they fit the data."""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from governance.backends.prompts import BoundPrompt
from governance.backends.shapes import check_reading
from governance.backends.taskprompts import BoundTaskPrompt
from governance.building import within
from governance.config import AuditConfig
from governance.dataset import Labels
from governance.errors import ConfigError, MissingExtra
from governance.files import digest_of
from governance.modelconfig import (
    AnthropicModel,
    CallableModel,
    ClassifierModel,
    ClosedModel,
    HFModel,
    MitigatedModel,
    OpenAIModel,
    PredictionsModel,
    ScriptedModel,
    SklearnModel,
    TfidfModel,
)
from governance.registry import nearest
from governance.sources import Dataset, digest_source, locate
from governance.vendorfacts import VendorFacts, load_vendor

WEIGHT_FILES = (".safetensors", ".gguf", ".json", ".txt", ".model", ".jinja", ".py")


def vendors_of(path: Path, models: Mapping[str, Any]) -> dict[str, VendorFacts]:
    """What the vendors' files say, by model.

    Args:
        path: of the config.
        models: its models.

    Raises:
        ConfigError: no such file or product, or the config's price isn't the file's.
    """
    found = {}
    for name, model in models.items():
        if model.vendor is None:
            continue
        tuned = getattr(model, "fine_tune", None)
        product = tuned.base if tuned is not None else getattr(model, "model", None)
        where = f"{path}: models.{name}"
        facts = within(f"{where}.vendor", partial(load_vendor, model.vendor, path.parent, product=product))
        price = getattr(model, "price_per_million_tokens", None)
        for key in ("read", "written") if price is not None and tuned is None else ():
            fact, stated = getattr(facts.facts, f"price_{key}"), getattr(price, key)
            if fact is not None and (fact.value, facts.currency) != (stated, model.currency):
                raise ConfigError(
                    f"{where}.price_per_million_tokens.{key}: expected {fact.value:g} {facts.currency}, as the vendor "
                    f"file of {facts.as_of} has it, found {stated:g} {model.currency}; correct the one that is out of "
                    "date"
                )
        found[name] = facts
    return found


def base_of(path: Path, name: str, model: Any) -> Path | None:
    """The folder or file that a model is made from or answers from; None: it has none.

    Raises:
        ConfigError: there is no such thing, or it isn't one that can be used.
    """
    if isinstance(model, ClassifierModel):
        base: Path = within(f"{path}: models.{name}.base", lambda: locate(model.base, path.parent))
        _check_layers(f"{path}: models.{name}", base, model)
        return base
    if isinstance(model, OpenAIModel) and model.launch is not None:
        where = f"{path}: models.{name}.launch.model"
        launched: Path = within(where, lambda: locate(model.launch.model, path.parent))
        return launched
    if isinstance(model, PredictionsModel):
        where = f"{path}: models.{name}.path"
        predicted: Path = within(where, lambda: locate(model.path, path.parent))
        if not predicted.is_file():
            raise ConfigError(f"{where}: expected a file, found a folder")
        return predicted
    if isinstance(model, CallableModel):
        from governance.backends.callable import load_function, source_of

        source: Path = within(f"{path}: models.{name}.function", lambda: source_of(model.function))
        within(f"{path}: models.{name}.function", lambda: load_function(model.function))  # a typo is told before a run
        return source
    return _local(path, name, model)


def _local(path: Path, name: str, model: Any) -> Path | None:
    """A model of this disk that is used as it is."""
    if isinstance(model, HFModel):
        from governance.backends.hf.source import find

        where, asked = f"{path}: models.{name}.base", model
        found: Path = within(
            where, lambda: find(asked.base, path.parent, revision=asked.revision, file=asked.file, code=asked.code)
        )
        return found
    if isinstance(model, SklearnModel):
        from governance.backends.sklearn import check_file

        pipeline: Path = within(f"{path}: models.{name}.path", lambda: locate(model.path, path.parent))
        within(f"{path}: models.{name}.path", lambda: check_file(pipeline, model.trusted))
        return pipeline
    return None


def _check_layers(where: str, base: Path, model: ClassifierModel) -> None:
    """A model folder that can be cut where the config says."""
    file = base / "config.json"
    if not file.is_file():
        raise ConfigError(f"{where}.base: expected a Hugging Face model folder with config.json")
    try:
        settings = json.loads(file.read_bytes())
        layers = int(settings.get("num_hidden_layers") or settings["n_layers"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{where}.base: its config.json names no number of layers; is it an encoder?") from None
    if model.cached_layers + model.trained_layers > layers:
        wanted = f"{model.cached_layers} cached and {model.trained_layers} trained layers"
        raise ConfigError(f"{where}.cached_layers: expected at most {layers} layers in all, found {wanted}")


def digest_base(base: Path) -> str:
    """Digest of a model's weights, settings, tokenizer and code; a README or a cache file doesn't count."""
    if base.is_file():
        return digest_source(base)
    files = sorted(file for file in base.iterdir() if file.is_file() and file.suffix in WEIGHT_FILES)
    return "sha256:" + digest_of({file.name: digest_source(file) for file in files})


def check_endpoint(path: Path, name: str, model: ClosedModel) -> None:
    """That a model behind an API could be asked.

    Raises:
        MissingExtra: its vendor's SDK isn't installed.
        ConfigError: its key is not there.
    """
    if isinstance(model, ScriptedModel):
        return
    sdk, extra = ("anthropic", "anthropic") if isinstance(model, AnthropicModel) else ("openai", "api")
    if importlib.util.find_spec(sdk) is None:
        raise MissingExtra(f"{path}: models.{name}: kind {model.kind} needs {sdk}: pip install 'steelyard[{extra}]'")
    if model.api_key_env is not None and not os.environ.get(model.api_key_env):
        raise ConfigError(
            f"{path}: models.{name}.api_key_env: the environment variable '{model.api_key_env}' is not set; "
            f"export it before the audit (the key itself never stands in a config)"
        )
    if model.api_key_env is not None and not os.environ[model.api_key_env].isprintable():
        raise ConfigError(f"{path}: models.{name}.api_key_env: the key holds characters that can't be sent")


def check_reading_of(model: Any, prompt: BoundPrompt | BoundTaskPrompt) -> None:
    """What an endpoint is asked for beside words must be something that the task's answers allow."""
    if isinstance(model, OpenAIModel | AnthropicModel):
        scored = isinstance(model, OpenAIModel) and model.logprobs
        check_reading(prompt, structured=model.structured, scored=scored)


def check_fit(path: Path, config: AuditConfig, name: str, dataset: Dataset, labels: Labels, base: Path | None) -> None:
    """A model's settings must fit the data: its classes, its number of rows."""
    model = config.models[name]
    if isinstance(model, ClassifierModel):
        rows = min(config.data.rows or len(dataset), len(dataset)) * (1 - config.data.test_share)
        private = model.private
        if private is not None and private.unit == "record" and private.delta * rows >= 1:
            raise ConfigError(
                f"{path}: models.{name}.private.delta: expected below 1/n = {1 / rows:.3g} for about {rows:.0f} "
                f"training rows, found {private.delta:g}"
            )
        for label in model.class_weights:
            if label not in labels.classes:
                known = ", ".join(labels.classes)
                raise ConfigError(f"{path}: models.{name}.class_weights: no class '{label}'. Known: {known}.")
    if isinstance(model, OpenAIModel) and model.fine_tune is not None:
        rows, needed = min(config.data.rows or len(dataset), len(dataset)), model.fine_tune.limits.rows
        if rows * (1 - config.data.test_share) < needed:
            about = f"about {rows * (1 - config.data.test_share):.0f}"
            raise ConfigError(
                f"{path}: models.{name}.fine_tune: the vendor needs at least {needed} training rows, found {about}"
            )
    if isinstance(model, HFModel):
        within(f"{path}: models.{name}", lambda: _check_head(model, base, labels))
    if isinstance(model, MitigatedModel):
        _check_mitigated(f"{path}: models.{name}", config, model, labels)


def _check_head(model: HFModel, base: Path | None, labels: Labels) -> None:
    """A local model must be able to tell classes apart: by a head whose labels they are, or by a prompt."""
    from governance.backends.hf.source import check_folder, class_columns

    if model.head == "classification" and base is not None:
        class_columns(check_folder(base, code=model.code).labels, model.labels, labels.classes)
    elif model.prompt is None:
        raise ConfigError(
            f"head: expected classification, or causal or seq2seq with a prompt, in an audit of labels; found "
            f"{model.head} without a prompt"
        )


def _check_mitigated(where: str, config: AuditConfig, model: MitigatedModel, labels: Labels) -> None:
    """What a mitigated model stands on must be there, be trained here, and promise nothing that this would break."""
    base = config.models.get(model.of)
    if base is None:
        raise ConfigError(f"{where}.of: no model '{model.of}'. {nearest(model.of, config.models)}")
    if isinstance(base, MitigatedModel):
        raise ConfigError(f"{where}.of: expected a model that isn't mitigated itself, found '{model.of}'")
    if not isinstance(base, TfidfModel | ClassifierModel):
        kind = f"'{model.of}' of kind {base.kind}"
        raise ConfigError(f"{where}.of: expected a model that this audit trains, found {kind}")
    if isinstance(base, ClassifierModel) and base.private is not None:
        raise ConfigError(
            f"{where}.of: expected a model trained without privacy, found '{model.of}', whose privacy claim would not "
            f"cover what is fitted here on the rows' labels and their values of '{model.group}'"
        )
    columns = config.data.group_columns
    if model.group not in columns:
        raise ConfigError(f"{where}.group: no group column '{model.group}'. {nearest(model.group, columns)}")
    if not labels.binary:
        raise ConfigError(f"{where}: expected a task of two classes, found {len(labels.classes)}")
