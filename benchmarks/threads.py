"""What waiting threads cost beside other work: CPU seconds of `proofglass demo`, alone and beside busy processes.

    python benchmarks/threads.py [--repeats 3] [--busy 2]

CPU time, user and system, of the command and its threads (`wait4`), the lowest of the repeats; never wall time, so that
it can be run on a shared machine. The goal is a ratio within 1.5. Each way of waiting is measured: as shipped (asleep),
and spinning, as OpenMP does by itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from proofglass.console import say
from proofglass.threads import OF_THE_USER, POLICY

GOAL = 1.5
WAYS = {"asleep (as shipped)": {}, "spinning": {POLICY: "ACTIVE"}}


def cpu_seconds(setting: Mapping[str, str]) -> float:
    """User and system seconds of one `proofglass demo`, in a process of its own under `setting`."""
    own = {name: value for name, value in os.environ.items() if name not in (*OF_THE_USER, "OMP_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "proofglass", "demo", "--out", str(Path(folder) / "demo")]
        quiet = subprocess.DEVNULL
        demo = subprocess.Popen(command, env={**own, **setting}, stdout=quiet, stderr=quiet)
        _, status, used = os.wait4(demo.pid, 0)
        demo.returncode = os.waitstatus_to_exitcode(status)
    if demo.returncode:
        raise RuntimeError(f"proofglass demo: exit {demo.returncode}")
    return used.ru_utime + used.ru_stime


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that compute without end."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 2, help="busy processes; default: one per core")
    asked = parser.parse_args()
    say(f"{os.cpu_count()} cores, {asked.busy} busy processes, lowest of {asked.repeats}, CPU seconds of `demo`")
    ratios = {}
    for way, setting in WAYS.items():
        alone = min(cpu_seconds(setting) for _ in range(asked.repeats))
        with busy(asked.busy):
            beside = min(cpu_seconds(setting) for _ in range(asked.repeats))
        ratios[way] = beside / alone
        say(f"{way:20} alone {alone:6.1f}  beside {beside:6.1f}  ratio {beside / alone:.2f}")
    return 0 if ratios["asleep (as shipped)"] <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
