"""The weights of a model while they learn: an adapter (LoRA, by PEFT) in its language model's layers, or all of them.

What learns is a copy of the model that replies. It stays in evaluation mode: no dropout, so a step is a function of its
rows alone.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jinja2.exceptions import TemplateError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from proofglass.errors import TooLong, UsageError
from proofglass.faults import first_line
from proofglass.interfaces.learners import Learner
from proofglass.types import Ask, Chat, Reply
from proofglass.victims.hf.families.base import Picture
from proofglass.victims.hf.gradient import Seen
from proofglass.victims.hf.loading import needs
from proofglass.victims.hf.model import UNASKABLE, HFModel, unanswered
from proofglass.victims.shared.prepared import Pair, Prompt, pair_of
from proofglass.victims.shared.tasks import Task
from proofglass.weights import ADAPTER, quiet

# How transformers calls vision towers; what stands between a tower and the language model learns with all weights.
TOWERS = ("vision_tower", "vision_model", "visual", "vision_embed_tokens", "image_tower")
WEIGHTS = "model.safetensors"
TOGETHER = 32  # replies that are drawn in one batch
CONFIG = "adapter_config.json"


class HFLearner(Learner):
    """rank: of the adapter's matrices, 0: all weights but the vision tower's learn. alpha: what the adapter makes is
    added alpha / rank times. seed: of its first matrices (those of the other side are zero: it begins as nothing)."""

    def __init__(self, path: Path, device: str, dtype: str, micro: int, rank: int, alpha: float, seed: int) -> None:
        self.path, self.micro, self.rank = path, micro, rank
        self.own = HFModel(path, device, dtype, micro)
        self._told = (path, device, dtype, micro)
        self._used = self.own
        self._peft = None
        if rank:
            needs("peft", "a low-rank adapter")
            self._peft = _with_adapter(self.own, rank, alpha, seed)
        else:
            for name, parameter in self.own.model.named_parameters():
                parameter.requires_grad_(not is_of_tower(name))

    @cached_property
    def parameters(self) -> Sequence[nn.Parameter]:
        return [parameter for parameter in self.own.model.parameters() if parameter.requires_grad]

    def row(self, chat: Chat, answer: str) -> Pair:
        if chat.images and not self.own.family.sees_images:
            raise ValueError(f"chat: this victim takes no picture, found {len(chat.images)}")
        for image in chat.images:
            self.own.pictures.levels(image)
        if (end := self.own.tokenizer.eos_token_id) is None:
            raise ValueError("answer: this tokenizer has no end token")
        try:
            # A control token in an answer is plain text, as in a chat: a place holder would want a picture.
            pair = pair_of(self.own.encode_chat(chat).named(()), [self.own.chats.tokens(answer) if answer else []], end)
        except (TypeError, TemplateError) as error:  # half a surrogate pair; what a template says of a chat
            raise ValueError(f"chat or answer: cannot be tokenised ({first_line(error)})") from error
        if (most := self.own.max_positions) and len(pair.ids) > most:
            raise TooLong(pair.start, pair.tokens, most)
        return pair

    def answer(self, row: Pair) -> Sequence[int]:
        return row.ids[row.start :]

    def nll(self, rows: Sequence[Pair]) -> list[Tensor]:
        found: list[Tensor] = []
        for part, logits in self._passes(rows):
            targets = torch.tensor([token for task in part for token in task.targets], device=logits.device)
            nll = F.cross_entropy(logits, targets, reduction="none")
            found += nll.split([len(task.weights) for task in part])
        return found

    def logits(self, rows: Sequence[Pair]) -> list[Tensor]:
        parts = self._passes(rows)
        return [each for part, logits in parts for each in logits.split([len(task.weights) for task in part])]

    def said(self, asks: Sequence[Ask]) -> list[tuple[Reply, Pair | None]]:
        if not self.rank:
            self.own.pictures.forget()  # made by what led from the tower before the last step
        parts = (asks[at : at + TOGETHER] for at in range(0, len(asks), TOGETHER))
        return [each for part in parts for each in self._together(part)]

    def _together(self, asks: Sequence[Ask]) -> list[tuple[Reply, Pair | None]]:
        """Of one batch."""
        found: list[tuple[Reply, Pair | None]] = [(Reply(), None)] * len(asks)
        ready: dict[int, Prompt] = {}
        for k, ask in enumerate(asks):
            try:
                ready[k] = self.own.fit(ask)
            except UNASKABLE as error:
                found[k] = (unanswered(error), None)
        tokens = self.own.tokens([asks[k] for k in ready]) if ready else []
        for (k, prompt), new in zip(ready.items(), tokens, strict=True):
            found[k] = (self.own.read(new, prompt.ids, asks[k].settings), pair_of(prompt, [new]))
        return found

    def _passes(self, rows: Sequence[Pair]) -> Iterator[tuple[Sequence[Task], Tensor]]:
        """Rows of one pass, and the logits that predict their answers, one behind another."""
        model = self._used
        tasks = [Task(row, -1, (1.0,) * row.tokens) for row in rows]
        for part in model.step.chunks(tasks, self.micro):
            yield part, model.family.head(model.step.padded(part, self._seen(model, part))).float()

    def _seen(self, model: HFModel, tasks: Sequence[Task]) -> Seen:
        """The pictures of these rows. Beside a tower that stays as it is, what it makes of the last ones is kept."""
        seen = Seen(twofold=model.pictures.twofold)
        shown = list(dict.fromkeys(each for task in tasks for each in seen.fixed(task)))
        seen.others.update({each: k for k, each in enumerate(shown)})
        if self.rank or model is not self.own:
            with torch.no_grad():
                seen.pictures.extend(model.pictures.of(shown, model.step.images_per_pass))
            return seen
        for image, several in shown:  # what leads from the tower to the language model learns
            values = model.pictures.values(model.pictures.pixels(image), several)
            seen.pictures.append(Picture(model.family.encode(values)[0], model.family.grid(values)))
        return seen

    @contextlib.contextmanager
    def untaught(self) -> Iterator[None]:
        if self._peft is not None:
            with self._peft.disable_adapter():
                yield
            return
        self._used = self._before
        try:
            yield
        finally:
            self._used = self.own

    @cached_property
    def _before(self) -> HFModel:
        """The model as its folder has it, beside the one whose weights all learn."""
        return HFModel(*self._told)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if self._peft is None:
            save_whole(self.own, folder)
            return
        import peft

        found = peft.get_peft_model_state_dict(self._peft, save_embedding_layers=False)
        save_file({name: t.detach().cpu().contiguous() for name, t in found.items()}, folder / ADAPTER)
        told = self._peft.peft_config["default"].to_dict() | {"inference_mode": True, "base_model_name_or_path": ""}
        text = json.dumps(_plain(told), indent=1, sort_keys=True)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def is_of_tower(name: str) -> bool:
    """Whether the parameter of this name belongs to a vision tower."""
    return any(tower in name.split(".") for tower in TOWERS)


def save_whole(own: HFModel, folder: Path) -> None:
    """A whole model folder: the weights of `own`, and beside them what else lies beside those that it was read from."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(own.path.iterdir()):
        if file.is_file() and file.suffix != ".safetensors" and not file.name.endswith(".safetensors.index.json"):
            shutil.copy(file, folder / file.name)
    with contextlib.suppress(FileNotFoundError):
        (folder / WEIGHTS).unlink()
    with quiet():
        own.model.save_pretrained(folder, max_shard_size="1000GB")
    shutil.copy(own.path / "config.json", folder / "config.json")  # its dtype and names are those of the first


def _with_adapter(own: HFModel, rank: int, alpha: float, seed: int) -> Any:
    """`own` with an adapter in every linear map of its language model's layers. Raises UsageError where it has none."""
    import peft

    inside = {id(module) for layer in own.family.layers for module in layer.modules() if isinstance(module, nn.Linear)}
    names = sorted(name for name, module in own.model.named_modules() if id(module) in inside)
    if not names:
        raise UsageError(f"{own.path}: found no linear map in its layers for an adapter; rank 0 tunes all weights")
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=names, lora_dropout=0.0, bias="none")  # type: ignore[arg-type]
    with quiet(), torch.random.fork_rng([own.device] if own.device.type == "cuda" else []):
        torch.manual_seed(seed % 2**63)
        return peft.get_peft_model(own.model, config)


def _plain(value: Any) -> Any:
    """As JSON holds it, in one order: PEFT keeps names in sets, whose order is another in every process."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(each) for each in value)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value
