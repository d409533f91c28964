"""The task `proofglass/cell` (victim x attack x defense x data set, Inspect as the runner) and its solver.

inspect eval proofglass/cell --model proofglass/testbed-linear -T dataset=testbed -T attack=figstep \\
    -T judge=not-refused,testbed-content -T settings='{max_new_tokens: 48}'
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inspect_ai import Task, task
from inspect_ai.model import get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from proofglass.api import cell_study
from proofglass.errors import UsageError
from proofglass.inspect_ext.dialogue import Evaluated, NotYetAsked, answers_in_task, in_thread
from proofglass.inspect_ext.messages import config_of, messages_of, output_of
from proofglass.inspect_ext.plugs import Given, plug, settings_of_study
from proofglass.inspect_ext.provider import VictimAPI
from proofglass.inspect_ext.samples import inspect_dataset, sample_of
from proofglass.inspect_ext.scorers import judged
from proofglass.interfaces import Dataset, Victim, rebased
from proofglass.records.crafts import Crafted
from proofglass.records.store import Store
from proofglass.studies.execute import Target, craft_all, run_chunk, trial_of
from proofglass.studies.fitting import fitted
from proofglass.studies.plan import Plan, expand, manifest
from proofglass.studies.progress import Progress
from proofglass.types import BadSample, Budget, Sample

# A task ends with "error" once this share of its samples failed: if all did, nothing was measured.
ALL = 1 - 1e-9


class SampleFailed(RuntimeError):
    """An attack or a defense broke, or got no answer. Inspect makes it an error of the sample."""


@task(name="cell")
def proofglass_task(
    dataset: Given,
    attack: Given = "no-attack",
    defense: Given = "none",
    judge: Given | list[Given] = "not-refused",
    crafted_on: Given | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    budget: float | str | None = None,
    artefacts: str | None = None,
    adaptive: bool = True,
) -> Task:
    """One cell. Plugs are named as in a study: `figstep`, or `{figstep: {size: 12}}`.

    judge: one or several, the first is the headline. settings: those of a study, such as {max_new_tokens: 48}; options
    of Inspect (--temperature) go before them. The rest: see `attacked`. Raises UsageError for what cannot be done.
    """
    base = settings_of_study(settings)
    (cell,) = _plan(dataset, "no-attack", "none", NotYetAsked("model"), settings, seed, None).cells
    return Task(
        dataset=inspect_dataset(cell.rows, cell.dataset.label),
        solver=attacked(attack, defense, dataset, crafted_on, settings, seed, budget, artefacts, adaptive),
        scorer=[judged(each) for each in (judge if isinstance(judge, list) else [judge])],
        config=config_of(base),
        fail_on_error=ALL,
    )


@solver
def attacked(
    attack: Given,
    defense: Given = "none",
    dataset: Given | None = None,
    crafted_on: Given | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    budget: float | str | None = None,
    artefacts: str | None = None,
    adaptive: bool = True,
) -> Solver:
    """The dialogue of an attack with the evaluated model behind a defense; crafted now, before the task starts.

    dataset: whose samples an attack may be crafted on. crafted_on: the victim it is crafted on; None: the evaluated
    model itself, if it is a `proofglass/...`, else a model of which nothing is open. budget: per picture, as in a
    study: 200, or `60 s`. artefacts: a folder of its own that keeps what was crafted, and the way there after a kill;
    None: it is crafted anew every time. adaptive: crafted through the defense, if that opens itself. A helper that is
    an `inspect-role` is a model role: --model-role NAME=provider/name.
    Raises UsageError, MissingExtra and what crafting raises.
    """
    base = settings_of_study(settings)
    like = _evaluated() if crafted_on is None else plug("victims", crafted_on)
    plan = _plan(dataset, attack, defense, like, settings, seed, budget, adaptive)
    (cell,) = plan.cells
    if cell.skip:
        raise UsageError(f"{cell.title}: {cell.skip}. Name a victim to craft on: -T crafted_on=testbed-linear")
    temporary = None if artefacts else TemporaryDirectory(prefix="proofglass-")
    with Store.create(Path(temporary.name if temporary else artefacts or ""), manifest(plan)) as store:
        defending = fitted(cell, like, store, Progress())
        trial = trial_of(cell, like, base, plan.study.budget, defense=defending)
        if crafted_on is not None and not _is_evaluated(like):
            trial = dataclasses.replace(trial, target=Target(trial.target.victim, "transfer"))
        # For all samples before the first is asked, as the runner of studies does chunk by chunk.
        bought = _Bought(tuple(craft_all(trial, store)), temporary)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        sample, model = sample_of(state), get_model()
        answer_of = partial(answers_in_task, base)
        mine = dataclasses.replace(
            trial,
            victim=rebased(defending(Evaluated(model, base, like)), lambda innermost: innermost, answer_of),
            settings=dataclasses.replace(base, draw=state.epoch - 1),
            answer_of=answer_of,
        )
        done = await in_thread(lambda: run_chunk(mine, [sample], 0, bought.of(sample.id)))
        if not done:
            raise SampleFailed(f"attack {trial.attack.name}: an ask was not sent")
        ended, record = done[0].ended, done[0].record
        if ended.chat is None or ended.reply.outcome == "error":
            raise SampleFailed(ended.reply.reason)
        state.output = output_of(ended.reply, str(model))
        state.messages = [*messages_of(ended.chat), state.output.message]
        state.metadata |= {name: getattr(record, name) for name in ("outcome", "reason", "crafted_on", "crafting")}
        return state

    return solve


@dataclass(frozen=True)
class _Nothing(Dataset):
    """No samples: an attack that crafts on none needs no data set."""

    name = "nothing"

    def __iter__(self) -> Iterator[Sample | BadSample]:
        return iter(())


def _plan(
    dataset: Given | None,
    attack: Given,
    defense: Given,
    victim: Victim,
    settings: Mapping[str, Any] | None,
    seed: int,
    budget: float | str | None,
    adaptive: bool = True,
) -> Plan:
    """The plan of one cell, as a study of it would have it: the same samples, the same seeds."""
    study = cell_study(
        victim,
        plug("attacks", attack),
        _Nothing() if dataset is None else plug("datasets", dataset),
        plug("defenses", defense),
        ["not-refused"],
        seed=seed,
        settings=settings_of_study(settings),
        chunk=100,
        adaptive=adaptive,
    )
    return expand(dataclasses.replace(study, name="inspect", budget=_budget(budget)))


def _budget(given: float | str | None) -> Budget | None:
    try:
        return None if given is None else Budget.read(given)
    except ValueError as error:
        raise UsageError(str(error)) from error


@dataclass(frozen=True)
class _Bought:
    """What crafting bought; its pictures, and what a defense learned, lie in `folder`, which goes with this object if
    it is temporary."""

    crafted: tuple[Crafted, ...]
    folder: TemporaryDirectory[str] | None

    def of(self, sample_id: str) -> Crafted:
        """The purchase that serves this sample; an empty one if none does."""
        return next((each for each in self.crafted if each.of(sample_id)), Crafted("", ()))


def _is_evaluated(victim: Victim) -> bool:
    """Whether Inspect evaluates this very victim."""
    try:
        return _evaluated().key == victim.key
    except UsageError:  # no model is known yet
        return False


def _evaluated() -> Victim:
    """The victim behind the model that Inspect evaluates now, as far as it is ours."""
    try:
        model = get_model()
    except ValueError as error:
        raise UsageError(
            "crafted_on: which victim is the attack crafted on? Name it, crafted_on='testbed-linear', or let Inspect "
            "make the task: eval('proofglass/cell', model=..., task_args={...})"
        ) from error
    return model.api.victim if isinstance(model.api, VictimAPI) else NotYetAsked(str(model))
