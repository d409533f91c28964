"""What benchmarks ask about, on one taxonomy: dimensions and sub-dimensions, versioned and dated (`taxonomy.yaml`), and
each benchmark's own categories mapped onto them, many to many, with the reason (`benchmarks.yaml`)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Element = Literal["text", "picture", "both", "together", "none"]
ELEMENTS: tuple[str, ...] = get_args(Element)
TOLD: Mapping[Element, str] = {
    "text": "the text alone is unsafe",
    "picture": "the picture alone is unsafe",
    "both": "picture and text are each unsafe",
    "together": "only the two together are unsafe",
    "none": "nothing is unsafe: a control",
}
# Risky or safe Image, risky or safe Text: the quadrants of USB (Zheng et al. 2025) that an element falls into. Harm
# that only the two together show is their fourth, as is no harm at all.
QUADRANTS: Mapping[Element, str] = {
    "both": "RIRT", "picture": "RIST", "text": "SIRT", "together": "SIST", "none": "SIST",
}  # fmt: skip
# HoliSafe's five combinations (Lee et al. 2025): image + text -> what the two are together.
COMBINATIONS: Mapping[Element, str] = {
    "both": "unsafe + unsafe -> unsafe", "picture": "unsafe + safe -> unsafe", "text": "safe + unsafe -> unsafe",
    "together": "safe + safe -> unsafe", "none": "safe + safe -> safe",
}  # fmt: skip
RESOURCES = ("existing", "crawled", "generated", "manual")  # other data sets, the web, a model, people
ANY = "*"  # every category of a benchmark that is not named


@dataclass(frozen=True)
class Part:
    """A sub-dimension. names: division ("beavertails", "owasp", ...) -> its parts that are about the same."""

    id: str
    dimension: str
    what: str
    names: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Taxonomy:
    """version, date: state both beside any figure, since what counts as unsafe changes. divisions: name -> title and
    parts of other authors' divisions."""

    version: str
    date: str
    parts: tuple[Part, ...]
    divisions: Mapping[str, tuple[str, tuple[str, ...]]]

    def part(self, name: str) -> Part:
        """Raises KeyError for a name that is none."""
        return {part.id: part for part in self.parts}[name]


@dataclass(frozen=True)
class Mapped:
    """A benchmark on the taxonomy. made: what it was made of (`RESOURCES`), as its authors say; elements: where the
    unsafe element of its samples is; to: category -> ids of the sub-dimensions that it is about; why: category -> the
    reason, where the name alone does not say it."""

    benchmark: str
    made: tuple[str, ...]
    elements: tuple[Element, ...]
    to: Mapping[str, tuple[str, ...]]
    why: Mapping[str, str]

    def parts_of(self, category: str) -> tuple[str, ...]:
        """The sub-dimensions that a category is about; none for one that nobody mapped."""
        return self.to.get(category, self.to.get(ANY, ()))


@functools.cache
def taxonomy() -> Taxonomy:
    """The taxonomy of this version of Proofglass."""
    told = _read("taxonomy.yaml")
    divisions = {name: (each["title"], tuple(each["parts"])) for name, each in told["divisions"].items()}
    parts = tuple(
        Part(
            each["id"],
            dimension["name"],
            each["what"],
            {name: tuple(each[name]) for name in divisions if each.get(name)},
        )
        for dimension in told["dimensions"]
        for each in dimension["parts"]
    )
    return Taxonomy(str(told["version"]), str(told["date"]), parts, divisions)


@functools.cache
def benchmarks() -> Mapping[str, Mapped]:
    """Registered name of a data set -> its mapping."""
    found = {}
    for name, told in _read("benchmarks.yaml").items():
        elements = told["element"] if isinstance(told["element"], list) else [told["element"]]
        categories = told["categories"].items()
        found[name] = Mapped(
            name,
            tuple(told["made"]),
            tuple(elements),
            {category: tuple(each["to"]) for category, each in categories},
            {category: each["why"] for category, each in categories if each.get("why")},
        )
    return found


def coverage(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """Sub-dimension -> benchmark -> how many of its samples are about it, in the order of the taxonomy.

    counts: benchmark -> category -> samples. A category about several sub-dimensions gives each an equal share of its
    samples: none is counted twice. Categories that nobody mapped count nowhere (`unmapped`).
    """
    found: dict[str, dict[str, float]] = {part.id: {} for part in taxonomy().parts}
    for name, categories in counts.items():
        mapped = benchmarks().get(name)
        for category, samples in categories.items():
            parts = mapped.parts_of(category) if mapped else ()
            for part in parts:
                found[part][name] = found[part].get(name, 0.0) + samples / len(parts)
    return found


def unmapped(counts: Mapping[str, Mapping[str, int]]) -> dict[str, list[str]]:
    """Benchmark -> its categories that no entry of `benchmarks.yaml` maps."""
    found = {}
    for name, categories in counts.items():
        mapped = benchmarks().get(name)
        missing = [category for category in categories if mapped is None or not mapped.parts_of(category)]
        if missing:
            found[name] = missing
    return found


def divided(parts: Iterable[str], division: str) -> tuple[str, ...]:
    """What the sub-dimensions `parts` are called in another division, each name once, in its order. Raises KeyError for
    a division that is not known."""
    known = taxonomy()
    names = {name for part in parts for name in known.part(part).names.get(division, ())}
    return tuple(name for name in known.divisions[division][1] if name in names)


def _read(name: str) -> dict[str, Any]:
    import yaml

    told: dict[str, Any] = yaml.safe_load((Path(__file__).parent / name).read_text(encoding="utf-8"))
    return told
