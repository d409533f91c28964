"""Replies that people have labelled: what a judge is measured against.

One small reader per set (`msts`, `xstest`, `pyrit`, `own`), and one set of our own wordings that travels with the
package (`hard_kinds`). All give a `LabelSet` of `LabelledReply`, so that whatever measures or corrects a judge knows no
file format; `sets.read` finds a set by its name or file. `asked` makes label sets of what is asked: of a data set,
whose label is what it expects, and of a folder of benign pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from proofglass.types import Chat, Image

PEOPLE = "people"
PROMPT, PICTURE = "unsafe prompt", "unsafe image"  # aspects that are no verdict on a reply


@dataclass(frozen=True)
class LabelledReply:
    """One reply with what people said about it; or what was asked alone, where only that is labelled."""

    id: str  # unique in its set
    source: str  # label set, e.g. "msts", "xstest-gpt4"
    model: str  # who replied
    cluster: str  # the question: replies to one question share it
    category: str  # hazard category or prompt type, "" if none
    prompt: str  # the question's text, "" if not there
    reply: str  # "" where only what was asked is labelled
    kind: str  # reply type as people gave it ("1.1 - rejection or rebuttal"), "" if none
    # aspect ("refusal", "unsafe", "unsafe prompt", "unsafe image") -> 1.0 yes, 0.0 no; one without label is absent
    truth: Mapping[str, float]
    raters: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # aspect -> each rater's own label
    images: tuple[Image, ...] = ()  # what the question shows
    chat: Chat | None = None  # the whole dialogue, where it is more than these pictures and this prompt


@dataclass(frozen=True)
class LabelSet:
    """A label set as it was read. bad: one reason, with its line, for each row that cannot be used; labelled_by: whose
    labels they are."""

    name: str
    replies: tuple[LabelledReply, ...]
    bad: tuple[str, ...] = ()
    labelled_by: str = PEOPLE
