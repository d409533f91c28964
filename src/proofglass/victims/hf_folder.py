"""An open model of the transformers library, from a folder or the model hub, as a white-box victim."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from proofglass.errors import UnsafeWeights
from proofglass.interfaces import Count, key_of
from proofglass.interfaces.devices import Devices
from proofglass.victims.hf.victim import HFVictim
from proofglass.weights import ADAPTER, check_folder, described, folder_of, readable, texts_of

if TYPE_CHECKING:
    from proofglass.victims.hf.chats import Chats


@dataclass(frozen=True)
class HF(HFVictim):
    """An open model by its weights, of any family that has an adapter.

    The architecture in its config.json decides what runs, with pictures or without.
    path: a folder with config.json, *.safetensors, tokenizer and image processor, or `owner/model` on the hub.
    revision: commit, tag or branch of a hub name. device: "auto", "cpu", "cuda", "cuda:1", "spread" (layers over all
    GPUs). dtype: of the weights ("float32", "bfloat16", "float64"); pixels stay float32. adapter: folder of a LoRA
    adapter (PEFT). quantised: "int8" or "nf4" by bitsandbytes.

    Raises UsageError for an architecture without an adapter (the nearest names are told), weights that are absent,
    gated, corrupt or incomplete, UnsafeWeights for pickle checkpoints; code of a folder is never run.
    """

    path: str | Path
    revision: str = "main"
    device: Devices = "auto"
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"  # float16 loses small gradients
    adapter: Path | None = None
    quantised: Literal["", "int8", "nf4"] = ""
    batch: Count = 16
    micro: Count = 8
    images_per_pass: Count = 32

    name = "hf"
    version = 3  # thoughts apart from answers; begin tokens as transformers' processors write them
    not_in_key = (*HFVictim.not_in_key, "revision")  # the weights are

    @cached_property
    def folder(self) -> Path:
        """Where the files lie, a hub model's after its download."""
        found = folder_of(self.path, self.revision)
        from_hub = not Path(self.path).expanduser().exists() and found.is_dir()
        if from_hub and not any(found.glob("*.safetensors")):
            raise UnsafeWeights(
                f"model {str(self.path)!r}: the hub has no safetensors of revision {self.revision!r}, and pickle "
                "checkpoints, which can run code, are refused. Take a revision with safetensors, or convert it once, "
                "on a machine you can lose: CLASS.from_pretrained(NAME).save_pretrained(FOLDER), CLASS being the one "
                "of transformers that its config.json names under architectures"
            )
        check_folder(found)
        return found

    @cached_property
    def key(self) -> str:
        """Holds the weights, an adapter's, and every text of both folders that decides; not where they lie."""
        if self.adapter is not None:
            check_folder(self.adapter, "adapter_config.json", ADAPTER)
        texts = [texts_of(folder) for folder in (self.folder, self.adapter) if folder is not None]
        told = (self.device, self.dtype, self.quantised)
        return key_of([type(self).__name__, self.version, self.weights_hash, texts, told])

    def _with(self, folder: Path) -> HF:
        is_adapter = (folder / ADAPTER).is_file()
        return replace(self, adapter=folder) if is_adapter else replace(self, path=folder, adapter=None)

    @cached_property
    def sees_images(self) -> bool:  # type: ignore[override]
        from proofglass.victims.hf.loading import family_in

        return bool(family_in(self.folder)[1].sees_images)

    @cached_property
    def image_size(self) -> tuple[int, int] | None:  # type: ignore[override]
        return self._chats.twin.image_size if self._chats.twin else None

    @cached_property
    def _chats(self) -> Chats:
        from proofglass.victims.hf.chats import chats_in

        return chats_in(self.folder)

    def card(self) -> dict[str, Any]:
        """Without loading the weights. system_role: what becomes of a system prompt; begin_token: who writes it;
        generation_not_followed: settings of the folder that replies do not follow; image_processor_backend: the form of
        the image processor that is followed, image_processor_default: the one that transformers loads on this machine
        if it is not told; batch: what is held at once, remarks: where that had to be less."""
        from transformers import GenerationConfig

        from proofglass.victims.hf.generation import not_followed
        from proofglass.victims.hf.loading import default_form

        stated = (self.folder / "generation_config.json").is_file()
        with readable(self.folder, "generation configuration", "a generation_config.json"):
            generation = GenerationConfig.from_pretrained(self.folder) if stated else None
        chats, config = self._chats, described(self.folder / "config.json")
        return {
            "name": str(self.path),
            "revision": self.folder.name if self.folder.parent.name == "snapshots" else "",
            "architecture": config["architectures"][0],
            "weights_sha256": self.weights_hash,
            "dtype": self.dtype,
            "quantised": self.quantised,
            "adapter": "" if self.adapter is None else str(self.adapter),
            "system_role": chats.system_role,
            "chat_template": f"of the {chats.template_source}",
            "begin_token": f"written by {chats.begin_token}",
            "generation_not_followed": not_followed(generation, drawn=True),
            "image_processor": type(chats.processor).__name__ if chats.processor else "",
            "image_processor_backend": getattr(chats.processor, "backend", ""),
            "image_processor_default": default_form() if chats.processor else "",
            "batch": {"rows": self.batch, "pairs": self.micro, "pictures": self.images_per_pass},
            "remarks": list(self.model.remarks) if "model" in vars(self) else [],
        }
