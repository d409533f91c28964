"""BLIP-2: tower -> Q-Former with learnable queries -> tokens in the sequence (Li et al. 2023, arXiv:2301.12597)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from proofglass.victims.hf.families.base import Family, scaled_logits

MARK = "<image>"  # by which the templates below mark a picture


class Blip2(Family):
    """BLIP-2 with a decoder-only language model (Salesforce/blip2-opt-2.7b and -6.7b; open).

    template: the question format of its paper, the picture in front of everything, then the begin token, if the
    tokenizer writes one. The official processor writes the place holders of one picture; further ones stand behind it
    in the same way. A folder's own template may put pictures into the text, as that of an assembled MiniGPT-4 does.
    """

    asks_processor = False
    applies = False  # it would write a picture's tokens in front of the template's mark
    template = (
        "{% for m in messages %}{% if m['content'] is not string %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% endif %}{% endfor %}{% endif %}{% endfor %}{{ bos_token }}"
        "{% for m in messages %}{% if m['role'] == 'user' %}Question: {% elif m['role'] == 'assistant' %}Answer: "
        "{% endif %}{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
        "{% if c['type'] != 'image' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %} {% endfor %}"
        "{% if add_generation_prompt %}Answer:{% endif %}"
    )

    @classmethod
    def refusal(cls, config: Mapping[str, Any]) -> str:
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        text = config.get("text_config")
        kind = text.get("model_type", "opt") if isinstance(text, dict) else "opt"
        if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            return ""
        return (
            f"text_config.model_type: expected a decoder-only language model (opt, llama), found {kind!r}, an "
            "encoder-decoder, whose prompt and reply are two sequences; take the weights with OPT or Vicuna instead"
        )

    @property
    def generation(self) -> Any:
        return self.writer.generation_config  # the class hands `generate` to its language model

    @property
    def body(self) -> Any:
        return self.writer.base_model

    @property
    def writer(self) -> Any:
        return self.model.language_model

    @property
    def layers(self) -> Any:
        return self.writer.get_decoder().layers

    def chat_template(self, source: str) -> str:
        tokenizer = self.chats.tokenizer
        alone, begun = (
            tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("x", f"{tokenizer.bos_token or ''}x")
        )
        if source != self.template or begun[-len(alone) :] == alone:
            return source
        # Some tokenizers write a space in front of a text, but not behind a begin token that is part of it.
        return source.replace("{{ bos_token }}", "{{ bos_token }}{{ ' ' }}")

    def framed(self, ids: list[int], front: list[int], behind: list[int]) -> list[int]:
        """Pictures in front stay there; the text behind them is what the tokenizer makes of it by default."""
        first = next((k for k, token in enumerate(ids) if token != self.chats.marker), len(ids))
        if not first and self.chats.template_source == "folder":
            return super().framed(ids, front, behind)
        begun = ids[first : first + 1] == [self.chats.tokenizer.bos_token_id]
        return [*ids[:first], *front, *ids[first + begun :], *behind]

    def picture_ids(self, processor: Any, tokenizer: Any, inputs: Mapping[str, Any]) -> list[int]:
        return [self.image_token] * self.model.config.num_query_tokens

    def official(self, processor: Any, text: str, images: Sequence[Any]) -> Mapping[str, Any]:
        begun = text.startswith(processor.tokenizer.bos_token or "\0")
        if text.startswith(MARK) or self.chats.template_source == "family":
            found: Mapping[str, Any] = processor(
                text=[bare(processor, text)], images=list(images) or None, return_tensors="pt"
            )
            return found
        written = text.replace(MARK, MARK * processor.num_query_tokens)
        said = processor.tokenizer([written], add_special_tokens=not begun, return_tensors="pt")
        if not images:
            made: Mapping[str, Any] = said
            return made
        return {**said, **processor.image_processor(list(images), return_tensors="pt")}

    def look(self, values: Mapping[str, Tensor], layer: str) -> Tensor:
        seen = self.model.vision_model(**values)
        found: Tensor = seen.pooler_output if layer == "pooled" else seen.last_hidden_state
        return found

    def head(self, hidden: Tensor) -> Tensor:
        return scaled_logits(self.writer, hidden)


def bare(processor: Any, text: str) -> str:
    """`text` without the marks and the begin token in front, both of which the official processor writes itself."""
    while text.startswith(MARK):
        text = text.removeprefix(MARK)
    return text.removeprefix(processor.tokenizer.bos_token or "")
