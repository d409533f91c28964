"""Tokens of captions, as caption metrics count them: lower case, without punctuation.

The official evaluation of COCO captions runs the Stanford PTBTokenizer, a Java program, and drops punctuation. `tokens`
follows its rules without Java, for what captions are made of.
"""

from __future__ import annotations

import re

_CLITIC = re.compile(r"(?<=[^\W\d_])(n't|'(?:s|m|d|re|ve|ll))(?![\w'])")
_TOKEN = re.compile(
    r"n't(?!\w)|'(?:s|m|d|re|ve|ll)(?!\w)"  # clitics, parted before
    r"|(?:[^\W\d_]\.){2,}"  # u.s.
    r"|(?:mr|mrs|ms|dr|st|prof)\.(?=\s*[^\W_])|(?:etc|vs)\."
    r"|\d+(?:[.,:]\d+)*(?:[-/]?\w+)*"
    r"|\w+(?:[-'&/]\w+)*"
    r"|\*+|[%$#&@+=<>~^|()\[\]{}/°]"
)
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}


def tokens(text: str) -> list[str]:
    """Words, numbers and symbols in lower case, clitics apart ("does", "n't"), no punctuation."""
    text = text.lower().replace("’", "'").replace("cannot", "can not")
    found = _TOKEN.findall(_CLITIC.sub(r" \1", text))
    return [_BRACKETS.get(token, token) for token in found]
