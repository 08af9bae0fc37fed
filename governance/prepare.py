"""Everything that can be checked before anything is paid for: files, columns, models, keys, names.

What comes out is a `Plan`: the checked config, the raw data, and one digest that is the run's
identity. The same inputs and settings give the same identity, so a rerun finds what is there.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.resources
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.backends.predictions import Columns, Given, read_predictions, row_keys
from governance.backends.prompts import BoundPrompt, Prompt
from governance.backends.shapes import check_reading
from governance.backends.taskprompts import BoundTaskPrompt
from governance.cleaning import clean_dataset, refused
from governance.config import EVALUATORS, AuditConfig, DataConfig, EvaluatorConfig, load_config
from governance.dataset import Labels, Roles
from governance.errors import ConfigError, DataError, MissingExtra
from governance.files import digest_of
from governance.formats import ClassFiles, Source
from governance.imports import Log, read_import, select
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
from governance.policy import Terms
from governance.privacy.policy import ScrubPolicy
from governance.privacy.policy import load_policy as load_scrub_policy
from governance.registry import check, load, nearest
from governance.sources import Dataset, classes_of, digest_source, locate, read_dataset
from governance.store import code_digest, versions
from governance.twins import check_twins
from governance.vendorfacts import VendorFacts, load_vendor
from governance.waiverkeys import waiver_keys

if TYPE_CHECKING:
    from evaluators.base import Evaluator

LIBRARIES = (
    "steelyard", "torch", "transformers", "tokenizers", "opacus", "fairlearn", "presidio-analyzer", "spacy",
    "scikit-learn", "numpy", "scipy", "pyarrow", "duckdb", "dp-accounting", "openai", "anthropic", "skops", "faker",
)  # fmt: skip
WEIGHT_FILES = (".safetensors", ".gguf", ".json", ".txt", ".model", ".jinja", ".py")


@dataclass(frozen=True)
class Plan:
    """A checked audit that is ready to run.

    Attributes:
        config: the YAML.
        path: where it came from.
        roles: which column is what.
        dataset: raw rows; only the scrubber may read their texts.
        labels: the task's classes.
        bases: model name -> folder or file of its pretrained weights, its predictions or its code.
        evaluators: config name -> evaluator, settings checked.
        scrub: the scrub policy.
        terms: what judges the record.
        prompts: model name -> its prompt, fitted to the classes.
        digests: what the run's identity is made of.
        imports: model name -> what another tool measured of it; a model may stand several times.
        given: model name -> what a file says that it answered.
        vendors: model name -> what its vendor's file says.
        wordings: model name -> other prompts that its held-out rows are asked by, fitted to the classes.
    """

    config: AuditConfig
    path: Path
    roles: Roles
    dataset: Dataset
    labels: Labels
    bases: Mapping[str, Path]
    evaluators: Mapping[str, Evaluator]
    scrub: ScrubPolicy
    terms: Terms
    prompts: Mapping[str, BoundPrompt]
    digests: Mapping[str, Any]
    imports: tuple[tuple[str, Log], ...] = ()
    given: Mapping[str, Given] = field(default_factory=dict)
    vendors: Mapping[str, VendorFacts] = field(default_factory=dict)
    wordings: Mapping[str, tuple[BoundPrompt, ...]] = field(default_factory=dict)

    @cached_property
    def identity(self) -> str:
        """Digest of everything that decides the record."""
        return digest_of(self.digests)


def prepare(source: str) -> Plan:
    """Read a config and check all that can be checked at once.

    Raises:
        ConfigError: the message names file, key, what was expected and the nearest valid name.
        DataError: likewise for the data.
    """
    config, path = load_config(source)
    evaluators = {
        entry.name: _having_read(f"{path}: evaluators.{i}", entry, path.parent, config.language)
        for i, entry in enumerate(config.evaluators)
    }
    scrub = within(f"{path}: scrub.policy", lambda: load_scrub_policy(config.scrub.policy, base=path.parent))
    terms = within(f"{path}: policy", lambda: Terms.load(config.policy, config.waivers, base=path.parent))
    terms = within(f"{path}: waivers", lambda: terms.trusting(waiver_keys()))
    check_twins(path, config.models, scrub)
    bases = {name: base for name, model in config.models.items() if (base := base_of(path, name, model)) is not None}
    for name, model in config.models.items():
        if isinstance(model, ClosedModel):
            check_endpoint(path, name, model)
    prompts = {
        name: within(f"{path}: models.{name}.prompt", partial(Prompt.load, prompt, path.parent))
        for name, model in config.models.items()
        if isinstance(model, ClosedModel | HFModel) and (prompt := model.prompt) is not None
    }
    others = {
        name: [
            within(f"{path}: models.{name}.other_prompts.{i}", partial(Prompt.load, prompt, path.parent))
            for i, prompt in enumerate(model.other_prompts)
        ]
        for name, model in config.models.items()
        if isinstance(model, ClosedModel | HFModel) and model.other_prompts
    }
    vendors = vendors_of(path, config.models)
    imports, imported = _imports(path, config)
    data = config.data
    file = source_of(data, path)
    roles = Roles(text=data.text, label=data.label, groups=_groups(config), cluster=data.cluster, unit=data.unit)
    bands = {name: (band.column, band.edges) for name, band in data.bands.items()}
    dataset = within(str(path), lambda: read_dataset(file, roles, bands=bands))
    if data.cleaning is not None:
        _check_cleaning(path, config)
        dataset = clean_dataset(dataset, data.cleaning.made(), language=config.language)
    labels = within(str(path), lambda: classes_of(file, dataset, roles, data.positive))
    for name in config.models:
        _check_fit(path, config, name, dataset, labels, bases.get(name))
    given = _given(path, config, file, dataset, labels)
    bound = {name: within(f"{path}: models.{name}.prompt", partial(p.bind, labels)) for name, p in prompts.items()}
    for name, fitted in bound.items():
        within(f"{path}: models.{name}", partial(check_reading_of, config.models[name], fitted))
    wordings = {name: _wordings(path, name, config, bound[name], found, labels) for name, found in others.items()}
    digests = {
        "config": config.model_dump(mode="json", exclude={"policy", "waivers"}),
        "data": digest_source(file),
        "bases": {name: digest_base(base) for name, base in sorted(bases.items())},
        "scrub": scrub.fingerprint(),
        "prompts": {name: prompt.digest() for name, prompt in sorted(bound.items())}
        | {f"{name} {one.prompt.name}": one.digest() for name, found in sorted(wordings.items()) for one in found},
        "code": code_digest("governance", "evaluators"),
        "evaluators": {name: code_digest(type(built).__module__) for name, built in sorted(evaluators.items())}
        | {f"{name} {what}": digest for name, built in evaluators.items() for what, digest in _read_by(built).items()},
        "probes": digest_source(Path(str(importlib.resources.files("configs") / "probes"))),
        "versions": dict(versions(*LIBRARIES)),
        **({"imports": imported} if imported else {}),
        **({"vendors": {name: facts.digest for name, facts in vendors.items()}} if vendors else {}),
    }
    return Plan(
        *(
            config,
            path,
            roles,
            dataset,
            labels,
            bases,
            evaluators,
            scrub,
            terms,
            bound,
            digests,
            imports,
            given,
            vendors,
        ),
        wordings=wordings,
    )


def _wordings(
    path: Path, name: str, config: AuditConfig, first: BoundPrompt, others: Sequence[Prompt], labels: Labels
) -> tuple[BoundPrompt, ...]:
    """A model's other prompts, fitted to the task; each has a name of its own, by which its figures go."""
    known, found = {first.prompt.name}, list[BoundPrompt]()
    for i, prompt in enumerate(others):
        where = f"{path}: models.{name}.other_prompts.{i}"
        if prompt.name in known:
            raise ConfigError(
                f"{where}: '{prompt.name}' stands twice; raise the version of one (task, language, version)"
            )
        known.add(prompt.name)
        found.append(within(where, partial(prompt.bind, labels)))
        within(where, partial(check_reading_of, config.models[name], found[-1]))
    return tuple(found)


