"""Section 4 of the survey: attacks. A table of contents that imports nothing, in the order of Table 2."""

from typing import Any

_WU = "proofglass.attacks.text.enhancers:Enhancers"
_OFF = {"scenario": False, "emotion": False, "suppression": False, "prefix": False}

CONTENTS: dict[str, str | tuple[str, dict[str, Any]]] = {
    # References: what every attack is compared with at an equal budget.
    "no-attack": "proofglass.attacks.references:NoAttack",
    "random-noise": "proofglass.attacks.references:RandomNoise",
    "pgd": "proofglass.attacks.image.pgd:PGD",
    "apgd": "proofglass.attacks.image.apgd:APGD",
    "square": "proofglass.attacks.image.square:Square",
    "black-box-pgd": "proofglass.attacks.image.black_box_pgd:BlackBoxPGD",
    # Adversarial images.
    "carlini2023": "proofglass.attacks.image.carlini2023:Carlini2023",
    "shayegani2023": "proofglass.attacks.image.shayegani2023:Shayegani2023",
    "dong2023": "proofglass.attacks.image.dong2023:Dong2023",
    "qi2023": "proofglass.attacks.image.qi2023:Qi2023",
    "tu2023": "proofglass.attacks.image.tu2023:Tu2023",
    "cropa": "proofglass.attacks.image.cropa:CroPA",
    "bagdasaryan2023": "proofglass.attacks.image.bagdasaryan2023:Bagdasaryan2023",
    "schlarmann2023": "proofglass.attacks.image.schlarmann2023:Schlarmann2023",
    "bailey2023": "proofglass.attacks.image.bailey2023:Bailey2023",
    "fu2023": "proofglass.attacks.image.fu2023:Fu2023",
    # Visual prompt injection.
    "figstep": "proofglass.attacks.injection.figstep:FigStep",
    "figstep-pro": "proofglass.attacks.injection.figstep_pro:FigStepPro",
    "mm-safetybench": "proofglass.attacks.injection.mm_safetybench:MMSafetyBenchAttack",
    "chen2023b-overlay": "proofglass.attacks.injection.chen2023b:Chen2023bOverlay",
    "third-party-text": "proofglass.attacks.injection.third_party:ThirdPartyText",
    "downscale-injection": "proofglass.attacks.injection.hidden:DownscaleInjection",
    "best-of-n-image": "proofglass.attacks.injection.best_of_n:BestOfNImage",
    # Malicious text: written by hand, or by a model.
    "wu2023": _WU,
    "prefix-injection": (_WU, {**_OFF, "prefix": True}),
    "refusal-suppression": (_WU, {**_OFF, "suppression": True}),
    "hypothetical-scenario": (_WU, {**_OFF, "scenario": True}),
    "emotional-appeal": (_WU, {**_OFF, "emotion": True}),
    "prompt-theft": "proofglass.attacks.text.prompt_theft:PromptTheft",
    "sasp": "proofglass.attacks.text.sasp:SASP",
    "chen2023b-prefix": "proofglass.attacks.text.chen2023b:PersonaPrefix",
    "chen2023b-two-hop": "proofglass.attacks.text.chen2023b:TwoHop",
    "best-of-n-text": "proofglass.attacks.text.best_of_n:BestOfNText",
    "text-template": "proofglass.attacks.text.template:TextTemplate",
    # Malicious text: found by a search over tokens.
    "qi2023-text": "proofglass.attacks.text.qi2023:Qi2023Text",
    "tu2023-text": "proofglass.attacks.text.tu2023:Tu2023Text",
    "gcg": "proofglass.attacks.text.gcg:GCG",
    "hotflip": "proofglass.attacks.text.hotflip:HotFlip",
    "arca": "proofglass.attacks.text.arca:ARCA",
    "t-pgd": "proofglass.attacks.text.t_pgd:TPGD",
    # Instructions to defenses.
    "defense-instruction": "proofglass.attacks.text.defense_instruction:DefenseInstruction",
}
