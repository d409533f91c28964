"""How the threads of torch wait for each other: asleep, unless the user chose.

OpenMP's threads spin between two pieces of work, which on a machine that does other work too burns the cores that
they wait for: beside two busy processes, `proofglass demo` took five to nine times as long (benchmarks/threads.py).
Sleeping threads are woken instead. Their number stays what it was, so every sum is split as before and no result moves.

OpenMP reads its settings once, when torch is loaded, so `import proofglass` sets one environment variable if torch is
not loaded yet and the user says nothing on the matter; it never changes the number of threads. Children of the process
inherit it. To have it otherwise: OMP_WAIT_POLICY=active in the environment, or import torch first.
"""

from __future__ import annotations

import os
import sys

POLICY = "OMP_WAIT_POLICY"
OF_THE_USER = (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

_ours = False


def wait_asleep() -> None:
    """Let OpenMP's threads sleep while they wait, if that can still be chosen and the user did not."""
    global _ours
    if "torch" not in sys.modules and not any(name in os.environ for name in OF_THE_USER):
        os.environ[POLICY] = "PASSIVE"
        _ours = True


def described() -> str:
    """How threads wait in this process, and who chose it."""
    if _ours and os.environ.get(POLICY) == "PASSIVE":
        return f"asleep ({POLICY}=PASSIVE, set by Proofglass; yours would win)"
    chosen = [f"{name}={os.environ[name]}" for name in OF_THE_USER if name in os.environ]
    if chosen:
        return f"as you set it: {', '.join(chosen)}"
    return "as torch does by itself (it was loaded before Proofglass)"
