"""The plug Dataset: a source of samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from proofglass.interfaces.plugs import Plug
from proofglass.types import BadSample, Sample


class Dataset(Plug, ABC):
    """A source of samples. `splits`: names of its disjoint splits; attacks are crafted on "craft".

    judges: names of judges that know whether this went wrong, the best first: a study that names none takes the first
    that is valid for its victims. metrics: names of what is to be told of its rows where a study names none.

    Judged samples are in the key of every cell, with their pixels; what else is read (the crafting split) is known by
    `reads` only. A loader of a large folder may therefore leave pictures of judged samples out of it.
    """

    licence: ClassVar[str] = ""
    judges: ClassVar[tuple[str, ...]] = ("unsafe",)
    metrics: ClassVar[tuple[str, ...]] = ("rate",)

    @property
    def borderline(self) -> bool:
        """Whether its questions look forbidden and are not: answering them is no everyday usefulness, refusing them is
        over-refusal."""
        return False

    @abstractmethod
    def __iter__(self) -> Iterator[Sample | BadSample]:
        """Samples in a fixed order; a bad row is a BadSample and costs itself only. Ids are unique."""

    def crafting(self) -> Iterator[Sample]:
        """Samples that attacks may optimise on: disjoint from those of `__iter__`. Default: none."""
        return iter(())
