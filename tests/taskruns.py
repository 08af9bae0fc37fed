"""Small audits of every task, with all that a task's data can hold, so that every figure of it is made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from governance.audit import run_audit
from governance.measure import Outcome
from tests.fakeserver import Play, fake_server
from tests.tinymodels import write_model

N = 72
POLICY = {
    "en": "You may return shoes within 30 days. Refunds take 5 working days. Shipping costs 4 dollars.",
    "zh": "鞋子可在收货后30天内退货。退款需要5个工作日。运费为4元。",
}
WORDS = {
    "en": {
        "ask": "Question {}: may I return shoes?",
        "gold": "within 30 days",
        "full": "You may return them in 30 days.",
        "title": "Red shoe {}",
        "category": "Shoes",
        "told": "A red shoe of leather. It is light.",
        "colour": "red",
    },
    "zh": {
        "ask": "第{}个问题：鞋子能退吗？",
        "gold": "30天内",
        "full": "您可以在30天内退货。",
        "title": "红色鞋子{}",
        "category": "鞋",
        "told": "红色的皮鞋。穿起来很轻。",
        "colour": "红色",
    },
}
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "qa": {"question": "ask", "context": "policy", "answers": "gold"},
    "generation": {
        "question": "ask", "context": "policy", "references": "full", "refuse": "refuse",
    },
    "ranking": {"query": "ask", "candidates": "all", "relevant": "right"},
    "description": {
        "title": "title", "category": "category", "attributes": "attributes", "references": "told", "seen": "told",
    },
}  # fmt: skip


def rows(language: str) -> list[dict[str, Any]]:
    said = WORDS[language]
    return [
        {
            "ask": said["ask"].format(i),
            "policy": POLICY[language],
            "gold": [said["gold"]] if i % 3 else [],
            "full": [said["full"]],
            "refuse": "no" if i % 3 else "yes",
            "all": [said["full"], said["told"]],
            "right": [said["full"]],
            "title": said["title"].format(i),
            "category": said["category"],
            "attributes": {"colour": said["colour"], "material": "leather" if i % 2 else "canvas"},
            "told": [said["told"]],
            "segment": "new" if i % 2 else "returning",
        }
        for i in range(N)
    ]


def of_task(
    folder: Path, task: str, language: str = "en", models: Mapping[str, Any] | None = None
) -> Sequence[Outcome]:
    """The outcomes of a small audit with rules, an incumbent that answers always, and the models given."""
    folder = folder / "-".join([task, language, *(models or {})])
    folder.mkdir()
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(language)]
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    rules = {"kind": "lexical", "price_per_hour": 0.1}
    config = {
        "audit": task,
        "task": task,
        "language": language,
        "data": {"path": "rows.jsonl", "columns": dict(COLUMNS[task]), "groups": ["segment"]},
        "scrub": {"policy": "patterns", "workers": 1},
        "models": {"rules": rules, "eager": {**rules, "least": 0.0}, **(models or {})},
        "candidate": "rules",
        "incumbent": "other" if models and "other" in models else "eager",
        "draws": 200,
    }
    (folder / "audit.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    return run_audit(folder / "audit.yaml", out=folder / "runs").record.outcomes


def of_every_task(folder: Path) -> dict[str, list[Outcome]]:
    """Maker -> outcomes; a language model and one behind an API among the models."""
    base = write_model(folder / "llama", "llama", max_position_embeddings=2048)
    found: dict[str, list[Outcome]] = {}
    with fake_server(lambda message, _: Play("2, 1" if "1. " in message else "30 days")) as server:
        for task in COLUMNS:
            prompt = {"prompt": f"{task}.en.v1", "max_tokens": 8}
            api = {"kind": "openai", "base_url": server.url, "model": "m", **prompt}
            models = {"api": api}
            found[f"task:{task}"] = [*of_task(folder, task, models=models)]
            local = {"kind": "hf", "base": str(base), "head": "causal", **prompt}
            found[f"task:{task}"] += of_task(folder, task, "zh")
            if task in ("generation", "description"):
                models = {"local": local, "other": {**local, "batch_tokens": 512}}
                found[f"task:{task}"] += of_task(folder, task, models=models)
    return found
