"""Small real things for tests: an encoder with random weights, a data set with a rule to learn."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import yaml

GOOD = ("love", "great", "perfect", "soft", "happy", "lovely")
BAD = ("poor", "returned", "cheap", "torn", "awful", "scratchy")
FILLER = ("the", "dress", "is", "so", "and", "fits", "it", "was", "very", "size", "colour", "shirt")


def review(rng: random.Random, good: bool) -> str:
    """A review whose class is decided by its words, with some noise."""
    words = [rng.choice(FILLER) for _ in range(8)] + [rng.choice(GOOD if good else BAD) for _ in range(2)]
    if rng.random() < 0.15:
        words.append(rng.choice(BAD if good else GOOD))
    rng.shuffle(words)
    return " ".join(words)


def write_reviews(path: Path, n: int = 240, *, seed: int = 0, extras: bool = True) -> Path:
    """A CSV with text and label, and, unless told otherwise, age, department and customer."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        good = rng.random() < 0.7
        row: dict[str, Any] = {"text": f"{review(rng, good)} {i}", "label": "yes" if good else "no"}
        if extras:
            row |= {"age": rng.randint(18, 80), "department": rng.choice(["Tops", "Dresses"]), "customer": i // 2}
        rows.append(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_encoder(folder: Path, *, layers: int = 3, kind: str = "bert") -> Path:
    """A real Hugging Face encoder folder with random weights: a few hundred kilobytes."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *GOOD, *BAD, *FILLER]
    torch.manual_seed(0)
    if kind == "bert":
        model: Any = BertModel(
            BertConfig(
                vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=layers, num_attention_heads=2,
                intermediate_size=64, max_position_embeddings=64,
            )
        )  # fmt: skip
    else:
        model = DistilBertModel(
            DistilBertConfig(
                vocab_size=len(vocabulary),
                dim=32,
                n_layers=layers,
                n_heads=2,
                hidden_dim=64,
                max_position_embeddings=64,
            )
        )
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    return folder


def write_config(path: Path, **changes: Any) -> Path:
    """A small audit config beside `reviews.csv`; `changes` replace top-level keys (None removes one)."""
    config: dict[str, Any] = {
        "audit": "small",
        "question": "Does the customer like it?",
        "data": {
            "path": "reviews.csv",
            "positive": "yes",
            "groups": ["department"],
            "bands": {"age_band": {"column": "age", "edges": [40]}},
            "cluster": "customer",
        },
        "scrub": {"policy": "patterns", "workers": 1},
        "models": {"baseline": {"kind": "tfidf-logistic", "price_per_hour": 0.1}},
        "candidate": "baseline",
        "evaluators": [{"name": "quality", "draws": 200}, "fairness", "claim", "explanation"],
        **changes,
    }
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}, sort_keys=False))
    return path
