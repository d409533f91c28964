"""One adapter from a folder of transformers weights to a white-box victim.

The same code runs the testbed and a user's own LLaVA: nothing here looks at a model's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proofglass.errors import UnsafeWeights, UsageError
from proofglass.interfaces import Layer, LossAndGrad, Target, Weighting
from proofglass.types import Ask, Chat, Cost, Image, Reply, Settings
from proofglass.victims.hf.families import FAMILIES, Family, family_of
from proofglass.victims.hf.gradient import GradientStep
from proofglass.victims.hf.prepared import Pair, Prepared, pair_of

_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def check_folder(path: Path) -> None:
    """Raise UsageError or UnsafeWeights unless `path` holds a config and safetensors weights."""
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder; give a folder with config.json and *.safetensors")
    if not (path / "config.json").is_file():
        raise UsageError(f"{path}: no config.json; a transformers model folder has one (save_pretrained)")
    if not any(path.glob("*.safetensors")):
        pickles = sorted(p.name for pattern in _PICKLES for p in path.glob(pattern))
        if pickles:
            raise UnsafeWeights(
                f"{path / pickles[0]}: a pickle checkpoint can run code when it is loaded, so it is refused. "
                "Convert it once, on a machine you can lose: "
                "AutoModel.from_pretrained(DIR).save_pretrained(NEW_DIR) with safetensors installed."
            )
        raise UsageError(f"{path}: no *.safetensors weights")


def weights_hash(path: Path) -> str:
    """Sha256 over the weight files of a folder, in name order: part of a victim's identity."""
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


