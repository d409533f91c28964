"""The heat map of what some data sets cover: one table, a cell the darker the more samples it has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proofglass.evaluation.taxonomy import Taxonomy

STEPS = 10  # shades, each of about three times as many samples as the one before


def heat_map(
    found: Mapping[str, Mapping[str, float]], names: Sequence[str], known: Taxonomy, missing: Sequence[str] = ()
) -> str:
    """A page without script. found: sub-dimension -> data set -> samples; names: the data sets, in order; missing: what
    is not counted, a line each."""
    from markupsafe import Markup

    from proofglass.report.page import TEMPLATES, environment, policy

    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    rows = [
        {
            "dimension": part.dimension,
            "part": part,
            "cells": [
                {"n": found[part.id].get(name, 0.0), "shade": shade(found[part.id].get(name, 0.0))} for name in names
            ],
        }
        for part in known.parts
    ]
    return (
        environment()
        .get_template("coverage.html.j2")
        .render(names=names, rows=rows, known=known, missing=missing, style=style, policy=policy(style))
    )


def shade(samples: float) -> int:
    """0 for none, then 1 to STEPS: 1 below 3.2 samples, 2 below 10, 3 below 32, 4 below 100, ..."""
    return min(STEPS, 1 + math.floor(2 * math.log10(samples))) if samples >= 1 else int(samples > 0)
