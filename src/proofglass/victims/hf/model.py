"""One adapter from a folder of transformers weights to a white-box victim.

The same code runs the testbed and a user's own LLaVA: nothing here looks at a model's name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from jinja2.exceptions import TemplateError
from torch import Tensor

from proofglass.errors import EnvironmentFault, ImageError, TooLong, is_environment
from proofglass.interfaces import SLOTS, Layer, LossAndGrad, Pixels, Target, Weighting, checked
from proofglass.types import Ask, Chat, Cost, Image, Reply, Settings
from proofglass.victims.hf.aside import Aside
from proofglass.victims.hf.candidates import Candidates
from proofglass.victims.hf.chats import Chats
from proofglass.victims.hf.decoding import Other, Row, decode, prefill
from proofglass.victims.hf.families.base import Family, Picture
from proofglass.victims.hf.generation import Scores, not_followed
from proofglass.victims.hf.gradient import GradientPass
from proofglass.victims.hf.inside import first_chances
from proofglass.victims.hf.loading import Options, Quantised, image_processor, load, positions_of
from proofglass.victims.hf.memory import Batches, free_memory, out_of_memory
from proofglass.victims.hf.pictures import Pictures
from proofglass.victims.hf.thought import marks_of, spoken
from proofglass.victims.hf.twins import twin_of
from proofglass.victims.hf.twins.base import mean_std
from proofglass.victims.shared.choosing import Rules, draw_seed
from proofglass.victims.shared.marks import marks_in
from proofglass.victims.shared.prepared import Pair, Prepared, Prompt, one_run, pair_of, prepared_of

T = TypeVar("T")
UNASKABLE = (ValueError, ImageError, TemplateError)  # what templates, twins and files say of a chat


class HFModel:
    """Weights, tokenizer and image processor of one folder, loaded once (`loading.Options` says how).

    micro, images_per_pass: what a gradient step holds in memory at once (`GradientPass`). remarks: what went other than
    asked for, such as a batch that did not fit into memory.
    Raises UsageError for an unknown architecture or a missing chat template, UnsafeWeights for pickles.
    """

    def __init__(
        self,
        path: Path,
        device: str = "auto",
        dtype: str = "float32",
        micro: int = 8,
        images_per_pass: int = 32,
        adapter: Path | None = None,
        quantised: Quantised = "",
    ) -> None:
        self.path, self.options = path, Options(device, dtype, adapter, quantised)
        self.model, self.tokenizer, family = load(path, self.options)
        self.device: torch.device = self.model.get_input_embeddings().weight.device
        self.image_token: int = place_holder(self.model.config, self.tokenizer) if family.sees_images else -1
        self.family: Family = family(self.model, self.image_token)
        self.family.try_out()
        self.processor = image_processor(path) if self.family.sees_images else None
        self.twin = twin_of(self.processor) if self.processor is not None else None
        self.chats = Chats(path, self.tokenizer, self.family, self.processor, self.twin)
        self.max_positions = positions_of(self.model.config)
        self.pad = self.tokenizer.pad_token_id or 0
        self.marks = marks_of(self.tokenizer, self.chats.template)
        self.remarks: list[str] = []
        self.batches = Batches(self._full)
        self.pictures = Pictures(self.family, self.twin, self.device, self.model.dtype)
        self.step = GradientPass(self.model, self.family, self.pictures, self.device, self.pad, micro, images_per_pass)
        self.candidates = Candidates(self.step, Batches(self._full))

    # ---- text -------------------------------------------------------------------------------------------------

    @property
    def has_system_role(self) -> bool:
        """Whether the chat template shows a system prompt."""
        return self.chats.has_system_role

    def encode_chat(self, chat: Chat) -> Prompt:
        """Token ids of the chat up to where the reply starts, pictures expanded (`Chats.encode`)."""
        return self.chats.encode(chat)

    # ---- pictures ---------------------------------------------------------------------------------------------

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(width, height) that every picture gets; None if that depends on the picture."""
        return self.twin.image_size if self.twin else None

    def pixels(self, image: Image) -> Tensor:
        """[1, 3, H, W] float32 in [0, 1] (`Pictures.pixels`)."""
        return self.pictures.pixels(image)

    def values(self, pixels: Tensor, several: bool = False) -> dict[str, Tensor]:
        """What the model takes of N pictures (`Pictures.values`)."""
        return self.pictures.values(pixels, several)

    # ---- asking -----------------------------------------------------------------------------------------------

    def reply(self, asks: Sequence[Ask], batch: int, aside: Aside | None = None) -> list[Reply]:
        """Replies in order. A chat that does not fit (pictures, length) costs itself only. aside: who else chooses
        their tokens."""
        replies: dict[int, Reply] = {}
        ready: dict[Settings, list[tuple[int, Prompt]]] = {}
        for k, ask in enumerate(asks):
            try:
                settings = replace(ask.settings, draw=0, stop=self._stops(ask.settings))
                ready.setdefault(settings, []).append((k, self.fit(ask)))
            except Exception as error:
                replies[k] = unanswered(error)
        for settings, rows in ready.items():
            for answers in self.batches(rows, batch, partial(self._answers, asks, settings, aside)):
                replies |= answers
        return [replies[k] for k in range(len(asks))]

    def fit(self, ask: Ask) -> Prompt:
        """The prompt of `ask`. Raises ValueError, ImageError or TooLong where this model cannot be asked so."""
        if ask.chat.images and not self.family.sees_images:
            raise ValueError(f"chat: this victim takes no picture, found {len(ask.chat.images)}")
        for image in ask.chat.images:
            self.pictures.levels(image)  # a file that cannot be read is the error of this ask, not of its batch
        prompt = self.encode_chat(ask.chat)
        if self.max_positions and len(prompt.ids) + ask.settings.max_new_tokens > self.max_positions:
            raise TooLong(len(prompt.ids), ask.settings.max_new_tokens, self.max_positions)
        return prompt

    def _answers(
        self, asks: Sequence[Ask], settings: Settings, aside: Aside | None, rows: Sequence[tuple[int, Prompt]]
    ) -> dict[int, Reply]:
        """Of one batch. If it fails its rows are asked one by one; what fails alone is the error of its ask."""
        try:
            return dict(zip((k for k, _ in rows), self._answer(asks, rows, settings, aside), strict=True))
        except Exception as error:
            if len(rows) == 1:
                return {rows[0][0]: failed(error)}
            if out_of_memory(error):
                raise
        alone = [self._answers(asks, settings, aside, [row]) for row in rows]
        return {k: reply for each in alone for k, reply in each.items()}

    def remark(self, text: str) -> None:
        """Note what went other than asked for, once."""
        if text not in self.remarks:
            self.remarks.append(text)
            logging.getLogger("proofglass").warning("%s: %s", self.path.name, text)

    def _full(self, text: str) -> None:
        """Memory has ended: note it, and make room."""
        self.pictures.forget()
        free_memory()
        self.remark(text)

    def tokens(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Token ids of the replies to asks of one `Settings`, the end token included, in one batch."""
        return self._decode([(ask, self.fit(ask)) for ask in asks], asks[0].settings)

    def _answer(
        self, asks: Sequence[Ask], rows: Sequence[tuple[int, Prompt]], settings: Settings, aside: Aside | None
    ) -> list[Reply]:
        mine = None if aside is None else aside.of([k for k, _ in rows])
        new = self._decode([(asks[k], prompt) for k, prompt in rows], settings, mine)
        replies = [self.read(row, prompt.ids, settings) for row, (_, prompt) in zip(new, rows, strict=True)]
        if not settings.choices:
            return replies
        chances = first_chances(self, [prompt for _, prompt in rows], settings.choices)
        return [
            replace(reply, choices=told, cost=replace(reply.cost, forward=reply.cost.forward + 1))
            for reply, told in zip(replies, chances, strict=True)
        ]

    @torch.no_grad()
    def _decode(
        self, rows: Sequence[tuple[Ask, Prompt]], settings: Settings, aside: Aside | None = None
    ) -> list[list[int]]:
        pictures, told = self._told([prompt for _, prompt in rows])
        if settings.temperature > 0:
            told = [replace(row, seed=draw_seed(ask)) for row, (ask, _) in zip(told, rows, strict=True)]
        second = None if aside is None or not aside.prompts else self._told(aside.prompts)
        other = None if aside is None else Other(aside.rescored, aside.numbers, second)
        return decode(self.family, told, pictures, self._rules(settings), self.device, self.pad, other)

    def _told(self, prompts: Sequence[Prompt]) -> tuple[list[Picture], list[Row]]:
        """Prompts as `decoding` takes them, each picture once."""
        several = [self.pictures.twofold and len(prompt.slots) > 1 for prompt in prompts]
        shown = [[(image, of_row) for image in row.images] for row, of_row in zip(prompts, several, strict=True)]
        each = list(dict.fromkeys(picture for row in shown for picture in row))
        place = {picture: k for k, picture in enumerate(each)}
        rows = [
            Row(prompt.ids, tuple(place[picture] for picture in row), prompt.slots[-1].last if prompt.slots else 0)
            for prompt, row in zip(prompts, shown, strict=True)
        ]
        return self.pictures.of(each, self.step.images_per_pass), rows

    def prefill(self, prompts: Sequence[Prompt]) -> Tensor:
        """Hidden states [R, T, d] of prompts, no further than the head; a row's last one belongs to its last token."""
        pictures, rows = self._told(prompts)
        return prefill(self.family, rows, pictures, self.device, self.pad)

    def _stops(self, settings: Settings) -> tuple[str, ...]:
        """Strings that end a reply: the ask's, and those of the folder's generation configuration."""
        own = self.model.generation_config.stop_strings or ()
        return (*settings.stop, *((own,) if isinstance(own, str) else own))

    def _rules(self, settings: Settings) -> Rules:
        stopped = None
        if settings.stop:

            def stopped(tokens: list[int]) -> bool:
                text = self.tokenizer.decode(tokens, skip_special_tokens=True)
                return any(mark in text for mark in settings.stop)

        config = self.family.generation
        for field in not_followed(config, settings.temperature > 0):
            self.remark(f"replies do not follow the folder's generation configuration in {field}")
        penalty = float(getattr(config, "repetition_penalty", None) or 1)
        scores = Scores(config, self._ends, settings.max_new_tokens, self.device) or None
        return Rules(
            settings.max_new_tokens, self._ends, settings.temperature, settings.top_p, penalty, stopped, scores
        )

    @cached_property
    def _ends(self) -> frozenset[int]:
        ends = self.family.generation.eos_token_id
        return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])

    def read(self, tokens: list[int], prompt: Sequence[int], settings: Settings) -> Reply:
        """What was said in new tokens behind those of a prompt."""
        stop = next((i for i, token in enumerate(tokens) if token in self._ends), None)
        said = tokens if stop is None else tokens[:stop]
        thought, text = spoken(self.marks, self.tokenizer, said, prompt)
        cut = next((at for mark in settings.stop if (at := text.find(mark)) >= 0), None)
        if cut is not None:
            text = text[:cut]
        ended = stop is not None or cut is not None or len(tokens) < settings.max_new_tokens
        cost = Cost(forward=1, queries=1, tokens_in=len(prompt), tokens_out=len(said))
        return Reply(text, finish="stop" if ended else "length", cost=cost, reasoning=thought)

    # ---- gradients --------------------------------------------------------------------------------------------

    def prepare(
        self,
        pairs: Sequence[Sequence[tuple[Chat, Target]]],
        append_eos: bool = False,
        slots: Sequence[str] = SLOTS,
        mark: str | Sequence[str] = "",
    ) -> Prepared:
        marks = [mark] * len(pairs) if isinstance(mark, str) else mark
        rows = [
            [self._pair(chat, target, append_eos, slots, marked) for chat, target in row]
            for row, marked in zip(pairs, marks, strict=True)
        ]
        return prepared_of(rows, slots)

    def _pair(self, chat: Chat, target: Target, append_eos: bool, slots: Sequence[str], mark: str) -> Pair:
        """ids(prompt) + ids(target): the prompt ids are the very ones used for generation."""
        parts = (target,) if isinstance(target, str) else target
        end = self.tokenizer.eos_token_id if append_eos else None
        if append_eos and end is None:
            raise ValueError("append_eos: this tokenizer has no end token")
        answers = [self.tokenizer(part, add_special_tokens=False)["input_ids"] if part else [] for part in parts]
        prompt = self.encode_chat(chat).named(slots)
        return pair_of(prompt, answers, end, marks_in(prompt.ids, mark, self.chats.text) if mark else ())

    def prepare_tokens(self, rows: Sequence[Sequence[tuple[Sequence[int], Sequence[int]]]]) -> Prepared:
        """From token ids: (prompt with expanded place holders of at most one picture, target) for each picture."""
        pairs = [
            [pair_of(Prompt(tuple(prompt), one_run(prompt, self.image_token)), [target]) for prompt, target in row]
            for row in rows
        ]
        return Prepared(tuple(map(tuple, pairs)))

    def loss_and_grad(
        self,
        pixels: Pixels,
        prepared: Prepared,
        weighting: Weighting = "token",
        need_grad: bool = True,
        text: Sequence[Sequence[Tensor]] | None = None,
    ) -> LossAndGrad[Pixels]:
        return self._shrinking(partial(self.step, pixels, prepared, weighting, need_grad, text), prepared)

    def target_logits(self, pixels: Any, prepared: Prepared) -> list[list[Tensor]]:
        return self._shrinking(partial(self.step.target_logits, pixels, prepared), prepared)

    def losses_of(
        self,
        pixels: Any,
        prepared: Prepared,
        candidates: Sequence[Sequence[Sequence[int]]],
        weighting: Weighting,
    ) -> Tensor:
        return self._shrinking(partial(self.candidates, pixels, prepared, candidates, weighting), prepared)

    def forget(self) -> None:
        """Drop what was kept or checked on the model as it was: it computes something else from now on."""
        self.step.forget()
        self.candidates.forget()

    def embeddings(self) -> Tensor:
        """[V, d]: what the language model's own embedding layer makes of every token."""
        with torch.no_grad():
            found: Tensor = self.model.get_input_embeddings()(torch.arange(self.family.embedded, device=self.device))
        return found

    def writable(self) -> Tensor:
        """bool [V]: tokens that stand for text which a user can write."""
        return torch.tensor(self.chats.writable(self.family.embedded))

    def _shrinking(self, work: Callable[[], T], prepared: Prepared) -> T:
        """`work` of a gradient step, which holds less at once until it fits into memory."""
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or not self._shrink(len(prepared), max(map(len, prepared.pairs))):
                    raise
            said = f"{self.step.images_per_pass} pictures and {self.step.micro} pairs at once"
            self._full(f"out of memory in a gradient step: on with {said}")

    def _shrink(self, pictures: int, pairs: int) -> bool:
        """Let a step of so many pictures, with so many pairs at most, hold less. False: it holds the least already."""
        step = self.step
        if min(step.images_per_pass, pictures) > 1:
            step.images_per_pass = min(step.images_per_pass, pictures) // 2
        elif min(step.micro, pairs) > 1:
            step.micro = min(step.micro, pairs) // 2
        else:
            return False
        return True

    def features(self, pixels: Tensor, layer: Layer = "pooled") -> Tensor:
        """What the tower makes of `pixels`, float32, with gradient. Raises ValueError for another layer, or for
        pixels outside [0, 1]."""
        if layer not in ("pooled", "patches"):
            raise ValueError(f"layer: expected pooled or patches, found {layer!r}")
        x = checked(pixels, "features", self.device).to(torch.float32)
        return self.family.look(self.values(x), layer).float()

    @property
    def normalisation(self) -> tuple[Tensor, Tensor]:
        mean, std = mean_std(self.processor)
        return mean[None], std[None]

    @property
    def embedding_width(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[1])


def place_holder(config: Any, tokenizer: Any) -> int:
    """Id of the token that stands for a picture in prompts, -1 for none."""
    for place in (config, getattr(config, "vision_config", None)):
        if (found := getattr(place, "image_token_id", None)) is not None:
            return int(found)
    return int(tokenizer.get_vocab().get("<image>", -1))


def unanswered(error: Exception) -> Reply:
    """The reply to an ask that could not be prepared: its own fault (`UNASKABLE`), or that of what broke."""
    return Reply.unaskable(error) if isinstance(error, UNASKABLE) and not is_environment(error) else failed(error)


def failed(error: Exception) -> Reply:
    """Raises EnvironmentFault where the machine, not the ask, is at fault: nothing is left to halve."""
    if out_of_memory(error):
        free_memory()
        raise EnvironmentFault(
            "out of memory, even with one chat alone in its batch. Free some, or take a smaller dtype, fewer "
            "max_new_tokens or another device, then run the same command again"
        ) from error
    if is_environment(error):
        raise error
    return Reply.error(f"{type(error).__name__}: {error}")
