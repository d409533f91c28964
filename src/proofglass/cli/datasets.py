"""`proofglass datasets`: how to get a benchmark, what it covers, whether it is clean and its pictures matter."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proofglass.cli.build import built
from proofglass.cli.check import MARKS
from proofglass.cli.listing import CHECKED
from proofglass.console import columns, console_on, cut, note, say, table
from proofglass.errors import UsageError
from proofglass.records.schema import utf8
from proofglass.registry import Entry, entry

if TYPE_CHECKING:
    from proofglass.evaluation.leak import Leak
    from proofglass.evaluation.quality.check import Looked
    from proofglass.interfaces import Dataset, Measure
    from proofglass.types import Finding

app = typer.Typer(
    help="Data sets: get one, see what it covers, whether it is clean, and whether its pictures matter.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
Given = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A field of the data set; may be repeated.")
]


@app.callback()
def datasets() -> None:
    """Data sets: get one, see what it covers, whether it is clean, and whether its pictures matter."""


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered data set.")],
    revision: Annotated[
        str, typer.Option("--revision", help="Commit of the hub, 40 hex digits. Default: the one that is known.")
    ] = "",
    accept: Annotated[
        bool, typer.Option("--accept", help="You have read licence and terms, and they allow what you will do.")
    ] = False,
) -> None:
    """Say where a benchmark is published and under which terms, and, with --accept, fetch it from the hub.

    Nothing is fetched before licence and gating are told. Files of the hub go to its cache at one commit, and their
    sha256 is compared with the known one, or recorded in SOURCE.json beside them where none is known.

    \b
    Examples:
      proofglass datasets fetch xstest
      proofglass datasets fetch xstest --accept --revision 0123456789abcdef0123456789abcdef01234567
    """
    cls: Any = entry("datasets", name).load()
    origin = cls.origin
    if origin is None:
        raise UsageError(f"{name}: is no published benchmark: there is nothing to fetch")
    told = {
        "page": origin.page,
        "licence": cls.licence or "not stated",
        "gated": origin.gated or "no",
        "pictures": origin.pictures or "with it, or none",
        "hub": origin.hub or "not there",
        "checked": CHECKED[origin.checked],
    }
    say(table([[key, value] for key, value in told.items()], headed=False))
    if not origin.hub:
        say(f"\nGet it from its page, then name the folder: proofglass list datasets {name}")
        return
    commit = revision or origin.revision
    if not accept or not commit:
        missing = " ".join(["--accept"] * (not accept) + ["--revision COMMIT"] * (not commit))
        say(f"\nTo fetch {origin.hub} from the hub: proofglass datasets fetch {name} {missing}")
        return
    _fetch(name, origin, commit)


def _fetch(name: str, origin: Any, commit: str) -> None:
    from proofglass.digests import digest_of
    from proofglass.evaluation.datasets.hub import fetched, folder_in

    files = list(fetched(origin.hub, commit, origin.files))
    root = folder_in(files, commit)
    hashes = {path.relative_to(root).as_posix(): digest_of(path) for path in files}
    known = origin.sha256 or {}
    wrong = [file for file, digest in hashes.items() if known.get(file, digest) != digest]
    if wrong:
        raise UsageError(f"{name}: {wrong[0]} at {commit[:12]} is not the file whose sha256 is known")
    kept = Path("runs") / "datasets" / f"{name}-{commit[:12]}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"hub": origin.hub, "revision": commit, "sha256": hashes}, indent=2), encoding="utf-8")
    say(f"\n{len(files)} files in {root}; {len(set(hashes) & set(known))} as known, all sha256 in {kept}")


@app.command()
def coverage(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="Data sets, each NAME (as published) or NAME=FOLDER (as it is there)."),
    ],
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a heat map there.")] = None,
    division: Annotated[
        str, typer.Option("--as", help="Name the rows as another division does too: owasp, ailuminate, air2024, ...")
    ] = "",
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of the data sets that are read; may be repeated."),
    ] = None,
) -> None:
    """Which parts of the taxonomy some data sets cover, how thickly, and which none covers.

    A category that is about several parts gives each an equal share of its samples.

    \b
    Examples:
      proofglass datasets coverage safetybench harmbench-multimodal
      proofglass datasets coverage xstest=data/xstest testbed --as ailuminate --html coverage.html
      proofglass datasets coverage mossbench=data/mossbench --set "pictures=left out"
    """
    from proofglass.evaluation import taxonomy

    known = taxonomy.taxonomy()
    if division and division not in known.divisions:
        raise UsageError(f"--as: expected one of {', '.join(known.divisions)}, found {division!r}")
    told = [_counts(each, given or []) for each in names]
    counts = {name: categories for name, categories, _ in told}
    if len(counts) < len(names):
        raise UsageError(f"{', '.join(names)}: one data set is named twice, and would hide behind itself")
    found = taxonomy.coverage(counts)
    rows = [["dimension", "part", *([division] if division else []), *counts, "all"]]
    for part in known.parts:
        cells = [found[part.id].get(name, 0.0) for name in counts]
        named = [", ".join(part.names.get(division, ())) or "-"] if division else []
        rows.append([part.dimension, part.id, *named, *(f"{n:,.0f}" if n else "." for n in (*cells, sum(cells)))])
    say(table(rows, width=columns()))
    say(f"\nTaxonomy {known.version} of {known.date}.")
    if empty := [part.id for part in known.parts if not found[part.id]]:
        say(f"Covered by none: {', '.join(empty)}.")
    missing = [*(why for _, _, why in told if why), *_uncounted(taxonomy.unmapped(counts), counts, names)]
    for each in missing:
        note(each)
    if html is not None:
        from proofglass.report.coverage import heat_map

        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(utf8(heat_map(found, list(counts), known, missing)), encoding="utf-8")
        say(f"heat map: {html}")


def _uncounted(
    unmapped: Mapping[str, Sequence[str]], counts: Mapping[str, Mapping[str, int]], names: Sequence[str]
) -> Iterator[str]:
    """A line for each data set of which samples stand in no row: how many, and what would help."""
    for name, categories in unmapped.items():
        total = sum(counts[name][each] for each in categories)
        if list(categories) == [""] and name in names:
            yield (
                f"{name}: only the number of all samples is published, {total:,}, so they are counted nowhere; "
                f"name its folder: {name}=FOLDER"
            )
        else:
            shown = cut(", ".join(each or "(none)" for each in categories), 300, "in the data set")
            yield f"{name}: {total:,} samples of categories that are not mapped, so counted nowhere: {shown}"


def _counts(named: str, given: Sequence[str]) -> tuple[str, Mapping[str, int], str]:
    """Its name; category -> samples, as published or of the files in a folder; and what is not in these counts, "" for
    nothing. Raises UsageError where no sample is known."""
    name, named_folder, _ = named.partition("=")
    found = entry("datasets", name)
    if not named_folder:
        published: Mapping[str, int] = found.load().published  # type: ignore[attr-defined]
        known = {category: n for category, n in published.items() if category} or published
        if known:
            return name, known, ""
        if _has_root(found):
            raise UsageError(f"{name}: no published counts per category; name its folder: {name}=FOLDER")
    return name, *_read(name, _set(named, given))


def _read(name: str, dataset: Dataset) -> tuple[Mapping[str, int], str]:
    """Category -> samples of what is there, and how many rows cannot be used."""
    from proofglass.types import BadSample

    counts, bad, first = Counter[str](), 0, ""
    for row in dataset:
        if isinstance(row, BadSample):
            bad, first = bad + 1, first or f"{row.id}: {row.reason}"
        else:
            counts[row.category] += 1
    if not counts:
        raise UsageError(f"{name}: no row can be used{f'; the first: {first}' if bad else ': there is none'}")
    return counts, f"{name}: {bad:,} rows cannot be used, so counted nowhere; the first: {first}" if bad else ""


def _has_root(found: Entry) -> bool:
    made: Any = found.load()
    return any(field.name == "root" for field in dataclasses.fields(made))


@app.command()
def check(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Data sets, each NAME or NAME=FOLDER; several are compared.")
    ],
    given: Given = None,
    card: Annotated[
        Path | None, typer.Option("--card", metavar="FOLDER", help="Write NAME.md and NAME.croissant.json there.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first rows of each only.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there.")] = None,
) -> None:
    """Is a data set clean? Duplicates exact and perceptual, within it, across others and with its crafting split;
    pictures that cannot be read, empty questions, missing answers, unequal categories, a licence that nobody stated.

    Exit code 1 if something was found that a user should look at.

    \b
    Examples:
      proofglass datasets check testbed --set part=typographic
      proofglass datasets check mossbench=data/mossbench xstest=data/xstest --card cards
    """
    from proofglass.evaluation.quality.check import findings, look

    sets = _sets(names, given or [])
    with _counted() as heard:
        looked, pairs = look(sets, limit, heard)
    wrong = 0
    for one in looked:
        told = findings(one, pairs)
        wrong += sum(each.ok is False for each in told)
        share = f", {one.with_pictures:,} with one of {one.pictures:,} pictures" if one.pictures else ""
        say(f"{one.label}: {one.samples:,} judged samples, {one.crafting:,} for crafting{share}")
        say(table([[MARKS[f.ok], f.check, cut(f.measured, 300, "with --json")] for f in told], headed=False))
        if card is not None:
            _put_card(card, re.sub(r"[^\w.-]+", "-", one.label), one, told)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        every = {one.label: [dataclasses.asdict(each) for each in findings(one, pairs)] for one in looked}
        kept = json.dumps({"findings": every, "pairs": [dataclasses.asdict(pair) for pair in pairs]}, indent=2)
        json_file.write_text(utf8(kept), encoding="utf-8")
        say(f"all figures: {json_file}")
    if wrong:
        raise typer.Exit(1)


def write_card(folder: Path, name: str, dataset: Dataset, limit: int | None, leaks: Sequence[Leak] = ()) -> None:
    from proofglass.evaluation.quality.check import findings, look

    (looked,), pairs = look({name: dataset}, limit)
    _put_card(folder, name, looked, findings(looked, pairs), leaks)


def _put_card(folder: Path, stem: str, looked: Looked, found: Sequence[Finding], leaks: Sequence[Leak] = ()) -> None:
    """Write STEM.md and, where its library is installed and reads it, STEM.croissant.json into `folder`."""
    from proofglass.evaluation.quality import card as cards

    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.md").write_text(utf8(cards.markdown(looked, found, leaks)), encoding="utf-8")
    say(f"card: {folder / stem}.md")
    try:
        kept = json.dumps(cards.croissant(looked), indent=2, ensure_ascii=False)
    except UsageError as error:
        note(f"no Croissant metadata: {error}")
        return
    (folder / f"{stem}.croissant.json").write_text(utf8(kept), encoding="utf-8")
    say(f"Croissant: {folder / stem}.croissant.json (no record sets: what a row becomes, its loader says)")


def _sets(names: Sequence[str], given: Sequence[str]) -> dict[str, Dataset]:
    """By its name, or, where one loader reads several, by what was said. Raises UsageError for one that is said twice:
    it would hide behind itself."""
    loaders = [each.partition("=")[0] for each in names]
    if twice := next((each for each in names if names.count(each) > 1), ""):
        raise UsageError(f"{twice}: named twice; which differ, NAME=FOLDER says")
    labels = [each if loaders.count(name) > 1 else name for each, name in zip(names, loaders, strict=True)]
    return {label: _set(each, given) for label, each in zip(labels, names, strict=True)}


def _set(named: str, given: Sequence[str]) -> Dataset:
    name, named_folder, root = named.partition("=")
    found = entry("datasets", name)
    fields = {field.name for field in dataclasses.fields(found.load())}
    field = next((each for each in ("root", "source", "table") if each in fields), "root")
    if named_folder and not root:
        raise UsageError(f"{named}: expected NAME=FOLDER, found no folder")
    dataset: Dataset = built(found, [*([f"{field}={root}"] if root else []), *given])
    return dataset


@contextmanager
def _counted() -> Iterator[Callable[[int], None]]:
    """A running count of samples on a terminal; elsewhere nothing."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    shown = (TextColumn("looked at"), TextColumn("{task.completed:,.0f} samples"), TimeElapsedColumn())
    with Progress(*shown, console=console_on(sys.stderr), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda n: bar.update(task, advance=n)


@app.command()
def leak(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered data set.")],
    victims: Annotated[list[str], typer.Option("--victim", metavar="NAME", help="A victim; may be repeated.")],
    given: Given = None,
    judge: Annotated[str, typer.Option("--judge", help="Default: the one that the data set names.")] = "",
    caption: Annotated[
        str, typer.Option("--caption", help="Field of meta that describes the picture.")
    ] = "description",
    words: Annotated[str, typer.Option("--words", help="Field of meta that holds the words in the picture.")] = "",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first samples only.")] = None,
    tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Length of a reply.")] = 64,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder. Default: runs/leak-NAME.")] = None,
    card: Annotated[
        Path | None, typer.Option("--card", metavar="FOLDER", help="Write the data card there, these figures in it.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there.")] = None,
) -> None:
    """Does the picture matter at all? Behaviour on the whole input against text alone, a blank picture, a caption, the
    words of the picture, and the picture alone.

    `same` is the leak score: the share of samples on which the judge says the same as on the whole input. Near 1 for
    the text alone, the benchmark does not test pictures. The run can be stopped and goes on where it was.

    \b
    Examples:
      proofglass datasets leak testbed --set part=typographic --set n=60 --words instruction --victim testbed-linear
    """
    from proofglass import api
    from proofglass.evaluation.leak import reading

    dataset = built(entry("datasets", name), given or [])
    found, left_out = api.measure_leak(
        dataset,
        victims,
        judge=judge or None,
        caption=caption,
        words=words,
        limit=limit,
        max_new_tokens=tokens,
        out=out or Path("runs") / f"leak-{name}",
    )
    for how, why in left_out.items():
        note(f"left out: {how}: {cut(why, 200, 'in the run')}")
    say(table([["victim", "shown", "n", "rate", "whole", "difference", "same (leak score)"], *map(_row, found)]))
    for victim in dict.fromkeys(each.victim for each in found):
        say(f"{victim}: {reading([each for each in found if each.victim == victim])}")
    if card is not None:
        write_card(card, name, dataset, limit, found)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        told = [dataclasses.asdict(each) for each in found]
        json_file.write_text(json.dumps({"leaks": told, "left_out": left_out}, indent=2), encoding="utf-8")
        say(f"all figures: {json_file}")


def _row(found: Leak) -> Sequence[str]:
    measures = (found.rate, found.whole, found.difference, found.same)
    return [found.victim, found.how, str(found.same.n), *map(_told, measures)]


def _told(measure: Measure) -> str:
    if measure.value is None:
        return "-"
    return f"{measure.value:.2f} [{measure.low:.2f}, {measure.high:.2f}]"
