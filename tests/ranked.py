"""What one rank of two does in tests of distributed training: `python -m tests.ranked FOLDER RANK`; answers in JSON."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from governance.errors import BudgetExceeded, SteelyardError
from governance.training import loop
from governance.training.dp.draws import PoissonDraws, fresh_generator
from governance.training.dp.plan import Plan
from governance.training.dp.steps import PrivateSteps
from governance.training.group import ALONE, Group
from tests.tinyrecipe import TinyTask, rows

QUIET = 1e-9
"""A noise multiplier that leaves every figure as it is: what is compared is all else."""
UNITS, RATE, DRAWS = 1000, 0.1, 500
WIDE, STEPS, SIGMA, CLIPPING, BATCH = 2000, 60, 3.0, 0.5, 8.0


def settings(**changes: Any) -> loop.Settings:
    made = loop.Settings(learning_rate=0.3, optimizer="sgd", batch=10, epochs=6, physical=7, schedule="constant")
    return dataclasses.replace(made, **changes)


def plan(n: int = 65, **changes: Any) -> Plan:
    fixed: dict[str, Any] = {"sample_rate": 1.0, "steps": 25, "batch": 65.0, "clipping": 0.2, "sigma": QUIET}
    return Plan(n=n, units=n, epsilon=1.0, delta=1e-3, **fixed | changes)


class Charged:
    """Counts, and refuses past a limit."""

    def __init__(self, limit: int = 10**6) -> None:
        self.charged, self._limit = 0, limit

    def charge(self, steps: int) -> None:
        if self.charged + steps > self._limit:
            raise BudgetExceeded("the test's budget")
        self.charged += steps


def weights(model: nn.Module) -> list[float]:
    return [float(x) for p in model.parameters() for x in p.detach().flatten()]


def digest(model: nn.Module) -> str:
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()


def started_apart(group: Group, n: int = 65, **changes: Any) -> TinyTask:
    """A task; other ranks than the first start from other weights, which must not matter."""
    task = TinyTask(*rows(n), **changes)
    if group.rank:
        nn.init.normal_(task.model[0].weight)  # type: ignore[index]
    return task


def private(group: Group, folder: Path) -> dict[str, Any]:
    task = started_apart(group)
    ran = loop.run(task, settings(), folder, plan=plan(), charges=Charged() if group.rank == 0 else None, group=group)
    checkpoints = [path.name for path in folder.glob("step-*")]
    return {"weights": weights(task.model), "digest": digest(task.model), "curve": ran.curve, "kept": checkpoints}


def openly(group: Group, folder: Path) -> dict[str, Any]:
    """61 rows in tens: the last batch has one row, so one of two ranks has none of it."""
    task = started_apart(group, 61)
    ran = loop.run(task, settings(optimizer="adamw", average=0.3, learning_rate=0.01), folder, group=group)
    return {"weights": weights(task.model), "digest": digest(task.model), "curve": ran.curve}


class Interrupted(Exception):
    pass


def resumed(group: Group, folder: Path) -> dict[str, Any]:
    """The open run of above, cut after its first block and begun again; other ranks than the first remember nothing."""
    how = settings(optimizer="adamw", average=0.9, learning_rate=0.01)

    def cut(_: loop.Tick) -> None:
        raise Interrupted

    whole = started_apart(group, 61)
    loop.run(whole, how, folder / "whole", group=group)
    try:
        loop.run(started_apart(group, 61), how, folder / "first", group=group, tick=cut)
    except Interrupted:
        kept = [path.name for path in (folder / "first").glob("step-*")]
    task = started_apart(group, 61)
    again = folder / ("first" if group.rank == 0 else "again")
    ran = loop.run(task, how, again, group=group)
    return {"whole": digest(whole.model), "digest": digest(task.model), "kept": kept, "curve": ran.curve}


def resumed_private(group: Group, folder: Path) -> dict[str, Any]:
    """Steps that were paid for and lost are not taken again: all ranks go on from rank 0's account."""
    charges = Charged()
    charges.charge(20)  # by an attempt that died before its first checkpoint
    steps = []
    ran = loop.run(
        started_apart(group), settings(), folder, plan=plan(steps=30), charges=charges if group.rank == 0 else None,
        group=group, tick=lambda tick: steps.append(tick.step),
    )  # fmt: skip
    return {"steps": ran.steps, "ticks": steps, "charged": charges.charged}


def refused(group: Group, folder: Path) -> dict[str, Any]:
    told = {}
    for rule in ("refuse", "stop"):
        charges = Charged(limit=25) if group.rank == 0 else None
        try:
            ran = loop.run(
                started_apart(group), settings(on_budget=rule), folder / rule, plan=plan(steps=60), charges=charges,
                group=group,
            )  # fmt: skip
            told[rule] = [ran.steps, ran.stopped]
        except BudgetExceeded as error:
            told[rule] = [str(error), None]
    return told


