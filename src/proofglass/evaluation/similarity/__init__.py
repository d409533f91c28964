"""How alike two texts, or two pictures, are: pure functions, each equal to its reference (benchmarks/metrics_parts)."""
