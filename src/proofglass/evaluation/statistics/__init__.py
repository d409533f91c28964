"""Chance, told honestly: intervals, paired tests, families of tests, and how much data a question needs.

rates     Wilson, Clopper-Pearson, Newcombe, and the interval for rows that share clusters, for many cells at once
paired    the same samples under two systems: McNemar, sign flips by cluster, Cochran's Q, interval of the difference
families  p values of several tests that are read together: Holm, Benjamini-Hochberg, Bonferroni
bootstrap intervals of what is no mean of rows: clusters drawn again
ranking   area under the ROC curve, average precision, and their intervals
planning  rows for a wanted width, pairs for a wanted power, non-inferiority
"""

from proofglass.evaluation.statistics.bootstrap import bootstrap, bootstrap_rows
from proofglass.evaluation.statistics.families import benjamini_hochberg, bonferroni, holm
from proofglass.evaluation.statistics.paired import cochran_q, mcnemar, paired_differences, sign_flip
from proofglass.evaluation.statistics.planning import non_inferiority, paired_power, pairs_for_power, rows_for_width
from proofglass.evaluation.statistics.rates import clopper_pearson, clustered_rates, wilson

__all__ = [
    "benjamini_hochberg",
    "bonferroni",
    "bootstrap",
    "bootstrap_rows",
    "clopper_pearson",
    "clustered_rates",
    "cochran_q",
    "holm",
    "mcnemar",
    "non_inferiority",
    "paired_differences",
    "paired_power",
    "pairs_for_power",
    "rows_for_width",
    "sign_flip",
    "wilson",
]
