"""A part of another data set: so many samples of each category, and a crafting split that no judged sample is in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from proofglass.interfaces import Dataset, Share, Steps, passed_on
from proofglass.types import BadSample, Sample


@dataclass(frozen=True)
class Subset(Dataset):
    """`of`, in its order, cut down to `take` samples, and parted into judged and crafting samples.

    of: the data set. take: how many judged samples at most, 0 for all. by: what is kept in proportion: "category",
    "group", or "expected"; "": nothing. craft: share of the questions (clusters, and groups where there are any) whose
    samples go to the crafting split, where they are never judged. seed: of both draws.

    A sample is drawn by a hash of its id and the seed, and parted by one of its question: whatever else the data set
    holds, and in whatever order, changes neither, unless it ties two groups together by a question that both ask. Bad
    samples stay, so that none is lost from sight.
    """

    name = "subset"
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
        chosen = self._chosen(together) if self.take else set()
        for row in self.of:
            if isinstance(row, Sample) and (self._is_craft(row, together) or (chosen and row.id not in chosen)):
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
        the largest remainders."""
        ids: dict[str, dict[str, None]] = {}  # an id that comes twice is one sample, and a bad one
        for row in self.of:
            if isinstance(row, Sample) and not self._is_craft(row, together):
                ids.setdefault(str(getattr(row, self.by)) if self.by else "", {})[row.id] = None
        total = sum(map(len, ids.values()))
        if total <= self.take:
            return {name for some in ids.values() for name in some}
        shares = {value: self.take * len(some) / total for value, some in ids.items()}
        counts = {value: int(share) for value, share in shares.items()}
        rest = sorted(shares, key=lambda value: (counts[value] - shares[value], value))
        for value in rest[: self.take - sum(counts.values())]:
            counts[value] += 1
        drawn = {value: sorted(some, key=lambda name: self._chance("take", name)) for value, some in ids.items()}
        return {name for value, some in drawn.items() for name in some[: counts[value]]}

    def _chance(self, what: str, name: str) -> float:
        """A number in 0..1 that is a function of seed and name."""
        digest = hashlib.sha256(f"{self.seed}|{what}|{name}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") / 2**64
