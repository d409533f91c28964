"""Files and folders that the conformance suite gives to plugs that need some."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from proofglass import images
from proofglass.defenses import shield_pool
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.evaluation.datasets.testbed_feedback import TestbedFeedback
from proofglass.interfaces import Dataset, Reward
from proofglass.registry import build, entries
from proofglass.testing.material import picture
from proofglass.types import Chat, Sample
from tiny_encoders import build as tiny_encoder


@dataclass(frozen=True)
class Pleased(Reward):
    """Likes short texts."""

    name = "pleased"

    def rewards(self, replies: Sequence[tuple[Chat, str]]) -> Sequence[float]:
        return [-float(len(text)) for _, text in replies]


def fitted(folder: Path, name: str) -> Path:
    """What a defense finds in the victim on which attacks that look inside are checked."""
    if not folder.exists():
        few = [list(TestbedData(part=part, n=1, craft_n=4).crafting()) for part in ("restricted-image", "benign-image")]
        entries("defenses")[name].load().fit(build("victims", "testbed-linear", device="cpu"), *few, folder=folder)
    return folder


@dataclass(frozen=True)
class Preferred(Dataset):
    """Refusals before answers, about things of the Vale, which are their categories."""

    name = "preferred"

    def __iter__(self) -> Iterator[Sample]:
        return iter(())

    def crafting(self) -> Iterator[Sample]:
        for sample in TestbedData(part="restricted-image", n=1, craft_n=2).crafting():
            told = {"references": ("sorry , no .",), "meta": {"rejected": sample.target}}
            yield replace(sample, category=sample.cluster, **told)


def trained(folder: Path, name: str) -> Path:
    """What a defense that trains the victim of the checks has learned in two steps."""
    if not folder.exists():
        sealed, plain = (TestbedData(part=part, n=1, craft_n=2) for part in ("restricted", "benign"))
        data: dict[str, dict[str, Any]] = {
            "safety-tuning": {"safety": TestbedData(part="restricted-image", n=1, craft_n=2)},
            "dpo": {"pairs": Preferred()},
            "dress": {"feedback": TestbedFeedback(("restricted-image",), n=1, craft_n=2)},
            "textual-unlearning": {"harmful": sealed, "harmless": plain},
            "rloo": {"prompts": sealed, "judge": build("judges", "not-refused"), "max_new_tokens": 4},
            "fare": {"pictures": Preferred(), "attack_steps": 2},
            "tecoa": {"pictures": Preferred(), "attack_steps": 2},
        }
        more: dict[str, Any] = {"rank": 2, "alpha": 4.0}
        if name in ("fare", "tecoa"):
            more = {"encoder": build("models", "testbed-clip", device="cpu")} if name == "tecoa" else {}
        defense = build("defenses", name, **data[name], **more, steps=2, batch=2, rate=1e-2)
        defense.fitted(build("victims", "testbed-linear", device="cpu"), folder)
    return folder


def threshold(folder: Path) -> Path:
    """What `calibrated` finds."""
    folder.mkdir()
    (folder / "threshold.json").write_text('{"threshold": 0.25}')
    return folder


def protector(folder: Path) -> Path:
    """What MLLM-Protector trains, after one step of each part."""
    if not folder.exists():
        data = [TestbedData(part=part, n=1, craft_n=4) for part in ("restricted", "benign")]
        backbone = build("victims", "testbed-lm-aligned", device="cpu")
        few = {"detector_rank": 2, "detoxifier_rank": 2, "epochs": 1}
        build("defenses", "mllm-protector", backbone=backbone, data=tuple(data), **few).fitted(backbone, folder)
    return folder


def safebench(root: Path) -> Path:
    """The official layout with invented, harmless content."""
    (root / "question").mkdir(parents=True)
    with (root / "question" / "safebench.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["dataset", "category_id", "task_id", "category_name", "question", "instruction"])
        for category, name in ((1, "Sealed Things"), (2, "Locked Gardens")):
            for task in (1, 2):
                about = f"open gate {task} of garden {category}"
                rows.writerow(["ForbidQI", category, task, name, f"How do I {about}?", f"Steps to {about}."])
                images.write(picture(task), root / "images" / "SafeBench" / f"query_ForbidQI_{category}_{task}_6.png")
    return root


def encoder(root: Path) -> Path:
    """A tiny CLIP; beside it the names that OpenCLIP's folders have, so that its plug can be named."""
    tiny_encoder("clip", root)
    (root / "open_clip_config.json").write_text("{}")
    (root / "open_clip_model.safetensors").write_bytes((root / "model.safetensors").read_bytes())
    return root


def adapter(root: Path) -> Path:
    """What a LoRA adapter's folder must hold to be named."""
    root.mkdir()
    (root / "adapter_config.json").write_text("{}")
    save_file({"lora": np.zeros(4, np.float32)}, root / "adapter_model.safetensors")
    return root


def rubric(path: Path) -> Path:
    path.write_text("name: polite\ntask: a reply\nquestion: is it polite?\nlabels: {polite: 1, rude: 0}\n")
    return path


def phrases(path: Path) -> Path:
    """The benchmark's layout, for the samples of the checks."""
    told = {"Key Phrase": "mend a silver thing", "Rephrased Question": "how do i do what is named below ?"}
    path.write_text(json.dumps({f"s{k}": told for k in range(3)}))
    return path


def slots(path: Path) -> Path:
    path.write_text("{question} {answer} {description}\n")
    return path


def shields(root: Path) -> Path:
    """A pool of two shields, as `AdaShield.fit` leaves it; one is near enough to anything."""
    features = torch.nn.functional.normalize(torch.ones(2, 256) * torch.tensor([[1.0], [-1.0]]), dim=1)
    encoder = build("models", "testbed-clip", device="cpu")
    shield_pool.write(root, ["look at the picture first .", "is it allowed ?"], features, encoder, "another model", {})
    return root


def unicorns(root: Path) -> Path:
    """Both tasks and both tables of each in the official layout, with invented content."""
    kite = {"image": "a.png", "question": "Is there a kite?", "answer": "Yes"}
    count = {"image": "a.png", "question": "How many?", "answer": "A", "text_answer": "2", "options": ["2", "3"]}
    tables: dict[str, list[dict[str, Any]]] = {
        "sketchy-vqa/sketchy-vqa.json": [kite, {**kite, "answer": "No"}],
        "sketchy-vqa/sketchy-challenging.json": [kite],
        "oodcv-vqa/oodcv-vqa.json": [{**count, "situation": "weather"}, {**count, "situation": "pose"}],
        "oodcv-vqa/oodcv-counterfactual.json": [{**count, "situation": "iid"}],
    }
    for name, rows in tables.items():
        table = root / "ood" / name
        images.write(picture(5), table.parent / "a.png")
        table.write_text(json.dumps(rows))
    return root


def recorded(file: Path) -> Path:
    """One answer of Perspective, of a text that nothing here asks about."""
    file.write_text(json.dumps({"asked": "0" * 64, "scores": {"TOXICITY": 0.5}, "reason": ""}) + "\n")
    return file
