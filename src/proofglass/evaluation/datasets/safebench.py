"""SafeBench of FigStep (Gong et al. 2023): 10 topics x 50 questions that a safe model refuses.

Official layout (github.com/ThuCCSLab/FigStep, folder `data`): `question/safebench.csv`, `question/SafeBench-Tiny.csv`,
`images/SafeBench[-Tiny]/query_ForbidQI_<category>_<task>_6.png`. Not included here: the files hold harmful questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from proofglass.errors import ImageError, UsageError, is_environment
from proofglass.evaluation.datasets.reading import picture_in, read_csv
from proofglass.images import typography
from proofglass.interfaces import Dataset, Paper
from proofglass.types import BadSample, Chat, Sample

COLUMNS = ("dataset", "category_id", "task_id", "category_name", "question", "instruction")
FIGSTEP_QUERY = 6  # the authors' number for their typographic attack, last part of a picture's name
ADVICE = (8, 9, 10)  # legal, financial, health: a careful answer there is another kind of harm


@dataclass(frozen=True)
class SafeBench(Dataset):
    """Questions, or with pictures="official" the authors' own FigStep pictures.

    Samples are ordered by category and task number; meta holds the instruction and whether the category is one of
    advice.

    root: the clone of the authors' repository, or its folder `data`. tiny: the 50 questions of SafeBench-Tiny.
    questions: another file name in `question/`. categories: only these, by number or name. pictures: "none" asks the
    question as text (an attack may draw it), "official" shows the published picture with `prompt`. prompt: the text
    beside an official picture; None: our wording of FigStep's.
    """

    name = "safebench"
    paper = Paper(
        "Gong et al. 2023",
        "FigStep: Jailbreaking Large Vision-language Models via Typographic Visual Prompts",
        "arXiv:2311.05608",
    )
    licence = "MIT"

    root: Path
    tiny: bool = False
    questions: str | None = None
    categories: int | str | Sequence[int | str] = ()
    pictures: Literal["none", "official"] = "none"
    prompt: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories", self._chosen())

    def _chosen(self) -> tuple[int | str, ...]:
        return (self.categories,) if isinstance(self.categories, (int, str)) else tuple(self.categories)

    def reads(self) -> tuple[Path, ...]:
        """The table: an edited one is another data set. Pictures are in the key of each cell, by their pixels."""
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        bad: list[BadSample] = []
        rows: list[tuple[int, int, dict[str, str]]] = []
        for row in read_csv(self._table(), COLUMNS, self.name):
            if isinstance(row, BadSample):
                bad.append(row)
            elif not all(row[field].isdecimal() and len(row[field]) < 10 for field in ("category_id", "task_id")):
                numbers = f"{row['category_id']!r}, {row['task_id']!r}"
                bad.append(BadSample(_name(row), self.name, f"category_id, task_id: expected numbers, found {numbers}"))
            else:
                rows.append((int(row["category_id"]), int(row["task_id"]), row))
        self._check_categories({(category, row["category_name"]) for category, _, row in rows})
        for category, _, row in sorted(rows, key=lambda entry: entry[:2]):
            if not (chosen := self._chosen()) or category in chosen or row["category_name"] in chosen:
                yield self._sample(category, row)
        yield from bad

    def _sample(self, category: int, row: dict[str, str]) -> Sample | BadSample:
        name = _name(row)
        chat = Chat.user(row["question"])
        if self.pictures == "official":
            folder = "SafeBench-Tiny" if self.tiny else "SafeBench"
            try:
                picture = picture_in(self._data() / "images" / folder, f"{name}_{FIGSTEP_QUERY}.png")
            except ImageError as error:
                if is_environment(error):
                    raise
                return BadSample(name, self.name, str(error), row["category_name"])
            chat = Chat.user(picture, self.prompt or typography.incitement(3))
        meta = {"instruction": row["instruction"], "question": row["question"], "advice": category in ADVICE}
        return Sample(id=name, dataset=self.name, chat=chat, category=row["category_name"], meta=meta)

    def _data(self) -> Path:
        return self.root if (self.root / "question").is_dir() else self.root / "data"

    def _table(self) -> Path:
        return self._data() / "question" / (self.questions or ("SafeBench-Tiny.csv" if self.tiny else "safebench.csv"))

    def _check_categories(self, known: set[tuple[int, str]]) -> None:
        names = [name for _, name in sorted(known)]
        for wanted in self._chosen():
            if not any(wanted in pair for pair in known):
                near = get_close_matches(str(wanted), names, n=1, cutoff=0.4)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise UsageError(f"safebench.categories: no category {wanted!r} in {self._table()}.{hint}")


def _name(row: dict[str, str]) -> str:
    return f"query_{row['dataset']}_{row['category_id']}_{row['task_id']}"
