"""Tiny random models of each family, saved as folders that the adapter loads: no download, no training."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    CLIPVisionConfig,
    IdeficsConfig,
    IdeficsForVisionText2Text,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

SIDE, PATCH, WIDTH = 28, 7, 32
SPECIALS = ["<pad>", "<s>", "</s>", "<image>", "<sys>", "<user>", "<bot>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ {'system':'<sys>','user':'<user>','assistant':'<bot>'}[m['role']] }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)


def save_tokenizer(folder: Path) -> int:
    """A byte-level tokenizer without merges; returns its vocabulary size."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*SPECIALS, *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>", "<sys>", "<user>", "<bot>"],
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return len(vocab)


def _text(vocab: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocab,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )


def build(family: str, folder: Path, seed: int = 0) -> Path:
    """Save a tiny random model of `family` (llava, blip2, idefics, lm) into `folder`."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    vocab = save_tokenizer(folder)
    shape = {
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    if family == "lm":
        model = LlamaForCausalLM(_text(vocab))
    elif family == "llava":
        model = LlavaForConditionalGeneration(
            LlavaConfig(
                vision_config=CLIPVisionConfig(**shape, projection_dim=WIDTH),
                text_config=_text(vocab),
                image_token_id=3,
                vision_feature_layer=-1,
                vision_feature_select_strategy="default",
                image_seq_length=(SIDE // PATCH) ** 2,
                tie_word_embeddings=True,
            )
        )
    elif family == "blip2":
        model = Blip2ForConditionalGeneration(
            Blip2Config(
                vision_config=Blip2VisionConfig(**shape, initializer_range=0.02),
                qformer_config=Blip2QFormerConfig(
                    vocab_size=8,
                    hidden_size=WIDTH,
                    intermediate_size=64,
                    num_hidden_layers=2,
                    num_attention_heads=2,
                    encoder_hidden_size=WIDTH,
                    cross_attention_frequency=1,
                    hidden_dropout_prob=0.0,
                    attention_probs_dropout_prob=0.0,
                ),
                text_config=_text(vocab),
                num_query_tokens=4,
                image_token_id=3,
            )
        )
    elif family == "idefics":
        text = _text(vocab)
        model = IdeficsForVisionText2Text(
            IdeficsConfig(
                vocab_size=vocab,
                additional_vocab_size=0,
                hidden_size=WIDTH,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                cross_layer_interval=1,
                vision_config={**shape, "embed_dim": WIDTH},
                use_resampler=False,
                tie_word_embeddings=True,
                max_position_embeddings=text.max_position_embeddings,
                alpha_type="float",
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
            )
        )
    else:
        raise ValueError(family)
    with torch.no_grad():
        # Idefics starts with closed gates and BLIP-2 with zero queries: their picture gradient would be exactly 0.
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    if family != "lm":
        (folder / "preprocessor_config.json").write_text(
            json.dumps(
                {
                    "image_processor_type": "CLIPImageProcessor",
                    "do_resize": True,
                    "size": {"height": SIDE, "width": SIDE},
                    "do_center_crop": False,
                    "do_rescale": True,
                    "rescale_factor": 1 / 255,
                    "do_normalize": True,
                    "image_mean": [0.48145466, 0.4578275, 0.40821073],
                    "image_std": [0.26862954, 0.26130258, 0.27577711],
                    "do_convert_rgb": True,
                    "resample": 3,
                }
            )
        )
    return folder
