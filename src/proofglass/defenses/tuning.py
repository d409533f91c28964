"""What defenses that train a model share: rows that are ready, a course, the folder that holds what was learned.

A folder holds `learned/` (safetensors and the configuration that loads them), a card, and, while training runs,
a checkpoint. The card is written last: without one a training is not finished, and goes on from its checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from proofglass.defenses.acting import opens_layers
from proofglass.defenses.learned import unlearned, write_json
from proofglass.defenses.vectors import key_inside
from proofglass.digests import digest_of
from proofglass.engine.checkpoints import Slot
from proofglass.engine.learning import Recipe, fit
from proofglass.engine.progress import Pace, report
from proofglass.errors import EnvironmentFault, ImageError, UsageError, is_environment, remedy
from proofglass.interfaces import (
    COST,
    Dataset,
    Defense,
    Learner,
    TowerLearner,
    Victim,
    WhiteBoxVictim,
    innermost,
    key_of,
    learned_from,
    rebased,
)
from proofglass.records.files import sweep_temporaries
from proofglass.types import BadSample, Sample

if TYPE_CHECKING:
    from torch import Tensor

LEARNED, CARD, CHECKPOINT = "learned", "card.json", "checkpoint.safetensors"
NAMED = 100  # rows that a card names of those that were left out
IDS = 16  # rows of a step that an error names
PORTS = ("learner", "tuned")

T = TypeVar("T")
D = TypeVar("D", bound=Defense)
L = TypeVar("L", Learner, TowerLearner)


@dataclass(frozen=True)
class Course:
    """How weights learn: an adapter of `rank` and `alpha` (rank 0: all weights), `batch` rows a step, at `rate` after
    `warm_up` steps, down a cosine to 0, with weight `decay`; a checkpoint `every` so many steps. A defense has fields
    of these names."""

    batch: int
    rate: float
    decay: float
    seed: int
    every: int
    rank: int = 0
    alpha: float = 1.0

    @classmethod
    def of(cls, defense: Defense) -> Course:
        return cls(**{each.name: getattr(defense, each.name) for each in fields(cls) if hasattr(defense, each.name)})

    def recipe(self, steps: int, warm_up: int) -> Recipe:
        return Recipe(steps, self.batch, self.rate, warm_up=warm_up, end=0.0, decay=self.decay, betas=(0.9, 0.999))


@dataclass
class Rows(Generic[T]):
    """Rows of a data set that a learner has taken, and why others were left out (id -> reason)."""

    samples: list[Sample] = field(default_factory=list)
    taken: list[T] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.taken)

    def told(self, dataset: Dataset) -> dict[str, Any]:
        """For the card."""
        named = dict(list(self.left_out.items())[:NAMED])
        left_out = {"number": len(self.left_out), "rows": named}
        return {"name": dataset.name, "key": dataset.key, "rows": len(self), "left_out": left_out}


def ready(dataset: Dataset, take: Callable[[Sample], T], field_name: str, defense: str) -> Rows[T]:
    """The rows of `dataset` that may be learned from, each as `take` makes it; what cannot be used (ValueError,
    ImageError, a row that the data set itself calls bad) costs itself.

    Raises UsageError, naming the field, where no row is left.
    """
    found: Rows[T] = Rows()
    for sample in learned_from(dataset):
        if isinstance(sample, BadSample):
            found.left_out[sample.id] = sample.reason
            continue
        try:
            made = take(sample)
        except (ValueError, ImageError) as error:
            if is_environment(error):
                raise
            found.left_out[sample.id] = str(error) or type(error).__name__
            continue
        found.samples.append(sample)
        found.taken.append(made)
    if not found.taken:
        first = next((f"; the first: {name}: {why}" for name, why in found.left_out.items()), "")
        raise UsageError(
            f"{defense}.{field_name}: {dataset.name}: no row to learn from, {len(found.left_out)} left out{first}"
        )
    return found


@dataclass(frozen=True)
class Lesson:
    """What a model is taught.

    steps: how many. warm_up: of them. picks: step -> the rows that it learns from. parts: rows -> their loss, in parts.
    names: id of each row. content: what the rows hold, as a hash. told: what the card says of the data. by_step: in
    place of `parts`, step -> its loss in parts, where more than its rows decides.
    """

    steps: int
    warm_up: int
    picks: Callable[[int], Sequence[int]]
    parts: Callable[[Sequence[int]], Iterable[Tensor]]
    names: Sequence[str]
    content: str
    told: Mapping[str, Any]
    by_step: Callable[[int], Iterable[Tensor]] | None = None

    def loss(self, step: int) -> Iterable[Tensor]:
        return self.parts(self.picks(step)) if self.by_step is None else self.by_step(step)


def content_of(rows: Iterable[tuple[Sample, Sequence[str]]]) -> str:
    """Sha256 of samples and the texts that are taught of each."""
    digest = hashlib.sha256()
    for sample, texts in rows:
        digest.update(json.dumps([sample.id, key_of(sample.chat), list(texts)]).encode())
    return digest.hexdigest()


def micro(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for at in range(0, len(rows), size):
        yield rows[at : at + size]


# ---- training ----


def trained(defense: D, model: Victim, folder: Path, teach: Callable[[Learner], Lesson]) -> D:
    """`defense` with what it learns on `model`, in `folder`; itself where it has learned already. What lies there
    finished is checked and taken as it is, what was stopped goes on.

    Raises UsageError for a model without open weights, a folder of another training, data without rows, and a loss that
    is no number; EnvironmentFault where the folder cannot be written.
    """
    if defense.learned is not None:
        return defense
    course = Course.of(defense)
    inner = opens_layers(defense, innermost(model), *PORTS)
    told = "all but the vision tower's" if course.rank == 0 else f"adapter of rank {course.rank}"
    _trained(defense, course, inner, folder, lambda: inner.learner(course.rank, course.alpha, course.seed), teach, told)
    return _in(defense, folder)


def trained_tower(defense: D, model: Victim, folder: Path, teach: Callable[[TowerLearner], Lesson]) -> D:
    """`trained`, of the model's vision tower."""
    if defense.learned is not None:
        return defense
    inner = opens_layers(defense, innermost(model), "tower_learner", "tuned")
    _trained(defense, Course.of(defense), inner, folder, inner.tower_learner, teach, "the vision tower's")
    return _in(defense, folder)


