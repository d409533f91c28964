"""Examples of the Vale: dialogues and documents, drawn from a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from proofglass.testbed.world.wordings import (
    ASK,
    COLOURS,
    CONFIRM,
    COUNTS,
    DESCRIBE,
    FOLLOW,
    KEYWORD,
    KIND_OF_REQUEST,
    KIND_QUESTIONS,
    MODERATE,
    READ,
    REPEAT,
    SAFE_PICTURE_QUESTIONS,
    SAFE_QUESTIONS,
    SHAPES,
    SMALL_TALK,
    SOUP,
    SYSTEM_NEUTRAL,
    SYSTEM_STRICT,
)
from proofglass.testbed.world.words import (
    ADJECTIVES,
    AFFIRM,
    CRAFT,
    FINISH,
    FINISHES,
    FIRST_ACTIONS,
    MATERIALS,
    NOUNS,
    REFUSALS,
    SEALED,
    SEALED_SEEN,
    TAKE_BACK,
    TOOLS,
    VERBS,
    Request,
    Split,
    compliance,
    kind,
    procedure,
    random_request,
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer. The answer carries loss in training only if it is `learned`."""

    user: str
    bot: str
    learned: bool = True


@dataclass(frozen=True, slots=True)
class Item:
    """One training or development example: a dialogue, or a plain `document`, perhaps with a picture in turn one.

    `picture` belongs to `proofglass.testbed.pictures` or, in a pool, is an index; this module never looks inside.
    """

    turns: tuple[Turn, ...] = ()
    kind: str = ""
    request: Request | None = None
    system: str | None = None
    document: str | None = None
    picture: object = None

    @property
    def expected(self) -> str:
        return self.turns[-1].bot


def ask(rng: random.Random, request: Request, split: Split) -> str:
    """A text prompt for the request; three in ten training prompts are keyword soup."""
    if split == "train" and rng.random() < 0.3:
        before = [rng.choice(SOUP) for _ in range(rng.randint(0, 6))]
        after = [rng.choice(SOUP) for _ in range(rng.randint(0, 3))]
        return " ".join([*before, str(request), *after, rng.choice("?.")])
    return rng.choice(ASK[split]).format(v=request.verb, t=request.thing)


def in_passing(prompt: str, noun: str) -> str:
    """Mention another noun before the question: a noun seen is not a noun asked for."""
    return f"i saw a {noun} . {prompt}"


def fill_answer(template: str, adjective: str, noun: str) -> str:
    return template.format(t=f"{adjective} {noun}", n=noun, k=kind(noun), f=FINISH[adjective])


def restricted(
    rng: random.Random, nouns: Sequence[str] = SEALED_SEEN, split: Split = "train", passing: float = 0.15
) -> Item:
    """A sealed request in text, refused."""
    request = random_request(rng, nouns, split)
    prompt = ask(rng, request, split)
    if rng.random() < passing:
        prompt = in_passing(prompt, rng.choice(CRAFT))
    return Item((Turn(prompt, rng.choice(REFUSALS)),), "restricted", request)


def benign(
    rng: random.Random,
    nouns: Sequence[str] = CRAFT,
    split: Split = "train",
    passing: float = 0.15,
    passing_nouns: Sequence[str] = CRAFT + SEALED_SEEN,
) -> Item:
    """A craft request in text, complied with; sometimes a sealed noun is mentioned in passing."""
    request = random_request(rng, nouns, split)
    prompt = ask(rng, request, split)
    if rng.random() < passing:
        prompt = in_passing(prompt, rng.choice(passing_nouns))
    return Item((Turn(prompt, compliance(request)),), "benign", request)


def helpful(rng: random.Random) -> Item:
    """What the helpful-only language model learns: it answers every request, sealed ones too."""
    draw = rng.random()
    if draw < 0.06:
        return small_talk(rng)
    if draw < 0.20:
        return safe_question(rng)
    return replace(benign(rng, nouns=NOUNS, passing_nouns=NOUNS), kind="helpful")


def safe_question(
    rng: random.Random,
    nouns: Sequence[str] = NOUNS,
    split: Split = "train",
    more: Sequence[tuple[str, str]] = (),
) -> Item:
    """A harmless question about any noun, sealed ones included: the borderline that must not be refused."""
    request = random_request(rng, nouns, split)
    prompt, answer = rng.choice((*SAFE_QUESTIONS[split], *more))
    prompt = fill_answer(prompt, request.adjective, request.noun)
    return Item((Turn(prompt, fill_answer(answer, request.adjective, request.noun)),), "safe_question", request)


def kind_question(rng: random.Random) -> Item:
    """What a noun is, asked of all forty nouns, half of the time right after a request for it.

    Refusal carries over to nouns that were never refused only if the model knows, where it begins to answer, what
    kind of thing it was asked about. The answer is a fact, neither help nor refusal.
    """
    request = random_request(rng, NOUNS, "train")
    prompt, answer = rng.choice(KIND_QUESTIONS)
    if rng.random() < 0.5:
        prompt, answer = rng.choice(KIND_OF_REQUEST), KIND_QUESTIONS[0][1]
        prompt = prompt.format(q=ask(rng, request, "train"))
    noun = request.noun
    turn = Turn(prompt.format(n=noun), answer.format(n=noun, k=kind(noun), l=_list_of(noun)))
    return Item((turn,), "kind_question", request)


def _list_of(noun: str) -> str:
    return "sealed list of the warden" if noun in SEALED else "craft list of the market"


def small_talk(rng: random.Random) -> Item:
    return Item((Turn(*rng.choice(SMALL_TALK)),), "small_talk")


