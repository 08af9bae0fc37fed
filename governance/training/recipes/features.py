"""Tables and frozen embeddings to vectors, row by row, by public rules alone.

Numbers are clipped to bounds and scaled to [-1, 1], with a flag where one is missing. Categories are one-hot over a
public list, or over hash buckets. Texts are hashed words, or the mean of a frozen encoder's outputs, either of unit
length. So a row's vector never depends on another row, and adding or removing a row changes no other vector.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from governance.dataset import ModelText, ScrubbedTable
from governance.errors import ConfigError, DataError
from governance.training.recipes.base import Column
from governance.training.recipes.vocabulary import bucket
from governance.training.words import HashedWords

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TARGET = "label"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a model of tables is given; all columns of length n.

    Attributes:
        texts: column -> texts.
        categories: column -> names.
        numbers: column -> values, not finite where missing.
    """

    texts: Mapping[str, Sequence[ModelText]] = field(default_factory=dict)
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    numbers: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: ScrubbedTable) -> Inputs:
        """A table's columns, without its target."""
        return cls(table.texts, {k: v for k, v in table.labels.items() if k != TARGET}, table.numbers)

    def __len__(self) -> int:
        columns: list[Any] = [*self.texts.values(), *self.categories.values(), *self.numbers.values()]
        return len(columns[0]) if columns else 0


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """How columns become vectors.

    Attributes:
        bounds: number column -> lowest and highest value; a private run needs them, an open one may use its rows'.
        fills: number column -> what stands for a missing value; the middle of its bounds where absent.
        categories: category column -> its names; others go to a slot of their own. Hashed where absent.
        buckets: of a hashed category.
        text_buckets: of hashed words and pairs of words; 0: none.
        encoder_layers: of a base model, where the run has one: outputs after so many layers; None: after all.
        max_tokens: that the base model reads of a text.
    """

    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fills: Mapping[str, float] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: int = 32
    text_buckets: int = 4096
    encoder_layers: int | None = None
    max_tokens: int = 128

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, Column]] = {
        "text": Column("text", optional=True),
        "label": Column("label"),
        "numbers": Column("number", optional=True, several=True),
        "categories": Column("label", optional=True, several=True),
    }
    needs_base: ClassVar[bool] = False
    reads_base: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Columns to vectors, with everything decided: kept beside a model as JSON.

    Attributes:
        numbers: column -> (low, high, fill).
        categories: column -> names, or how many buckets.
        texts: columns.
        text_buckets: of hashed words and pairs of words; 0: none.
        language: of the texts.
        weighted: whether words weigh by their rank in the base model's vocabulary.
        encoder: {"layers", "max_tokens", "width"} of a frozen base model, if there is one.
    """

    numbers: Mapping[str, tuple[float, float, float]]
    categories: Mapping[str, tuple[str, ...] | int]
    texts: tuple[str, ...]
    text_buckets: int
    language: str
    weighted: bool
    encoder: Mapping[str, int] | None

    def told(self) -> Mapping[str, Any]:
        """JSON that `Reader(**told)` reads."""
        return asdict(self)

    @property
    def width(self) -> int:
        """Of a row's vector."""
        return len(self.bounds())

    def bounds(self) -> NDArray[np.float64]:
        """Public bounds between which a split of a vector's entries makes sense, shape (width, 2)."""
        flags = [[0.0, 1.0]] * sum(
            (slots if isinstance(slots, int) else len(slots) + 1) for slots in self.categories.values()
        )
        found = [[-1.0, 1.0], [0.0, 1.0]] * len(self.numbers) + flags
        for _ in self.texts:
            found += [[0.0, 1.0]] * self.text_buckets
            if self.encoder:
                # Entries of a unit vector are of this order, so a split at +-1 would part nothing.
                most = 2 / math.sqrt(self.encoder["width"])
                found += [[-most, most]] * self.encoder["width"]
        return np.array(found).reshape(-1, 2)

    def vectors(self, inputs: Inputs, *, base: Path | None = None, cache: Path | None = None) -> csr_matrix:
        """One row each, float32, shape (n, width).

        Args:
            inputs: all columns that the reader knows.
            base: folder of the frozen encoder, if there is one.
            cache: where its outputs are kept.

        Raises:
            DataError: a column is missing.
            ConfigError: the encoder is missing or another.
        """
        from scipy.sparse import csr_matrix, hstack

        for kind, wanted, there in (
            ("number", self.numbers, inputs.numbers),
            ("category", self.categories, inputs.categories),
            ("text", self.texts, inputs.texts),
        ):
            missing = sorted(set(wanted) - set(there))
            if missing:
                raise DataError(f"{kind} column '{missing[0]}' is missing: the model was trained with it")
        if base is None and (self.weighted or self.encoder):
            raise ConfigError("this model reads texts through a base model: say where that is")
        parts: list[Any] = [csr_matrix(np.zeros((len(inputs), 0), dtype=np.float32))]
        parts += [_number(inputs.numbers[name], *rule) for name, rule in self.numbers.items()]
        parts += [_category(inputs.categories[name], slots) for name, slots in self.categories.items()]
        for name in self.texts:
            if self.text_buckets:
                words = HashedWords(self.text_buckets, self.language, base if self.weighted else None)
                parts.append(_hashed(words, inputs.texts[name]))
            if self.encoder:
                parts.append(csr_matrix(self._embedded(inputs.texts[name], base, cache)))
        return csr_matrix(hstack(parts, format="csr", dtype=np.float32))

    def _embedded(self, texts: Sequence[ModelText], base: Path | None, cache: Path | None) -> NDArray[np.float32]:
        from governance.training.encoder import Cut, LowerLayers

        assert self.encoder is not None  # noqa: S101 - narrows types; the caller looked
        assert base is not None and cache is not None  # noqa: S101 - likewise
        lower = LowerLayers(Cut(base, self.encoder["layers"], self.encoder["max_tokens"]), cache)
        if lower.width != self.encoder["width"]:
            raise ConfigError(f"{base.name}: expected an encoder of width {self.encoder['width']}, found {lower.width}")
        pooled = np.nan_to_num(lower.outputs(texts).pooled().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
        lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
        return np.asarray(pooled / np.maximum(lengths, 1e-6), dtype=np.float32)


def reader(
    settings: TableSettings, table: ScrubbedTable, *, base: Path | None, private: bool, language: str = "en"
) -> Reader:
    """What settings and a table's columns decide.

    Raises:
        ConfigError: a private run without bounds for a number; bounds that bound nothing; nothing to read.
    """
    inputs = Inputs.of(table)
    numbers = {name: _rule(settings, name, values, private=private) for name, values in inputs.numbers.items()}
    for setting, named, there in (
        ("bounds", settings.bounds, inputs.numbers),
        ("fills", settings.fills, inputs.numbers),
        ("categories", settings.categories, inputs.categories),
    ):
        unknown = sorted(set(named) - set(there))
        if unknown:
            raise ConfigError(f"{settings.name}.{setting}: '{unknown[0]}' is not one of its columns")
    encoder = None
    if base is not None and inputs.texts:
        encoder = _encoder(settings, base)
    found = Reader(
        numbers=numbers,
        categories={name: tuple(settings.categories.get(name, ())) or settings.buckets for name in inputs.categories},
        texts=tuple(inputs.texts),
        text_buckets=settings.text_buckets,
        language=language,
        weighted=encoder is not None,
        encoder=encoder,
    )
    if not found.width:
        raise ConfigError(f"{settings.name}: expected a text, number or category column to learn from, found none")
    return found


def _rule(
    settings: TableSettings, name: str, values: NDArray[np.float64], *, private: bool
) -> tuple[float, float, float]:
    if name in settings.bounds:
        low, high = settings.bounds[name]
    elif private:
        raise ConfigError(
            f"{settings.name}.bounds: '{name}' has none, and a private run must not take them from its rows: state the "
            "lowest and highest value that you would expect of anybody"
        )
    else:
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        high = high if high > low else low + 1.0
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{settings.name}.bounds.{name}: expected low < high, both finite, got {low} and {high}")
    fill = settings.fills.get(name, low / 2 + high / 2)
    if not low <= fill <= high:
        raise ConfigError(f"{settings.name}.fills.{name}: expected a value in [{low:g}, {high:g}], got {fill}")
    return float(low), float(high), float(fill)


def _encoder(settings: TableSettings, base: Path) -> Mapping[str, int]:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(base), local_files_only=True, trust_remote_code=False)
    layers = int(config.num_hidden_layers) if settings.encoder_layers is None else settings.encoder_layers
    return {"layers": layers, "max_tokens": settings.max_tokens, "width": int(config.hidden_size)}


