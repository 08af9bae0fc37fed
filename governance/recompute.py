"""What `steelyard verify --deep` makes again: digests, verdicts and renderings, and whether they come out the same.

Digests show that files are as they were attested; this shows that what they say follows from what they hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from governance.conclude import RENDERER, contents_of
from governance.errors import ConfigError, DataError
from governance.evidence.envelope import open_envelope
from governance.evidence.folder import LATEST, OUT, Finding, shown
from governance.evidence.statement import ATTESTATION, MANIFEST, VERDICT
from governance.files import digest_file, digest_of
from governance.policy import Terms
from governance.record import RECORD, RunRecord, load_record
from governance.registry import nearest
from governance.sources import digest_source
from governance.store import code_digest


@dataclass(frozen=True)
class Recomputed:
    """What came of it.

    Attributes:
        findings: what came out otherwise.
        agree: what came out the same, in words.
        left: what was not made again, and why.
    """

    findings: list[Finding] = field(default_factory=list)
    agree: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def hold(self, same: bool, path: str, what: str) -> None:
        """Note whether one thing came out the same."""
        if same:
            self.agree.append(what)
        else:
            self.findings.append(Finding("changed", path, f"{what}: comes out otherwise"))


def recompute(directory: Path, *, data: Path | None = None, models: Mapping[str, Path] | None = None) -> Recomputed:
    """Make again what a run that verifies can be made again from.

    Args:
        directory: of the run.
        data: the file or folder that was audited.
        models: name -> weights, as a file or the folder that holds them.

    Raises:
        RecordError: the record or a judgement's terms can't be read.
        ConfigError: a policy can't be read, or the record holds no such model.
        DataError: no such data or weights.
    """
    record, done = load_record(directory), Recomputed()
    done.agree.append(f"digests of {len(record.files)} prediction files that {RECORD} names")
    attested = open_envelope((directory / ATTESTATION).read_bytes()).statement["predicate"]["record"]
    done.hold(record.digest() == attested, RECORD, "the record's own digest")
    for folder in sorted(path for path in (directory / OUT).glob("*") if path.is_dir()):
        _judgement(record, folder, f"{OUT}/{folder.name}", done)
    if (directory / LATEST).is_dir() and not (directory / LATEST).is_symlink():
        _judgement(record, directory / LATEST, LATEST, done)
    _data(record, data, done)
    _models(record, models or {}, done)
    return done


def _judgement(record: RunRecord, folder: Path, inside: str, done: Recomputed) -> None:
    inputs: Mapping[str, Any] = open_envelope((folder / MANIFEST).read_bytes()).statement["predicate"]["inputs"]
    terms = Terms.read(folder)
    verdict = terms.judge(record)
    done.hold(digest_of(terms.identity()) == inputs["terms"], inside, f"terms of {inside}")
    wrote = json.loads((folder / VERDICT).read_bytes())
    done.hold(verdict.model_dump(mode="json") == wrote, f"{inside}/{VERDICT}", f"verdict of {inside}")
    if inputs["renderer"] != code_digest(*RENDERER):
        done.left.append(f"reports of {inside}: made by another version of this code")
        return
    for name, content in contents_of(record, terms, verdict, inputs["language"]).items():
        done.hold((folder / name).read_bytes() == content, f"{inside}/{shown(name)}", f"{inside}/{shown(name)}")


def _data(record: RunRecord, data: Path | None, done: Recomputed) -> None:
    if data is None:
        done.left.append("digest of the data: name it with --data PATH")
        return
    if not data.exists():
        raise DataError(f"--data {data}: no such file or folder")
    same = digest_source(data) == record.data.digest
    done.hold(same, RECORD, "digest of the data")


def _models(record: RunRecord, models: Mapping[str, Path], done: Recomputed) -> None:
    known = {entry.name: entry for entry in record.models}
    for name, path in models.items():
        if name not in known:
            raise ConfigError(f"--model {name}: the record holds no such model. {nearest(name, known)}")
        if known[name].digest is None:
            raise ConfigError(f"--model {name}: the record has no digest of its weights: it ran somewhere else")
        if not path.exists():
            raise DataError(f"--model {name}: {path}: no such file or folder")
        done.hold(known[name].digest in _digests(path), RECORD, f"digest of the weights of {shown(name)}")
    left = [name for name, entry in known.items() if entry.digest is not None and name not in models]
    if left:
        done.left.append(f"digests of weights ({shown(', '.join(left))}): name them with --model NAME=PATH")


def _digests(path: Path) -> set[str]:
    """All that a record may call the weights in a file or folder by; which one depends on the kind of model."""
    from governance.modelchecks import digest_base
    from governance.training.tfidf import WEIGHTS, weights_digest

    files = [path] if path.is_file() else [file for file in sorted(path.iterdir()) if file.is_file()]
    saved = {weights_digest(file) for file in files if file.name == WEIGHTS}
    return saved | {digest_file(file) for file in files} | {digest_base(path)}


def read_models(pairs: tuple[str, ...]) -> dict[str, Path]:
    """`NAME=PATH` by name.

    Raises:
        ConfigError: one isn't such a pair.
    """
    found = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise ConfigError("--model: expected NAME=PATH, such as open=models/open")
        found[name] = Path(path)
    return found
