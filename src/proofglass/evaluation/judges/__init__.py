"""Judges: reply -> score. A table of contents that imports nothing."""

from typing import Any

_GUARD = "proofglass.evaluation.judges.guard:Guard"
_GUARDS = (
    "llama-guard-3-vision", "llama-guard-4", "shieldgemma-2", "llavaguard", "qwen3guard", "granite-guardian",
    "nemotron-content-safety",
)  # fmt: skip

_TOXICITY = "proofglass.evaluation.judges.toxicity:Toxicity"
# Of Detoxify's two later heads the first seven labels are toxic; the others are groups that a text speaks of.
_SEVEN = (
    "toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit",
)  # fmt: skip
_DETOXIFY: dict[str, Any] = {"activation": "sigmoid"}

_LLM = "proofglass.evaluation.judges.llm.judge:LLMJudge"

CONTENTS: dict[str, str | tuple[str, dict[str, Any]]] = {
    "refusal": "proofglass.evaluation.judges.refusal:Refusal",
    "not-refused": "proofglass.evaluation.judges.refusal:NotRefused",
    "unsafe": "proofglass.evaluation.judges.unsafe:Unsafe",
    "phrases": "proofglass.evaluation.judges.phrases:Phrases",
    "forbidden-phrases": "proofglass.evaluation.judges.forbidden_phrases:ForbiddenPhrases",
    "testbed-content": "proofglass.evaluation.judges.testbed_content:TestbedContent",
    "target-string": "proofglass.evaluation.judges.target_string:TargetString",
    "tool-call": "proofglass.evaluation.judges.tool_call:ToolCall",
    "next-action": "proofglass.evaluation.judges.next_action:NextAction",
    "misled": "proofglass.evaluation.judges.misled:Misled",
    "yes-no": "proofglass.evaluation.judges.yes_no:YesNo",
    "p-yes": "proofglass.evaluation.judges.p_yes:PYes",
    "answer-match": "proofglass.evaluation.judges.answer_match:AnswerMatch",
    "wrong-answer": "proofglass.evaluation.judges.wrong_answer:WrongAnswer",
    "token-f1": "proofglass.evaluation.judges.token_f1:TokenF1",
    "exact-match": "proofglass.evaluation.judges.exact_match:ExactMatch",
    "rouge": "proofglass.evaluation.judges.rouge:Rouge",
    "vqa-accuracy": "proofglass.evaluation.judges.vqa_accuracy:VqaAccuracy",
    "multiple-choice": "proofglass.evaluation.judges.multiple_choice:MultipleChoice",
    "reasoning": "proofglass.evaluation.judges.reasoning:Reasoning",
    "prompt-leak": "proofglass.evaluation.judges.prompt_leak:PromptLeak",
    "keyword-turns": "proofglass.evaluation.judges.keyword_turns:KeywordTurns",
    **{name: (_GUARD, {"contract": name}) for name in _GUARDS},
    "toxicity": (_TOXICITY, {"threshold": None}),  # a number, as the metrics of ToViLaG need it
    "input-toxicity": (_TOXICITY, {"source": "question", "threshold": None}),
    "toxic-bert": (_TOXICITY, {"model": "unitary/toxic-bert", **_DETOXIFY}),
    "unbiased-toxic-roberta": (
        _TOXICITY,
        {"model": "unitary/unbiased-toxic-roberta", "revision": "refs/pr/2", "labels": _SEVEN, **_DETOXIFY},
    ),
    "multilingual-toxic-xlm-roberta": (
        _TOXICITY,
        {"model": "unitary/multilingual-toxic-xlm-roberta", "labels": _SEVEN, **_DETOXIFY},
    ),
    "granite-guardian-hap": (_TOXICITY, {"model": "ibm-granite/granite-guardian-hap-38m", "activation": "softmax"}),
    "perspective": "proofglass.evaluation.judges.perspective:Perspective",
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
