"""Section 4 of the survey: attacks. A table of contents that imports nothing, in the order of Table 2."""

CONTENTS = {
    "no-attack": "proofglass.attacks.references:NoAttack",
    "random-noise": "proofglass.attacks.references:RandomNoise",
    "pgd": "proofglass.attacks.image.pgd:PGD",
    "qi2023": "proofglass.attacks.image.qi2023:Qi2023",
    "figstep": "proofglass.attacks.injection.figstep:FigStep",
}