def source_of(data: DataConfig, path: Path) -> Source:
    """The file, the folder or the files of classes that a config names; `path` is the config's.

    Raises:
        DataError: there is no such file or folder.
    """
    if data.path is not None:
        located: Path = within(f"{path}: data.path", lambda: locate(str(data.path), path.parent))
        return located
    files = {
        name: within(f"{path}: data.files.{name}", partial(locate, named, path.parent))
        for name, named in data.files.items()
    }
    return ClassFiles(tuple(sorted(files.items())))


def _having_read(where: str, entry: EvaluatorConfig, folder: Path, language: str) -> Evaluator:
    """An evaluator that has read what its settings name."""
    from evaluators.base import Reads

    built: Evaluator = evaluator_of(where, entry.name, entry.settings)
    return within(where, lambda: built.read(folder, language)) if isinstance(built, Reads) else built


def _read_by(built: Evaluator) -> Mapping[str, str]:
    from evaluators.base import Reads

    return built.digests() if isinstance(built, Reads) else {}


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


def _imports(path: Path, config: AuditConfig) -> tuple[tuple[tuple[str, Log], ...], dict[str, str]]:
    """What other tools measured, by model, and the digest of every file that was read for it."""
    logs, digests = list[tuple[str, Log]](), dict[str, str]()
    for i, entry in enumerate(config.imports):
        where = f"{path}: imports.{i}"
        file = within(f"{where}.path", partial(locate, entry.path, path.parent))
        read = within(f"{where}.path", partial(read_import, file))
        found = within(where, partial(select, read.logs, of=entry.of, task=entry.task))
        logs += [(entry.model, log) for log in found]
        digests |= {f"{i} {name}": digest for name, digest in read.digests.items()}
    return tuple(logs), digests


