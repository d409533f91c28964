"""All that a search has so far: a checkpoint is this, and nothing else decides how it goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from proofglass.engine.batch import Batch, beneath, prefixed
from proofglass.engine.course import Course, Row
from proofglass.engine.points import rows_of

if TYPE_CHECKING:
    import torch


@dataclass
class Standing:
    """rows: what is known of every picture; best, rank: every picture's iterate of the restart that counts, and what
    that goes by (lower is better). course, batch: where the search stands, and the pictures that are still running."""

    rows: list[Row]
    best: dict[str, torch.Tensor]
    rank: torch.Tensor
    course: Course
    batch: Batch

    @property
    def running(self) -> list[Row]:
        return [self.rows[b] for b in self.course.running]

    def retire(self, places: list[int], *, takes_last: bool) -> None:
        """These places of the batch are finished: hand over their pictures, go on with the others.

        takes_last: the last iterate is what counts, unless a check found a success.
        """
        for k in places:
            b, row = self.course.running[k], self.rows[self.course.running[k]]
            succeeded = float(self.batch.rank[k]) == -math.inf
            last = takes_last and not succeeded
            rank = (row.losses or [math.inf])[-1] if last else float(self.batch.rank[k])
            rank = math.inf if math.isnan(rank) else rank
            if self.course.restart == 0 or rank < float(self.rank[b]):
                for name, x in (self.batch.x if last else self.batch.kept).items():
                    self.best[name][b] = x[k]
                self.rank[b] = rank
                row.kept_losses, row.kept_judged = row.losses, row.judged
                unlooked = not row.losses  # its budget did not pay a look at the start
                row.unseen_end = (last or succeeded or unlooked) and len(row.losses) <= self.course.step
        rest = [k for k in range(len(self.course.running)) if k not in places]
        self.batch = self.batch.take(rest)
        self.course.running = [self.course.running[k] for k in rest]

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, torch.Tensor]:
        return self.batch.tensors() | prefixed("best", self.best) | {"best rank": self.rank}

    def facts(self, elapsed: float) -> dict[str, Any]:
        """What is no tensor, JSON-able. elapsed: seconds so far."""
        return {
            "course": asdict(self.course) | {"elapsed": elapsed},
            "rows": [asdict(row) for row in self.rows],
        }

    @classmethod
    def of(
        cls, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any], x0: Mapping[str, torch.Tensor]
    ) -> Standing:
        """The opposite of `tensors` and `facts`. x0: the clean pictures of all rows."""
        course = Course(**facts["course"])
        return cls(
            [Row(**row) for row in facts["rows"]],
            beneath("best", tensors),
            tensors["best rank"],
            course,
            Batch.of(tensors, rows_of(x0, course.running)),
        )
