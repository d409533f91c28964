"""What every file of the repository keeps to."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "tests", "benchmarks", "scripts", "recipes", "examples")


def test_no_python_file_has_more_than_400_lines() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert len(lines) > 500  # the folders are there
    assert {name: n for name, n in lines.items() if n > 400} == {}


def test_no_property_fails_because_the_machine_is_busy() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
