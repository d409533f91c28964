"""Which option of a multiple-choice question a reply names: a letter, or the option's own text.

Ways of saying it, strongest first; the first that names an option decides, and where it names several different ones
the reply names none:
1. a final answer ("Final answer: B", "最终答案是B", "\\boxed{B}");
2. an answer ("Answer: (B)", "the answer is B because ...", "I choose B", "B is correct", "答案是B", "选B", "故选：B");
3. the beginning of the reply ("B", "(B) ...", "B. ...", "B because ...", or an option's whole text);
4. marked letters ("(B)", "B)", "option b") and options' texts anywhere;
5. bare capitals anywhere ("It must be B"), but no article "A", no "I" and no "vitamin C".

A letter may stand with its option's text; with that of another one it names both. What is denied ("not B", "B is
wrong", "不选B") is named by nobody. Several answers at once ("A and B", "AB") are several.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LETTERS = string.ascii_uppercase
_SHORT = 4  # characters; a shorter text ("no", "是") counts as an answer, or as the beginning, not inside a sentence
_WORD = "A-Za-z0-9\u00c0-\u024f"  # Chinese may stand right beside a letter
_END = rf"(?![{_WORD}])"
_BLANKS = r"\s*_`\"'“”‘’$\\"
_GAP = rf"[{_BLANKS}]*"
_LONG_GAP = re.compile(rf"([{_BLANKS}]{{8}})[{_BLANKS}]+")
_IS = rf"{_GAP}(?:is|are|would be|should be|must be|was|[:=]|是|为|應為|应为|应该是|应是|就是)?{_GAP}:?{_GAP}"
_NOUN = r"(?:option|choice|letter|answer|选项|答案)"
_FINAL = re.compile(
    rf"(?:\bfinal\s+{_NOUN}|最终(?:的)?(?:答案|选项|选择)){_IS}(?:{_NOUN}{_GAP})?|\\(?:boxed|text|fbox){{{_GAP}", re.I
)
_ANSWER = re.compile(
    rf"(?:\b(?:answers?|(?:correct|right|best|safest|appropriate)\s+(?:one|{_NOUN})|{_NOUN}){_GAP}"
    rf"(?:is|would be|should be|must be|was|[:=])"
    r"|\bI(?:\s+would|\s+will|'d|'ll)?\s+(?:choose|pick|select|go with|say|answer)\b"
    r"|(?:正确|最佳|标准)?(?:的)?(?:答案|选项)(?:应该|应当|应)?(?:是|为|:|选)"
    rf"|(?:应该|应当|应|故|我|因此|所以)?(?:选择|选)(?!项)[:为]?)"
    rf"{_GAP}:?{_GAP}(?:(?:the\s+)?(?:{_NOUN}){_GAP}:?{_GAP})?",
    re.I,
)
_RIGHT = re.compile(
    rf"(?<![{_WORD}'])([A-Z])[)\].]?{_GAP}"
    r"(?:(?:is|are|would be|seems)\s+(?:also\s+|both\s+)?(?:the\s+)?(?i:correct|right|best|safest)\b"
    r"|项?也?是?(?:正确|对的))"
)
_AND = re.compile(r"(?<![\w'])([A-Z])\)?\s*(?:,|/|&|、|and|or|和|与|或)\s*\(?$")
_MORE = re.compile(rf"{_GAP}(?:,|/|&|、|\+|and|or|as well as|和|或|与|及){_GAP}\(?([A-Z])\)?{_END}")
_DENIED = re.compile(
    rf"(?:\bnot|n't|\bnever|\bneither|\bnor|\bexcept|\bexclud\w*|\brul\w+\s+out|\beliminat\w*|\brather than"
    rf"|\binstead of|不是|不选|不应选|并非|排除|除了)"
    rf"{_GAP}(?:[A-Z]\s*(?:,|or|nor|and|或)\s*)*(?:(?:be|say|choose|pick|select|the)\s+)*(?:{_NOUN}\s*)?[\s(\"'“]*$",
    re.I,
)
_WRONG = re.compile(
    rf"^[)\].:]*{_GAP}(?:(?:is|are|was|seems?|would be)\s+(?:not|wrong|incorrect|false)\b|(?:is|are|was)n't\b)"
    r"|^项?是?(?:错|不对|不正确|不合适)",
    re.I,
)


_ARTICLE = re.compile(r"\s+(?!(?:is|because|since|as|or|and)\b|[B-Z]\b)\w")
_NAMED = re.compile(r"\b(?:vitamin|plan|hepatitis|type|grade|class|group)\s+$", re.I)
_APART = re.compile(r"\s*(?:$|[.):,;、。\]}>\-–—\n*])")


@dataclass(frozen=True)
class Choice:
    """letters: those named, in alphabetical order; how: by which of the ways, 0 for none."""

    letters: tuple[str, ...] = ()
    how: int = 0


def chosen(reply: str, options: Sequence[str]) -> Choice:
    """What `reply` names of `options`, which are lettered from A on. Raises ValueError for more than 26 of them."""
    if len(options) > len(LETTERS):
        raise ValueError(f"options: expected at most {len(LETTERS)}, found {len(options)}")
    reader = _Reader(folded(reply), tuple(folded(option).rstrip(".。!?;,") for option in options))
    for how, way in enumerate((reader.final, reader.answer, reader.beginning, reader.marked, reader.bare), start=1):
        if letters := tuple(sorted(way())):
            return Choice(letters, how)
    return Choice()


def folded(text: str) -> str:
    """NFKC (full-width letters and brackets become plain ones), straight quotes, no markup stars, no long gaps."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("**", "").replace("__", "")
    text = text.replace("【", "(").replace("】", ")").replace("「", "(").replace("」", ")")
    return _LONG_GAP.sub(r"\1", text).strip()


