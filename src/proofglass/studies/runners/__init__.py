"""Runners: who carries out a plan. Each is `run(plan, store, progress)`."""
