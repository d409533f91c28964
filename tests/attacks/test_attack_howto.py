"""The white-box attack of docs/attack-howto.md: its code blocks run in order, its tests pass, its claims hold."""

from __future__ import annotations

import pytest

from docs_blocks import ROOT, blocks_of
from proofglass.errors import UsageError
from proofglass.interfaces import Victim
from proofglass.types import Budget


@pytest.fixture(scope="module")
def page():
    """The names that the page's code makes, run from top to bottom."""
    names: dict = {"__name__": "attack_howto"}
    for block in blocks_of(ROOT / "docs" / "attack-howto.md"):
        if block.language == "python":
            exec(compile(block.code, block.place, "exec", dont_inherit=True), names)
    return names


def test_every_block_of_the_page_runs_and_so_do_its_tests(page, capsys):
    tests = [value for name, value in page.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


def test_the_page_quotes_the_error_that_is_raised(page):
    text = (ROOT / "docs" / "attack-howto.md").read_text()
    with pytest.raises(ValueError, match="epsilon") as error:
        page["Shaken"](epsilon=16)
    assert f"print(error)  # {error.value}" in text


def test_it_measures_something_and_its_budget_is_kept(page):
    assert page["rates"]["testbed-content"].n == 4
    attack, (sample, _) = page["Shaken"](draws=2), page["samples"]
    (made,) = attack.craft(page["victim"], [sample], seed=0, budget=Budget(30))
    assert made.cost.equivalents == 30  # five steps of two shifts, each a forward and a backward pass
    (none,) = attack.craft(page["victim"], [sample], seed=0, budget=Budget(0, "seconds"))
    assert none.cost.equivalents == 0


def test_a_victim_that_gives_replies_only_is_refused_with_what_to_do(page):
    class Closed(Victim):
        name = key = "closed"

        def reply(self, asks):
            raise AssertionError("asked")

    with pytest.raises(UsageError, match="shaken: needs gradients, and closed gives replies only"):
        list(page["Shaken"]().craft(Closed(), page["samples"], seed=0))
