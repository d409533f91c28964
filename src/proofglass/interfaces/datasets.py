"""The plug Dataset: a source of samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from proofglass.interfaces.plugs import Plug
from proofglass.types import BadSample, Sample


@dataclass(frozen=True)
class Source:
    """Where a benchmark is published, for whoever fetches it.

    page: its official page. hub: `owner/name` on the model hub, "" if it is not there. revision: the commit that was
    looked at, "" if none was: then the one that is fetched is recorded. files: what of it is needed (globs). sha256:
    file -> its hash, where it is known. gated: what must be accepted before it can be had, "" for nothing. pictures:
    where its pictures come from if they are not with it. checked: "data", our counts were compared with the official
    files; "format", with a made-up file of their layout only.
    """

    page: str
    hub: str = ""
    revision: str = ""
    files: tuple[str, ...] = ("**/*",)
    sha256: Mapping[str, str] | None = None
    gated: str = ""
    pictures: str = ""
    checked: Literal["data", "format"] = "format"


class Dataset(Plug, ABC):
    """A source of samples. `splits`: names of its disjoint splits; attacks are crafted on "craft".

    judges: names of judges that know whether this went wrong, the best first: a study that names none takes the first
    that is valid for its victims. metrics: names of what is to be told of its rows where a study names none.

    origin: where it is published, None for data of one's own. published: category -> how many samples the authors say
    it has, "" for all together. failure_rule: what the official code counts where a reply or a verdict cannot be read,
    and what ours does.

    Judged samples are in the key of every cell, with their pixels; what else is read (the crafting split) is known by
    `reads` only. A loader of a large folder may therefore leave pictures of judged samples out of it.
    """

    licence: ClassVar[str] = ""
    origin: ClassVar[Source | None] = None
    published: ClassVar[Mapping[str, int]] = {}
    failure_rule: ClassVar[str] = ""
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


def learned_from(dataset: Dataset) -> Iterator[Sample | BadSample]:
    """The rows of `dataset` that something may be fitted to or trained on: its crafting split, or all of it where it
    keeps none apart (then it must not be judged in the same study)."""
    rows = dataset.crafting()
    first = next(rows, None)
    if first is None:
        yield from dataset
        return
    yield first
    yield from rows
