"""What a model that thinks aloud thought, apart from what it answered.

Only by marks that the folder itself knows, as tokens or in its chat template: where a model has none, a mark in its
reply is text. Whoever could make any model write one would else hide a reply from its judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Begin and end mark, as tokenizers and templates of reasoning models write them (DeepSeek-R1, Qwen3, Kimi-VL, Mistral,
# LLaVA-OneVision and others trained on such data).
MARKS = (
    ("<think>", "</think>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<thinking>", "</thinking>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)


@dataclass(frozen=True)
class Marks:
    """begin, end: around a thought. begin_id, end_id: their tokens, None where the mark is several of them."""

    begin: str
    end: str
    begin_id: int | None = None
    end_id: int | None = None

    def opened_by(self, prompt: str) -> bool:
        """Whether the template itself begins the thought at the end of a prompt (its text, special tokens included)."""
        return prompt.rstrip().endswith(self.begin)

    def split(self, text: str, opened: bool) -> tuple[str, str]:
        """(thought, answer) of a reply. opened: its thought began in the prompt. Without an end mark a thought that
        began was cut off: the rest of the text is it."""
        thought, ended, answer = text.partition(self.end)
        if ended:
            return thought.replace(self.begin, "", 1).strip(), answer.strip()
        answer, began, thought = text.partition(self.begin)
        if opened:
            return text.replace(self.begin, "", 1).strip(), ""
        return (thought.strip(), answer.strip()) if began else ("", text)


def marks_of(tokenizer: Any, template: str) -> Marks | None:
    """The marks of a folder's thoughts: the first of `MARKS` whose end is a token of its own or in the chat template.
    None: this model does not think aloud."""
    added = tokenizer.get_added_vocab()
    for begin, end in MARKS:
        if end in added or end in template:
            return Marks(begin, end, added.get(begin), added.get(end))
    return None


def spoken(marks: Marks | None, tokenizer: Any, said: Sequence[int], prompt: Sequence[int]) -> tuple[str, str]:
    """(thought, answer) of the tokens `said` that followed the tokens `prompt`."""

    def text(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    if marks is None:
        return "", text(said)
    # Marks that are special tokens are in no decoded text: they are put back as the text that they stand for.
    known = {marks.begin_id: marks.begin, marks.end_id: marks.end}
    places = [k for k, token in enumerate(said) if token in known]
    starts = [0, *(k + 1 for k in places)]
    pieces = [text(said[a:b]) for a, b in zip(starts, [*places, len(said)], strict=True)]
    written = pieces[0] + "".join(known[said[k]] + piece for k, piece in zip(places, pieces[1:], strict=True))
    return marks.split(written, marks.opened_by(tokenizer.decode(list(prompt[-32:]))))
