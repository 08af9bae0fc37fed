"""A private training step against the plain one and against Opacus: CPU seconds and added peak memory of one step.

    make bench NAME=training

Width 256, 2 layers, 64 tokens, 32 rows; real vocabularies (30,522 for BERT, 50,257 for GPT-2); LoRA of rank 8 on BERT;
one thread. Every variant runs in a process of its own, in turn with the others; the least time and memory of each
count. Opacus gets what it needs to work at all: position ids of each row, in memory of their own. A mode whose
update is not the sum of clipped gradients does not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone names it

WIDTH, LAYERS, TOKENS, ROWS = 256, 2, 64, 32
VOCABULARY = {"bert": 30_522, "gpt2": 50_257}
VARIANTS = {
    "bert": ("plain", "ours", "hooks", "ghost"),
    "gpt2": ("plain", "ours", "hooks", "ghost"),
    "gpt2-tied": ("plain", "ours", "hooks"),  # ghost has no rule for a weight that is used twice
    "bert-lora": ("plain", "ours", "hooks", "ghost"),
}
ROUNDS, STEPS = 3, {"bert": 6, "gpt2": 2}
CLIPPING = 0.5
NAMES = {"plain": "not private", "ours": "ours", "hooks": "Opacus, hooks", "ghost": "Opacus, ghost clipping"}


def model_of(kind: str) -> nn.Module:
    """Full size."""
    return built(kind, WIDTH, VOCABULARY[kind.partition("-")[0]], dropout=0.1)


def small(kind: str) -> nn.Module:
    """Of the same type, without dropout."""
    return built(kind, 32, 100, dropout=0.0)


def built(kind: str, width: int, words: int, *, dropout: float) -> nn.Module:
    """A model that trains, with random weights, the same each time."""
    import transformers as hf

    torch.manual_seed(0)
    if kind.startswith("gpt2"):
        sizes: dict[str, Any] = {"n_embd": width, "n_layer": LAYERS, "n_head": 4, "n_positions": TOKENS}
        drop: dict[str, Any] = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
        special: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": kind == "gpt2-tied"}
        return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=words, **sizes, **drop, **special)).train()
    sizes = {"hidden_size": width, "num_hidden_layers": LAYERS, "intermediate_size": 4 * width}
    drop = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), dropout)
    model = hf.BertForSequenceClassification(hf.BertConfig(vocab_size=words, num_attention_heads=4, **sizes, **drop))
    if kind == "bert-lora":
        from governance.training.methods import choose

        return choose(model, "lora", rank=8).train()
    return model.train()


class Batch:
    """A task of one batch; see `governance.training.task.Task`."""

    def __init__(self, model: nn.Module, words: int, *, positions: bool = False) -> None:
        self.model, self.rows = model, ROWS
        generator = torch.Generator().manual_seed(0)
        self._tokens = torch.randint(3, words, (ROWS, TOKENS), generator=generator)
        self._more = {"attention_mask": torch.ones_like(self._tokens)}
        if positions:
            self._more["position_ids"] = torch.arange(TOKENS).repeat(ROWS, 1)

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        tokens = self._tokens[rows]
        logits = self.model(input_ids=tokens, **{key: value[rows] for key, value in self._more.items()}).logits
        if logits.dim() == 2:
            return F.cross_entropy(logits, tokens[:, 0] % 2, reduction="none")
        return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none").mean(1)

    def save(self, directory: Path) -> None:
        raise NotImplementedError

    def restore(self, directory: Path) -> None:
        raise NotImplementedError


def stepper(mode: str, model: nn.Module, words: int, *, sigma: float = 1.0) -> Callable[[], object]:
    """What takes one step of a mode."""
    everybody = torch.arange(ROWS)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    task = Batch(model, words, positions=mode in ("hooks", "ghost"))
    if mode == "plain":

        def plain() -> None:
            optimizer.zero_grad()
            task.losses(everybody).mean().backward()
            optimizer.step()

        return plain
    if mode == "ours":
        from governance.training.dp.plan import Plan
        from governance.training.dp.steps import PrivateSteps

        plan = Plan(
            n=ROWS, units=ROWS, sample_rate=1.0, steps=100, batch=ROWS, clipping=CLIPPING, sigma=sigma, epsilon=1,
            delta=1e-5,
        )  # fmt: skip
        steps = PrivateSteps(task, plan, optimizer, physical=ROWS)
        return lambda: steps.take(0)
    return opacus_stepper(mode, task, optimizer, sigma)


def opacus_stepper(mode: str, task: Batch, optimizer: torch.optim.Optimizer, sigma: float) -> Callable[[], object]:
    """Opacus's own modules, optimisers and loss."""
    from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

    everybody = torch.arange(ROWS)
    settings: Any = {"noise_multiplier": sigma, "max_grad_norm": CLIPPING, "expected_batch_size": ROWS}
    if mode == "hooks":
        task.model = GradSampleModule(task.model)
        private = DPOptimizer(optimizer, **settings)

        def hooks() -> None:
            private.zero_grad()
            task.losses(everybody).mean().backward()
            private.step()

        return hooks
    wrapped = GradSampleModuleFastGradientClipping(task.model, max_grad_norm=CLIPPING, use_ghost_clipping=True)
    task.model = wrapped
    ghostly = DPOptimizerFastGradientClipping(optimizer, **settings)

    def ghost() -> None:
        ghostly.zero_grad()
        DPTensorFastGradientClipping(wrapped, ghostly, task.losses(everybody), "mean").backward()
        ghostly.step()

    return ghost


