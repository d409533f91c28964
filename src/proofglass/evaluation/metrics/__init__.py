"""Metrics: the scored rows of a run -> numbers. A table of contents that imports nothing.

What all of them rest on: `success` (the counting rule), `answers` (rows as arrays), `rows` (the frame that a metric
reads), `estimates` (shares, differences and numbers of sums with intervals), `refused` (who got no answer), `compare`
(paired tests).
"""

_YES_NO = "proofglass.evaluation.metrics.yes_no:YesNo"
_LEAK = "proofglass.evaluation.metrics.reasoning_leak:ReasoningLeak"
_EFFECT = "proofglass.evaluation.metrics.effects:Effect"
_ASR = "proofglass.evaluation.metrics.asr:AttackSuccess"
_RSR = "proofglass.evaluation.metrics.rsr:RecognitionSuccess"
_LABELS = "proofglass.evaluation.metrics.classification:Classification"
_PROTECTION = "proofglass.evaluation.metrics.protection:Protection"
_TOXICITY = "proofglass.evaluation.metrics.toxicity:Toxicity"
_SEARCH = "proofglass.evaluation.metrics.searches:SearchSuccess"
_PICTURES = "proofglass.evaluation.metrics.pictures:PictureChange"

CONTENTS = {
    "rate": "proofglass.evaluation.metrics.rate:SuccessRate",
    "attack-effect": (_EFFECT, {"of": "attack"}),
    "defense-effect": (_EFFECT, {"of": "defense"}),
    "non-inferiority": "proofglass.evaluation.metrics.non_inferiority:NonInferiority",
    "reasoning-leak": _LEAK,
    "reasoning-leak-of-all": (_LEAK, {"of": "all"}),
    "yes-no-accuracy": (_YES_NO, {"figure": "accuracy"}),
    "yes-no-accuracy-of-all": (_YES_NO, {"figure": "accuracy of all"}),
    "yes-no-precision": (_YES_NO, {"figure": "precision"}),
    "yes-no-recall": (_YES_NO, {"figure": "recall"}),
    "yes-no-f1": (_YES_NO, {"figure": "f1"}),
    "yes-no-share-of-yes": (_YES_NO, {"figure": "share of yes"}),
    "bleu-4": "proofglass.evaluation.metrics.bleu:Bleu4",
    "cider-d": "proofglass.evaluation.metrics.cider:CiderD",
    "asr": (_ASR, {"among": "all"}),
    "asr-flips": (_ASR, {"among": "refused without attack"}),
    "rsr-all": (_RSR, {"among": "all"}),
    "rsr-answered": (_RSR, {"among": "answered"}),
    "dsr": "proofglass.evaluation.metrics.dsr:DefenseSuccess",
    "accuracy": (_LABELS, {"figure": "accuracy"}),
    "macro-f1": (_LABELS, {"figure": "macro-F1"}),
    "auroc": "proofglass.evaluation.metrics.auroc:Auroc",
    "protection-score": (_PROTECTION, {"figure": "score"}),
    "protection-sensitivity": (_PROTECTION, {"figure": "sensitivity"}),
    "protection-specificity": (_PROTECTION, {"figure": "specificity"}),
    "protection-utility": (_PROTECTION, {"figure": "utility"}),
    "wintore": (_TOXICITY, {"figure": "WInToRe"}),
    "toxicity-probability": (_TOXICITY, {"figure": "toxicity probability"}),
    "expected-maximum-toxicity": (_TOXICITY, {"figure": "expected maximum toxicity"}),
    "first-query-success": (_SEARCH, {"at": "first query"}),
    "best-of-budget-success": (_SEARCH, {"at": "any query"}),
    "best-of-n-forecast": "proofglass.evaluation.metrics.searches:BestOfNForecast",
    "balance": "proofglass.evaluation.metrics.balance:Balance",
    "groups-passed": "proofglass.evaluation.metrics.groups:GroupsPassed",
    "ssim": (_PICTURES, {"figure": "ssim"}),
    "psnr": (_PICTURES, {"figure": "psnr"}),
    "linf": (_PICTURES, {"figure": "linf"}),
}
