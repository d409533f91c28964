"""The card of a data set: a page in Markdown, and MLCommons' metadata (Croissant 1.0), by their own library."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.digests import digest_of
from proofglass.errors import MissingExtra, UsageError, is_environment
from proofglass.evaluation import taxonomy
from proofglass.faults import briefly

if TYPE_CHECKING:
    from proofglass.evaluation.leak import Leak
    from proofglass.evaluation.quality.check import Looked
    from proofglass.types import Finding

MARKS = {True: "ok", False: "**look**", None: "?"}


def markdown(looked: Looked, found: Sequence[Finding], leaks: Sequence[Leak] = ()) -> str:
    """What it is, what is in it, what it asks about, what is wrong with it, and whether its pictures matter."""
    dataset, paper, origin = looked.dataset, looked.dataset.paper, looked.dataset.origin
    mapped = taxonomy.benchmarks().get(looked.label.partition("=")[0])
    lines = [f"# {looked.label}", ""]
    if paper:
        lines += [f"{paper.short}, *{paper.title}*, {paper.link}.", ""]
    facts = {
        "licence": dataset.licence or "not stated",
        "published at": origin.page if origin else "data of one's own",
        "made of": ", ".join(mapped.made) if mapped else "",
        "gated": (origin.gated or "no") if origin else "",
        "judged samples": f"{looked.samples:,}",
        "crafting samples": f"{looked.crafting:,}",
        "rows that cannot be used": f"{sum(looked.bad.values()):,}",
        "with pictures": f"{looked.with_pictures:,} ({looked.pictures:,} different pictures)",
        "expected": ", ".join(f"{kind} {n:,}" for kind, n in looked.expected.most_common()),
        "judges, metrics": ", ".join((*dataset.judges, *dataset.metrics)),
        "failure rule": dataset.failure_rule,
        "runs of three words that occur once": f"{looked.distinct:.0%}",
        "key": f"`{dataset.key}`",
    }
    lines += ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in facts.items() if value), ""]
    lines += _categories(looked)
    lines += ["## Checks", "", "| | check | found | what follows |", "|---|---|---|---|"]
    lines += [f"| {MARKS[f.ok]} | {f.check} | {_cell(f.measured)} | {_cell(f.meaning)} |" for f in found]
    if leaks:
        lines += ["", "## Does the picture matter?", "", "| victim | shown | n | rate | whole | same |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [_leak(each) for each in leaks]
    return "\n".join([*lines, ""])


def _categories(looked: Looked) -> list[str]:
    known, mapped = taxonomy.taxonomy(), taxonomy.benchmarks().get(looked.label.partition("=")[0])
    lines = [f"## Categories, on taxonomy {known.version} of {known.date}", ""]
    if mapped:
        lines += [f"Where the unsafe element is: {', '.join(taxonomy.TOLD[each] for each in mapped.elements)}.", ""]
    lines += ["| category | samples | about |", "|---|---|---|"]
    for category, n in looked.categories.most_common():
        parts = ", ".join(mapped.parts_of(category)) if mapped else ""
        lines.append(f"| {_cell(category)} | {n:,} | {parts or 'not mapped'} |")
    return [*lines, ""]


def _leak(leak: Leak) -> str:
    told = (_share(leak.rate), _share(leak.whole), _share(leak.same))
    return f"| {leak.victim} | {leak.how} | {leak.same.n} | {' | '.join(told)} |"


def _share(measure: Any) -> str:
    return "-" if measure.value is None else f"{measure.value:.2f} [{measure.low:.2f}, {measure.high:.2f}]"


def _cell(text: str) -> str:
    """On one line of a table, whatever a data set says of itself."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


def croissant(looked: Looked) -> dict[str, Any]:
    """The metadata of the data set as it lies here, with the sha256 of its tables. It has no record sets (what a row
    becomes, its loader says), and says so.

    Raises MissingExtra without mlcroissant, UsageError for what its own reader finds invalid.
    """
    try:
        import mlcroissant as mlc
    except ImportError as error:
        raise MissingExtra("mlcroissant is not installed. Run: pip install mlcroissant") from error
    dataset, origin = looked.dataset, looked.dataset.origin
    files = [path for path in dataset.reads() if path.is_file()]
    names, ids = _names(files), _ids(files)
    objects = [
        mlc.FileObject(
            id=ids[path],
            name=names[path],
            content_url=names[path],
            sha256=digest_of(path),
            encoding_formats=[_format(path)],
        )
        for path in files
    ]
    told = mlc.Metadata(
        name=looked.label,
        description=" ".join(((type(dataset).__doc__ or "").split("\n\n")[0] + _absent(files)).split()),
        url=origin.page if origin else None,
        license=[dataset.licence] if dataset.licence else None,
        cite_as=f"{dataset.paper.short}: {dataset.paper.title}, {dataset.paper.link}" if dataset.paper else None,
        distribution=objects,
    )
    found: dict[str, Any] = told.to_json()
    _check(found)
    return found


def _absent(files: Sequence[Path]) -> str:
    """What a reader of the metadata looks for in vain."""
    without = "" if files else " No files are listed: it is made by a program, or it is a folder of files."
    return f"{without} No record sets are listed: its loader in Proofglass says what a row becomes."


def _check(told: dict[str, Any]) -> None:
    """Raises UsageError for metadata that mlcroissant's own reader refuses. What it only recommends is not said."""
    import mlcroissant as mlc

    said = logging.getLogger("absl")
    level = said.level
    said.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlc.Dataset(jsonld=told)
    except Exception as error:  # it fails in its own ways, a KeyError among them
        if is_environment(error):
            raise
        raise UsageError(f"mlcroissant does not read it: {briefly(error)}") from error
    finally:
        said.setLevel(level)


def _ids(files: Sequence[Path]) -> dict[Path, str]:
    """What each is called within the metadata, where a name may hold no blank."""
    found: dict[Path, str] = {}
    for path, name in _names(files).items():
        plain = re.sub(r"[^\w./-]+", "-", name)
        found[path] = plain if plain not in found.values() else f"{plain}-{len(found)}"
    return found


def _names(files: Sequence[Path]) -> dict[Path, str]:
    """What each is called: its name, or, where several have one name, its path below the folder of them all."""
    if len({path.name for path in files}) == len(files):
        return {path: path.name for path in files}
    above = Path(os.path.commonpath([path.absolute().parent for path in files]))
    return {path: path.absolute().relative_to(above).as_posix() for path in files}


def _format(path: Any) -> str:
    formats = {".csv": "text/csv", ".json": "application/json", ".jsonl": "application/jsonlines"}
    return formats.get(path.suffix.casefold(), "application/octet-stream")
