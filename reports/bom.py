"""A bill of materials per model: CycloneDX 1.6 in JSON, for inventories and audits of a software supply chain.

The model is the document's subject, with its `modelCard` (`bomcard.py`); the data, what the model was made from and the
libraries of the run are its components. Built as plain JSON, since cyclonedx-python-lib 11 has no classes for model
cards; tests use it to hold each document against the official schema.

Source:
    CycloneDX 1.6 (Ecma International, ECMA-424); package-url/purl-spec for the addresses of libraries.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from governance.claims import PrivacyClaim
from governance.evidence.statement import ATTESTATION, MANIFEST, RECORD
from governance.files import digest_of
from reports import chapter_decision
from reports.bomcard import model_card, number
from reports.origin import origin, spdx
from reports.text import clean
from reports.view import ModelView, View

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
HERE, RUN = "..", "../../.."
"""From a card's folder to its judgement, and to the run."""
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,80}[A-Za-z0-9])?", re.ASCII)
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_LONGEST = 80

Component = dict[str, Any]


def render(view: View, model: ModelView) -> bytes:
    """One model's bill of materials, JSON in UTF-8; the same inputs give the same bytes.

    Args:
        view: the judged record.
        model: whose bill it is.
    """
    libraries = [_library(place, *item) for place, item in enumerate(view.record.lineage.versions.items())]
    bases = _base(view, model)
    document = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": _serial(view, model),
        "version": 1,
        "metadata": _metadata(view, model),
        "components": [_data(view), *bases, *libraries],
        "dependencies": _dependencies(model, bases, libraries),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _serial(view: View, model: ModelView) -> str:
    """The same for the same model, record, judgement and language; another one's differs, as the standard asks."""
    said = view.verdict.model_dump(mode="json")
    identity = digest_of([view.record.digest(), model.name, said, view.texts.language])
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:steelyard:bom:{identity}").urn


def _metadata(view: View, model: ModelView) -> Component:
    record = view.record
    tool = {"type": "application", "bom-ref": "steelyard", "name": "steelyard"}
    tool["version"] = clean(record.lineage.code.removeprefix("steelyard "), _LONGEST)
    found: Component = {"tools": {"components": [tool]}, "component": _model(view, model)}
    moment = _moment(record.created)
    return {"timestamp": moment, **found} if moment else found


def _moment(iso: str) -> str | None:
    """As RFC 3339 has it, which asks for an offset; a record's moments are UTC."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _model(view: View, model: ModelView) -> Component:
    entry = model.entry
    found: Component = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": clean(model.name, _LONGEST),
        "description": clean(entry.title),
        **_hashes(entry.digest),
        **_licences(entry.licence),
        "externalReferences": _references(view, model),
        "modelCard": model_card(view, model),
        "properties": _properties({**_judged(view, model), **_told(model), **_promise(entry.claim)}),
    }
    return found


def _hashes(digest: str | None) -> Component:
    """Nothing for what is no SHA-256, as in records that another hand wrote."""
    found = _SHA256.fullmatch(digest or "")
    return {"hashes": [{"alg": "SHA-256", "content": found[1]}]} if found else {}


def _licences(licence: str | None) -> Component:
    if not licence:
        return {}
    known = spdx(licence)
    if known is None:
        return {"licenses": [{"license": {"name": clean(licence, 120)}}]}
    # As an expression even where it is one licence: ids are held against the schema's own, older list.
    return {"licenses": [{"expression": known}]}


def _references(view: View, model: ModelView) -> list[dict[str, str]]:
    """Files beside this one and of its run, as a run's folder has them."""
    record = f"the run record; the SHA-256 of its canonical JSON is {view.record.digest()}"
    signed = "in-toto statement in a DSSE envelope; steelyard verify checks it"
    files = (
        ("model-card", f"{model.slug}.md", "the same for people"),
        ("quality-metrics", f"{HERE}/report.html", "all models and all figures"),
        ("evidence", f"{RUN}/{RECORD}", record),
        ("attestation", f"{RUN}/{ATTESTATION}", f"of the run: {signed}"),
        ("attestation", f"{HERE}/{MANIFEST}", f"of this judgement: {signed}"),
    )
    return [{"type": kind, "url": url, "comment": comment} for kind, url, comment in files]


def _properties(pairs: Mapping[str, object]) -> list[dict[str, str]]:
    return [{"name": f"steelyard:{key}", "value": clean(value)} for key, value in pairs.items() if value is not None]


def _judged(view: View, model: ModelView) -> dict[str, object]:
    record, verdict = view.record, view.verdict
    return {
        "verdict": model.status.value,
        "candidate": "true" if model.candidate else "false",
        "policy": verdict.policy,
        "policy:version": verdict.policy_version,
        "audit": record.audit,
        "run": record.run,
        "record": verdict.record,
        **{f"waiver:{use.waiver.id}": f"{use.state.value}, until {use.waiver.expires}" for use in verdict.waivers},
    }


