"""What a contract of a guard model is: the chats that it is shown, and a strict reader of what it says.

A guard is a model with one way to be asked and one way to answer. What differs from it is no verdict: "unsafe" in the
middle of a sentence is a word of that sentence. So a reader gives a `Verdict` for a reply in the form of the model
card, and `Unread`, with its reason, for every other one.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.types import Chat, Image, Message

Mode = Literal["response", "prompt", "image"]
Level = Literal["safe", "unsafe", "controversial"]


@dataclass(frozen=True)
class Verdict:
    """What a guard said. level: its verdict; "controversial" is Qwen3Guard's, between the two. codes: of the violated
    categories, in its order. remark: what else is worth telling, such as a code that the model card does not know."""

    level: Level
    codes: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Unread:
    """No verdict. reason: what was found in its place."""

    reason: str


@dataclass(frozen=True)
class Shown:
    """One ask of a guard. chat: what it is shown; code: the policy that it is asked about, "" for all at once."""

    chat: Chat
    code: str = ""


class Contract(ABC):
    """How one family of guards is asked and read. Final classes are frozen dataclasses.

    family: its name here. hub: usual weights, for messages and docs. modes: what it can judge, its default first.
    sees_pictures: whether pictures are shown to it. pictures: how many a chat may show at least and at most, None for
    no end. new_tokens: that its longest verdict needs. choices: how a reply that says unsafe begins, and how one that
    says safe does; none: no probability is known. share: what both together must have of the first token's probability.
    by: how a verdict is found unless told otherwise. policies: names of the policies that it asks about one by one.
    takes_policy, takes_criteria: whether another policy, or criteria in words, may take the place of its own.
    has_middle: whether it knows a level between safe and unsafe. marks: of its prompt, which a judged text must not
    hold.
    """

    family: str
    hub: str
    modes: tuple[Mode, ...]
    sees_pictures: bool = False
    pictures: tuple[int, int | None] = (0, 0)
    new_tokens: int = 32
    choices: tuple[str, str] | None = None
    share: float = 0.5
    by: Literal["text", "probability"] = "text"
    policies: tuple[str, ...] = ()
    takes_policy: bool = False
    takes_criteria: bool = False
    has_middle: bool = False
    marks: re.Pattern[str] | None = None

    def shows(self, chat: Chat, mode: Mode, policies: Sequence[str], policy: str) -> list[Shown]:
        """What the guard is asked about `chat`, a checked dialogue (`turns_of`) that ends with what is judged.

        policies: names, or criteria in words, none for its own. policy: the text of one, "" for none. Unless a contract
        says otherwise: the dialogue, once.
        """
        return [Shown(chat)]

    def told(self) -> str:
        """What it is told in words of ours, or of an installed package: part of the judge's key."""
        return ""

    @abstractmethod
    def read(self, text: str, mode: Mode, cut: bool = False) -> Verdict | Unread:
        """The verdict of a reply. cut: it ended at the token limit, so that its last line may be a part of one. It is
        read as strictly as a whole reply: what is cut must be the beginning of what might stand there."""


class Unaskable(ValueError):
    """A dialogue that cannot be put to a guard. Its text says why, and what would help."""


def turns_of(contract: Contract, chat: Chat, system: Literal["refuse", "drop", "fold"], mode: Mode) -> Chat:
    """`chat` as guards take it: user and assistant in turn, the marks of the guard's own prompt made harmless.

    system: what becomes of a system prompt, for which guards have no place. Raises Unaskable.
    """
    found = [m for m in chat.messages if m.role != "system"]
    told = "\n\n".join(m.text for m in chat.messages if m.role == "system")
    if told and system == "refuse":
        raise Unaskable(
            f"{contract.family} has no place for a system prompt; `system: drop` leaves it out, `system: fold` puts it "
            "in front of the first user turn"
        )
    if told and system == "fold" and found and found[0].role == "user":
        found[0] = Message("user", (f"{told}\n\n", *found[0].parts))
    for place, message in enumerate(found):
        if message.role != ("user", "assistant")[place % 2]:
            raise Unaskable(f"{contract.family} takes user and assistant in turn; turn {place + 1} is {message.role}")
    if not found or found[-1].role != ("assistant" if mode == "response" else "user"):
        raise Unaskable("the dialogue does not end with a user turn: there is nothing to judge")
    return Chat(tuple(Message(m.role, tuple(_plain(contract.marks, p) for p in _joined(m.parts))) for m in found))


def check_pictures(contract: Contract, chat: Chat) -> None:
    """Raises Unaskable for more pictures, or fewer, than the guard can see."""
    least, most = contract.pictures
    count = len(chat.images)
    if most is not None and count > most:
        takes = "no picture" if most == 0 else "one picture" if most == 1 else f"{most} pictures"
        raise Unaskable(f"{contract.family} sees {takes}, the dialogue shows {count}")
    if count < least:
        raise Unaskable(f"{contract.family} judges pictures, the dialogue shows none")


