"""Real Hugging Face model folders with random weights, a few hundred kilobytes each, and tokenizers to match."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.tiny import BAD, FILLER, GOOD

WIDTH, HEADS, DEEP = 32, 2, 2
HAN = tuple("我买了这件红色蓝很好差裙子上衣标题类别属性描述：纱棉，。")
WORDS = (
    *GOOD,
    *BAD,
    *FILLER,
    "Title",
    "Category",
    "Attributes",
    "Description",
    ":",
    "red",
    "blue",
    "?",
    "what",
    "fabric",
    "silk",
)
ENCODERS = ("bert", "roberta", "distilbert")
WRITERS = ("gpt2", "llama")
PAIRS = ("t5", "bart")


def write_tokenizer(folder: Path, kind: str) -> int:
    """A word tokenizer (Han characters alone) with the special tokens that a kind of model has; returns its size."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    single, pair = "$A", None
    if kind in ENCODERS or kind == "bart":
        names |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
        single, pair = "<s> $A </s>", "<s>:0 $A:0 </s>:0 $B:1 </s>:1"
    elif kind == "t5":
        single = "$A </s>"
    elif kind == "llama":
        single = "<s> $A"
    elif kind == "gpt2":
        del names["pad_token"]
    # RoBERTa's configs have <pad> at 1, so its positions start at 2.
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS, *HAN])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)  # parts Han characters
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(name, vocabulary[name]) for name in ("<s>", "</s>")]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"]
        if kind == "bert"
        else ["input_ids", "attention_mask"],
        **names,
    ).save_pretrained(folder)
    return len(vocabulary)


def write_model(folder: Path, kind: str, *, head: str = "", seed: int = 0, **changes: Any) -> Path:
    """A model folder.

    Args:
        folder: to write.
        kind: of `ENCODERS`, `WRITERS` or `PAIRS`.
        head: "mlm": an encoder with the head that it was pretrained with.
        seed: of the weights.
        changes: of the config.
    """
    import torch
    import transformers

    size = write_tokenizer(folder, kind)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    shapes: dict[str, dict[str, Any]] = {
        "bert": {"hidden_size": WIDTH, "num_hidden_layers": DEEP, "num_attention_heads": HEADS,
                 "intermediate_size": 64},
        "distilbert": {"dim": WIDTH, "n_layers": DEEP, "n_heads": HEADS, "hidden_dim": 64},
        "gpt2": {"n_embd": WIDTH, "n_layer": DEEP, "n_head": HEADS, "n_positions": 96, "pad_token_id": None},
        "llama": {"hidden_size": WIDTH, "num_hidden_layers": DEEP, "num_attention_heads": HEADS,
                  "num_key_value_heads": 1, "intermediate_size": 64, "tie_word_embeddings": True},
        "t5": {"d_model": WIDTH, "d_kv": 16, "d_ff": 64, "num_layers": DEEP, "num_heads": HEADS,
               "decoder_start_token_id": 1},
        "bart": {"d_model": WIDTH, "encoder_layers": DEEP, "decoder_layers": DEEP, "encoder_attention_heads": HEADS,
                 "decoder_attention_heads": HEADS, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
                 "decoder_start_token_id": 2, "forced_eos_token_id": None},
    }  # fmt: skip
    shapes["roberta"] = shapes["bert"]
    classes = {
        "bert": ("BertConfig", "BertForMaskedLM" if head else "BertModel"),
        "roberta": ("RobertaConfig", "RobertaForMaskedLM" if head else "RobertaModel"),
        "distilbert": ("DistilBertConfig", "DistilBertForMaskedLM" if head else "DistilBertModel"),
        "gpt2": ("GPT2Config", "GPT2LMHeadModel"),
        "llama": ("LlamaConfig", "LlamaForCausalLM"),
        "t5": ("T5Config", "T5ForConditionalGeneration"),
        "bart": ("BartConfig", "BartForConditionalGeneration"),
    }
    config, model = (getattr(transformers, name) for name in classes[kind])
    options = {"vocab_size": size, "max_position_embeddings": 96, **ids, **shapes[kind], **changes}
    if kind in {"t5", "gpt2"}:
        del options["max_position_embeddings"]
    torch.manual_seed(seed)
    model(config(**options)).save_pretrained(folder)
    return folder


def sealed(texts: Sequence[str]) -> tuple[Any, ...]:
    """As text of our own, which these are."""
    from governance.dataset import SyntheticText

    return tuple(SyntheticText(text) for text in texts)
