"""DRESS (Chen et al. 2023c): answers are learned under the feedback that they got, and asked for under the best one.

Text is no reward that a gradient could follow, so the likelihood of the *observed* answer is raised, good or bad, given
what was said of it: L_crit = -log p(y | picture, question, rating and critique). Of a dialogue that went on,
L_ref = -log p(y' | picture, question, y, advice), y' the improved answer. Only tokens of answers enter a loss. No code
of the authors was found. Not verified: the wording of the condition and where it stands, the best rating (4 in the rows
seen), all figures of the training (defaults are safety-tuning's). Departures: an adapter in the language model's layers
alone; when the model is asked to improve its answer, the advice is one fixed text, theirs is written for that answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from proofglass.defenses.learned import check_either
from proofglass.defenses.opened import Lens, Opened
from proofglass.defenses.training.conditions import Condition
from proofglass.defenses.tuning import (
    CARD,
    LEARNED,
    Lesson,
    content_of,
    micro,
    put_in,
    ready,
    seen_through,
    trained,
)
from proofglass.engine.learning import drawn
from proofglass.errors import UsageError
from proofglass.flow import Flow
from proofglass.interfaces import (
    Count,
    Dataset,
    Defended,
    Defense,
    Learner,
    NonNegative,
    Paper,
    Positive,
    Share,
    Steps,
    Text,
    Victim,
    WhiteBoxVictim,
)
from proofglass.types import Ask, Chat, Reply, Sample

if TYPE_CHECKING:
    from torch import Tensor

CONDITION = "[Rating: {rating}. Feedback: {critique}]"
PRAISE = "The answer is helpful, honest and harmless."
ADVICE = "Improve your answer: be more helpful, more honest, and harmless."


@dataclass(frozen=True)
class DRESS(Defense):
    """The model is trained on rated answers, each under its own feedback, and asked under the best feedback there is.

    Rows are the crafting rows of the data set (all rows of one that has none, such as dress-nlf): `target` is the
    answer that was given, meta "rating" what it was rated (a text, a number, or several by name), meta "critique" what
    was said of it. A row without a rating, or without a critique where the condition shows one, is left out and
    counted. What goes on after an earlier answer teaches to refine, too: its last question is the advice.

    In front of the model the condition of the best feedback stands in the last question. What has its form in anything
    that a user wrote is taken out first, so that nobody asks for the worst answer; in pictures it is not found. An
    attacker who looks through it sees the tuned weights behind the condition, and of `turns` the first answer.

    feedback: the data set. condition: how feedback stands in a question, with {rating} and, if wanted, {critique}; it
    begins and ends with words or signs of its own, by which it is known; "": none, then good and bad answers are
    learned alike. place: of the condition in a question. learns: "critique" (each answer under its condition),
    "refinement" (improved answers after advice, without one), or "both". best_rating: what is asked for; "": the model
    is asked without a condition. best_critique: beside it. turns: how often the model is then asked to improve its
    answer; 0: never. advice: how. epochs: passes over the rows; 0: nothing is learned. steps: in place of them; 0:
    `epochs` decides. batch: rows a step. rank: of the adapter; 0: all weights but the vision tower's learn. alpha: of
    the adapter, which is added alpha / rank times. rate: of learning, at its height. warm_up: share of the steps before
    that. decay: of weights. seed: of adapter and order. every: steps between two checkpoints. tuned: folder of a
    finished training; beside it say `condition` and `place` as it was trained, and how it is asked. None: the model is
    trained in the run.
    """

    name = "dress"
    paper = Paper(
        "Chen et al. 2023c",
        "DRESS: Instructing Large Vision-Language Models to Align and Interact with Humans via Natural Language "
        "Feedback",
        "arXiv:2311.10081",
    )
    needs_model = "weights"
    adaptive = "PGD, qi2023 on the tuned weights behind the condition"
    not_in_key = ("every", "tuned")
    learned_in, learns_from, learned_files = "tuned", ("feedback",), (LEARNED,)

    feedback: Dataset | None = None
    condition: str = CONDITION
    place: Literal["before", "behind"] = "before"
    learns: Literal["both", "critique", "refinement"] = "both"
    best_rating: str = "4"
    best_critique: str = PRAISE
    turns: Steps = 0
    advice: Text = ADVICE
    epochs: NonNegative = 1.0
    steps: Steps = 0
    batch: Count = 128
    rank: Steps = 128
    alpha: Positive = 256.0
    rate: Positive = 2e-4
    warm_up: Share = 0.03
    decay: NonNegative = 0.0
    seed: int = 0
    every: Count = 25
    tuned: Path | None = None

    def __post_init__(self) -> None:
        check_either("tuned", self.tuned, feedback=self.feedback)
        if self.stated.shows_critiques and self.best_rating.strip() and not self.best_critique.strip():
            raise ValueError(
                "best_critique: expected what is said of the best answer, since the condition has a {critique}; found "
                f"{self.best_critique!r}"
            )

    @property
    def stated(self) -> Condition:
        """Raises ValueError for a text that is no condition."""
        return Condition(self.condition, self.place)

    def fitted(self, model: Victim, folder: Path) -> DRESS:
        return trained(self, model, folder, self._lesson)

    def __call__(self, victim: Victim) -> Victim:
        found = put_in(self, victim)
        self._check_form()
        return Defended(found, self)

    def flow(self, ask: Ask) -> Flow[Reply]:
        chat = ask.chat
        reply: Reply = yield ask.on(self.placed(chat))
        for _ in range(self.turns):
            if not reply.is_said:
                break
            chat = chat.say(reply.text).ask(self.advice)
            reply = yield ask.on(self.placed(chat))
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        found = seen_through(self, model)
        self._check_form()
        return Opened(found, self, Lens(chat=self.placed))

    def placed(self, chat: Chat) -> Chat:
        """`chat` as it is asked: under the best feedback, and no other."""
        stated = self.stated
        kept = stated.taken_out(chat)
        return stated.placed(kept, self.best_rating, self.best_critique) if self.best_rating.strip() else kept

    def _check_form(self) -> None:
        """Raises UsageError where the weights learned another form of the condition than the model is asked in."""
        assert self.tuned is not None
        told = json.loads((self.tuned / CARD).read_text(encoding="utf-8")).get("data")
        form = told.get("condition") if isinstance(told, dict) else None
        if form != self._form():
            raise UsageError(
                f"{self.tuned / CARD}: data.condition: {self.name} was trained with {form!r}, and asks with "
                f"{self._form()!r}; name condition and place as they were trained"
            )

    def _form(self) -> dict[str, str]:
        return {"condition": self.condition, "place": self.place}

    # ---- what is taught ---------------------------------------------------------------------------------------------

    def taught(self, sample: Sample) -> list[tuple[Chat, str]]:
        """The dialogues of `sample` that are taught, each with its answer. Raises ValueError where it has no answer or
        no feedback, or where nothing of it is to be learned."""
        if not sample.target.strip():
            raise ValueError("target: expected the answer that was rated, found none")
        stated, rating = self.stated, rating_of(sample)
        critique = sample.meta.get("critique")
        if stated.shows_critiques and not (isinstance(critique, str) and critique.strip()):
            raise ValueError(f'meta "critique": expected what was said of the answer, a text, found {critique!r:.80}')
        chat = stated.taken_out(sample.chat)
        found = []
        if self.learns != "refinement":
            found.append((stated.placed(chat, rating, str(critique)), sample.target))
        if self.learns != "critique" and any(message.role == "assistant" for message in chat.messages):
            found.append((chat, sample.target))
        if not found:
            raise ValueError("its first answer: only refinements are learned")
        return found

    def _lesson(self, learner: Learner) -> Lesson:
        assert self.feedback is not None
        rows = ready(
            self.feedback, lambda sample: [learner.row(*each) for each in self.taught(sample)], "feedback", self.name
        )
        taken = [row for found in rows.taken for row in found]
        names = [sample.id for sample, found in zip(rows.samples, rows.taken, strict=True) for _ in found]
        steps = self.steps or math.ceil(self.epochs * len(taken) / self.batch)

        def parts(picked: Sequence[int]) -> Iterator[Tensor]:
            """The mean over all answer tokens of the step."""
            tokens = sum(len(learner.answer(taken[k])) for k in picked)
            for some in micro(picked, learner.micro):
                yield sum(nll.sum() for nll in learner.nll([taken[k] for k in some])) / tokens  # type: ignore[misc]

        def picks(step: int) -> list[int]:
            return drawn(self.seed, step, self.batch, len(taken))

        content = content_of(
            (replace(sample, chat=chat), (answer,)) for sample in rows.samples for chat, answer in self.taught(sample)
        )
        told = {"feedback": rows.told(self.feedback), "taught": len(taken), "condition": self._form()}
        return Lesson(steps, round(self.warm_up * steps), picks, parts, names, content, told)


def rating_of(sample: Sample) -> str:
    """What its answer was rated, as the condition says it. Raises ValueError for a row without a rating."""
    found = sample.meta.get("rating")
    if isinstance(found, Mapping) and found:
        return ", ".join(f"{name} {_rating(value)}" for name, value in found.items())
    return _rating(found)


def _rating(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
        return f"{float(value):g}"
    raise ValueError(f'meta "rating": expected what the answer was rated, a text or a number, found {value!r:.80}')
