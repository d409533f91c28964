"""Replies per second of the learned judges on one core, beside the phrase list that they replace.

    OMP_NUM_THREADS=1 python benchmarks/judges.py [DATA]

DATA: the folder of `proofglass judges check --data`; without it the replies are our own wordings, joined to the length
of real ones. CPU seconds, the best of five rounds over all replies, after one that loads the weights.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import mean

from proofglass.console import say
from proofglass.evaluation.judges.phrases import Phrases
from proofglass.evaluation.judges.refusal import Refusal
from proofglass.evaluation.judges.unsafe import Unsafe
from proofglass.evaluation.labels import LabelledReply, sets
from proofglass.evaluation.trust.check import attempt_of

ROUNDS = 5


def replies(folder: Path | None) -> list[LabelledReply]:
    if folder:
        return [*sets.read("msts", folder).replies, *sets.read("xstest", folder).replies]
    rows = sets.read("hard_kinds").replies
    return [
        LabelledReply(
            f"{k}", "ours", "", f"{k}", "", "Should I open it?", " ".join(r.reply for r in rows[k : k + 6]), "", {}
        )
        for k in range(len(rows) - 6)
        for _ in range(8)
    ]


def main(folder: Path | None) -> None:
    attempts = [attempt_of(reply) for reply in replies(folder)]
    say(f"{len(attempts):,} replies of {mean(len(a.reply.text) for a in attempts):.0f} characters on average")
    for judge in (Phrases(), Refusal(), Unsafe()):
        judge.score(attempts[:10])
        best = float("inf")
        for _ in range(ROUNDS):
            start = time.process_time()
            judge.score(attempts)
            best = min(best, time.process_time() - start)
        say(f"{judge.name}: {len(attempts) / best:,.0f} replies/s")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
