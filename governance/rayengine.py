"""The Ray side of the engine: a stream of batches through a Ray Data actor pool on this machine.

Ray binds to loopback, sends nothing home, and keeps its files in a private folder that goes with it. A
feeding thread puts batches into a short queue; a Ray task draws them out, the actors work on them, and the
results come back in order.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from governance.errors import BackendError, MissingExtra, ScrubError, SteelyardError
from governance.offline import stay_home

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
R = TypeVar("R")

START_SECONDS = 120.0
"""Ray that isn't up by then is given up: on a loaded machine it may hang for good."""
STOP_SECONDS = 20.0
"""Ray's processes that are still there by then are ended; on a loaded machine some outlive their shutdown."""
_STORE_BYTES = 200 << 20  # shared memory for batches on their way; batches are far smaller
_AHEAD = 2


def require_ray() -> None:
    """Check that Ray is installed.

    Raises:
        MissingExtra: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtra("--engine ray needs ray: pip install 'steelyard[ray]', or leave the option out")


def map_on_ray(batches: Iterator[T], factory: Callable[[], Callable[[T], R]], workers: int) -> Iterator[R]:
    """Results of a function over batches, in order; see `governance.engine.map_batches`."""
    with running_ray(workers) as ray:
        from ray.data import ActorPoolStrategy, DataContext
        from ray.util.queue import Queue

        queue = Queue(maxsize=workers * _AHEAD, actor_options={"num_cpus": 0})
        feeder = _Feeder(((factory, batch) for batch in batches), queue)
        context = DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        context.target_max_block_size = 1  # each batch goes on as soon as it is there, and to any actor
        results = (
            ray.data.from_items([0])
            .map_batches(_draw, batch_size=None, num_cpus=0, fn_kwargs={"queue": queue})
            .map_batches(_Worker, batch_size=1, num_cpus=1, compute=ActorPoolStrategy(size=workers))
        )
        feeder.start()
        try:
            for row in results.iter_rows():
                yield _opened(row["packed"])
        except ray.exceptions.RayError as error:
            lost = type(error).__name__
        else:
            lost = ""
        finally:
            feeder.stop()
        feeder.check()
        if lost:  # outside the handler: Ray's error may quote what the function was given
            raise ScrubError(f"Ray lost a worker ({lost}); nothing of its batch was passed on. Try fewer workers")


class _Feeder(threading.Thread):
    """Reads batches and puts them into the queue; an empty item is the end."""

    def __init__(self, batches: Iterator[Any], queue: Any) -> None:
        super().__init__(daemon=True)
        self._batches = batches
        self._queue = queue
        self._stopped = threading.Event()
        self._failure: Exception | None = None

    def run(self) -> None:
        try:
            for batch in self._batches:
                self._put(pickle.dumps(batch))
                if self._stopped.is_set():
                    return
        except Exception as error:  # noqa: BLE001 - raised again by `check`, in the thread that waits for results
            self._failure = error
        self._put(b"")

    def _put(self, item: bytes) -> None:
        from ray.util.queue import Full

        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=1)
            except Full:
                continue
            return

    def stop(self) -> None:
        """End the thread; what it has not put yet stays unread."""
        self._stopped.set()
        self.join()

    def check(self) -> None:
        """Raise what reading a batch raised."""
        if self._failure is not None:
            raise self._failure


def _draw(_start: Any, queue: Any) -> Iterator[dict[str, NDArray[Any]]]:
    """In a Ray task: one row per batch, as the feeder puts them."""
    while packed := queue.get():
        yield _row(packed)


class _Worker:
    """In an actor: the function over one batch a call. What the user can mend travels back as a value."""

    def __init__(self) -> None:
        stay_home()
        self._function: Callable[[Any], Any] | None = None

    def __call__(self, rows: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        factory, batch = pickle.loads(rows["packed"][0])  # noqa: S301 - our own feeder made it
        try:
            if self._function is None:
                self._function = factory()
            result = self._function(batch)
        except SteelyardError as error:
            result = error
        except Exception as error:  # noqa: BLE001 - Ray would log it whole, and it may quote a text
            result = ScrubError(f"a scrubbing function failed ({type(error).__name__}); nothing was passed on")
        return _row(pickle.dumps(result))


def _row(packed: bytes) -> dict[str, NDArray[Any]]:
    import numpy as np

    return {"packed": np.array([packed], dtype=object)}


def _opened(packed: bytes) -> Any:
    result = pickle.loads(packed)  # noqa: S301 - our own actor made it
    if isinstance(result, SteelyardError):
        raise result
    return result


@contextmanager
def running_ray(workers: int) -> Iterator[Any]:
    """Ray on this machine, started for this block alone.

    Raises:
        BackendError: it does not start.
    """
    stay_home()  # before Ray is imported: it reads its switches then
    # Without the first, Ray replaces 127.0.0.1 by the machine's address and listens on every interface.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # other users of this machine can reach loopback too
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "CRITICAL")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    logging.getLogger("ray").setLevel(logging.ERROR)
    import ray
    import ray.data

    folder = tempfile.mkdtemp(prefix="ry-")  # short: sockets within must have paths below 108 characters
    starter = _Starter(ray, workers, folder)
    try:
        starter.start()
        starter.wait()
        yield ray
    finally:
        started = _processes(folder)
        ray.shutdown()
        starter.finished.set()
        _end(started)
        shutil.rmtree(folder, ignore_errors=True)


def _processes(folder: str) -> list[Any]:
    """The processes of the Ray whose files are in a folder."""
    import psutil

    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any(folder in word for word in child.cmdline()):
                found += [child, *child.children(recursive=True)]
    return found


def _end(processes: list[Any]) -> None:
    """Wait until processes are gone: Ray's shutdown asks them to go and returns."""
    import psutil

    _, alive = psutil.wait_procs(processes, timeout=STOP_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=STOP_SECONDS)


class _Starter(threading.Thread):
    """Starts Ray where waiting for it can be given up. Lives as long as Ray: its processes end with this thread."""

    def __init__(self, ray: Any, workers: int, folder: str) -> None:
        super().__init__(daemon=True)
        self.finished = threading.Event()
        self._ray = ray
        self._workers = workers
        self._folder = folder
        self._up = threading.Event()
        self._failure = f"not up after {START_SECONDS:.0f} s"

    def run(self) -> None:
        try:
            self._ray.init(
                num_cpus=self._workers,
                object_store_memory=_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=self._folder,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            self._failure = ""
        except Exception as error:  # noqa: BLE001 - whatever Ray raises becomes one clear error
            self._failure = type(error).__name__
        self._up.set()
        self.finished.wait()

    def wait(self) -> None:
        """Return once Ray is up.

        Raises:
            BackendError: it isn't in time, or it failed.
        """
        self._up.wait(START_SECONDS)
        if self._failure:
            raise BackendError(f"Ray does not start on this machine ({self._failure}): use --engine local")
