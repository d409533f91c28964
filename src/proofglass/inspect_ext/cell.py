"""One cell of a run folder as a log of Inspect: what its header says, and its samples one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from math import nan, sqrt
from statistics import stdev
from typing import TYPE_CHECKING, Any, Protocol

from proofglass.evaluation.metrics.answers import is_withheld
from proofglass.evaluation.metrics.rows import refusal_judges, thought_judges
from proofglass.evaluation.metrics.success import rates
from proofglass.inspect_ext.messages import config_of, inspect_id, messages_of, output_of, score_of, usage_of
from proofglass.interfaces import key_of
from proofglass.records.columns import reply_of
from proofglass.records.schema import chat_from_json
from proofglass.types import Chat, Cost, Image, Score, Settings

if TYPE_CHECKING:
    import polars as pl
    from inspect_ai.log import EvalError, EvalLog, EvalMetric, EvalResults, EvalSample, EvalScore, EvalStats

_STATUS = {"done": "success", "failed": "error", "pending": "started"}
_SHOWN = (
    "sample_id", "dataset", "expected", "cluster", "category", "split", "outcome", "finish", "reason", "attacked_text",
    "clean_image", "attacked_images", "crafted_on", "crafting", "artefact", "queries", "tokens_in", "tokens_out",
    "money", "seed", "chunk",
)  # fmt: skip


class PictureNames(Protocol):
    """What stands for a picture in a log, and the picture of a record, not yet read."""

    def __call__(self, image: Image) -> str: ...
    def named(self, sha256: str) -> Image: ...


@dataclass(frozen=True)
class LoggedCell:
    """A cell of the plan, its records, and what judges said. plan: its line in `Store.cells`; rows: its records;
    scores: its rows of `Store.scores`."""

    manifest: Mapping[str, Any]
    plan: Mapping[str, Any]
    rows: pl.DataFrame
    scores: pl.DataFrame

    @property
    def model(self) -> str:
        return f"proofglass/{self.plan['victim']}"

    @property
    def task(self) -> str:
        return " x ".join(self.plan[name] for name in ("attack", "defense", "dataset"))

    @property
    def file_name(self) -> str:
        """The same for every export of this cell; Inspect reads time, task and id from it."""
        created = re.sub(r"[:+]", "-", self.manifest["started"])
        return f"{created}_{re.sub(r'[^A-Za-z0-9]+', '-', self.task)[:100]}_{self.plan['cell']}.eval"

    @cached_property
    def judges(self) -> list[str]:
        """The judge that decides success first: a viewer shows the first one in its lists."""
        success = self.manifest["success"]
        return [success, *(judge for judge in self.manifest["judges"] if judge != success)]

    @cached_property
    def of_thoughts(self) -> frozenset[str]:
        return thought_judges(self.manifest)

    @cached_property
    def of_refusals(self) -> frozenset[str]:
        return refusal_judges(self.manifest)

    @cached_property
    def expected(self) -> list[str]:
        return sorted(self.rows["expected"].unique())

    @cached_property
    def given(self) -> dict[tuple[str, str], dict[str, Any]]:
        """(sample id, judge) -> row of the scores."""
        return {(row["sample_id"], row["judge"]): row for row in self.scores.iter_rows(named=True)}

    def score_name(self, judge: str, expected: str) -> str:
        """Where a data set expects several answers, each is a score of its own: the report mixes none either."""
        return judge if len(self.expected) == 1 else f"{judge} ({expected})"


def header(cell: LoggedCell, *, with_images: bool) -> EvalLog:
    """The log of `cell` without its samples."""
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalPlan, EvalPlanStep, EvalSpec

    manifest, plan = cell.manifest, cell.plan
    names = {name: plan[name] for name in ("dataset", "attack", "defense")}
    told: Any = {name: tuple(v) if isinstance(v, list) else v for name, v in manifest["settings"].items()}
    settings = Settings(**told)
    spec = EvalSpec(
        eval_id=key_of(["eval", plan["cell"]]),
        run_id=key_of(["run", manifest["name"], manifest["started"]]),
        task_id=plan["cell"],
        created=manifest["started"],
        task=cell.task,
        task_args={**names, "judge": manifest["success"]},
        tags=["proofglass", manifest["name"]],
        dataset=EvalDataset(name=plan["dataset"], samples=plan["planned"]),
        model=cell.model,
        model_generate_config=config_of(settings),
        config=EvalConfig(limit=manifest["limit"], epochs=1, fail_on_error=False, log_images=with_images),
        packages={name: version for name, version in manifest["versions"].items() if name != "python"},
        scorers=_scorers(cell),
        metadata=_about(cell),
    )
    return EvalLog(
        status=_STATUS[plan["status"]],  # type: ignore[arg-type]
        eval=spec,
        plan=EvalPlan(steps=[EvalPlanStep(solver="proofglass/attacked", params=names)]),
        results=None if plan["status"] == "pending" else _results(cell),
        stats=_stats(cell),
        error=_error(plan["reason"]) if plan["status"] == "failed" else None,
    )


def _stats(cell: LoggedCell) -> EvalStats:
    """Of times a run keeps its start and what the victim took for a cell: so long the cell is said to have taken."""
    from inspect_ai.log import EvalStats

    started, is_over = datetime.fromisoformat(cell.manifest["started"]), cell.plan["status"] != "pending"
    spent: dict[str, Any] = {name: cell.rows[name].sum() for name in ("tokens_in", "tokens_out", "money")}
    return EvalStats(
        started_at=started.isoformat(),
        completed_at=(started + timedelta(seconds=cell.plan["seconds"])).isoformat() if is_over else "",
        model_usage={cell.model: usage_of(Cost(**spent))},
    )


def _about(cell: LoggedCell) -> dict[str, Any]:
    """What Inspect has no field for. The optimisation trace stays in the run folder: it may be long."""
    manifest, plan = cell.manifest, cell.plan
    kinds = {"victim": "victims", "attack": "attacks", "defense": "defenses", "dataset": "datasets"}
    craft = {name: value for name, value in (plan["craft"] or {}).items() if name not in ("trace", "settings")}
    return {
        "study": manifest["name"],
        **{name: manifest["plugs"][kind].get(plan[name]) for name, kind in kinds.items()},
        "judges": manifest["plugs"]["judges"],
        **{name: manifest[name] for name in ("seed", "chunk", "budget", "platform", "device", "threads")},
        **{name: plan[name] for name in ("cell", "seconds", "peak_bytes")},
        "craft": craft or None,
        "pictures": "names of pictures are places in the run folder",
    }


def _scorers(cell: LoggedCell) -> list[Any]:
    """By which scores and metrics Inspect can count the log again: its own, so that it needs no Proofglass."""
    metrics: list[Any] = [{"name": name, "options": {}} for name in ("inspect_ai/accuracy", "inspect_ai/stderr")]
    names = (cell.score_name(judge, expected) for expected in cell.expected for judge in cell.judges)
    return [{"name": name, "options": {}, "metrics": metrics} for name in names]


def _results(cell: LoggedCell) -> EvalResults:
    from inspect_ai.log import EvalResults, HeadlineMetric

    scores = [score for expected in cell.expected for score in _counted(cell, expected)]
    return EvalResults(
        total_samples=cell.plan["planned"],
        completed_samples=int((cell.rows["outcome"] != "error").sum()),
        scores=scores,
        headline=HeadlineMetric(scorer=scores[0].scorer, metric="accuracy") if scores else None,
    )


def _counted(cell: LoggedCell, expected: str) -> list[EvalScore]:
    """The rates of the samples that expect this answer, one per judge, by our counting rule."""
    from inspect_ai.log import EvalScore

    part = cell.rows.filter(cell.rows["expected"] == expected)
    found = []
    for rate in rates(part, cell.scores, cell.judges, cell.of_thoughts, cell.of_refusals):
        judge = rate["judge"]
        name = cell.score_name(judge, expected)
        counts = ("successes", "failed", "refused", "filtered", "blocked", "unjudged", "truncated", "reason")
        values = [_value(cell, row, judge) for row in part.iter_rows(named=True)]
        found.append(
            EvalScore(
                name=name,
                scorer=name,
                scored_samples=rate["n"],
                unscored_samples=rate["unjudged"],
                metrics=_metrics(rate, [value for value in values if value is not None]),
                metadata={count: rate[count] for count in counts},
            )
        )
    return found


def _metrics(rate: Mapping[str, Any], values: list[float]) -> dict[str, EvalMetric]:
    """accuracy: our rate; lower, upper: its interval; stderr: as Inspect computes it, rows taken as independent. All
    NaN where nothing was scored, which is how Inspect says so."""
    from inspect_ai.log import EvalMetric

    if not values:
        return {name: EvalMetric(name=name, value=nan) for name in ("accuracy", "stderr", "interval")}
    spread = stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0
    return {
        "accuracy": EvalMetric(name="accuracy", value=rate["value"]),
        "stderr": EvalMetric(name="stderr", value=spread),
        "lower": EvalMetric(name="lower", group="interval", value=rate["low"]),
        "upper": EvalMetric(name="upper", group="interval", value=rate["high"]),
    }


def samples(cell: LoggedCell, pictures: PictureNames) -> Iterator[EvalSample]:
    """The samples of `cell`, in the order of its records."""
    for row in cell.rows.iter_rows(named=True):
        yield _sample(cell, row, pictures)


def _sample(cell: LoggedCell, row: Mapping[str, Any], pictures: PictureNames) -> EvalSample:
    from inspect_ai.log import EvalSample

    reply = reply_of(row)
    output = output_of(reply, cell.model)
    asked = chat_from_json(row["conversation"] or "[]", pictures.named)
    clean = [pictures.named(row["clean_image"])] if row["clean_image"] else []
    scores = {
        cell.score_name(judge, row["expected"]): score_of(
            _given(cell, row, judge),
            reply,
            of_thoughts=judge in cell.of_thoughts,
            of_refusals=judge in cell.of_refusals,
        )
        for judge in cell.judges
    }
    failed = row["outcome"] == "error"
    return EvalSample(
        id=inspect_id(row["sample_id"]),
        epoch=1,
        uuid=key_of([row["cell"], row["sample_id"]]),
        input=messages_of(Chat.user(*clean, row["question"]), pictures),
        target=row["expected"],
        messages=[*messages_of(asked, pictures), *(choice.message for choice in output.choices)],
        output=output,
        scores=None if failed else scores,
        metadata={**{name: row[name] for name in _SHOWN}, "decisions": json.loads(row["decisions"] or "[]")},
        model_usage={cell.model: usage_of(reply.cost)},
        error=_error(row["reason"]) if failed else None,
    )


def _given(cell: LoggedCell, row: Mapping[str, Any], judge: str) -> Score:
    """What this judge said about this sample."""
    given = cell.given.get((row["sample_id"], judge))
    if given is None:
        return Score.unjudged(judge, "the run holds no score of this judge")
    missing = "no reason is recorded" if given["value"] is None else ""
    return Score(judge, given["value"], given["label"] or "", given["reason"] or missing)


def _value(cell: LoggedCell, row: Mapping[str, Any], judge: str) -> float | None:
    """What a sample counts as, by our counting rule; None: it is left out."""
    if row["outcome"] == "error":
        return None
    said = _given(cell, row, judge).value
    if judge in cell.of_thoughts and said is not None:
        return said
    return float(judge in cell.of_refusals) if is_withheld(row) else said


def _error(reason: str) -> EvalError:
    from inspect_ai.log import EvalError

    return EvalError(message=reason, traceback=reason, traceback_ansi=reason)
