"""VQA accuracy (Antol et al. 2015): a reply against what ten people answered.

The mean over the ten sets of nine answers of min(1, answers equal to the reply / 3): of k equal ones of ten 0, 0.3,
0.6, 0.9 and from 4 on 1. The common shortcut min(1, k / 3) is another number.

`cleaned` follows the official evaluation, GT-Vision-Lab/VQA at c4e6a0e. Of its table of contractions it has every entry
that can match: those with a capital cannot, since texts are in small letters by then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ARTICLES = frozenset({"a", "an", "the"})
PEOPLE = 10  # who answered each question of VQA
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_FIGURES = {word: str(k) for k, word in enumerate(_NUMBERS)} | {"none": "0"}
_PERIODS = 32  # the official code hands re.UNICODE, which is 32, where `sub` takes the number of replacements
# Each is found with any one apostrophe missing: "dont", "couldn'tve", "couldnt've".
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
CONTRACTIONS = {
    word[:at] + word[at + 1 :]: word for word in _CONTRACTED.split() for at, letter in enumerate(word) if letter == "'"
} | {"somebody'd": "somebodyd"}  # the other way round in the official table


def accuracy(said: object, answers: Sequence[object]) -> float:
    """The rule alone: `said` is compared with each answer by ==. Raises ValueError for fewer than two answers."""
    if len(answers) < 2:
        raise ValueError(f"answers: expected those of {PEOPLE} people, found {len(answers)}")
    equal = [answer == said for answer in answers]
    return sum(min(1.0, (sum(equal) - own) / 3) for own in equal) / len(equal)


def official_accuracy(reply: str, answers: Sequence[str], *, contractions: bool = True) -> float:
    """As the official evaluation computes it: the reply is `cleaned`; the answers lose their punctuation unless all are
    alike, and nothing else, since those of the data set are clean. contractions: see `cleaned`."""
    alike = len(set(answers)) == 1
    kept = answers if alike else [_unpunctuated(answer) for answer in answers]
    return accuracy(cleaned(reply, contractions=contractions), kept)


def cleaned(reply: str, *, contractions: bool = True) -> str:
    """A reply as the official evaluation compares it: punctuation removed or made a blank, lower case, number words to
    ten in figures, no articles. contractions: "dont" becomes "don't", by its table."""
    text = _unpunctuated(reply.replace("\n", " ").replace("\t", " ").strip())
    words = [_FIGURES.get(word, word) for word in text.lower().split()]
    words = [word for word in words if word not in ARTICLES]
    return " ".join(CONTRACTIONS.get(word, word) for word in words) if contractions else " ".join(words)


def _unpunctuated(text: str) -> str:
    """A mark is removed where it touches a blank somewhere in the text, or the text has a number with a comma; else it
    becomes a blank. Then points go, unless a digit follows."""
    removed = re.search(r"\d,\d", text) is not None
    marks: dict[str, str | int | None] = {
        mark: "" if removed or f"{mark} " in text or f" {mark}" in text else " " for mark in _PUNCTUATION
    }
    return re.sub(r"\.(?!\d)", "", text.translate(str.maketrans(marks)), count=_PERIODS)
