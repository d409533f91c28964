"""Rows and models with which MLLM-Protector is trained in a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofglass.defenses.training.mllm_protector import MLLMProtector
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Sample
from proofglass.victims.hf_folder import HF
from tiny_models import build as tiny


@dataclass(frozen=True)
class Rows(Dataset):
    """Made-up preference pairs: kites are fine, drums are not; `more` as it is. odd: with a row that teaches nothing
    and one that is longer than the window."""

    name = "rows"

    n: int = 6
    odd: bool = False

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for k in range(self.n):
            chat = Chat.user(f"what is {k} ?")
            yield Sample(f"r{k}", "rows", chat, references=(f"a kite {k}",), meta={"rejected": f"a drum {k}"})
        if self.odd:
            yield BadSample("bad", "rows", "line 9: no JSON")
            yield Sample("mute", "rows", Chat.user("what ?"), references=("a kite",), meta={"rejected": None})
            long = {"rejected": "a drum " * 60}
            yield Sample("long", "rows", Chat.user("what ?"), references=("a kite",), meta=long)


def model(folder: Path) -> HF:
    """A tiny text model, made in `folder` unless it is there."""
    return HF(folder if folder.exists() else tiny("lm", folder), device="cpu")


def protector(folder: Path, **told: Any) -> MLLMProtector:
    """Not trained yet; it begins from the tiny model in `folder`."""
    few: dict[str, Any] = {
        "data": (Rows(),), "window": 80, "detector_rank": 2, "detoxifier_rank": 2, "alpha": 4.0, "rate": 1e-2,
        "epochs": 2, "batch": 4, "every": 1, "rewrite": "{question} {answer} no", "refusals": ("no .",),
    }  # fmt: skip
    return MLLMProtector(model(folder), **{**few, **told})
