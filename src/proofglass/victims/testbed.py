"""The embedded victims: small multimodal models in a fictional world, run by the same code as any other."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from proofglass.errors import UsageError
from proofglass.interfaces import Count, key_of
from proofglass.interfaces.devices import Device
from proofglass.testbed import world
from proofglass.types import Layout
from proofglass.victims.hf.victim import HFVictim
from proofglass.weights import ADAPTER, check_folder, texts_of


@dataclass(frozen=True)
class TestbedVictim(HFVictim):
    """An embedded model of the fictional world; its name says how it sees, or that it is text only, and its training.

    Its behaviour comes from its training data only; the card lists it.

    variant: e.g. "testbed-linear", "testbed-cross-naive", "testbed-lm-aligned". device: "auto", "cpu", "cuda". adapter:
    folder of a LoRA adapter (PEFT) that was trained on it. weights: folder with all its weights, trained further; None:
    those that are shipped.
    """

    variant: str = "testbed-linear"
    device: Device = "auto"
    batch: Count = 128
    micro: Count = 8
    images_per_pass: Count = 32
    adapter: Path | None = None
    weights: Path | None = None

    version = 2  # drawn replies (temperature above 0) have a random stream of their own

    settled = ("variant",)
    world = world.NAME

    __test__ = False  # pytest: this is a victim, not a test class

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.variant

    @property
    def folder(self) -> Path:
        if self.weights is not None:
            return self.weights
        folder = Path(__file__).parent.parent / "testbed" / "weights" / self.variant
        if not folder.is_dir():
            raise UsageError(
                f"{self.variant}: no weights at {folder}; `proofglass testbed train {self.variant}` makes them"
            )
        return folder

    @cached_property
    def key(self) -> str:
        """Holds the weights and every text beside them that decides: tokenizer, template, the layout on the card."""
        told = [type(self).__name__, self.variant, self.version, self.weights_hash, texts_of(self.folder), self.device]
        if self.adapter is not None:
            check_folder(self.adapter, "adapter_config.json", ADAPTER)
            told.append(texts_of(self.adapter))
        return key_of(told)

    def _with(self, folder: Path) -> TestbedVictim:
        is_adapter = (folder / ADAPTER).is_file()
        return replace(self, adapter=folder) if is_adapter else replace(self, weights=folder)

    def card(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "card.json").read_text())
        return found

    @cached_property
    def layout(self) -> Layout | None:  # type: ignore[override]
        stated = self.card().get("layout")
        return Layout(**stated) if stated else None

    @cached_property
    def image_size(self) -> tuple[int, int] | None:  # type: ignore[override]
        return (96, 96) if self.sees_images else None

    @property
    def sees_images(self) -> bool:  # type: ignore[override]
        return not self.variant.startswith("testbed-lm")
