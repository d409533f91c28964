"""The model that a task evaluates, as a victim: our attacks and defenses talk to it as they talk to any other.

They are synchronous and run in a thread; what they ask is asked in the loop of the task, so that Inspect counts,
limits and logs every call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TypeVar

import anyio
from anyio import from_thread, to_thread
from inspect_ai.model import Model, get_model, model_roles
from inspect_ai.util import collect

from proofglass.errors import ClosedVictim, UsageError
from proofglass.flow import Answer
from proofglass.inspect_ext.messages import config_of_changes, messages_of, reply_of
from proofglass.interfaces import Victim
from proofglass.models.inspect_role import InspectRole
from proofglass.types import Ask, Helper, Reply, Settings

T = TypeVar("T")


class Evaluated(Victim):
    """`model` while a task runs; asked from a thread of `in_thread`. base: settings that the task already gave it.
    like: the victim whose layout and picture size it has."""

    def __init__(self, model: Model, base: Settings, like: Victim) -> None:
        self.model, self.base = model, base
        self.layout, self.image_size, self.sees_images = like.layout, like.image_size, like.sees_images

    @property
    def name(self) -> str:  # type: ignore[override]
        return str(self.model)

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        """Raises what the call of the model raises: Inspect makes it the sample's error, or its limit."""
        return from_thread.run(self._answer, asks)

    async def _answer(self, asks: Sequence[Ask]) -> list[Reply]:
        if len(asks) == 1:
            return [await self._one(asks[0])]
        return await collect(*(self._one(ask) for ask in asks))

    async def _one(self, ask: Ask) -> Reply:
        config = config_of_changes(ask.settings, self.base)
        return reply_of(await self.model.generate(messages_of(ask.chat), config=config))


class NotYetAsked(Victim):
    """The model that will be evaluated, while an attack is crafted: its name is all there is of it."""

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        raise ClosedVictim(
            f"{self.name}: crafting asks the victim, and a task asks it only once it runs. "
            "Name a local victim to craft on: -T crafted_on=testbed-linear"
        )


def answers_in_task(base: Settings, helper: Helper) -> Answer:
    """The answers of a helper while a task runs: of an `inspect-role` Inspect's model of that role, of any other its
    own. base: settings that the task already gave its models. Raises UsageError for a role that nobody named."""
    if not isinstance(helper, InspectRole):
        return helper.reply
    if helper.role not in model_roles():
        raise UsageError(
            f"a method asks the model role {helper.role!r}. Name it: --model-role {helper.role}=provider/name"
        )
    return Evaluated(get_model(role=helper.role), base, helper).reply


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises, from a thread of its own: those of Inspect's pool are for what it asks."""
    try:
        return await to_thread.run_sync(work, limiter=anyio.CapacityLimiter(1))
    except CancelledError:
        await anyio.lowlevel.checkpoint()  # a limit that ran out cancels the ask in the thread: it is ours to end on
        raise
