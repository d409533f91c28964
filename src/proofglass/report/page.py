"""The page: one self-contained HTML file that runs no script and loads nothing.

Its content-security policy allows one style sheet, by hash, and pictures in the file; everything else is refused, so
a reply that slipped past escaping could still do nothing. Blurring, "show all" and the colour scheme are CSS.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.console import REASON, cut, visible
from proofglass.evaluation.metrics import kinds
from proofglass.evaluation.metrics.compare import GRID, MARGIN
from proofglass.evaluation.metrics.success import few_clusters
from proofglass.records.schema import VOLATILE
from proofglass.report import charts, differences, measures, wording
from proofglass.report.defended import kind_of
from proofglass.report.defenses import EVERYDAY, OVER
from proofglass.report.findings import cautions, headline
from proofglass.report.frontier import frontiers
from proofglass.report.gallery import AMPLIFY, gallery, pictures
from proofglass.report.gallery import RULE as GALLERY_RULE
from proofglass.report.health import health
from proofglass.report.judging import judging
from proofglass.report.reasons import gathered
from proofglass.report.run import ReportedRun
from proofglass.report.sanity import sanity
from proofglass.report.tables import (
    RULE,
    answering,
    crafting,
    crafts,
    measured,
    refused,
    utility_cells,
)

if TYPE_CHECKING:
    from jinja2 import Environment

    from proofglass.types import Expected

TEMPLATES = Path(__file__).parent / "templates"
STUDY_TEXT, TEXT = 20_000, 4500  # characters of the study as it was read, and of any other text on the page


def page(run: ReportedRun) -> str:
    """The HTML of a run."""
    from markupsafe import Markup, escape

    # Markup: our own file, which the hash in the policy covers to the byte.
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    items = gallery(run)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            manifest=run.manifest,
            policy=policy(style),
            style=style,
            headline=headline(run),
            cautions=cautions(run),
            health=health(run),
            reasons=gathered(run.reasons),
            study=study_file(run),
            # Markup: cut where a study's text is cut, not where any text is.
            study_text=escape(visible(cut(run.manifest["study_text"], STUDY_TEXT, "in manifest.json"))),
            places=places(items),
            rule=RULE,
            counts=run.shown_counts,
            matrices=matrices(run),
            differences=differences.shown(run),
            grid=GRID,
            margin=MARGIN,
            metrics=measures.shown(run),
            guarded=kinds.GUARDED,
            defenses=run.by_defense,
            frontiers=frontiers(run),
            marks=[charts.mark(run, defense) for defense in run.defenses],
            sets_attacked=len(run.sets(*kinds.GUARDED)),
            over_sets=sets_of(run, OVER),
            everyday_sets=sets_of(run, EVERYDAY),
            balance=balance(run),
            useful_sets=list(dict.fromkeys(cell.dataset for cell in utility_cells(run))),
            crafting=crafting(run).rows,
            crafts=crafts(run),
            sanity=sanity(run),
            answering=answering(run).rows,
            judging=judging(run),
            spent=spent(run),
            curves=charts.loss_curves(run),
            gallery=[{**item, "pictures": _whole(pictures(run, item))} for item in items],
            borderline=[d for d in run.datasets if run.is_borderline(d)],
            gallery_rule=GALLERY_RULE,
            amplify=AMPLIFY,
            volatile={k: v for k, v in run.manifest.items() if k in VOLATILE},
        )
    )


def sets_of(run: ReportedRun, of: tuple[str, ...]) -> list[str]:
    """The data sets that hold samples of these kinds (`kind_of`)."""
    return [name for name in run.datasets if any(kind_of(run, name, each) in of for each in run.expected[name])]


def study_file(run: ReportedRun) -> str:
    """Name of the file beside the page that holds the study, so that the run can be repeated; "" if there was none: a
    run made in Python."""
    name = str(run.manifest["name"])
    plain = name.isascii() and len(name) < 100 and re.fullmatch(r"\w[\w.-]*", name)
    return (f"{name}.yaml" if plain else "study.yaml") if run.manifest.get("study_text") else ""


def places(items: list[dict[str, Any]]) -> dict[tuple[str, str, str, str], str]:
    """(victim, attack, defense, dataset) -> id of the first reply in the gallery that belongs to this cell."""
    found: dict[tuple[str, str, str, str], str] = {}
    for k, item in enumerate(items):
        for j, reply in enumerate(item["replies"]):
            found.setdefault((item["victim"], item["attack"], reply["defense"], item["dataset"]), f"sample-{k}-{j}")
    return found


def _whole(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pictures whose data are not cut: base64 of our own, which needs no escaping."""
    from markupsafe import Markup

    return [{**picture, "uri": Markup(picture["uri"])} for picture in shown]