def _told(model: ModelView) -> dict[str, object]:
    entry, made = model.entry, origin(model.entry)
    return {
        "kind": entry.kind,
        "source": entry.source,
        "note": entry.note,
        "protocol": entry.protocol,
        "remote": "true" if entry.remote else "false",
        "trained:rows": entry.trained_on,
        "trained:parts": entry.trained_parts,
        "made:from": made and made.name,
        "made:by": made and made.relation,
        "twin:of": entry.twin and entry.twin.of,
        "twin:by": entry.twin and entry.twin.by,
        **{f"setting:{clean(key, 40)}": value for key, value in entry.settings.items()},
        **{f"sent:{clean(key, 40)}": n for key, n in entry.sent.items()},
    }


def _promise(claim: PrivacyClaim | None) -> dict[str, object]:
    """The claim of differential privacy; that there is none is said too."""
    if claim is None:
        return {"privacy": "no promise"}
    return {
        "privacy": "differential privacy",
        "privacy:epsilon": number(claim.epsilon),
        "privacy:delta": number(claim.delta),
        "privacy:unit": claim.unit,
        "privacy:relation": claim.neighbouring,
        "privacy:accountant": claim.accountant,
        "privacy:sampling": claim.sampling,
        "privacy:sampleRate": number(claim.sample_rate),
        "privacy:noiseMultiplier": number(claim.sigma),
        "privacy:clipping": number(claim.clipping),
        "privacy:steps": claim.steps,
        "privacy:covers": claim.covers,
        "privacy:ledgerEpsilon": None if claim.ledger_epsilon is None else number(claim.ledger_epsilon),
        **{f"privacy:notCovered:{place}": line for place, line in enumerate(claim.not_covered, 1)},
    }


def _data(view: View) -> Component:
    """What was audited. No party is named as its owner or custodian: a record knows none."""
    data, lineage = view.record.data, view.record.lineage
    rows = ("read", "empty", "duplicate", "used", "train", "test")
    facts = {
        "source": data.source,
        "language": data.language,
        **{f"rows:{name}": getattr(data, f"rows_{name}") for name in rows},
        **{f"groups:{clean(name, 60)}": len(sizes) for name, sizes in data.groups.items()},
        **{f"scrubbed:{clean(entity, 60)}": n for entity, n in data.scrubbed.items()},
        "scrub:policy": lineage.policy,
    }
    sensitive = [*data.scrubbed, *data.not_scrubbed]
    inner: Component = {"type": "dataset", "name": clean(data.name, 120)}
    inner["contents"] = {"properties": _properties(facts)}
    if sensitive:
        inner["sensitiveData"] = [clean(kind, 120) for kind in sensitive]
    return {
        "type": "data",
        "bom-ref": "data",
        "name": clean(data.name, 120),
        **_hashes(data.digest),
        **_licences(data.licence),
        "data": [inner],
    }


def _base(view: View, model: ModelView) -> list[Component]:
    """What the model was made from, at most one; with the digest of its weights where the record has it."""
    made = origin(model.entry)
    if made is None:
        return []
    other = view.model(made.name) if made.inside else None
    digest = other.entry.digest if other else view.record.lineage.bases.get(model.name)
    licence = _licences(other.entry.licence) if other else {}
    name = clean(made.name, 160)
    return [{"type": "machine-learning-model", "bom-ref": "base", "name": name, **_hashes(digest), **licence}]


def _library(place: int, name: str, version: str) -> Component:
    """A library with its purl; the interpreter, and whatever is named like no package, without PyPI's."""
    found: Component = {"type": "library", "bom-ref": f"library-{place}"}
    found |= {"name": clean(name, _LONGEST), "version": clean(version, _LONGEST)}
    address = quote(found["version"], safe=".-_~")  # purl encodes "+" and "!"
    if name == "python":
        return {**found, "type": "platform", "purl": f"pkg:generic/python@{address}"}
    if _PACKAGE.fullmatch(name) and version:
        found["purl"] = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{address}"
    return found


def _dependencies(model: ModelView, bases: list[Component], libraries: list[Component]) -> list[Component]:
    """A model that runs here needs the libraries; the audit does in any case."""
    used = [one["bom-ref"] for one in libraries]
    here = not model.entry.remote and model.entry.kind not in chapter_decision.NOT_ASKED
    needs = [*(one["bom-ref"] for one in bases), *(["data"] if model.entry.trained else []), *(used if here else [])]
    return [{"ref": "model", "dependsOn": needs}, {"ref": "steelyard", "dependsOn": used}]