class HFModel:
    """Weights, tokenizer and image processor of one folder, loaded once.

    device: "auto" takes a GPU if there is one. dtype of the weights: float32 (pixels are float32 always).
    micro, images_per_pass: what a gradient step holds in memory at once (`GradientStep`).
    Raises UsageError for an unknown architecture or a missing chat template, UnsafeWeights for pickles.
    """

    def __init__(
        self, path: Path, device: str = "auto", dtype: str = "float32", micro: int = 8, images_per_pass: int = 32
    ) -> None:
        import transformers

        check_folder(path)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        config = json.loads((path / "config.json").read_text())
        architecture = (config.get("architectures") or ["?"])[0]
        family = family_of(architecture)
        if family is None or not hasattr(transformers, architecture):
            raise UsageError(
                f"{path / 'config.json'}: architectures: {architecture!r} has no adapter; "
                f"there is one for {', '.join(sorted(FAMILIES))} and every ...ForCausalLM"
            )
        self.path, self.device = path, torch.device(device)
        quiet = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()  # a bar per victim would tear the study's own
        try:
            model = getattr(transformers, architecture).from_pretrained(
                path, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
            )
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        finally:
            transformers.logging.set_verbosity(quiet)
        self.model: Any = model.to(self.device).eval().requires_grad_(False)
        self.tokenizer.padding_side = "left"
        image_token = getattr(self.model.config, "image_token_id", None)
        if image_token is None:
            image_token = self.tokenizer.convert_tokens_to_ids("<image>")
        self.image_token: int = -1 if image_token is None else int(image_token)  # type: ignore[arg-type]
        self.family: Family = family(self.model, self.image_token)
        self.processor = _image_processor(path) if self.family.placeholders else None
        if not self.tokenizer.chat_template:
            raise UsageError(f"{path}: the tokenizer has no chat template; add chat_template.jinja")
        self.has_system_role = self._has_system_role()
        text = self.model.config.get_text_config()
        self.max_positions = int(getattr(text, "max_position_embeddings", 0) or 0)
        self.step = GradientStep(
            self.model,
            self.family,
            self.normalise,
            self.device,
            pad=self.tokenizer.pad_token_id or 0,
            micro=micro,
            images_per_pass=images_per_pass,
        )

    # ---- text -------------------------------------------------------------------------------------------------

    def _has_system_role(self) -> bool:
        """Whether the chat template shows a system prompt; some families drop it or raise."""
        try:
            shown = self.tokenizer.apply_chat_template(
                [{"role": "system", "content": "probe-system"}, {"role": "user", "content": "x"}],
                tokenize=False,
            )
        except Exception:
            return False
        return "probe-system" in shown

    def encode_chat(self, chat: Chat) -> list[int]:
        """Token ids of the chat up to where the reply starts, pictures expanded to their place holders.

        Control tokens inside user text are encoded as plain text: data cannot forge a turn or a picture.
        Without a system role the system prompt goes in front of the first user turn.
        """
        messages: list[dict[str, Any]] = []
        system = "" if self.has_system_role else chat.system
        for message in chat.messages:
            if message.role == "system" and not self.has_system_role:
                continue
            parts: list[dict[str, str]] = [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in message.parts
            ]
            if system and message.role == "user":
                parts.insert(0, {"type": "text", "text": system + "\n"})
                system = ""
            content: Any = parts if message.images else "".join(p["text"] for p in parts if "text" in p)
            messages.append({"role": message.role, "content": content})
        ids: Any = self.tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            sanitize_control_tokens=True,
        )
        expanded: list[int] = []
        for token in ids:
            expanded.extend([token] * (self.family.placeholders if token == self.image_token else 1))
        return expanded

    # ---- pictures ---------------------------------------------------------------------------------------------

    def image_size(self) -> tuple[int, int]:
        vision = self.model.config.vision_config
        return (int(vision.image_size), int(vision.image_size))

    def pixels(self, image: Image) -> Tensor:
        """[1, 3, H, W] float32 in [0, 1]: what the official processor makes of the picture, before normalisation.

        Resizing and cropping happen in 8 bit, as the processor does them, so the result is exact grey levels.
        """
        assert self.processor is not None
        mean, std = _mean_std(self.processor)
        values = self.processor(images=[_pil(image)], return_tensors="pt")["pixel_values"].float()
        levels = ((values * std + mean) * 255).round().clamp(0, 255)
        return (levels / 255).to(self.device)

    def normalise(self, pixels: Tensor) -> Tensor:
        assert self.processor is not None
        mean, std = _mean_std(self.processor)
        return ((pixels - mean.to(pixels.device)) / std.to(pixels.device)).to(self.model.dtype)

    # ---- asking -----------------------------------------------------------------------------------------------

    def reply(self, asks: Sequence[Ask], batch: int) -> list[Reply]:
        """Replies in order. A chat that does not fit (pictures, length) costs itself only."""
        replies: list[Reply | None] = [None] * len(asks)
        ready: dict[Settings, list[tuple[int, list[int]]]] = {}
        for k, ask in enumerate(asks):
            try:
                ready.setdefault(ask.settings, []).append((k, self._fit(ask)))
            except Exception as error:
                replies[k] = Reply.error(f"{type(error).__name__}: {error}")
        for settings, rows in ready.items():
            # A drawn reply is seeded by its own ask: it must not depend on who shares its batch.
            size = batch if settings.temperature == 0 else 1
            for at in range(0, len(rows), size):
                part = rows[at : at + size]
                for (k, _), reply in zip(part, self._answer(asks, part, settings), strict=True):
                    replies[k] = reply
        return [reply or Reply.error("no reply was produced") for reply in replies]

    def _fit(self, ask: Ask) -> list[int]:
        if len(ask.chat.images) > (1 if self.family.placeholders else 0):
            raise ValueError(
                f"chat: this victim takes {'one picture' if self.family.placeholders else 'no picture'}, "
                f"found {len(ask.chat.images)}"
            )
        for image in ask.chat.images:
            image.array()  # a file that cannot be read is the error of this ask, not of its batch
        ids = self.encode_chat(ask.chat)
        if self.max_positions and len(ids) + ask.settings.max_new_tokens > self.max_positions:
            raise ValueError(
                f"chat: {len(ids)} tokens and {ask.settings.max_new_tokens} new ones do not fit into "
                f"{self.max_positions} positions"
            )
        return ids

    @torch.no_grad()
    def _answer(self, asks: Sequence[Ask], rows: list[tuple[int, list[int]]], settings: Settings) -> list[Reply]:
        images: dict[Image, int] = {}
        owner = []
        for k, _ in rows:
            shown = asks[k].chat.images
            owner.append(images.setdefault(shown[0], len(images)) if shown else -1)
        features = None
        if images:
            pixels = torch.cat([self.pixels(image) for image in images])
            features = self.family.encode(self.normalise(pixels))
        longest = max(len(ids) for _, ids in rows)
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[pad] * (longest - len(row)) + row for _, row in rows], device=self.device)
        lengths = torch.tensor([len(row) for _, row in rows], device=self.device)
        mask = (torch.arange(longest, device=self.device)[None] >= longest - lengths[:, None]).long()
        new = self.family.generate(
            ids,
            mask,
            features,
            torch.tensor(owner, device=self.device),
            pad_token_id=pad,
            **self._options(asks[rows[0][0]], settings),
        )
        return [self._read(row.tolist(), len(prompt), settings) for row, (_, prompt) in zip(new, rows, strict=True)]

    def _options(self, ask: Ask, settings: Settings) -> dict[str, Any]:
        options: dict[str, Any] = {"max_new_tokens": settings.max_new_tokens, "do_sample": False}
        if settings.temperature > 0:
            seed = hashlib.sha256(f"{ask.chat!r}{settings!r}".encode()).digest()
            torch.manual_seed(int.from_bytes(seed[:7], "big"))
            options |= {
                "do_sample": True,
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "top_k": 0,
            }
        if settings.stop:
            options |= {"stop_strings": list(settings.stop), "tokenizer": self.tokenizer}
        return options

    def _read(self, tokens: list[int], prompt: int, settings: Settings) -> Reply:
        ends = self.model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        stop = next((i for i, token in enumerate(tokens) if token in ends), None)
        said = tokens if stop is None else tokens[:stop]
        text = str(self.tokenizer.decode(said, skip_special_tokens=True)).strip()
        cut = next((at for mark in settings.stop if (at := text.find(mark)) >= 0), None)
        if cut is not None:
            text = text[:cut]
        ended = stop is not None or cut is not None or len(tokens) < settings.max_new_tokens
        cost = Cost(forward=1, queries=1, tokens_in=prompt, tokens_out=len(said))
        return Reply(text, finish="stop" if ended else "length", cost=cost)

    # ---- gradients --------------------------------------------------------------------------------------------

    def prepare(self, pairs: Sequence[Sequence[tuple[Chat, Target]]], append_eos: bool = False) -> Prepared:
        return Prepared(tuple(tuple(self._pair(chat, target, append_eos) for chat, target in row) for row in pairs))

    def _pair(self, chat: Chat, target: Target, append_eos: bool) -> Pair:
        """ids(prompt) + ids(target): the prompt ids are the very ones used for generation."""
        parts = (target,) if isinstance(target, str) else target
        end = self.tokenizer.eos_token_id if append_eos else None
        if append_eos and end is None:
            raise ValueError("append_eos: this tokenizer has no end token")
        answers = [self.tokenizer(part, add_special_tokens=False)["input_ids"] if part else [] for part in parts]
        return pair_of(self.encode_chat(chat), answers, self.image_token, self.family.placeholders, end)

    def prepare_tokens(self, rows: Sequence[Sequence[tuple[Sequence[int], Sequence[int]]]]) -> Prepared:
        """From token ids: (prompt with expanded place holders, target) for each picture."""
        return Prepared(
            tuple(
                tuple(pair_of(prompt, [target], self.image_token, self.family.placeholders) for prompt, target in row)
                for row in rows
            )
        )

    def loss_and_grad(
        self,
        pixels: Tensor,
        prepared: Prepared,
        weighting: Weighting = "token",
        need_grad: bool = True,
        text: Sequence[Sequence[Tensor]] | None = None,
    ) -> LossAndGrad:
        return self.step(pixels, prepared, weighting, need_grad, text)

    def target_logits(self, pixels: Tensor, prepared: Prepared) -> list[list[Tensor]]:
        return self.step.target_logits(pixels, prepared)

    def features(self, pixels: Tensor, layer: Layer = "pooled") -> Tensor:
        """What the tower makes of `pixels`, float32, with gradient. Raises ValueError for another layer."""
        if layer not in ("pooled", "patches"):
            raise ValueError(f"layer: expected pooled or patches, found {layer!r}")
        return self.family.look(self.normalise(pixels.to(self.device, torch.float32)), layer).float()

    @property
    def normalisation(self) -> tuple[Tensor, Tensor]:
        return _mean_std(self.processor)

    @property
    def embedding_width(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[1])


def _image_processor(path: Path) -> Any:
    """The folder's own processor, in its Pillow form: what is deployed where torchvision is absent."""
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(path, trust_remote_code=False, backend="pil")


def _mean_std(processor: Any) -> tuple[Tensor, Tensor]:
    if not getattr(processor, "do_normalize", True):
        return torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    mean = torch.tensor(processor.image_mean, dtype=torch.float32).reshape(1, 3, 1, 1)
    return mean, torch.tensor(processor.image_std, dtype=torch.float32).reshape(1, 3, 1, 1)


def _pil(image: Image) -> Any:
    from PIL import Image as Pillow

    return Pillow.fromarray(np.asarray(image.array()))
