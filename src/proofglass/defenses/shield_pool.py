"""A pool of shields on disk: prompts that were fitted to kinds of attacks, each with the features of what it was fitted
on. Made by `AdaShield.fit`, read by the defense `adashield`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.defenses.similarity import joint, of_text
from proofglass.errors import UsageError
from proofglass.interfaces import Encoder

if TYPE_CHECKING:
    import torch

CARD, FEATURES = "pool.json", "pool.safetensors"
KIND = "shield pool"
ALIKE = 0.999  # cosine of two probes from which they are of one encoder: devices and precisions round otherwise


@dataclass(frozen=True)
class ShieldPool:
    """A pool as it was read.

    shields: one a row. features: float [n, d], a row each, of length one. probe: [1, d], what their encoder makes of a
    picture and a word that are always the same: it tells encoders apart, and none from itself on another device.
    encoder: its name. model: key of the victim that the shields were fitted to. card: what else its maker noted.
    """

    shields: tuple[str, ...]
    features: torch.Tensor
    probe: torch.Tensor
    encoder: str
    model: str
    card: dict[str, Any]

    def nearest(self, joint: torch.Tensor) -> tuple[int, float]:
        """Row of the features that are nearest to `joint` [1, d], the first of equals, and the cosine."""
        similar = (self.features.to(joint) @ joint[0]).tolist()
        best = max(range(len(similar)), key=similar.__getitem__)
        return best, similar[best]

    def is_of(self, encoder: Encoder) -> bool:
        """Whether the features are those of `encoder`."""
        probe = probe_of(encoder).to(self.probe)
        return probe.shape == self.probe.shape and float((probe * self.probe).sum()) > ALIKE


def probe_of(encoder: Encoder) -> torch.Tensor:
    """[1, d] of a grey ramp and the word "picture"."""
    import torch

    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    with torch.no_grad():
        return joint(encoder.features(ramp), of_text(encoder, "picture")).float().cpu()


def write(
    folder: Path, shields: Sequence[str], features: torch.Tensor, encoder: Encoder, model: str, card: dict[str, Any]
) -> None:
    """Raises ValueError for a pool without shields, or with features that are not finite."""
    from safetensors.torch import save_file

    if not shields or len(shields) != len(features) or not bool(features.isfinite().all()):
        raise ValueError(f"shields: expected at least one, and finite features for each, found {len(shields)}")
    folder.mkdir(parents=True, exist_ok=True)
    rows = features.detach().float().cpu().contiguous()
    save_file({"features": rows, "probe": probe_of(encoder).contiguous()}, folder / FEATURES)
    told = {"kind": KIND, "encoder": encoder.name, "model": model, "shields": list(shields), **card}
    (folder / CARD).write_text(json.dumps(told, indent=1), encoding="utf-8")


def read(folder: Path, field: str) -> ShieldPool:
    """The pool in `folder`. field: "defense.field", for errors. Raises UsageError for what is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        told = json.loads((folder / CARD).read_text(encoding="utf-8"))
        held = load_file(folder / FEATURES)
        features: Any = held.get("features")
        probe: Any = held.get("probe")
    except (OSError, ValueError, SafetensorError) as error:
        raise UsageError(f"{field}: {folder} is no pool of shields ({error}); AdaShield.fit makes one") from error
    fault = _fault(told, features)
    if fault:
        raise UsageError(f"{field}: {folder / CARD}: {fault}; make it anew with AdaShield.fit")
    card = {name: value for name, value in told.items() if name not in ("kind", "shields", "encoder", "model")}
    if probe is None or probe.shape != (1, features.shape[1]):
        raise UsageError(f"{field}: {folder / FEATURES}: probe: expected a row; make it anew with AdaShield.fit")
    return ShieldPool(tuple(told["shields"]), features, probe, told["encoder"], told["model"], card)


def _fault(told: Any, features: Any) -> str:
    """What is wrong with a pool, "" if nothing is."""
    if not isinstance(told, dict) or told.get("kind") != KIND:
        return f"kind: expected {KIND!r}"
    shields = told.get("shields")
    if not isinstance(shields, list) or not shields or not all(isinstance(s, str) and s.strip() for s in shields):
        return "shields: expected a list of texts, at least one"
    if odd := next((name for name in ("encoder", "model") if not isinstance(told.get(name), str)), ""):
        return f"{odd}: expected a text"
    if features is None or features.ndim != 2 or len(features) != len(shields) or not bool(features.isfinite().all()):
        shape = "none" if features is None else list(features.shape)
        return f"features: expected {len(shields)} rows of finite numbers, found {shape}"
    return ""
