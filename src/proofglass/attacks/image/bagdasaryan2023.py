"""Indirect injection by a picture, Bagdasaryan et al. (2023), arXiv:2307.10490.

A third party gives the user a picture that makes the model say a text. Targeted output: the text is what the user
reads. Dialogue poisoning: the text is a rule ("from now on i will ..."), spoken by the model itself, which stays in the
history and steers the turns after it.
Departures from the authors' code:
- it steps and clamps normalised values, to [-1.8, 2.2]: in pixels that is [-.002, 1.072], [-.013, 1.033] and
  [-.088, 1.015] per channel, which no file can hold. Here pixels move, inside [0, 1], by .7/255 at first (their .01 is
  .67 to .70 grey levels), and what is judged is the 8-bit picture (theirs is a float tensor).
- the SGD object there only drives the schedule of the step size; the step is the gradient's sign, as here.
- theirs is made under one fixed question; here under each sample's own, unless `query` is given.
- the text ends with one end token of the victim (theirs: end and begin tokens for LLaVA, "##" for PandaGPT).
- `epochs` 100 and `floor` 1/100 are theirs for LLaVA; for PandaGPT take 500 and 1/1000.
- the paper judges by examples; here judges count: `target-string`, and `keyword-turns` after a dialogue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, Self

from proofglass.attacks.crafting.access import with_gradients
from proofglass.attacks.crafting.fields import StepSize
from proofglass.attacks.crafting.pixels import by_id, craft_each
from proofglass.engine import A_GRADIENT, Box, Evaluation, Objective, Rows, Schedule, SignStep, TargetNLL, Within
from proofglass.engine.memory import NOTHING, Memory
from proofglass.engine.pictures import check_targets, grey, target_pairs
from proofglass.engine.points import Point
from proofglass.errors import UsageError
from proofglass.flow import Flow
from proofglass.interfaces import Attack, Count, Paper, Share, Steps, Text, Victim, WhiteBoxVictim
from proofglass.types import Artefact, Ask, Budget, Chat, Cost, Image, Reply, Sample


@dataclass(frozen=True)
class Bagdasaryan2023(Attack):
    """One picture and one query: minimises the loss of `target` and its end token, without a bound on the picture.

    scope: "sample": each sample's own picture and question; "universal": those of the crafting sample with the first
    id, and the picture serves all. query: the question it is made under, in place of the sample's own. target: the text
    to be said; empty: the sample's own. turns: what the user says after the first answer, in order; empty: targeted
    output. Some: dialogue poisoning, where `target` is the rule and the last reply is judged together with the turns
    before it. epochs: rounds of one update per target token; 0: the picture is left clean and the dialogue is the same,
    the control for dialogue poisoning. prefix: "growing": update j of a round minimises the mean loss of the first j +
    1 tokens, so that early tokens count most; "full": always of all. step_size: sign step in [0, 1] units, on a cosine
    from epoch to epoch. floor: share of `step_size` at which that cosine ends. rows: only the top rows of pixels change
    (the paper: 10 to 30; None: all do). start: picture for samples without one (None: mid-grey). batch: pictures with
    targets of one length optimised together; each as in its own run, up to how the victim rounds.
    """

    target: str = ""
    scope: Literal["sample", "universal"] = "sample"
    query: str | None = None
    turns: tuple[Text, ...] = ()
    epochs: Steps = 100
    prefix: Literal["growing", "full"] = "growing"
    step_size: StepSize = 0.7 / 255
    floor: Share = 0.01
    rows: Count | None = None
    start: Image | None = None
    batch: Count = 32

    name = "bagdasaryan2023"
    paper = Paper(
        "Bagdasaryan et al. 2023",
        "Abusing Images and Sounds for Indirect Instruction Injection in Multi-Modal LLMs",
        "arXiv:2307.10490",
    )
    opens = "gradients"
    threat = "third party"
    changes = ("image",)
    reports = "examples on LLaVA-7B and PandaGPT, no rates"

    def __post_init__(self) -> None:
        if self.turns and not self.target:
            raise ValueError("target: dialogue poisoning needs the rule that the model shall speak, found none")

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        victim = with_gradients(self, victim)
        if self.scope == "universal" and not samples:
            raise UsageError("bagdasaryan2023: a universal picture is made on the first crafting sample, found none")
        todo = [self._aimed(sample) for sample in (by_id(samples)[:1] if self.scope == "universal" else samples)]
        check_targets(todo)
        for length, part in groupby(todo, lambda sample: _length(victim, sample)):
            for artefact in craft_each(
                victim,
                list(part),
                lambda part, clean, x0, seeds: self.objective(victim, part, clean),
                seed=seed,
                batch=self.batch,
                start=self.start,
                constraint=Box("clean") if self.rows is None else Within(Box("clean"), Rows(self.rows)),
                step=SignStep(self.step_size),
                # A budget shortens the cosine too: a search that is cut off would never have taken its small steps.
                schedule=Schedule(self.epochs * length, "cosine", self.floor, period=length).within(
                    budget, price=A_GRADIENT, end=Cost(), passes=victim.passes
                ),
                budget=budget,
            ):
                yield dataclasses.replace(artefact, sample_id=None) if self.scope == "universal" else artefact

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        """The first turn under the picture, then `turns`, each after the history as it really went. Ends early where a
        turn brings no answer."""
        chat = self.apply(artefact, sample)
        reply: Reply = yield ask.on(chat)
        for text in self.turns:
            if not reply.is_said:
                break
            chat = chat.say(reply.text).ask(text)
            reply = yield ask.on(chat)
        return chat, reply

    def objective(self, victim: WhiteBoxVictim, part: Sequence[Sample], clean: Sequence[Image]) -> Objective:
        """What is minimised on these samples' pictures; their targets have one length."""
        whole = TargetNLL(victim, target_pairs(part, clean), append_eos=True)
        return GrowingPrefix(whole) if self.prefix == "growing" else whole

    def _aimed(self, sample: Sample) -> Sample:
        chat = sample.chat if self.query is None else sample.chat.with_text(self.query)
        return dataclasses.replace(sample, chat=chat, target=self.target or sample.target)


@dataclass
class GrowingPrefix(Objective):
    """Update j of a round of |y|: the mean loss of the target's tokens 1..j + 1, given those before (theirs in words:
    one forward and backward pass per prefix). value: of all tokens. With |y| = 1 it is the plain loss."""

    whole: TargetNLL
    fixed: bool = field(default=False, init=False)
    _upto: dict[int, TargetNLL] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        lengths = {sum(spans) for row in self.whole.prepared.spans for spans in row}
        if len(lengths) != 1:
            raise ValueError(f"targets: expected one length, found {sorted(lengths)} tokens")
        (self.length,) = lengths

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        known = step % self.length + 1
        if known not in self._upto:
            weights = [1 / known] * known + [0.0] * (self.length - known)
            prepared = self.whole.prepared.weighted([[weights] for _ in self.whole.pairs])
            self._upto[known] = dataclasses.replace(self.whole, weighting="given", prepared=prepared)
        return self._upto[known](x, step, need_grad=need_grad)

    def value(self, x: Point) -> Evaluation:
        return self.whole.value(x)

    def rows(self, picks: Sequence[int]) -> Self:
        return type(self)(self.whole.rows(picks))


def _length(victim: WhiteBoxVictim, sample: Sample) -> int:
    """Tokens of the target, its end token included."""
    ((spans,),) = victim.prepare(target_pairs([sample], [grey(victim)]), append_eos=True).spans
    return sum(spans)
