"""A dialogue: turns of texts and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from proofglass.types.images import Image

Role = Literal["system", "user", "assistant"]
Part = str | Image


def _shows(part: Part) -> bool:
    return isinstance(part, Image)


def slot_number(slot: str) -> int:
    """Which picture of a dialogue the slot `slot` is, counted from 1 over all turns: "image" the first, "image2" the
    second, and so on. Raises ValueError for any other name."""
    number = slot.removeprefix("image")
    if slot == "image":
        return 1
    if slot.startswith("image") and number.isascii() and number.isdigit() and int(number) > 1 and number[0] != "0":
        return int(number)
    raise ValueError(f"slot: expected 'image', 'image2', 'image3', ..., found {slot!r}")


@dataclass(frozen=True)
class Message:
    """One turn: text and images in the order in which the model sees them."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part for part in self.parts if isinstance(part, Image))


@dataclass(frozen=True)
class Chat:
    """A dialogue. Every method returns a new chat; a chat never changes."""

    messages: tuple[Message, ...] = ()

    @classmethod
    def user(cls, *parts: Part) -> Chat:
        """A dialogue of one user turn."""
        return cls((Message("user", parts),))

    def ask(self, *parts: Part) -> Chat:
        """This chat and one more user turn."""
        return Chat((*self.messages, Message("user", parts)))

    def say(self, text: str) -> Chat:
        """This chat and one more turn of the assistant."""
        return Chat((*self.messages, Message("assistant", (text,))))

    @property
    def system(self) -> str:
        """Text of the system prompt, empty if there is none."""
        return self.messages[0].text if self.messages and self.messages[0].role == "system" else ""

    def with_system(self, text: str) -> Chat:
        """This chat under the system prompt `text`, which replaces an earlier one; empty text removes it."""
        rest = self.messages[1:] if self.messages and self.messages[0].role == "system" else self.messages
        return Chat((Message("system", (text,)), *rest)) if text else Chat(rest)

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(image for message in self.messages for image in message.images)

    def with_image(self, image: Image, slot: str = "image") -> Chat:
        """This chat with `image` in the picture slot `slot` (`slot_number`): it replaces the picture that stands there.

        A chat without pictures gets it in front of the text of its first user turn (the order that every family reads),
        one with k - 1 pictures gets its k-th right behind the last of them. Raises ValueError for a chat with fewer, or
        without a user turn.
        """
        places = [(m, p) for m, each in enumerate(self.messages) for p, part in enumerate(each.parts) if _shows(part)]
        number = slot_number(slot)
        if number <= len(places):
            m, p = places[number - 1]
            return self._with_message(m, (*self.messages[m].parts[:p], image, *self.messages[m].parts[p + 1 :]))
        if number > len(places) + 1:
            raise ValueError(f"chat: slot {slot!r} is of its picture {number}, found {len(places)} pictures")
        if places:
            m, p = places[-1]
            return self._with_message(m, (*self.messages[m].parts[: p + 1], image, *self.messages[m].parts[p + 1 :]))
        for m, message in enumerate(self.messages):
            if message.role == "user":
                return self._with_message(m, (image, *message.parts))
        raise ValueError("chat: a picture needs a user turn to stand in, found none")

    def with_images(self, images: Mapping[str, Image]) -> Chat:
        """This chat with each picture in the slot that names it."""
        found = self
        for slot in sorted(images, key=slot_number):
            found = found.with_image(images[slot], slot)
        return found

    def with_text(self, text: str) -> Chat:
        """This chat with `text` as the only text of its last user turn; pictures stay in front of it."""
        for k in range(len(self.messages) - 1, -1, -1):
            if self.messages[k].role == "user":
                return self._with_message(k, (*self.messages[k].images, text))
        raise ValueError("chat: found no user turn to write to")

    @property
    def last_text(self) -> str:
        """Text of the last user turn."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")

    def _with_message(self, k: int, parts: tuple[Part, ...]) -> Chat:
        changed = replace(self.messages[k], parts=parts)
        return Chat((*self.messages[:k], changed, *self.messages[k + 1 :]))
