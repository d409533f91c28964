"""Write docs/methods.md from the registry: `python scripts/make_docs.py`; with --check, fail if it is out of date."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from proofglass.cli.listing import describe
from proofglass.console import say
from proofglass.registry import Kind, entries

PAGE = Path(__file__).parent.parent / "docs" / "methods.md"
TITLES: dict[Kind, str] = {
    "attacks": "Attacks",
    "defenses": "Defenses",
    "victims": "Victims",
    "datasets": "Data sets",
    "judges": "Judges",
    "metrics": "Metrics",
    "models": "Models",
}

TRAITS = (
    "access", "threat", "changes", "scope", "needs", "queries", "runs on", "adaptive", "licence", "column", "aspect",
    "by", "range", "better",
)  # fmt: skip


def page() -> str:
    """The whole page: one section per kind, one entry per class; names of one class stand together."""
    parts = [
        "# Methods",
        "Generated from the registry by `python scripts/make_docs.py`. `proofglass list KIND NAME` prints the same.",
    ]
    for kind, title in TITLES.items():
        parts.append(f"## {title}")
        by_class: dict[type, list[str]] = {}
        for name, entry in entries(kind).items():
            if entry.target.startswith("proofglass."):
                by_class.setdefault(entry.load(), []).append(name)
        parts += [_entry(kind, names) for names in by_class.values()]
    return "\n\n".join(parts) + "\n"


def _entry(kind: Kind, names: list[str]) -> str:
    told = describe(kind, entries(kind)[names[0]], deep=True)
    lines = [f"### {', '.join(f'`{name}`' for name in names)}", inspect.cleandoc(told["description"])]
    if kind == "judges" and len(names) > 1:
        lines.append(_each_judge(names))
        told |= dict.fromkeys(("paper", "column", "aspect"))
    if paper := told["paper"]:
        lines.append(f"Paper: {paper['short']}, *{paper['title']}*, {paper['link']}.")
    if told["reports"]:
        lines.append(f"What it reports: {told['reports']}")
    if measured := told.get("measured"):
        whose = f" (`{names[0]}`)" if len(names) > 1 else ""
        lines.append(f"Measured{whose}: {measured['agreement']}. On {measured['data']}. {measured['source']}.")
    traits = [f"{trait}: {stated}" for trait in TRAITS if (stated := _stated(kind, names, trait))]
    if traits:
        lines.append("; ".join(traits) + ".")
    if told["parameters"]:
        rows = ["| parameter | type | default | meaning |", "|---|---|---|---|"]
        rows += [
            f"| `{p['name']}` | `{_cell(p['type'])}` | {_default(p)} | {_meaning(kind, names[0], p)} |"
            for p in told["parameters"]
        ]
        lines.append("\n".join(rows))
    return "\n\n".join(lines)


def _stated(kind: Kind, names: list[str], trait: str) -> str:
    """One trait of a class; of each name where the names differ in it."""
    every = {name: describe(kind, entries(kind)[name]).get(trait) for name in names}
    told = {name: _plain(value) if value else "" for name, value in every.items()}
    if len(set(told.values())) == 1:
        return told[names[0]]
    return ", ".join(f"{value or 'none'} (`{name}`)" for name, value in told.items())


def _each_judge(names: list[str]) -> str:
    """What each name of one class is: another method, with a paper and a number of its own."""
    rows = ["| name | what it is | its 1 means | aspect | paper |", "|---|---|---|---|---|"]
    for name in names:
        told = describe("judges", entries("judges")[name])
        paper = told["paper"]
        source = f"{paper['short']}, *{paper['title']}*, {paper['link']}" if paper else ""
        cells = (f"`{name}`", told["line"], told["column"], told["aspect"], source)
        rows.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return "\n".join(rows)


def _default(parameter: dict) -> str:
    if "default" not in parameter:
        return "needed"
    text = parameter["default"]
    return f"`{_cell(text)}`" if len(text) <= 60 else "a text of ours; see `proofglass list`"


def _meaning(kind: Kind, name: str, parameter: dict) -> str:
    """Stops where a docstring does not explain a field: `name: what it means.` is what is read."""
    if "meaning" not in parameter:
        sys.exit(f"{kind} {name}: {parameter['name']}: no sentence of the docstring says what it means")
    return _cell(parameter["meaning"])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def main() -> None:
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page() else f"{PAGE}: out of date; run `make docs`")
    PAGE.write_text(page())
    say(PAGE)


if __name__ == "__main__":
    main()
