"""Yes-or-no questions: accuracy, precision, recall, F1 and the share of yes. Yes is the positive answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class YesNoCounts:
    """How often each answer was given, and whether rightly. A figure without a denominator is None, never 0.

    invalid: replies that say neither. Source: POPE's figures as Tu et al. 2023's code computes them (theirs divides by
    zero where ours says None). Invalid replies are in the denominator of `yes_ratio` alone, as there, so a victim that
    evades looks better by `accuracy` than it is; `accuracy_of_all` counts them as wrong.
    """

    true_yes: int = 0
    false_yes: int = 0
    true_no: int = 0
    false_no: int = 0
    invalid: int = 0

    @property
    def answered(self) -> int:
        return self.true_yes + self.false_yes + self.true_no + self.false_no

    @property
    def accuracy(self) -> float | None:
        return _share(self.true_yes + self.true_no, self.answered)

    @property
    def accuracy_of_all(self) -> float | None:
        return _share(self.true_yes + self.true_no, self.answered + self.invalid)

    @property
    def precision(self) -> float | None:
        return _share(self.true_yes, self.true_yes + self.false_yes)

    @property
    def recall(self) -> float | None:
        return _share(self.true_yes, self.true_yes + self.false_no)

    @property
    def f1(self) -> float | None:
        """2 P R / (P + R), written as 2 TP / (2 TP + FP + FN), which is 0 where no yes is right."""
        return _share(2 * self.true_yes, 2 * self.true_yes + self.false_yes + self.false_no)

    @property
    def yes_ratio(self) -> float | None:
        return _share(self.true_yes + self.false_yes, self.answered + self.invalid)

    def figures(self) -> dict[str, float | None]:
        """All six by name."""
        names = ("accuracy", "accuracy_of_all", "precision", "recall", "f1", "yes_ratio")
        return {name: getattr(self, name) for name in names}


def count_yes_no(rows: Iterable[Mapping[str, Any]]) -> YesNoCounts:
    """Counts of the judge `yes-no`: each row has its `label` and `value`.

    Label "yes" or "no" is what was said, value 1 or 0 whether it was right; label "invalid" counts apart; rows with
    another label (errors, samples without an answer) were not judged and are left out.
    """
    count = {"true_yes": 0, "false_yes": 0, "true_no": 0, "false_no": 0, "invalid": 0}
    for row in rows:
        if row["label"] == "invalid":
            count["invalid"] += 1
        elif row["label"] in ("yes", "no") and row["value"] is not None:
            count[f"{'true' if row['value'] == 1 else 'false'}_{row['label']}"] += 1
    return YesNoCounts(**count)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
