"""The card of the data that models were weighed on, in the Hugging Face format.

The metadata is built by huggingface_hub's own class, so its own loader reads it back. What the record doesn't know,
such as who collected the rows and why, is said to be unknown.
"""

from __future__ import annotations

import re
from functools import partial

from reports import chapter_privacy, chapter_rest, datatables
from reports.blocks import Cell, Table
from reports.chapter_decision import NOT_ASKED
from reports.hubmeta import LICENCES
from reports.markdown import environment, fill
from reports.text import clean
from reports.view import View

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render(view: View) -> bytes:
    """The data card, UTF-8 Markdown with YAML metadata."""
    texts, entry, found = view.texts, view.record.data, view.record.data.statistics
    tables = (
        []
        if found is None
        else [
            *datatables.texts_tables(view, found),
            *datatables.suspect_tables(view, found),
            *datatables.group_tables(view, found),
        ]
    )
    body = environment().get_template("data.md").render(
        t=texts,
        f=partial(fill, texts),
        v=view,
        rows=chapter_rest.data_table(view),
        columns=texts("list").join(clean(name, 60) for name in entry.groups),
        notes=[] if found is None else datatables.notes(view, found),
        tables=tables,
        asked=asked(view),
        scrubbed=chapter_rest.counts_of(view, entry.scrubbed),
        missed=[texts.said(line) for line in entry.not_scrubbed],
        anonymity=chapter_privacy.anonymity_line(view),
        lineage=_lineage(view),
    )  # fmt: skip
    return f"---\n{_metadata(view)}\n---\n{body}".encode()


def asked(view: View) -> bool:
    """Whether this audit itself showed texts to models, scrubbed, rather than reading what others had found."""
    return any(model.entry.kind not in NOT_ASKED for model in view.models)


def _metadata(view: View) -> str:
    from huggingface_hub import DatasetCardData

    entry = view.record.data
    licence = clean(entry.licence or "", 60)
    known = licence.lower() in LICENCES
    data = DatasetCardData(
        language=[entry.language if re.fullmatch(r"[a-z]{2,3}", entry.language) else "und"],
        license=licence.lower() if known else "other",
        license_name=None if known else (licence or "not-stated"),
        size_categories=next((name for most, name in SIZES if entry.rows_used < most), "n>1M"),
        task_categories=["text-classification"] if view.record.task == "classification" else None,
        pretty_name=clean(entry.name, 120),
        tags=["steelyard"],
    )
    return str(data.to_yaml(line_break="\n")).rstrip("\n")


def _lineage(view: View) -> Table:
    texts, made = view.texts, view.record.lineage
    facts = {
        "data.record": view.record.digest(),
        "data.digest": view.record.data.digest,
        "data.scrub_policy": made.policy,
        "data.code": made.code,
        "data.seed": str(made.seed),
    }
    head = [Cell(texts("table.item")), Cell(texts("table.value"))]
    return Table(
        texts("data.lineage.title"), head, [[Cell(texts(key)), Cell(value, code=True)] for key, value in facts.items()]
    )
