"""Words and numbers of short answers, so that every judge finds "3" in "three" and none finds "2" in "2.5".

A text becomes a list of tokens: NFKC, lower case, punctuation as blanks. A number is one token, however it is written:
"three", "3", "3.0" and "+3" are "3"; "twenty-one" and "twenty one" are "21"; "two thousand", "2 thousand", "2,000" and
"2'000" are "2000"; "two point five" is "2.5", "point five" where a number may stand "0.5"; "minus two", "-2", "-$2" and
a "- 2" that opens the text or follows a mark such as = or : are "-2" ("5 - 2" and the items of a list are not). Digits
joined by . , : / or ' are one token even where they are no plain number ("1/2", "2:30", "3.1.4"): none of them says 2.
A point is the decimal mark and a comma parts thousands, as in English ("2 000", too, but "2 500" says both); "2-3" says
both. "none" is 0, as in the evaluation of VQA (Antol et al. 2015). Numbers are exact; a figure of more than 60 digits
is not read and equals itself only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Context, Decimal, localcontext

_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: k for k, word in enumerate(_UNITS)} | {word: 10 * k for k, word in enumerate(_TENS, start=2)}
_LARGE = ("thousand", "million", "billion", "trillion", "quadrillion", "quintillion", "sextillion", "septillion")
_SCALES = {word: 1000**k for k, word in enumerate(_LARGE, start=1)}
_DECIMALS = {word: str(k) for k, word in enumerate(_UNITS[:10])} | {"oh": "0", "o": "0"}
# After these (or first of all) "point five" is a number; "at this point five" and "the point one makes" are not.
_BEFORE_POINT = frozenset((
    "is", "are", "was", "were", "be", "s", "about", "around", "approximately", "roughly", "nearly", "almost", "exactly",
    "only", "just", "equals", "equal", "than", "by", "of", "or", "answer", "says", "say", "said", "value", "minus",
    "negative", "plus",
))  # fmt: skip
_DIGITS = 60  # of a figure that is read as a number
_EXACT = Context(prec=100)  # of what such figures, scales and decimals add up to
_TOKEN = re.compile(r"(?:(?<!\w)[-+])?(?:\d+(?:[.,:/']\d+)*|(?<![\w.])\.\d+)\w*|\w+")
_FRACTION = re.compile(r"(\d+)/(\d+)")
_UNIT = re.compile(r"(?<=\d)(?=(?:mm|cm|km|mg|kg|ml|ft|lbs?|oz|mph|am|pm)\b)")
_CURRENCY = "$\u00a2-\u00a5\u20a0-\u20cf"
_BEFORE_MONEY = re.compile(rf"(?<!\w)([-+])[{_CURRENCY}](?=\.?\d)")
_APART_SIGN = re.compile(rf"((?:\A\W*?|[:=(\[*/<>\"'\u201c])[^\S\n]*)([-+])[^\S\n]+[{_CURRENCY}]?(?=\.?\d)")
_ITEM = re.compile(r"^[^\S\n]*[-+][^\S\n]", re.M)
_PARTS = re.compile(r"(?<=\w)-(?=(?:half|halves|thirds?|quarters?|(?:four|fif|six|eigh|ten)ths?)\b)")
_MARKS = {0x2019: "'", 0x2044: "/"} | dict.fromkeys((0x2010, 0x2012, 0x2013, 0x2212), "-")
_FIGURE = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:[,']\d{3})+)(?:\.\d+)?|[-+]?\.\d+")


def words(text: str) -> list[str]:
    """The tokens of `text`, numbers in figures."""
    # A blank that keeps digits together parts thousands; NFKC would make a common one of it.
    text = re.sub("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))", ",", text)
    text = re.sub(r"(?<=\d) (?=000(?!\d))", ",", text)
    text = re.sub("(?<=\\d)(?=[\u00bc-\u00be\u2150-\u215e])", " ", text)  # and 21/2 of two and a half
    text = unicodedata.normalize("NFKC", text).casefold().translate(_MARKS)
    text = _PARTS.sub("_", _UNIT.sub(" ", re.sub(r"\bno[ -]one\b", "no nobody", text)))
    tokens = _TOKEN.findall(_with_signs(text))
    with localcontext(_EXACT):
        return _told(tokens)


def _with_signs(text: str) -> str:
    """With a minus right before its digits where a currency mark or a blank stands between them."""
    is_list = len(_ITEM.findall(text)) > 1
    text = _BEFORE_MONEY.sub(r"\1", text)
    return text if is_list else _APART_SIGN.sub(r"\1\2", text)


def _told(tokens: Sequence[str]) -> list[str]:
    """Tokens, every number among them in figures."""
    found: list[str] = []
    after_number, at = False, 0
    while at < len(tokens):
        is_minus = tokens[at] in ("minus", "negative") and not after_number  # "three minus two" is no -2
        value, end = _number(tokens, at + is_minus)
        if value is None:
            found.append(tokens[at])
            at += 1
        else:
            found.append(_written(-value if is_minus else value))
            at = end
        after_number = value is not None
    return found


def holds(said: Sequence[str], answer: Sequence[str]) -> bool:
    """Whether `answer` occurs in `said` as a run of whole tokens."""
    return f" {' '.join(answer)} " in f" {' '.join(said)} "


def _number(tokens: Sequence[str], at: int) -> tuple[Decimal | None, int]:
    """The number that begins at a token, None if none does, and where it ends: groups below 1000 and their scales."""
    total, end, scale = None, at, 1000 * max(_SCALES.values())
    if _word(tokens, at) == "point" and (at == 0 or tokens[at - 1] in _BEFORE_POINT):
        value, end = _with_decimals(Decimal(0), tokens, at)
        return (value, end) if end > at else (None, at)
    while True:
        group, after = _group(tokens, at, figures=total is None)
        if group is None and total is None and _word(tokens, at) in _SCALES:
            group, after = Decimal(1), at  # "a thousand"
        here = _SCALES.get(_word(tokens, after), 1)
        if group is None or here >= scale:
            return total, end
        total, end, scale = (total or 0) + group * here, after + (here > 1), here
        if here == 1:
            return _with_decimals(total, tokens, end)
        at = end + (_word(tokens, end) == "and")


def _group(tokens: Sequence[str], at: int, figures: bool) -> tuple[Decimal | None, int]:
    """A figure, or words for a number below 1000 ("three hundred and twenty-one", "a hundred")."""
    value: Decimal | None
    first = _word(tokens, at)
    if figures and len(first) <= _DIGITS and _FIGURE.fullmatch(first):
        value, end = Decimal(re.sub("[,']", "", first)), at + 1
    elif first == "hundred":
        value, end = Decimal(1), at
    else:
        value, end = _below_hundred(tokens, at)
    if value is not None and _word(tokens, end) == "hundred":
        value, end = value * 100, end + 1
        more, after = _below_hundred(tokens, end + (_word(tokens, end) == "and"))
        if more is not None:
            return value + more, after
    return value, end


def _below_hundred(tokens: Sequence[str], at: int) -> tuple[Decimal | None, int]:
    first, second = (_SMALL.get(_word(tokens, k)) for k in (at, at + 1))
    if first is None:
        return (Decimal(0), at + 1) if _word(tokens, at) == "none" else (None, at)
    if first >= 20 and second is not None and 0 < second < 10:
        return Decimal(first + second), at + 2
    return Decimal(first), at + 1


def _with_decimals(whole: Decimal, tokens: Sequence[str], at: int) -> tuple[Decimal, int]:
    """`whole`, with the digits of "point five", "and a half" or "1/2" if they follow."""
    if list(tokens[at : at + 3]) == ["and", "a", "half"]:
        return whole + Decimal("0.5"), at + 3
    part = _FRACTION.fullmatch(_word(tokens, at))
    if part and whole == int(whole) and len(part[0]) <= _DIGITS and 0 < int(part[1]) < int(part[2]):
        return whole + Decimal(part[1]) / Decimal(part[2]), at + 1
    if _word(tokens, at) != "point":
        return whole, at
    digits, end = "", at + 1
    while _word(tokens, end) in _DECIMALS:
        digits, end = digits + _DECIMALS[tokens[end]], end + 1
    if not digits and re.fullmatch(rf"\d{{1,{_DIGITS}}}", _word(tokens, end)):  # "point 25"
        digits, end = tokens[end], end + 1
    if not digits:
        return whole, at
    value, scale = whole + Decimal(f"0.{digits}"), _SCALES.get(_word(tokens, end), 1)
    return value * scale, end + (scale > 1)


def _word(tokens: Sequence[str], at: int) -> str:
    return tokens[at] if at < len(tokens) else ""


def _written(value: Decimal) -> str:
    """In figures: no sign but a minus, no zeros behind the decimals."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
