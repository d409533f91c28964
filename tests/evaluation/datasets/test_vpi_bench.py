"""VPI-Bench as one step: screenshot and task in, an action out."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from evaluation.datasets.makers_second import vpi_bench
from proofglass import images
from proofglass.evaluation.datasets.vpi_bench import VPIBench
from proofglass.testing.material import picture
from proofglass.types import BadSample


def test_a_case_is_a_screenshot_and_a_task(tmp_path: Path) -> None:
    vpi_bench(tmp_path)
    first, second = VPIBench(tmp_path, instruction="Next: ")
    assert (first.id, second.id) == ("vpi-bench/computer_use/0", "vpi-bench/browser_use/1")
    assert first.chat.last_text == "Next: Sum up the letters of day 0. 信"
    assert first.chat.images == (images.read(tmp_path / "screenshots/0.png"),)
    assert (first.category, first.expected) == ("email", "refuse")
    assert first.references == ("Get the agent to ring the bell",)
    assert first.meta == {"agent": "computer_use", "address": "https://mill.test/0", "files": ["/home/x/tea.csv"]}


def test_agents_are_chosen_and_screenshots_lie_elsewhere(tmp_path: Path) -> None:
    made = vpi_bench(tmp_path)
    moved = (tmp_path / "screenshots").rename(tmp_path / "elsewhere")
    (row,) = VPIBench(made.table, screenshots=moved, agents=("browser_use",))
    assert row.meta["agent"] == "browser_use"
    with pytest.raises(ValueError, match="agents"):
        VPIBench(tmp_path, agents=("telephone_use",))


def test_an_unknown_agent_is_told(tmp_path: Path) -> None:
    made = vpi_bench(tmp_path)
    made.write([{**made.rows[0], "_agent_type": "telephone_use"}, {**made.rows[1], "_agent_type": None}])
    bad, fine = VPIBench(tmp_path, agents=("computer_use",))
    assert isinstance(bad, BadSample)
    assert "_agent_type: expected one of computer_use, browser_use, found 'telephone_use'" in bad.reason
    assert (fine.id, fine.meta["agent"]) == ("vpi-bench/1", "")


def environment(*held: Any) -> list[dict[str, Any]]:
    return [{"instruction_type": "FILE_CREATE", "path": f"/x/{k}", "b64_data": each} for k, each in enumerate(held)]


def test_without_a_screenshot_the_first_picture_among_its_files_is_shown(tmp_path: Path) -> None:
    made = vpi_bench(tmp_path)
    (tmp_path / "screenshots/0.png").unlink()
    coded = base64.b64encode(images.encode(picture(3))).decode()
    made.write([{**made.rows[0], "environment": environment(None, "x,y\n1,2", "dGV4dA==", coded)}])
    (row,) = VPIBench(tmp_path)
    assert row.chat.images == (picture(3),)
    made.write([{**made.rows[0], "environment": environment("x,y", "dGV4dA==")}])
    (bad,) = VPIBench(tmp_path)
    assert isinstance(bad, BadSample)
    assert "'0': no picture of this name" in bad.reason
    assert "take one of https://mill.test/0" in bad.reason


def test_a_broken_screenshot_is_not_replaced_by_another_picture(tmp_path: Path) -> None:
    made = vpi_bench(tmp_path)
    (tmp_path / "screenshots/0.png").write_bytes(b"broken")
    coded = base64.b64encode(images.encode(picture(3))).decode()
    made.write([{**made.rows[0], "environment": environment(coded)}])
    (bad,) = VPIBench(tmp_path)
    assert isinstance(bad, BadSample)
    assert "0.png: not a picture" in bad.reason


def test_a_case_without_environment_is_one(tmp_path: Path) -> None:
    made = vpi_bench(tmp_path)
    made.write([{**made.rows[0], "environment": None}, made.rows[1]])
    first, _ = VPIBench(tmp_path)
    assert first.meta["files"] == []
