"""The parts of `benchmarks/attack_step.py`."""
