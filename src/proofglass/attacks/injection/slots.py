"""Texts with slots: "say only: {target}", filled from a sample. A text's own braces stay as they are."""

from __future__ import annotations

import re

from proofglass.types import Sample

_SLOT = re.compile(r"\{([A-Za-z][\w -]*)\}")


def filled(template: str, sample: Sample) -> str:
    """`template` with {target}, {question} and the texts of the sample's `meta`, by their names, filled in.

    What is filled in is not looked at again: a question with braces in it stays a question. Raises ValueError for a
    slot that the sample has nothing for, and for a text that ends up empty.
    """
    told = {name: value for name, value in sample.meta.items() if isinstance(value, str)}
    told |= {"target": sample.target, "question": sample.question}
    if lacking := [name for name in slots_of(template) if not told.get(name, "").strip()]:
        having = ", ".join(sorted(name for name, value in told.items() if value.strip())) or "nothing"
        raise ValueError(
            f"sample {sample.id}: the text has a slot {{{lacking[0]}}} and the sample nothing for it; it has {having}"
        )
    found = _SLOT.sub(lambda slot: told[slot[1]], template)
    if not found.strip():
        raise ValueError(f"sample {sample.id}: the text is empty")
    return found


def slots_of(template: str) -> list[str]:
    """Names of the slots of a template, each once."""
    return list(dict.fromkeys(_SLOT.findall(template)))