def patient(group: Group, folder: Path) -> dict[str, Any]:
    """Rank 0 alone looks at public rows; what it decides holds for all."""
    looks = []

    def public() -> float:
        assert group.rank == 0
        looks.append(1)
        return float(len(looks))

    ran = loop.run(started_apart(group, 61), settings(epochs=40, patience=2), folder, public=public, group=group)
    return {"steps": ran.steps, "stopped": ran.stopped}


def unlike(group: Group, folder: Path) -> dict[str, Any]:
    try:
        loop.run(started_apart(group, 60 + group.rank), settings(), folder, group=group)
    except SteelyardError as error:
        return {"error": str(error)}
    return {}


def failed_check(group: Group, folder: Path) -> dict[str, Any]:
    """One rank's failure is everyone's."""

    def check() -> None:
        if group.rank == group.size - 1:
            raise SteelyardError("the last rank's model is broken")

    try:
        group.every(check)
    except SteelyardError as error:
        return {"error": str(error)}
    return {}


class Flat:
    """A task without a gradient: what moves its weights is noise."""

    rows = 64

    def __init__(self) -> None:
        self.model: nn.Module = nn.Linear(WIDE, 1, bias=False)

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        return self.model(torch.zeros(len(rows), WIDE)).squeeze(1)


def noise(group: Group, folder: Path) -> dict[str, Any]:
    """Updates of plain SGD at rate 1 are the averaged noise itself."""
    torch.manual_seed(3)  # of no use to whoever wants to know the noise
    task = Flat()
    group.share(task.model)
    optimizer = torch.optim.SGD(task.model.parameters(), lr=1.0)
    obeyed = plan(64, sample_rate=0.25, sigma=SIGMA, clipping=CLIPPING, batch=BATCH)
    steps = PrivateSteps(task, obeyed, optimizer, physical=64, rank=group.rank, ranks=group.size)  # type: ignore[arg-type]
    squares, first = [], []
    for step in range(STEPS):
        before = task.model.weight.detach().clone()  # type: ignore[union-attr]
        steps.take(step)
        moved = task.model.weight.detach() - before  # type: ignore[union-attr,operator]
        squares.append(float(moved.square().mean()))
        first = first or [float(x) for x in moved.flatten()[:20]]
    return {"variance": sum(squares) / STEPS, "first": first, "digest": digest(task.model)}


def draws(group: Group, folder: Path) -> dict[str, Any]:
    torch.manual_seed(5)  # the same everywhere: coins must not come from it
    source = PoissonDraws(UNITS, RATE, rank=group.rank, ranks=group.size)
    drawn = [source.draw().tolist() for _ in range(DRAWS)]
    counts = [0] * UNITS
    for units in drawn:
        for unit in units:
            counts[unit] += 1
    return {"drawn": drawn, "counts": counts, "generator": float(torch.rand(1, generator=fresh_generator()))}


class Watched(TinyTask):
    """Notes the state of dropout's generator."""

    def __init__(self) -> None:
        super().__init__(*rows(61), dropout=0.5)
        self.masks: list[list[float]] = []

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        state = torch.get_rng_state()
        self.masks.append(torch.rand(4).tolist())
        torch.set_rng_state(state)
        return super().losses(rows)


def dropout(group: Group, folder: Path) -> dict[str, Any]:
    task, secret = Watched(), Watched()
    loop.run(task, settings(epochs=1), folder / "open", group=group)
    charges = Charged() if group.rank == 0 else None
    loop.run(secret, settings(), folder / "private", plan=plan(61, steps=3), charges=charges, group=group)
    return {"open": task.masks, "private": secret.masks}


CASES: tuple[Callable[[Group, Path], dict[str, Any]], ...] = (
    private, openly, resumed, resumed_private, refused, patient, unlike, failed_check, noise, draws, dropout,
)  # fmt: skip


def alone(case: Callable[[Group, Path], dict[str, Any]], folder: Path) -> dict[str, Any]:
    """The same in one process."""
    folder.mkdir(parents=True)
    return case(ALONE, folder)


def main(folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    stall = datetime.timedelta(seconds=120)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2, timeout=stall
    )
    told = {}
    for case in CASES:
        own = folder / f"rank{rank}" / case.__name__
        own.mkdir(parents=True)
        told[case.__name__] = case(Group(rank, 2), own)
    (folder / f"{rank}.json").write_text(json.dumps(told))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
