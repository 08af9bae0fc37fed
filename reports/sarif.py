"""SARIF 2.1.0 for code scanning: what the candidate does not meet, each at the line of the policy that demands it.

A control that fails is a result of kind "fail". One that is unproven is of kind "open": the standard's word for "not
enough information to decide", whose level it fixes at "none". What is waived is there, suppressed from outside.

Source:
    OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0 plus Errata 01, 28 August 2023.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from governance.files import digest_of
from governance.policy import Status, WaiverState, WaiverUse
from governance.policy.places import Place, Places
from reports import waivers
from reports.ci import detail_of
from reports.findings import ControlView, Evidence
from reports.markdown import md
from reports.text import clean
from reports.view import View

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
"""What paths start from: the repository, wherever it is checked out."""


def render(view: View, places: Places) -> bytes:
    """One run: a rule per control, a result per finding of the candidate that is not met, and per bad waiver.

    Args:
        view: the judged record.
        places: where controls and waivers stand.
    """
    record, verdict = view.record, view.verdict
    rules = [_rule(view, control) for control in view.controls]
    states = [state for state in WaiverState if any(use.state is state for use in view.bad_waivers)]
    rules += [_waiver_rule(view, state) for state in states]
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    results = [*_findings(view, places), *(_waiver(view, use, places) for use in view.bad_waivers)]
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "Steelyard", "rules": rules}},
                # GitHub keeps one set of alerts per id up to its last slash: one per audit, over all its runs.
                "automationDetails": {"id": f"steelyard/{clean(record.audit, 80)}/{clean(record.run, 80)}"},
                "invocations": [{"executionSuccessful": True, "exitCode": verdict.exit_code}],
                "language": view.texts.language,
                "columnKind": "unicodeCodePoints",
                "properties": {
                    "status": verdict.status.value,
                    "candidate": clean(verdict.candidate, 80),
                    "policy": clean(verdict.policy, 80),
                    "policyVersion": clean(verdict.policy_version, 40),
                    "record": verdict.record,
                },
                "results": [{**result, "ruleIndex": index[result["ruleId"]]} for result in results],
            }
        ],
    }
    return json.dumps(log, indent=1, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def _rule(view: View, control: ControlView) -> dict[str, Any]:
    """A control: its sentence, its rationale, the clauses that it answers to."""
    references = [
        f"{clean(one.clause, 120)}: {clean(view.texts.says(one.reading))}".removesuffix(": ")
        for one in control.control.references
    ]
    lines = [clean(control.says), f"{control.metric.title}: {control.bound}.", clean(control.why), *references]
    return {
        "id": control.control.id,
        "shortDescription": {"text": _text(clean(control.says))},
        "help": _help([line for line in lines if line]),
        "defaultConfiguration": {"level": "error" if control.blocks else "warning"},
        "properties": {
            "tags": ["steelyard", *dict.fromkeys(clean(one.clause, 120) for one in control.control.references)],
            "severity": control.control.severity,
        },
    }


def _waiver_rule(view: View, state: WaiverState) -> dict[str, Any]:
    title = f"{view.texts('waiver.title')}: {view.texts(f'waiver.state.{state.value}')}"
    return {
        "id": f"waiver.{state.value}",
        "shortDescription": {"text": _text(title)},
        "help": _help([title, view.texts("waiver.lead")]),
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["steelyard"]},
    }


def _help(lines: Sequence[str]) -> dict[str, str]:
    return {"text": _text("\n".join(lines)), "markdown": "\n\n".join(_text(md(line)) for line in lines)}


def _findings(view: View, places: Places) -> list[dict[str, Any]]:
    """What the candidate does not meet, waived or not."""
    seen: Counter[str] = Counter()
    results = []
    for control in view.controls:
        place = places.controls.get(control.control.id)
        for item in control.of(view.record.candidate):
            finding = item.finding
            # Counted before what is met is left out, so that a fingerprint stays when another finding is mended.
            seen[f"{control.control.id} {finding.slice}"] += 1
            turn = seen[f"{control.control.id} {finding.slice}"]
            if finding.status is not Status.PASS:
                identity = [view.record.audit, control.control.id, finding.model, finding.slice, finding.task, turn]
                results.append(_finding(view, control, item, place, identity))
    return results


def _finding(
    view: View, control: ControlView, item: Evidence, place: Place | None, identity: Sequence[object]
) -> dict[str, Any]:
    finding = item.finding
    status = f"{view.texts(f'status.{finding.status.value}')}: {detail_of(view, control, item)}"
    level = {"block": "error", "warn": "warning"}[finding.severity]
    return {
        "ruleId": control.control.id,
        **({"kind": "fail", "level": level} if finding.status is Status.FAIL else {"kind": "open", "level": "none"}),
        "message": {"text": _text(status)},
        "locations": [_location(place, clean(finding.model, 80), item.where)],
        "partialFingerprints": _fingerprints(identity),
        "suppressions": _suppressions(view, item),
        "properties": {
            "status": finding.status.value,
            "blocks": finding.blocks,
            "model": clean(finding.model, 80),
            "slice": clean(finding.slice),
            "tested": finding.tested,
            "bound": finding.bound,
        },
    }


def _suppressions(view: View, item: Evidence) -> list[dict[str, Any]]:
    """The waiver that covers a finding. An empty list says that there is none; no list would say nothing."""
    if item.waiver is None:
        return []
    waiver = item.waiver.waiver
    reason = f"{item.waived}. {view.texts('table.reason')}: {clean(waiver.reason)}"
    properties = {"waiver": waiver.id, "owner": clean(waiver.owner, 80), "expires": waiver.expires.isoformat()}
    return [{"kind": "external", "status": "accepted", "justification": _text(reason), "properties": properties}]


def _waiver(view: View, use: WaiverUse, places: Places) -> dict[str, Any]:
    return {
        "ruleId": f"waiver.{use.state.value}",
        "kind": "fail",
        "level": "error",
        "message": {"text": _text(waivers.bad(view.texts, use))},
        "locations": [_location(places.waivers.get(use.waiver.id), use.waiver.id, "")],
        "partialFingerprints": _fingerprints([view.record.audit, "waiver", use.waiver.id, use.state.value]),
        "suppressions": [],
    }


def _location(place: Place | None, name: str, where: str) -> dict[str, Any]:
    """The line, where one is known, and what was weighed."""
    logical = {"fullyQualifiedName": f"{name}/{where}" if where else name, "kind": "model" if where else "waiver"}
    found: dict[str, Any] = {"logicalLocations": [logical]}
    if place is not None:
        artifact = {"uri": quote(place.file), "uriBaseId": ROOT}
        found["physicalLocation"] = {"artifactLocation": artifact, "region": {"startLine": place.line}}
    return found


def _fingerprints(identity: Sequence[object]) -> dict[str, str]:
    """The same over all runs, whatever was measured and wherever the line has moved.

    GitHub tells alerts apart by the second; left to itself it takes the line's text, and all slices of a control would
    become one alert.
    """
    digest = digest_of(identity)
    return {"steelyardFinding/v1": digest, "primaryLocationLineHash": f"{digest[:16]}:1"}


def _text(text: str) -> str:
    """A message in which nothing is a placeholder or a link; SARIF has both even in plain text."""
    return text.replace("](", "] (").replace("{", "{{").replace("}", "}}")
