"""Name the pictures that every image attack crafts from fixed seeds, so that two versions of the code can be compared.

    python scripts/same_pictures.py --write before.json      in the old version
    python scripts/same_pictures.py --against before.json    in the new one: exit code 1 if a picture differs

Each attack takes a few steps on an embedded victim. The pictures are named by the sha256 of their pixels, and are the
same only on one machine and one torch: another one rounds otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from itertools import islice
from pathlib import Path
from typing import Any

from proofglass.console import say
from proofglass.registry import build
from proofglass.types import Sample

SEED = 7
# label -> attack, victim, part of the testbed's data set, parameters
CASES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "pgd": ("pgd", "testbed-linear", "restricted-image", {"steps": 6}),
    "pgd, cross": ("pgd", "testbed-cross", "restricted-image", {"steps": 4, "norm": "l2", "epsilon": 3.0}),
    "pgd, momentum, restarts": (
        "pgd", "testbed-queries", "restricted-image",
        {"steps": 4, "momentum": "sign", "decay": "cosine", "restarts": 2},
    ),
    "apgd": ("apgd", "testbed-linear", "restricted-image", {"steps": 6, "restarts": 2}),
    "qi2023": ("qi2023", "testbed-linear", "restricted-image", {"steps": 6, "context": "sample"}),
    "qi2023, unbounded": ("qi2023", "testbed-cross", "restricted-image", {"steps": 4, "epsilon": None}),
    "bailey2023": (
        "bailey2023", "testbed-linear", "restricted-image",
        {"behaviour": "jailbreak", "steps": 6, "step_size": 4.0, "select": "last"},
    ),
    "bailey2023, validated": (
        "bailey2023", "testbed-linear", "restricted-image",
        {"behaviour": "jailbreak", "steps": 9, "optimiser": "sign", "step_size": 0.004, "validate_every": 3,
         "validation": 2},
    ),
    "bailey2023, moving patch": (
        "bailey2023", "testbed-linear", "restricted-image",
        {"behaviour": "jailbreak", "constraint": "moving-patch", "side": 40, "steps": 4, "select": "last"},
    ),
    "bailey2023, patch": (
        "bailey2023", "testbed-linear", "restricted-image",
        {"behaviour": "string", "target": "yes sir", "constraint": "patch", "steps": 4, "optimiser": "adam",
         "select": "last"},
    ),
    "schlarmann2023": ("schlarmann2023", "testbed-linear", "vqa", {"steps": 6}),
    "schlarmann2023, targeted": (
        "schlarmann2023", "testbed-linear", "vqa", {"goal": "targeted", "target": "yes", "steps": 6},
    ),
    "shayegani2023": ("shayegani2023", "testbed-linear", "restricted", {"steps": 20, "encoder": "testbed-clip"}),
    "dong2023": (
        "dong2023", "testbed-linear", "vqa",
        {"surrogates": ["surrogate-cnn", "surrogate-vit"], "rounds": 3, "draws": 4},
    ),
    "tu2023": ("tu2023", "testbed-linear", "vqa", {"steps": 6}),
    "carlini2023": ("carlini2023", "testbed-linear", "vqa", {"target": "yes", "steps": 6}),
    "cropa": ("cropa", "testbed-linear", "vqa", {"steps": 12, "prompt_update": "interval", "prompt_interval": 3}),
    "square": ("square", "testbed-linear", "restricted-image", {"steps": 8}),
    "black-box-pgd": ("black-box-pgd", "testbed-linear", "restricted-image", {"steps": 2, "draws": 4}),
    "fu2023": ("fu2023", "testbed-linear", "vqa", {"steps": 4, "related_share": 1.0}),
    "bagdasaryan2023": ("bagdasaryan2023", "testbed-linear", "vqa", {"target": "yes sir", "epochs": 2}),
}  # fmt: skip


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", type=Path, help="file for the names of the pictures")
    arguments.add_argument("--against", type=Path, help="file of another version")
    arguments.add_argument("--only", nargs="*", help="labels, such as pgd")
    asked = arguments.parse_args()
    warnings.simplefilter("ignore")
    found = {}
    for label in asked.only or CASES:
        found[label] = crafted(*CASES[label])
        say(f"{label}: {' '.join(name[:12] for name in found[label])}")
    if asked.write:
        asked.write.write_text(json.dumps(found, indent=1))
    if asked.against:
        return compared(json.loads(asked.against.read_text()), found)
    return 0


def crafted(name: str, victim_name: str, part: str, parameters: dict[str, Any]) -> list[str]:
    """Sha256 of the pictures that the attack makes of three samples."""
    victim, attack = build("victims", victim_name), build("attacks", name, **parameters)
    data = build("datasets", "testbed", part=part, n=3, seed=1)
    universal = attack.scope == "universal"
    samples = list(islice(data.crafting(), 6)) if universal else [s for s in data if isinstance(s, Sample)]
    return [image.sha256 for artefact in attack.craft(victim, samples, seed=SEED) for image in artefact.images]


def compared(before: dict[str, list[str]], now: dict[str, list[str]]) -> int:
    differ = [label for label, pictures in now.items() if pictures != before.get(label)]
    say(f"{len(now) - len(differ)} of {len(now)} attacks craft the same pictures, byte for byte")
    for label in differ:
        same = sum(one == other for one, other in zip(before.get(label, ()), now[label], strict=False))
        say(f"{label}: {same} of {len(now[label])} pictures are the same")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
