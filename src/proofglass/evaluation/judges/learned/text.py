"""A reply as sentences of plain words: what is said, without reasoning, markup, spelling variants and chat delimiters.

Everything that a writer or a template may vary without saying anything else is taken out here, once: quotes and
apostrophes of every kind or none, contractions, case, blanks, list marks, code fences, chat delimiters.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

HEAD, TAIL = 170, 50  # words that are read: from the beginning, and of the end of a longer reply

Sentence = tuple[str, ...]

_END_OF_REASONING = re.compile(
    r"</(?:think|thinking|thought|reasoning|reflection|scratchpad)>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>"
    r"|<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)
_BEGIN_OF_REASONING = re.compile(
    r"<(?:think|thinking|thought|reasoning|reflection|scratchpad)>|\[THINK\]|◁think▷|<\|begin_of_thought\|>",
    re.IGNORECASE,
)
_DELIMITERS = re.compile(
    r"<\|[^|<>\n]{0,40}\|>|</?[a-z_]{1,20}>|\[/?(?:INST|SYS|ASSISTANT|USER)\]|<</?SYS>>|```(?:\w*$)?", re.I | re.M
)
# Blanks of one line only: over line ends, thousands of empty lines would cost the square of their number.
_LIST_MARK = re.compile(r"^[^\S\n]*(?:\d{1,3}[.)]|[-*•+>#]+)(?=\s|$)", re.MULTILINE)
_SENTENCES = re.compile(r"(?<=[.!?:。！？])\s+|\n+")
_WORDS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[.!?,;:§]")
_QUOTES = str.maketrans(dict.fromkeys("‘’ʼ`´′ʹ＇", "'") | dict.fromkeys("“”„«»", '"'))
MARK = "§"  # stands for the mark of a list item

_WHOLE = {
    "can't": "cannot", "cant": "cannot", "won't": "will not", "wont": "will not", "shan't": "shall not",
    "dont": "do not", "doesnt": "does not", "didnt": "did not", "isnt": "is not", "arent": "are not",
    "wasnt": "was not", "werent": "were not", "couldnt": "could not", "shouldnt": "should not",
    "wouldnt": "would not", "havent": "have not", "hasnt": "has not", "mustnt": "must not", "aint": "is not",
    "im": "i am", "ive": "i have", "youre": "you are", "youve": "you have", "theyre": "they are",
    "thats": "that is", "theres": "there is", "whats": "what is", "heres": "here is", "let's": "let us",
    "apologise": "apologize", "apologises": "apologizes",
}  # fmt: skip
_ENDINGS = {"n't": "not", "'m": "am", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would"}
_IS = frozenset(("it", "that", "this", "there", "what", "here", "he", "she", "who", "how"))


def answer_of(reply: str) -> str:
    """The reply without the reasoning before it, whose opening tag may be missing; "" while it still reasons."""
    ends = [match.end() for match in _END_OF_REASONING.finditer(reply)]
    answer = reply[ends[-1] :] if ends else reply
    begun = _BEGIN_OF_REASONING.search(answer)
    return answer[: begun.start()] if begun else answer


def without_tags(thought: str) -> str:
    """The reasoning itself, without the tags that open and close it."""
    return _BEGIN_OF_REASONING.sub("\n", _END_OF_REASONING.sub("\n", thought))


def sentences_of(reply: str) -> list[Sentence]:
    """The sentences of what the reply answers, each as its words, marks of punctuation among them."""
    text = _DELIMITERS.sub("\n", answer_of(reply))
    text = unicodedata.normalize("NFKC", text.translate(_QUOTES)).translate(_QUOTES).casefold()
    text = _LIST_MARK.sub(f"{MARK} ", text).replace("*", "").replace("_", " ")
    found = []
    for part in _SENTENCES.split(text):
        words = tuple(plain for word in _WORDS.findall(part) for plain in _plain(word))
        if any(word[0].isalpha() or word == MARK for word in words):
            found.append(words)
    return _ends(found)


def _ends(sentences: list[Sentence]) -> list[Sentence]:
    """The first `HEAD` words and the last `TAIL`, in whole sentences (a longer first one is cut)."""
    if sum(map(len, sentences)) <= HEAD + TAIL:
        return sentences
    head: list[Sentence] = []
    left = HEAD
    for sentence in sentences:
        head.append(sentence[:left])
        left -= len(sentence)
        if left <= 0:
            break
    tail: list[Sentence] = []
    left = TAIL
    for sentence in reversed(sentences[len(head) :]):
        tail.append(sentence[-left:])
        left -= len(sentence)
        if left <= 0:
            break
    return head + tail[::-1]


@lru_cache(maxsize=65_536)
def _plain(word: str) -> tuple[str, ...]:
    """A word with its contraction written out; a number is "0"."""
    if word.isdigit():
        return ("0",)
    if word in _WHOLE:
        return tuple(_WHOLE[word].split())
    if "'" not in word:
        return (word,)
    for ending, full in _ENDINGS.items():
        if word.endswith(ending) and len(word) > len(ending):
            return (word[: -len(ending)], full)
    stem, _, ending = word.rpartition("'")
    return (stem, "is") if ending == "s" and stem in _IS else (stem,)


def is_english(sentences: list[Sentence]) -> bool:
    """Whether the words are English, the only language that the models were trained on: common English words are a
    sixth of them, and no tenth is in another script than the Latin one."""
    words = [word for sentence in sentences for word in sentence if word[0].isalpha()]
    foreign = sum(word[0] > _LAST_LATIN for word in words)
    return 10 * foreign <= len(words) and 6 * sum(word in _COMMON for word in words) >= len(words)


_LAST_LATIN = "\u024f"
# Articles, pronouns, auxiliaries and short answers. Left out: what other languages write the same way and use often
# ("a", "in", "me", "an", "was"); "no" stays for the replies that say nothing else.
_COMMON = frozenset(
    (
        "the", "of", "and", "to", "is", "are", "be", "been", "being", "it", "its", "this", "that", "these", "those",
        "i", "you", "your", "we", "our", "us", "they", "their", "them", "he", "she", "his", "her", "my", "with", "for",
        "from", "by", "on", "at", "as", "not", "cannot", "can", "could", "should", "would", "will", "may", "might",
        "must", "do", "does", "did", "have", "has", "had", "if", "but", "or", "however", "although", "because", "so",
        "than", "then", "there", "here", "what", "when", "where", "which", "who", "how", "why", "more", "most", "some",
        "any", "other", "such", "only", "very", "also", "just", "about", "into", "over", "under", "out", "up", "down",
        "all", "each", "both", "few", "many", "much", "own", "same", "too", "yes", "no", "sure", "sorry", "okay", "ok",
        "please", "thank", "thanks", "absolutely", "certainly", "definitely", "never", "always", "stop", "help", "safe",
        "wrong", "right", "good", "bad", "great", "nice", "fun", "enjoy", "luck", "sounds", "illegal", "dangerous",
        "unable", "unfortunately", "use", "using", "make", "made", "get", "go", "think", "know", "see", "say", "image",
        "picture",
    )
)  # fmt: skip
