"""Transfer attack of Dong et al. (2023), arXiv:2309.11751, on closed models: crafted on surrogates, not on the victim.

Spectrum simulation (SSA) averages gradients over randomly scaled frequencies, the common-weakness step (CWA) walks from
surrogate to surrogate. Departures from the paper that the authors' code makes and we follow: the reverse,
sharpness-aware half of CWA is left out; the outer step is xi, the stated 1/255 is never used; the gradient at the
transformed picture serves as the gradient at the picture (`through_transform` takes the chain rule).
Departures from the authors' code: xi is a fifth of epsilon, so that five rounds span any ball, theirs is 16/255/5 at
every epsilon; goal "text" teaches the target behind the surrogate's own chat template with an empty user text, theirs
gives the language model the bare target, which is prompt and answer at once; ||D||_1 is taken per picture, not over the
batch, and D = 0 leaves the momentum alone (theirs divides by zero); pictures are rounded to 8 bit, theirs are truncated
and leave the ball by one level; the caller's picture is never written to; pictures are taken at the victim's size
(theirs: 224 x 224). The surrogates that come with us are small ones of the testbed's world (theirs: ViT-B/16, BLIP-2
and CLIP ViT-B/32 for "embedding"; InstructBLIP, BLIP-2 and MiniGPT-4 for "text", where a Q-Former reads the target,
too). No code of the face attack was published: its loss is ours, and "toxicity" is the same loss on another detector.
The paper's own attack on a toxicity detector is goal "embedding" on the pictures that the detector blocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from proofglass.attacks.crafting.fields import Epsilon
from proofglass.attacks.crafting.pixels import craft_each
from proofglass.attacks.crafting.surrogates import check_trained_apart, size_of, surrogate
from proofglass.engine import (
    CommonWeakness,
    Cycle,
    Differentiable,
    LInf,
    Objective,
    Schedule,
    Spectrum,
    TargetNLL,
    Transformed,
    embedding_distance,
)  # fmt: skip
from proofglass.engine.pictures import target_pairs
from proofglass.engine.transfer import Resized, resized
from proofglass.errors import UsageError
from proofglass.interfaces import (
    Attack,
    Count,
    Detector,
    Encoder,
    Model,
    NonNegative,
    Paper,
    Positive,
    Victim,
    WhiteBoxVictim,
    key_of,
)  # fmt: skip
from proofglass.types import Artefact, Budget, Chat, Image, Sample

if TYPE_CHECKING:
    import torch

Goal = Literal["embedding", "text", "face", "toxicity"]

SURROGATES: dict[str, tuple[str, ...]] = {
    "embedding": ("surrogate-vit", "surrogate-cnn", "surrogate-clip"),
    "text": ("surrogate-captioner",),
    "face": ("centerface",),
    "toxicity": ("testbed-detector",),
}
"""What each goal is crafted on unless told otherwise."""

DETECTED = 0.5
"""Clean score from which an anchor counts as a detection that must go."""


@dataclass(frozen=True)
class Dong2023(Attack):
    """One picture per sample, optimised on `surrogates` in their order, in the hope that the victim is alike.

    goal: "embedding" (untargeted) drives the pooled embedding away from the clean picture's, by mean squared error.
    "text" (targeted) teaches `target` to white-box surrogate victims. "face" and "toxicity" make detectors
    miss: -log(1 - score), averaged over the anchors with a clean score of 0.5 or more (a picture on which a detector
    does not fire keeps its strongest anchor). surrogates: registered names of models or victims, or the plugs
    themselves; empty: those of the goal in `SURROGATES`. One that shares weights with the victim is refused.
    target: what goal "text" teaches; empty: each sample's own. prompt: for goal "text", what stands beside the picture;
    "" reproduces the code, None keeps the sample's own chat. epsilon: l-infinity radius in pixel units of [0, 1].
    rounds: of one step on each surrogate. draws: of SSA: transformed pictures whose gradients are averaged at a step.
    rho: of SSA: frequencies are scaled at random by 1 - rho to 1 + rho. sigma: of SSA: standard deviation of the
    noise on the pixels. mu: of CWA: decay of the momentum. beta: of CWA: step size of the inner walk from surrogate to
    surrogate. xi: of CWA: step size of the outer step; None: epsilon / 5. through_transform: take the gradient at the
    picture by the chain rule, not that at the transformed picture (the code's). start: picture for
    samples without one (None: mid-grey). batch: pictures optimised together; each as in its own run, up to how the
    victim rounds.

    `draws` passes of one surrogate per step, forward and backward, are what is counted and budgeted; a budget that
    ends within a round leaves the last inner iterate. The victim gives its picture size (and, if its tower is
    open, what that makes of one noise picture: the check that no surrogate is this tower), so any victim will do;
    `crafted_on` stays empty and the trace names the surrogates.
    """

    goal: Goal = "embedding"
    surrogates: tuple[str | Model | WhiteBoxVictim, ...] = ()
    target: str = ""
    prompt: str | None = ""
    epsilon: Epsilon = 16 / 255
    rounds: Count = 500
    draws: Count = 20
    rho: NonNegative = 0.5
    sigma: NonNegative = 16 / 255
    mu: NonNegative = 1.0
    beta: Positive = 250.0
    xi: Positive | None = None
    through_transform: bool = False
    start: Image | None = None
    batch: Count = 8

    name = "dong2023"
    version = 2  # 8-bit pictures keep to radii between two grey levels
    paper = Paper("Dong et al. 2023", "How Robust is Google's Bard to Adversarial Image Attacks?", "arXiv:2309.11751")
    looks_through = "gradients of its surrogates"
    threat = "user"
    changes = ("image",)
    needs = ("surrogate",)
    scope = "sample"
    reports = (
        "200 NIPS17 pictures at 16/255, wrong descriptions: Bard 22 % (embedding; 5 % rejected), 10 % (text), 0 % "
        "clean; GPT-4V 45 %, Bing Chat 26 %, ERNIE Bot 86 % (embedding); Bard's toxicity detector evaded 36 %"
    )

    def __post_init__(self) -> None:
        if self.goal == "embedding" and self.rho == self.sigma == 0:
            raise ValueError(
                "rho, sigma: without spectrum simulation the distance to the clean embedding has no gradient at the "
                "clean picture, found 0 and 0; set one of them"
            )
        if self.target and self.goal != "text":
            raise ValueError(f"target: goal {self.goal!r} has no target text; leave it out or set goal='text'")

    @property
    def key(self) -> str:
        """Holds the surrogates themselves: other weights under the same name are another attack."""
        return key_of([super().key, self.models()])

    def models(self) -> list[Any]:
        """The surrogates, in order. Raises UsageError for one that does not serve the goal."""
        needed = {"embedding": (Encoder, WhiteBoxVictim), "text": (WhiteBoxVictim,)}.get(self.goal, (Detector,))
        found = [surrogate(named) for named in self.surrogates or SURROGATES[self.goal]]
        for model in found:
            if not isinstance(model, needed):
                kinds = " or ".join(kind.__name__ for kind in needed)
                raise UsageError(f"surrogates: goal {self.goal!r} takes {kinds}, found {model.name!r}")
        return found

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        models = self.models()
        for model in models:
            check_trained_apart(model, victim)
        names = ", ".join(model.name for model in models)
        for artefact in craft_each(
            victim,
            samples,
            partial(self._objective, models),
            seed=seed,
            batch=self.batch,
            start=self.start,
            constraint=LInf(self.epsilon, "clean"),
            step=CommonWeakness(len(models), self.xi or self.epsilon / 5, self.beta, self.mu),
            schedule=Schedule(self.rounds * len(models)),
            budget=budget,
        ):
            trace = {name: told for name, told in artefact.trace.items() if name != "gradient_path"}
            yield dataclasses.replace(artefact, crafted_on="", trace=trace | {"surrogates": names})

    def _objective(
        self, models: Sequence[Any], part: Sequence[Sample], clean: list[Image], x0: torch.Tensor, seeds: list[int]
    ) -> Objective:
        """One surrogate per step, each at its own size and seen through the spectrum."""
        found = []
        for model in models:
            size = size_of(model, clean[0]) if isinstance(model, WhiteBoxVictim) else (x0.shape[-2], x0.shape[-1])
            if self.goal == "text":
                objective = self._taught(model, part, clean)
            else:
                objective = (_away if self.goal == "embedding" else _unseen)(model, resized(x0, size))
            spectrum = Spectrum(self.rho, self.sigma)
            found.append(Transformed(Resized(objective, size), spectrum, self.draws, seeds, self.through_transform))
        return Cycle(found)

    def _taught(self, victim: WhiteBoxVictim, part: Sequence[Sample], clean: Sequence[Image]) -> Objective:
        """The target's cross-entropy on a surrogate victim."""
        aimed = [
            dataclasses.replace(
                sample,
                target=self.target or sample.target,
                chat=sample.chat if self.prompt is None else Chat.user(picture, self.prompt),
            )
            for sample, picture in zip(part, clean, strict=True)
        ]
        return TargetNLL(victim, target_pairs(aimed, clean))


def _away(encoder: Encoder, x0: torch.Tensor) -> Objective:
    """Minus the mean squared distance of the pooled embedding to the clean picture's (its gradient is zero there:
    the noise of SSA is what starts it)."""
    import torch

    with torch.no_grad():
        clean = encoder.features(x0)
    return embedding_distance(encoder, clean, metric="mse", sign=-1)


def _unseen(detector: Detector, x0: torch.Tensor) -> Objective:
    """Background log-loss over the anchors that fire on the clean picture, else over the strongest one."""
    import torch

    with torch.no_grad():
        clean = detector.scores(x0)
    fires = (clean >= torch.minimum(clean.amax(1, keepdim=True), clean.new_tensor(DETECTED))).float()

    def background(x: torch.Tensor, rows: list[int]) -> torch.Tensor:
        # A float32 score of exactly 1 has no finite loss.
        missed = -torch.log1p(-detector.scores(x).clamp_max(1 - 2**-24))
        return (missed * fires[rows]).sum(1) / fires[rows].sum(1)

    return Differentiable(background, len(x0))
