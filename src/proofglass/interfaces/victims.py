"""The plug Victim: a model under test, asked for replies."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from proofglass.interfaces.plugs import Plug
from proofglass.types import Ask, Finding, Image, Layout, Reply, Sample

P = TypeVar("P", bound=Plug)


class Victim(Plug, ABC):
    """A model under test. `layout`: the pictures of text that it reads, None if unknown (paper defaults apply).

    `image_size`: width and height in pixels of the picture that it takes, None if any.
    `context_window`: tokens of prompt (pictures and system prompt included) and reply together, None: unknown, or no
    limit. Asking for it never loads weights.
    `world`: name of the closed world whose language is all that it speaks (the testbed's Vale), "" for any other model:
    some judges can be right about a closed world only (`Judge.valid_in`).
    """

    layout: Layout | None = None
    image_size: tuple[int, int] | None = None
    sees_images: bool = True
    context_window: int | None = None
    world: str = ""

    @property
    def inside(self) -> Victim | None:
        """The victim that this one wraps, None for a model itself."""
        return None

    def _stated_by(self, victim: Victim) -> None:
        """State of this wrapper what `victim` states of itself: called once, as it is built."""
        for name in ("layout", "image_size", "sees_images", "world"):
            object.__setattr__(self, name, getattr(victim, name))

    @abstractmethod
    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        """One reply per ask, in order. Never raises for one ask: that ask gets `Reply.error(reason)`, or
        `Reply.unaskable(error)` where the ask itself is to blame (`errors.TooLong`, a picture too many)."""

    def look_ahead(self, image: Image) -> None:
        """`image` will be shown: what takes long with it (decoding, resizing) may be done now and kept. Changes no
        reply; any thread may call it while another one asks. May raise what an ask with it would be told. Default:
        nothing."""

    def fidelity(self, samples: Sequence[Sample]) -> Iterable[Finding]:
        """Checks that our own code around this victim adds nothing to it and loses nothing, on samples with targets;
        each as it is made, since some take long. Default: none."""
        return ()

    def card(self) -> dict[str, Any]:
        """What the report states about this victim (sizes, training, versions); JSON-able."""
        return {}

    def in_run(self, folder: Path, run: str) -> Victim:
        """This victim for the run `run` in `folder`: the same id whenever that run goes on. Called before any key is
        taken. Default: itself. A victim whose answers belong to one run (an API) keeps what it must there, and its
        key holds `run`."""
        return self


def in_run(plug: P, folder: Path, run: str) -> P:
    """`plug` for the run `run` in `folder` (`Victim.in_run`): a victim itself; of another plug the helpers among its
    fields, and those of the plugs in its fields. `plug` as it is where it holds none."""
    bound: Any = plug.in_run(folder, run) if isinstance(plug, Victim) else plug
    fields = Plug.settings(plug)  # not its own, which is foreign code
    changed = {name: _in_run(value, folder, run) for name, value in fields.items()}
    if bound is not plug or all(changed[name] is value for name, value in fields.items()):
        return cast(P, bound)
    return cast(P, dataclasses.replace(cast(Any, plug), **changed))


def _in_run(value: Any, folder: Path, run: str) -> Any:
    """A value of a field likewise; itself where nothing in it changes."""
    if isinstance(value, Plug):
        return in_run(value, folder, run)
    if isinstance(value, (tuple, list)):
        bound = [_in_run(each, folder, run) for each in value]
        return value if all(new is old for new, old in zip(bound, value, strict=True)) else type(value)(bound)
    return value
