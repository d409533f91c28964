"""The metrics of a study: what it takes where it names none, and the judges that they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from proofglass.evaluation.metrics.rows import judge_for
from proofglass.interfaces import SUCCESS, Dataset, Judge, Metric
from proofglass.registry import entries

if TYPE_CHECKING:
    from proofglass.studies.study import Item


def usual_metrics(datasets: Iterable[Dataset]) -> list[str]:
    """The metrics of a study that names none: what its data sets name, each once."""
    return list(dict.fromkeys(name for dataset in datasets for name in dataset.metrics))


def needed_judges(metrics: Iterable[Metric]) -> list[str]:
    """Registered judges that these metrics read, the judge of success apart. What a need names otherwise (a label, an
    aspect) no list of names can give."""
    known = entries("judges")
    return list(dict.fromkeys(need for metric in metrics for need in metric.needs if need in known))


def unmet(metric: Metric, judges: Sequence[Item[Judge]]) -> list[str]:
    """What this metric needs and no judge of the study is."""
    told: dict[str, dict[str, Any]] = {
        item.label: {"name": item.name, "aspect": item.plug.aspect, "reads_reasoning": item.plug.reads_reasoning}
        for item in judges
    }
    return [need for need in metric.needs if need != SUCCESS and not judge_for(need, told)]
