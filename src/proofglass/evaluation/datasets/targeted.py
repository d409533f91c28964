"""Another data set with a text that an attack is to make the model say: its right answer, as far as it has one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from proofglass.interfaces import Checked, Dataset, passed_on
from proofglass.types import BadSample, Sample


def _has_answer(template: str, field: str) -> None:
    if template.count("{answer}") != 1:
        raise ValueError(f"{field}: expected {{answer}} in it once, found {template!r}")


@dataclass(frozen=True)
class Targeted(Dataset):
    """`of`, where the target of each sample is its first right answer: what it keeps, for an attack that wants it told.

    Such as PrivQA's questions about protected people, for `pgd`: what they are asked to keep becomes what the picture
    is optimised to bring out. A sample that has no answer is a bad sample.

    of: the data set. template: the target, with {answer}. only_protected: leaves out every sample that is not expected
    to be kept ("protect") or refused, of which the attack would want nothing.
    """

    name = "targeted"
    licence = passed_on("of", "licence")
    judges = passed_on("of", "judges")
    metrics = passed_on("of", "metrics")
    borderline = passed_on("of", "borderline")

    of: Dataset
    template: Annotated[str, Checked(_has_answer, "{answer} in it once")] = "{answer}"
    only_protected: bool = True

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for row in self.of:
            if isinstance(row, BadSample):
                yield row
            elif self._is_wanted(row):
                yield self._aimed(row)

    def crafting(self) -> Iterator[Sample]:
        """Likewise; those without an answer are left out, as attacks cannot use them."""
        for sample in self.of.crafting():
            if self._is_wanted(sample) and isinstance(aimed := self._aimed(sample), Sample):
                yield aimed

    def _is_wanted(self, sample: Sample) -> bool:
        return not self.only_protected or sample.expected in ("protect", "refuse")

    def _aimed(self, sample: Sample) -> Sample | BadSample:
        answer = next((text for text in sample.references if text.strip()), "")
        if not answer:
            return BadSample(sample.id, sample.dataset, "no right answer that could be a target", sample.category)
        return replace(sample, target=self.template.replace("{answer}", answer))
