"""How far a judge can be trusted: measured against people, and by whether its verdict holds when it should.

agreement   verdicts against labels: accuracy, sensitivity, specificity, kappa, with intervals that know clusters
flips       verdicts against verdicts: the same reply again, written a little differently, or wrapped
check       both, of one judge on label sets: what `proofglass judges check` prints
"""
