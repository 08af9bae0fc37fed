"""Everything that can be checked before anything is paid for: files, columns, models, keys, names.

What comes out is a `Plan`: the checked config, the raw data, and one digest that is the run's
identity. The same inputs and settings give the same identity, so a rerun finds what is there.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.backends.predictions import Columns, Given, read_predictions, row_keys
from governance.backends.prompts import BoundPrompt, Prompt
from governance.building import evaluator_of, within
from governance.cleaning import clean_dataset, refused
from governance.config import AuditConfig, DataConfig, EvaluatorConfig, load_config
from governance.dataset import Labels, Roles
from governance.errors import ConfigError
from governance.files import digest_of
from governance.formats import ClassFiles, Source
from governance.imports import Log, read_import, select
from governance.modelchecks import base_of, check_endpoint, check_fit, check_reading_of, digest_base, vendors_of
from governance.modelconfig import (
    ClassifierModel,
    ClosedModel,
    HFModel,
    PredictionsModel,
)
from governance.policy import Terms
from governance.privacy.policy import ScrubPolicy
from governance.privacy.policy import load_policy as load_scrub_policy
from governance.sources import Dataset, classes_of, digest_source, locate, read_dataset
from governance.store import code_digest, versions
from governance.twins import check_twins
from governance.vendorfacts import VendorFacts
from governance.waiverkeys import waiver_keys

if TYPE_CHECKING:
    from evaluators.base import Evaluator

LIBRARIES = (
    "steelyard", "torch", "transformers", "tokenizers", "opacus", "fairlearn", "presidio-analyzer", "spacy",
    "scikit-learn", "numpy", "scipy", "pyarrow", "duckdb", "dp-accounting", "openai", "anthropic", "skops", "faker",
)  # fmt: skip


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
    prompts, others = _loaded(path, config)
    vendors = vendors_of(path, config.models)
    imports, imported = _imports(path, config)
    file = source_of(config.data, path)
    roles, dataset, labels = rows_of(path, config, file)
    for name in config.models:
        check_fit(path, config, name, dataset, labels, bases.get(name))
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
        config=config,
        path=path,
        roles=roles,
        dataset=dataset,
        labels=labels,
        bases=bases,
        evaluators=evaluators,
        scrub=scrub,
        terms=terms,
        prompts=bound,
        digests=digests,
        imports=imports,
        given=given,
        vendors=vendors,
        wordings=wordings,
    )


def _loaded(path: Path, config: AuditConfig) -> tuple[dict[str, Prompt], dict[str, list[Prompt]]]:
    """Model name -> its prompt, and its other prompts, as read."""
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
    return prompts, others


def rows_of(path: Path, config: AuditConfig, file: Source) -> tuple[Roles, Dataset, Labels]:
    """The data, read, cleaned and looked at."""
    data = config.data
    roles = Roles(text=data.text, label=data.label, groups=data.group_columns, cluster=data.cluster, unit=data.unit)
    bands = {name: (band.column, band.edges) for name, band in data.bands.items()}
    dataset = within(str(path), lambda: read_dataset(file, roles, bands=bands))
    if data.cleaning is not None:
        _check_cleaning(path, config)
        dataset = clean_dataset(dataset, data.cleaning.made(), language=config.language)
    return roles, dataset, within(str(path), lambda: classes_of(file, dataset, roles, data.positive))


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


def _check_cleaning(path: Path, config: AuditConfig) -> None:
    """What is cleaned before a private model must be decided row by row, or be named in its claim."""
    private = [name for name, m in config.models.items() if isinstance(m, ClassifierModel) and m.private is not None]
    cleaning = config.data.cleaning
    if private and cleaning is not None and refused(cleaning.made()):
        raise ConfigError(
            f"{path}: data.cleaning.{refused(cleaning.made())[0]}: expected none beside the private model "
            f"'{private[0]}': it looks at all rows at once, which the privacy claim would not cover"
        )
