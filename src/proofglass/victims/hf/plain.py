"""A model of transformers asked in transformers' own way: its processor's chat template, its `generate`.

No family, no twin, no shared prefix: whatever `AutoModelForImageTextToText` or `AutoModelForCausalLM` would load, by
the class that config.json names. Control tokens in a chat are encoded as plain text, as everywhere here.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from proofglass.errors import TooLong, UsageError, is_environment
from proofglass.interfaces.devices import SPREAD
from proofglass.types import Ask, Chat, Cost, Reply, Settings
from proofglass.victims.hf.loading import (
    Options,
    full_processor,
    image_processor,
    model_of,
    positions_of,
    processor_template,
    tokenizer_of,
)
from proofglass.victims.hf.memory import Batches, free_memory, out_of_memory
from proofglass.victims.hf.model import unanswered
from proofglass.victims.hf.thought import marks_of, spoken
from proofglass.victims.hf.twins.base import pillow
from proofglass.victims.hf.writers import SHIELDGEMMA_2, architecture_in, mended, sees_pictures, writer_in
from proofglass.victims.shared.choosing import draw_seed, first_tokens
from proofglass.weights import check_folder, quiet

Asked = tuple[int, Ask]  # an ask and its place among those of the call


class PlainModel:
    """Weights, tokenizer and processor of one folder. told: what its chat template is told besides the chat.

    Raises UsageError for a class that transformers does not know or that writes no text, or where nothing has a chat
    template; UnsafeWeights for pickles.
    """

    def __init__(self, path: Path, options: Options, told: Mapping[str, Any]) -> None:
        self.path, self.told = path, {"add_generation_prompt": True, **told}
        check_folder(path)
        self.architecture = architecture_in(path)
        with quiet():
            model = model_of(path, getattr(transformers, self.architecture), options)
            self.tokenizer = tokenizer_of(path)
        if not options.quantised and options.device != SPREAD:
            model = model.to(options.placed)
        self.model = mended(writer_in(model.eval().requires_grad_(False), path))
        self.config = model.config
        self.device: torch.device = self.model.get_input_embeddings().weight.device
        sees = sees_pictures(path)
        self.processor: Any = full_processor(path, image_processor(path), self.tokenizer) if sees else None
        self.template = self._template()
        self.marks = marks_of(self.tokenizer, self.template)
        self.most = positions_of(model.config)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.remarks: list[str] = []
        self.batches = Batches(self._full)

    def _template(self) -> str:
        own = processor_template(self.path) if self.processor is not None else None
        found = own or self.tokenizer.chat_template
        if isinstance(found, dict):
            found = found.get("default")
        if not isinstance(found, str) or not found:
            raise UsageError(f"{self.path}: it has no chat template; add chat_template.jinja")
        if self.processor is not None:
            self.processor.chat_template = found
        return found

    def _full(self, text: str) -> None:
        free_memory()
        self.remarks.append(text)
        logging.getLogger("proofglass").warning("%s: %s", self.path.name, text)

    # ---- asking -----------------------------------------------------------------------------------------------

    def reply(self, asks: Sequence[Ask], batch: int) -> list[Reply]:
        """Replies in order. What cannot be asked, or fails alone, costs itself only."""
        replies: dict[int, Reply] = {}
        ready: dict[tuple[Settings, int], list[Asked]] = {}
        for k, ask in enumerate(asks):
            try:
                self.messages(ask.chat)  # reads the pictures, too
            except Exception as error:
                replies[k] = unanswered(error)
            else:
                # Processors pad texts; few take chats with different numbers of pictures together.
                alike = (replace(ask.settings, draw=0), len(ask.chat.images))
                ready.setdefault(alike, []).append((k, ask))
        for (settings, _), rows in ready.items():
            # A drawn reply has a random stream of its own, whatever else is asked: those go one by one.
            for found in self.batches(rows, 1 if settings.temperature > 0 else batch, self._answers):
                replies |= found
        return [replies[k] for k in range(len(asks))]

    def _answers(self, rows: Sequence[Asked]) -> dict[int, Reply]:
        """Of one batch. If it fails its rows are asked one by one; what fails alone is the error of its ask."""
        try:
            return self._answered(rows)
        except Exception as error:
            if len(rows) == 1:
                return {rows[0][0]: unanswered(error)}
            if out_of_memory(error):
                raise
        return {k: reply for row in rows for k, reply in self._answers([row]).items()}

    @torch.no_grad()
    def _answered(self, rows: Sequence[Asked]) -> dict[int, Reply]:
        settings = rows[0][1].settings
        inputs = self.inputs([ask.chat for _, ask in rows])
        lengths = inputs["attention_mask"].sum(1).tolist()
        if self.most and max(lengths) + settings.max_new_tokens > self.most:
            raise TooLong(max(lengths), settings.max_new_tokens, self.most)
        width = inputs["input_ids"].shape[1]
        with quiet(), self._stream(rows[0][1]):
            out = self.model.generate(**inputs, **self._rules(settings))
        new, prompts = out.sequences[:, width:].tolist(), inputs["input_ids"].tolist()
        chances = self._chances(out.logits[0], settings.choices) if settings.choices else [{} for _ in rows]
        return {
            k: replace(self._read(said, prompt[width - length :], settings), choices=told)
            for (k, _), said, prompt, length, told in zip(rows, new, prompts, lengths, chances, strict=True)
        }

    @contextlib.contextmanager
    def _stream(self, ask: Ask) -> Iterator[None]:
        if ask.settings.temperature == 0:
            yield
            return
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(draw_seed(ask))
            yield

    def _rules(self, settings: Settings) -> dict[str, Any]:
        """For `generate`: the ask's settings in place of the folder's own."""
        drawn = settings.temperature > 0
        return {
            "max_new_tokens": settings.max_new_tokens,
            "do_sample": drawn,
            "temperature": settings.temperature if drawn else None,
            "top_p": settings.top_p if drawn else None,
            "top_k": 0 if drawn else None,
            "num_beams": 1,
            "pad_token_id": self.tokenizer.pad_token_id,
            "return_dict_in_generate": True,
            "output_logits": bool(settings.choices),
            **({"stop_strings": list(settings.stop), "tokenizer": self.tokenizer} if settings.stop else {}),
        }

    def _read(self, tokens: list[int], prompt: Sequence[int], settings: Settings) -> Reply:
        stop = next((k for k, token in enumerate(tokens) if token in self._ends), None)
        said = tokens if stop is None else tokens[:stop]
        thought, text = spoken(self.marks, self.tokenizer, said, prompt)
        cut = next((at for mark in settings.stop if (at := text.find(mark)) >= 0), None)
        text = text if cut is None else text[:cut]
        ended = stop is not None or cut is not None or len(tokens) < settings.max_new_tokens
        cost = Cost(forward=1, queries=1, tokens_in=len(prompt), tokens_out=len(said))
        return Reply(text, finish="stop" if ended else "length", cost=cost, reasoning=thought)

    @cached_property
    def _ends(self) -> frozenset[int]:
        ends = self.model.generation_config.eos_token_id
        return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])

    def _chances(self, logits: Tensor, choices: Sequence[str]) -> list[dict[str, float]]:
        """Per row: choice -> probability of its first token, before any decoding rule (`first_tokens`)."""
        first = first_tokens(choices, self._tokens_of)
        rows = logits.float().softmax(-1)[:, list(first.values())].tolist()
        return [dict(zip(first, row, strict=True)) for row in rows]

    def _tokens_of(self, choice: str) -> Sequence[int]:
        named = {"Yes": "yes_token_index", "No": "no_token_index"}  # ShieldGemma's class reads these two
        if self.architecture == SHIELDGEMMA_2 and choice in named:
            default = {"Yes": 10_784, "No": 3771}[choice]
            return [int(getattr(self.config, named[choice], default))]
        found: list[int] = self.tokenizer.encode(choice, add_special_tokens=False, split_special_tokens=True)
        return found

    # ---- chats ------------------------------------------------------------------------------------------------

    def inputs(self, chats: Sequence[Chat]) -> dict[str, Tensor]:
        """What the model takes of chats with equally many pictures, padded on the left."""
        every = [self.messages(chat) for chat in chats]
        if self.architecture == SHIELDGEMMA_2:
            found = self._of_shieldgemma(every)
        else:
            plain = {"tokenize": True, "return_dict": True, "sanitize_control_tokens": True, **self.told}
            padded = {"padding": True, "return_tensors": "pt"}
            if self.processor is None:
                found = self.tokenizer.apply_chat_template(every, **plain, **padded)
            else:
                padded["padding_side"] = "left"
                found = self.processor.apply_chat_template(every, **plain, processor_kwargs=padded)
        floats = self.model.dtype
        return {
            name: value.to(self.device, floats if value.is_floating_point() else None)
            for name, value in found.items()
            if isinstance(value, Tensor)
        }

    def _of_shieldgemma(self, every: Sequence[Any]) -> Any:
        """Its processor writes the question itself, around a picture and the text of a policy."""
        pictures, texts = [], {}
        for k, messages in enumerate(every):
            parts = messages[0]["content"] if len(messages) == 1 else []
            if [part["type"] for part in parts] != ["image", "text"]:
                raise ValueError("chat: ShieldGemma 2 takes one user turn, a picture and the text of a policy")
            self._check_plain(parts[1]["text"])
            pictures.append([parts[0]["image"]])
            texts[f"asked-{k}"] = parts[1]["text"]
        # It asks about every picture under every policy: one call a row, whose prompts are padded together after.
        rows = [
            self.processor(images=[picture], policies=[name], custom_policies=texts, return_tensors="pt")
            for picture, name in zip(pictures, texts, strict=True)
        ]
        return self._padded(rows)

    def _check_plain(self, text: str) -> None:
        """Raises ValueError for a text with a control token, where nothing encodes it as plain text."""
        held = next((token for token in self.tokenizer.get_added_vocab() if token.strip() and token in text), "")
        if held:
            raise ValueError(f"chat: holds the control token {held!r}, which this processor cannot take as plain text")

    def _padded(self, rows: Sequence[Any]) -> dict[str, Tensor]:
        width = max(row["input_ids"].shape[1] for row in rows)
        fill = {"input_ids": self.tokenizer.pad_token_id}
        return {
            name: torch.cat(
                [
                    torch.nn.functional.pad(row[name], (width - row[name].shape[1], 0), value=fill.get(name, 0))
                    if row[name].ndim == 2
                    else row[name]
                    for row in rows
                ]
            )
            for name in rows[0]
            if isinstance(rows[0][name], Tensor)
        }

    def messages(self, chat: Chat) -> list[dict[str, Any]]:
        """The chat as templates take it. Raises ValueError for what this model cannot be shown, ImageError for a
        picture that cannot be read."""
        if chat.images and self.processor is None:
            raise ValueError(f"chat: this victim takes no picture, found {len(chat.images)}")
        if any(m.role == "system" for m in chat.messages) and not self.has_system_role:
            raise ValueError("chat: its template shows no system prompt; put the text into the first user turn")
        return [{"role": m.role, "content": self._content(m.parts)} for m in chat.messages]

    def _content(self, parts: Sequence[Any]) -> Any:
        if self.takes_text and all(isinstance(part, str) for part in parts):
            return "".join(parts)
        return [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image", "image": pillow(part.array())}
            for part in parts
        ]

    @cached_property
    def takes_text(self) -> bool:
        """Whether the template shows a content that is mere text; a processor's own form is a list of parts."""
        return self.processor is None and self._shows([{"role": "user", "content": "probe-text"}])

    @cached_property
    def has_system_role(self) -> bool:
        told = [{"role": "system", "content": self._content(["probe-text"])}]
        return self._shows([*told, {"role": "user", "content": self._content(["x"])}])

    def _shows(self, messages: list[dict[str, Any]]) -> bool:
        try:
            written = self.tokenizer.apply_chat_template(
                messages, chat_template=self.template, tokenize=False, **self.told
            )
        except Exception as error:
            if is_environment(error):
                raise
            return False
        return "probe-text" in str(written)
