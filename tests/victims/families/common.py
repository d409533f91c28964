"""What the tiny models of all families share: a byte-level tokenizer, a chat template, random weights that matter."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TURNS = ["<pad>", "<s>", "</s>", "<sys>", "<user>", "<bot>"]


@dataclass(frozen=True)
class Case:
    """A tiny random model. build(folder): saves weights, tokenizer and processors. architecture: of its config. path:
    the one that the gradient step is expected to take; odd_sizes: how large pictures of the processor test are."""

    name: str
    architecture: str
    build: Callable[[Path], None]
    path: str = "prefix"
    odd_sides: tuple[int, int] = (16, 420)
    pictures: int = 2


def template(image: str, between: str = "") -> str:
    """A chat template that marks a picture by `image`."""
    return (
        "{{ bos_token }}{% for m in messages %}"
        "{{ {'system':'<sys>','user':'<user>','assistant':'<bot>'}[m['role']] }}"
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}"
        + image
        + between
        + "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
        "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<bot>{% endif %}"
    )


def tokenizer(specials: Sequence[str], chat_template: str | None, **more: Any) -> PreTrainedTokenizerFast:
    """Byte-level, without merges; ids of `TURNS` first, then of `specials`, then of the bytes. more: such as
    model_specific_special_tokens={"image_token": "<image>"}, which some processors read off the tokenizer."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*TURNS, *specials, *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=[*TURNS[3:], *specials],
        **more,
    )
    fast.chat_template = chat_template
    return fast


def text_fields(words: PreTrainedTokenizerFast, **more: Any) -> dict[str, Any]:
    """Configuration of a small language model."""
    return {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        **more,
    }


def shaken(model: Any, by: float = 0.15, seed: int = 0) -> Any:
    """`model` with noise on every weight: gates and queries that start at zero would hide the picture."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=draw))
    return model.eval()


def save(
    folder: Path, model: Any, words: Any, image_processor: Mapping[str, Any], processor: Mapping[str, Any]
) -> None:
    """A folder as transformers saves one; the two mappings become preprocessor_config and processor_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    shaken(model).save_pretrained(folder)
    words.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(dict(image_processor)))
    (folder / "processor_config.json").write_text(json.dumps(dict(processor)))
