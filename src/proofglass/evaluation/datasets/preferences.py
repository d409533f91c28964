"""Pairs of judged replies of a run (`proofglass export RUN --to preferences`), to tune with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from proofglass.errors import ImageError
from proofglass.evaluation.datasets.pictures import InFolder
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Expected, Image, Message, Sample

KINDS: tuple[str, ...] = get_args(Expected)
ROLES = ("system", "user", "assistant")
NEEDED = ("id", "dialogue", "chosen", "rejected", "expected")


@dataclass(frozen=True)
class Preferences(Dataset):
    """The one reference is the reply that the run's judge called good, meta "rejected" the one that it called bad.

    source: the file; its pictures lie beside it. pictures: "shown", or "left out" (the words of the dialogue alone).

    Rows come from samples that were judged, so what learns from them is measured on others, and the judge's errors are
    among them: the card beside the file says what is known of these. meta: rejected, judge, chosen_from,
    rejected_from, of.
    """

    name = "preferences"
    licence = "that of the data sets and models of the run"
    judges = ("not-refused",)

    source: Path
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The table; pictures are named by their pixels."""
        return (self.source,)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        yield from sampled(rows_of(self.source, NEEDED, dataset=self.name), self._sample, self.name)

    def _sample(self, row: Row) -> Sample:
        chosen, rejected = row.text("chosen"), row.text("rejected")
        if chosen == rejected:
            raise ValueError("chosen, rejected: the same text; nothing is preferred")
        expected: Any = row.choice("expected", KINDS)
        return Sample(
            id=f"{self.name}/{row.text('id')}",
            dataset=self.name,
            chat=self._chat(row.values["dialogue"]),
            cluster=row.text("cluster", empty=True),
            category=row.text("category", empty=True),
            expected=expected,
            references=(chosen,),
            meta={"rejected": rejected, **{name: row.values.get(name) for name in _TOLD if name in row.values}},
        )

    def _chat(self, turns: Any) -> Chat:
        """Raises ValueError for what is no dialogue, ImageError for a picture that is not there or another one."""
        if not isinstance(turns, list) or not turns:
            raise ValueError(f"dialogue: expected a list of turns, found {turns!r:.80}")
        return Chat(tuple(self._message(turn) for turn in turns))

    def _message(self, turn: Any) -> Message:
        if not isinstance(turn, Mapping) or turn.get("role") not in ROLES or not isinstance(turn.get("parts"), list):
            raise ValueError(f'dialogue: expected {{"role": {"|".join(ROLES)}, "parts": [...]}}, found {turn!r:.80}')
        parts = [part for part in turn["parts"] if self.pictures == "shown" or part[:1] != ["image"]]
        if not parts:
            raise ValueError("dialogue: a turn of pictures alone, and pictures are left out")
        return Message(turn["role"], tuple(self._part(part) for part in parts))

    def _part(self, part: Any) -> str | Image:
        if not isinstance(part, list) or len(part) != 2 or not all(isinstance(each, str) for each in part):
            raise ValueError(f'dialogue: expected parts ["text" or "image", content], found {part!r:.80}')
        kind, content = part
        if kind == "text":
            return str(content)
        if kind != "image" or not re.fullmatch(r"[0-9a-f]{64}", content):
            raise ValueError(f'dialogue: expected ["image", sha256 of its pixels], found {part!r:.80}')
        image = InFolder(self.source.parent / "pictures").read(f"{content[:2]}/{content}.png")
        if image.sha256 != content:
            raise ImageError(f"pictures/{content[:2]}/{content}.png: holds other pixels than its name says")
        return image


_TOLD = ("judge", "of", "chosen_from", "rejected_from")
