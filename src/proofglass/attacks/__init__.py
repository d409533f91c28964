"""Section 4 of the survey: attacks. A table of contents that imports nothing, in the order of Table 2."""

CONTENTS = {
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
    # Instructions to defenses.
    "defense-instruction": "proofglass.attacks.text.defense_instruction:DefenseInstruction",
}