def resident(line: str) -> float:
    """A line of this process's status, in MB. (`ru_maxrss` would hold the parent's peak.)"""
    return int(Path("/proc/self/status").read_text().split(f"{line}:")[1].split()[0]) / 1024


def measure(kind: str, mode: str) -> dict[str, float]:
    """Least CPU seconds of a step, and what steps add to this process's peak."""
    stepper(mode, small(kind), 100)()  # imports
    step = stepper(mode, model_of(kind), VOCABULARY[kind.partition("-")[0]])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before, seconds = resident("VmRSS"), []
    for _ in range(STEPS[kind.partition("-")[0]] + 1):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    return {"seconds": min(seconds[1:]), "mb": resident("VmHWM") - before}


def check(kind: str, mode: str) -> dict[str, float]:
    """How far a mode's update is from the sum of clipped gradients that autograd gives row by row, over its length.

    A small model, without noise and dropout.
    """
    start, moved = small(kind), small(kind)
    task, trained = Batch(start, 100), [p for p in start.parameters() if p.requires_grad]
    wanted = torch.zeros(sum(p.numel() for p in trained))
    for row in range(ROWS):
        start.zero_grad()
        task.losses(torch.tensor([row])).sum().backward()
        own = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained])
        wanted -= 0.1 * own * min(1.0, CLIPPING / float(own.norm())) / ROWS
    stepper(mode, moved, 100, sigma=1e-12)()
    after = [p for p in moved.parameters() if p.requires_grad]
    found = torch.cat([(b - a).detach().flatten() for a, b in zip(trained, after, strict=True)])
    return {"apart": float((found - wanted).norm() / wanted.norm())}


def ask(work: str, kind: str, mode: str) -> dict[str, float] | str:
    """A worker's figures, or why it has none."""
    command = [sys.executable, "-m", "benchmarks.training", work, kind, mode]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **threads})
    if done.returncode:
        return done.stderr.strip().splitlines()[-1][:90]
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measured(kind: str) -> dict[str, dict[str, float]]:
    """Figures of all modes of a kind of model that give the right update; says which don't."""
    modes = []
    for mode in VARIANTS[kind]:
        told = ask("check", kind, mode) if mode != "plain" else {"apart": 0.0}
        if isinstance(told, str) or not told["apart"] < 1e-3:
            print(f"{kind}: {NAMES[mode]} does not count: {told}", flush=True)
        else:
            modes.append(mode)
    found: dict[str, dict[str, float]] = {}
    for _ in range(ROUNDS):
        for mode in modes:
            told = ask("measure", kind, mode)
            if isinstance(told, str):
                raise SystemExit(f"{kind}, {mode}: {told}")
            known = found.setdefault(mode, told)
            found[mode] = {key: min(value, known[key]) for key, value in told.items()}
    return found


def main() -> None:
    """Print a table, then one line of JSON."""
    print(f"{'':12}{'':26}{'CPU s':>8}{'of plain':>10}{'added MB':>10}{'of plain':>10}")
    ratios: dict[str, dict[str, dict[str, float]]] = {}
    for kind in VARIANTS:
        found = measured(kind)
        plain = found["plain"]
        ratios[kind] = {mode: {key: value[key] / plain[key] for key in plain} for mode, value in found.items()}
        for mode, value in found.items():
            times, memory = ratios[kind][mode]["seconds"], ratios[kind][mode]["mb"]
            print(
                f"{kind:12}{NAMES[mode]:26}{value['seconds']:8.3f}{times:10.2f}{value['mb']:10.0f}{memory:10.2f}",
                flush=True,
            )

    def best(kind: str, key: str) -> float:
        return min(ratios[kind][mode][key] for mode in ("hooks", "ghost") if mode in ratios[kind])

    figures = {
        "bert_time": ratios["bert"]["ours"]["seconds"],
        "bert_memory": ratios["bert"]["ours"]["mb"],
        "gpt2_time": ratios["gpt2"]["ours"]["seconds"],
        "gpt2_memory": ratios["gpt2"]["ours"]["mb"],
        "gpt2_tied_time": ratios["gpt2-tied"]["ours"]["seconds"],
        "lora_time": ratios["bert-lora"]["ours"]["seconds"],
        "opacus_bert_time": best("bert", "seconds"),
        "opacus_bert_memory": best("bert", "mb"),
        "opacus_gpt2_time": best("gpt2", "seconds"),
    }
    print("ours and Opacus's quickest and leanest right mode, each over the plain step:")
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        print(json.dumps({"check": check, "measure": measure}[sys.argv[1]](sys.argv[2], sys.argv[3])))
    else:
        main()
