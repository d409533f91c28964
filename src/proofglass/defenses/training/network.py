"""The network of a harm detector: a text model with a head of one number, read at the last token."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import MissingExtra, UsageError, is_environment
from proofglass.faults import first_line
from proofglass.interfaces import Victim
from proofglass.interfaces.devices import SPREAD, placed
from proofglass.weights import ADAPTER, check_folder, header_of, quiet, readable

if TYPE_CHECKING:
    from torch import Tensor

Ids = tuple[int, ...]
"""Token ids of what is read at once."""


def folder_of_text_model(backbone: Victim) -> Path:
    """The folder of a text model's weights. Raises UsageError for a victim that is none, or has more than its folder
    (an adapter, quantised weights)."""
    if not hasattr(type(backbone), "folder"):
        raise UsageError(f"backbone: {backbone.name}: expected a model with a folder of weights, such as `hf`")
    if backbone.sees_images:
        raise UsageError(f"backbone: {backbone.name}: expected a model of text alone, found one that sees pictures")
    for more in ("adapter", "quantised"):
        if getattr(backbone, more, None):
            raise UsageError(
                f"backbone: {backbone.name}: {more}: expected plain weights; merge them into a folder first"
            )
    folder: Path = backbone.folder  # type: ignore[attr-defined]
    check_folder(folder)
    return folder


def tokenizer_in(backbone: Victim) -> Any:
    from transformers import AutoTokenizer

    folder = folder_of_text_model(backbone)
    with quiet(), readable(folder, "tokenizer", "tokenizer.json and tokenizer_config.json"):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def network(backbone: Victim, seed: int = 0) -> Any:
    """The backbone with a head of one number, whose weights are drawn by `seed`, on the device of the backbone."""
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = folder_of_text_model(backbone)
    with quiet(), torch.random.fork_rng([]), readable(folder, "sequence classifier", "weights of a text model"):
        torch.manual_seed(seed)
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=1,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=getattr(torch, getattr(backbone, "dtype", "float32")),
        )
    absent = [name for name in sorted(found["missing_keys"]) if not name.startswith(("score.", "classifier."))]
    if absent:
        raise UsageError(f"{folder}: the weights lack {len(absent)} tensors, the first is {absent[0]}; get all files")
    if not hasattr(model, "score"):
        raise UsageError(f"{folder}: {type(model).__name__}: expected a model that reads from left to right, as Llama")
    device = getattr(backbone, "device", "auto")
    if device == SPREAD:
        raise UsageError(f"backbone: {backbone.name}: device: expected one device, found {SPREAD!r}")
    return model.to(placed(device)).eval()


def needs_peft() -> None:
    """Raises MissingExtra, with the command, where PEFT is absent."""
    if find_spec("peft") is None:
        raise MissingExtra("mllm-protector: needs peft. Run: pip install peft")


def trained_network(backbone: Victim, folder: Path) -> Any:
    """The network with the adapter and the head that lie in `folder`. Raises UsageError where either is absent."""
    needs_peft()
    import peft

    check_folder(folder, "adapter_config.json", ADAPTER)
    again = "train it anew: mllm-protector has fitted(victim, folder)"
    names = header_of(folder / ADAPTER)
    if not any(".score." in name for name in names):
        raise UsageError(f"{folder / ADAPTER}: expected the head (score) beside the adapter, found none; {again}")
    model = network(backbone)
    try:
        with quiet():
            found = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    except Exception as error:  # files of a stranger can make it fail in any way
        if is_environment(error):
            raise
        raise UsageError(f"{folder}: no adapter of {backbone.name!r} ({first_line(error)}); {again}") from error
    return found.merge_and_unload().eval().requires_grad_(False)


def logits_of(model: Any, rows: Sequence[Ids]) -> Tensor:
    """float32 [n], at the last token of each row, which are padded on the right."""
    import torch

    longest = max(map(len, rows))
    device = model.device
    ids = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
    mask = torch.zeros_like(ids)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = torch.tensor(row, device=device)
        mask[k, : len(row)] = 1
    inside = getattr(model, model.base_model_prefix)
    hidden = inside(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    last = hidden[torch.arange(len(rows), device=device), mask.sum(1) - 1]
    score: Tensor = model.score(last)
    return score.float().flatten()
