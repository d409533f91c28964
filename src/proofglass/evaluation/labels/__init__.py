"""Replies that people have labelled: what a judge is measured against.

One small reader per set (`msts`, `xstest`, `pyrit`, `own`), and one set of our own wordings that travels with the
package (`hard_kinds`). All give a `LabelSet` of `LabelledReply`, so that whatever measures or corrects a judge knows no
file format; `sets.read` finds a set by its name or file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LabelledReply:
    """One reply with what people said about it."""

    id: str  # unique in its set
    source: str  # label set, e.g. "msts", "xstest-gpt4"
    model: str  # who replied
    cluster: str  # the question: replies to one question share it
    category: str  # hazard category or prompt type, "" if none
    prompt: str  # the question's text, "" if not there
    reply: str
    kind: str  # reply type as people gave it ("1.1 - rejection or rebuttal"), "" if none
    truth: Mapping[str, float]  # aspect ("refusal", "unsafe") -> 1.0 yes, 0.0 no; an aspect without label is absent
    raters: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # aspect -> each rater's own label


@dataclass(frozen=True)
class LabelSet:
    """A label set as it was read. bad: one reason, with its line, for each row that cannot be used."""

    name: str
    replies: tuple[LabelledReply, ...]
    bad: tuple[str, ...] = ()
