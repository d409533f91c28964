"""ROUGE (Lin 2004) of a text against one reference: that of the package rouge-score, and that of the COCO captions.

Two different metrics are called ROUGE-L. rouge-score: tokens are runs of a-z and 0-9 in lower case, F1 with beta 1; a
text in another script has no tokens and scores 0 even against itself, see `is_read`. COCO (`coco_rouge_l`): whatever
stands between single blanks, F with beta 1.2 of the best precision and the best recall over all references.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proofglass.evaluation.similarity.edits import common_length, common_places
from proofglass.evaluation.similarity.overlap import Overlap, ngrams

BETA = 1.2
_OTHER = re.compile(r"[^a-z0-9]+")


def tokens(text: str, *, stem: bool = False) -> list[str]:
    """Those of rouge-score. stem: words of more than three letters lose their endings (Porter's rules)."""
    found = _OTHER.sub(" ", text.lower()).split()
    return [_stem()(token) if len(token) > 3 else token for token in found] if stem else found


def is_read(text: str) -> bool:
    """Whether rouge-score reads at least half of the letters and digits of `text`; of one without any it reads all."""
    letters = sum(map(str.isalnum, text))
    return 2 * sum(map(len, tokens(text))) >= letters


def rouge_n(said: str, reference: str, n: int, *, stem: bool = False) -> Overlap:
    """Runs of `n` tokens in common, each as often as it occurs in both."""
    ours, wanted = ngrams(tokens(said, stem=stem), n), ngrams(tokens(reference, stem=stem), n)
    return Overlap.of((ours & wanted).total(), ours.total(), wanted.total())


def rouge_l(said: str, reference: str, *, stem: bool = False) -> Overlap:
    """The longest common subsequence of tokens."""
    ours, wanted = tokens(said, stem=stem), tokens(reference, stem=stem)
    return Overlap.of(common_length(wanted, ours), len(ours), len(wanted))


def rouge_l_sum(said: str, reference: str, *, stem: bool = False) -> Overlap:
    """The union, over the lines said, of the longest common subsequence with each line of the reference. A token counts
    as often as it occurs in both texts at most, as in version 1.5.5 of ROUGE."""
    lines, wanted = ([tokens(line, stem=stem) for line in text.split("\n") if line] for text in (said, reference))
    ours, theirs = (Counter(token for line in text for token in line) for text in (lines, wanted))
    left, common = ours & theirs, 0
    for line in wanted:
        # Each line said once: the union over equal lines is that of one.
        places = set().union(*(common_places(line, other) for other in dict.fromkeys(map(tuple, lines))))
        for place in sorted(places):
            if left[line[place]] > 0:
                left[line[place]] -= 1
                common += 1
    return Overlap.of(common, ours.total(), theirs.total())


RULES: Mapping[str, Callable[..., Overlap]] = {
    "rouge1": functools.partial(rouge_n, n=1),
    "rouge2": functools.partial(rouge_n, n=2),
    "rougeL": rouge_l,
    "rougeLsum": rouge_l_sum,
}
"""By the names of rouge-score: (said, reference, stem=) -> overlap."""


def coco_rouge_l(said: str, references: Sequence[str]) -> float:
    """ROUGE-L of the COCO caption evaluation (Chen et al. 2015). Texts are tokens with single blanks between them
    (`captions.tokens`); two empty texts are one empty token each, and score 1. Raises ValueError without references."""
    if not references:
        raise ValueError("references: expected at least one, found none")
    ours = said.split(" ")
    common = [(common_length(wanted := reference.split(" "), ours), len(wanted)) for reference in references]
    precision = max(length / len(ours) for length, _ in common)
    recall = max(length / size for length, size in common)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision) if precision else 0.0


@functools.cache
def _stem() -> Callable[[str], str]:
    from nltk.stem.porter import PorterStemmer

    stemmer: Any = PorterStemmer()
    return functools.lru_cache(maxsize=2**16)(stemmer.stem)
