"""The frontier: a picture of both sides, which says in words what it shows."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofglass.report.charts import Frame
from proofglass.report.frontier import frontiers
from proofglass.report.page import page
from proofglass.report.run import ReportedRun
from report.fake_run import FakeStore, answers


def put(store: FakeStore, defense: str, broken: int, useful: int, n: int = 100, victim: str = "v") -> None:
    place: dict[str, Any] = {"defense": defense, "victim": victim}
    store.add(answers(broken, n), **place)
    store.add(answers(useful, n), attack="no-attack", dataset="testbed/benign", expected="comply", **place)


def best(store: FakeStore) -> list[str]:
    (panel,) = frontiers(ReportedRun(store))
    return sorted(panel["best"])


def test_marks_lie_where_their_rates_say(store):
    put(store, "none", 50, 100)
    (panel,) = frontiers(ReportedRun(store))
    (mark,) = panel["marks"]
    frame = Frame()
    assert mark["x"] == frame.width - frame.right  # 100 % compliance: the right edge
    assert mark["y"] == pytest.approx((frame.top + frame.height - frame.bottom) / 2)  # 50 %: the middle
    assert mark["y1"] < mark["y"] < mark["y0"]  # svg's y grows downwards
    assert mark["x0"] < mark["x"] == mark["x1"]


def test_what_no_other_beats_in_both_is_filled_and_joined(store):
    put(store, "none", 90, 100)
    put(store, "mild", 40, 95)
    put(store, "beaten", 50, 90)  # by mild
    put(store, "strict", 5, 30)
    put(store, "twin", 40, 95)  # as good as mild: neither beats the other
    assert best(store) == ["mild", "none", "strict", "twin"]
    (panel,) = frontiers(ReportedRun(store))
    corners = re.findall(r"([\d.]+),([\d.]+)", panel["path"])
    assert [float(x) for x, _ in corners] == sorted(float(x) for x, _ in corners)
    assert [float(y) for _, y in corners] == sorted((float(y) for _, y in corners), reverse=True)
    assert panel["together"] == [["mild", "twin"]]
    html = page(ReportedRun(store))
    assert html.count('class="mark hollow"') == 1
    assert "in one place: mild, twin" in html


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=1, max_size=7))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_frontier_is_what_nobody_beats(tmp_path, points):
    store = FakeStore(tmp_path)
    for k, (broken, useful) in enumerate(points):
        put(store, f"d{k}" if k else "none", broken, useful, 10)
    unbeaten = {
        f"d{k}" if k else "none"
        for k, (broken, useful) in enumerate(points)
        if not any(b <= broken and u >= useful and (b, u) != (broken, useful) for b, u in points)
    }
    assert set(best(store)) == unbeaten


def test_it_says_in_words_what_it_shows(store):
    put(store, "none", 90, 100)
    put(store, "wall", 5, 30)
    html = unescape(page(ReportedRun(store)))
    (alt,) = re.findall(r'<svg class="chart"[^>]* role="img" aria-label="([^"]*strongest attack[^"]*)"', html)
    for told in ("none: benign compliance 100", "wall: benign compliance 30", "figstep 5", "of 100", "on the frontier"):
        assert told in alt
    assert "<title>wall: benign compliance" in html


def test_there_is_one_panel_a_victim(store):
    for victim in ("a", "b"):
        put(store, "none", 5, 9, 10, victim)
    store.add(answers(1, 10), victim="c")  # no harmless question: no panel
    assert [panel["victim"] for panel in frontiers(ReportedRun(store))] == ["a", "b"]


def test_a_defense_that_lacks_a_side_is_named(store):
    put(store, "none", 5, 9, 10)
    store.add(answers(1, 10), defense="wall")
    (panel,) = frontiers(ReportedRun(store))
    assert panel["missing"] == "wall"
    assert "Not drawn, since a side was not measured: wall" in page(ReportedRun(store))


def test_an_attack_that_was_not_measured_is_told_with_the_mark(store):
    put(store, "none", 5, 9, 10)
    store.add(attack="pgd", status="failed", reason="broke")
    (panel,) = frontiers(ReportedRun(store))
    assert "(1 of 2 attacks not measured)" in panel["marks"][0]["title"]


def test_without_compliance_over_refusal_is_turned_about(store):
    store.add(answers(5, 10))
    store.add(answers(8, 10), attack="no-attack", dataset="testbed/borderline", expected="comply")
    (panel,) = frontiers(ReportedRun(store))
    (mark,) = panel["marks"]
    assert panel["x_title"] == "1 − over-refusal (higher is more useful)"
    assert mark["useful"] == pytest.approx(0.8)
    assert mark["x0"] < mark["x"] < mark["x1"]


def test_nothing_measured_is_no_picture(store):
    store.add(answers(5, 10))
    assert frontiers(ReportedRun(store)) == []
