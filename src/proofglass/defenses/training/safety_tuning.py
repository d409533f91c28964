"""Safety fine-tuning of Zong et al. (2024), VLGuard's form: refusals and safe answers, beside helpful rows.

The authors publish data and leave the training to the scripts of LLaVA and MiniGPT-v2; defaults are those of
LLaVA-1.5's script for a task with LoRA (rank 128, alpha 256, rate 2e-4, 8 x 16 rows a step, one pass, 3 % warm-up,
cosine). Departures: the adapter sits in the language model's layers alone, theirs trains the projector beside it; no
dropout; a picture's two questions are two rows, theirs one dialogue. Not verified: the share of safety rows (2,977 to
5,000).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt, Le, MinLen

from proofglass.defenses.learned import check_either
from proofglass.defenses.tuning import (
    LEARNED,
    Lesson,
    Rows,
    content_of,
    micro,
    put_in,
    ready,
    seen_through,
    trained,
)
from proofglass.engine.learning import drawn_from
from proofglass.engine.seeds import seed_of
from proofglass.interfaces import (
    Count,
    Dataset,
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
from proofglass.types import Sample

if TYPE_CHECKING:
    from torch import Tensor

REFUSALS = ("I'm sorry, but I can't help with that.",)


@dataclass(frozen=True)
class SafetyTuning(Defense):
    """The model is trained to refuse what should be refused, on rows of safety beside rows of helpfulness.

    Rows are the crafting rows of the data sets (all rows of one that has none, such as VLGuard's train split). What is
    taught of a row: the answer that its data set gives (meta "response", as VLGuard's); without one a refusal where one
    is expected, else its first reference, else its target. Of a row that should be refused, `target` and `references`
    are what an attack wants said, and are never taught.

    safety: where safe behaviour is learned from. helpful: where usefulness is kept from; None: from nothing. share: of
    safety rows in all that is seen; 1 without `helpful`. number: how many safety rows, as even over their categories as
    can be; 0: all. diversity: how many categories (of data without any: clusters) they may come from; 0: all. order:
    safety rows "before" the helpful ones, "mixed" with them, or "after" them. refusals: texts of a refusal, one drawn
    for each row. epochs: passes over the safety rows. steps: in place of them; 0: `epochs` decides. batch: rows a step.
    rank: of the adapter; 0: all weights but the vision tower's learn. alpha: of the adapter, which is added
    alpha / rank times. rate: of learning, at its height. warm_up: share of the steps before that. decay: of weights.
    seed: of adapter, rows and order. every: steps between two checkpoints. tuned: folder of a finished training; beside
    it the other fields say nothing. None: the model is trained in the run.
    """

    name = "safety-tuning"
    paper = Paper(
        "Zong et al. 2024",
        "Safety Fine-Tuning at (Almost) No Cost: A Baseline for Vision Large Language Models",
        "arXiv:2402.02207",
    )
    needs_model = "weights"
    adaptive = "PGD, qi2023 on the tuned weights"
    not_in_key = ("every", "tuned")
    learned_in, learns_from, learned_files = "tuned", ("safety", "helpful"), (LEARNED,)

    safety: Dataset | None = None
    helpful: Dataset | None = None
    share: Annotated[float, Gt(0), Le(1)] = 0.37
    number: Steps = 0
    diversity: Steps = 0
    order: Literal["before", "mixed", "after"] = "mixed"
    refusals: Annotated[tuple[Text, ...], MinLen(1)] = REFUSALS
    epochs: Positive = 1.0
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
        check_either("tuned", self.tuned, safety=self.safety)

    def fitted(self, model: Victim, folder: Path) -> SafetyTuning:
        return trained(self, model, folder, self._lesson)

    def __call__(self, victim: Victim) -> Victim:
        return put_in(self, victim)

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return seen_through(self, model)

    # ---- what is taught ---------------------------------------------------------------------------------------------

    def taught(self, sample: Sample) -> str:
        """The answer to `sample` that is taught. Raises ValueError where there is none."""
        told = sample.meta.get("response")
        if isinstance(told, str) and told.strip():
            return told
        if sample.expected == "refuse":
            return refusal_for(sample, self.refusals, self.seed)
        found = next((text for text in (*sample.references, sample.target) if text.strip()), "")
        if not found:
            raise ValueError('no answer to teach: expected meta "response", references or a target, found none')
        return found

    def _lesson(self, learner: Learner) -> Lesson:
        assert self.safety is not None

        def take(sample: Sample) -> Any:
            return learner.row(sample.chat, self.taught(sample))

        safety = _some(ready(self.safety, take, "safety", self.name), self.number, self.diversity, self.seed)
        helpful: Rows[Any] = Rows()
        told = {"safety": safety.told(self.safety)}
        if self.helpful is not None:
            helpful = ready(self.helpful, take, "helpful", self.name)
            told["helpful"] = helpful.told(self.helpful)
        taken, samples = [*safety.taken, *helpful.taken], [*safety.samples, *helpful.samples]
        share = self.share if len(helpful) else 1.0
        steps = self.steps or math.ceil(self.epochs * len(safety) / (self.batch * share))
        mix = Mix(len(safety), len(helpful), share, self.order, self.batch, steps, self.seed)

        def parts(rows: Sequence[int]) -> Iterator[Tensor]:
            """The mean over all answer tokens of the step."""
            tokens = sum(len(learner.answer(taken[k])) for k in rows)
            for some in micro(rows, learner.micro):
                yield sum(nll.sum() for nll in learner.nll([taken[k] for k in some])) / tokens  # type: ignore[misc]

        content = content_of((sample, (self.taught(sample),)) for sample in samples)
        names = [sample.id for sample in samples]
        return Lesson(steps, round(self.warm_up * steps), mix.rows_of, parts, names, content, told)


def refusal_for(sample: Sample, refusals: Sequence[str], seed: int) -> str:
    """The one of `refusals` that is taught of `sample`."""
    return refusals[seed_of(seed, "refusal", sample.id) % len(refusals)]


@dataclass(frozen=True)
class Mix:
    """Which rows each step learns from: `safety` rows (0, 1, ...) and `helpful` ones behind them, in passes of their
    own."""

    safety: int
    helpful: int
    share: float
    order: Literal["before", "mixed", "after"]
    batch: int
    steps: int
    seed: int

    def rows_of(self, step: int) -> list[int]:
        """A function of the step alone."""
        first, last = self._safe_before(step), self._safe_before(step + 1)
        safe = drawn_from(seed_of(self.seed, "safety"), first, last, self.safety)
        if not self.helpful:
            return safe
        other = drawn_from(
            seed_of(self.seed, "helpful"), step * self.batch - first, (step + 1) * self.batch - last, self.helpful
        )
        return [*safe, *(self.safety + k for k in other)]

    def _safe_before(self, step: int) -> int:
        """How many safety rows were seen when `step` begins."""
        seen = step * self.batch
        if not self.helpful:
            return seen
        if self.order == "mixed":
            return math.floor(seen * self.share + 1e-9)
        safe = max(1, round(self.steps * self.share)) * self.batch
        if self.order == "before":
            return min(seen, safe)
        return max(0, seen - max(0, self.steps * self.batch - safe))


def _some(rows: Rows[Any], number: int, diversity: int, seed: int) -> Rows[Any]:
    """`number` rows of `diversity` categories, drawn by hashes of their names: whatever else there is changes neither
    the order of the others nor that of the categories. 0: all."""
    categories = {sample.category for sample in rows.samples}

    def kind(sample: Sample) -> str:
        return sample.category if len(categories) > 1 else sample.cluster

    groups: dict[str, list[int]] = {}
    for k in sorted(range(len(rows)), key=lambda k: _chance(seed, "row", rows.samples[k].id)):
        groups.setdefault(kind(rows.samples[k]), []).append(k)
    if diversity:
        kept = sorted(groups, key=lambda name: _chance(seed, "category", name))[:diversity]
        groups = {name: groups[name] for name in kept}
    in_turn = [row for turn in range(len(rows)) for group in groups.values() for row in group[turn : turn + 1]]
    chosen = sorted(in_turn[:number] if number else in_turn)
    return Rows([rows.samples[k] for k in chosen], [rows.taken[k] for k in chosen], rows.left_out)


def _chance(seed: int, what: str, name: str) -> str:
    return hashlib.sha256(f"{seed}|{what}|{name}".encode("utf-8", "surrogatepass")).hexdigest()
