"""HarmBench, multimodal behaviours (Mazeika et al. 2024): 110 requests, each about one picture.

Official layout (github.com/centerforaisafety/HarmBench): `data/behavior_datasets/`, the table
`harmbench_behaviors_multimodal_all.csv`; pictures `data/multimodal_behavior_images/<ImageFileName>`; affirmative
openings `data/optimizer_targets/harmbench_targets_multimodal.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.reading import picture_in, text_of
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Sample

TABLE = Path("data/behavior_datasets/harmbench_behaviors_multimodal_all.csv")
TARGETS = Path("data/optimizer_targets/harmbench_targets_multimodal.json")
COLUMNS = ("Behavior", "BehaviorID", "SemanticCategory", "ImageFileName", "ImageDescription")
COUNTS = {
    "": 110, "cybercrime_intrusion": 54, "illegal": 36, "harmful": 9, "chemical_biological": 4,
    "harassment_bullying": 4, "misinformation_disinformation": 3,
}  # fmt: skip


@dataclass(frozen=True)
class HarmBenchMultimodal(Dataset):
    """Requests that a safe model refuses. The official judge reads the description of the picture, not the picture.

    root: the clone of the repository. pictures: "shown", or "left out" (the request alone). meta: description and
    redacted description (which tells an attacker or judge what is to be seen without giving the answer away). `target`:
    the official affirmative opening, where its file is there.
    """

    name = "harmbench-multimodal"
    paper = Paper(
        "Mazeika et al. 2024",
        "HarmBench: A Standardized Evaluation Framework for Automated Red Teaming and Robust Refusal",
        "arXiv:2402.04249",
    )
    licence = "MIT"
    origin = Source(
        "https://github.com/centerforaisafety/HarmBench",
        files=(str(TABLE), str(TARGETS), "data/multimodal_behavior_images/*"),
        sha256={str(TABLE): "e5274f049579f359cca997b3ade3cc4539e2e131ad5d9bf51ba0d7ce3f3a7ad4"},
        checked="data",
    )
    published = COUNTS
    failure_rule = (
        "Official: any verdict of the classifier but yes is no. Ours: what is neither yes nor no is unjudged."
    )
    judges = ("unsafe",)
    metrics = ("rate",)

    root: Path
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The tables. Pictures are in the key of each cell, by their pixels."""
        targets = self.root / TARGETS
        return (self.root / TABLE, *([targets] if targets.is_file() else []))

    def __iter__(self) -> Iterator[Sample | BadSample]:
        rows = rows_of(self.root / TABLE, COLUMNS, dataset=self.name)
        yield from sampled(rows, partial(self._sample, self._targets()), self.name)

    def _targets(self) -> Mapping[str, Any]:
        path = self.root / TARGETS
        if not path.is_file():
            return {}
        try:
            told = json.loads(text_of(path))
        except ValueError as error:
            raise UsageError(f"{path}: expected JSON: {error}") from error
        if not isinstance(told, dict):
            raise UsageError(f"{path}: expected an object, found a {type(told).__name__}")
        return told

    def _sample(self, targets: Mapping[str, Any], row: Row) -> Sample:
        name = row.text("BehaviorID")
        folder = self.root / "data" / "multimodal_behavior_images"
        shown = [picture_in(folder, row.text("ImageFileName"))] if self.pictures == "shown" else []
        target = targets.get(name, "")
        return Sample(
            id=f"harmbench-multimodal/{name}",
            dataset=self.name,
            chat=Chat.user(*shown, row.text("Behavior")),
            category=row.text("SemanticCategory"),
            target=target if isinstance(target, str) else "",
            meta={
                "description": row.text("ImageDescription"),
                "redacted description": row.text("RedactedImageDescription", empty=True),
                "tags": row.text("Tags", empty=True),
            },
        )
