"""A folder of finished training stages: each is computed once, saved, and read back by whoever builds on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proofglass.testbed.recipes.loop import Log


class Build:
    """`stage(name, compute)` returns what `compute()` returned the first time, from `<root>/<name>.pt`."""

    def __init__(self, root: Path, log: Log) -> None:
        self.root, self.log = root, log
        root.mkdir(parents=True, exist_ok=True)

    def stage(self, name: str, compute: Callable[[], Any]) -> Any:
        import torch

        path = self.root / f"{name}.pt"
        if not path.exists():
            self.log(f"{name}: begins")
            result = compute()
            # Another process may train a sibling from the same folder: never show it half a file.
            partial = path.with_suffix(f".{os.getpid()}.partial")
            torch.save(result, partial)
            partial.replace(path)
            self.log(f"{name}: done")
        # Written by this class into a folder of the user's own; stages hold plain tensors, strings and numbers.
        return torch.load(path, weights_only=True)
