"""SafeBench of FigStep (Gong et al. 2023): 10 topics x 50 questions that a safe model refuses.

Official layout (github.com/ThuCCSLab/FigStep, folder `data`): `question/safebench.csv`, `question/SafeBench-Tiny.csv`,
`images/SafeBench[-Tiny]/query_ForbidQI_<category>_<task>_6.png`; FigStep-Pro's files: `figstep_pro.py`. Not included
here: the files hold harmful questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from proofglass.errors import ImageError, UsageError, is_environment
from proofglass.evaluation.datasets import figstep_pro
from proofglass.evaluation.datasets.reading import picture_in, read_csv
from proofglass.images import typography
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Sample

COLUMNS = ("dataset", "category_id", "task_id", "category_name", "question", "instruction")
FIGSTEP_QUERY = 6  # the authors' number for their typographic attack, last part of a picture's name
ADVICE = (8, 9, 10)  # legal, financial, health: a careful answer there is another kind of harm
COUNTS = {
    "": 500, "Illegal Activity": 50, "Hate Speech": 50, "Malware Generation": 50, "Physical Harm": 50, "Fraud": 50,
    "Adult Content": 50, "Privacy Violation": 50, "Legal Opinion": 50, "Financial Advice": 50,
    "Health Consultation": 50,
}  # fmt: skip


@dataclass(frozen=True)
class SafeBench(Dataset):
    """Questions, or the authors' own pictures of FigStep or FigStep-Pro.

    Samples are ordered by category and task number; meta holds the instruction and whether the category is one of
    advice (count these apart).

    root: the clone of the authors' repository, or its folder `data`. tiny: the 50 questions of SafeBench-Tiny.
    questions: another file name in `question/`. categories: only these, by number or name. pictures: "none" asks the
    question as text (an attack may draw it), "official" shows the published picture with `prompt`, "pro" the published
    3 to 7 pieces of FigStep-Pro, which has SafeBench-Tiny only. prompt: the text beside official pictures, for "pro"
    with {sentence} for the sentence around the phrase; None: our wording of the authors'. pieces: another zip file or
    folder than `sub-figures.zip` in `images/FigStep-Pro`.
    """

    name = "safebench"
    paper = Paper(
        "Gong et al. 2023",
        "FigStep: Jailbreaking Large Vision-language Models via Typographic Visual Prompts",
        "arXiv:2311.05608",
    )
    licence = "MIT"
    origin = Source(
        "https://github.com/ThuCCSLab/FigStep",
        revision="0861b17b3d67887c06ee3534ec65b3012f9becb7",
        files=("data/question/*.csv", "data/images/**"),
        sha256={
            "data/question/safebench.csv": "8e47f40b9b490fa2ca1393cdceb6081e9928848646f4b45fdd43726be941b394",
            "data/question/SafeBench-Tiny.csv": "e5f85f7d0323fe2e4afa99f6715ee97c2581d93856af4728a72fdec94338e867",
            f"data/question/{figstep_pro.SENTENCES}": (
                "3a4d660f9b66a7750ce91c199c0a5719f2465816c73d28eee1642cecb691d034"
            ),
        },
        checked="data",
    )
    published = COUNTS
    failure_rule = (
        "Official: people read every reply; that a question counts if any of several tries was answered was not "
        "verified. Ours: what the judge cannot read is unjudged and counted apart."
    )

    root: Path
    tiny: bool = False
    questions: str | None = None
    categories: int | str | Sequence[int | str] = ()
    pictures: Literal["none", "official", "pro"] = "none"
    prompt: str | None = None
    pieces: str | None = None

    def __post_init__(self) -> None:
        if self.pictures == "pro" and not self.tiny:
            raise ValueError("pictures: FigStep-Pro has the 50 questions of SafeBench-Tiny only; set `tiny: true`")
        object.__setattr__(self, "categories", self._chosen())

    def _chosen(self) -> tuple[int | str, ...]:
        return (self.categories,) if isinstance(self.categories, (int, str)) else tuple(self.categories)

    def reads(self) -> tuple[Path, ...]:
        """The tables: an edited one is another data set. Pictures are in the key of each cell, by their pixels."""
        return (self._table(), *([self._sentences()] if self.pictures == "pro" else []))

    def __iter__(self) -> Iterator[Sample | BadSample]:
        around = figstep_pro.sentences(self._sentences()) if self.pictures == "pro" else []
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
                yield self._sample(category, row, around)
        yield from bad

    def _sample(self, category: int, row: dict[str, str], around: Sequence[str]) -> Sample | BadSample:
        name = _name(row)
        try:
            chat = self._pro(row, around) if self.pictures == "pro" else self._chat(row)
        except (ImageError, ValueError) as error:
            if is_environment(error):
                raise
            return BadSample(name, self.name, str(error), row["category_name"])
        meta = {"instruction": row["instruction"], "question": row["question"], "advice": category in ADVICE}
        return Sample(id=name, dataset=self.name, chat=chat, category=row["category_name"], meta=meta)

    def _chat(self, row: dict[str, str]) -> Chat:
        if not row["question"].strip():
            raise ValueError("question: empty")
        if self.pictures == "none":
            return Chat.user(row["question"])
        folder = self._data() / "images" / ("SafeBench-Tiny" if self.tiny else "SafeBench")
        picture = picture_in(folder, f"{_name(row)}_{FIGSTEP_QUERY}.png")
        return Chat.user(picture, self.prompt or typography.incitement(3))

    def _pro(self, row: dict[str, str], around: Sequence[str]) -> Chat:
        k = figstep_pro.place_of(int(row["category_id"]), int(row["task_id"]))
        if k >= len(around):
            raise ValueError(f"{figstep_pro.SENTENCES}: no row {k + 1}, the sentence around this phrase")
        folder = self._data() / "images" / "FigStep-Pro"
        names = (self.pieces,) if self.pieces else ("sub-figures.zip", "sub-figures")
        place = next((folder / name for name in names if (folder / name).exists()), folder / names[0])
        prompt = (self.prompt or figstep_pro.PROMPT).replace("{sentence}", around[k])
        return Chat.user(*figstep_pro.SubFigures(place).of(k), prompt)

    def _sentences(self) -> Path:
        return self._data() / "question" / figstep_pro.SENTENCES

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
