"""What `steelyard scrub` and `steelyard restore` do: from a command line to a run, and its summary in words."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from governance.engine import Engine
from governance.errors import ConfigError, ScrubError
from governance.files import write_atomic
from governance.privacy.files.bulk import SESSION, Summary, Work, check_apart, run
from governance.privacy.files.rowfiles import format_of
from governance.privacy.leaves import Kind
from governance.privacy.policy import Direction, ScrubPolicy, load_policy
from governance.progress import Progress

if TYPE_CHECKING:
    from governance.privacy.vault.vault import Session, Vault

HOUR = 3600.0
INCOMPLETE = 3
"""Exit code of `--strict` where rows or texts couldn't be passed on."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def scrub_command(
    source: Path,
    out: Path,
    columns: Sequence[str],
    *,
    policy: str,
    language: Literal["auto", "en", "zh"] | None,
    direction: Direction,
    structure: Kind,
    workers: int | None,
    engine: Engine,
    vault: Path | None,
    hours: float,
    **ending: Any,
) -> int:
    """Scrub the texts of a file or folder; with a vault, hide what is found there instead.

    A vault's session id is printed and kept in `<OUT>.session`: `restore_command` needs it. A second run into the
    same OUT goes on with the same session, and is refused where it can't, unless it may replace OUT.

    Returns:
        The exit code.

    Raises:
        ConfigError: no such policy, or what it needs (a model, a key) is missing; with a vault, one that asks for
            anything but tokens, or not the vault and key that OUT was made with.
        DataError, ScrubError: as `governance.privacy.files.bulk.run`.
    """
    from governance.privacy.files.work import hiding, scrubbing

    rules = load_policy(policy)
    if language is not None:
        rules = rules.model_copy(update={"language": language})
    if vault is None:
        work = scrubbing(rules, direction, structure)
        return _run(source, out, columns, work, workers or cores(), engine, **ending)
    if engine != "local" or structure != "text" or direction != "train" or (workers or 1) > 1:
        raise ConfigError(
            "--vault: hides plain texts on their way to a model, in one process: leave out --engine, "
            "--structure, --direction and --workers"
        )
    _check_tokens(rules, policy)
    check_apart(source, out)
    session = _session(_vault(rules, vault, hours), out, force=ending["force"])
    return _run(source, out, columns, hiding(session), 1, "local", session=session.id, **ending)


def restore_command(
    source: Path, out: Path, columns: Sequence[str], *, policy: str, vault: Path, session: str, **ending: Any
) -> int:
    """Put a session's values back into a file or folder of answers.

    Returns:
        The exit code.

    Raises:
        ConfigError, DataError, ScrubError: as `scrub_command`; also no such session, or it has expired.
    """
    from governance.privacy.files.work import restoring

    work = restoring(_vault(load_policy(policy), vault, HOUR).resume(session))
    return _run(source, out, columns, work, 1, "local", **ending)


def _run(
    source: Path,
    out: Path,
    columns: Sequence[str],
    work: Work,
    workers: int,
    engine: Engine,
    *,
    force: bool,
    strict: bool,
    quiet: bool,
    as_json: bool,
    echo: Callable[[str], None],
    session: str | None = None,
) -> int:
    """Run, and tell how it went: the summary on stderr, and as JSON through `echo`."""
    progress = Progress(quiet=quiet)
    files = [path for path in ([source] if source.is_file() else source.rglob("*")) if path.is_file()]
    kilobytes = sum(path.stat().st_size for path in files if format_of(path)) // 1000
    with progress.stage("rewrite (kB read)", max(1, kilobytes)):
        summary = run(
            source,
            out,
            columns,
            work,
            workers=workers,
            engine=engine,
            force=force,
            reach=lambda done: progress.reach(done // 1000),
        )
    for line in in_words(summary, source, out):
        progress.say(line)
    if session is not None:
        write_atomic(_note(out), session.encode())
        progress.say(f"  session {session}, kept in {_note(out)}")
    if quiet and summary.quarantine:
        Progress().say(problem(summary))
    if as_json:
        told: dict[str, Any] = {"in": str(source), "out": str(out), **asdict(summary)}
        echo(json.dumps(told if session is None else {**told, "session": session}, ensure_ascii=False))
    return INCOMPLETE if strict and summary.quarantine else 0


def in_words(summary: Summary, source: Path, out: Path) -> list[str]:
    """The summary as lines for people."""
    did = "it was finished before" if summary.reused else f"{summary.seconds:.1f} s"
    changed = f"{summary.changed:,} of {summary.texts:,} texts changed"
    lines = [f"{source} -> {out}: {summary.rows:,} rows, {changed} ({did})"]
    lines += [f"  {entity:<18}{count:>10,}" for entity, count in summary.counts.items()]
    if summary.left_out:
        lines.append(f"  {summary.left_out:,} files of other formats are left out")
    return [*lines, problem(summary)] if summary.quarantine else lines


def problem(summary: Summary) -> str:
    """What could not be passed on, in words."""
    dropped = f"{summary.dropped:,} rows that can't be read are left out"
    return (
        f"  NOT PASSED ON: {dropped}, {summary.unreadable:,} texts stand as [UNREADABLE]; "
        f"{summary.quarantine} says which and why"
    )


def _vault(policy: ScrubPolicy, path: Path, hours: float) -> Vault:
    from governance.keys import Key
    from governance.privacy.scrubber import Scrubber
    from governance.privacy.vault.vault import Vault

    key = Key.from_env(policy.key_env)
    return Vault(Scrubber(policy, key), key, path, ttl=hours * HOUR)


def _check_tokens(policy: ScrubPolicy, source: str) -> None:
    actions = {name: rule.action_for("prompt") for name, rule in policy.entities.items()}
    others = [
        f"{name}: {action}" for name, action in actions.items() if action not in ("placeholder", "number", "keep")
    ]
    if others:
        raise ConfigError(
            f"{source}: entities: --vault hides everything behind tokens: expected the action placeholder, number or "
            f"keep in the direction prompt, found {', '.join(others)}; name another policy, or leave out --vault"
        )


def _session(vault: Vault, out: Path, *, force: bool) -> Session:
    """The session of an earlier run into the same OUT, or a new one.

    Raises:
        ConfigError: OUT, or what there is of it, was made with a session that can't be resumed.
    """
    note, part = _note(out), out.with_name(out.name + ".part")
    begun = out.exists() or part.exists()
    if note.exists():
        try:
            return vault.resume(note.read_text(errors="replace").strip())
        except ScrubError as error:
            if begun and not force:
                raise ConfigError(
                    f"{note}: the session that {out} was made with can't go on: {error}. Give the vault and key that "
                    "it was made with, or name another OUT; --force gives up that session, and with it the values"
                ) from None
    session = vault.session()
    # A killed run needs it to go on; but what may still be refused must not take the id of an OUT that is there.
    if not out.exists() and not (note.exists() and begun):
        write_atomic(note, session.id.encode())
    return session


def _note(out: Path) -> Path:
    return out.with_name(out.name + SESSION)
