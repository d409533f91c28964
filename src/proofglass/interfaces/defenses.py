"""The plug Defense: a wrapper around a victim that is a victim itself."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from proofglass.errors import UsageError
from proofglass.faults import told
from proofglass.flow import AnswerOf, Driven, Flow, begun, drive
from proofglass.interfaces.datasets import Dataset
from proofglass.interfaces.judges import Judge
from proofglass.interfaces.plugs import Plug, key_of
from proofglass.interfaces.victims import Victim
from proofglass.interfaces.white_box import WhiteBoxVictim
from proofglass.types import Ask, Image, Reply, Unsent

COST = "cost.json"  # in the folder of what a defense learned


class Defense(Plug, ABC):
    """A wrapper: a defended victim is a victim. Most defenses write `flow` only. `a + b` is both, a the outer one.

    needs_model: what it needs of the model: "" (it runs behind an API), "layers", "logits", "gradients" or "weights".
    adaptive: the attacks that know it ("PGD, qi2023 through the lens"), "" where none exists yet.
    decodes: whether it draws replies of the victim by settings of its own; others change `Settings.draw` at most.
    learned_in: of a defense that learns, the field that names the folder of what it learned (None: nothing yet), and
    which is in `not_in_key`: what lies there is, wherever it lies. learns_from: its fields that hold the data sets.
    learned_files: what in that folder decides the results. not_learned: fields that decide nothing of what `fitted`
    learns (a strength, a threshold of use).
    """

    needs_model: ClassVar[str] = ""
    adaptive: ClassVar[str] = ""
    decodes: ClassVar[bool] = False
    learned_in: ClassVar[str] = ""
    learns_from: ClassVar[tuple[str, ...]] = ()
    learned_files: ClassVar[tuple[str, ...]] = ()
    not_learned: ClassVar[tuple[str, ...]] = ()

    def __add__(self, other: Defense) -> Defense:
        from proofglass.interfaces.stack import Stack

        flat = [m for each in (self, other) for m in (each.members if isinstance(each, Stack) else (each,))]
        return Stack(tuple(flat))

    def __call__(self, victim: Victim) -> Victim:
        return Defended(victim, self)

    def flow(self, ask: Ask) -> Flow[Reply]:
        """What happens between the user's ask and the reply. Default: the identity."""
        reply: Reply = yield ask
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim | None:
        """`model` as an attacker sees it who knows this defense and looks through it: what is optimised against it is
        an adaptive attack. Most return an `Opened` (proofglass/defenses/opened.py), which forwards every method of
        the model and takes what the defense changes as a `Lens`. Default: None, the defense stays closed, and attacks
        are crafted on the bare model."""
        return None

    def most_asks(self, of_judge: Callable[[Judge], int]) -> tuple[int, int] | None:
        """Asks of the victim, and of helpers, that it makes of one ask about one picture and one text, at most, for a
        plan. of_judge: how often a judge asks its helpers about one reply, at most. Default: None, its dialogue is run
        against models that say nothing."""
        return None

    @property
    def stands_for(self) -> Defense:
        """The defense whose dialogue it leads, before anything is learned: what a plan looks at. Default: itself."""
        return self

    @property
    def learned(self) -> Path | None:
        """The folder of what it learned; None where it has not, or learns nothing."""
        return getattr(self, self.learned_in) if self.learned_in else None

    @property
    def fits_on(self) -> tuple[Dataset, ...]:
        """The data sets that `fitted` learns from (`learned_from`); none: nothing is to be fitted."""
        given = () if self.learned is not None else (getattr(self, name) for name in self.learns_from)
        return tuple(each for one in given for each in (one if isinstance(one, tuple) else (one,)) if each is not None)

    def reads(self) -> Iterable[Path]:
        folder = self.learned
        return (*super().reads(), *(() if folder is None else (folder / name for name in self.learned_files)))

    @property
    def learns(self) -> str:
        """Names what `fitted` learns from a model: defenses that differ in fields of `not_learned` alone share it."""
        decide = {name: value for name, value in self._named().items() if name not in self.not_learned}
        return key_of([type(self).__name__, self.name, self.version, decide])

    def fitted(self, model: Victim, folder: Path) -> Defense:
        """This defense with what it has to find in `model`, or to train on it, kept in `folder`: what lies there
        finished is taken as it is, what was stopped goes on. model: what stands inside this defense. Default: itself,
        there is nothing to fit."""
        return self

    @property
    def spent(self) -> Mapping[str, float]:
        """What learning cost, as `COST` in its folder says: seconds, and what else was counted (rows, steps, passes);
        nothing where that is not known. Raises UsageError for a file that cannot be read."""
        file = None if self.learned is None else self.learned / COST
        if file is None or not file.is_file():
            return {}
        try:
            return {str(name): float(value) for name, value in json.loads(file.read_text(encoding="utf-8")).items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{file}: cannot be read ({error}); delete it, or learn anew") from error


@dataclass(frozen=True)
class Defended(Victim):
    """`victim` behind `defense`. Its key holds the stack; its white box is the innermost victim.

    answer_of: gives the answers of a helper that the defense asks (`rebased` sets it), None: the helper's own.
    """

    victim: Victim
    defense: Defense
    answer_of: AnswerOf | None = field(default=None, repr=False, compare=False)
    name: ClassVar[str] = "defended"
    not_in_key: ClassVar[tuple[str, ...]] = ("answer_of",)

    def __post_init__(self) -> None:
        self._stated_by(self.victim)

    @property
    def inside(self) -> Victim:
        return self.victim

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        flows = [begun(partial(self.defense.flow, ask)) for ask in asks]
        ends = drive(flows, self.victim.reply, self.answer_of)
        return [self._reply(end) for end in ends]

    def _reply(self, end: Driven[Reply]) -> Reply:
        """An aux failure is an error of that sample, never an answer and never "safe". What was not sent stays so."""
        if isinstance(end.value, Reply):
            return dataclasses.replace(end.value, cost=end.cost, helpers=end.helpers)
        if end.unsent:
            return Unsent.because(end.unsent)
        reason = f"its dialogue returned a {type(end.value).__name__}, expected a Reply"
        if end.error is not None:
            reason = told(end.error, "defense", self.defense)
        failed = Reply.error(f"defense {self.defense.name}: {reason}", end.cost)
        return dataclasses.replace(failed, helpers=end.helpers)

    @property
    def context_window(self) -> int | None:  # type: ignore[override]
        return self.victim.context_window

    def look_ahead(self, image: Image) -> None:
        self.victim.look_ahead(image)

    def card(self) -> dict[str, Any]:
        return self.victim.card()

    def in_run(self, folder: Path, run: str) -> Victim:
        return dataclasses.replace(self, victim=self.victim.in_run(folder, run))


def opened_through(defense: Defense, model: Victim) -> WhiteBoxVictim | None:
    """`model` seen through `defense`, None where one of the two is closed."""
    return defense.opened(model) if isinstance(model, WhiteBoxVictim) else None


def rebased(stack: Victim, wrap: Callable[[Victim], Victim], answer_of: AnswerOf | None = None) -> Victim:
    """The finished `stack` of defenses with `wrap` around its innermost victim: the model, or what a defense has put
    in its place (an adapter, fitted weights). answer_of: gives the answers of helpers that its defenses ask; None:
    as before."""
    if isinstance(stack, Defended):
        inner = rebased(stack.victim, wrap, answer_of)
        return dataclasses.replace(stack, victim=inner, answer_of=answer_of or stack.answer_of)
    return wrap(stack)


def innermost(victim: Victim) -> Victim:
    """The model itself, without the defenses around it or the lenses before it."""
    while (inside := victim.inside) is not None:
        victim = inside
    return victim
