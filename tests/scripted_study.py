"""A study of the scripted plugs with every kind of cell, and what can be read off its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proofglass.records.schema import VOLATILE
from proofglass.records.store import Store
from proofglass.studies import run_study
from proofglass.studies.study import Study

TESTS = Path(__file__).parent

WHOLE = """\
name: whole
seed: 7
chunk: 4
victims: [echo: {log: LOG}]
attacks: [no-attack, speck, own-speck]
defenses: [none, ask-twice]
datasets:
  - lines: {n: 10}
  - lines: {part: second, n: 5}
    attacks: [no-attack]
judges: [long]
"""

# The same with one data set of three samples in two chunks: 3 attacks x 2 defenses x 3 = 18 records.
SMALL = """\
name: small
seed: 7
chunk: 2
victims: [echo: {log: LOG}]
attacks: [no-attack, speck, own-speck]
defenses: [none, ask-twice]
datasets: [lines: {n: 3}]
judges: [long]
"""


def run(study: Study, out: Path, **more: Any) -> Store:
    return run_study(study, out, progress=False, **more)


def asked(log: Path) -> list[str]:
    return [line.removeprefix("ask ") for line in log.read_text().splitlines() if line.startswith("ask ")]


def tables(store: Store) -> dict[str, Any]:
    """Everything that a report can see, without what may differ between two runs."""

    def steady(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: steady(v) for k, v in value.items() if k not in VOLATILE}
        return [steady(v) for v in value] if isinstance(value, list) else value

    return {
        "frame": store.frame().to_dicts(),
        "scores": store.scores().to_dicts(),
        "cells": steady(store.cells()),
        "manifest": steady(store.manifest()),
    }
