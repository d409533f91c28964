"""From a chat to token ids: the folder's template, with every picture expanded to its own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from proofglass.errors import UsageError, is_environment
from proofglass.faults import first_line
from proofglass.interfaces.white_box import is_printable
from proofglass.types import Chat, Image, Message
from proofglass.victims.hf.families.base import Family
from proofglass.victims.hf.loading import (
    family_in,
    full_processor,
    image_processor,
    processor_class,
    processor_template,
    tokenizer_of,
)
from proofglass.victims.hf.twins import twin_of
from proofglass.victims.hf.twins.base import Twin, official, pillow
from proofglass.victims.shared.prepared import Prompt, Slot


class Chats:
    """Template and tokenizer of one folder. twin: None for a model without pictures.

    Raises UsageError where neither the folder nor the family has a chat template, or where the family asks for a
    processor that the folder does not name.
    """

    def __init__(self, path: Path, tokenizer: Any, family: Family, processor: Any, twin: Twin | None) -> None:
        self.path, self.tokenizer, self.family, self.processor, self.twin = path, tokenizer, family, processor, twin
        family.chats = self
        if twin is not None and family.asks_processor and processor_class(path) is None:
            raise UsageError(
                f"{path}: names no processor of text and pictures, which writes the tokens that stand for a picture; "
                "get its processor_config.json, or state processor_class in preprocessor_config.json"
            )
        self.template = self._template()
        self._check_template()
        # Many templates of models with pictures go through a message's parts and drop a content that is mere text.
        self.takes_text = self._shows([{"role": "user", "content": "probe-text"}])
        self.has_system_role = self._has_system_role()
        self._runs: dict[tuple[int, int, bool], list[int]] = {}

    @cached_property
    def full_processor(self) -> Any:
        """The folder's own processor of text and pictures; None where the folder describes none."""
        return full_processor(self.path, self.processor, self.tokenizer)

    @cached_property
    def own_template(self) -> str:
        """The folder's chat template as it stands there, "" for none: its processor's, which transformers takes for a
        chat with pictures, before its tokenizer's."""
        found = (processor_template(self.path) if self.twin is not None else None) or self.tokenizer.chat_template
        if isinstance(found, dict):  # several by name: with tools, with documents
            found = found.get("default")
        return found if isinstance(found, str) else ""

    def _template(self) -> str:
        found = self.own_template or (self.family.template if self.twin is not None else "")
        if not found:
            raise UsageError(f"{self.path}: the tokenizer has no chat template; add chat_template.jinja")
        return self.family.chat_template(found)

    def _check_template(self) -> None:
        """Raises UsageError for a template that shows no chat at all, whatever its form: one that is no Jinja, or that
        reaches for what the sandbox forbids."""
        text = {"type": "text", "text": "x"}
        for content in ("x", [text], [{"type": "image"}, text]):
            try:
                self._written([{"role": "user", "content": content}])
            except Exception as error:
                if is_environment(error):
                    raise
                failed = error
            else:
                return
        raise UsageError(
            f"{self.path}: its chat template cannot be used ({type(failed).__name__}: {first_line(failed)}); mend "
            "chat_template.jinja, or chat_template in tokenizer_config.json"
        ) from failed

    def _written(self, messages: list[dict[str, Any]], template: str = "", asks: bool = False) -> str:
        found: Any = self.tokenizer.apply_chat_template(
            messages, chat_template=template or self.template, add_generation_prompt=asks, tokenize=False
        )
        made: str = found
        return made

    @property
    def template_source(self) -> str:
        """Where the template is from: "folder" or "family"."""
        return "folder" if self.own_template else "family"

    @cached_property
    def _frame(self) -> tuple[list[int], list[int]]:
        """What the tokenizer writes in front of a text and behind it by default."""
        _ = self.twin and self.full_processor  # PaliGemma's takes the tokenizer's begin token away
        alone, whole = (list(self.tokenizer("x", add_special_tokens=adds)["input_ids"]) for adds in (False, True))
        first = next((k for k in range(len(whole)) if whole[k : k + len(alone)] == alone), 0)
        return whole[:first], whole[first + len(alone) :]

    @property
    def begin_token(self) -> str:
        """Who writes the begin token of a chat, in words. Where template and tokenizer both would, one is kept."""
        begin = self.tokenizer.bos_token_id
        written = begin in self._ids(Chat.user("x"))
        by = {"template": written, "tokenizer": begin in self._frame[0] and self.family.sees_images}
        return " and ".join(who for who, writes in by.items() if writes and begin is not None) or "nobody"

    @cached_property
    def marker(self) -> int:
        """Id of the token by which the template marks a picture, -1 for none."""
        return self.family.marker(self.full_processor, self.tokenizer) if self.twin is not None else -1

    def _has_system_role(self, picture: bool = False) -> bool:
        """Whether the chat template shows a system prompt (beside a picture); some families drop it or raise."""
        parts = [{"type": "image"}, {"type": "text", "text": "x"}]
        return self._shows(
            [
                {"role": "system", "content": self._content("probe-text")},
                {"role": "user", "content": parts if picture else self._content("x")},
            ]
        )

    @cached_property
    def _system_beside_pictures(self) -> bool:
        return self.has_system_role and (self.twin is None or self._has_system_role(picture=True))

    @property
    def system_role(self) -> str:
        """Where a system prompt stands, in words."""
        if not self.has_system_role:
            return "put in front of the first user turn"
        if not self._system_beside_pictures:
            return "chat template; beside a picture, put in front of the first user turn"
        return "chat template"

    def _content(self, text: str) -> Any:
        return text if self.takes_text else [{"type": "text", "text": text}]

    def _shows(self, messages: list[dict[str, Any]]) -> bool:
        """Whether the "probe-text" of `messages` is in what the template writes."""
        try:
            return "probe-text" in self._written(messages)
        except Exception as error:
            if is_environment(error):
                raise
            return False

    def messages(self, chat: Chat) -> list[dict[str, Any]]:
        """The chat as templates take it. Without a system role a system prompt goes in front of the next user turn."""
        has_role = self._system_beside_pictures if chat.images else self.has_system_role
        system = ""
        found: list[dict[str, Any]] = []
        for message in one_system(chat).messages:
            if message.role == "system" and not has_role:
                system = f"{system}\n\n{message.text}" if system else message.text
                continue
            parts: list[dict[str, str]] = [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in message.parts
            ]
            if system and message.role == "user":
                parts.insert(0, {"type": "text", "text": system + "\n"})
                system = ""
            text = "".join(part["text"] for part in parts if "text" in part)
            found.append({"role": message.role, "content": parts if message.images else self._content(text)})
        if system:
            raise ValueError("chat: a system prompt needs a user turn to stand in front of, found none")
        return found

    def render(self, chat: Chat, template: str = "") -> str:
        """The chat as `template` writes it, one marker per picture; "": the one that is followed here."""
        return self._written(self.messages(chat), template, asks=True)

    def encode(self, chat: Chat) -> Prompt:
        """Token ids of the chat up to where the reply starts: those of the folder's own processor (`Family.framed`).

        Control tokens inside user text are encoded as plain text: data cannot forge a turn or a picture. Raises
        ValueError for a picture that cannot be used, or one that the template leaves out.
        """
        return self._expanded(self.family.framed(self._ids(chat), *self._frame), chat.images)

    def _ids(self, chat: Chat) -> list[int]:
        """Token ids of what the template writes, and no others."""
        found: Any = self.tokenizer.apply_chat_template(
            self.messages(chat),
            chat_template=self.template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            sanitize_control_tokens=True,
        )
        return list(found)

    def _expanded(self, ids: Sequence[int], images: Sequence[Image]) -> Prompt:
        shown = sum(token == self.marker for token in ids)
        if shown != (0 if self.twin is None else len(images)):
            raise ValueError(f"chat: {len(images)} pictures, but the template of {self.path.name} shows {shown}")
        found: list[int] = []
        slots: list[Slot] = []
        for token in ids:
            if token == self.marker:
                image = images[len(slots)]
                run = self.family.joined(found, self._run(*self.size_of(image), len(images) > 1))
                slots.append(Slot(len(found), len(found) + len(run), image, size=self.size_of(image)))
                found += run
            else:
                found.append(token)
        self.family.check(found)
        return Prompt(tuple(found), tuple(slots))

    # ---- tokens of a text -------------------------------------------------------------------------------------

    def tokens(self, text: str) -> list[int]:
        """Token ids of `text` alone; control tokens in it are plain text, as in `encode`."""
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def text(self, ids: Sequence[int]) -> str:
        """What `ids` stand for, control tokens included."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def read_back(self, rows: Sequence[Sequence[int]]) -> list[bool]:
        """Which rows are what `tokens` makes of their `text`, many at once."""
        if not rows:
            return []
        texts = self.tokenizer.batch_decode([list(row) for row in rows], clean_up_tokenization_spaces=False)
        found = self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return [list(row) == list(ids) for row, ids in zip(rows, found, strict=True)]

    def writable(self, count: int) -> list[bool]:
        """Which of the first `count` token ids a user can write: printable text, no control tokens."""
        control = {*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values(), self.marker}
        known = len(self.tokenizer)
        return [t < known and t not in control and is_printable(self.text([t])) for t in range(count)]

    # ---- pictures ---------------------------------------------------------------------------------------------

    def size_of(self, image: Image) -> tuple[int, int]:
        """(height, width) of the pixels that an attack works on."""
        assert self.twin is not None
        return self.twin.size(image.height, image.width)

    def _run(self, height: int, width: int, several: bool) -> list[int]:
        """Token ids of a picture whose pixels have this size, in a chat that shows one picture or several."""
        assert self.twin is not None
        key = (height, width, several and self.twin.several is not None)
        if key not in self._runs:
            blank = pillow(np.zeros((height, width, 3), np.uint8))
            inputs = official(self.processor, [[blank, blank]] if key[2] else [blank])
            self._runs[key] = self.family.picture_ids(self.full_processor, self.tokenizer, inputs)
        return self._runs[key]


def one_system(chat: Chat) -> Chat:
    """System turns that follow each other as one: many templates show the first only, or refuse a second."""
    found: list[Message] = []
    for message in chat.messages:
        if found and message.role == "system" == found[-1].role:
            found[-1] = Message("system", (f"{found[-1].text}\n\n{message.text}",))
        else:
            found.append(message)
    return Chat(tuple(found))


def chats_in(path: Path) -> Chats:
    """`Chats` of a folder without its weights: what can be said of it before it is loaded."""
    _, family = family_in(path)
    processor = image_processor(path) if family.sees_images else None
    return Chats(path, tokenizer_of(path), family(None, -1), processor, twin_of(processor) if processor else None)
