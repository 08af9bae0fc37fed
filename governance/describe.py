"""What a record says about its data and about how it came to be."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from governance.contenders import public_name
from governance.datafacts import DataStatistics
from governance.dataset import ScrubbedDataset, ScrubbedItems
from governance.files import digest_of
from governance.formats import read_whole
from governance.measure import reading_order
from governance.prepare import Plan, source_of
from governance.record import DataEntry, Lineage
from governance.tables import rows_digest
from governance.taskprepare import TaskPlan

HERE = Path(__file__).resolve().parent.parent
PACKAGES = ("governance", "evaluators", "reports", "configs")
GIT_SECONDS = 30.0


def data_entry(
    plan: Plan,
    train: ScrubbedDataset,
    test: ScrubbedDataset,
    *,
    replaced: Mapping[str, int],
    duplicates: int,
    statistics: DataStatistics | None,
) -> DataEntry:
    """The data as the record tells it: counts and digests, never rows.

    Args:
        plan: the audit.
        train: scrubbed training rows.
        test: scrubbed held-out rows.
        replaced: entity -> pieces of personal data that scrubbing took out.
        duplicates: sampled rows that share their text with another one.
        statistics: of the scrubbed texts; None: the config wants none.
    """
    data, dataset = plan.config.data, plan.dataset
    values = {name: [v for v in column if v is not None] for name, column in test.groups.items()}
    return DataEntry(
        name=data.name or ", ".join(Path(named).name for named in data.named),
        source=", ".join(public_name(named) for named in data.named),
        digest=plan.digests["data"],
        rows_digest=rows_digest(read_whole(source_of(data, plan.path)).to_batches(), dataset.read),
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
        groups={name: _sizes(found) for name, found in values.items()},
        groups_missing={name: len(test) - len(found) for name, found in values.items()},
        scrubbed=replaced,
        not_scrubbed=plan.scrub.not_covered[plan.config.language],
        language=plan.config.language,
        licence=data.licence,
        statistics=statistics,
    )


def task_data_entry(
    plan: TaskPlan, items: ScrubbedItems, replaced: Mapping[str, int], statistics: DataStatistics | None
) -> DataEntry:
    """The data of a task audit, likewise; all rows are held out.

    Args:
        plan: the audit.
        items: scrubbed rows.
        replaced: entity -> pieces of personal data that scrubbing took out.
        statistics: of the scrubbed texts; None: the config wants none.
    """
    data, raw = plan.config.data, plan.items
    values = {name: [v for v in column if v is not None] for name, column in items.groups.items()}
    return DataEntry(
        name=data.name or Path(data.path).name,
        source=public_name(data.path),
        digest=plan.digests["data"],
        rows_digest=None if data.dialogues else rows_digest(read_whole(plan.file).to_batches(), raw.read),
        rows_read=raw.read,
        rows_empty=raw.empty,
        rows_duplicate=raw.repeated,
        rows_used=len(items),
        rows_train=0,
        rows_test=len(items),
        clusters_test=len(np.unique(items.clusters)),
        cluster=data.cluster,
        labels={},
        groups={name: _sizes(found) for name, found in values.items()},
        groups_missing={name: len(items) - len(found) for name, found in values.items()},
        scrubbed=replaced,
        not_scrubbed=plan.scrub.not_covered[plan.config.language],
        language=plan.config.language,
        licence=data.licence,
        statistics=statistics,
    )


def _sizes(values: Sequence[str]) -> dict[str, int]:
    counts = Counter(values)
    return {value: counts[value] for value in sorted(counts, key=reading_order)}


def lineage(plan: Plan | TaskPlan) -> Lineage:
    """What the record was made from."""
    digests = plan.digests
    installed = digests["versions"]
    code, dirty = code_version(installed)
    commit, changed = config_version(plan.path)
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
        bases=digests["bases"],
        parts={
            "code": digests["code"],
            **({"probes": digests["probes"]} if "probes" in digests else {}),
            **{f"evaluator {name}": digest for name, digest in digests["evaluators"].items()},
            **{f"import {name}": digest for name, digest in digests.get("imports", {}).items()},
        },
        config_commit=commit,
        config_dirty=changed,
    )


def code_version(installed: Mapping[str, str]) -> tuple[str, bool | None]:
    """This code's version and commit in words, and whether files differ from that commit (None: unknown)."""
    commit, dirty = _commit()
    return f"steelyard {installed.get('steelyard', 'unknown')}{f', commit {commit}' if commit else ''}", dirty


def hardware() -> str:
    """This machine as a record may show it."""
    return f"{platform.machine()}, {os.cpu_count()} cores"


def config_version(config: Path) -> tuple[str | None, bool | None]:
    """The commit of the repository that a config lies in, and whether the config or a tracked file differs from it.

    (None, None): it is in none, or ships with this package.
    """
    if config.resolve().is_relative_to(HERE):
        return None, None
    folder = config.resolve().parent
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    tracked = _git(folder, "status", "--porcelain", "--untracked-files=no", ":/")
    own = _git(folder, "status", "--porcelain", "--ignored", "--", config.name)
    return (None, None) if commit is None or tracked is None or own is None else (commit, bool(tracked or own))


def _commit() -> tuple[str | None, bool | None]:
    """The commit that this code was run from, and whether its packages differ from it, new files included.

    (None, None): outside a checkout.
    """
    if not (HERE / ".git").exists():
        return None, None
    commit = _git(HERE, "rev-parse", "--short=12", "HEAD")
    changed = _git(HERE, "status", "--porcelain", "--", *PACKAGES)
    return (None, None) if commit is None or changed is None else (commit, bool(changed))


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None: there is no git, or no commit. A repository's own programs are not run."""
    command = ["git", "-C", str(folder), "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
