"""Rewards of replies while a model learns from them: a judge asked, and what each step saw, kept as it goes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from proofglass.console import REASON, cut
from proofglass.errors import UsageError
from proofglass.flow import Answer, asked_directly
from proofglass.interfaces import Judge
from proofglass.interfaces.judges import is_bad
from proofglass.judging import judge as judge_of
from proofglass.records.files import guarded
from proofglass.types import Ask, Attempt, Cost, Helper, Reply, Score

COSTS = ("queries", "tokens_in", "tokens_out", "money")
PATIENCE = 3  # steps one after another in which nothing could be judged


def goodness(says: str, expected: str, score: Score) -> float | None:
    """How good a score says that a reply is, 0 to 1, by what a good model does with such a sample; None: unjudged.
    says: `Judge.says`."""
    if score.value is None:
        return None
    return 1 - score.value if is_bad(says, expected) else score.value


def judged(judge: Judge, attempts: Sequence[Attempt]) -> tuple[list[Score], Cost]:
    """What `judge` says of replies of the model, shown to it as a run shows them (`proofglass.judging`), and what its
    helpers cost. What it breaks on, and an ask that failed, is unjudged, with the reason."""
    spent: list[Cost] = []

    def counted(helper: Helper) -> Answer:
        def answer(asks: Sequence[Ask]) -> list[Reply]:
            replies = list(asked_directly(helper)(asks))
            spent.extend(cost for reply in replies for cost in (reply.cost, *reply.helpers.values()))
            return replies

        return answer

    found, _ = judge_of(judge, judge.name, {str(k): each for k, each in enumerate(attempts)}, counted)
    scores = [
        Score.unjudged(judge.name, f"outcome error: {each.reply.reason}") if each.reply.outcome == "error" else score
        for each, score in zip(attempts, found.values(), strict=True)
    ]
    return scores, sum(spent, Cost())


@dataclass(frozen=True)
class Line:
    """What one step saw. reward: mean over the judged replies; same: prompts whose replies all had one reward, and
    taught nothing but to stay; drift: mean log-ratio of a reply to the model before; cut: replies at the token limit;
    unjudged: reason -> replies; helpers: what the judge asked."""

    step: int
    reward: float | None
    judged: int
    same: int
    drift: float
    cut: int
    tokens: int
    unjudged: dict[str, int] = field(default_factory=dict)
    helpers: dict[str, Any] = field(default_factory=dict)


def line_of(
    step: int,
    rewards: Sequence[float | None],
    scores: Sequence[Score],
    drift: float,
    replies: Sequence[Reply],
    helpers: Cost,
    k: int,
) -> Line:
    known = [reward for reward in rewards if reward is not None]
    groups = [rewards[at : at + k] for at in range(0, len(rewards), k)]
    silent = Counter(cut(score.reason, REASON) for score, reward in zip(scores, rewards, strict=True) if reward is None)
    return Line(
        step=step,
        reward=sum(known) / len(known) if known else None,
        judged=len(known),
        same=sum(len({each for each in group if each is not None}) < 2 for group in groups),
        drift=drift,
        cut=sum(reply.finish == "length" for reply in replies),
        tokens=sum(reply.cost.tokens_out for reply in replies),
        unjudged=dict(silent),
        helpers={name: getattr(helpers, name) for name in COSTS},
    )


class Log:
    """The steps of a training, a line each in `file`: those of a stopped one are read again, and a step that is made
    again takes the place of its line and of all behind it. told: what the card says of them, kept up to date."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.told: dict[str, Any] = {}
        self._lines = _read(file)
        self._silent, self._began = 0, False

    def add(self, line: Line) -> None:
        """Raises UsageError where nothing could be judged several steps in a row: it would learn nothing, dearly."""
        first, self._began = not self._began, True
        if first:  # what was read may end in half a line, and in steps that are made again
            self._lines = {step: each for step, each in self._lines.items() if step < line.step}
        self._lines[line.step] = asdict(line)
        lines = self._lines.values() if first else [self._lines[line.step]]
        with guarded(self.file), self.file.open("w" if first else "a", encoding="utf-8") as file:
            file.writelines(json.dumps(each) + "\n" for each in lines)
        self.told |= _summary(list(self._lines.values()))
        self._silent = 0 if line.judged else self._silent + 1
        if self._silent >= PATIENCE:
            raise UsageError(
                f"rloo: step {line.step + 1}: nothing could be judged in {PATIENCE} steps one after another: "
                f"{next(iter(line.unjudged), 'no reply')}"
            )


def _read(file: Path) -> dict[int, dict[str, Any]]:
    """Step -> its line, up to the first that is torn."""
    found: dict[int, dict[str, Any]] = {}
    for text in file.read_text(encoding="utf-8", errors="replace").split("\n") if file.is_file() else ():
        try:
            line = Line(**json.loads(text))
        except (ValueError, TypeError):
            break
        found[line.step] = asdict(line)
    return found


def _summary(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean rewards of the first and the last tenth of the steps, and sums of the rest."""
    tenth = max(1, len(lines) // 10)
    unjudged: Counter[str] = Counter()
    for line in lines:
        unjudged.update(line["unjudged"])
    return {
        "first": _mean(lines[:tenth]),
        "last": _mean(lines[-tenth:]),
        **{name: sum(line[name] for line in lines) for name in ("judged", "same", "cut", "tokens")},
        "unjudged": dict(unjudged.most_common(20)),
        "helpers": {name: sum(line["helpers"].get(name, 0) for line in lines) for name in COSTS},
        "last_drift": lines[-1]["drift"],
    }


def _mean(lines: Sequence[Mapping[str, Any]]) -> float | None:
    known = [line["reward"] for line in lines if line["reward"] is not None]
    return sum(known) / len(known) if known else None
