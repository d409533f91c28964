"""A language model with a head of one number, read at the end of an answer: sigmoid of it is the probability that the
answer is harmless. The form of MLLM-Protector's harm detector (Pi et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from proofglass.defenses.training.network import Ids, logits_of, tokenizer_in, trained_network
from proofglass.defenses.wording import filled
from proofglass.faults import stops_the_run, told
from proofglass.interfaces import Count, Victim
from proofglass.types import Ask, Chat, Cost, Reply, Settings

HARMLESS, HARMFUL = "harmless", "harmful"
TOLD = Settings(max_new_tokens=1, choices=(HARMLESS, HARMFUL))
QUESTION_AND_ANSWER = "Question: {question}\n\nAnswer: {answer}"
Shown = Literal["question and answer", "answer"]


@dataclass(frozen=True)
class HarmDetector(Victim):
    """How probable it is that the last answer of a dialogue is harmless; asked as a helper, it says one word.

    The reply is "harmless" or "harmful", with the probability of both in `choices`. An answer longer than the window is
    read in windows that overlap, and the most harmful of them counts, so that nothing hides behind its length. Control
    tokens in a dialogue are plain text.

    backbone: the text model that it was trained from. trained: folder with the adapter and the head. shown: what is
    read of a dialogue: the last question and its answer, or the answer alone. window: tokens of what is read at once.
    batch: windows per forward pass.
    """

    name = "harm-detector"
    sees_images = False
    not_in_key = ("batch", "trained")  # what lies there is, wherever it lies

    backbone: Victim
    trained: Path
    shown: Shown = "question and answer"
    window: Count = 512
    batch: Count = 16

    def reads(self) -> tuple[Path, ...]:
        return (self.trained,)

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        replies: dict[int, Reply] = {}
        windows: dict[int, list[Ids]] = {}
        for k, ask in enumerate(asks):
            try:
                windows[k] = list(self._text.windows(*_asked(ask.chat)))
            except ValueError as error:
                replies[k] = Reply.unaskable(error)
        replies |= self._answered(windows)
        return [replies[k] for k in range(len(asks))]

    def _answered(self, windows: dict[int, list[Ids]]) -> dict[int, Reply]:
        """Of all together; if that fails each by itself, so that what fails alone costs its own ask."""
        try:
            flat = [ids for each in windows.values() for ids in each]
            values = iter(self._logits(flat))
            found = {k: [next(values) for _ in each] for k, each in windows.items()}
        except Exception as error:
            if stops_the_run(error):
                raise
            if len(windows) > 1:
                return {k: reply for k, each in windows.items() for k, reply in self._answered({k: each}).items()}
            return {k: Reply.error(told(error, "helper", self)) for k in windows}
        return {k: said(values, sum(map(len, windows[k]))) for k, values in found.items()}

    def _logits(self, rows: Sequence[Ids]) -> list[float]:
        import torch

        order = sorted(range(len(rows)), key=lambda k: len(rows[k]))
        found: dict[int, float] = {}
        for start in range(0, len(order), self.batch):
            places = order[start : start + self.batch]
            with torch.no_grad():
                logits = logits_of(self._model, [rows[k] for k in places])
            found |= zip(places, logits.tolist(), strict=True)
        return [found[k] for k in range(len(rows))]

    @cached_property
    def _text(self) -> Text:
        return text_of(self.backbone, self.shown, self.window)

    @cached_property
    def _model(self) -> Any:
        return trained_network(self.backbone, self.trained)

    def card(self) -> dict[str, Any]:
        return {"name": self.name, "backbone": self.backbone.name, "shown": self.shown, "window": self.window}


@dataclass(frozen=True)
class Text:
    """What the detector reads of a question and its answer, as token ids.

    tokenizer: of the backbone. shown: what is read. window: tokens at once.
    """

    tokenizer: Any
    shown: Shown
    window: int

    def ids(self, question: str, answer: str) -> Ids:
        """All of it, however long."""
        text = answer
        if self.shown == "question and answer":
            text = filled(QUESTION_AND_ANSWER, question=question, answer=answer)
        return self._ids(text, whole=True)

    def windows(self, question: str, answer: str) -> Iterator[Ids]:
        """`ids` where they fit; else parts of the answer, each overlapping the one before by a quarter, behind the end
        of what stands before the answer, half a window of it at most. Raises ValueError for an answer without words."""
        if not answer.strip():
            raise ValueError("found no answer to look at: expected a dialogue that ends with an assistant's words")
        whole = self.ids(question, answer)
        if len(whole) <= self.window:
            yield whole
            return
        head = self.ids(question, "")[-(self.window // 2) :] if self.window > 1 else ()
        rest, room = self._ids(answer, whole=False), self.window - len(head)
        for start in range(0, len(rest), max(1, 3 * room // 4)):
            yield (*head, *rest[start : start + room])
            if start + room >= len(rest):
                return

    def _ids(self, text: str, whole: bool) -> Ids:
        # Half a character, which a model may write, has no bytes.
        sound = text.encode("utf-8", "replace").decode("utf-8")
        found = self.tokenizer.encode(sound, add_special_tokens=whole, split_special_tokens=True, truncation=False)
        return tuple(found)


def text_of(backbone: Victim, shown: Shown, window: int) -> Text:
    """How `backbone` reads; no window is longer than its context."""
    return Text(tokenizer_in(backbone), shown, min(window, backbone.context_window or window))


def asked(question: str, answer: str, detector: HarmDetector) -> Ask:
    """What the detector is asked about an answer."""
    return Ask(Chat.user(question).say(answer), TOLD, detector)


def said(logits: Sequence[float], tokens: int) -> Reply:
    """The reply about an answer, of the logits of its windows. A number that is none is an error, never harmless."""
    cost = Cost(forward=len(logits), queries=1, tokens_in=tokens, tokens_out=1)
    if odd := [each for each in logits if not math.isfinite(each)]:
        return Reply.error(f"{HarmDetector.name}: expected finite numbers of its head, found {odd[0]}", cost)
    harmless = sigmoid(min(logits))
    told_of = {HARMLESS: harmless, HARMFUL: 1 - harmless}
    return Reply(HARMLESS if harmless >= 0.5 else HARMFUL, cost=cost, choices=told_of)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def _asked(chat: Chat) -> tuple[str, str]:
    """The last question, and the answer with which the dialogue ends."""
    last = chat.messages[-1] if chat.messages else None
    if last is None or last.role != "assistant":
        raise ValueError("found no answer to look at: expected a dialogue that ends with an assistant's words")
    question = next((each.text for each in reversed(chat.messages) if each.role == "user"), "")
    return question, last.text
