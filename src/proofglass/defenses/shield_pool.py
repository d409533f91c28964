"""A pool of shields on disk: prompts that were fitted to kinds of attacks, each with the features of what it was fitted
on. Made by `AdaShield.fit`, read by the defense `adashield`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError

if TYPE_CHECKING:
    import torch

CARD, FEATURES = "pool.json", "pool.safetensors"
KIND = "shield pool"


@dataclass(frozen=True)
class ShieldPool:
    """shields: one a row; features: float [n, d], a row each, of length one. encoder, model: keys of the encoder of the
    features, and of the victim that the shields were fitted to. card: what else its maker noted."""

    shields: tuple[str, ...]
    features: torch.Tensor
    encoder: str
    model: str
    card: dict[str, Any]

    def nearest(self, joint: torch.Tensor) -> tuple[int, float]:
        """Row of the features that are nearest to `joint` [1, d], the first of equals, and the cosine."""
        similar = (self.features.to(joint) @ joint[0]).tolist()
        best = max(range(len(similar)), key=similar.__getitem__)
        return best, similar[best]


def write(
    folder: Path, shields: Sequence[str], features: torch.Tensor, encoder: str, model: str, card: dict[str, Any]
) -> None:
    """Raises ValueError for a pool without shields, or with features that are not finite."""
    from safetensors.torch import save_file

    if not shields or len(shields) != len(features) or not bool(features.isfinite().all()):
        raise ValueError(f"shields: expected at least one, and finite features for each, found {len(shields)}")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"features": features.detach().float().cpu().contiguous()}, folder / FEATURES)
    told = {"kind": KIND, "encoder": encoder, "model": model, "shields": list(shields), **card}
    (folder / CARD).write_text(json.dumps(told, indent=1), encoding="utf-8")


def read(folder: Path, field: str) -> ShieldPool:
    """The pool in `folder`. field: "defense.field", for errors. Raises UsageError for what is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        told = json.loads((folder / CARD).read_text(encoding="utf-8"))
        features: Any = load_file(folder / FEATURES).get("features")
    except (OSError, ValueError, SafetensorError) as error:
        raise UsageError(f"{field}: {folder} is no pool of shields ({error}); AdaShield.fit makes one") from error
    fault = _fault(told, features)
    if fault:
        raise UsageError(f"{field}: {folder / CARD}: {fault}; make it anew with AdaShield.fit")
    card = {name: value for name, value in told.items() if name not in ("kind", "shields", "encoder", "model")}
    return ShieldPool(tuple(told["shields"]), features, told["encoder"], told["model"], card)


def _fault(told: Any, features: Any) -> str:
    """What is wrong with a pool, "" if nothing is."""
    if not isinstance(told, dict) or told.get("kind") != KIND:
        return f"kind: expected {KIND!r}"
    shields = told.get("shields")
    if not isinstance(shields, list) or not shields or not all(isinstance(s, str) and s.strip() for s in shields):
        return "shields: expected a list of texts, at least one"
    if odd := next((name for name in ("encoder", "model") if not isinstance(told.get(name), str)), ""):
        return f"{odd}: expected a key"
    if features is None or features.ndim != 2 or len(features) != len(shields) or not bool(features.isfinite().all()):
        shape = "none" if features is None else list(features.shape)
        return f"features: expected {len(shields)} rows of finite numbers, found {shape}"
    return ""
