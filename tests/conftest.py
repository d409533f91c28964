"""For all tests: no network, no user's cache, one thread, no deadlines (nothing depends on the machine's load)."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import shapes

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Hypothesis fails an example that takes 200 ms, and then says that it does not when tried again: the first one may
# import a package, and a worker may wait for a core.
settings.register_profile("proofglass", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("proofglass")
shapes.install()  # every white-box victim is held to the shapes of its port


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Two workers on two cores: more threads than one each only wait for each other."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


_frozen_at = 0


@pytest.fixture(autouse=True)
def _packages_are_no_garbage() -> None:
    """Every run ends with a collection, which looks at half a million objects of packages that stay: 0.3 s each. After
    many new imports whatever is there is left out of it; what a test makes afterwards is collected as ever."""
    global _frozen_at
    if len(sys.modules) > _frozen_at + 100:
        gc.collect()
        gc.freeze()
        _frozen_at = len(sys.modules)


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory: commands write `runs/` there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def proofglass(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """The command line, in this process: its words -> (exit code, standard output, standard error)."""
    from proofglass.cli import main as cli

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["proofglass", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call
