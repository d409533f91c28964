"""Any model of transformers that reads chats and writes text, in transformers' own way; no gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from proofglass.interfaces import Count, Victim, key_of
from proofglass.interfaces.devices import Devices
from proofglass.types import Ask, Reply
from proofglass.weights import check_folder, folder_of, texts_of, weights_hash

if TYPE_CHECKING:
    from proofglass.victims.hf.plain import PlainModel

# What `apply_chat_template` takes beside the template's own variables.
_OURS = {
    "chat_template", "continue_final_message", "conversation", "max_length", "padding", "processor_kwargs",
    "return_assistant_tokens_mask", "return_dict", "return_tensors", "sanitize_control_tokens", "tokenize",
    "tokenizer_kwargs", "truncation",
}  # fmt: skip


@dataclass(frozen=True)
class HFPlain(Victim):
    """A helper, such as a guard, whose architecture has no adapter of ours: Llama 4, ShieldGemma 2, ...

    It is asked through its own processor's chat template and `generate`, greedily or drawn, and tells the probabilities
    of `Settings.choices`. A victim to attack by gradients is `hf`.

    path: a folder with config.json, *.safetensors, tokenizer and processor, or `owner/model` on the hub. revision:
    commit, tag or branch of a hub name. device: "auto", "cpu", "cuda", "cuda:1", "spread" (layers over all GPUs).
    dtype: of the weights. quantised: "int8" or "nf4" by bitsandbytes. batch: chats per call of `generate`.
    template_options: what the chat template is told besides the chat, such as `enable_thinking: false`;
    `add_generation_prompt` is true unless it stands here.

    Control tokens in a chat are plain text. Raises UsageError for an architecture that transformers does not know,
    weights that are absent, gated or incomplete, UnsafeWeights for pickles; code of a folder is never run.
    """

    path: str | Path
    revision: str = "main"
    device: Devices = "auto"
    dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32"
    quantised: Literal["", "int8", "nf4"] = ""
    batch: Count = 8
    template_options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    name = "hf-plain"
    not_in_key = ("batch", "revision")  # the weights are

    def __post_init__(self) -> None:
        if not isinstance(self.path, (str, Path)) or not str(self.path).strip():
            raise ValueError(f"path: expected a folder, or owner/model on the hub, found {self.path!r}")
        options: object = self.template_options
        if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
            raise ValueError(f"template_options: expected names and values, found {options!r}")
        if held := sorted(_OURS & set(self.template_options)):
            raise ValueError(f"template_options: {', '.join(held)}: decided here; expected variables of the template")

    @cached_property
    def folder(self) -> Path:
        """Where the files lie, a hub model's after its download."""
        found = folder_of(self.path, self.revision)
        check_folder(found)
        return found

    @cached_property
    def key(self) -> str:
        """Holds the weights and every text of the folder that decides; not where it lies."""
        told = (self.device, self.dtype, self.quantised, self.template_options)
        return key_of([type(self).__name__, self.version, weights_hash(self.folder), texts_of(self.folder), told])

    @cached_property
    def sees_images(self) -> bool:  # type: ignore[override]
        from proofglass.victims.hf.writers import sees_pictures

        return sees_pictures(self.folder)

    @cached_property
    def context_window(self) -> int | None:  # type: ignore[override]
        from proofglass.victims.hf.loading import positions_in

        return positions_in(self.folder) or None

    @cached_property
    def model(self) -> PlainModel:
        from proofglass.victims.hf.loading import Options
        from proofglass.victims.hf.plain import PlainModel

        return PlainModel(
            self.folder, Options(self.device, self.dtype, quantised=self.quantised), self.template_options
        )

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return self.model.reply(asks, self.batch)

    def card(self) -> dict[str, Any]:
        """Without loading the weights. remarks: where a batch had to be smaller."""
        from proofglass.victims.hf.writers import architecture_in

        return {
            "name": str(self.path),
            "revision": self.folder.name if self.folder.parent.name == "snapshots" else "",
            "architecture": architecture_in(self.folder),
            "weights_sha256": weights_hash(self.folder),
            "dtype": self.dtype,
            "quantised": self.quantised,
            "template_options": dict(self.template_options),
            "batch": self.batch,
            "remarks": list(self.model.remarks) if "model" in vars(self) else [],
        }
