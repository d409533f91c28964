"""The model of the attack step's benchmark: LLaVA's shape in three sizes, with frozen random weights."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from proofglass.registry import build
from proofglass.victims.llava import Llava

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's, as in LLaVA


@dataclass(frozen=True)
class Shape:
    """heads: vocabulary of each language model head; square: side of the matrices whose product is timed.

    drawn: the weights are drawn on the device instead of being saved and read (14 GB at the size of LLaVA-1.5-7B).
    """

    side: int = 336
    patch: int = 14
    vision: tuple[int, int, int] = (4, 128, 2)  # layers, width, heads
    text: tuple[int, int, int] = (4, 256, 4)
    ffn: int = 688
    heads: tuple[tuple[str, int], ...] = (("real", 256), ("32k", 32_000))
    square: int = 1024
    drawn: bool = False

    @property
    def image_tokens(self) -> int:
        return (self.side // self.patch) ** 2

    def config(self, vocabulary: int) -> LlavaConfig:
        layers, width, heads = self.vision
        vision = CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=self.side,
            patch_size=self.patch,
            projection_dim=width,
        )
        layers, width, heads = self.text
        text = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=self.ffn,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=4096,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
        return LlavaConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=3,
            vision_feature_layer=-2,
            vision_feature_select_strategy="default",
            image_seq_length=self.image_tokens,
            architectures=["LlavaForConditionalGeneration"],
        )


SHAPES = {
    "tiny": Shape(side=28, patch=7, vision=(2, 32, 2), text=(2, 32, 2), ffn=64, square=256),  # to try the script
    "toy": Shape(),
    "llava-7b": Shape(
        vision=(24, 1024, 16), text=(32, 4096, 32), ffn=11_008, heads=(("real", 32_064),), square=8192, drawn=True
    ),
}


def save(shape: Shape, vocabulary: int, folder: Path) -> None:
    """A model folder: config, byte-level tokenizer, image processor and, unless they are drawn later, weights."""
    folder.mkdir(parents=True, exist_ok=True)
    transformers.logging.disable_progress_bar()
    specials = ["<pad>", "<s>", "</s>", "<image>", "<sys>", "<user>", "<bot>"]
    never = {chr(byte) for byte in range(0xF9, 0x100)}  # no UTF-8 text has them; without them 256 tokens are enough
    alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - never)
    tokens = {token: k for k, token in enumerate([*specials, *alphabet])}
    raw = Tokenizer(models.BPE(vocab=tokens, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=specials[3:],
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(folder)
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_center_crop": False,
        "size": {"height": shape.side, "width": shape.side},
        "image_mean": MEAN,
        "image_std": STD,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    config = shape.config(vocabulary)
    if shape.drawn:
        config.save_pretrained(folder)
        layers = max(config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers)
        save_file({f"layers.{layers - 1}.drawn": torch.empty(0)}, folder / "model.safetensors")  # a header, no weights
    else:
        torch.manual_seed(0)
        LlavaForConditionalGeneration(config).save_pretrained(folder)


def load(shape: Shape, folder: Path, device: str, dtype: str) -> Llava:
    """The victim `llava`, loaded; for a drawn shape only the reading of the weights is replaced."""
    victim: Llava = build("victims", "llava", path=folder, device=device, dtype=dtype)

    def draw(path: Path, *, dtype: torch.dtype, **_: Any) -> tuple[LlavaForConditionalGeneration, dict[str, Any]]:
        torch.manual_seed(0)
        with torch.device(device):
            made = LlavaForConditionalGeneration._from_config(LlavaConfig.from_pretrained(path), dtype=dtype)
        return made, {"missing_keys": []}

    changed = mock.patch.object(LlavaForConditionalGeneration, "from_pretrained", draw)
    with changed if shape.drawn else contextlib.nullcontext():
        assert victim.model.model is not None
    return victim
