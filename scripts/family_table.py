"""The table of model families in docs/families.md: our adapters against plain transformers, measured in one run.

Every family is a tiny random model, built from its configuration (no download), in the test suite's own folders. The
columns are those of `tests/victims/families/test_conformance.py`; here their figures are written down.

    OMP_NUM_THREADS=1 python scripts/family_table.py [--only NAME] [--check]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from proofglass.console import note, say

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "families.md"
BEGIN, END = "<!-- table: scripts/family_table.py -->", "<!-- end of table -->"
PICTURES = 100  # on which processors are compared


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", help="families whose name holds this; prints, writes nothing")
    options.add_argument("--check", action="store_true", help="print, write nothing")
    asked = options.parse_args()
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "victims")]
    suite = importlib.import_module("families.test_conformance")
    rows = []
    for case in suite.CASES:
        if asked.only and asked.only.lower() not in case.name.lower():
            continue
        began = time.perf_counter()
        try:
            rows.append(_row(suite, case))
        except pytest.skip.Exception as reason:
            rows.append([case.name, f"`{case.architecture}`", f"not run: {str(reason).partition(':')[0]}", *[""] * 7])
        note(f"{case.name}: {time.perf_counter() - began:.0f} s")
    text = _table(rows)
    say(text)
    if not (asked.only or asked.check):
        page = PAGE.read_text()
        head, rest = page.split(BEGIN, 1)
        PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.split(END, 1)[1]}")


def _row(suite: Any, case: Any) -> list[str]:
    from proofglass.victims.hf import checks
    from proofglass.victims.hf.model import HFModel

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        torch.manual_seed(0)
        case.build(path)
        model = HFModel(path, "cpu")
        image, other = (checks.odd_pictures(1, seed=s, sides=case.odd_sides)[0] for s in (3, 5))
        pairs = suite.chats(image)
        asked = [chat for chat, _ in pairs] + [chat.with_image(other) for chat, _ in pairs]
        loss, gradient = checks.loss_difference(model, pairs), checks.gradient_difference(model, pairs)
        taken = model.step.choice.said.partition(":")[0]
        slope = checks.slope_difference(HFModel(path, "cpu", "float64"), *pairs[0])
        off = checks.processor_difference(model, checks.odd_pictures(PICTURES, sides=case.odd_sides))
        return [
            case.name,
            f"`{case.architecture}`",
            f"`{type(model.processor).__name__}`",
            "equal" if checks.ids_agree(model, asked) else "differ",
            _figure(loss),
            _figure(gradient),
            _figure(slope),
            f"{255 * off:.2g}",
            f"{len(asked)} of {len(asked)}" if checks.replies_agree(model, asked) else "differ",
            taken,
        ]


def _figure(value: float) -> str:
    return f"{value:.0e}" if value else "0"


def _table(rows: list[list[str]]) -> str:
    heads = [
        "family", "architecture", "image processor", "token ids", "loss", "gradient", "slope",
        f"processor, levels of 255 ({PICTURES} sizes)", "replies equal", "gradient path",
    ]  # fmt: skip
    lines = [heads, ["---"] * len(heads), *rows]
    made = f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads, CPU"
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\nMade with {made}."


if __name__ == "__main__":
    main()
