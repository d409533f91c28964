"""The plug Attack: spend once, then apply."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING
from typing import Any, ClassVar, Literal, get_args

from proofglass.flow import Flow
from proofglass.interfaces.fields import classes_in, hints
from proofglass.interfaces.judges import Judge
from proofglass.interfaces.models import Detector, Encoder, Model, Painter
from proofglass.interfaces.plugs import Plug
from proofglass.interfaces.victims import Victim
from proofglass.types import Artefact, Ask, Budget, Chat, Reply, Sample

Opens = Literal["nothing", "scores", "encoder", "gradients"]
Scope = Literal["none", "universal", "sample"]

ACCESS: dict[Opens, str] = {
    "nothing": "black box",
    "scores": "score-based black box",
    "encoder": "grey box (vision encoder)",
    "gradients": "white box",
}
"""What the field calls an attack that opens so much of its victim."""
NEEDS: dict[Opens, str] = {
    "nothing": "replies",
    "scores": "the loss of a target",
    "encoder": "the vision encoder",
    "gradients": "gradients",
}
"""What such an attack must get from its victim."""


class Attack(Plug, ABC):
    """Spend once (`craft`), then apply cheaply. Class attributes say what it is; lists and docs come from them.

    reports: what its paper reports, one line with victim, data, figure and how sure it is; "" where nothing could be
    verified. What is a property here may be a class attribute too. `a + b` is both, one after the other.
    """

    reports: ClassVar[str] = ""

    @property
    def threat(self) -> str:
        """ "user", or "third party", who only writes what the victim is shown."""
        return "user"

    @property
    def changes(self) -> tuple[str, ...]:
        """What of a chat it changes: "image", "text"."""
        return ()

    @property
    def opens(self) -> Opens:
        """How far crafting looks into the victim: "nothing" (it asks at most), "scores" (the loss of a target, never a
        gradient), "encoder" (its vision encoder) or "gradients". All but "nothing" take a `WhiteBoxVictim`. An encoder
        attack that is given an encoder of its own opens nothing: what it makes is shown to any victim."""
        return "nothing"

    @property
    def looks_through(self) -> str:
        """What else it differentiates, in words: "gradients of its surrogates"."""
        return ""

    @property
    def scope(self) -> Scope:
        """ "universal": crafts once on the crafting split, and that serves all samples; "sample": crafts for each
        judged sample; "none": has nothing to craft. Default: "none" without a `craft` of its own, else "universal"."""
        return "none" if type(self).craft is Attack.craft else "universal"

    @property
    def queries(self) -> int:
        """Asks of the victim that one sample takes at most, before any defense. Default: 0, which leaves it to a plan
        to count them (`studies.asks`). A search overrides it: what it needs to succeed, nobody knows before."""
        return 0

    @property
    def needs(self) -> tuple[str, ...]:
        """What helps it, in words: "language model", "judge", "image generator", ... Derived: of the fields that take
        such a plug, those that hold one or must."""
        return needs_of(type(self), vars(self))

    def shared(self) -> Attack | None:
        """What of it is crafted once, on the crafting split, though it is crafted for each sample. Default: nothing."""
        return None

    def after(self, artefact: Artefact) -> Attack:
        """This attack, once `shared` is crafted."""
        return self

    def __add__(self, other: Attack) -> Attack:
        from proofglass.interfaces.composed import Composed

        flat = [m for each in (self, other) for m in (each.members if isinstance(each, Composed) else (each,))]
        return Composed(tuple(flat))

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        """Artefacts for `samples` against `victim`. Default: one empty artefact (scope "none").

        budget: cap on what one picture may cost, in the unit that it names; None for the attack's own steps.
        """
        yield Artefact(crafted_on="", meta={"seed": seed})

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        """The attacked chat. Pure and cheap; never changes `sample`. Default: the sample's chat, showing the one
        picture of the artefact. Raises TypeError where there is not one picture: such an attack must say what it
        shows."""
        if len(artefact.images) != 1:
            raise TypeError(
                f"{self.name or type(self).__name__}.apply: the artefact holds {len(artefact.images)} pictures, not "
                "one; override apply to say what is shown"
            )
        return sample.chat.with_image(artefact.images[0])

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        """The dialogue with the victim. Default: one ask of `apply`. Returns the final chat and reply."""
        chat = self.apply(artefact, sample)
        reply = yield ask.on(chat)
        return chat, reply


def access_of(attack: Attack) -> str:
    """`opens` in the words of the field, such as "black box; gradients of its surrogates"."""
    return "; ".join(filter(None, (ACCESS[attack.opens], attack.looks_through)))


def needs_of(attack: type, values: Mapping[str, Any]) -> tuple[str, ...]:
    """`Attack.needs` of a class whose fields have these values; a field that has none, and no default, needs one."""
    told = []
    for name, hint in hints(attack).items():
        word = next((word for kind, word in _HELPS if any(kind in leaf.__mro__ for leaf in classes_in(hint))), "")
        if word and values.get(name, _default(attack, name)) not in (None, ()):
            told.append(word)
    return tuple(dict.fromkeys(told))


# What a field holds -> what that is called; the first that fits.
_HELPS: tuple[tuple[type, str], ...] = (
    (Victim, "language model"),
    (Judge, "judge"),
    (Painter, "image generator"),
    (Encoder, "encoder"),
    (Detector, "detector"),
    (Model, "model"),
)


def _default(attack: Any, name: str) -> Any:
    """Of a field; ... where it has none, and what is made for it where something is."""
    field = attack.__dataclass_fields__[name]
    return ... if field.default is MISSING else field.default


def opens_of(craft: Mapping[str, Any]) -> Opens | None:
    """`opens` from what a run recorded about a craft; None where it says nothing.

    Runs of older versions hold `access`: black, encoder or white. A black box that made passes and none of them
    backward has searched by scores.
    """
    told = craft.get("opens")
    if told is None and craft.get("access") == "black":
        return "scores" if craft.get("forward") and not craft.get("backward") else "nothing"
    old: dict[Any, Opens] = {"encoder": "encoder", "white": "gradients"}
    return next((word for word in get_args(Opens) if word == told), old.get(craft.get("access")))
