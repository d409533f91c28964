"""Exact match and token F1 of SQuAD (Rajpurkar et al. 2016), as its evaluation script normalises answers.

Lower case, ASCII punctuation removed, "a", "an" and "the" removed, single blanks; then tokens between blanks. Text
without blanks (Chinese) is one token, and a curly quote stays: both as there.
"""

from __future__ import annotations

import re
import string
from collections import Counter

from proofglass.evaluation.similarity.overlap import Overlap

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalised(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(said: str, reference: str) -> float:
    """1 if both are the same answer once normalised, else 0."""
    return float(normalised(said) == normalised(reference))


def token_overlap(said: str, reference: str) -> Overlap:
    """Tokens in common, each as often as it occurs in both. Both empty: 1; one empty: 0 (the rule of SQuAD 2.0)."""
    tokens, wanted = normalised(said).split(), normalised(reference).split()
    if not tokens and not wanted:
        return Overlap(1.0, 1.0, 1.0)
    common = (Counter(tokens) & Counter(wanted)).total()
    return Overlap.of(common, len(tokens), len(wanted))
