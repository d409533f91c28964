"""How a harm detector is trained: what a row costs, and the steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from proofglass.defenses.training.answers import Left, Pair
from proofglass.defenses.training.cards import DETECTOR
from proofglass.defenses.training.detector import Text
from proofglass.defenses.training.network import Ids, logits_of, needs_peft, network
from proofglass.weights import ADAPTER, quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

Form = Literal["code", "paper"]


@dataclass(frozen=True)
class Read:
    """A row as the detector reads it. id: of the row. answers: the ids of each answer, the safer one first. harmless:
    1 for each that is, else 0."""

    id: str
    answers: tuple[Ids, ...]
    harmless: tuple[float, ...]


def loss_of_row(logits: Tensor, harmless: Tensor, form: Form) -> Tensor:
    """Of the answers of one row, [1] or [2], the safer one first.

    "paper": the binary cross-entropies, added up. "code": these twice, and -log sigmoid(safer - other) where there are
    two, as the authors' code has it.
    """
    from torch.nn import functional as F

    each = F.binary_cross_entropy_with_logits(logits, harmless, reduction="sum")
    if form == "paper":
        return each
    return 2 * each - (F.logsigmoid(logits[0] - logits[1]) if len(logits) == 2 else 0)


def read_of(pairs: Sequence[Pair], text: Text) -> tuple[list[Read], list[Left]]:
    """The rows as ids; one whose question with an answer is longer than the window is left out, as the authors do."""
    found: list[Read] = []
    left: list[Left] = []
    for pair in pairs:
        ids = tuple(text.ids(pair.question, answer.text) for answer in pair.answers)
        if (longest := max(map(len, ids))) > text.window:
            left.append(Left(pair.id, f"window: expected at most {text.window} tokens, found {longest}", DETECTOR))
            continue
        found.append(Read(pair.id, ids, tuple(float(answer.harmless) for answer in pair.answers)))
    return found, left


class Learning:
    """The network with an adapter and a head that learn. rank, alpha: of the adapter. seed: of what is drawn."""

    def __init__(self, backbone: Any, rank: int, alpha: float, seed: int) -> None:
        needs_peft()
        import peft
        import torch
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL

        model = network(backbone, seed)
        # The maps that PEFT adapts of this architecture unless it is told (the authors tell it nothing); all of one
        # that it does not know.
        maps: Any = USUAL.get(model.config.model_type, "all-linear")
        strength: Any = alpha  # a number of any kind; PEFT's annotation knows whole ones only
        config = peft.LoraConfig(
            task_type=peft.TaskType.SEQ_CLS, r=rank, lora_alpha=strength, lora_dropout=0.0, target_modules=maps
        )
        with quiet(), torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
            torch.manual_seed(seed)
            self._peft = peft.get_peft_model(model, config)
        self.model = self._peft.get_base_model()

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        return [parameter for parameter in self._peft.parameters() if parameter.requires_grad]

    def losses(self, rows: Sequence[Read], form: Form, micro: int) -> Iterator[Tensor]:
        """The mean over `rows` in parts of `micro` rows."""
        import torch

        for start in range(0, len(rows), micro):
            some = rows[start : start + micro]
            logits = logits_of(self.model, [ids for row in some for ids in row.answers])
            each = logits.split([len(row.answers) for row in some])
            pairs = zip(each, some, strict=True)
            losses = [loss_of_row(own, own.new_tensor(row.harmless), form) for own, row in pairs]
            yield torch.stack(losses).sum() / len(rows)

    def save(self, folder: Path) -> None:
        """The adapter and the head, as PEFT reads them, without the place of the backbone on this machine."""
        import peft
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        found = peft.get_peft_model_state_dict(self._peft, save_embedding_layers=False)
        save_file({name: t.detach().cpu().contiguous() for name, t in found.items()}, folder / ADAPTER)
        told = self._peft.peft_config["default"].to_dict() | {"inference_mode": True, "base_model_name_or_path": ""}
        text = json.dumps(told, indent=1, sort_keys=True, default=_plain)
        (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """PEFT keeps names in sets, whose order is another in every process."""
    return sorted(value) if isinstance(value, (set, frozenset)) else getattr(value, "value", str(value))
