"""Text metrics beside their references, on random texts: empty ones, repeated words, odd Unicode, many references."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np

from metrics_parts.compared import Comparison
from proofglass.evaluation.similarity import bleu, cider, edits, rouge, squad, vqa
from proofglass.evaluation.similarity.overlap import Figure

_WORDS = (
    "a an the red car parked on street two dogs play in park man riding bicycle down tree sunny day runs running ran "
    "Kite kite's don't dont isn't 2 2,000 2.5 two none U.S. well-known état 猫 雨傘 ｋｉｔｅ ﬁne 🙂 ☂️ e\u0301 İ ß - , "
    ". ! ? ( ) / \u200b \u00a0 &amp; somebody'd"
)
WORDS = _WORDS.split(" ")
PEOPLE = ("yes", "no", "2", "two kites", "the kite", "red.", "it's a kite", "its a kite", "2,000", "a", "", "don't")
Corpus = list[tuple[str, list[str]]]


def text(random: Random, longest: int = 14) -> str:
    """Sometimes empty, one word, one word again and again, or with line breaks."""
    size = random.choice((0, 1, 2, random.randint(3, longest), random.randint(3, longest)))
    words = [random.choice(WORDS)] * size if random.random() < 0.1 else random.choices(WORDS, k=size)
    return "".join(word + random.choice((" ", " ", " ", "  ", "\n")) for word in words).strip(" \n")


def altered(random: Random, given: str) -> str:
    """`given` with some words gone, doubled or changed, so that long runs of it remain."""
    found = []
    for word in given.split(" "):
        found += random.choice(([word],) * 8 + ([], [word] * 2, [random.choice(WORDS)]))
    return " ".join(found)


def pair(random: Random) -> tuple[str, str]:
    reference = text(random)
    return (altered(random, reference) if random.random() < 0.7 else text(random)), reference


def answered(random: Random) -> tuple[str, list[str]]:
    """A text and one to six references for it."""
    said, reference = pair(random)
    return said, [
        reference,
        *(random.choice((altered(random, reference), text(random))) for _ in range(random.randrange(6))),
    ]


def corpus(random: Random) -> Corpus:
    return [answered(random) for _ in range(random.choice((1, 2, 3, 8, 20)))]


def tokenised(random: Random) -> Corpus:
    """A corpus of tokens between single blanks, as the COCO code wants it."""
    return [(" ".join(said.split()), [" ".join(one.split()) for one in wanted]) for said, wanted in corpus(random)]


def questioned(random: Random) -> tuple[str, list[str]]:
    """A reply and the answers of ten people."""
    known = random.sample(PEOPLE, random.choice((1, 2, 3, 6)))
    reply = random.choice((*known, *(f" {one}\n" for one in known), text(random), "Two kites!", "Its a kite."))
    return reply, random.choices(known, k=10)


def many(one: Callable[[Random], Any]) -> Callable[[Random, int], list[Any]]:
    return lambda random, n: [one(random) for _ in range(n)]


# ---- BLEU ----


def sacre_ours(case: Corpus) -> float:
    sums = np.array([bleu.sacre_sums(said, wanted) for said, wanted in case], np.float64)
    return float(bleu.sacre_bleu(sums.sum(axis=0, keepdims=True))[0])


def sacre_theirs(case: Corpus) -> float:
    from sacrebleu import corpus_bleu

    most = max(len(wanted) for _, wanted in case)
    streams = [[wanted[k] if k < len(wanted) else None for _, wanted in case] for k in range(most)]
    return corpus_bleu([said for said, _ in case], streams).score / 100


def coco_ours(case: Corpus) -> float:
    sums = [bleu.coco_sums(said.split(), [one.split() for one in wanted]) for said, wanted in case]
    return float(bleu.coco_bleu(np.array(sums, np.float64).sum(axis=0, keepdims=True))[0])


def coco_theirs(case: Corpus) -> float:
    from pycocoevalcap.bleu.bleu import Bleu

    return float(Bleu(4).compute_score(*_coco(case), verbose=0)[0][3])


# ---- ROUGE ----


def rouge_theirs(which: str, figure: str, stem: bool) -> Callable[[tuple[str, str]], float]:
    name = {"f1": "fmeasure"}.get(figure, figure)
    return lambda case: float(getattr(_rouge_scorer(which, stem).score(case[1], case[0])[which], name))


@cache
def _rouge_scorer(which: str, stem: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([which], use_stemmer=stem)


def rouge_ours(which: str, figure: Figure, stem: bool) -> Callable[[tuple[str, str]], float]:
    return lambda case: rouge.RULES[which](*case, stem=stem).figure(figure)


def coco_rouge_theirs(case: tuple[str, list[str]]) -> float:
    from pycocoevalcap.rouge.rouge import Rouge

    return float(Rouge().calc_score([case[0]], case[1]))


# ---- CIDEr ----


def cider_ours(case: Corpus) -> float:
    found = cider.cider_d([said.split() for said, _ in case], [[one.split() for one in wanted] for _, wanted in case])
    return sum(found) / len(found)


def cider_theirs(case: Corpus) -> float:
    from pycocoevalcap.cider.cider import Cider

    return float(Cider().compute_score(*_coco(case))[0])


def last_cider_theirs(case: Corpus) -> float:
    from pycocoevalcap.cider.cider import Cider

    return float(Cider().compute_score(*_coco(case))[1][-1])


def last_cider_ours(case: Corpus) -> float:
    return cider.cider_d([said.split() for said, _ in case], [[w.split() for w in wanted] for _, wanted in case])[-1]


def _coco(case: Corpus) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    return {k: wanted for k, (_, wanted) in enumerate(case)}, {k: [said] for k, (said, _) in enumerate(case)}


def has_a_reference_word(random: Random) -> Corpus:
    """The reference code stops with an error where no reference of the set has a word."""
    while True:
        found = tokenised(random)
        if any(one for _, wanted in found for one in wanted):
            return found


# ---- derived a second time: no package has these ----


def squad_again(figure: str) -> Callable[[tuple[str, str]], float]:
    """By walking over letters and pairing words off one by one."""

    def count(case: tuple[str, str]) -> float:
        said, wanted = (_squad_words(one) for one in case)
        if not said or not wanted:
            return float(said == wanted)
        left, common = list(wanted), 0
        for word in said:
            if word in left:
                left.remove(word)
                common += 1
        precision, recall = common / len(said), common / len(wanted)
        f1 = 0.0 if not common else 2 / (1 / precision + 1 / recall)
        return {"precision": precision, "recall": recall, "f1": f1}[figure]

    return count


def _squad_words(given: str) -> list[str]:
    kept = "".join(letter for letter in given.lower() if letter not in string.punctuation)
    # An article ends where a letter, digit or underscore does not go on: "a-b" has lost its dash before.
    parts = re.split(r"(\W+)", kept)
    return "".join(" " if part in ("a", "an", "the") else part for part in parts).split()


def vqa_again(case: tuple[str, list[str]]) -> float:
    """The rule as the table of its values: k equal answers of ten give 0, 0.3, 0.6, 0.9, 1."""
    reply, people = case
    answers = people if len(set(people)) == 1 else [_no_marks(one) for one in people]
    return (0.0, 0.3, 0.6, 0.9, 1.0)[min(4, answers.count(_said(reply)))]


def _said(reply: str) -> str:
    words = _no_marks(reply.replace("\n", " ").replace("\t", " ").strip()).lower().split()
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    figures = {name: str(k) for k, name in enumerate(names)} | {"none": "0"}
    found = [figures.get(word, word) for word in words if word not in ("a", "an", "the")]
    return " ".join(_apostrophe(word) for word in found)


def _apostrophe(word: str) -> str:
    """Those contractions of the official table that the cases hold."""
    return {"dont": "don't", "isnt": "isn't", "somebody'd": "somebodyd"}.get(word, word)


def _no_marks(given: str) -> str:
    marks, found = ';/[]"{}()=+\\_-><@`,?!', given
    for mark in marks:
        touches = any(mark in two and " " in two for two in map("".join, pairwise(given)))
        found = found.replace(mark, "" if touches or re.search(r"\d,\d", given) else " ")
    left, kept = 32, []
    for letter, after in pairwise([*found, ""]):
        if letter == "." and not re.match(r"\d", after) and left:
            left -= 1
        else:
            kept.append(letter)
    return "".join(kept)


def levenshtein_theirs(case: tuple[str, str]) -> float:
    from nltk.metrics.distance import edit_distance

    return float(edit_distance(*case))


FIGURES: Sequence[Figure] = ("precision", "recall", "f1")


def _rouge(which: str, figure: Figure, stem: bool = False) -> Comparison:
    name = f"{which}, {figure}{', stemmed' * stem}"
    return Comparison(
        name, "rouge-score", many(pair), rouge_ours(which, figure, stem), rouge_theirs(which, figure, stem)
    )


def squad_ours(figure: Figure, case: tuple[str, str]) -> float:
    return squad.token_overlap(*case).figure(figure)


def exact_again(case: tuple[str, str]) -> float:
    return float(_squad_words(case[0]) == _squad_words(case[1]))


COMPARISONS = (
    Comparison("BLEU-4, corpus", "sacrebleu", many(corpus), sacre_ours, sacre_theirs),
    Comparison("BLEU-4, corpus, COCO", "pycocoevalcap", many(tokenised), coco_ours, coco_theirs),
    *(_rouge(which, figure) for which in ("rouge1", "rouge2", "rougeL", "rougeLsum") for figure in FIGURES),
    _rouge("rougeL", "f1", stem=True),
    Comparison(
        "ROUGE-L, COCO", "pycocoevalcap", many(answered), lambda case: rouge.coco_rouge_l(*case), coco_rouge_theirs
    ),
    Comparison("CIDEr-D, set", "pycocoevalcap", many(has_a_reference_word), cider_ours, cider_theirs),
    Comparison(
        "CIDEr-D, last picture", "pycocoevalcap", many(has_a_reference_word), last_cider_ours, last_cider_theirs
    ),
    *(
        Comparison(f"token F1 (SQuAD), {figure}", "", many(pair), partial(squad_ours, figure), squad_again(figure))
        for figure in FIGURES
    ),
    Comparison("exact match (SQuAD)", "", many(pair), lambda case: squad.exact_match(*case), exact_again),
    Comparison("VQA accuracy", "", many(questioned), lambda case: vqa.official_accuracy(*case), vqa_again),
    Comparison(
        "Levenshtein distance", "nltk", many(pair), lambda case: float(edits.levenshtein(*case)), levenshtein_theirs
    ),
)
