"""Fixtures of the report's tests: a full run written once, and a bare one to add cells to."""

from __future__ import annotations

import pytest

from report import fake_run


@pytest.fixture
def store(tmp_path):
    return fake_run.FakeStore(tmp_path / "run")


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    from proofglass.report import write

    run = fake_run.full_run(tmp_path_factory.mktemp("full"), n=40)
    write(run)
    return run
