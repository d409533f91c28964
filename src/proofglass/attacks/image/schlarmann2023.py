"""Attack on captions and answers, Schlarmann & Hein (2023), arXiv:2308.10741: an honest user, a third party's picture.

A list of passes, each an APGD of its own, away from one ground truth after another; the picture with the lowest score
is kept, and a sample whose score is low enough is left alone. The workshop paper's code was not found; facts are those
of RobustVLM, by the same group.
Departures from that code:
- its passes are in float16 but for the last, which starts from the best picture so far in float32, where steps smaller
  than float16's spacing (4.9e-4 above 0.5) still count. Here pixels and steps are float32 in every pass, and the model
  has the dtype of the victim; the last pass is kept for its new start.
- scores are of the 8-bit picture, one query each; theirs of the float picture. A sample is finished at `threshold` or
  below (theirs: below 10 CIDEr points on COCO, 2 on Flickr30k, or a VQA accuracy of 0). Captions are scored by matching
  references, not by CIDEr, which depends on the other pictures of a set.
- an attacked picture is preferred to the clean one at an equal score; theirs keeps the first.
- chats have one picture, so that there are no context pictures to mask. The text is tokenised apart from the prompt;
  theirs finds it behind the last colon.
- the first look for progress compares with the loss at the start (see `engine.APGDStep`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from proofglass.attacks.crafting.access import with_gradients
from proofglass.attacks.crafting.fields import Epsilon
from proofglass.attacks.crafting.pixels import alike, left_of, path_of
from proofglass.attacks.crafting.said import Said
from proofglass.engine import A_GRADIENT, APGDStep, LInf, Look, Schedule, TargetNLL, minimise, negated
from proofglass.engine.pictures import start_pixels
from proofglass.errors import UsageError
from proofglass.interfaces import Attack, Count, Paper, Positive, Steps, Text, Victim, WhiteBoxVictim
from proofglass.registry import build
from proofglass.types import Artefact, Budget, Cost, Image, Sample, Settings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Schlarmann2023(Attack):
    """One picture per sample, the one of its APGD passes whose reply is judged the lowest.

    The passes: clean; APGD away from each of the `truths` most common different references, from the clean picture;
    with `again`, APGD from the picture with the lowest score so far, away from the
    reference that made it (the clean one may have it: then away from the first, as theirs); APGD towards each of
    `decoys` (theirs for VQA: "maybe", "Word"), from the clean picture. Goal "targeted": clean; APGD towards the target.

    The score is 1 - the judge's verdict on the reply: accuracy under `wrong-answer`, for "targeted" under
    `target-string`. The worst of the passes is chosen by the very measure that is
    reported, which no real attacker could do so well: the trace holds "score_first_attack", of the first attack alone,
    and truths=1, again=False makes it the whole.

    goal: away from right answers ("untargeted"), or towards a text ("targeted"). target: that text; empty: each
    sample's own. epsilon: l-infinity radius in pixel units of [0, 1], 1/255 to 4/255 in the paper. eta: the first step
    size; None: epsilon (theirs; Croce & Hein 2 x). steps: per pass; None: 100, targeted 10,000. A budget is spent pass
    by pass and shortens a pass from the start, since the places of APGD's checks depend on their number. truths: how
    many different references are left, one after another. again: one more pass, from the best picture so far. decoys:
    texts to go towards. threshold: a sample that scores this or less is left alone. metric: of `wrong-answer`: what
    counts as a right answer. reduction: "sum" over the tokens (theirs for OpenFlamingo) or "mean" (LLaVA); the end
    token belongs to the text. answer_tokens: longest reply that is scored. start: picture for samples without one
    (None: mid-grey). batch: pictures optimised together; each as in its own run, up to how the victim rounds.
    """

    goal: Literal["untargeted", "targeted"] = "untargeted"
    target: str = ""
    epsilon: Epsilon = 4 / 255
    eta: Positive | None = None
    steps: Steps | None = None
    truths: Count = 5
    again: bool = True
    decoys: tuple[Text, ...] = ()
    threshold: float = 0.0
    metric: Literal["contains", "vqa"] = "contains"
    reduction: Literal["sum", "mean"] = "sum"
    answer_tokens: Count = 32
    start: Image | None = None
    batch: Count = 32

    name = "schlarmann2023"
    version = 2  # distinct ground truths; the last pass may start from the clean picture; radii between two levels
    paper = Paper(
        "Schlarmann & Hein 2023",
        "On the Adversarial Robustness of Multi-Modal Foundation Models",
        "arXiv:2308.10741",
    )
    opens = "gradients"
    threat = "third party"
    changes = ("image",)
    scope = "sample"
    reports = (
        "4/255, as kept up in RobustVLM: COCO CIDEr of OpenFlamingo-9B 79.7 to 1.1, of LLaVA-1.5-7B 115.5 to 3.1; "
        "TextVQA accuracy 23.8 to 0 and 37.1 to 0"
    )

    def __post_init__(self) -> None:
        if self.target and self.goal == "untargeted":
            raise ValueError("target: an untargeted attack has none; set goal to 'targeted'")

    def rule(self) -> APGDStep:
        """The step rule of every pass."""
        return APGDStep(self.epsilon if self.eta is None else self.eta)

    def passes(self) -> tuple[str, ...]:
        """Names of the passes after the clean one, in order."""
        if self.goal == "targeted":
            return ("target",)
        truths = [f"truth {k}" for k in range(self.truths)]
        return (*truths, *(["again"] if self.again else []), *(f"decoy {k}" for k in range(len(self.decoys))))

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        victim = with_gradients(self, victim)
        for sample in samples:
            self._check(sample)
        for part in alike(victim, samples, self.batch):
            clean, x0 = start_pixels(victim, [s.chat for s in part], self.start)
            cases = [Case(s, c, x0[b : b + 1]) for b, (s, c) in enumerate(zip(part, clean, strict=True))]
            began = time.perf_counter()
            for case, look in zip(cases, self.scores(victim, cases, clean), strict=True):
                case.scored("clean", look)
            for name in self.passes():
                for group in self._ready(cases, name, budget):
                    # The query that scores this pass is held back.
                    self._run(victim, name, group, left_of(budget, group[0].cost + Cost(queries=1), began))
            yield from (case.artefact(victim) for case in cases)

    def scores(self, victim: Victim, cases: Sequence[Case], pictures: Sequence[Image]) -> list[Look]:
        """How well each case still does on its picture: 1 right (targeted: target not said), 0 wrong."""
        if self.goal == "targeted":
            judge = build("judges", "target-string", target=self.target or None)
        else:
            judge = build("judges", "wrong-answer", metric=self.metric)
        samples, settings = [case.sample for case in cases], Settings(max_new_tokens=self.answer_tokens)
        looks = []
        for sample, (verdict, cost) in zip(samples, Said(victim, judge)(samples, pictures, settings), strict=True):
            if verdict.value is None:
                raise UsageError(f"sample {sample.id!r}: no score to choose passes by: {verdict.reason}")
            looks.append(Look(1 - verdict.value, cost))
        return looks

    # ---- a pass -----------------------------------------------------------------------------------------------------

    def _ready(self, cases: Sequence[Case], name: str, budget: Budget | None) -> list[list[Case]]:
        """Who takes part in a pass, grouped by what they have spent of the budget: a pass has one."""
        unit = budget or Budget(0)
        groups: dict[float, list[Case]] = {}
        for case in cases:
            if case.score > self.threshold and self._text(case, name):
                groups.setdefault(unit.of(case.cost), []).append(case)
        return list(groups.values())

    def _text(self, case: Case, name: str) -> str:
        """What a pass is about; empty: nothing to do in it."""
        kind, _, number = name.partition(" ")
        references = distinct(case.sample.references)
        if kind == "target":
            return self.target or case.sample.target
        if kind == "decoy":
            return self.decoys[int(number)]
        if kind == "again":
            return references[case.truth] if "truth 0" in case.scores else ""
        return references[int(number)] if int(number) < len(references) else ""

    def _run(self, victim: WhiteBoxVictim, name: str, cases: Sequence[Case], budget: Budget | None) -> None:
        import torch

        schedule = self._schedule(victim, budget)
        if schedule.steps == 0 or (budget is not None and budget.amount == 0):
            return
        pairs = [[(case.sample.chat.with_image(case.clean), self._text(case, name))] for case in cases]
        nll = TargetNLL(victim, pairs, weighting="sum" if self.reduction == "sum" else "token", append_eos=True)
        found = minimise(
            nll if name.startswith(("target", "decoy")) else negated(nll),
            torch.cat([case.x0 for case in cases]),
            constraint=LInf(self.epsilon, "clean"),
            step=self.rule(),
            schedule=schedule,
            budget=budget,
            select="best",
            start=torch.cat([case.best for case in cases]) if name == "again" else None,
        )
        pictures = found.images()
        for b, look in enumerate(self.scores(victim, cases, pictures)):
            trace = found.trace(b) | {"pass": name}
            cases[b].scored(name, look, found.x[b : b + 1], pictures[b], found.costs[b], trace)

    def _schedule(self, victim: WhiteBoxVictim, budget: Budget | None) -> Schedule:
        steps = {"untargeted": 100, "targeted": 10_000}[self.goal] if self.steps is None else self.steps
        return Schedule(steps).within(budget, price=A_GRADIENT, passes=victim.passes)

    def _check(self, sample: Sample) -> None:
        if self.goal == "targeted" and not (self.target or sample.target):
            raise UsageError(f"sample {sample.id!r}: target: the attack needs a text to teach, found none")
        if self.goal == "untargeted" and not any(sample.references):
            raise UsageError(f"sample {sample.id!r}: references: the attack needs a right answer to leave, found none")


def distinct(references: Sequence[str]) -> list[str]:
    """Different answers, the most common one first; as common ones in their order. Empty ones are none."""
    return [text for text, _ in Counter(text for text in references if text).most_common()]


@dataclass
class Case:
    """One sample on its way through the passes.

    x0, best: float32 [1, 3, H, W], the clean picture and the one with the lowest score, of which an attacked one goes
    before the clean one; truth: which ground truth the best one left, the first for the clean one (theirs too);
    picture, score: the best one's, None for the clean one; scores: of each pass that ran.
    """

    sample: Sample
    clean: Image
    x0: torch.Tensor
    best: torch.Tensor = field(init=False)
    truth: int = 0
    score: float = float("inf")
    picture: Image | None = None
    scores: dict[str, float] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    trace: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.best = self.x0

    def scored(
        self,
        name: str,
        look: Look,
        x: torch.Tensor | None = None,
        picture: Image | None = None,
        cost: Cost | None = None,
        trace: dict[str, Any] | None = None,
    ) -> None:
        """Note a pass. An attacked picture replaces an attacked one only if it scores lower, the clean one also if it
        scores as low."""
        self.scores[name] = look.score
        self.cost = self.cost + (cost or Cost()) + look.cost
        if look.score < self.score or (x is not None and self.picture is None and look.score == self.score):
            self.score, self.picture, self.trace = look.score, picture, trace or {}
            self.best = self.x0 if x is None else x
            self.truth = int(name.split()[1]) if name.startswith("truth") else self.truth

    def artefact(self, victim: WhiteBoxVictim) -> Artefact:
        attacks = [score for name, score in self.scores.items() if name != "clean"]
        return Artefact(
            self.sample.id,
            (self.picture or self.clean,),
            clean=self.clean,
            crafted_on=victim.key,
            cost=self.cost,
            trace={"loss": [], "pass": "clean", "steps": 0, "linf_levels": 0, "l2": 0.0}
            | self.trace
            | {
                "passes": list(self.scores),
                "scores": list(self.scores.values()),
                "score": self.score,
                "score_first_attack": attacks[0] if attacks else self.score,
            }
            | path_of(victim),
        )
