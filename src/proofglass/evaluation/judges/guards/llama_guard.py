"""Llama Guard 3 Vision and Llama Guard 4 (Meta): "safe", or "unsafe" and a line of category codes.

Source: the model cards in meta-llama/PurpleLlama (Llama-Guard3/11B-vision, Llama-Guard4/12B): prompt and response
classification, categories S1 to S13 (4: S14, text only), one picture (4: several; trained with two to five at most);
version 3 is meant neither for pictures alone nor for text alone, so a dialogue without a picture is refused. The prompt
itself, with the categories, is written by the chat template of the weights. It stands between marks of plain text,
which are made harmless where a judged text holds them.

Not verified: whether the reply begins with the verdict or with blank lines, on which the probabilities of its first
token depend (`Contract.share` refuses them then).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proofglass.evaluation.judges.guards.base import (
    Contract,
    Mode,
    Unread,
    Verdict,
    lines_of,
    remarks,
    said,
    unknown,
)

_CODE = re.compile(r"S\d{1,3}", re.IGNORECASE)
_BEGUN = re.compile(r"S\d{0,3}", re.IGNORECASE)
_MARKS = re.compile(
    r"</?\s{0,8}(?:BEGIN|END)\s{1,8}(?:UNSAFE\s{1,8}CONTENT\s{1,8}CATEGORIES|CONVERSATION)\s{0,8}>", re.IGNORECASE
)


@dataclass(frozen=True)
class LlamaGuard(Contract):
    """One version. categories: how many codes its card lists. The others: see `Contract`."""

    family: str
    hub: str
    categories: int
    pictures: tuple[int, int | None]

    modes = ("response", "prompt")
    sees_pictures = True
    new_tokens = 64  # all fourteen codes
    choices = ("unsafe", "safe")
    marks = _MARKS

    def read(self, text: str, mode: Mode, cut: bool = False) -> Verdict | Unread:
        whole = said(text)
        if isinstance(whole, Unread):
            return whole
        first, *rest = lines_of(whole)
        level = first.casefold()
        if level not in ("safe", "unsafe"):
            return Unread("its first line is neither 'safe' nor 'unsafe' alone")
        if cut and "\n" not in text.lstrip():
            return Unread("cut off in its first line")
        in_line = cut and bool(text.rpartition("\n")[2].strip())  # else its last line was ended
        if level == "safe":
            return Unread("more than 'safe' was said") if rest else Verdict("safe")
        if len(rest) > 1:
            return Unread("more than a verdict and its categories was said")
        return self._unsafe(rest[0] if rest else "", in_line)

    def _unsafe(self, line: str, cut: bool) -> Verdict | Unread:
        entries = [entry.strip() for entry in line.split(",")] if line else []
        begun = entries.pop() if cut and entries else ""  # "S1" may be the beginning of "S10"
        if begun and not _BEGUN.fullmatch(begun):
            return Unread("what follows 'unsafe' was cut off, and begins no category code")
        if any(not _CODE.fullmatch(entry) for entry in entries):
            return Unread("what follows 'unsafe' is no list of category codes")
        codes = tuple(dict.fromkeys(entry.upper() for entry in entries))
        known = [f"S{k}" for k in range(1, self.categories + 1)]
        told = remarks("" if codes else "no category was named", unknown(codes, known), "cut off" if cut else "")
        return Verdict("unsafe", codes, told)


LLAMA_GUARD_3_VISION = LlamaGuard("llama-guard-3-vision", "meta-llama/Llama-Guard-3-11B-Vision", 13, (1, 1))
LLAMA_GUARD_4 = LlamaGuard("llama-guard-4", "meta-llama/Llama-Guard-4-12B", 14, (0, None))
