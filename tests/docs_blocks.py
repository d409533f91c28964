"""The code blocks of a page, and what is said of them in the comment above: how the docs are held to run.

A fenced block without a comment is run, in the order of its page and in one folder: shell lines as commands, Python
in one namespace, YAML as a study, TOML as entry points. A comment straight above the fence says otherwise:

    <!-- not run: why -->                     none of it runs here
    <!-- not run "beginning of a line": why -->   this line does not; the others do
    <!-- slow "beginning of a line": minutes -->  only with `make test-slow`
    <!-- tested: tests/some_file.py -->       that file reads this page and runs its blocks
    <!-- output -->                           what the block above printed, or a drawing: nothing to run
    <!-- with: name -->                       runs with the names that `given` in test_docs_blocks.py makes
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_FENCE = re.compile(r"(?P<marks>(?:^<!--[^\n]*-->\n)*)^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.S | re.M)
_MARK = re.compile(r'<!-- (?P<kind>not run|slow|tested|output|with)(?: "(?P<line>[^"]+)")?(?:: (?P<text>.+))? -->')


@dataclass(frozen=True)
class Mark:
    """kind: what the comment says; line: the beginning of the line that it speaks of, "" for all; text: its reason."""

    kind: str
    line: str
    text: str


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    code: str
    marks: tuple[Mark, ...]

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def lines(self) -> list[str]:
        """Shell lines, continued ones joined, without comments."""
        joined = self.code.replace("\\\n", " ")
        return [bare for line in joined.splitlines() if (bare := re.sub(r"(^|\s+)#\s.*$", "", line).strip())]

    def marked(self, *kinds: str) -> list[Mark]:
        return [mark for mark in self.marks if mark.kind in kinds]

    @property
    def is_run(self) -> bool:
        whole = [mark for mark in self.marked("not run", "slow") if not mark.line]
        return not whole and not self.marked("tested", "output")

    def mark_of(self, line: str) -> str:
        """What is said of this line: "not run", "slow", or "" for nothing."""
        return next((mark.kind for mark in self.marked("not run", "slow") if line.startswith(mark.line)), "")


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            page,
            text[: found.start("language")].count("\n") + 1,
            found["language"],
            found["code"],
            tuple(Mark(m["kind"], m["line"] or "", m["text"] or "") for m in map(_MARK.fullmatch, _comments(found))),
        )
        for found in _FENCE.finditer(text)
    ]


def _comments(found: re.Match[str]) -> list[str]:
    """The comments straight above a fence that are marks; another comment is none of ours."""
    return [line for line in found["marks"].splitlines() if _MARK.fullmatch(line)]
