"""All of a training config that can be checked before a row is scrubbed: recipe, settings, columns, base, policies."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model

from governance import configfile
from governance.building import within
from governance.cleaning import refused
from governance.errors import ConfigError
from governance.files import digest_of
from governance.formats import column_names, known_columns
from governance.prepare import LIBRARIES
from governance.privacy.policy import ScrubPolicy
from governance.privacy.policy import load_policy as load_scrub_policy
from governance.registry import check, load, nearest
from governance.sources import digest_source, locate
from governance.store import code_digest, versions
from governance.tables import Wanted
from governance.trainconfig import Frozen, TrainConfig, TrainingConfig, load_train_config
from governance.traindata import ROWS_CODE, ROWS_LIBRARIES, Source
from governance.training.recipes import RECIPES, SINGLE

if TYPE_CHECKING:
    from governance.training.recipes.base import Recipe

WITHOUT_STEPS = frozenset({"clusters", "tree"})
"""Recipes that take no gradient steps, and so have no learning rate."""
FILES = ("catalogue", "vocabulary")
"""Settings of recipes that may name a file, from the config's folder."""


@dataclass(frozen=True)
class Prepared:
    """A checked training run.

    Attributes:
        config: the YAML.
        path: where it came from.
        recipe: with its settings.
        base: folder or file of pretrained weights.
        source: the rows.
        public: rows that are nobody's secret.
        scrub: the scrub policy.
        digests: what the run's identity is made of.
    """

    config: TrainConfig
    path: Path
    recipe: Recipe
    base: Path | None
    source: Source
    public: Source | None
    scrub: ScrubPolicy
    digests: Mapping[str, Any]

    @cached_property
    def identity(self) -> str:
        """Digest of everything that decides what is trained."""
        return digest_of(self.digests)

    @property
    def recipe_class(self) -> str:
        """`module:class` of the recipe."""
        return f"{type(self.recipe).__module__}:{type(self.recipe).__qualname__}"


def prepare(source: str, changes: Mapping[str, Any] | None = None) -> Prepared:
    """Read a training config and check all that can be checked at once.

    Args:
        source: path of the config, or the name of one that ships.
        changes: settings of `training` in place of the config's.

    Raises:
        ConfigError: the message names file, key, what was expected and the nearest valid name.
        DataError: likewise for the data.
    """
    config, path = load_train_config(source)
    if changes:
        training = configfile.validate(TrainingConfig, {**config.training.model_dump(), **changes}, path)
        config = config.model_copy(update={"training": training})
    within(f"{path}: training.recipe", lambda: check("recipe", config.training.recipe, RECIPES))
    kind = load("recipe", config.training.recipe, RECIPES)
    recipe, files = recipe_of(kind, config.training, path)
    if isinstance(getattr(recipe, "options", None), Mapping):  # of the recipe inside, checked like its own
        inner = config.training.of_loop() | {"recipe": recipe.classifier} | dict(recipe.options)  # type: ignore[attr-defined]
        within(f"{path}: training.classifier", lambda: check("recipe", inner["recipe"], RECIPES))
        _, inside = recipe_of(load("recipe", inner["recipe"], RECIPES), TrainingConfig(**inner), path)
        files |= inside
    scrub = within(f"{path}: scrub.policy", lambda: load_scrub_policy(config.scrub.policy, base=path.parent))
    wanted = columns_of(kind, config, path)
    _check_cleaning(config, wanted, path)
    if config.training.learning_rate is None and config.training.recipe not in WITHOUT_STEPS:
        raise ConfigError(f"{path}: training.learning_rate: this key is required by recipe '{config.training.recipe}'")
    _check_early_stopping(config, path)
    base = _base(kind, config, path)
    file = within(f"{path}: data.path", lambda: locate(config.data.path, path.parent))
    _check_columns(file, config, wanted, path)
    private = config.private
    rows = Source(
        path=file,
        wanted=wanted,
        unit=config.data.unit,
        cap=private.cap if private and private.unit == "user" else None,
        rows=config.data.rows,
        seed=config.seed,
        cleaning=config.cleaning.made(),
        language=config.language,
        declared=_declared(recipe),
    )
    public = None
    if config.public is not None:
        given = config.public
        found = within(f"{path}: public.path", lambda: locate(given.path, path.parent))
        public = dataclasses.replace(rows, path=found, unit=None, cap=None, rows=given.rows)
    told = config.model_dump(mode="json", exclude={"title": True, "data": {"budget"}, "ledger": True, "scrub": True})
    digests = {
        "config": told,
        "data": digest_source(file),
        "public": None if public is None else digest_source(public.path),
        "base": None if base is None else digest_source(base),
        "files": {name: digest_source(file) for name, file in files.items()},
        "scrub": scrub.fingerprint(),
        "code": code_digest("governance.training", *ROWS_CODE),
        "versions": dict(versions(*LIBRARIES, *ROWS_LIBRARIES, "peft", "dp-accounting")),
    }
    return Prepared(config, path, recipe, base, rows, public, scrub, digests)


