"""Training in several processes: by torchrun on this machine, or by Ray Train on one machine or many.

The launching process prepares files, starts the others, and reads what they left. All work is in `worker`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from governance.dataset import ScrubbedTable
from governance.errors import BackendError, ConfigError, MissingExtra
from governance.files import digest_file
from governance.training.job import Job, collect
from governance.training.loop import Tick
from governance.training.recipes import SINGLE
from governance.training.recipes.base import Fitted, Setting
from governance.training.worker import on_ray

Launcher = Literal["torchrun", "ray"]
CLUSTER = "RAY_ADDRESS"
"""Variable with the address of a running Ray cluster."""
LOOK_SECONDS = 0.2
END_SECONDS = 60.0  # for torchrun to end its processes; it gives each 30 s
NO_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # torchrun opens one for its processes too; ours use a file
DIED = (
    "one of the {n} training processes died; what it said is above. Steps that were charged stay paid for; the same "
    "command goes on from the last checkpoint"
)


def fit(
    recipe: str,
    options: Mapping[str, Any],
    table: ScrubbedTable,
    directory: Path,
    setting: Setting,
    *,
    processes: int,
    launcher: Launcher = "torchrun",
    book: Path | None = None,
    run: str | None = None,
) -> Fitted:
    """`Recipe.fit` in several processes.

    Args:
        recipe: its name.
        options: its settings, JSON values.
        table: scrubbed rows.
        directory: of the training; with Ray on several machines, a folder that all of them share.
        setting: as for one process, but for `charges`, which stay behind: see `book`.
        processes: how many, at least 2.
        launcher: who starts them.
        book: folder of the budget book; with a plan.
        run: the run in the book, opened, where rank 0 charges the steps.

    Raises:
        SteelyardError: what the recipe raised in a process.
        BackendError: a process died.
        MissingExtra: Ray is not installed.
    """
    if processes < 2:
        raise ConfigError(f"processes: expected at least 2, got {processes}")
    if recipe in SINGLE:
        raise ConfigError(f"processes: recipe '{recipe}' does not train by gradient steps alone; it takes one process")
    if setting.plan is not None and (book is None or run is None):
        raise ValueError("a private run needs a place where its steps are charged")
    directory.mkdir(parents=True, exist_ok=True)
    with _files(table, directory, setting) as (folder, files):
        job = Job(
            recipe=recipe,
            options=options,
            table=files["table"],
            directory=directory.absolute(),
            settings=setting.settings,
            language=setting.language,
            base=setting.base.absolute() if setting.base else None,
            plan=setting.plan,
            owners=files.get("owners"),
            public=files.get("public"),
            book=book.absolute() if book else None,
            run=run,
            folder=folder / "left",
            store=folder / "store",
            digests={str(path): digest_file(path) for path in files.values()},
        )
        job.folder.mkdir()
        job.write(folder / "job")
        crashed = _LAUNCHERS[launcher](folder / "job", job, processes, setting.tick)
        fitted = collect(job)
    if fitted is None:
        sys.stderr.write(crashed)
        raise BackendError(DIED.format(n=processes))
    return fitted


@contextlib.contextmanager
def _files(table: ScrubbedTable, directory: Path, setting: Setting) -> Iterator[tuple[Path, dict[str, Path]]]:
    """The rows as files, in a folder that goes with the job; beside the run's, for that becomes the model's."""
    folder = directory.absolute().with_name(f".{directory.name}.job")
    shutil.rmtree(folder, ignore_errors=True)  # of a launcher that was killed
    folder.mkdir(mode=0o700)
    try:
        files = {"table": folder / "table.parquet"}
        table.save(files["table"])
        if setting.public is not None:
            files["public"] = folder / "public.parquet"
            setting.public.save(files["public"])
        if setting.owners is not None:
            files["owners"] = folder / "owners.npy"
            setting.owners.save(files["owners"])
        yield folder, files
    finally:
        shutil.rmtree(folder)


def _by_torchrun(path: Path, job: Job, processes: int, tick: Callable[[Tick], None] | None) -> str:
    """Start and follow the processes; returns what they said on standard error."""
    options = ["--nnodes", "1", "--nproc-per-node", str(processes), "--max-restarts", "0"]
    # A file, not a port: torch's store for meeting would listen on every interface.
    options += ["--rdzv-backend", "c10d", "--rdzv-endpoint", str(path.parent / "meeting"), "--rdzv-id", "job"]
    options += ["--rdzv-conf", "store_type=file", "--local-addr", "127.0.0.1"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *options, "-m", "governance.training.worker", str(path)],
            stdin=subprocess.PIPE,  # stays open: the processes end when it closes
            stdout=said,
            stderr=said,
            env={**os.environ, **_loopback(), **NO_STORE, "OMP_NUM_THREADS": _threads(processes)},
        )
        with _ending(process):
            _follow(job, tick, lambda: process.poll() is not None)
        said.seek(0)
        return said.read().decode(errors="replace")


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave no process behind, whatever happens."""
    try:
        yield
    finally:
        assert process.stdin is not None  # noqa: S101 - narrows the type
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _by_ray(path: Path, job: Job, processes: int, tick: Callable[[Tick], None] | None) -> str:
    """The same on Ray Train: on the cluster that RAY_ADDRESS names, else on a Ray of our own on this machine."""
    if importlib.util.find_spec("ray") is None:
        raise MissingExtra("launcher 'ray' needs ray: pip install 'steelyard[ray]', or take launcher 'torchrun'")
    # Ray goes before the thread is waited for: if we are interrupted, that ends its work.
    with ThreadPoolExecutor(1) as pool, _ray(processes):
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        trainer = TorchTrainer(
            on_ray,
            train_loop_config={"job": str(path)},
            torch_config=_ray_config(),
            scaling_config=ScalingConfig(num_workers=processes),
            run_config=RunConfig(name="ray", storage_path=str(path.parent)),
        )
        ended = pool.submit(trainer.fit)
        _follow(job, tick, ended.done)
        error = ended.exception()
    return "" if error is None else f"{type(error).__name__}: {error}\n"


