"""What the fields of a plug mean, from its docstring: `epsilon: radius of the ball. steps: updates.`"""

from __future__ import annotations

import dataclasses
import inspect
import re


def meanings(plug: type) -> dict[str, str]:
    """Field -> what it means, for the fields of the constructor; a field that no docstring explains is absent.

    A docstring explains fields in sentences that begin with their name, or several names with a comma between, and a
    colon; that goes on until the next such sentence, one that says what is raised, or the end of the paragraph.
    Inherited fields are explained where they stand.
    """
    names = _fields(plug)
    found: dict[str, str] = {}
    for base in plug.__mro__:
        for fields, told in _sentences(_own_doc(base), names):
            for name in fields:
                found.setdefault(name, told)
    return found


def description(plug: type) -> str:
    """The docstring without what it says about fields."""
    text, names = _own_doc(plug) or inspect.getdoc(plug) or "", _fields(plug)
    kept = []
    for paragraph in text.split("\n\n"):
        labels = list(_labels(names).finditer(paragraph)) if names else []
        before = paragraph[: labels[0].start()].rstrip() if labels else paragraph
        if before:
            kept.append(before)
    return "\n\n".join(kept)


def _fields(plug: type) -> list[str]:
    return [f.name for f in dataclasses.fields(plug) if f.init] if dataclasses.is_dataclass(plug) else []


def _own_doc(plug: type) -> str:
    return inspect.cleandoc(vars(plug).get("__doc__") or "")


def _labels(names: list[str]) -> re.Pattern[str]:
    """The beginning of a sentence about fields, at the start of a paragraph or line of a list, or behind a sentence."""
    one = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.compile(rf"(?:\A|(?<=[.;)])\s+|\n- )((?:{one})(?:,\s+(?:{one}))*):\s")


def _sentences(text: str, names: list[str]) -> list[tuple[list[str], str]]:
    if not names:
        return []
    found = []
    for paragraph in text.split("\n\n"):
        labels = list(_labels(names).finditer(paragraph))
        for k, label in enumerate(labels):
            end = labels[k + 1].start() if k + 1 < len(labels) else len(paragraph)
            told = re.split(r"(?<=\.) (?=Raises )", " ".join(paragraph[label.end() : end].split()))[0]
            found.append((re.split(r",\s+", label[1]), told.rstrip(";")))
    return found