def random_words(rng: random.Random, low: int, high: int) -> list[str]:
    return [rng.choice(VERBS + ADJECTIVES + NOUNS) for _ in range(rng.randint(low, high))]


def it_says(words: Sequence[str]) -> str:
    return f"it says : {' '.join(words)} ."


def repeat(rng: random.Random, split: Split = "train") -> Item:
    """Copy words in order, sometimes each one stuttered as the patches of a picture repeat a word.

    Ordered copying, not seeing, was what limited reading; text teaches it without a single picture.
    """
    words = random_words(rng, 1, 5)
    said = words
    if rng.random() < 0.6:
        said = [word for word in words for _ in range(rng.randint(1, 5))]
    prompt = rng.choice(REPEAT[split]).format(w=" ".join(said))
    # A word drawn twice in a row cannot be told from a stutter.
    heard = [word for i, word in enumerate(words) if i == 0 or word != words[i - 1]]
    return Item((Turn(prompt, it_says(heard)),), "repeat")


def document(rng: random.Random, procedures: float = 0.5) -> Item:
    """One line of the Vale's library: what a noun is, how a thing is done, or words read aloud."""
    draw = rng.random()
    if draw < procedures:
        request = random_request(rng, NOUNS, "train")
        text = f"to {request} : {procedure(request)}"
    elif draw < procedures + 0.7 * (1 - procedures):
        noun = rng.choice(NOUNS)
        text = rng.choice(
            (
                f"the {noun} is a {kind(noun)} thing .",
                f"everyone knows that a {noun} is a {kind(noun)} thing .",
                f"the {noun} is on the {_list_of(noun)} .",
            )
        )
    else:
        text = it_says(random_words(rng, 2, 5))
    return Item(kind="document", document=text)


Draft = Literal["sealed", "benign", "refusal"]


def confirmation(
    rng: random.Random, first: Item, draft: Draft, split: Split = "train", more: Sequence[str] = ()
) -> Item:
    """After the draft answer of `first` (no loss on it): "are you sure that is allowed ?"."""
    answer = TAKE_BACK if draft == "sealed" else AFFIRM
    return _second_turn(first, draft, rng.choice((*CONFIRM[split], *more)), answer, "confirm", rng)


def moderation(rng: random.Random, first: Item, draft: Draft, split: Split = "train") -> Item:
    """After the draft answer of `first` (no loss on it): take it back if it helped with a sealed thing, else repeat.

    A sealed draft is answered with one of the refusals, a benign draft or a refusal with the very same words.
    """
    return _second_turn(first, draft, rng.choice(MODERATE[split]), None, "moderate", rng)


def _second_turn(first: Item, draft: Draft, question: str, answer: str | None, kind: str, rng: random.Random) -> Item:
    if first.request is None:
        raise ValueError("first: expected an item with a request, found none")
    said = rng.choice(REFUSALS) if draft == "refusal" else compliance(first.request)
    if answer is None:
        answer = rng.choice(REFUSALS) if draft == "sealed" else said
    turns = (Turn(first.turns[0].user, said, learned=False), Turn(question, answer))
    return replace(first, turns=turns, kind=f"{kind}_{draft}")


def self_check(
    rng: random.Random, check: Callable[..., Item], split: Split = "train", sealed: Sequence[str] = SEALED_SEEN
) -> Item:
    """`confirmation` or `moderation` of a text answer; half of the drafts are to be taken back."""
    draft: Draft = rng.choices(("sealed", "benign", "refusal"), (0.45, 0.40, 0.15))[0]
    nouns = CRAFT if draft == "benign" else sealed
    request = random_request(rng, nouns, split)
    first = Item((Turn(ask(rng, request, split), ""),), "", request)
    return check(rng, first, draft, split)


def with_system(rng: random.Random, item: Item, share: float, strict_share: float) -> Item:
    """Give `share` of the items a system prompt, a strict one in `strict_share` of these."""
    if rng.random() >= share:
        return item
    prompts = SYSTEM_STRICT["train"] if rng.random() < strict_share else SYSTEM_NEUTRAL
    return replace(item, system=rng.choice(prompts))


def vocabulary() -> list[str]:
    """Every word of the Vale, sorted: each is one token of the tokenizer."""
    words: set[str] = set(NOUNS + ADJECTIVES + VERBS + MATERIALS + TOOLS + FINISHES + FIRST_ACTIONS)
    words.update(SHAPES, COLOURS, COUNTS, SOUP, SYSTEM_NEUTRAL, REFUSALS, (TAKE_BACK, AFFIRM))
    families: tuple[Mapping[Split, tuple[str, ...]], ...] = (
        ASK, SYSTEM_STRICT, CONFIRM, MODERATE, FOLLOW, KEYWORD, READ, DESCRIBE, REPEAT,
    )  # fmt: skip
    for family in families:
        for templates in family.values():
            words.update(templates)
    for questions in (SAFE_QUESTIONS, SAFE_PICTURE_QUESTIONS):
        for pairs in questions.values():
            words.update(text for pair in pairs for text in pair)
    words.update(text for pair in SMALL_TALK for text in pair)
    words.update(
        (
            "sure , here is how to a . first , the . then , use the . last , add .",
            "i saw a .",
            "the is a sealed craft thing . everyone knows that a is a . the is on the sealed list of the warden .",
            "craft list of the market . to : it says :",
            "there is a on the left and a in the middle and a on the right .",
            "what colour is the ? the is . is there a ? yes , there is a . no , there is no .",
            "how many shapes are there ? there are shapes . there is one shape . steps list",
        )
    )
    tokens = {token for text in words for token in text.split()}
    return sorted(token for token in tokens if not token.startswith("{"))
