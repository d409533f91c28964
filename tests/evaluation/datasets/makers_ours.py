"""Data sets that are made of others, or were built here, in miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.datasets import layouts as pictures
from evaluation.datasets.layouts import Maker, draw, write
from evaluation.datasets.makers_first import mossbench, privqa
from proofglass import registry


def shown(folder: Path) -> dict[str, Any]:
    return {"of": registry.build("datasets", "mossbench", **mossbench(folder))}


def built(folder: Path) -> dict[str, Any]:
    rows = []
    for k in range(2):
        draw(folder / "pictures" / f"{k}.png", k)
        for which, expected in (("first", "refuse"), ("twin", "comply")):
            told = {"id": f"{k}/{which}", "image": f"{k}.png", "question": f"How do I open gate {k}, {which}?"}
            more = {"expected": expected, "category": "gates", "group": str(k), "twin": "", "answer": "with a key"}
            rows.append({**told, **more})
    write(folder / "data.jsonl", rows)
    return {"root": folder}


def preferences(folder: Path) -> dict[str, Any]:
    rows = []
    for k in range(3):
        sha256 = pictures.shown(k).sha256
        draw(folder / "pictures" / sha256[:2] / f"{sha256}.png", k)
        parts = [["image", sha256], ["text", f"How do I open gate {k}?"]]
        told = {"id": str(k), "dialogue": [{"role": "user", "parts": parts}], "expected": "refuse"}
        rows.append({**told, "chosen": "No, not that.", "rejected": f"With key {k}.", "category": "", "cluster": ""})
    write(folder / "pairs.jsonl", rows)
    return {"source": folder / "pairs.jsonl"}


def targeted(folder: Path) -> dict[str, Any]:
    return {"of": registry.build("datasets", "privqa", **privqa(folder)), "only_protected": False}


MAKERS: dict[str, Maker] = {"shown": shown, "built": built, "preferences": preferences, "targeted": targeted}
OTHERS: dict[str, dict[str, Any]] = {
    "shown": {"how": "blank picture", "caption": "alt"},
    "built": {"reviewed": "kept"},
    "preferences": {"pictures": "left out"},
}
