"""Is every changed byte of a run found, and how fast is a verdict? make bench NAME=evidence

A signed run with four prediction files and two judgements, and another one beside it. Then 10,000 single bytes, drawn
uniformly over all bytes of all its files, are changed and changed back, one at a time; every file is removed, renamed,
swapped with another file of the run and with its counterpart in the other run, and a file is added to every folder.
`verify` looks at each. Last, 1,000 controls are judged over 10,000 outcomes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from governance.conclude import conclude
from governance.evidence.attest import save_attested
from governance.evidence.signing import SIGNING, checking_keys, make_keys, signing_key
from governance.evidence.verify import verify
from governance.files import digest_file
from governance.measure import Measurement, Slice, Unit
from governance.policy import Control, Policy, Terms, judge
from governance.record import RunRecord
from tests.sample_record import MODELS, POLICY, record

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

FLIPS, CONTROLS, OUTCOMES, ROWS = 10_000, 1_000, 10_000, 2_000
LENIENT = POLICY.model_copy(update={"name": "lenient", "controls": POLICY.controls[:3]})


def make_run(folder: Path, seed: int) -> Path:
    """A run as an audit leaves it; signed by the key in the environment."""
    rng = np.random.default_rng(seed)
    whole = record()
    directory = folder / whole.audit / f"{seed:012x}"
    (directory / "predictions").mkdir(parents=True)
    files = {}
    for model in MODELS:
        path = f"predictions/{model}.parquet"
        table = {"row": np.arange(ROWS), "label": rng.integers(0, 2, ROWS), "score": rng.random(ROWS)}
        pq.write_table(pa.table(table), directory / path)
        files[path] = digest_file(directory / path)
    named = whole.model_copy(update={"run": directory.name, "files": files, "title": f"Run {seed}"})
    save_attested(named, directory, signing_key())
    for policy in (POLICY, LENIENT):
        conclude(named, Terms(policy=policy), directory)
    return directory


def contents(directory: Path) -> list[Path]:
    """All files, the link to the last judgement aside."""
    return [
        Path(folder) / name
        for folder, _, names in sorted(os.walk(directory))
        for name in sorted(names)
        if not (Path(folder) / name).is_symlink()
    ]


def caught(directory: Path, keys: Sequence[SSlibKey]) -> bool:
    """Whether verify finds fault."""
    return verify(directory, keys).exit_code == 1


def flip(directory: Path, keys: Sequence[SSlibKey], flips: int) -> tuple[int, float]:
    """How many changed bytes were found, and the mean seconds that one look takes."""
    rng, files = np.random.default_rng(0), contents(directory)
    ends = np.cumsum([file.stat().st_size for file in files])
    found, seconds = 0, 0.0
    for place in rng.integers(0, ends[-1], flips):
        which = int(np.searchsorted(ends, place, side="right"))
        offset = int(place - (ends[which - 1] if which else 0))
        with files[which].open("r+b") as file:
            file.seek(offset)
            [byte] = file.read(1)
            _put(file, offset, byte ^ int(rng.integers(1, 256)))
            began = time.perf_counter()
            found += caught(directory, keys)
            seconds += time.perf_counter() - began
            _put(file, offset, byte)
    return found, seconds / flips


def _put(file: object, offset: int, byte: int) -> None:
    file.seek(offset)  # type: ignore[attr-defined]
    file.write(bytes([byte]))  # type: ignore[attr-defined]
    file.flush()  # type: ignore[attr-defined]


def others(directory: Path, other: Path, keys: Sequence[SSlibKey]) -> dict[str, tuple[int, int]]:
    """What else can happen to each file: kind -> (how often it was tried, how often it was found)."""
    found: dict[str, tuple[int, int]] = {}
    files = contents(directory)
    counterparts = dict(zip(_roles(directory), _roles(other), strict=True))

    def tried(kind: str) -> None:
        before, right = found.get(kind, (0, 0))
        found[kind] = (before + 1, right + caught(directory, keys))

    for folder in sorted({file.parent for file in files} | {directory / "out"}):
        for name in ("new", ".new"):
            (folder / name).write_bytes(b"")
            tried("added")
            (folder / name).unlink()
    for file in files:
        with _away(file) as kept:
            tried("removed")
            for name in (f"{file.name}.new", f"x{file.name}"):
                shutil.copy(kept, file.with_name(name))
                tried("renamed")
                file.with_name(name).unlink()
            if counterparts[file].read_bytes() != kept.read_bytes():  # both runs have the same policy.json
                shutil.copy(counterparts[file], file)
                tried("swapped with another run's")
                file.unlink()
    for one, another in zip(files, [*files[1:], files[0]], strict=True):
        with _away(one) as first, _away(another) as second:
            shutil.copy(first, another)
            shutil.copy(second, one)
            tried("swapped within the run")
            one.unlink()
            another.unlink()
    assert verify(directory, keys).exit_code == 0, "the benchmark did not put back what it took"
    return found


def _roles(directory: Path) -> list[Path]:
    """Files in an order that is the same in two runs, whose judgements have names of their own."""
    judgements = sorted((directory / "out").iterdir(), key=lambda folder: (folder / "policy.json").read_bytes())
    order = {folder.name: str(i) for i, folder in enumerate(judgements)}
    return sorted(
        contents(directory), key=lambda file: [order.get(part, part) for part in file.relative_to(directory).parts]
    )


@contextmanager
def _away(file: Path) -> Iterator[Path]:
    """A file taken out of the run for a while."""
    with tempfile.TemporaryDirectory(dir=file.parents[-2]) as folder:
        kept = Path(folder) / "kept"
        shutil.move(file, kept)
        try:
            yield kept
        finally:
            shutil.move(kept, file)


def judge_seconds(times: int = 5) -> float:
    """Seconds that 1,000 controls over 10,000 outcomes take: the best of a few, since the machine does other things."""
    rng = np.random.default_rng(0)
    measured = []
    for i in range(OUTCOMES):
        value = float(rng.random())
        where = Slice.of(group=str(i % 10))
        measured.append(
            Measurement(
                metric=f"metric.{i // 10}",
                model=MODELS[0],
                value=value,
                low=value * 0.9,
                high=min(1.0, value * 1.1),
                level=0.95,
                n=100,
                unit=Unit.RATE,
                method="m",
                slice=where,
            )
        )
    says = {"en": "It holds."}
    controls = tuple(
        Control(id=f"c{i}", says=says, metric=f"metric.{i}", slice="any", at_least=0.5) for i in range(CONTROLS)
    )
    whole: RunRecord = record().model_copy(update={"outcomes": tuple(measured), "candidate": MODELS[0]})
    policy = Policy(name="large", version="1", title={"en": "Large"}, controls=controls)
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        verdict = judge(whole, policy)
        best = min(best, time.perf_counter() - began)
    assert len(verdict.of(MODELS[0]).findings) == OUTCOMES
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=FLIPS)
    flips = parser.parse_args().flips
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_keys(folder / "key")
        os.environ[SIGNING] = str(folder / "key")
        directory, other = make_run(folder / "runs", 1), make_run(folder / "runs", 2)
        keys = checking_keys([str(folder / "key.pub")])
        assert verify(directory, keys).exit_code == verify(other, keys).exit_code == 0
        sizes = [file.stat().st_size for file in contents(directory)]
        print(f"a run of {len(sizes)} files, {sum(sizes):,} bytes")
        found, each = flip(directory, keys, flips)
        assert verify(directory, keys).exit_code == 0, "the benchmark did not put back what it changed"
        print(f"{'one byte changed':<28}{found:>7,} of {flips:,} found, {each * 1000:.1f} ms a look")
        rest = others(directory, other, keys)
        for kind, (tries, right) in rest.items():
            print(f"{kind:<28}{right:>7,} of {tries:,} found")
    seconds = judge_seconds()
    print(f"{CONTROLS:,} controls over {OUTCOMES:,} outcomes judged in {seconds:.2f} s")
    figures = {
        "judge_seconds": round(seconds, 3),
        "flips": flips,
        "flips_caught": found,
        "others": sum(tries for tries, _ in rest.values()),
        "others_caught": sum(right for _, right in rest.values()),
        "verify_seconds": round(each, 4),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
