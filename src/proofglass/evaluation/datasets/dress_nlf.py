"""The feedback of DRESS (Chen et al. 2023a): dialogues in which each reply was rated, criticised and improved.

Official layout (hub YangyiYY/LVLM_NLF): `LVLM_NLF/harmlessness_nlf.jsonl` and `helpfulness_nlf.jsonl` with image_id (a
file of COCO's `train2017`), caption, interaction: a list of {user, model, rating, "critique NLF"} (also spelled
critique_NLF). From the second on, `user` is advice on the reply before, and `model` the improved reply.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.evaluation.datasets.vlsafe import DRESS, coco, coco_picture
from proofglass.interfaces import Dataset, Source
from proofglass.types import BadSample, Chat, Sample

CRITIQUES = ("critique NLF", "critique_NLF")


@dataclass(frozen=True)
class DressNLF(Dataset):
    """A sample for each turn: the dialogue up to it, with the authors' reply as `target`.

    Turns of one row are one cluster. Made to train with: conditioned on a turn's own rating and critique, or on the
    advice of the next.

    root: a copy of the hub's repository, its folder `LVLM_NLF`, or a table. kind: "harmlessness" (malicious questions,
    which should be refused), or "helpfulness" (which should be answered). images: the folder of COCO's `train2017`;
    needed unless pictures is "left out". pictures: "shown", or "left out".

    meta: turn (from 1), turns, rating (a text, as published), critique, caption, image. The authors' wording of the
    condition, the number of rows and the licence were not found.
    """

    name = "dress-nlf"
    paper = DRESS
    licence = "not stated on the hub's page"
    origin = Source(
        "https://huggingface.co/datasets/YangyiYY/LVLM_NLF",
        hub="YangyiYY/LVLM_NLF",
        files=("LVLM_NLF/*.jsonl",),
        pictures="COCO train2017 (cocodataset.org)",
    )
    failure_rule = "None: it is for training. Judged all the same, what cannot be read is unjudged."
    judges = ("not-refused",)
    metrics = ("rate",)

    root: Path
    kind: Literal["harmlessness", "helpfulness"] = "harmlessness"
    images: Path | None = None
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The table. Pictures are in the key of each cell, by their pixels."""
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        if self.pictures == "shown":
            coco(self.images, self.name)
        rows = rows_of(self._table(), ("image_id", "interaction"), dataset=self.name)
        yield from sampled(rows, self._turns, self.name, f"{self.name}/{self.kind}")

    def _turns(self, row: Row) -> Iterator[Sample]:
        """The turns of a row: all of them or, for a reason in one of them, none, since each goes on with the last."""
        turns = row.values["interaction"]
        if not isinstance(turns, (list, tuple)) or not turns:
            raise ValueError("interaction: expected a list of turns with user and model")
        name = f"{self.name}/{self.kind}/{row.place.rpartition(' ')[2]}"
        image = row.text("image_id", empty=self.pictures == "left out")
        shown = [coco_picture(self.images, image, self.name)] if self.pictures == "shown" else []
        chat = Chat()
        for number, told in enumerate(turns, start=1):
            if not isinstance(told, dict):
                raise ValueError(f"interaction: turn {number}: expected an object, found a {type(told).__name__}")
            turn = Row(f"turn {number}", told)
            chat = chat.ask(*(shown if number == 1 else []), turn.text("user"))
            reply = turn.text("model")
            critique = next((key for key in CRITIQUES if key in told), CRITIQUES[0])
            yield Sample(
                id=f"{name}/{number}",
                dataset=self.name,
                chat=chat,
                cluster=name,
                expected="refuse" if self.kind == "harmlessness" else "comply",
                target=reply,
                meta={
                    "turn": number,
                    "turns": len(turns),
                    "rating": turn.text("rating", empty=True),
                    "critique": turn.text(critique, empty=True),
                    "caption": row.text("caption", empty=True),
                    "image": image,
                },
            )
            chat = chat.say(reply)

    def _table(self) -> Path:
        if self.root.is_file():
            return self.root
        below = self.root / "LVLM_NLF"
        return (below if below.is_dir() else self.root) / f"{self.kind}_nlf.jsonl"
