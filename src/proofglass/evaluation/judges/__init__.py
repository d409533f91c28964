"""Judges: reply -> score. A table of contents that imports nothing."""

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
    "reasoning": "proofglass.evaluation.judges.reasoning:Reasoning",
    "keyword-turns": "proofglass.evaluation.judges.keyword_turns:KeywordTurns",
}
