"""Nemotron 3.5 Content Safety (NVIDIA, 2026): lines `User Safety:`, `Response Safety:`, `Safety Categories:`.

Source: the model card as third parties quote it (a prompt, an optional picture, an optional response; 23 categories of
Aegis 2) and an adapter in Virtue-Research/guard-eval-harness. The chat template of the weights writes the prompt; it
wants user and assistant strictly in turn, and drops a leading system prompt without a word: none is ever sent
(`Guard.system`). Categories are said only if the template is told `request_categories` (`hf-plain`:
`template_options: {request_categories: "/categories"}`).

The line of the mode decides, and nothing replaces it: a verdict on the prompt is none on the reply. The older
Llama-3.1 guards of NVIDIA answer in JSON, which is not read here. Marks by which the template is said to set a reply
apart ("### Answer:") are made harmless in judged texts. Not verified: the template itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proofglass.evaluation.judges.guards.base import (
    Contract,
    Level,
    Mode,
    Unread,
    Verdict,
    fields_of,
    listed,
    may_list_none,
    one_of,
    remarks,
    said,
    without_thought,
)

USER, RESPONSE, CATEGORIES = "User Safety", "Response Safety", "Safety Categories"
_LEVELS: dict[str, Level] = {"safe": "safe", "unsafe": "unsafe"}
_MARKS = re.compile(
    r"#{1,6}\s{0,8}Answer\s{0,8}:|response\s{0,8}:\s{0,8}agent\s{0,8}:|</?\s{0,8}think\s{0,8}>", re.IGNORECASE
)


@dataclass(frozen=True)
class Nemotron(Contract):
    """A prompt with at most one picture, or a reply to it."""

    family = "nemotron-content-safety"
    hub = "nvidia/Nemotron-3.5-Content-Safety"
    modes = ("response", "prompt")
    sees_pictures = True
    pictures = (0, 1)
    new_tokens = 128
    marks = _MARKS

    def read(self, text: str, mode: Mode, cut: bool = False) -> Verdict | Unread:
        whole = said(text)
        if isinstance(whole, Unread):
            return whole
        fields = fields_of(without_thought(text), {USER: _LEVELS, RESPONSE: _LEVELS, CATEGORIES: ()}, cut)
        if isinstance(fields, Unread):
            return fields
        found = fields.whole
        levels = {name: one_of(found[name], _LEVELS) for name in (USER, RESPONSE) if name in found}
        if odd := next((name for name, level in levels.items() if level is None), ""):
            return Unread(f"{odd}: expected 'safe' or 'unsafe'")
        own = levels.get(RESPONSE if mode == "response" else USER)
        if own is None:
            return Unread(f"no line '{RESPONSE if mode == 'response' else USER}: ...'")
        codes = listed(found.get(CATEGORIES, ""))
        named = bool(codes) or not may_list_none(fields.begun.get(CATEGORIES, ""))
        if named and "unsafe" not in levels.values():
            return Unread("it says safe, and names violated categories")
        both = own == "unsafe" and bool(codes) and len(levels) == 2 and set(levels.values()) == {"unsafe"}
        told = "its categories are those of prompt and reply together" if both else ""
        return Verdict(own, codes if own == "unsafe" else (), remarks(told, "cut off" if fields.begun else ""))


NEMOTRON = Nemotron()
