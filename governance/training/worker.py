"""One process of a training run: what torchrun and Ray Train start.

    torchrun --nproc-per-node 2 -m governance.training.worker JOB

The environment names the process (RANK, WORLD_SIZE), as torchrun and Ray Train set it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.errors import ConfigError, SteelyardError
from governance.offline import stay_home
from governance.training.job import Job, leave, read

if TYPE_CHECKING:
    from governance.budget.ledger import Run
    from governance.training.loop import Tick

LOCK_SECONDS = 60.0


def main(arguments: list[str]) -> int:
    """Take part in the job of a file, as a process of torchrun.

    Returns:
        The exit code: 0, or that of the error, which is left for the launcher.
    """
    stay_home()
    job = read(Path(arguments[0]))
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    try:
        work(job, int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    except SteelyardError as error:
        return error.exit_code
    return 0


def on_ray(given: Mapping[str, Any]) -> None:
    """The same, as a worker of Ray Train."""
    import ray.train

    stay_home()
    context = ray.train.get_context()
    with contextlib.suppress(SteelyardError):  # it is left for the launcher; Ray would wrap it and print it
        work(read(Path(given["job"])), context.get_world_rank(), context.get_world_size())


def work(job: Job, rank: int, size: int) -> None:
    """Train with the other processes, and leave what came of it.

    Args:
        job: what to do.
        rank: of this process.
        size: how many there are.

    Raises:
        SteelyardError: left for the launcher too.
    """
    try:
        with _met(job, rank, size), _directory(job, rank) as directory:
            fitted = _fit(job, rank, size, directory)
    except SteelyardError as error:
        leave(job, rank, error)
        raise
    leave(job, rank, fitted if rank == 0 else None)


@contextlib.contextmanager
def _met(job: Job, rank: int, size: int) -> Iterator[None]:
    """The processes connected. They meet by a file: torch's other stores listen on every interface of the machine."""
    import torch
    from torch import distributed

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    stall = datetime.timedelta(seconds=job.stall)
    distributed.init_process_group("gloo", f"file://{job.store}", timeout=stall, rank=rank, world_size=size)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _fit(job: Job, rank: int, size: int, directory: Path) -> Any:
    from pydantic import TypeAdapter

    from governance import registry
    from governance.dataset import ScrubbedTable
    from governance.training.dp.draws import Owners
    from governance.training.group import Group
    from governance.training.recipes import RECIPES
    from governance.training.recipes.base import Setting

    group = Group(rank, size)
    group.every(job.check_files)
    recipe = TypeAdapter(registry.load("recipe", job.recipe, RECIPES)).validate_python(dict(job.options))
    setting = Setting(
        base=job.base,
        settings=job.settings,
        plan=job.plan,
        charges=_account(job) if rank == 0 else None,
        owners=Owners.load(job.owners) if job.owners else None,
        tick=partial(_tell, job) if rank == 0 else None,
        public=ScrubbedTable.load(job.public) if job.public else None,
        language=job.language,
        group=group,
    )
    return recipe.fit(ScrubbedTable.load(job.table), directory, setting)


def _account(job: Job) -> Run | None:
    """The run in the budget book that the launcher opened."""
    from governance.budget.ledger import Ledger, Run

    if job.book is None or job.run is None:
        return None
    if not job.book.is_dir():
        raise ConfigError(f"{job.book}: no budget book here; its folder must be shared by all machines")
    ledger = Ledger(job.book)
    if job.run not in ledger.state.runs:
        raise ConfigError(f"{job.book}: the budget book does not know run {job.run}; the launcher must open it first")
    return Run(ledger, job.run)


@contextlib.contextmanager
def _directory(job: Job, rank: int) -> Iterator[Path]:
    """Where this process may write: rank 0 in the job's directory and alone there, the others in one that goes."""
    import filelock

    if rank:
        with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
            yield Path(folder)
        return
    job.directory.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(job.directory.with_name(f".{job.directory.name}.lock"))  # in it would look like a result
    try:
        lock.acquire(timeout=LOCK_SECONDS)  # processes of an attempt that was killed are gone by then
    except filelock.Timeout:
        raise ConfigError(f"{job.directory}: another training run is writing here; wait for it, or end it") from None
    try:
        yield job.directory
    finally:
        lock.release()


def _tell(job: Job, tick: Tick) -> None:
    """Tell the launcher where the run is."""
    with job.ticks.open("a") as file:
        file.write(json.dumps(asdict(tick)) + "\n")


def _end_with_launcher() -> None:
    """The launcher holds the other end of standard input: when it dies, however that is, nothing may train on."""
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
