"""Wordings of attacks: a default of our own, or the authors' from a file, with slots that a sample fills.

A slot is `{name}`, lower-case letters, digits and underscores; other braces stand as they are, so that a template may
hold code or JSON. What a slot is filled with is not read for slots again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from proofglass.errors import UsageError
from proofglass.interfaces.wording import read as read_file
from proofglass.types import Sample

_SLOT = re.compile(r"\{([a-z][a-z0-9_]*)\}")
QUESTION = "question"


def slots_of(template: str) -> tuple[str, ...]:
    """Names of the slots, each once, in order."""
    return tuple(dict.fromkeys(_SLOT.findall(template)))


def read(path: Path, field: str, needs: Sequence[str] = ()) -> str:
    """The wording in a file. Raises UsageError as `interfaces.wording.read` does, and for one that lacks a slot of
    `needs`. field: "attack.field", for errors."""
    text = read_file(path, field)
    for name in needs:
        if name not in slots_of(text):
            found = ", ".join(f"{{{slot}}}" for slot in slots_of(text)) or "no slot"
            raise UsageError(f"{field}: {path}: expected the slot {{{name}}} in it, found {found}")
    return text


def wording(own: str, path: Path | None, field: str, needs: Sequence[str] = ()) -> str:
    """The wording of `path`, else `own`."""
    return own if path is None else read(path, field, needs)


def check_slots(template: str, field: str, needs: Sequence[str] = ()) -> None:
    """Raises ValueError for a template that lacks one of the slots that it `needs`."""
    for name in needs:
        if name not in slots_of(template):
            raise ValueError(f"{field}: expected the slot {{{name}}} in it, found {template!r:.80}")


def filled(template: str, values: Mapping[str, str], sample: Sample) -> str:
    """`template` with each slot filled from `values`, else from a text or number of `sample.meta`. Raises ValueError
    for a slot that has neither."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        value = values.get(name, sample.meta.get(name))
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            found = "nothing" if value is None else f"a {type(value).__name__}"
            raise ValueError(f"sample {sample.id}: the template's slot {{{name}}}: found {found} in sample.meta")
        return str(value)

    return _SLOT.sub(fill, template)


def goal_of(sample: Sample, attack: str) -> str:
    """What the sample asks in its last user turn. Raises ValueError where that holds no text."""
    text = sample.chat.last_text
    if not text.strip():
        raise ValueError(f"sample {sample.id}: {attack} rewrites the text of the last user turn and found none")
    return text
