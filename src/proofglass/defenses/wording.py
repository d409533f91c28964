"""Where the wording of a defense stands in a dialogue (`interfaces/wording.py`: where it comes from).

Braces other than those of a slot are text, and what a slot is filled with is not read for slots again.
"""

from __future__ import annotations

import re

from proofglass.types import Chat, Image, Message


def check_slots(template: str, field: str, *slots: str) -> None:
    """Raises ValueError for a template in which one of `slots`, such as "{question}", does not stand exactly once."""
    for slot in slots:
        if (count := template.count(slot)) != 1:
            raise ValueError(f"{field}: expected {slot} in it once, found it {count} times in {template[:80]!r}")


def filled(template: str, **values: str) -> str:
    """`template` with each slot of `values`, in one pass: a value is never looked through for slots."""
    slots = "|".join(re.escape("{" + name + "}") for name in values)
    return re.sub(slots, lambda match: values[match[0][1:-1]], template)


def around(chat: Chat, before: str, behind: str) -> Chat:
    """`chat` with `before` in front of the text of its last user turn and `behind` after it; its pictures, its other
    texts and all other turns stay as they are. A turn of pictures alone gets both as its text.

    Raises ValueError for a chat without a user turn."""
    place = last_user(chat)
    parts = list(chat.messages[place].parts)
    texts = [k for k, part in enumerate(parts) if isinstance(part, str)]
    if texts:
        parts[texts[0]] = before + str(parts[texts[0]])
        parts[texts[-1]] = str(parts[texts[-1]]) + behind
    elif before + behind:
        parts.append(before + behind)
    messages = list(chat.messages)
    messages[place] = Message("user", tuple(parts))
    return Chat(tuple(messages))


def last_user(chat: Chat) -> int:
    """Place of the last user turn. Raises ValueError where there is none."""
    for place in range(len(chat.messages) - 1, -1, -1):
        if chat.messages[place].role == "user":
            return place
    raise ValueError("chat: found no user turn to write to")


def user_texts(chat: Chat) -> str:
    """All that the user wrote, a turn a line."""
    return "\n".join(message.text for message in chat.messages if message.role == "user" and message.text)


def without_pictures(chat: Chat) -> Chat:
    """`chat` without its pictures; a turn that held nothing else keeps an empty text."""
    return Chat(
        tuple(
            Message(each.role, tuple(part for part in each.parts if not isinstance(part, Image)) or ("",))
            if each.images
            else each
            for each in chat.messages
        )
    )