def _in(defense: D, folder: Path) -> D:
    changed: Any = defense
    return replace(changed, **{defense.learned_in: folder})  # type: ignore[no-any-return]


def _trained(
    defense: Defense,
    course: Course,
    inner: WhiteBoxVictim,
    folder: Path,
    opened: Callable[[], L],
    teach: Callable[[L], Lesson],
    weights: str,
) -> None:
    """opened: makes the learner. weights: which of them learn, for the card."""
    if (folder / CARD).is_file():
        checked(defense, inner, folder, defense.key)
        return
    with _writing(folder):  # now, not after the first hour
        sweep_temporaries(folder)
    learner = opened()
    lesson = teach(learner)
    recipe = course.recipe(lesson.steps, lesson.warm_up)
    of = [defense.key, key_inside(inner), lesson.content, recipe.steps, version("torch")]
    losses: list[float] = []
    number = len(lesson.picks(0))

    def seen(done: int, loss: float, seconds: float) -> None:
        losses.append(loss)
        report(Pace(done, recipe.steps, loss, number, per_second=done / max(seconds, 1e-9)))

    seconds = fit(
        lesson.loss,
        recipe,
        [(learner.parameters, 1.0)],
        seen=seen,
        slot=Slot(folder / CHECKPOINT, course.every, key_of(of)),
        named=lambda step: _named([lesson.names[k] for k in lesson.picks(step)]),
    )
    told = {
        "defense": defense.name,
        "settings": defense.key,
        "model": {"name": inner.name, "key": key_inside(inner)},
        "data": dict(lesson.told),
        "seconds": round(seconds, 3),
        "steps": lesson.steps,
        "rows_seen": lesson.steps * number,
        "passes": round(lesson.steps * number / len(lesson.names), 4),
        "hours": round(seconds / 3600, 4),
        "seed": course.seed,
        "weights": weights,
        "last_loss": losses[-1] if losses else None,
        "made_with": {name: version(name) for name in ("torch", "transformers", *(["peft"] if course.rank else []))},
    }
    with _writing(folder):
        learner.save(folder / LEARNED)
        write_json(folder / COST, {name: told[name] for name in ("seconds", "steps", "rows_seen", "passes")})
        write_json(folder / CARD, {**told, "learned": digest_of(folder / LEARNED)})
        (folder / CHECKPOINT).unlink(missing_ok=True)


def checked(defense: Defense, model: Victim, folder: Path, settings: str = "") -> Path:
    """Where in `folder` lies what `defense` has learned on this very model. settings: the key that it was trained
    under, "" where the folder alone says what it is.

    Raises UsageError where it is missing or damaged, of another defense or other settings, or learned on another model.
    """
    again = f"name another folder, or empty this one to train {defense.name} anew"
    card, learned = _card(folder, again), folder / LEARNED
    of = card["model"]
    expected = [
        ("defense", card["defense"], defense.name, "it was another defense"),
        ("settings", card["settings"], settings or card["settings"], "it was trained with other settings or data"),
        ("model", of["key"], key_inside(model), f"it was trained on {of['name']!r}, and this is {model.name!r}"),
        ("learned", card["learned"], digest_of(learned) if learned.is_dir() else "nothing", "its weights were changed"),
    ]
    for field_name, stated, here, why in expected:
        if stated != here:
            raise UsageError(f"{folder / CARD}: {field_name}: {why} (expected {here}, found {stated}); {again}")
    return learned


def _card(folder: Path, again: str) -> dict[str, Any]:
    """Raises UsageError, which says `again`, where there is none that can be read."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        absent = {"defense", "settings", "learned", "model"} - set(card)
        if absent or not {"key", "name"} <= set(card["model"]):
            raise ValueError(f"it lacks {', '.join(sorted(absent)) or 'the key of a model'}")
    except (OSError, ValueError, TypeError) as error:
        if is_environment(error):
            raise
        said = f"{type(error).__name__}: {error}"
        raise UsageError(f"{folder / CARD}: cannot be read as a card ({said}); {again}") from error
    found: dict[str, Any] = card
    return found


def put_in(defense: Defense, victim: Victim) -> Victim:
    """`victim` with what `defense` has learned in its innermost model. Raises UsageError without a folder,
    for a model whose weights are closed, and for one on which it was not trained."""

    def tuned(model: Victim) -> Victim:
        return _tuned(defense, opens_layers(defense, model, *PORTS))

    return rebased(victim, tuned)


def seen_through(defense: Defense, model: WhiteBoxVictim) -> WhiteBoxVictim:
    """`model` as an attacker sees it who has the tuned weights."""
    return _tuned(defense, opens_layers(defense, model, *PORTS))


def _tuned(defense: Defense, model: WhiteBoxVictim) -> WhiteBoxVictim:
    if defense.learned is None:
        raise unlearned(defense.name, defense.learned_in)
    return model.tuned(checked(defense, innermost(model), defense.learned))


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:IDS]) + (f" and {len(ids) - IDS} more" if len(ids) > IDS else "")


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, SafetensorError) as error:
        raise EnvironmentFault(
            f"{folder}: what was learned cannot be written: {remedy(error) or error}. The checkpoint is kept."
        ) from error
