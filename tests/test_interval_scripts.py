"""The scripts that measure intervals, counting and planning, in the small: they print what the docs say of them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def _script(path: str):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def coverage():
    return _script("scripts/interval_coverage.py")


def test_a_corner_of_the_coverage_table_holds_what_the_docs_promise(coverage):
    points = list(coverage.points(trials=400, quick=True))
    # 400 runs: a true 94 % shows 90.5 % once in a thousand times
    assert min(point.coverage for point in points if not point.few) > 0.905
    assert min(point.coverage for point in points) > 0.88
    assert min(point.bootstrap for point in points) < 0.5
    assert max(point.width for point in points if point.clusters == 30) < 0.5


def test_the_quick_table_is_printed(coverage, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["interval_coverage.py", "--quick"])
    coverage.main()
    printed = capsys.readouterr().out
    assert "200 settings, 200 runs each" in printed
    assert "| 30 | no |" in printed
    assert "Paired differences:" in printed


@pytest.mark.parametrize("shape", ["even", "one in four has 20 x", "geometric", "log-normal"])
@pytest.mark.parametrize(("clusters", "n"), [(2, 100), (7, 100), (60, 100), (100, 1000)])
def test_simulated_clusters_share_out_all_rows(coverage, shape, clusters, n):
    sizes = coverage.sizes(shape, clusters, n)
    assert sizes.sum() == n
    assert sizes.min() >= 1
    assert sizes.size == clusters


def test_the_three_kinds_have_the_rate_they_are_asked_for(coverage):
    drawn = coverage.three_kinds(np.random.default_rng(0), 0.2, 0.5, (4000, 10))
    assert drawn.mean() == pytest.approx(0.2, abs=0.01)


def test_the_benchmark_counts_what_it_made(monkeypatch, capsys, tmp_path):
    benchmark = _script("benchmarks/million_rows.py")
    monkeypatch.setattr(sys, "argv", ["million_rows.py", "--rows", "13000", "--json", str(tmp_path / "figures.json")])
    benchmark.main()
    told = json.loads((tmp_path / "figures.json").read_text())
    assert (told["rows"], told["cells"], told["comparisons"]) == (13_000, 1300, 1170 + 1200 + 5850)
    assert "peak_mib" in capsys.readouterr().out


def test_the_benchmark_of_a_plan_reads_every_row_and_shares_them_among_its_cells():
    benchmark = _script("benchmarks/plan_rows.py")
    found = benchmark.planned(2_500)  # more than are kept: read again, chunk by chunk
    assert (found["rows"], found["cells"]) == (2_500, 4)
    assert found["grown_mib"] >= 0
    assert benchmark.listed(10)["kept"] == 10


def test_the_loading_benchmark_prints_what_the_docs_show():
    command = [sys.executable, str(ROOT / "benchmarks" / "loading.py"), "--pictures", "3", "--rows", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    pictures, table, plan = done.stdout.splitlines()
    assert "3 samples" in pictures
    assert "40 samples" in table
    assert "plan of a study" in plan
    assert all("peak" in line for line in (pictures, table, plan))


def test_the_coverage_of_the_forecast_is_printed(monkeypatch, capsys):
    forecasts = _script("scripts/forecast_coverage.py")
    monkeypatch.setattr(forecasts, "SIZES", ((20, 10, False), (20, 10, True)))
    monkeypatch.setattr(forecasts, "MANY", 1000)
    forecasts.main(1)
    printed = capsys.readouterr().out
    assert "20 samples, N = 10, until the first success; 1 runs each" in printed
    assert printed.count("| log-normal, .02, spread 1 |") == 2
    assert "of 21 runs; in the worst case " in printed  # nine worlds twice, three laws once


def test_a_planted_power_law_gives_way_as_often_as_it_says():
    forecasts = _script("scripts/forecast_coverage.py")
    found = forecasts.by_law(3.0, 0.3, 40_000, 100, np.random.default_rng(0))
    # exp(-3 x 100^-.3) = .471
    assert abs(np.mean([each.successes for each in found]) - 0.471) < 0.01
