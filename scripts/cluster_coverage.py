"""How often the cluster bootstrap's 95 % interval holds the true rate, by the number of clusters.

    python scripts/cluster_coverage.py

Simulated: each cluster has its own rate, drawn from a beta distribution with a given mean and correlation between rows
of a cluster; the interval is the one that every report shows. Clusters of five rows each, and one in four with twenty
rows where the others have one. The figures stand in docs/counting-rule.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from proofglass.console import say
from proofglass.evaluation.statistics import cluster_bootstrap

TRIALS, DRAWS = 250, 600
MEANS = (0.5, 0.2, 0.1, 0.05)


def coverage(clusters: int, mean: float, correlation: float, sizes: Sequence[int]) -> float:
    """Share of `TRIALS` simulated runs whose interval holds `mean`; sizes: rows of the clusters, in turn."""
    rng = np.random.default_rng(0)
    strength = 1 / correlation - 1
    hits = 0
    for trial in range(TRIALS):
        own = rng.beta(mean * strength, (1 - mean) * strength, clusters)
        rows = rng.permutation([sizes[k % len(sizes)] for k in range(clusters)])
        labels = np.repeat(np.arange(clusters), rows)
        values = (rng.random(labels.size) < own[labels]).astype(float)
        low, high = cluster_bootstrap(values.tolist(), labels.tolist(), seed=trial, draws=DRAWS)
        hits += low <= mean <= high
    return hits / TRIALS


def main() -> None:
    for sizes in ((5,), (1, 1, 1, 20)):
        for correlation in (0.2, 0.9):
            say(f"rows a cluster {sizes}, correlation {correlation}; true rate " + ", ".join(map(str, MEANS)))
            for clusters in (5, 8, 12, 20, 30):
                found = (coverage(clusters, mean, correlation, sizes) for mean in MEANS)
                say(f"{clusters:4d} clusters" + "".join(f"{share:8.2f}" for share in found))


if __name__ == "__main__":
    main()
