"""A language model with a head of one number, read at the end of an answer: sigmoid of it is the probability that the
answer is harmless. The form of MLLM-Protector's harm detector (Pi et al. 2024)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from proofglass.defenses.wording import filled
from proofglass.errors import MissingExtra, UsageError, is_environment
from proofglass.faults import first_line, stops_the_run, told
from proofglass.interfaces import Count, Victim
from proofglass.interfaces.devices import SPREAD, placed
from proofglass.types import Ask, Chat, Cost, Reply, Settings
from proofglass.weights import ADAPTER, check_folder, header_of, readable

if TYPE_CHECKING:
    from torch import Tensor

HARMLESS, HARMFUL = "harmless", "harmful"
TOLD = Settings(max_new_tokens=1, choices=(HARMLESS, HARMFUL))
QUESTION_AND_ANSWER = "Question: {question}\n\nAnswer: {answer}"
Shown = Literal["question and answer", "answer"]
Ids = tuple[int, ...]


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
        return [(replies | self._answered(windows))[k] for k in range(len(asks))]

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
        return Text(tokenizer_in(self.backbone), self.shown, self.window)

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


# ---- the network ----


def folder_of_text_model(backbone: Victim) -> Path:
    """The folder of a text model's weights. Raises UsageError for a victim that is none, or has more than its folder
    (an adapter, quantised weights)."""
    if not hasattr(type(backbone), "folder"):
        raise UsageError(f"backbone: {backbone.name}: expected a model with a folder of weights, such as `hf`")
    if backbone.sees_images:
        raise UsageError(f"backbone: {backbone.name}: expected a model of text alone, found one that sees pictures")
    for more in ("adapter", "quantised"):
        if getattr(backbone, more, None):
            raise UsageError(
                f"backbone: {backbone.name}: {more}: expected plain weights; merge them into a folder first"
            )
    folder: Path = backbone.folder  # type: ignore[attr-defined]
    check_folder(folder)
    return folder


def tokenizer_in(backbone: Victim) -> Any:
    from transformers import AutoTokenizer

    folder = folder_of_text_model(backbone)
    with quiet(), readable(folder, "tokenizer", "tokenizer.json and tokenizer_config.json"):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def network(backbone: Victim, seed: int = 0) -> Any:
    """The backbone with a head of one number, whose weights are drawn by `seed`, on the device of the backbone."""
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = folder_of_text_model(backbone)
    with quiet(), torch.random.fork_rng([]), readable(folder, "sequence classifier", "weights of a text model"):
        torch.manual_seed(seed)
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=1,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=getattr(torch, getattr(backbone, "dtype", "float32")),
        )
    absent = [name for name in sorted(found["missing_keys"]) if not name.startswith(("score.", "classifier."))]
    if absent:
        raise UsageError(f"{folder}: the weights lack {len(absent)} tensors, the first is {absent[0]}; get all files")
    if not hasattr(model, "score"):
        raise UsageError(f"{folder}: {type(model).__name__}: expected a model that reads from left to right, as Llama")
    device = getattr(backbone, "device", "auto")
    if device == SPREAD:
        raise UsageError(f"backbone: {backbone.name}: device: expected one device, found {SPREAD!r}")
    return model.to(placed(device)).eval()


def needs_peft() -> None:
    """Raises MissingExtra, with the command, where PEFT is absent."""
    if find_spec("peft") is None:
        raise MissingExtra("mllm-protector: needs peft. Run: pip install peft")


def trained_network(backbone: Victim, folder: Path) -> Any:
    """The network with the adapter and the head that lie in `folder`. Raises UsageError where either is absent."""
    needs_peft()
    import peft

    check_folder(folder, "adapter_config.json", ADAPTER)
    again = "train it anew: mllm-protector has fitted(victim, folder)"
    names = header_of(folder / ADAPTER)
    if not any(".score." in name for name in names):
        raise UsageError(f"{folder / ADAPTER}: expected the head (score) beside the adapter, found none; {again}")
    model = network(backbone)
    try:
        found = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    except Exception as error:  # files of a stranger can make it fail in any way
        if is_environment(error):
            raise
        raise UsageError(f"{folder}: no adapter of {backbone.name!r} ({first_line(error)}); {again}") from error
    return found.merge_and_unload().eval().requires_grad_(False)


def logits_of(model: Any, rows: Sequence[Ids]) -> Tensor:
    """float32 [n], at the last token of each row, which are padded on the right."""
    import torch

    longest = max(map(len, rows))
    device = model.device
    ids = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
    mask = torch.zeros_like(ids)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = torch.tensor(row, device=device)
        mask[k, : len(row)] = 1
    inside = getattr(model, model.base_model_prefix)
    hidden = inside(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    last = hidden[torch.arange(len(rows), device=device), mask.sum(1) - 1]
    score: Tensor = model.score(last)
    return score.float().flatten()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers without its report of a head that is not there yet, and without bars."""
    from transformers import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
