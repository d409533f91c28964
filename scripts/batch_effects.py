"""What the size of a batch changes: greedy replies, or attacked pictures, of the tiny models of every family, alone and
in batches.

Each model is asked 16 chats (four pictures, four prompts of unequal lengths) one by one, then in batches of 3 and 16; a
model counts if any chat is answered by other tokens. With --pictures, PGD takes ten steps on six pictures of one size,
one by one and then in batches of 3 and 6; a model counts if any picture is saved with other bytes. docs/families.md
states what this prints.

    OMP_NUM_THREADS=1 python scripts/batch_effects.py [--pictures] [--only NAME]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from proofglass.console import note, say

ROOT = Path(__file__).parent.parent
BATCHES = (3, 16)
TOKENS = 16
CRAFTED, STEPS = (3, 6), 10


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", help="families whose name holds this")
    options.add_argument("--pictures", action="store_true", help="attacked pictures instead of replies")
    told = options.parse_args()
    only, measure, what = (told.only or "").lower(), _changed, "replies"
    if told.pictures:
        measure, what = _crafted, "pictures"
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "victims")]
    cases = [case for case in importlib.import_module("families.test_conformance").CASES if only in case.name.lower()]
    changed: dict[str, dict[str, tuple[int, int]]] = {"float32": {}, "bfloat16": {}}
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            torch.manual_seed(0)
            try:
                case.build(path)
            except pytest.skip.Exception as reason:
                note(f"{case.name}: not run: {reason}")
                continue
            for dtype, models in changed.items():
                models[case.name] = measure(path, case, dtype)
    for dtype, models in changed.items():
        chats, of = (sum(each[k] for each in models.values()) for k in (0, 1))
        named = ", ".join(name for name, (n, _) in models.items() if n)
        say(f"{dtype}: {sum(n > 0 for n, _ in models.values())} of {len(models)} models, {chats} of {of} {what}")
        say(f"  {named or 'none'}")


def _changed(path: Path, case: Any, dtype: str) -> tuple[int, int]:
    """Replies that differ from those of one by one, and how many there are."""
    from proofglass.types import Ask, Chat, Settings
    from proofglass.victims.hf import checks
    from proofglass.victims.hf.model import HFModel

    model = HFModel(path, "cpu", dtype)
    pictures = checks.odd_pictures(4, seed=3, sides=case.odd_sides)
    words = ["what is it?", "name the colour of the roof, please", "why", "where does the path behind the house lead?"]
    chats = [Chat.user(picture, word) for picture in pictures for word in words]
    settings = Settings(max_new_tokens=TOKENS)
    alone = [model.tokens([Ask(chat, settings)])[0] for chat in chats]
    off = 0
    for batch in BATCHES:
        parts = [chats[at : at + batch] for at in range(0, len(chats), batch)]
        found = [reply for part in parts for reply in model.tokens([Ask(chat, settings) for chat in part])]
        off += sum(a != b for a, b in zip(alone, found, strict=True))
    return off, len(BATCHES) * len(chats)


def _crafted(path: Path, case: Any, dtype: str) -> tuple[int, int]:
    """Pictures that PGD makes otherwise than one by one, and how many there are."""
    import proofglass as pg
    from proofglass.types import Chat, Sample
    from proofglass.victims.hf import checks

    victim = pg.victim("hf", path=str(path), device="cpu", dtype=dtype)
    pictures = checks.odd_pictures(6, seed=3, sides=(56, 57))
    samples = [
        Sample(f"s{k}", "odd", Chat.user(picture, "what is it?"[: 4 + k]), target="a red kite"[: 3 + k])
        for k, picture in enumerate(pictures)
    ]

    def saved(batch: int) -> list[str]:
        found = pg.attack("pgd", steps=STEPS, batch=batch).craft(victim, samples, seed=0)
        return [artefact.images[0].sha256 for artefact in found]

    alone = saved(1)
    return sum(a != b for batch in CRAFTED for a, b in zip(alone, saved(batch), strict=True)), len(CRAFTED) * len(alone)


if __name__ == "__main__":
    main()
