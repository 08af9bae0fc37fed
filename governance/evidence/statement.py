"""What is attested: in-toto statements about a run's record and about each judgement of it.

Everything in them follows from the files themselves (`docs/evidence.md` has the schema), so whoever verifies makes them
again and compares; that finds a changed byte even where nobody signed.

Source:
    in-toto attestation framework, Statement v1 (github.com/in-toto/attestation/tree/main/spec/v1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.files import digest_of

STATEMENT = "https://in-toto.io/Statement/v1"
# Ours, and no address: nothing is fetched from it.
AUDIT = "urn:steelyard:attestation:audit:v1"
JUDGEMENT = "urn:steelyard:attestation:judgement:v1"
RECORD, ATTESTATION = "record.json", "attestation.dsse.json"
MANIFEST, VERDICT, POLICY = "manifest.dsse.json", "verdict.json", "policy.json"
ID_DIGITS = 12  # of a digest in a judgement's folder name, for people to read out
EXIT_CODES: Mapping[str, int] = {"pass": 0, "fail": 1, "unproven": 3}
"""As `governance.policy` has them; that package is not needed to verify."""


def audit_statement(record: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """What is said of a run's immutable files.

    Args:
        record: the record, as JSON has it.
        files: path from the run's folder -> SHA-256, as hex.

    Raises:
        KeyError, TypeError, AttributeError: the mapping isn't a record.
    """
    data = record["data"]
    predicate = {
        "audit": record["audit"],
        "run": record["run"],
        "created": record["created"],
        "candidate": record["candidate"],
        "incumbent": record["incumbent"],
        "record": f"sha256:{digest_of(record)}",  # of its canonical JSON: what verdicts name it by
        "data": {"digest": data["digest"], "read": data["rows_read"], "used": data["rows_used"]},
        "models": [{"name": one["name"], "kind": one["kind"], "digest": one["digest"]} for one in record["models"]],
        "lineage": record["lineage"],
    }
    return _statement(AUDIT, files, predicate)


def judgement_inputs(record: str, terms: str, language: str, renderer: str) -> dict[str, str]:
    """What a judgement and its renderings follow from; its folder is named after their digest.

    Args:
        record: digest of the record.
        terms: digest of all that it was held against.
        language: of the reports.
        renderer: digest of the code that judges and renders.
    """
    return {"record": record, "terms": terms, "language": language, "renderer": renderer}


def judgement_name(inputs: object) -> str:
    """The folder that a judgement goes to, in `out/`."""
    return digest_of(inputs)[:ID_DIGITS]


def judgement_statement(
    record: Mapping[str, Any], verdict: Mapping[str, Any], inputs: object, files: Mapping[str, str]
) -> dict[str, Any]:
    """What is said of one judgement's files.

    Args:
        record: the record that was judged, as JSON has it.
        verdict: the verdict, as JSON has it.
        inputs: see `judgement_inputs`.
        files: path from the judgement's folder -> SHA-256, as hex.

    Raises:
        KeyError, TypeError, AttributeError: the mappings aren't a record and a verdict.
    """
    models = {one["model"]: one["status"] for one in verdict["models"]}
    status = models[verdict["candidate"]]
    predicate = {
        "audit": record["audit"],
        "run": record["run"],
        "judgement": judgement_name(inputs),
        "inputs": inputs,
        "record": verdict["record"],
        "policy": {
            "name": verdict["policy"],
            "version": verdict["policy_version"],
            "digest": f"sha256:{files[POLICY]}",
        },
        "candidate": verdict["candidate"],
        "models": models,
        "verdict": status,
        "exitCode": EXIT_CODES[status],
    }
    return _statement(JUDGEMENT, files, predicate)


def _statement(kind: str, files: Mapping[str, str], predicate: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": files[name]}} for name in sorted(files)],
        "predicateType": kind,
        "predicate": predicate,
    }