def _number(values: NDArray[np.float64], low: float, high: float, fill: float) -> csr_matrix:
    from scipy.sparse import csr_matrix

    missing = ~np.isfinite(values)
    scaled = (np.clip(np.where(missing, fill, values), low, high) - low) / (high - low) * 2 - 1
    return csr_matrix(np.stack([scaled, missing], axis=1).astype(np.float32))


def _category(values: Sequence[str], slots: tuple[str, ...] | int) -> csr_matrix:
    from scipy.sparse import csr_matrix

    if isinstance(slots, int):
        at, width = [bucket(value, slots) for value in values], slots
    else:
        index = {name: i for i, name in enumerate(slots)}
        at, width = [index.get(value, len(slots)) for value in values], len(slots) + 1
    return csr_matrix((np.ones(len(at), dtype=np.float32), (np.arange(len(at)), at)), shape=(len(at), width))


def _hashed(words: HashedWords, texts: Sequence[ModelText]) -> csr_matrix:
    from scipy.sparse import csr_matrix

    if not texts:
        return csr_matrix(np.zeros((0, words.buckets), dtype=np.float32))
    ids, values = (found.numpy() for found in words(texts))
    rows = np.repeat(np.arange(len(texts)), ids.shape[1])
    return csr_matrix((values.ravel(), (rows, ids.ravel())), shape=(len(texts), words.buckets), dtype=np.float32)
