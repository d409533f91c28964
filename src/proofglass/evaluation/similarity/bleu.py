"""BLEU-4 of a corpus (Papineni et al. 2002): that of sacrebleu, and that of the COCO captions.

Both add up what each sentence counts, so a corpus can be resampled: sentences become rows of sums, and `sacre_bleu` and
`coco_bleu` turn sums into scores, many corpora at once. The mean of the scores of sentences is another number.

They agree unless some precision is 0. sacrebleu then halves (smoothing "exp", after the mteval-v13a script), COCO's
code adds tiny constants; take the former for reports, the latter to replicate captioning papers (Schlarmann & Hein).
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from proofglass.evaluation.similarity.overlap import ngrams

if TYPE_CHECKING:
    import numpy as np

LONGEST = 4
SMALL, TINY = 1e-9, 1e-15  # those of COCO's code
Tokenizer = Literal["13a", "intl", "char", "zh", "none"]


def sacre_sums(said: str, references: Sequence[str], tokenize: Tokenizer = "13a", lowercase: bool = False) -> list[int]:
    """What one sentence counts, as sacrebleu tokenises it: its length, that of the closest reference (the shorter of
    two), then by n its n-grams found in a reference, and all its n-grams. Raises ValueError without references."""
    _wanted(references)
    found = _scorer(tokenize, lowercase).sentence_score(said, list(references))
    return [found.sys_len, found.ref_len, *found.counts, *found.totals]


def signature(tokenize: Tokenizer = "13a", lowercase: bool = False) -> str:
    """What sacrebleu calls this: case, tokenizer, smoothing and its version. Numbers under another one cannot be
    compared."""
    import sacrebleu

    case = "lc" if lowercase else "mixed"
    return f"nrefs:var|case:{case}|eff:no|tok:{tokenize}|smooth:exp|version:{sacrebleu.__version__}"


def sacre_bleu(sums: np.ndarray) -> np.ndarray:
    """Score in 0..1 (sacrebleu: 0..100) of corpora, float [R], from their sums [R, 10]; 0 where no token matches or the
    corpus has no run of four tokens."""
    import numpy as np

    said, wanted = sums[:, 0], sums[:, 1]
    hits, total = sums[:, 2 : 2 + LONGEST], sums[:, 2 + LONGEST :]
    missed = hits == 0
    halved = 0.5 ** np.cumsum(missed, axis=1)  # each precision of 0 becomes 1/2, 1/4, ... of one n-gram
    full = (total > 0).all(axis=1) & (hits > 0).any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(missed, halved, hits) / total
        brevity = np.exp(np.minimum(0.0, 1 - wanted / said))
        return np.where(full, brevity * np.exp(np.log(precision).mean(axis=1)), 0.0)


def coco_sums(said: Sequence[Hashable], references: Sequence[Sequence[Hashable]]) -> list[int]:
    """The same for texts that are tokens already. Raises ValueError without references."""
    _wanted(references)
    _, closest = min((abs(len(one) - len(said)), len(one)) for one in references)
    hits, total = [], []
    for n in range(1, LONGEST + 1):
        ours, most = ngrams(said, n), ngrams(references[0], n)
        for one in references[1:]:
            most |= ngrams(one, n)
        hits.append((ours & most).total())
        total.append(ours.total())
    return [len(said), closest, *hits, *total]


def coco_bleu(sums: np.ndarray, n: int = LONGEST) -> np.ndarray:
    """BLEU-n in 0..1 of corpora, float [R], from their sums [R, 10], by the formula of COCO's code."""
    import numpy as np

    said, wanted = sums[:, 0], sums[:, 1]
    hits, total = sums[:, 2 : 2 + n], sums[:, 2 + LONGEST : 2 + LONGEST + n]
    precision = ((hits + TINY) / (total + SMALL)).prod(axis=1) ** (1 / n)
    ratio = (said + TINY) / (wanted + SMALL)
    score: np.ndarray = precision * np.exp(np.minimum(0.0, 1 - 1 / ratio))
    return score


def _wanted(references: Sequence[Any]) -> None:
    if not references:
        raise ValueError("references: expected at least one, found none")


@functools.cache
def _scorer(tokenize: Tokenizer, lowercase: bool) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    # effective_order changes the score of a sentence, not what it counts, and keeps sacrebleu from warning.
    return BLEU(tokenize=tokenize, lowercase=lowercase, effective_order=True)
