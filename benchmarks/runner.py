"""What asking costs, beside Inspect and lm-eval, and how a bad server is borne. make bench NAME=runner

First a race: the same 1,000 and 5,000 samples through our runner with a scripted model, Inspect's with its mock model
and lm-eval's with its dummy. Each run is a process of its own, in turn, scoring and writing of logs included; what
counts is CPU seconds of all its threads (`time.process_time`) from the first sample to the last file, after all is
imported and 50 samples have gone through; median of three. Of the settings of a peer (see `benchmarks.runners`) the
cheaper of default and tuned counts. lm-eval compiles a prompt's template anew for every sample; what it costs without,
and with its answers kept on disk as ours are, is told beside it.

Then a server that takes 100 ms for everything, and answers 10 % with 429 (Retry-After 0.1 s) and 2 % with 500: 1,000
rows, 32 at once, through the official SDKs. The ideal is (rows + tries that failed) x 100 ms / 32: no wait between
tries, no work of our own, no place ever empty. It is a wall clock's figure, which other work on the machine makes
worse, so the best of three rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from benchmarks.runners.badday import DELAY
from benchmarks.runners.ours import LABELS, PROMPT
from governance.backends.anthropic import AnthropicBackend
from governance.backends.api import OpenAIBackend
from governance.backends.asking import Asking
from governance.backends.cache import AnswerCache
from governance.backends.prompts import Prompt
from governance.dataset import ScrubbedText
from tests.tiny import review

ROOT = Path(__file__).parent.parent
LM_EVAL = "0.4.13"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "steelyard"
SMALL, LARGE, ROUNDS = 1_000, 5_000, 3
ROWS, CONCURRENCY = 1_000, 32
KINDS: dict[str, tuple[type[Asking], str]] = {"openai": (OpenAIBackend, "/v1"), "anthropic": (AnthropicBackend, "")}

Command = Callable[[Path, Path], list[str]]
"""The file of samples and a folder for what is written -> a process that prints one JSON line."""


def write_samples(path: Path, n: int) -> Path:
    """Reviews with the messages that they become: those who don't fill a prompt are given it filled."""
    rng, prompt = random.Random(0), Prompt.load(PROMPT).bind(LABELS)  # noqa: S311 - nothing secret
    with path.open("w") as file:
        for i in range(n):
            text = ". ".join(review(rng, good=i % 3 > 0) for _ in range(4)) + f" {i}"
            message = prompt.fill(ScrubbedText(text)).text
            sample = {"text": text, "system": prompt.system, "message": message, "target": rng.choice(("Yes", "No"))}
            file.write(json.dumps(sample) + "\n")
    return path


def lm_eval_python() -> str:
    """A Python that has lm-eval, in an environment of its own: it must not move what we stand on."""
    folder = CACHE / f"lm-eval-{LM_EVAL}"
    python, done = folder / "bin" / "python", folder / ".complete"
    if not done.exists():
        print(f"installing lm-eval {LM_EVAL} into {folder} (800 MB, once)", file=sys.stderr)
        wanted = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"lm-eval=={LM_EVAL}"]
        made = [sys.executable, "-m", "venv", "--clear", str(folder)]
        for command in (made, wanted):
            run = subprocess.run(command, check=False, capture_output=True, text=True)
            if run.returncode:
                by_hand = f"By hand:\n  {' '.join(made)}\n  {' '.join(wanted)}\n  touch {done}"
                sys.exit(f"lm-eval could not be installed: {run.stderr[-500:]}\n{by_hand}")
        done.touch()
    return str(python)


def contestants() -> dict[str, Command]:
    """Who runs, by name and setting."""
    here, theirs = sys.executable, lm_eval_python()
    scripts = ROOT / "benchmarks" / "runners"

    def peer(python: str, script: str, setting: str) -> Command:
        return lambda samples, folder: [python, str(scripts / script), str(samples), str(folder), setting]

    return {
        "ours": lambda samples, folder: [here, "-m", "benchmarks.runners.ours", str(samples), str(folder)],
        **{f"inspect {name}": peer(here, "with_inspect.py", name) for name in ("default", "tuned")},
        **{
            f"lm-eval {name}": peer(theirs, "with_lmeval.py", name)
            for name in ("default", "tuned", "functions", "kept")
        },
    }


def cpu_seconds(command: Command, samples: Path, n: int) -> float:
    """What one run of one contestant says that it took."""
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        told = command(samples, Path(folder))
        done = subprocess.run(
            told, cwd=folder, env=os.environ | quiet, capture_output=True, text=True, timeout=900, check=False
        )
    if done.returncode:
        hint = "\nIs Inspect there? pip install 'steelyard[inspect]'" if "inspect_ai" in done.stderr else ""
        sys.exit(f"{' '.join(told[1:3])} failed:\n{done.stderr[-2_000:]}{hint}")
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["samples"] == n, "a contestant left samples out"
    return float(found["seconds"])


