"""Wordings of defenses: a default of our own, or the authors' from a file, and where they stand in a dialogue.

Another wording is another defense: it is in the key, and `template_sha256` names it, whichever field or file it came
from. Braces other than those of a slot are text, and what a slot is filled with is not read for slots again.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from proofglass.errors import UsageError
from proofglass.types import Chat, Image, Message


def read(path: Path, field: str) -> str:
    """The wording in a file, without blanks at its ends. field: "defense.field", for errors.

    Raises UsageError for a file that cannot be read, is not UTF-8, or is empty."""
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{field}: {path} is not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise UsageError(f"{field}: cannot read {path}: {error.strerror or error}") from error
    if not text:
        raise UsageError(f"{field}: {path} is empty; expected the wording")
    return text


def wording(own: str, path: Path | None, field: str) -> str:
    """The wording of `path`, else `own`."""
    return own if path is None else read(path, field)


def sha256(*wordings: str) -> str:
    """Names the wordings that a defense used."""
    return hashlib.sha256("\0".join(wordings).encode("utf-8", "surrogatepass")).hexdigest()


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
