"""The model card of `steelyard train`, in the Hugging Face format: a pure function of the training record."""

from __future__ import annotations

import re
from functools import partial

from governance.trainrecord import TrainedRows, TrainingRecord
from reports.blocks import Cell, Table
from reports.chapter_privacy import claim_rows
from reports.chapter_rest import found_of
from reports.hubmeta import LICENCES
from reports.markdown import Md, environment, fill
from reports.text import Texts, clean

TAGS = {
    "causal-lm": "text-generation",
    "encoder-classifier": "text-classification",
    "mlm": "fill-mask",
    "qa": "question-answering",
    "seq2seq": "text2text-generation",
    "tagger": "token-classification",
}
"""Recipe -> the hub's name for what its model does, where plain transformers reads it."""


def render(record: TrainingRecord, *, language: str = "en") -> bytes:
    """A model card, UTF-8 Markdown with YAML metadata.

    Args:
        record: what was done.
        language: of the card, "en" or "zh".

    Raises:
        ConfigError: there is no such language.
    """
    texts = Texts(language)
    plain = re.fullmatch(r"([\w.]+):(\w+)", record.recipe_class)  # a record is hostile, and code isn't escaped
    body = (
        environment()
        .get_template("training.md")
        .render(
            t=texts,
            f=partial(fill, texts),
            r=record,
            rows=_rows(texts, record.data),
            public=None if record.public is None else _rows(texts, record.public),
            missed=texts("list").join(texts.said(what) for what in record.data.not_scrubbed),
            settings=_settings(record),
            facts=found_of(texts, {name: _number(value) for name, value in record.facts.items()}),
            claim=None if record.claim is None else _claim(texts, record),
            epsilons=_points(record.curve.epsilon),
            losses=_points(record.curve.loss),
            load=Md(_load(plain[1], plain[2], record)) if plain else None,
        )
    )
    return f"---\n{_metadata(record)}\n---\n{body}".encode()


def _metadata(record: TrainingRecord) -> str:
    from huggingface_hub import ModelCardData

    known = (record.data.licence or "").lower()
    data = ModelCardData(
        language=record.language,
        license="other",
        license_name="not-stated",
        model_name=clean(record.title, 80),
        pipeline_tag=TAGS.get(record.recipe),
        tags=["steelyard", *(["differential-privacy"] if record.claim else [])],
        base_model=None if record.base is None else clean(record.base, 120),
        # Of the data, never of the model: that is for whoever publishes it to say.
        dataset_license=known if known in LICENCES else None,
    )
    return str(data.to_yaml(line_break="\n")).rstrip("\n")


def _rows(texts: Texts, data: TrainedRows) -> Table:
    pairs = [
        ("training.data.source", data.source),
        ("training.data.licence", data.licence or texts("unknown")),
        ("training.data.rows", texts.count(data.rows)),
        ("training.data.read", texts.count(data.rows_read)),
        ("training.data.users", None if data.users is None else texts.count(data.users)),
        ("training.data.columns", texts("list").join(f"{name}: {column}" for name, column in data.columns.items())),
        ("data.cleaning", found_of(texts, data.cleaning)),
        ("training.data.left_out", found_of(texts, data.left_out) if data.left_out else None),
        ("training.data.hidden", found_of(texts, data.hidden) if data.hidden else None),
        ("training.data.scrubbed", found_of(texts, data.scrubbed)),
        ("training.data.digest", data.digest),
    ]
    rows = [[Cell(texts(key)), Cell(value)] for key, value in pairs if value is not None]
    return Table(texts("training.data.title"), [Cell(texts("training.data.what")), Cell(texts("table.value"))], rows)


def _claim(texts: Texts, record: TrainingRecord) -> Table | None:
    if record.claim is None:
        return None
    rows = [[Cell(title, small=says), Cell(value)] for title, value, says in claim_rows(texts, record.claim)]
    return Table(texts("privacy.claim.title"), [Cell(texts("table.claim")), Cell(texts("table.value"))], rows)


def _settings(record: TrainingRecord) -> str:
    private = record.claim is not None
    unused = {"epochs"} if private else set()
    told = {**record.settings, **{name: value for name, value in record.loop.items() if name not in unused}}
    return ", ".join(f"{name}: {value}" for name, value in told.items() if value not in (None, "", [], {}))


def _number(value: int | float | str) -> int | str:
    return f"{value:.4g}" if isinstance(value, float) else value


def _points(points: tuple[tuple[int, float], ...], most: int = 6) -> str:
    """Some points of a curve, the first and the last among them."""
    step = max(1, (len(points) - 1) // (most - 1)) if len(points) > most else 1
    shown = [*points[:-1:step], *points[-1:]]
    return ", ".join(f"{at:,}: {value:.3g}" for at, value in shown)


def _load(module: str, kind: str, record: TrainingRecord) -> str:
    given = ', base=Path("path/to/the/base")' if record.load_needs_base else ""
    folder = "model" if record.load_from == "model" else "."
    lines = ["from pathlib import Path", "", f"from {module} import {kind}", ""]
    return "\n".join([*lines, f'model = {kind}.load(Path("{folder}"){given})'])