def _small(text: str) -> str:
    """In small letters, each in its place: one whose small form is longer stays."""
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)


class _Reader:
    """One reply beside its options, both folded."""

    def __init__(self, reply: str, options: Sequence[str]) -> None:
        self.reply, self.small = reply, _small(reply)
        self.letters = LETTERS[: len(options)]
        self.options = dict(zip(self.letters, map(_small, options), strict=True))

    def final(self) -> set[str]:
        return self._after(_FINAL)

    def answer(self) -> set[str]:
        found = self._after(_ANSWER)
        for match in _RIGHT.finditer(self.reply):
            named: re.Match[str] | None = match
            while named and named[1] in self.letters and not self._is_denied(named.start(1), named.end(1)):
                found.add(named[1])
                named = _AND.search(self.reply, max(0, named.start(1) - 12), named.start(1))
        return found

    def beginning(self) -> set[str]:
        opened = re.match(r"[\W_]*", self.reply)
        found, listed = self._named_at(opened.end() if opened else 0), self._listed()
        return listed if found <= listed else found

    def marked(self) -> set[str]:
        found = set()
        marks = (
            rf"\(([{self.letters}])\)|(?<![{_WORD}'])([{self.letters}])\)|\b(?:option|choice)\s+\(?([A-Za-z])\)?{_END}"
        )
        for match in re.finditer(marks, self.reply):
            letter = (match[1] or match[2] or match[3]).upper()
            if letter in self.letters and not self._is_denied(match.start(), match.end()):
                found |= self._letter_with_text(letter, match.end())
        return found | {letter for letter, start, end in self._texts() if not self._is_denied(start, end)}

    def bare(self) -> set[str]:
        found = set()
        before = r"(?<![\w'.\-])|(?<=[项案选是为])"
        for match in re.finditer(rf"(?:{before})[{self.letters}](?![{_WORD}'\-])", self.reply):
            is_word = match[0] == "I" or (match[0] == "A" and _ARTICLE.match(self.reply, match.end()) is not None)
            is_name = _NAMED.search(self.reply[max(0, match.start() - 12) : match.start()]) is not None
            if not is_word and not is_name and not self._is_denied(match.start(), match.end()):
                found.add(match[0])
        return found

    def _listed(self) -> set[str]:
        """The options that are repeated as a list shows them: letter, mark, own text."""
        found = set()
        for match in re.finditer(rf"\(?([{self.letters}])[).:、]\s?", self.reply):
            text = self._text_at(match.end())
            if text and text[0] == match[1] and not self._is_denied(match.start(), text[1]):
                found.add(match[1])
        return found

    def _after(self, cue: re.Pattern[str]) -> set[str]:
        """What is named right behind each place where `cue` matches."""
        found: set[str] = set()
        for match in cue.finditer(self.reply):
            found |= self._named_at(match.end(), is_told=True)
        return found

    def _named_at(self, at: int, *, is_told: bool = False) -> set[str]:
        """The options named at one place: a letter that is set apart, an option's text, then a letter in a sentence.
        is_told: an answer was announced, so that small letters count, too."""
        several = re.compile(rf"[{self.letters}]{{2,}}{_END}").match(self.reply, at)
        if several and list(several[0]) == sorted(set(several[0])):
            return set(several[0])
        text = self._text_at(at)
        letter = re.compile(rf"[(\[]?([A-Za-z])[)\]]?{_END}(?!'\w)").match(self.reply, at)
        if letter and letter[1].upper() in self.letters:
            is_apart = letter[0] != letter[1] or _APART.match(self.reply, letter.end()) is not None
            if is_apart or (not text and self._is_letter(letter[1], letter.end(), is_told)):
                denied = self._is_denied(at, letter.end())
                return set() if denied else self._letter_with_text(letter[1].upper(), letter.end())
        return {text[0]} if text and not self._is_denied(at, text[1]) else set()

    def _is_letter(self, letter: str, end: int, is_told: bool) -> bool:
        """Whether a letter in a sentence is one, and no word: "B because", not "a bit", "A dog", "I think"."""
        if letter not in "AaIi":
            return letter.isupper() or is_told
        return (
            letter.isupper()
            and re.compile(r"\s+(?:is|because|since|as|or|and)\b|\s*[^\x00-\x7f]").match(self.reply, end) is not None
        )

    def _letter_with_text(self, letter: str, at: int) -> set[str]:
        """A letter, those that are added to it ("or C"), and the option whose whole text follows it."""
        found, end = {letter}, at
        while (more := _MORE.match(self.reply, end)) and more[1] in self.letters:
            found.add(more[1])
            end = more.end()
        after = re.compile(r"[)\].:,;\s\-–—、。*\"'“]*").match(self.reply, at)
        text = self._text_at(after.end()) if after else None
        return found | {text[0]} if text and len(self.options[text[0]]) >= _SHORT else found

    def _text_at(self, at: int) -> tuple[str, int] | None:
        """The longest option whose text stands at a place, as its letter, and where it ends; None if two are alike."""
        fits = [
            (len(option), letter)
            for letter, option in self.options.items()
            if option and self.small.startswith(option, at) and self._ends(option, at + len(option))
        ]
        longest = max((size for size, _ in fits), default=0)
        best = [letter for size, letter in fits if size == longest]
        return (best[0], at + longest) if len(best) == 1 else None

    def _ends(self, option: str, end: int) -> bool:
        """Whether a text ends at a place: no word of an alphabet with blanks goes on there."""
        if end >= len(self.reply) or not (option[-1].isalnum() and self.reply[end].isalnum()):
            return True
        return not option[-1].isascii() and len(option) >= _SHORT

    def _texts(self) -> Iterator[tuple[str, int, int]]:
        """Each option's text wherever it stands, not inside a longer one; short ones nowhere."""
        taken = bytearray(len(self.small))
        for letter, option in sorted(self.options.items(), key=lambda pair: -len(pair[1])):
            if len(option) < _SHORT or list(self.options.values()).count(option) > 1:
                continue
            start = -1
            while (start := self.small.find(option, start + 1)) >= 0:
                end = start + len(option)
                if self._begins(option, start) and self._ends(option, end) and not any(taken[start:end]):
                    taken[start:end] = bytes([1]) * len(option)
                    yield letter, start, end

    def _begins(self, option: str, start: int) -> bool:
        before = self.reply[start - 1] if start else " "
        return not (before.isalnum() and before.isascii() and option[0].isalnum())

    def _is_denied(self, start: int, end: int) -> bool:
        before, after = self.reply[max(0, start - 60) : start], self.reply[end : end + 40]
        return _DENIED.search(before) is not None or _WRONG.match(after) is not None