def race() -> dict[str, dict[int, float]]:
    """Median CPU seconds by contestant and number of samples, all in turn."""
    runners = contestants()
    found: dict[str, dict[int, float]] = {name: {} for name in runners}
    with tempfile.TemporaryDirectory() as folder:
        for n in (SMALL, LARGE):
            samples = write_samples(Path(folder) / f"{n}.jsonl", n)
            # A setting that lost the small race doesn't run the large one, which takes minutes.
            racing = {name: run for name, run in runners.items() if n == SMALL or not _beaten(name, found)}
            taken: dict[str, list[float]] = {name: [] for name in racing}
            for _ in range(ROUNDS):
                for name, run in racing.items():
                    taken[name].append(cpu_seconds(run, samples, n))
            for name, seconds in taken.items():
                found[name][n] = statistics.median(seconds)
    return found


def _beaten(name: str, found: dict[str, dict[int, float]]) -> bool:
    peer, _, setting = name.partition(" ")
    other = {"default": "tuned", "tuned": "default"}.get(setting)
    return other is not None and found[name][SMALL] > found[f"{peer} {other}"][SMALL]


@contextmanager
def bad_day() -> Iterator[str]:
    """The server, for a while; its address."""
    command = [sys.executable, "-m", "benchmarks.runners.badday"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()


@dataclass(frozen=True)
class Day:
    """How one round went."""

    seconds: float
    cpu: float
    ideal: float
    lost: int
    told: dict[str, Any]  # by the server

    @property
    def ratio(self) -> float:
        """Time taken over the ideal one."""
        return self.seconds / self.ideal


def endure(kind: str) -> Day:
    """1,000 rows on a bad day; one row before them, so that imports and the first connection aren't counted."""
    make, path = KINDS[kind]
    with bad_day() as url, tempfile.TemporaryDirectory() as folder, AnswerCache(Path(folder) / "answers") as cache:
        told: dict[str, Any] = {"prompt": Prompt.load(PROMPT).bind(LABELS), "gate": lambda text, _: (text, {})}
        told |= {"cache": cache, "concurrency": CONCURRENCY, "model": "m", "api_key": SecretStr("none")}
        asked = make(base_url=f"{url}{path}", **told)
        asked.classify([ScrubbedText("a first one")])
        before, began, worked = _report(url), time.perf_counter(), time.process_time()
        answers = asked.classify([ScrubbedText(f"review {i}") for i in range(ROWS)])
        seconds, cpu, after = time.perf_counter() - began, time.process_time() - worked, _report(url)
    counted = {name: after[name] - before[name] for name in ("requests", "busy", "broken", "repeated", "cpu")}
    ideal = (ROWS + counted["busy"] + counted["broken"]) * DELAY / CONCURRENCY
    assert after["most_under_way"] <= CONCURRENCY, "more requests were under way than was allowed"
    return Day(seconds, cpu, ideal, sum(answer.label is None for answer in answers), counted)


def _report(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/report", timeout=10) as response:  # noqa: S310 - our own server
        return dict(json.load(response))


def show_race(found: dict[str, dict[int, float]]) -> dict[str, float]:
    """Print the race; the figures of it."""
    print(f"{'CPU ms per sample':<20}{SMALL:>10,}{LARGE:>10,}")
    for name, seconds in found.items():
        cells = (f"{1000 * seconds[n] / n:.3f}" if n in seconds else "-" for n in (SMALL, LARGE))
        print(f"{name:<20}" + "".join(f"{cell:>10}" for cell in cells))
    figures = {}
    for n in (SMALL, LARGE):
        times = {name: seconds[n] / found["ours"][n] for name, seconds in found.items() if n in seconds}
        for peer, key in (("inspect", "vs_inspect"), ("lm-eval", "vs_lmeval")):
            raced = [times[name] for name in (f"{peer} default", f"{peer} tuned") if name in times]
            figures[f"{key}_{n}"] = min(raced)
        for setting in ("functions", "kept"):
            figures[f"vs_lmeval_{setting}_{n}"] = times[f"lm-eval {setting}"]
    return figures | {"growth_5000": found["ours"][LARGE] / found["ours"][SMALL]}


def show_days(days: dict[str, list[Day]]) -> dict[str, float]:
    """Print the bad days; the figures of them."""
    for kind, rounds in days.items():
        for day in rounds:
            counts = ", ".join(f"{day.told[name]} {name}" for name in ("requests", "busy", "broken", "repeated"))
            print(
                f"{kind:<10} {day.seconds:.2f} s, ideal {day.ideal:.2f} s, ratio {day.ratio:.3f}; {counts}, "
                f"{day.lost} lost; CPU {day.cpu:.2f} s, the server's {day.told['cpu']:.2f} s"
            )
    every = [day for rounds in days.values() for day in rounds]
    best = {kind: min(rounds, key=lambda day: day.ratio) for kind, rounds in days.items()}
    return {
        "faulty_server_ratio": best["openai"].ratio,
        "faulty_server_seconds": best["openai"].seconds,
        "faulty_server_ratio_anthropic": best["anthropic"].ratio,
        "lost": sum(day.lost for day in every),
        "repeated": sum(day.told["repeated"] for day in every),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("race", "server"), help="one half of it")
    only = parser.parse_args().only
    figures: dict[str, float] = {}
    if only != "race":
        figures |= show_days({kind: [endure(kind) for _ in range(ROUNDS)] for kind in KINDS})
    if only != "server":
        figures |= show_race(race())
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
