"""Threads wait asleep, unless the user chose; their number is nobody's but the user's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOWS = "import os, proofglass; from proofglass import threads; print(os.environ.get('OMP_WAIT_POLICY'));"
SHOWS += "print(threads.described()); print(os.environ.get('OMP_NUM_THREADS'))"


def shown(code: str = SHOWS, **environment: str) -> list[str]:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**clean, **environment}, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_importing_proofglass_before_torch_lets_threads_sleep_and_says_so() -> None:
    policy, said, number = shown()
    assert policy == "PASSIVE"
    assert said.startswith("asleep (OMP_WAIT_POLICY=PASSIVE, set by Proofglass")
    assert number == "None"


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_a_setting_of_the_user_wins(name: str) -> None:
    policy, said, _ = shown(**{name: "7"})
    assert policy == ("7" if name == "OMP_WAIT_POLICY" else "None")
    assert said == f"as you set it: {name}=7"


def test_the_users_number_of_threads_stays() -> None:
    assert shown(OMP_NUM_THREADS="3")[2] == "3"


def test_where_torch_is_loaded_already_nothing_is_touched() -> None:
    # OpenMP has read its settings: a variable set now would do nothing here and something in the host's children.
    policy, said, _ = shown("import sys, types; sys.modules['torch'] = types.ModuleType('torch'); " + SHOWS)
    assert policy == "None"
    assert said.startswith("as torch does by itself")
