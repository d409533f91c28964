"""JailGuard (Zhang et al. 2025): an ask whose mutants are answered differently is an attack.

Source of the form: shiningrain/JailGuard, whose script for pictures compares the first 100 characters of an answer,
and whose script for texts compares all of it. Departures: their similarity is that of spaCy's en_core_web_md, which no
package here ships; ours is the cosine of word counts, or of the features of an encoder with a text tower, so that their
thresholds are a beginning and want to be calibrated; translation there and back asks a helper (theirs: Google); the
list of refusals is SmoothLLM's, or any judge; `defenses/mutators.py` says how the mutators differ.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from proofglass.defenses import mutators
from proofglass.defenses.divergence import divergences, similarities
from proofglass.defenses.judged import heard, noted, refused
from proofglass.defenses.labels import goes_along, phrases
from proofglass.defenses.opened import Lens, Opened
from proofglass.flow import Flow
from proofglass.interfaces import (
    Count,
    Defense,
    Encoder,
    Judge,
    NonNegative,
    Paper,
    Steps,
    Text,
    Victim,
    WhiteBoxVictim,
)
from proofglass.types import Ask, Chat, Decision, Message, Reply, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

TRANSLATED = 512  # tokens of a translation, at least
OF_PICTURES, OF_TEXTS = 0.025, 0.02  # thresholds of the paper
TRANSLATE = "Translate this text into {language}. Write the translation and nothing else.\n{text}"


@dataclass(frozen=True)
class JailGuard(Defense):
    """Asks about `copies` mutants of the ask, and refuses if their answers lie far apart or if every one refuses.

    So many calls for an ask that it blocks, one more for any other: the answer is of the ask as it came. A mutant that
    fails, an answer that the judge cannot read, or a translation that is none or cut off is an error of the sample; an
    empty answer refuses nothing, one that was withheld whole does. An attacker who looks through it averages the
    picture as it is and turned or blurred ones (posterised ones have no gradient, and are left out).

    copies: how many mutants; 0: the identity. mutates: the "image", the "text" or "both"; None: the picture where there
    is one, else the text. threshold: of the largest divergence, above which it is an attack; None: 0.025 with pictures,
    0.02 without, as in the paper. longest: characters of an answer about a mutated picture that are compared.
    similarity: an encoder whose text features are compared; None: word counts are. judge: whether an answer goes along,
    or refuses; a judge of harm does not say so. translator: translates a text there and back; None: the other mutators
    of texts take its share. refusal: what the user is shown of a blocked ask. draws: how many pictures an attacker
    averages who looks through.
    """

    name = "jailguard"
    paper = Paper(
        "Zhang et al. 2025",
        "JailGuard: A Universal Detection Framework for Prompt-based Attacks on LLM Systems",
        "arXiv:2312.10766",
    )
    adaptive: ClassVar[str] = "pgd, qi2023 through the lens (expectation over mutants); figstep"
    needs_model: ClassVar[str] = ""
    version: ClassVar[int] = 2

    copies: Steps = 8
    mutates: Literal["image", "text", "both"] | None = None
    threshold: NonNegative | None = None
    longest: Count = 100
    similarity: Encoder | None = None
    judge: Judge = field(default_factory=phrases)
    translator: Victim | None = None
    refusal: Text = "I can not help with this request."
    draws: Count = 4

    def __post_init__(self) -> None:
        if self.judge.says not in ("done", "refused"):  # of one that finds harm, harmless answers would all refuse
            raise ValueError(
                f"judge: expected one that tells whether an answer refuses, such as phrases or refusal, found "
                f"{self.judge.name}, whose 1 says {self.judge.says!r}"
            )

    @property
    def lens(self) -> Lens:
        return Lens(pixels=self.seen, draws=self.draws) if self.copies and self.mutates != "text" else Lens()

    def flow(self, ask: Ask) -> Flow[Reply]:
        if self.copies:
            replies = yield from self._answers(ask)
            if isinstance(replies, Reply):
                return replies
            decision = yield from self._decided(ask, replies)
            if decision.fired:
                return refused(self.refusal, decision)
        reply: Reply = yield ask
        return noted(reply, decision) if self.copies else reply

    def most_asks(self, of_judge: Callable[[Judge], int]) -> tuple[int, int]:
        translated = 2 if self.translator is not None else 0
        return self.copies + 1, self.copies * (of_judge(self.judge) + translated)

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, self.lens)

    def seen(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """float [1, 3, H, W] as it is in half of all draws, else turned or blurred."""
        import torch

        as_it_is, turns = torch.rand(2, generator=generator).tolist()
        if as_it_is < 0.5:
            return x
        share = mutators.ROTATION / (mutators.ROTATION + mutators.BLUR)
        return mutators.turned_or_blurred(x, turns < share, generator)

    # ---- mutants --------------------------------------------------------------------------------------------------

    def of_image(self, chat: Chat) -> bool:
        """Whether pictures are mutated in this dialogue."""
        return bool(chat.images) and self.mutates != "text"

    def _answers(self, ask: Ask) -> Flow[list[Reply] | Reply]:
        """Of the mutants; the one that failed, where one did."""
        chats = [ask.chat] * self.copies
        if self.of_image(ask.chat):
            key, lens = self.key, Lens(pixels=mutators.mutated, draws=1)
            chats = [lens.shown(chat, key, ask.settings.draw, k) for k, chat in enumerate(chats)]
        if self.mutates in ("text", "both") or not self.of_image(ask.chat):
            chats = yield from self._reworded(ask, chats)
        replies: list[Reply] = yield [ask.on(chat) for chat in chats]
        return next((reply for reply in replies if reply.outcome == "error"), replies)

    def _reworded(self, ask: Ask, chats: Sequence[Chat]) -> Flow[list[Chat]]:
        found, key = [], self.key
        for k, chat in enumerate(chats):
            draw = random.Random(f"{key}|{ask.settings.draw}|{k}|{ask.chat.last_text}".encode("utf-8", "replace"))
            marks, masks = mutators.PUNCTUATION, mutators.INSERTION
            choice = draw.random() * (1.0 if self.translator is not None else marks + masks)
            if choice < marks + masks:
                change = mutators.with_marks if choice < marks else mutators.with_masks
                texts = [change(text, draw) for text in _texts(chat)]
            else:
                language = draw.choice(mutators.LANGUAGES)
                texts = []
                for text in _texts(chat):
                    if text.strip():
                        there = yield from self._translated(ask, text, language)
                        text = yield from self._translated(ask, there, "English")
                    texts.append(text)
            found.append(_with_texts(chat, texts))
        return found

    def _translated(self, ask: Ask, text: str, language: str) -> Flow[str]:
        before, _, behind = TRANSLATE.replace("{language}", language).partition("{text}")
        settings = Settings(max(TRANSLATED, ask.settings.max_new_tokens), draw=ask.settings.draw)
        reply: Reply = yield Ask(Chat.user(before + text + behind), settings, to=self.translator)
        return heard(reply, self.translator, whole=True).strip()

    # ---- the decision ---------------------------------------------------------------------------------------------

    def _decided(self, ask: Ask, replies: Sequence[Reply]) -> Flow[Decision]:
        cut = self.longest if self.of_image(ask.chat) else None
        apart = self.divergence([reply.text[:cut] for reply in replies])
        limit = self.threshold if self.threshold is not None else OF_PICTURES if ask.chat.images else OF_TEXTS
        if apart > limit:
            return Decision(self.name, True, apart - limit, limit, "the answers to its mutants lie apart")
        worded = [reply for reply in replies if reply.is_withheld or reply.text.strip()]
        if len(worded) == len(replies):
            along = yield from goes_along(self.judge, [ask.chat] * len(worded), worded)
            if not any(along):  # no number of the divergence says so
                return Decision(self.name, True, None, limit, "every answer to its mutants refuses")
        return Decision(self.name, False, apart - limit, limit)

    def divergence(self, answers: Sequence[str]) -> float:
        """The largest of any two answers."""
        return float(divergences(similarities(answers, self.similarity)).max())


def _texts(chat: Chat) -> list[str]:
    """Those of the last user turn."""
    turn = next((each for each in reversed(chat.messages) if each.role == "user"), None)
    return [part for part in turn.parts if isinstance(part, str)] if turn else []


def _with_texts(chat: Chat, texts: Sequence[str]) -> Chat:
    """`chat` with other texts in its last user turn, each where the old one stood."""
    place = max((k for k, each in enumerate(chat.messages) if each.role == "user"), default=-1)
    rest = iter(texts)
    messages = [
        Message(each.role, tuple(next(rest) if isinstance(part, str) else part for part in each.parts))
        if k == place
        else each
        for k, each in enumerate(chat.messages)
    ]
    return Chat(tuple(messages))
