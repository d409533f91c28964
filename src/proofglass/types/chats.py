"""A dialogue: turns of texts and pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from proofglass.types.images import Image

Role = Literal["system", "user", "assistant"]
Part = str | Image


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

    def with_image(self, image: Image) -> Chat:
        """This chat with `image` in its picture slot: it replaces the first picture, or, where the chat has
        none, goes in front of the text of the first user turn (the order that every family reads)."""
        for k, message in enumerate(self.messages):
            if message.images:
                place = next(i for i, part in enumerate(message.parts) if isinstance(part, Image))
                parts = (*message.parts[:place], image, *message.parts[place + 1 :])
                return self._with_message(k, parts)
        for k, message in enumerate(self.messages):
            if message.role == "user":
                return self._with_message(k, (image, *message.parts))
        raise ValueError("chat: a picture needs a user turn to stand in, found none")

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
