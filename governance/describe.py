"""What a record says about its data and about how it came to be."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from governance.contenders import public_name
from governance.dataset import ScrubbedDataset
from governance.files import digest_of
from governance.measure import reading_order
from governance.prepare import Plan
from governance.record import DataEntry, Lineage


def data_entry(
    plan: Plan, train: ScrubbedDataset, test: ScrubbedDataset, *, replaced: Mapping[str, int], duplicates: int
) -> DataEntry:
    """The data as the record tells it: counts and digests, never rows.

    Args:
        plan: the audit.
        train: scrubbed training rows.
        test: scrubbed held-out rows.
        replaced: entity -> pieces of personal data that scrubbing took out.
        duplicates: sampled rows that share their text with another one.
    """
    data, dataset = plan.config.data, plan.dataset
    values = {name: [v for v in column if v is not None] for name, column in test.groups.items()}
    return DataEntry(
        name=data.name or Path(data.path).name,
        source=public_name(data.path),
        digest=plan.digests["data"],
        rows_read=dataset.read,
        rows_empty=dataset.empty,
        cleaning=dataset.found,
        rows_duplicate=duplicates,
        rows_used=len(train) + len(test),
        rows_train=len(train),
        rows_test=len(test),
        clusters_test=len(np.unique(test.clusters)),
        cluster=data.cluster,
        labels=dict(sorted(Counter((*train.labels, *test.labels)).items())),
        positive=plan.labels.positive,
        groups={
            name: {value: found.count(value) for value in sorted(set(found), key=reading_order)}
            for name, found in values.items()
        },
        groups_missing={name: len(test) - len(found) for name, found in values.items()},
        scrubbed=replaced,
        not_scrubbed=plan.scrub.not_covered[plan.config.language],
        language=plan.config.language,
        licence=data.licence,
    )


def lineage(plan: Plan) -> Lineage:
    """What the record was made from."""
    digests = plan.digests
    installed = digests["versions"]
    code, dirty = code_version(installed)
    return Lineage(
        plan=plan.identity,
        config=digest_of(digests["config"]),
        policy=digests["scrub"],
        code=code,
        dirty=dirty,
        versions={"python": platform.python_version(), **installed},
        hardware=hardware(),
        seed=plan.config.seed,
        prompts=digests["prompts"],
    )


def code_version(installed: Mapping[str, str]) -> tuple[str, bool | None]:
    """This code's version and commit in words, and whether files differ from that commit (None: unknown)."""
    commit, dirty = _commit()
    return f"steelyard {installed.get('steelyard', 'unknown')}{f', commit {commit}' if commit else ''}", dirty


def hardware() -> str:
    """This machine as a record may show it."""
    return f"{platform.machine()}, {os.cpu_count()} cores"


def _commit() -> tuple[str | None, bool | None]:
    """The commit that this code was run from and whether files differ from it; (None, None) outside a checkout."""
    here = Path(__file__).parent.parent
    if not (here / ".git").exists():
        return None, None

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None
