"""The table of docs/data-sets.md: of every benchmark how many samples its authors publish, how many are loaded, and
why they differ.

    python scripts/data_set_table.py [DATA]

DATA (or PROOFGLASS_REALDATA): a folder with one folder per benchmark in its official layout. A benchmark that is not
there is told as format-checked: its loader was tried on a made-up file of the official layout only.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from proofglass.console import say
from proofglass.errors import ProofglassError
from proofglass.registry import build, entries
from proofglass.types import BadSample

# Benchmark -> folder in DATA, fields, and why its count may differ from the published one.
LOADED: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    "safebench": [
        (
            "figstep",
            {"questions": "safebench.without-category-6.csv"},
            "the file at hand leaves out category 6, Adult Content",
        )
    ],
    "xstest": [("xstest", {}, "")],
    "safetybench": [("safetybench", {"language": "zh_subset"}, "zh_subset: 300 questions a category")],
    "mossbench": [
        ("mossbench", {"pictures": "left out"}, ""),
        ("mossbench", {"pictures": "left out", "part": "contrast"}, "the harmful twins: 244"),
    ],
    "harmbench-multimodal": [("harmbench_multimodal", {"pictures": "left out"}, "")],
    "privqa": [
        ("privqa", {"pictures": "left out"}, ""),
        (
            "privqa",
            {"modality": "textual"},
            "textual: 4,678, of which the files at hand leave out 216 about people under 18",
        ),
    ],
}


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PROOFGLASS_REALDATA", ""))
    say("| data set | licence | checked | published | loaded | bad rows | per category | why different |")
    say("|---|---|---|---|---|---|---|---|")
    for name, entry in entries("datasets").items():
        cls: Any = entry.load()
        if cls.origin is None:
            continue
        published = f"{cls.published.get('', sum(cls.published.values())):,}" if cls.published else "-"
        found = [
            (fields, why, data / folder)
            for folder, fields, why in LOADED.get(name, [])
            if data.parts and (data / folder).is_dir()
        ]
        for fields, why, root in found:
            loaded = _loaded(name, root, fields, cls.published)
            say(f"| {name} | {cls.licence} | data | {published} | {loaded} | {why} |")
        if not found:
            say(f"| {name} | {cls.licence} | {cls.origin.checked} | {published} | - | - | - | files not at hand |")


def _loaded(name: str, root: Path, fields: dict[str, Any], published: dict[str, int]) -> str:
    """Samples, bad rows, and whether each category has as many as published."""
    try:
        rows = list(build("datasets", name, root=root, **fields))
    except ProofglassError as error:
        return f"{error} | - | -"
    bad = sum(isinstance(row, BadSample) for row in rows)
    counts = Counter(row.category for row in rows if not isinstance(row, BadSample))
    wanted = {category: n for category, n in published.items() if category}
    equal = sum(counts[category] == n for category, n in wanted.items())
    return f"{len(rows) - bad:,} | {bad} | " + (f"{equal} of {len(wanted)} as published" if wanted else "-")


if __name__ == "__main__":
    main()
