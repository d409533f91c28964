"""`proofglass victims`: is a victim fit to be attacked with gradients?"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Annotated

import typer

from proofglass.cli.build import plug
from proofglass.console import columns, note, say, say_json, wrapped

if TYPE_CHECKING:
    from proofglass.types import Finding

app = typer.Typer(
    help="The models under test: check that a gradient tells the truth before an attack relies on it.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.callback()
def victims() -> None:
    """The models under test: check that a gradient tells the truth before an attack relies on it."""


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A victim; `proofglass list victims` shows all.")],
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A field of the victim; may be repeated.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="How many samples to look at.")] = 4,
    seed: Annotated[int, typer.Option("--seed", help="Of the samples, starts and draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Check a victim before you trust an attack on it that found nothing.

    First, is our adapter true to the model (for victims that transformers runs): token ids, loss, gradient and replies
    against plain transformers; the differentiable image processor against the official one; a batch that fits into
    this memory. Then, a low success rate has two readings: the victim is robust, or the gradient misled the attack.
    Seven short checks tell them apart: do replies and losses repeat; is the gradient there and is it the slope of the
    loss; do a few steps lower the loss; is a search without gradients no better than one with them (if it is: gradient
    masking); does a picture keep its loss as a PNG. Requests and pictures come from the testbed's restricted-image set.
    Exit code 1 if a check fails; "?" is what could not be measured.

    \b
    Examples:
      proofglass victims check testbed-linear
      proofglass victims check llava --set path=models/llava --set dtype=bfloat16 --samples 2
      proofglass victims check testbed-cross --samples 8 --json
    """
    from proofglass.interfaces import WhiteBoxVictim
    from proofglass.registry import build
    from proofglass.types import Sample
    from proofglass.victims.sanity import examining

    victim = plug("victims", name, given or [])
    data = build("datasets", "testbed", part="restricted-image", n=samples, craft_n=1, seed=seed)
    asked = [sample for sample in list(data)[:samples] if isinstance(sample, Sample)]
    looked_at = f"{len(asked)} sample" + "s" * (len(asked) != 1)
    note(f"{name}: loading it, then up to 14 checks on {looked_at}, each shown when it is done")
    checks = examining(victim, asked, seed=seed)  # raises where nothing can be examined
    findings = []
    for each in itertools.chain(victim.fidelity(asked), checks):
        findings.append(each)
        if not as_json:
            say(_text(each))
    path = victim.gradient_path() if isinstance(victim, WhiteBoxVictim) else ""
    if as_json:
        say_json({"victim": name, "gradient_path": path, "findings": [dataclasses.asdict(each) for each in findings]})
    else:
        say(f"\ngradient path: {path or 'nothing to say'}")
    failed = [each.check for each in findings if each.ok is False]
    if failed:
        note(f"{name}: {len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _text(finding: Finding) -> str:
    marks = {True: "ok", False: "FAILED", None: "?"}
    width = columns()
    room = width - 4 if width else None
    told = [line for text in (finding.measured, finding.meaning) if text for line in wrapped(text, room)]
    return "\n".join([f"{marks[finding.ok]}  {finding.check}", *(f"    {line}" for line in told)])
