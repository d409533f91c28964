"""LLaVA under its own name. `hf_folder.HF` is the same for every family."""

from __future__ import annotations

from dataclasses import dataclass

from proofglass.interfaces import Paper
from proofglass.victims.hf_folder import HF


@dataclass(frozen=True)
class Llava(HF):
    """LLaVA from a folder or the hub, such as a user's own fine-tune; fields as those of `hf`."""

    name = "llava"
    paper = Paper("Liu et al. 2023", "Visual Instruction Tuning", "arXiv:2304.08485")
