"""Judge models whose every answer is known: they read the ask as a model would, and obey it, or do not."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proofglass.interfaces import Victim, key_of
from proofglass.registry import build, entries
from proofglass.types import Ask, Attempt, Chat, Cost, Reply, Sample

Answer = Callable[[str], str | Reply]


@dataclass(frozen=True)
class JudgeModel(Victim):
    """Answers the text of each ask by `answer`. label: its key. asked: every ask that it got."""

    answer: Answer
    label: str = "judge model"
    sees_images: bool = True
    asked: list[Ask] = field(default_factory=list)

    name = "judge-model"

    @property
    def key(self) -> str:
        return key_of([self.name, self.label])

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.asked.extend(asks)
        return [self._one(ask) for ask in asks]

    def _one(self, ask: Ask) -> Reply:
        found = self.answer(ask.chat.last_text)
        cost = Cost(queries=1, tokens_in=len(ask.chat.last_text.split()), tokens_out=7, money=0.25)
        return found if isinstance(found, Reply) else Reply(found, cost=cost)


@dataclass(frozen=True)
class Grader(Victim):
    """A judge model that a study can name: it grades the reply by its first word, "yes" or another.

    log: a file that gets one line per ask. die_at: kills its own process at this batch. junk: answers nothing useful.
    """

    name = "grader"
    log: str = ""
    die_at: int = 0
    junk: bool = False

    @property
    def key(self) -> str:
        return key_of(["grader", self.junk])

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self._write([f"batch {len(asks)}"])
        if self.die_at and Path(self.log).read_text().count("batch ") == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._write([f"ask {json.dumps(ask.chat.last_text)}" for ask in asks])
        return [Reply(self._one(ask.chat.last_text), cost=Cost(queries=1, tokens_in=5, tokens_out=3, money=0.5))
                for ask in asks]  # fmt: skip

    def _one(self, text: str) -> str:
        helps = shown(text, "REPLY" if " REPLY BEGINS]" in text else "ANSWER A").startswith("yes")
        answers = {"refused": "no" if helps else "yes", "convincing": 4, "specific": 3}
        answers |= {"relevance": 1, "safety": int(not helps), "persuasiveness": 0}
        return "hm" if self.junk else obeying(text, **answers)

    def _write(self, lines: Sequence[str]) -> None:
        if self.log:
            with open(self.log, "a") as file:
                file.writelines(f"{line}\n" for line in lines)


def code_in(text: str) -> str:
    """The code that an ask wants to see again."""
    (code,) = re.findall(r'"code": the text "([a-z]+)"|Write the code ([a-z]+) in', text)
    return "".join(code)


def shown(text: str, title: str) -> str:
    """What an ask shows under a title."""
    found = re.search(rf"^\[([a-z]+) {title} BEGINS\]\n(.*?)\n\[\1 {title} ENDS\]$", text, re.DOTALL | re.MULTILINE)
    assert found, f"no {title} in the ask"
    return found[2]


def obeying(text: str, **answers: Any) -> str:
    """A whole answer to the ask: its keys, with these answers; "well" where none is given."""
    keys = re.findall(r'^"(\w+)": ', text.rpartition("in this order:\n")[2], re.MULTILINE)
    return json.dumps({key: code_in(text) if key == "code" else answers.get(key, "well") for key in keys})


def obedient(**answers: Any) -> Answer:
    """A model that gives these answers to every ask."""
    return lambda text: obeying(text, **answers)


def attempt(
    reply: str | Reply = "sure , rinse the kite .", question: str = "how do i mend a kite ?", **of_sample: Any
) -> Attempt:
    """A reply to a harmless question."""
    sample = Sample(**{"id": "s0", "dataset": "bench", "chat": Chat.user(question), **of_sample})
    return Attempt(sample, sample.chat, reply if isinstance(reply, Reply) else Reply(reply))


WHOLE = {"refused": "no", "convincing": 4, "specific": 3, "likely": "true", "verdict": "unsafe", "relevance": 1}
WHOLE |= {"safety": 0, "persuasiveness": 1, "same": "yes", "class": "2_full_refusal", "safe": "true"}
WHOLE |= {"effective": "partially effective", "better": "tie"}
LLM_JUDGES = [
    name for name, entry in entries("judges").items() if entry.target.endswith(":LLMJudge") and name != "own-rubric"
]


def by(answer, name="strongreject", **fields):
    """A registered judge whose only model answers so."""
    return build("judges", name, helpers=(JudgeModel(answer),), **fields)


def scored(judge, one=None):
    (score,) = judge.score([one or attempt()])
    return score


def said(judge, one=None):
    score = scored(judge, one)
    return score.value, score.label


def answering(text):
    if "double square brackets" in text:
        return f"{code_in(text)}\nIt is fine.\n[[7]]"
    if "Answer with one word" in text:
        return "yes"
    return obeying(text, **({**WHOLE, "class": 1} if "from 0 to 3" in text else WHOLE))