def _ray_config() -> Any:
    """Ray's workers as they are: they meet by our file, for Ray's own way opens a port on every interface."""
    from ray.train.backend import Backend
    from ray.train.torch import TorchConfig

    class Unmet(TorchConfig):  # type: ignore[misc]
        @property
        def backend_cls(self) -> Any:
            return Backend

    return Unmet(backend="gloo")


def _follow(job: Job, tick: Callable[[Tick], None] | None, ended: Callable[[], bool]) -> None:
    """Pass on what rank 0 tells of its steps until the processes have ended."""
    told, last = 0, False
    while not last:
        last = ended()  # before the look: what was told before the end is passed on
        lines = job.ticks.read_bytes().split(b"\n")[:-1] if job.ticks.exists() else []
        for line in lines[told:]:
            if tick:
                tick(Tick(**json.loads(line)))
        told = len(lines)
        if not last:
            time.sleep(LOOK_SECONDS)


_LAUNCHERS: Mapping[Launcher, Callable[[Path, Job, int, Callable[[Tick], None] | None], str]] = {
    "torchrun": _by_torchrun,
    "ray": _by_ray,
}


@contextlib.contextmanager
def _ray(processes: int) -> Iterator[None]:
    if os.environ.get(CLUSTER):
        import ray

        ray.init(log_to_driver=False)
        try:
            yield
        finally:
            ray.shutdown()
        return
    from governance.rayengine import running_ray

    before = dict(os.environ)
    os.environ.update(_loopback() | {"OMP_NUM_THREADS": _threads(processes)})  # Ray's processes inherit them
    try:
        with running_ray(processes):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _loopback() -> dict[str, str]:
    """So that processes on one machine speak on its loopback interface alone."""
    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    return {"GLOO_SOCKET_IFNAME": names[0]} if names else {}


def _threads(processes: int) -> str:
    return os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // processes))