def policy(style: str) -> str:
    """The content-security policy of a page with this style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def matrices(run: ReportedRun) -> list[dict[str, Any]]:
    """Attack x defense tables, one per victim, data set and kind of sample: those of what must not be given first.

    told: what its number is, where it is not that of the judge of success on requests to be refused; "" there.
    """
    found = []
    for expected in kinds.ORDER:
        for dataset in run.sets(expected):
            for victim in run.victims:
                rows = [
                    (attack, [run.at(expected, victim, attack, d, dataset) for d in run.defenses])
                    for attack in run.attacks
                ]
                rows = [(attack, cells) for attack, cells in rows if any(cells)]
                if rows:
                    found.append(
                        {
                            "expected": expected,
                            "guarded": expected in kinds.GUARDED,
                            "told": _told(run, victim, dataset, expected),
                            "dataset": dataset,
                            "victim": victim,
                            "rows": rows,
                        }
                    )
    return found


def _told(run: ReportedRun, victim: str, dataset: str, expected: Expected) -> str:
    judge, is_success = run.judge_of(victim, dataset, expected)
    if not is_success or expected == "refuse":
        return ""
    good = "high is bad" if run.is_bad(judge, expected) else "high is good"
    return f"{kinds.TOLD[expected].capitalize()}. The number: {run.column(judge)}; {good}."


def balance(run: ReportedRun) -> list[dict[str, Any]]:
    """What each defense buys and costs, per victim: its worst attack, and per benign data set both rates.

    useful: data set -> cell; over: data set -> rate of refusals.
    """
    found = []
    useful = utility_cells(run)
    for victim in run.victims:
        for defense in run.defenses:
            broken = run.measured(*kinds.GUARDED, victim=victim, defense=defense)
            attacked = [c for c in broken if c.attack not in run.baselines] or broken
            mine = {c.dataset: c for c in reversed(useful) if (c.victim, c.defense) == (victim, defense)}
            if not mine:
                continue
            found.append(
                {
                    "victim": victim,
                    "defense": defense,
                    "worst": max(attacked, key=lambda c: c.rate["value"], default=None),
                    "useful": mine,
                    "over": {
                        d: refused(c.rates[run.not_refused]) for d, c in mine.items() if run.not_refused in c.rates
                    },
                }
            )
    return found


def spent(run: ReportedRun) -> dict[tuple[str, str, str], dict[str, float]]:
    """(victim, attack, defense) -> seconds (sum) and peak_bytes (largest) over the data sets."""
    totals: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in measured(run).rows:
        total = totals.setdefault((row["victim"], row["attack"], row["defense"]), {"seconds": 0.0, "peak_bytes": 0})
        total["seconds"] += row["seconds"] or 0.0
        total["peak_bytes"] = max(total["peak_bytes"], row["peak_bytes"] or 0)
    return totals


def environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for tool in (
        wording.percent,
        wording.access,
        wording.interval,
        wording.bounds,
        wording.points,
        wording.changed,
        wording.signed,
        wording.chance,
        wording.money,
        wording.number,
        wording.seconds,
        wording.mebibytes,
        wording.settings,
        wording.measure,
        wording.measure_interval,
    ):
        environment.filters[tool.__name__] = tool
    environment.filters["plural"] = wording.plural
    environment.filters["shortened"] = lambda text: cut(text, REASON)
    environment.tests["few_clusters"] = few_clusters
    return environment


def _shown(value: Any) -> Any:
    """Every value that reaches the page passes here: no template can forget it, nor to cut it. Escaping follows."""
    from markupsafe import Markup

    return visible(cut(value, TEXT)) if isinstance(value, str) and not isinstance(value, Markup) else value
