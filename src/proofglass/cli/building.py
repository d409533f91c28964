"""`proofglass datasets build`: a benchmark of one's own, from natural pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from proofglass.cli.build import built
from proofglass.cli.datasets import Given, write_card
from proofglass.console import cut, note, say
from proofglass.errors import UsageError
from proofglass.interfaces import Victim
from proofglass.registry import Kind, entries, entry


def build(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the data set goes.")],
    about: Annotated[str, typer.Option("--about", help="What the benchmark is about, in your words, for the writer.")],
    folder: Annotated[Path | None, typer.Option("--pictures", metavar="FOLDER", help="A folder of pictures.")] = None,
    coco: Annotated[
        Path | None,
        typer.Option("--coco", metavar="FOLDER", help="COCO annotations (instances_*, captions_*) for --pictures."),
    ] = None,
    dataset: Annotated[str, typer.Option("--scenes", metavar="NAME", help="Or the pictures of a data set.")] = "",
    given: Given = None,
    writer: Annotated[str, typer.Option("--writer", metavar="NAME", help="The model that drafts.")] = "testbed-writer",
    writer_fields: Annotated[
        list[str] | None, typer.Option("--writer-set", metavar="FIELD=VALUE", help="A field of the writer.")
    ] = None,
    judge: Annotated[
        str, typer.Option("--judge", metavar="NAME", help="A judge of prompts whose 1 means: not to be answered.")
    ] = "",
    judge_fields: Annotated[
        list[str] | None, typer.Option("--judge-set", metavar="FIELD=VALUE", help="A field of the judge.")
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=1, help="Questions to draft, each with a control twin.")] = 100,
    twins: Annotated[
        list[str] | None,
        typer.Option("--twin", help="How twins differ; may be repeated. Default: all four ways in turn."),
    ] = None,
    tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Most of one answer of the writer.")] = 256,
) -> None:
    """Build a benchmark of your own: a model drafts questions about natural pictures, each with a control twin that
    is to be treated the other way; a judge and filters drop what does not hold; a data set with its card comes out.

    People review it in review.csv (write yes or no under `keep`). Every answer is kept, so a build that was stopped
    goes on. The data set is then one of any study: `datasets: [built: {root: FOLDER}]`.

    \b
    Examples:
      proofglass datasets build --scenes testbed --set part=benign-image --about "the Vale" --pairs 40 --out my-set
      proofglass datasets build --pictures val2017 --coco annotations --about "privacy" --writer api \\
          --writer-set model=openai/gpt-5 --judge llama-guard-4 --judge-set mode=prompt --out my-set
    """
    from proofglass.evaluation.building import build as building
    from proofglass.evaluation.building import scenes
    from proofglass.evaluation.building.drafting import TWINS
    from proofglass.evaluation.building.filters import counted

    if unknown := [each for each in twins or [] if each not in TWINS]:
        raise UsageError(f"--twin: expected one of {', '.join(TWINS)}, found {unknown[0]!r}")
    if (folder is None) == (not dataset) or (coco is not None and folder is None):
        raise UsageError("expected --pictures FOLDER (with --coco FOLDER, or without), or --scenes NAME")
    if folder is not None:
        found = scenes.in_coco(folder, coco) if coco else scenes.in_folder(folder)
    else:
        found = scenes.of_dataset(built(entry("datasets", dataset), given or []))
    made = building.build(
        found,
        _helper(writer, writer_fields or []),
        out,
        brief=about,
        pairs=pairs,
        judge=built(entry("judges", judge), judge_fields or []) if judge else None,
        twins=[each for each in TWINS if twins is None or each in twins],
        tokens=tokens,
        heard=note,
    )
    say(f"{len(made.pairs)} pairs in {out}, version {made.version}")
    for by, n in counted(made.dropped).items():
        say(f"dropped by {by}: {n}")
    if made.bad:
        first = made.bad[0]
        why = cut(first.reason, 300, "in removed.csv")
        note(f"{len(made.bad)} pictures could not be used; the first: {first.id}: {why}")
    write_card(out, "built", built(entry("datasets", "built"), [f"root={out}"]), None)
    say(f"to review: {out / 'review.csv'}; what was dropped and why: {out / 'removed.csv'}")


def _helper(name: str, given: Sequence[str]) -> Victim:
    """A model by its name, a victim or one of the helper models."""
    kind: Kind = "victims" if name in entries("victims") else "models"
    model = built(entry(kind, name), given)
    if not isinstance(model, Victim):
        raise UsageError(f"--writer: {name} is a {type(model).__name__}, which cannot be asked")
    return model
