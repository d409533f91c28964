"""A part of another data set: so many samples of each category, and a crafting split that no judged sample is in."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from proofglass.errors import UsageError
from proofglass.interfaces import Dataset, Share, Steps, passed_on
from proofglass.types import BadSample, Sample


@dataclass(frozen=True)
class Subset(Dataset):
    """`of`, in its order, cut down to `take` samples, and parted into judged and crafting samples.

    of: the data set. take: how many judged samples at most, 0 for all. by: what is kept in proportion: "category" or
    "expected", "": nothing; a group (a question and its control twin) is then taken whole or not at all, and stands
    with the value of its first sample. "group": some samples of each group, which parts them. craft: share of the
    questions (clusters, and groups where there are any) whose samples go to the crafting split, where they are never
    judged. seed: of both draws.

    A sample is drawn by a hash of its id, or of its group's name, and the seed, and parted by one of its question:
    whatever else the data set holds, and in whatever order, changes neither, unless it ties two groups together by a
    question that both ask. Bad samples stay, so that none is lost from sight.
    """

    name = "subset"
    version = 2  # groups are taken whole
    licence = passed_on("of", "licence")
    judges = passed_on("of", "judges")
    metrics = passed_on("of", "metrics")
    borderline = passed_on("of", "borderline")

    of: Dataset
    take: Steps = 0
    by: Literal["category", "group", "expected", ""] = "category"
    craft: Share = 0.0
    seed: int = 0

    def __iter__(self) -> Iterator[Sample | BadSample]:
        together = self._together()
        chosen = self._chosen(together) if self.take else None
        for row in self.of:
            if isinstance(row, Sample) and (
                self._is_craft(row, together) or (chosen is not None and row.id not in chosen)
            ):
                continue
            yield row

    def crafting(self) -> Iterator[Sample]:
        """The crafting samples of `of`, and those that this one sets aside."""
        yield from self.of.crafting()
        if self.craft:
            together = self._together()
            for row in self.of:
                if isinstance(row, Sample) and self._is_craft(row, together):
                    yield replace(row, split="craft")

    def _is_craft(self, sample: Sample, together: Mapping[str, str]) -> bool:
        name = sample.group or sample.cluster
        return bool(self.craft) and self._chance("craft", together.get(name, name)) < self.craft

    def _together(self) -> dict[str, str]:
        """Group -> the first, by name, of all groups that one question (cluster) leads to, one after another: they are
        parted as one. Only groups that share a question with another stand in it."""
        if not self.craft:
            return {}
        above: dict[str, str] = {}
        seen: dict[str, str] = {}  # cluster -> a group, or the cluster itself where its sample has none

        def top(name: str) -> str:
            while (higher := above.get(name, name)) != name:
                name = higher
            return name

        for row in self.of:
            if isinstance(row, Sample):
                one, other = top(row.group or row.cluster), top(seen.setdefault(row.cluster, row.group or row.cluster))
                if one != other:
                    above[max(one, other)] = min(one, other)
        return {name: top(name) for name in above}

    def _chosen(self, together: Mapping[str, str]) -> set[str]:
        """The ids of the judged samples that are kept: of each value of `by` its share of `take`, what is left over by
        the largest remainders. Raises UsageError where no group is as small as `take`."""
        drawn_as: dict[str, tuple[str, str]] = {}  # group, or id without one -> its value, what is hashed
        ids: dict[tuple[str, str], dict[str, None]] = {}  # an id that comes twice is one sample, and a bad one
        for row in self.of:
            if isinstance(row, Sample) and not self._is_craft(row, together):
                whole = f"group {row.group}" if row.group and self.by != "group" else row.id
                value = str(getattr(row, self.by)) if self.by else ""
                ids.setdefault(drawn_as.setdefault(whole, (value, whole)), {})[row.id] = None
        sizes = Counter[str]()
        for (value, _), some in ids.items():
            sizes[value] += len(some)
        left = self._counts(sizes)
        in_turn = sorted(ids, key=lambda each: self._chance("take", each[1]))
        kept: set[str] = set()
        for each in in_turn:
            if len(ids[each]) <= left[each[0]]:
                left[each[0]] -= len(ids[each])
                kept.update(ids[each])
        for each in in_turn:  # what no group of its value fitted into
            if kept.isdisjoint(ids[each]) and len(ids[each]) <= sum(left.values()):
                left = Counter({"": sum(left.values()) - len(ids[each])})
                kept.update(ids[each])
        if ids and not kept:
            raise UsageError(
                f"subset.take: {self.take} is less than the samples of any group (at least "
                f"{min(map(len, ids.values()))}); groups are kept whole unless `by: group`"
            )
        return kept

    def _counts(self, sizes: Mapping[str, int]) -> Counter[str]:
        """Value of `by` -> how many samples of it are taken. sizes: how many there are."""
        total = sum(sizes.values())
        if total <= self.take:
            return Counter(sizes)
        shares = {value: self.take * n / total for value, n in sizes.items()}
        counts = Counter({value: int(share) for value, share in shares.items()})
        rest = sorted(shares, key=lambda value: (counts[value] - shares[value], value))
        counts.update(rest[: self.take - counts.total()])
        return counts

    def _chance(self, what: str, name: str) -> float:
        """A number in 0..1 that is a function of seed and name."""
        digest = hashlib.sha256(f"{self.seed}|{what}|{name}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") / 2**64
