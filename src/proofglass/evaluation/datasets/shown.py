"""Another data set with less, or something else, to see: does its picture matter at all?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from proofglass.images import typography
from proofglass.interfaces import Dataset, passed_on
from proofglass.types import BadSample, Chat, Image, Message, Sample

How = Literal["all", "text alone", "blank picture", "caption", "typography as text", "picture alone"]
WAYS: tuple[How, ...] = get_args(How)
GREY = 128


@dataclass(frozen=True)
class Shown(Dataset):
    """`of`, with each sample's id and question kept, so that its rows can be held against those of another way.

    of: the data set. how: "all" (nothing changes), "text alone" (pictures left out), "blank picture" (each picture in
    one grey, in its size), "caption" (each picture replaced by what its data set says it shows), "typography as text"
    (by the words that stand in it), "picture alone" (the question left out).
    caption: the name under which the data set describes its picture, in `meta`. words: the name under which it tells
    the words in it, in `meta`; "" for none: then those of pictures that an attack drew in this process are known.
    wording: how a description stands in the text, with {text}.

    A sample without a picture, or for which there is no caption or text to show, is a bad sample that says so.
    """

    name = "shown"
    version = 2  # a sample without a picture is a bad one
    licence = passed_on("of", "licence")
    judges = passed_on("of", "judges")
    metrics = passed_on("of", "metrics")
    borderline = passed_on("of", "borderline")

    of: Dataset
    how: How = "all"
    caption: str = "description"
    words: str = ""
    wording: str = "[The picture: {text}]"

    def __post_init__(self) -> None:
        if "{text}" not in self.wording:
            raise ValueError("wording: expected '{text}' in it, where the description goes; found none")

    def __iter__(self) -> Iterator[Sample | BadSample]:
        return (row if isinstance(row, BadSample) else self._shown(row) for row in self.of)

    def crafting(self) -> Iterator[Sample]:
        return (row for row in map(self._shown, self.of.crafting()) if isinstance(row, Sample))

    def _shown(self, sample: Sample) -> Sample | BadSample:
        if self.how == "all":
            return sample
        try:
            if not sample.chat.images:  # it would be the whole again, and every victim would do the same on it
                raise ValueError("the sample has no picture")
            chat = Chat(tuple(self._turn(sample, message) for message in sample.chat.messages))
        except ValueError as error:
            return BadSample(sample.id, sample.dataset, f"{self.how}: {error}", sample.category)
        return dataclasses.replace(sample, chat=chat)

    def _turn(self, sample: Sample, message: Message) -> Message:
        if self.how == "picture alone":
            if message.role == "user" and not message.images:
                raise ValueError("the sample has no picture")
            return Message(message.role, message.images or message.parts)
        parts = tuple(
            shown
            for part in message.parts
            if (shown := self._picture(sample, part) if isinstance(part, Image) else part) is not None
        )
        if not parts:
            raise ValueError("the sample has no text")
        return Message(message.role, parts)

    def _picture(self, sample: Sample, image: Image) -> Image | str | None:
        if self.how == "text alone":
            return None
        if self.how == "blank picture":
            return _grey(image.width, image.height)
        field = self.caption if self.how == "caption" else self.words
        drawn = typography.text_of(image) if self.how == "typography as text" else None
        text = drawn or sample.meta.get(field)
        if not isinstance(text, str) or not text.strip():
            what = f"meta has no text {field!r} about it" if field else "name the field of its meta that holds them"
            raise ValueError(f"nobody says what {'it shows' if self.how == 'caption' else 'words stand in it'}: {what}")
        return self.wording.format(text=text.strip())


def _grey(width: int, height: int) -> Image:
    import numpy as np

    return Image.from_array(np.full((height, width, 3), GREY, np.uint8), copy=False)
