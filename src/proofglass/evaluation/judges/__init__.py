"""Judges: reply -> score. A table of contents that imports nothing."""

_LLM = "proofglass.evaluation.judges.llm.judge:LLMJudge"

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
    "bailey2023": (_LLM, {"rubric": "bailey2023"}),
    "mm-safetybench": (_LLM, {"rubric": "mm-safetybench"}),
    "vlsafe-safety": (_LLM, {"rubric": "vlsafe", "value": "safety"}),
    "vlsafe-relevance": (_LLM, {"rubric": "vlsafe", "value": "relevance"}),
    "vlsafe-persuasiveness": (_LLM, {"rubric": "vlsafe", "value": "persuasiveness"}),
    "rtvlm": (_LLM, {"rubric": "rtvlm"}),
    "auto-bench": (_LLM, {"rubric": "auto-bench"}),
    "strongreject": (_LLM, {"rubric": "strongreject"}),
    "harmbench": (_LLM, {"rubric": "harmbench"}),
    "refusal-llm": (_LLM, {"rubric": "refusal-llm"}),
    "mssbench": (_LLM, {"rubric": "mssbench"}),
    "siuo": (_LLM, {"rubric": "siuo"}),
    "win-rate": (_LLM, {"rubric": "win-rate", "orders": True}),
    "own-rubric": _LLM,
}
