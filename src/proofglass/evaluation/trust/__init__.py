"""How far a judge can be trusted: measured against people, and by whether its verdict holds when it should.

panel       labelled rows shown to a judge
agreement   verdicts against labels: accuracy, sensitivity, specificity, kappa, with intervals that know clusters
roc         probabilities against labels: areas, the curve, what a threshold costs that other questions chose
flips       verdicts against verdicts: the same reply again; again.py: written a little differently, or wrapped
check       all of it, of one judge on label sets: what `proofglass judges check` prints
modes       a judge in every mode that it has
"""
