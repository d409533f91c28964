"""docs/api-victims.md names the attacks that run on replies alone: those that say so themselves."""

from __future__ import annotations

import re
from pathlib import Path

from proofglass.interfaces import Attack
from proofglass.registry import build, entries

PAGE = (Path(__file__).parents[2] / "docs" / "api-victims.md").read_text()
SECTION = PAGE.partition("## Which attacks run")[2].partition("\n## ")[0]

NAMED = {"text-template": {"file": "template.txt"}, "t-pgd": {"model": "folder"}}  # fields without a default


def named(text: str) -> set[str]:
    return set(re.findall(r"`([\w-]+)`", text)) & set(entries("attacks"))


def attacks() -> dict[str, Attack]:
    ours = [name for name, entry in entries("attacks").items() if "proofglass." in entry.target]
    return {name: build("attacks", name, **NAMED.get(name, {})) for name in ours}


def test_the_page_lists_every_attack_that_needs_no_open_victim_and_no_other() -> None:
    runs = {name for name, attack in attacks().items() if attack.opens == "nothing"}
    with_encoder = {
        name
        for name, attack in attacks().items()
        if attack.opens != "nothing"
        and "encoder" in attack.settings()
        and build("attacks", name, encoder="testbed-clip").opens == "nothing"
    }
    table = "".join(line for line in SECTION.splitlines() if line.startswith("|"))
    assert named(table) == runs | with_encoder
    assert with_encoder == {"shayegani2023"}


def test_the_page_says_why_each_of_the_others_does_not_run() -> None:
    rest = SECTION.partition("All others open the victim.")[2]
    white, scored = rest.partition("need its gradients;")[::2]
    others = {
        name: attack for name, attack in attacks().items() if attack.opens != "nothing" and name != "shayegani2023"
    }
    assert named(white) == {name for name, attack in others.items() if attack.opens != "scores"}
    assert named(scored) == {name for name, attack in others.items() if attack.opens == "scores"}
