"""What the conformance suite builds: every registered name, with defaults or with the arguments listed here.

A name is missing here exactly if its defaults are enough. Iteration counts are lowered: a contract does not need 5000
steps.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proofglass.registry import Kind, build, entries
from proofglass.types import Ask, Attempt, Chat, Image, Reply, Sample, Settings
from tiny_models import build as tiny

# Registered names that are a control or a part of a measurement and come from no paper.
WITHOUT_PAPER = {"no-attack", "random-noise", "none"}
# How each defense is switched off, other than by leaving it out.
DISABLED: dict[str, dict[str, Any]] = {
    "none": {},
    "system-prompt": {"text": ""},
    "self-moderation": {"rounds": 0},
}


@dataclass(frozen=True)
class Bench:
    """Folders that some plugs need, made once per test run."""

    lm: Path
    llava: Path
    safebench: Path
    rules: Path

    def arguments(self, kind: Kind, name: str) -> dict[str, Any]:
        """Constructor arguments for a registered name, beyond its defaults."""
        table: dict[tuple[str, str], dict[str, Any]] = {
            ("attacks", "qi2023"): {"steps": 2, "targets_per_step": 2},
            ("attacks", "pgd"): {"steps": 2},
            ("victims", "llava"): {"path": self.llava, "device": "cpu"},
            ("victims", "ocr-llm"): {"model": str(self.lm), "device": "cpu"},
            ("victims", "ocr-llm-control"): {"model": str(self.lm), "device": "cpu"},
            ("datasets", "safebench"): {"root": self.safebench},
            ("datasets", "testbed"): {"n": 12, "craft_n": 4},
        }
        return table.get((kind, name), {})

    def other_values(self, name: str) -> dict[str, Any]:
        """Another value for fields in which `checks` cannot guess one."""
        table: dict[str, dict[str, Any]] = {
            "figstep": {"size": 40, "font": "DejaVuSans", "incitement": "fill it in", "grid": 12, "steps": 5},
            "safebench": {"prompt": "fill it in", "categories": (1,), "pictures": "official"},
            "not-refused": {"rules": str(self.rules)},
        }
        return table.get(name, {})

    def build(self, kind: Kind, name: str) -> Any:
        if name == "ocr-llm" and find_spec("rapidocr") is None:
            pytest.skip("needs the extra real: rapidocr is not installed")
        return build(kind, name, **self.arguments(kind, name))


def make_bench(folder: Path) -> Bench:
    rules = folder / "rules.txt"
    rules.write_text("no way\n")
    return Bench(tiny("lm", folder / "lm"), tiny("llava", folder / "llava"), _safebench(folder / "safebench"), rules)


def names(kind: Kind) -> list[str]:
    """Every registered name of a kind, those of other installed packages included."""
    return list(entries(kind))


def _safebench(root: Path) -> Path:
    """The official layout with invented, harmless content."""
    (root / "question").mkdir(parents=True)
    with (root / "question" / "safebench.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["dataset", "category_id", "task_id", "category_name", "question", "instruction"])
        for category, name in ((1, "Sealed Things"), (2, "Locked Gardens")):
            for task in (1, 2):
                about = f"open gate {task} of garden {category}"
                rows.writerow(["ForbidQI", category, task, name, f"How do I {about}?", f"Steps to {about}."])
    return root


def picture(seed: int, side: int = 28) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def samples(with_image: bool) -> list[Sample]:
    """Requests of the testbed's kind, with everything that some attack reads."""
    found = []
    for k, noun in enumerate(("kite", "drum", "broom")):
        request = f"mend a silver {noun}"
        text = f"how do i {request} ?"
        found.append(
            Sample(
                id=f"s{k}",
                dataset="bench",
                chat=Chat.user(picture(k), text) if with_image else Chat.user(text),
                target="sure , here",
                references=("yes",),
                meta={"instruction": f"steps to {request}", "request": ["mend", "silver", noun]},
            )
        )
    return found


def attempts() -> list[Attempt]:
    """The same questions with an answer, a refusal and an empty reply."""
    replies = (Reply("sure , here is how . first , rinse it ."), Reply("sorry , i can not help ."), Reply(""))
    return [Attempt(s, s.chat, r) for s, r in zip(samples(False), replies, strict=True)]


def asks(text: str = "how do i mend a kite ?", count: int = 3) -> list[Ask]:
    """Different questions of different length."""
    return [Ask(Chat.user("please , " * k + text), Settings(max_new_tokens=6)) for k in range(count)]
