"""Judges: reply -> score. A table of contents that imports nothing."""

_GUARD = "proofglass.evaluation.judges.guard:Guard"
_GUARDS = (
    "llama-guard-3-vision", "llama-guard-4", "shieldgemma-2", "llavaguard", "qwen3guard", "granite-guardian",
    "nemotron-content-safety",
)  # fmt: skip

CONTENTS = {
    "refusal": "proofglass.evaluation.judges.refusal:Refusal",
    "not-refused": "proofglass.evaluation.judges.refusal:NotRefused",
    "unsafe": "proofglass.evaluation.judges.unsafe:Unsafe",
    "phrases": "proofglass.evaluation.judges.phrases:Phrases",
    "testbed-content": "proofglass.evaluation.judges.testbed_content:TestbedContent",
    "target-string": "proofglass.evaluation.judges.target_string:TargetString",
    "tool-call": "proofglass.evaluation.judges.tool_call:ToolCall",
    "misled": "proofglass.evaluation.judges.misled:Misled",
    "yes-no": "proofglass.evaluation.judges.yes_no:YesNo",
    "answer-match": "proofglass.evaluation.judges.answer_match:AnswerMatch",
    "wrong-answer": "proofglass.evaluation.judges.wrong_answer:WrongAnswer",
    "keyword-turns": "proofglass.evaluation.judges.keyword_turns:KeywordTurns",
    **{name: (_GUARD, {"contract": name}) for name in _GUARDS},
}
