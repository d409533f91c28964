"""SmoothVLM (Sun et al. 2024): several copies of the picture with random pixels changed, and a vote over the answers.

The vote is that of SmoothLLM's code (arobey1/smooth-llm), from which the method comes: an answer at random from the
side of the majority, and a tie falls on the side that does not go along. Departures: no code of SmoothVLM is public, so
the share of pixels, what a masked pixel becomes and the number of copies are parameters, with SmoothLLM's numbers; the
test for a refusal is SmoothLLM's list of phrases, found anywhere in the answer, or any judge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from proofglass.defenses.judged import noted
from proofglass.defenses.labels import goes_along, phrases
from proofglass.defenses.opened import Lens, Opened
from proofglass.engine.seeds import seed_of
from proofglass.flow import Flow
from proofglass.interfaces import Count, Defense, Judge, Paper, Share, WhiteBoxVictim
from proofglass.types import Ask, Chat, Decision, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch


@dataclass(frozen=True)
class SmoothVLM(Defense):
    """Asks about `copies` of the picture, each with other random pixels changed, and answers as the majority does.

    So many calls in place of one, and those of the judge. It intervenes where at least `threshold` of the answers
    refuse: then the reply is one of those, else one of the others, drawn at random (the same ask draws alike). A
    dialogue without pictures is asked once. A copy that fails, or an answer that cannot be judged, is an error of the
    sample. An attacker who looks through it averages copies (expectation over their pixels).

    copies: how many. share: of the pixels that is changed in each; 0: the identity. perturbation: "mask" makes them
    `fill`, "swap" exchanges them among each other, "replace" gives them random colours. fill: grey of a masked pixel, 0
    black to 1 white. threshold: share of refusing answers from which it intervenes. judge: did an answer go along with
    the request? It knows question and answer only. draws: how many copies an attacker averages who looks through.
    """

    name = "smooth-vlm"
    paper = Paper(
        "Sun et al. 2024",
        "Safeguarding Vision-Language Models Against Patched Visual Prompt Injectors",
        "arXiv:2405.10529",
    )
    adaptive: ClassVar[str] = "pgd, qi2023 through the lens (expectation over copies); figstep"
    needs_model: ClassVar[str] = ""

    copies: Count = 10
    share: Share = 0.1
    perturbation: Literal["mask", "swap", "replace"] = "mask"
    fill: Share = 0.0
    threshold: Share = 0.5
    judge: Judge = field(default_factory=phrases)
    draws: Count = 4

    @property
    def lens(self) -> Lens:
        return Lens(pixels=self.perturbed, draws=self.draws) if self.share else Lens()

    def flow(self, ask: Ask) -> Flow[Reply]:
        if not self.share or not ask.chat.images:
            reply: Reply = yield ask
            return reply
        key, lens = self.key, self.lens
        chats = [lens.shown(ask.chat, key, ask.settings.draw, k) for k in range(self.copies)]
        replies: list[Reply] = yield [ask.on(chat) for chat in chats]
        failed = next((reply for reply in replies if reply.outcome == "error"), None)
        if failed is not None:
            return failed
        labels = yield from goes_along(self.judge, chats, replies)
        return self.voted(replies, labels, seed_of(key, ask.settings.draw, *_said(ask.chat)))

    def voted(self, replies: Sequence[Reply], labels: Sequence[bool], seed: int) -> Reply:
        """One of the `replies` of the side that the `labels` (it goes along) vote for, with the decision."""
        refusing = sum(not along for along in labels)
        share = refusing / len(labels)
        intervenes = share >= self.threshold
        side = [reply for reply, along in zip(replies, labels, strict=True) if along != intervenes]
        side = side or list(replies)  # a threshold of 0 intervenes where nobody refuses
        reason = f"{refusing} of {len(labels)} answers do not go along"
        decision = Decision(self.name, intervenes, share - self.threshold, self.threshold, reason)
        chosen = side[seed % len(side)]
        return noted(chosen, decision)

    def most_asks(self, of_judge: Callable[[Judge], int]) -> tuple[int, int]:
        return (self.copies, self.copies * of_judge(self.judge)) if self.share else (1, 0)

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, self.lens)

    def perturbed(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """float [1, 3, H, W] with a share of its pixels changed, whole shares rounded down."""
        import torch

        pixels = x.shape[-2] * x.shape[-1]
        count = int(self.share * pixels + 1e-9)
        places = torch.randperm(pixels, generator=generator)[:count].to(x.device)
        found = x.flatten(2).clone()
        if self.perturbation == "swap":
            order = torch.randperm(count, generator=generator).to(x.device)
            found[..., places] = x.flatten(2)[..., places[order]]
        elif self.perturbation == "replace":
            found[..., places] = torch.rand(1, 3, count, generator=generator).to(x)
        else:
            found[..., places] = self.fill
        return found.reshape(x.shape)


def _said(chat: Chat) -> list[str]:
    return [part if isinstance(part, str) else part.sha256 for message in chat.messages for part in message.parts]
