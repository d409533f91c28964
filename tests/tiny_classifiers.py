"""Tiny random sequence classifiers, saved as folders: a BERT or RoBERTa behind a byte-level tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

DETOXIFY = ("toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit", "male")


def build(
    folder: Path, labels: tuple[str, ...] = DETOXIFY, kind: str = "", family: str = "bert", room: int = 40
) -> Path:
    """kind: problem_type of the configuration, "" for none. room: tokens of a text, with two around it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: k for k, token in enumerate(["<s>", "<pad>", "</s>", *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    words = PreTrainedTokenizerFast(
        tokenizer_object=raw, cls_token="<s>", bos_token="<s>", sep_token="</s>", eos_token="</s>", pad_token="<pad>"
    )
    shape = {
        "vocab_size": len(vocab),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "pad_token_id": 1,
        "id2label": dict(enumerate(labels)),
        "label2id": {name: k for k, name in enumerate(labels)},
        **({"problem_type": kind} if kind else {}),
    }
    torch.manual_seed(0)
    if family == "bert":
        model = BertForSequenceClassification(BertConfig(**shape, max_position_embeddings=room))
    else:
        model = RobertaForSequenceClassification(RobertaConfig(**shape, max_position_embeddings=room + 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
