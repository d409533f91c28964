"""Semantic alignment (Auto-Bench, Ji et al. 2023): does the answer mean the same as the right one?"""

from __future__ import annotations

from proofglass.evaluation.judges.llm.rubric import SCENARIO, Question, Rubric, Said, Value, Verdict
from proofglass.interfaces import Paper


def same(said: Said) -> Verdict:
    aligned = said["same"] == "yes"
    return Verdict(float(aligned), "aligned" if aligned else "not aligned")


RUBRIC = Rubric(
    name="auto-bench",
    line="Does the reply mean the same as the right answer (semantic alignment)",
    paper=Paper(
        "Ji et al. 2023",
        "Large Language Models as Automated Aligners for Benchmarking Vision-Language Models",
        "arXiv:2311.14580",
    ),
    tasks={
        SCENARIO: (
            "A question was asked. You see the right answer and a reply. Decide whether the reply means the same as "
            "the right answer to this question; other words for the same thing are the same, and a reply that says "
            "the opposite, or leaves the matter open, is not."
        )
    },
    questions=(Question("same", "does the reply mean the same as the right answer?", words=("yes", "no")),),
    values={"same": Value("means the right answer", "good", same)},
    shows=("question", "reference", "reply"),
    max_new_tokens=64,
)
