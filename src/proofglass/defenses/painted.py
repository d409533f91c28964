"""Pictures that a helper makes inside a defense.

A helper that purifies pictures is a `Painter` that is asked with a picture: its reply holds the picture that it makes
of it. The text beside it is for the helper to read: a prompt, or how strongly to purify.
"""

from __future__ import annotations

from proofglass.defenses.judged import Unread
from proofglass.flow import Flow
from proofglass.interfaces import Painter
from proofglass.types import Ask, Chat, Image, Message, Reply

TOLD = "Remove all noise from this picture, and change nothing else."


def painted(ask: Ask, chat: Chat, painter: Painter) -> Flow[Image]:
    """The picture that `painter` makes of `chat`, part of another dialogue.

    Raises Unread, which names it, where it makes none, or several: whoever asked for one does not know which."""
    reply: Reply = yield ask.on(chat, to=painter)
    if reply.outcome != "ok" or len(reply.images) != 1:
        found = f"{len(reply.images)} pictures, expected one" if reply.outcome == "ok" else reply.outcome
        raise Unread(f"helper {painter.name}: {found}: {reply.reason or 'nothing said'}")
    return reply.images[0]


def purified(ask: Ask, purifier: Painter, told: str, passes: int = 1) -> Flow[Chat]:
    """The dialogue of `ask` with what `purifier` makes of each picture, at the size that it had. A picture that stands
    there twice is purified once."""
    made: dict[Image, Image] = {}
    for image in dict.fromkeys(ask.chat.images):
        found = image
        for _ in range(passes):
            found = yield from painted(ask, Chat.user(found, told), purifier)
        made[image] = sized(found, image)
    return with_pictures(ask.chat, made)


def with_pictures(chat: Chat, made: dict[Image, Image]) -> Chat:
    """`chat` with another picture in place of each that `made` names."""
    return Chat(
        tuple(
            Message(each.role, tuple(made.get(part, part) if isinstance(part, Image) else part for part in each.parts))
            for each in chat.messages
        )
    )


def sized(image: Image, like: Image) -> Image:
    """`image` at the size of `like`, as Pillow resizes (bicubic)."""
    if (image.width, image.height) == (like.width, like.height):
        return image
    import numpy as np
    from PIL import Image as Pillow

    found = Pillow.fromarray(image.array()).resize((like.width, like.height), Pillow.Resampling.BICUBIC)
    return Image.from_array(np.asarray(found))
