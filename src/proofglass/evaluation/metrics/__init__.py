"""Metrics: the scored rows of a run -> numbers. A table of contents that imports nothing.

What all of them rest on: `success` (the counting rule), `answers` (rows as arrays), `rows` (the frame that a metric
reads), `estimates` (shares and differences with intervals), `compare` (paired tests).
"""

_YES_NO = "proofglass.evaluation.metrics.yes_no:YesNo"
_LEAK = "proofglass.evaluation.metrics.reasoning_leak:ReasoningLeak"
_EFFECT = "proofglass.evaluation.metrics.effects:Effect"

CONTENTS = {
    "rate": "proofglass.evaluation.metrics.rate:SuccessRate",
    "attack-effect": (_EFFECT, {"of": "attack"}),
    "defense-effect": (_EFFECT, {"of": "defense"}),
    "reasoning-leak": _LEAK,
    "reasoning-leak-of-all": (_LEAK, {"of": "all"}),
    "yes-no-accuracy": (_YES_NO, {"figure": "accuracy"}),
    "yes-no-accuracy-of-all": (_YES_NO, {"figure": "accuracy of all"}),
    "yes-no-precision": (_YES_NO, {"figure": "precision"}),
    "yes-no-recall": (_YES_NO, {"figure": "recall"}),
    "yes-no-f1": (_YES_NO, {"figure": "f1"}),
    "yes-no-share-of-yes": (_YES_NO, {"figure": "share of yes"}),
}
