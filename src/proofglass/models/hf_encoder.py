"""An image encoder from a folder of transformers weights, or from the hub: CLIP, SigLIP, BLIP, classifiers, backbones.

Nothing here looks at a model's name: what differs is read off the architecture, its configuration and the folder's own
preprocessing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError
from proofglass.interfaces import Encoder, Layer, checked
from proofglass.interfaces.devices import Device, placed
from proofglass.models.folders import FromFolder, check_layer
from proofglass.models.resizing import Preparation
from proofglass.weights import described, readable

if TYPE_CHECKING:
    import torch

FAMILIES = (
    "contrastive models (CLIPModel, SiglipModel, Siglip2Model, BlipModel), BlipForImageTextRetrieval, "
    "...ForImageClassification with one `classifier` (ViT, DINOv2, ConvNeXT, ResNet, Swin) and models of pixels alone"
)


@dataclass(frozen=True)
class HFEncoder(FromFolder, Encoder):
    """A pretrained image encoder through transformers, perhaps with its text tower; pixels of any size.

    pooled [B, d]: with a text tower, the projection into the common space; of a classifier, what its last layer gets;
    else the model's own pooled output, or the mean of its patches where it has none. patches [B, n, d]: the last hidden
    state without class token and registers; a convolutional map row by row. Resizing, cropping and normalising happen
    inside, as the folder's preprocessor_config.json says, equal to the official Pillow processor on an 8-bit picture.

    path: folder with config.json, preprocessor_config.json and model*.safetensors, or `owner/model` on the hub.
    revision: commit of a hub name. device: "auto", "cpu", "cuda". unit: whether the features of a model with a text
    tower have length one, as it compares them; False leaves its raw projections. Raises UsageError for an unknown
    architecture, missing or gated weights, UnsafeWeights for pickle checkpoints; code of a folder is never run.
    """

    path: str | Path
    revision: str = "main"
    device: Device = "auto"
    unit: bool = True

    registered = "hf-encoder"

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        check_layer(layer)
        inputs = self.inputs(checked(pixels, "features", placed(self.device)))
        pooled, tokens = self._seen(inputs, layer)
        if layer == "pooled":
            return self._scaled(pooled.flatten(1))
        return self._patches(tokens, inputs)

    def layers(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """What `patches` would be after each layer, the first embeddings included: a victim may read any of them."""
        inputs = self.inputs(checked(pixels, "layers", placed(self.device)))
        whole = getattr(self.net, "vision_model", self.net.base_model)
        return [self._patches(found, inputs) for found in whole(**inputs, output_hidden_states=True).hidden_states]

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, d], no gradient. Raises UsageError without a text tower, ValueError for a text that is empty or
        longer than the tower reads."""
        import torch

        if not self._has_text:
            return super().text_features(texts)
        tokens = self._tokens(texts)
        with torch.no_grad():
            if hasattr(self.net, "text_proj"):
                found = self.net.text_proj(self.net.text_encoder(**tokens).last_hidden_state[:, 0])
            else:
                found = self.net.get_text_features(**tokens).pooler_output
        return self._scaled(found)

    def projected(self, seen: torch.Tensor) -> torch.Tensor:
        """Of a contrastive model: its projection of the tower's pooled output, or that output where it has none."""
        if not _is_dual(self.net):
            return super().projected(seen)
        head = getattr(self.net, "visual_projection", None)
        seen = seen.to(placed(self.device))
        return self._scaled(seen if head is None else head(seen))

    def _scaled(self, found: torch.Tensor) -> torch.Tensor:
        import torch.nn.functional as F

        return F.normalize(found, dim=-1) if self.unit and self._has_text else found

    # ---- the network ------------------------------------------------------------------------------------------------

    @cached_property
    def net(self) -> Any:
        """The model, frozen, float32. A classifier comes without its last layer: its "logits" are what that gets."""
        import torch
        import transformers

        named = described(self.folder / "config.json").get("architectures")
        architecture = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else "?"
        known = getattr(transformers, architecture, None)
        if known is None:
            raise UsageError(
                f"{self.folder / 'config.json'}: architectures: {architecture!r} is unknown to transformers"
            )
        quiet = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()  # a bar per model would tear the study's own
        try:
            safely = {"use_safetensors": True, "trust_remote_code": False, "output_loading_info": True}
            with readable(self.folder, "model", "a config.json and safetensors of one model"):
                net, loaded = known.from_pretrained(self.folder, dtype=torch.float32, **safely)
        finally:
            transformers.logging.set_verbosity(quiet)
        # transformers puts random numbers in the place of what is missing. A pooler can be done without.
        absent = [name for name in sorted(loaded["missing_keys"]) if not name.startswith("pooler.")]
        if absent:
            raise UsageError(f"{self.folder}: the weights lack {len(absent)} tensors, the first is {absent[0]}")
        if loaded["missing_keys"]:
            net.pooler = None
        if architecture.endswith("ForImageClassification") and hasattr(net, "classifier"):
            net.classifier = torch.nn.Identity()
        elif not (_is_dual(net) or hasattr(net, "vision_proj") or net.input_modalities == ("image",)):
            raise UsageError(
                f"{self.folder}: config.json: architectures: {architecture!r} is no image encoder; known are {FAMILIES}"
            )
        return net.to(placed(self.device)).eval().requires_grad_(False)

    @property
    def _has_text(self) -> bool:
        return _is_dual(self.net) or hasattr(self.net, "vision_proj")

    def _seen(self, inputs: Mapping[str, torch.Tensor], layer: Layer) -> tuple[Any, Any]:
        """Pooled feature and tokens or map; of a classifier only the one that is asked for."""
        net = self.net
        if _is_dual(net):
            found = net.get_image_features(**inputs)
        elif hasattr(net, "vision_proj"):
            tokens = net.vision_model(**inputs).last_hidden_state
            return net.vision_proj(tokens[:, 0]), tokens
        elif hasattr(net, "classifier") and layer == "pooled":
            return net(**inputs).logits, None
        else:
            found = (net.base_model if hasattr(net, "classifier") else net)(**inputs)
        pooled = found.get("image_embeds", found.get("pooler_output"))
        tokens = found.last_hidden_state
        return self._patches(tokens, inputs).mean(1) if pooled is None else pooled, tokens

    def _patches(self, tokens: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """[B, n, d] of tokens [B, 1 + n, d] or a map [B, d, h, w]."""
        if tokens.ndim == 4:
            return tokens.flatten(2).mT
        if "spatial_shapes" in inputs:  # padded behind
            return tokens[:, : int(inputs["spatial_shapes"][0].prod())]
        patch = getattr(getattr(self.net.config, "vision_config", self.net.config), "patch_size", None)
        if patch is None:
            return tokens
        rows, columns = (patch, patch) if isinstance(patch, int) else patch
        height, width = inputs["pixel_values"].shape[-2:]
        # Class token and registers come first; networks that merge patches (Swin) have fewer tokens and none of these.
        return tokens[:, max(0, tokens.shape[1] - (height // rows) * (width // columns)) :]

    # ---- pixels in --------------------------------------------------------------------------------------------------

    def inputs(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the network takes, by name, of float [B, 3, H, W] in [0, 1]; "pixel_values" carries the gradient."""
        if "patch_size" in self._processor.to_dict():
            return in_patches(self._processor, pixels)
        return {"pixel_values": self.preparation(pixels)}

    @cached_property
    def preparation(self) -> Preparation:
        """The folder's preprocessing, for models that take pictures of one size."""
        return preparation_of(self._processor, self.folder)

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoImageProcessor

        if not (self.folder / "preprocessor_config.json").is_file():
            raise UsageError(
                f"{self.folder}: no preprocessor_config.json; it says how pictures are resized and normalised"
            )
        with readable(self.folder, "image processor", "preprocessor_config.json"):
            return AutoImageProcessor.from_pretrained(self.folder, trust_remote_code=False, backend="pil")

    # ---- text in ----------------------------------------------------------------------------------------------------

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with readable(self.folder, "tokenizer", "tokenizer.json and tokenizer_config.json"):
            return AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)

    def _tokens(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        longest = int(self.net.config.text_config.max_position_embeddings)
        rows = self._tokenizer(list(texts))["input_ids"]
        for text, row in zip(texts, rows, strict=True):
            if not text.strip() or len(row) > longest:
                raise ValueError(f"texts: expected 1 to {longest} tokens, found {len(row)} in {text[:60]!r}")
        if self.net.config.model_type.startswith("siglip"):  # trained on full rows and without a mask
            padded = self._tokenizer(list(texts), padding="max_length", max_length=longest, return_tensors="pt")
            return {"input_ids": padded["input_ids"].to(self.net.device)}
        padded = self._tokenizer(list(texts), padding=True, return_tensors="pt").to(self.net.device)
        return {"input_ids": padded["input_ids"], "attention_mask": padded["attention_mask"]}


def _is_dual(net: Any) -> bool:
    return hasattr(net, "get_text_features") and hasattr(net, "logit_scale")


def preparation_of(processor: Any, folder: Path) -> Preparation:
    """What a Pillow image processor of transformers does, as a differentiable function.

    Raises UsageError for one that does more than resize, crop, rescale and normalise.
    """
    size: Any = _sides(processor.size) if processor.do_resize else None
    crop = (processor.crop_size["height"], processor.crop_size["width"]) if processor.do_center_crop else None
    if processor.do_resize and hasattr(processor, "crop_pct"):  # ConvNeXT, ResNet: one number stands for both
        side = processor.size["shortest_edge"]
        size, crop = (int(side / processor.crop_pct), (side, side)) if side < 384 else ((side, side), None)
    elif size is False or _does_more(processor):
        raise UsageError(
            f"{folder / 'preprocessor_config.json'}: {type(processor).__name__} with size {dict(processor.size)} does "
            "more than resize to one size or shorter side, crop, rescale and normalise; no differentiable twin is known"
        )
    normalise = processor.do_normalize
    return Preparation(
        size,
        crop,
        int(processor.resample),
        mean=tuple(processor.image_mean) if normalise else (0.0, 0.0, 0.0),
        std=tuple(processor.image_std) if normalise else (1.0, 1.0, 1.0),
        scale=255 * (processor.rescale_factor if processor.do_rescale else 1),
    )


def _sides(size: Mapping[str, int]) -> tuple[int, int] | int | bool:
    """(height, width), or the shorter side; False for anything else."""
    given = {name: value for name, value in dict(size).items() if value}
    if given.keys() == {"height", "width"}:
        return given["height"], given["width"]
    return given["shortest_edge"] if given.keys() == {"shortest_edge"} else False


def _does_more(processor: Any) -> bool:
    """Whether a processor has steps of its own beside those of transformers' Pillow backend."""
    from transformers.image_processing_backends import PilBackend

    own = ("_preprocess", "resize", "center_crop", "rescale", "normalize")
    return bool(processor.do_pad) or any(getattr(type(processor), n) is not getattr(PilBackend, n) for n in own)


def in_patches(processor: Any, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """SigLIP 2 at the picture's own proportions: the largest size of at most `max_num_patches` patches, in patches.

    pixel_values: [B, max_num_patches, patch * patch * 3], zeros behind the picture's own patches.
    """
    import torch
    import torch.nn.functional as F
    from transformers.models.siglip2.image_processing_pil_siglip2 import get_image_size_for_max_num_patches

    patch, most = processor.patch_size, processor.max_num_patches
    size = get_image_size_for_max_num_patches(pixels.shape[-2], pixels.shape[-1], patch, most)
    mean, std = tuple(processor.image_mean), tuple(processor.image_std)
    shown = Preparation(size, resample=int(processor.resample), mean=mean, std=std)(pixels)
    rows, columns = size[0] // patch, size[1] // patch
    cut = shown.unflatten(3, (columns, patch)).unflatten(2, (rows, patch))  # [B, 3, rows, patch, columns, patch]
    patches = cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    spare = most - rows * columns
    mask = torch.arange(most, device=pixels.device) < rows * columns
    return {
        "pixel_values": F.pad(patches, (0, 0, 0, spare)),
        "pixel_attention_mask": mask.int().expand(len(pixels), -1),
        "spatial_shapes": torch.tensor([[rows, columns]], device=pixels.device).expand(len(pixels), -1),
    }
