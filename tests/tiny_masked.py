"""Tiny random masked language models, saved as folders: a BERT or RoBERTa that knows a few words."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

WORDS = (
    "how do i mend a kite drum broom silver gold please tell me what is the way to make it now ? . , red big "
    "please you can help with that this one my friend wants steps open hide"
)
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def build(folder: Path, family: str = "bert", room: int = 40, layers: int = 2) -> Path:
    """family: "bert", "roberta", or "classifier" (of BERT's shape). room: tokens of a text, with two around it."""
    words = tuple(dict.fromkeys(WORDS.split()))
    vocab = {token: k for k, token in enumerate((*SPECIAL, *words))}
    raw = Tokenizer(models.WordPiece(vocab=vocab, unk_token="<unk>"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    raw.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, cls_token="<s>", sep_token="</s>", pad_token="<pad>", unk_token="<unk>",
        mask_token="<mask>",
    )  # fmt: skip
    shape = {
        "vocab_size": len(vocab),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "pad_token_id": 1,
    }
    torch.manual_seed(0)
    if family == "roberta":
        model = RobertaForMaskedLM(RobertaConfig(**shape, max_position_embeddings=room + 2))
    elif family == "classifier":
        model = BertForSequenceClassification(BertConfig(**shape, max_position_embeddings=room, num_labels=3))
    else:
        model = BertForMaskedLM(BertConfig(**shape, max_position_embeddings=room))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