def within(where: str, act: Any) -> Any:
    """Run a check; what it complains about is prefixed with file and key."""
    try:
        return act()
    except (ConfigError, DataError) as error:
        text = str(error)
        raise type(error)(text if text.startswith(where) else f"{where}: {text}") from None


def evaluator_of(
    where: str,
    name: str,
    settings: Mapping[str, Any],
    *,
    kind: str = "evaluator",
    known: Mapping[str, str] = EVALUATORS,
) -> Any:
    """Build an evaluator from its settings; its dataclass fields are the keys it knows.

    Args:
        where: file and key that name it.
        name: its name in the config.
        settings: the config's.
        kind: what it is called in messages.
        known: the built-in ones.
    """
    within(f"{where}.name", lambda: check(kind, name, known))
    made = load(kind, name, known)
    fields = {field.name: field for field in dataclasses.fields(made) if field.init}
    for key in settings:
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise ConfigError(
                f"{where}.{key}: unknown key '{key}'.{hint} Known: {', '.join(sorted(fields)) or 'none'}."
            )
        default = fields[key].default
        if isinstance(default, bool | int | float | str) and not _fits(settings[key], default):
            wanted = type(default).__name__
            raise ConfigError(f"{where}.{key}: expected {wanted}, found {settings[key]!r}")
    try:
        return made(**{key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int | float) if isinstance(default, float) else isinstance(value, type(default))


def _groups(config: AuditConfig) -> tuple[str, ...]:
    """Group columns; every band is one, whether or not `groups` repeats it."""
    return tuple(dict.fromkeys((*config.data.groups, *config.data.bands)))


def base_of(path: Path, name: str, model: Any) -> Path | None:
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


def _given(path: Path, config: AuditConfig, file: Source, dataset: Dataset, labels: Labels) -> dict[str, Given]:
    """What files say that models answered, matched with the rows of the data."""
    models = {name: model for name, model in config.models.items() if isinstance(model, PredictionsModel)}
    if not models and config.data.id is None:
        return {}
    if isinstance(file, ClassFiles):
        name = next(iter(models))
        raise ConfigError(
            f"{path}: models.{name}: a file of predictions names rows by a key or their number, which plain texts by "
            "class don't have; write the data as a table (data.path)"
        )
    keys = within(str(path), lambda: row_keys(file, config.data.id, dataset.rows, dataset.read))
    found = {}
    for name, model in models.items():
        where = f"{path}: models.{name}"
        if model.scores and set(model.scores) != set(labels.classes):
            classes = ", ".join(labels.classes)
            raise ConfigError(f"{where}.scores: expected a column for each class ({classes}) and for nothing else")
        predicted = within(f"{where}.path", lambda m=model: locate(m.path, path.parent))
        columns = Columns(**model.columns)
        found[name] = within(where, partial(read_predictions, predicted, columns, keys, labels))
    return found


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


def _check_fit(path: Path, config: AuditConfig, name: str, dataset: Dataset, labels: Labels, base: Path | None) -> None:
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


def _check_cleaning(path: Path, config: AuditConfig) -> None:
    """What is cleaned before a private model must be decided row by row, or be named in its claim."""
    private = [name for name, m in config.models.items() if isinstance(m, ClassifierModel) and m.private is not None]
    cleaning = config.data.cleaning
    if private and cleaning is not None and refused(cleaning.made()):
        raise ConfigError(
            f"{path}: data.cleaning.{refused(cleaning.made())[0]}: expected none beside the private model "
            f"'{private[0]}': it looks at all rows at once, which the privacy claim would not cover"
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
    columns = _groups(config)
    if model.group not in columns:
        raise ConfigError(f"{where}.group: no group column '{model.group}'. {nearest(model.group, columns)}")
    if not labels.binary:
        raise ConfigError(f"{where}: expected a task of two classes, found {len(labels.classes)}")
