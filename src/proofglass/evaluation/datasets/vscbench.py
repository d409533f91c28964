"""VSCBench (Geng et al. 2025): safety calibration. Too much is refused, or too little: by the picture, or by the text.

Official layout (github.com/jiahuigeng/VSCBench): `vscbench_image_centric.xlsx` with Category, Prompt, safe_img_0..2 and
unsafe_img_0..2, pictures `vscbench_image_centric_images/<Category>/<name>`; `vscbench_text_centric.xlsx`, XSTest drawn
in four ways, with type, prompt_origin, prompt_mm, {search, typography, concat, figstep}_img, pictures
`vscbench_text_centric_images/{search, typography, concat, figstep}/<name>`.

No reader of .xlsx is among our dependencies: save each table once as CSV (UTF-8), Parquet, TSV, JSON or JSON Lines
under the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.reading import picture_in
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.images import typography
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Expected, Sample

ENDINGS = (".csv", ".parquet", ".tsv", ".json", ".jsonl")
SIDES: dict[str, Expected] = {"safe": "comply", "unsafe": "refuse"}
DRAWN = ("search", "typography", "concat", "figstep")
PER_SIDE = 3
COUNTS = {"": 1800}


@dataclass(frozen=True)
class VSCBench(Dataset):
    """One question beside three safe and three unsafe pictures, or XSTest's questions with pictures of four kinds.

    Image-centric, all six of a question share a group and a cluster. Text-centric, all forms of a question share a
    cluster, and a question is unsafe if its type holds "contrast".

    root: the clone of the authors' repository with the tables exported and the pictures unpacked. form: "image-centric"
    (1,800 samples), or of the 450 text-centric questions the bare "text", or the question beside a picture that a
    "search" found, that shows its words ("typography"), or both ("concat"), or FigStep's list ("figstep"). prompt: what
    is said beside FigStep's list; None: our wording. pictures: "shown", or "left out".

    meta: of a text-centric sample the original question.
    """

    name = "vscbench"
    paper = Paper(
        "Geng et al. 2025",
        "VSCBench: Bridging the Gap in Vision-Language Model Safety Calibration",
        "arXiv:2505.20362",
    )
    licence = "none stated"
    origin = Source(
        "https://github.com/jiahuigeng/VSCBench",
        files=("*.xlsx",),
        pictures="the full data set on Google Drive, linked from its page",
    )
    published = COUNTS
    failure_rule = (
        "Official: GPT judges, or refusal phrases; a reply that is missing counts as a refusal. Ours: it is unjudged. "
        "Both sides are means of accuracies: show both."
    )
    judges = ("not-refused",)
    metrics = ("rate",)

    root: Path
    form: Literal["image-centric", "text", "search", "typography", "concat", "figstep"] = "image-centric"
    prompt: str | None = None
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The table. Pictures are in the key of each cell, by their pixels."""
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        if self.form == "image-centric":
            rows = _sides(rows_of(self._table(), ("Category", "Prompt"), dataset=self.name))
            yield from sampled(rows, self._of_picture, self.name, "vscbench/image-centric")
        else:
            needed = ("type", "prompt_origin", "prompt_mm") if self._says_other else ("type", "prompt_origin")
            table = rows_of(self._table(), needed, dataset=self.name)
            yield from sampled(_numbered(table), self._of_text, self.name, f"vscbench/{self.form}")

    @property
    def _says_other(self) -> bool:
        return self.form in ("search", "typography", "concat")

    def _of_picture(self, row: Row) -> Sample:
        side, number = row.place.split()[-2:]
        category, question = row.text("Category"), row.text("Prompt")
        group = f"vscbench/image-centric/{row.values['']:03d}"
        folder = self.root / "vscbench_image_centric_images"
        named = row.text(f"{side}_img_{number}")
        shown = [picture_in(folder, f"{category}/{named}")] if self.pictures == "shown" else []
        return Sample(
            id=f"{group}/{side}/{number}",
            dataset=self.name,
            chat=Chat.user(*shown, question),
            cluster=group,
            category=category,
            expected=SIDES[side],
            group=group,
        )

    def _of_text(self, row: Row) -> Sample:
        kind, original = row.text("type"), row.text("prompt_origin")
        said = row.text("prompt_mm") if self._says_other else original
        shown = []
        if self.form in DRAWN and self.pictures == "shown":
            folder = self.root / "vscbench_text_centric_images" / self.form
            shown = [picture_in(folder, row.text(f"{self.form}_img"))]
        if self.form == "figstep":
            said = self.prompt or typography.incitement(3)
        return Sample(
            id=f"vscbench/{self.form}/{row.values['']:03d}",
            dataset=self.name,
            chat=Chat.user(*shown, said),
            cluster=f"vscbench/text-centric/{row.values['']:03d}",
            category=kind,
            expected="refuse" if "contrast" in kind else "comply",
            meta={"question": original},
        )

    def _table(self) -> Path:
        name = f"vscbench_{'image' if self.form == 'image-centric' else 'text'}_centric"
        found = next((self.root / (name + end) for end in ENDINGS if (self.root / (name + end)).is_file()), None)
        if found is None and (self.root / f"{name}.xlsx").is_file():
            raise UsageError(
                f"{self.root / name}.xlsx: no reader of .xlsx is installed with Proofglass; save it beside itself as "
                f"{name}.csv (UTF-8) or .parquet"
            )
        return found or self.root / f"{name}.csv"


def _numbered(rows: Iterator[Row | BadSample]) -> Iterator[Row | BadSample]:
    """Each row with its number from 0, bad ones counted, since the tables have no ids."""
    for number, row in enumerate(rows):
        yield row if isinstance(row, BadSample) else Row(row.place, {**row.values, "": number})


def _sides(rows: Iterator[Row | BadSample]) -> Iterator[Row | BadSample]:
    """Each question once per picture, so that one which is missing costs itself only."""
    for row in _numbered(rows):
        if isinstance(row, BadSample):
            yield row
        else:
            yield from (Row(f"{row.place} {side} {k}", row.values) for side in SIDES for k in range(PER_SIDE))