def _joined(parts: Iterable[str | Image]) -> list[str | Image]:
    """Texts that follow each other as one, as templates write them: a mark may stand in two halves."""
    found: list[str | Image] = []
    for part in parts:
        if found and isinstance(part, str) and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return found


_HARMLESS = str.maketrans({"<": "‹", ">": "›", "#": "＃", ":": "："})


def _plain(marks: re.Pattern[str] | None, part: str | Image) -> str | Image:
    """A part of a message whose marks look alike and are others: no judged text closes the block that holds it."""
    if marks is None or not isinstance(part, str):
        return part
    return marks.sub(lambda found: found.group().translate(_HARMLESS), part)


# ------------------------------------------------------------------------------------------------------ reading


def said(text: object) -> str | Unread:
    """A reply without blanks around it; Unread for an empty one, or what is no text."""
    if not isinstance(text, str):
        return Unread(f"the guard gave a {type(text).__name__}, no text")
    return text.strip() or Unread("the guard said nothing")


def lines_of(text: str) -> list[str]:
    """The lines of a reply that hold something, without blanks around them."""
    return [bare for line in text.split("\n") if (bare := line.strip())]


@dataclass(frozen=True)
class Fields:
    """A reply of lines `Name: value`. whole: name -> value of the lines that were ended. begun: the same of the line in
    which the reply was cut off, at most one."""

    whole: Mapping[str, str]
    begun: Mapping[str, str]


def fields_of(text: str, names: Mapping[str, Collection[str]], cut: bool) -> Fields | Unread:
    """The lines of a reply. Unread for a line of another kind, or a name that comes twice.

    names: name -> the words of which its value is one, in small letters; none for a list. cut: the last line may be a
    part of one: it must begin as a line may that is still to come, and its value decides nothing.
    """
    known = {name.casefold(): name for name in names}
    whole, begun = text.split("\n"), ""
    if cut:
        *whole, begun = whole
    found: dict[str, str] = {}
    for line in filter(str.strip, whole):
        if (read := _field(line, known, found)) is None or isinstance(read, Unread):
            return read or Unread(f"expected lines of {', '.join(names)} and nothing else")
        found[read[0]] = read[1]
    if not begun.strip():
        return Fields(found, {})
    if not found:
        return Unread("cut off before a whole line")
    if ":" not in begun:
        start = begun.strip().casefold()
        fits = any(small.startswith(start) for small, name in known.items() if name not in found)
        return Fields(found, {}) if fits else Unread(f"cut off in what begins none of {', '.join(names)}")
    last = _field(begun, known, found)
    if last is None or isinstance(last, Unread):
        return last or Unread(f"expected lines of {', '.join(names)} and nothing else")
    words = names[last[0]]
    if words and not any(word.startswith(last[1].casefold()) for word in words):
        return Unread(f"{last[0]}: cut off in what begins none of {', '.join(words)}")
    return Fields(found, dict([last]))


def _field(line: str, known: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, str] | Unread | None:
    """Name and value of a line; None for a line of another kind, Unread for a name that was `found` before."""
    name, colon, value = line.partition(":")
    own = known.get(name.strip().casefold())
    if not colon or own is None:
        return None
    return Unread(f"{own}: said twice") if own in found else (own, value.strip())


def may_list_none(value: str) -> bool:
    """Whether a list that was cut off may yet turn out to hold no entry: it is the beginning of "None"."""
    return all("none".startswith(entry.casefold()) for entry in listed(value))


def listed(value: str) -> tuple[str, ...]:
    """The entries of a list with commas, each once, in its order; "None" is no entry."""
    entries = (entry.strip() for entry in value.split(","))
    return tuple(dict.fromkeys(entry for entry in entries if entry and entry.casefold() != "none"))


def unknown(codes: Iterable[str], known: Iterable[str]) -> str:
    """A remark about codes that the model card does not list, "" if it lists all."""
    cards = {each.casefold() for each in known}
    strange = [code for code in codes if code.casefold() not in cards]
    return f"not on its model card: {', '.join(strange)}" if strange else ""


def remarks(*told: str) -> str:
    return "; ".join(each for each in told if each)


def without_thought(text: str) -> str:
    """A reply behind a thought in <think> tags that stands at its beginning; as it is where that has no end."""
    begun = re.match(r"\s*<think>", text)
    end = text.find("</think>") if begun else -1
    return text[end + len("</think>") :].strip() if end >= 0 else text


def one_of(value: str, levels: Mapping[str, Level]) -> Level | None:
    """The level that `value` names, case aside; None for anything more or else."""
    return levels.get(value.strip().casefold())
