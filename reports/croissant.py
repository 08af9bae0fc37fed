"""The data in Croissant 1.0 with its RAI vocabulary: JSON-LD that catalogues and search engines read.

The rows themselves are never published, so there is no distribution: what stands here are the record's own counts, as
record sets with their data in them. Properties that the record knows nothing of (how rows were collected, by whom they
were labelled) are left out.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec.html and croissant-rai-spec.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from governance.datafacts import CrossTable, DataStatistics, Side
from reports import chapter_rest, datatables
from reports.datacard import asked
from reports.text import clean
from reports.view import View

CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
CONFORMS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
TYPES = {"rows": "sc:Integer", "pieces": "sc:Integer", "length": "sc:Integer", "share": "sc:Float"}
Rows = Sequence[Mapping[str, Any]]  # plain values; null where a row has none


def render(view: View) -> bytes:
    """JSON-LD; nothing in it can end a script element that a page puts it into."""
    entry, texts = view.record.data, view.texts
    found: dict[str, Any] = {
        "@context": {**CONTEXT, "@language": {"en": "en", "zh": "zh-Hans"}[texts.language]},
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": clean(entry.name, 120) or "data",
        "description": texts("datacard.lead"),
        "inLanguage": clean(entry.language, 20),
        "sdDatePublished": view.record.created[:10],
        **({} if entry.licence is None else {"license": clean(entry.licence, 120)}),
        **_rai(view),
        "recordSet": [_record_set(*one) for one in _counts(view)],
    }
    text = json.dumps(found, indent=1, ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").encode() + b"\n"


def _rai(view: View) -> dict[str, list[str]]:
    """What the record knows of the data's making and risks."""
    texts, entry = view.texts, view.record.data
    found = entry.statistics
    scrubbed = texts("card.data.scrubbed", kinds=chapter_rest.counts_of(view, entry.scrubbed))
    personal = [scrubbed if asked(view) else texts("datacard.unasked")]
    if entry.groups:
        columns = texts("list").join(clean(name, 60) for name in entry.groups)
        personal.append(texts("datacard.groups", columns=columns))
    made = [f"{texts('data.scrub_policy')}: {clean(view.record.lineage.policy, 100)}"]
    if entry.cleaning is not None:
        made.append(f"{texts('data.cleaning')}: {chapter_rest.found_of(texts, entry.cleaning)}")
    rai = {
        "personalSensitiveInformation": personal,
        "dataPreprocessingProtocol": made,
        "dataLimitations": [clean(texts.said(line)) for line in entry.not_scrubbed],
        "dataAnnotationAnalysis": [] if found is None else _doubts(view, found),
    }
    return {f"rai:{name}": lines for name, lines in rai.items() if lines}


def _doubts(view: View, found: DataStatistics) -> list[str]:
    texts = view.texts
    if found.suspects is None:
        return []
    doubts = texts("list").join(
        f"{clean(label, 60)} {texts.count(n)} / {texts.count(found.suspects.examined[label])}"
        for label, n in found.suspects.suspected.items()
    )
    return [texts("stats.suspects.text", folds=found.suspects.folds), f"{texts('stats.suspects')}: {doubts}"]


def _counts(view: View) -> Iterator[tuple[str, str, Rows]]:
    """Id, title and lines of each record set that has any."""
    texts, entry = view.texts, view.record.data
    sides = {"train": entry.rows_train, "test": entry.rows_test}
    yield "splits", texts("data.rows.title"), [{"split": name, "rows": n} for name, n in sides.items()]
    if entry.labels:
        lines = [{"label": clean(name, 60), "rows": n} for name, n in entry.labels.items()]
        yield "labels", texts("data.labels"), lines
    if entry.scrubbed:
        pieces = [{"entity": clean(name, 60), "pieces": n} for name, n in entry.scrubbed.items()]
        yield "scrubbed", texts("data.scrubbed"), pieces
    if entry.statistics is not None:
        yield from _statistics(view, entry.statistics)


def _statistics(view: View, found: DataStatistics) -> Iterator[tuple[str, str, Rows]]:
    texts = view.texts
    sides = {name: side for name, side in (("train", found.train), ("test", found.test)) if side is not None}
    if lengths := _lengths(sides):
        yield "lengths", texts("stats.lengths"), lengths
    scripts = [{"split": name, "script": clean(script, 40), "rows": n}
               for name, side in sides.items() for script, n in side.scripts.items()]  # fmt: skip
    if scripts:
        yield "scripts", texts("stats.scripts"), scripts
    repeats = {f"exact, {name}": side.repeated for name, side in sides.items()}
    if found.overlap is not None:
        repeats["near, test in train"] = found.overlap.near
    if found.conflicting is not None:
        repeats["exact, another label"] = found.conflicting
    if repeats:
        yield "repeats", texts("stats.repeats"), [{"kind": kind, "rows": n} for kind, n in repeats.items()]
    for place, table in enumerate(found.tables):
        if cells := _cells(table):
            shown = datatables.group_tables(view, found)[place]
            yield f"groups-{place}", shown.caption, cells


def _lengths(sides: Mapping[str, Side]) -> Rows:
    return [
        {"split": name, "unit": unit, "share": float(share), "length": length}
        for name, side in sides.items()
        for unit, lengths in (("characters", side.characters), ("words", side.words))
        for share, length in lengths.items()
    ]


def _cells(table: CrossTable) -> Rows:
    """The cells that are told, names without a place of their own left out; null: no label, no value."""
    return [
        {"label": _said(label), "group": _said(group), "rows": n}
        for label, line in zip(table.labels.names, table.counts, strict=False)  # merged names come last
        for group, n in zip(table.groups.names, line, strict=False)
        if n is not None
    ]


def _said(name: str | None) -> str | None:
    return None if name is None else clean(name, 60)


def _record_set(name: str, title: str, rows: Rows) -> dict[str, Any]:
    columns = list(rows[0])
    fields = [
        {"@type": "cr:Field", "@id": f"{name}/{column}", "name": column, "dataType": TYPES.get(column, "sc:Text")}
        for column in columns
    ]
    data = [{f"{name}/{column}": row[column] for column in columns} for row in rows]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": title, "field": fields, "data": data}