def recipe_of(kind: Any, training: TrainingConfig, path: Path) -> tuple[Recipe, dict[str, Path]]:
    """A recipe with the settings of a config, checked like the rest of it, and the files that they name.

    Raises:
        ConfigError: a key that the recipe doesn't know, or a value that it can't have.
    """
    hints = typing.get_type_hints(kind)
    fields: dict[str, Any] = {}
    for one in dataclasses.fields(kind):
        if one.init:
            default = one.default
            if default is dataclasses.MISSING:
                factory = one.default_factory
                default = ... if factory is dataclasses.MISSING else Field(default_factory=factory)
            fields[one.name] = (hints[one.name], default)
    for name in fields.keys() & TrainingConfig.model_fields.keys():
        raise ConfigError(f"recipe '{training.recipe}': its setting '{name}' has the name of one of the loop's")
    given = training.of_recipe
    for key in given:
        if key not in fields:
            known = [*fields, *TrainingConfig.model_fields]
            raise ConfigError(f"{path}: training.{key}: unknown key '{key}' in training. {nearest(key, known)}")
    settings = create_model("Settings", __base__=Frozen, **fields)
    outer = create_model("Recipe", __base__=Frozen, training=(settings, ...))
    checked: Any = configfile.validate(outer, {"training": given}, path)
    values = {name: getattr(checked.training, name) for name in given}
    files = {name: path.parent / values[name] for name in FILES if isinstance(values.get(name), str)}
    files = {name: file for name, file in files.items() if file.is_file()}
    try:
        made: Recipe = kind(**values | {name: str(file) for name, file in files.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: training: {error}") from None
    return made, files


def columns_of(kind: Any, config: TrainConfig, path: Path) -> dict[str, Wanted]:
    """Name that the recipe knows -> column of the file.

    Raises:
        ConfigError: a name that the recipe doesn't know, a required one without a column, a column named twice.
    """
    given, known = config.data.columns, kind.columns
    blank = getattr(kind, "blank", ())  # columns in which an empty text says something
    wanted: dict[str, Wanted] = {}
    for name in given:
        if name not in known:
            raise ConfigError(
                f"{path}: data.columns.{name}: recipe '{config.training.recipe}' reads no such column. "
                f"{nearest(name, known)}"
            )
    for name, column in known.items():
        key = f"data.columns.{name}"
        value = given.get(name, () if column.several else None if column.optional else name)
        if value is None:
            continue
        if column.several:
            named = value if isinstance(value, Mapping) else {one: one for one in _tuple(value)}
            if not named and not column.optional:
                raise ConfigError(f"{path}: {key}: expected a list of columns")
        elif isinstance(value, str):
            named = {name: value}
        else:
            raise ConfigError(f"{path}: {key}: expected the name of one column, found several")
        for own, found in named.items():
            if own in wanted:
                raise ConfigError(f"{path}: {key}: '{own}' stands twice in data.columns")
            required = not column.optional and own not in blank
            place = f"{key}.{own}" if column.several else key
            wanted[own] = Wanted(column=found, role=column.role, required=required, blank=own in blank, key=place)
    return wanted


def _tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _check_columns(file: Path, config: TrainConfig, wanted: Mapping[str, Wanted], path: Path) -> None:
    names = within(f"{path}: data.path", lambda: column_names(file))
    asked = {one.key: one.column for one in wanted.values()} | (
        {"data.unit": config.data.unit} if config.data.unit else {}
    )
    for key, column in asked.items():
        if column not in names:
            raise ConfigError(f"{path}: {key}: no column '{column}' in {file.name}. {known_columns(column, names)}")


def _check_cleaning(config: TrainConfig, wanted: Mapping[str, Wanted], path: Path) -> None:
    cleaning = config.cleaning
    numbers = [name for name, one in wanted.items() if one.role == "number"]
    for section, given in (("fill", cleaning.fill), ("bounds", cleaning.bounds)):
        for name in given:
            if name not in numbers:
                raise ConfigError(
                    f"{path}: cleaning.{section}.{name}: no number column '{name}' is read. {nearest(name, numbers)}"
                )
    if config.private is not None:
        for name in refused(cleaning.made()):
            instead = "cleaning.bounds with public bounds" if name == "outliers" else "duplicates or near_duplicates"
            raise ConfigError(
                f"{path}: cleaning.{name}: expected none in a private run: it looks at all rows at once, which the "
                f"privacy claim would not cover; use {instead}"
            )


def _declared(recipe: Recipe) -> tuple[str, ...]:
    """Names that a recipe's settings list: public by that."""
    listed = [*getattr(recipe, "classes", ()), *getattr(recipe, "items", ()), getattr(recipe, "unlabelled", "")]
    for names in getattr(recipe, "categories", {}).values():
        listed += names
    return tuple(sorted({*listed, *getattr(recipe, "options", {}).get("classes", ())}))


def _check_early_stopping(config: TrainConfig, path: Path) -> None:
    if config.training.recipe in SINGLE and config.public is not None:
        raise ConfigError(f"{path}: public: expected none; recipe '{config.training.recipe}' looks at no public rows")


def _base(kind: Any, config: TrainConfig, path: Path) -> Path | None:
    given = config.training.base
    if given is None:
        if kind.needs_base:
            raise ConfigError(
                f"{path}: training.base: recipe '{config.training.recipe}' starts from pretrained weights; "
                "name a folder, a GGUF file or package:module/path"
            )
        return None
    if not getattr(kind, "reads_base", kind.needs_base):
        raise ConfigError(f"{path}: training.base: expected none; '{config.training.recipe}' starts from nothing")
    base: Path = within(f"{path}: training.base", lambda: locate(given, path.parent))
    if base.is_file() and config.training.recipe != "causal-lm":
        raise ConfigError(f"{path}: training.base: expected a model folder; a GGUF file serves 'causal-lm' alone")
    if base.is_dir() and not (base / "config.json").is_file():
        raise ConfigError(
            f"{path}: training.base: expected a Hugging Face model folder with config.json, or a GGUF file"
        )
    return base
