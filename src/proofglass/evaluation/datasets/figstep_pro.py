"""FigStep-Pro's files (Gong et al. 2023): forbidden phrases cut into several pictures, and the sentences around them.

Official layout: `images/FigStep-Pro/sub-figures.zip` with `image_<k>_splits/image_<k>_split_<j>.png`, k from 0 to 49;
`question/benign_sentences_without_harmful_phase.csv`, one column, whose row k has a * where the phrase was. Prompt k
is the k-th of SafeBench-Tiny. There are 181 pictures: 3 a prompt 27 times, 4 20 times, 7 twice, 6 once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from proofglass.errors import ImageError, UsageError
from proofglass.evaluation.datasets.pictures import InFolder, InZip
from proofglass.evaluation.datasets.reading import text_of
from proofglass.images import typography
from proofglass.types import Image

TASKS = 5  # of each category in SafeBench-Tiny
SENTENCES = "benign_sentences_without_harmful_phase.csv"
PROMPT = typography.PRO_TEXT  # ours, to the effect of the authors'


def place_of(category: int, task: int) -> int:
    """k of a prompt. By its numbers and not by its row, so that a table with rows left out names the same pictures.
    Raises ValueError for a task that SafeBench-Tiny does not have."""
    if not (category >= 1 and 1 <= task <= TASKS):
        raise ValueError(f"category_id, task_id: FigStep-Pro has tasks 1 to {TASKS} of each, found {category}, {task}")
    return TASKS * (category - 1) + task - 1


@dataclass(frozen=True)
class SubFigures:
    """The pictures in `place`: a zip file, or a folder into which it was unpacked."""

    place: Path

    def of(self, k: int) -> list[Image]:
        """Those of prompt k by their number: neither a zip file nor a folder lists `split_10` behind `split_9`. Raises
        ImageError where there are none, one is broken, or one between them is missing."""
        found: dict[int, str] = {}
        for name in self._names(k):
            if match := re.fullmatch(rf"(?:.*/)?image_{k}_split_([0-9]{{1,4}})\.png", name, re.IGNORECASE):
                found[int(match[1])] = name
        if not found or sorted(found) != list(range(len(found))):
            has = ", ".join(map(str, sorted(found))) or "none"
            raise ImageError(f"{self.place}: image_{k}_splits: expected pictures 0, 1, ... without a gap, found {has}")
        pictures = InZip(self.place) if self.place.is_file() else InFolder(self.place)
        return [pictures.read(found[j]) for j in sorted(found)]

    def _names(self, k: int) -> list[str]:
        if self.place.is_file():
            return InZip(self.place).names()
        if not self.place.is_dir():
            raise UsageError(f"{self.place}: neither the zip file of FigStep-Pro's sub-figures nor a folder of them")
        folder = self.place / f"image_{k}_splits"
        return [f"{folder.name}/{path.name}" for path in folder.iterdir()] if folder.is_dir() else []


def sentences(table: Path) -> list[str]:
    """The sentences around the phrases, in their order: a line each, whole, since the official table has one with a
    comma and no quotes. Raises UsageError for a table without its header, or with an empty line between others: a
    missing row would move all behind it."""
    header, *lines = text_of(table).strip().replace("\r\n", "\n").split("\n")
    if header.strip().strip('"') != "sentence":
        raise UsageError(f"{table}: expected the one column 'sentence', found {header[:80]!r}")
    found = [line.strip() for line in lines]
    if "" in found:
        raise UsageError(f"{table}: line {found.index('') + 2}: empty; row k is the sentence of picture k")
    return [_unquoted(line) for line in found]


def _unquoted(line: str) -> str:
    quoted = len(line) > 1 and line[0] == line[-1] == '"'
    return line[1:-1].replace('""', '"') if quoted else line
