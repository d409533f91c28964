"""Budgets of the API victim: never exceeded, in money or in calls, over failures and resumes."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs the extra api: pip install inspect-ai openai")
pytest.importorskip("openai", reason="needs the extra api: pip install inspect-ai openai")

from proofglass.errors import NothingMeasured
from proofglass.records.store import Store
from victims import api_study
from victims.api_victims import asks, book, victim
from victims.flaky_server import Flaky


@pytest.fixture
def priced(tmp_path: Path) -> Path:
    """1,000 USD per million tokens: an answer of the server (100 in, 5 out) costs 0.105 USD."""
    path = tmp_path / "prices.yaml"
    path.write_text("models:\n  openai-compatible/m: {input: 1000, output: 1000, image_tokens: 10}\n")
    return path


def test_money_is_counted(server: Flaky, priced: Path) -> None:
    asked = victim(server, prices=priced)
    replies = asked.reply(asks(3))
    assert [reply.cost.money for reply in replies] == pytest.approx([0.105] * 3)
    assert asked.card()["spent"] == {"calls": 3, "tokens": 315, "money": pytest.approx(0.315)}
    assert asked.card()["money"] == {"spent": pytest.approx(0.315), "possibly_paid": 0, "cap": None, "currency": "USD"}


def test_money_of_an_unknown_price_is_not_told_as_0(server: Flaky) -> None:
    asked = victim(server)
    asked.reply(asks(1))
    assert "money" not in asked.card()


# The estimate of a question is 16 + 10 tokens; the first answer shows that the API counts 100, and 26 more may come.
@pytest.mark.parametrize(
    ("budget", "most"), [({"budget_calls": 4}, 4), ({"budget_tokens": 500}, 4), ({"budget_usd": 0.5}, 4)]
)
def test_a_budget_is_never_exceeded_and_survives_a_resume(
    server: Flaky, priced: Path, tmp_path: Path, budget: dict[str, Any], most: int
) -> None:
    fields = {"prices": priced, "ledger": tmp_path / "l", "connections": 1}
    first = victim(server, **fields, **budget)
    replies = first.reply(asks(10, max_new_tokens=16))
    assert Counter(reply.outcome for reply in replies) == {"ok": most, "error": 10 - most}
    assert server.stats()["requests"] == most
    unsent = [reply for reply in replies if reply.outcome == "error"]
    assert all(reply.reason.startswith("budget of ") and reply.cost.queries == 0 for reply in unsent)
    # 4 answers of 105 tokens and 105 thousandths of a dollar each; the worst case of another is 100 + 16.
    gone = {
        "budget_calls": "budget of 4 calls: 4 spent so far, 0 possibly paid, and the next ask may cost 1",
        "budget_tokens": "budget of 500 tokens: 420 spent so far, 0 possibly paid, and the next ask may cost 116",
        "budget_usd": "budget of 0.5 USD: 0.42 spent so far, 0 possibly paid, and the next ask may cost 0.116",
    }
    assert unsent[-1].reason == f"{gone[next(iter(budget))]}: not sent"
    del first
    gc.collect()
    again = victim(server, **fields, **budget).reply(asks(10, start=20, max_new_tokens=16))
    assert {reply.outcome for reply in again} == {"error"}
    assert server.stats()["requests"] == most, "sent, although nothing was left"
    bill = book(tmp_path / "l").settled
    assert bill.calls <= 4
    assert bill.tokens <= 500
    assert bill.money <= 0.5


def test_attempts_that_fail_use_up_the_calls(server: Flaky) -> None:
    server.faults = {"500": 1.0}
    replies = victim(server, attempts=3, connections=1, budget_calls=4).reply(asks(2))
    assert server.stats()["requests"] == 4
    assert [reply.outcome for reply in replies] == ["error", "error"]
    assert any("no further attempt after 500: something broke" in reply.reason for reply in replies)


def test_a_time_out_counts_at_its_worst_case(server: Flaky, priced: Path) -> None:
    server.faults = {"timeout": 1.0}
    asked = victim(server, prices=priced, attempts=1, timeout_s=0.3, budget_usd=0.1, connections=1)
    replies = asked.reply(asks(3, max_new_tokens=16))  # 26 + 16 tokens: 0.042 USD each at the worst
    assert server.stats()["requests"] == 2
    assert [bool(reply.cost.queries) for reply in replies].count(False) == 1
    assert asked.card()["possibly_paid"] == {"calls": 2, "tokens": 84, "money": pytest.approx(0.084)}
    assert asked.card()["money"]["possibly_paid"] == pytest.approx(0.084)
    (unsent,) = (reply.reason for reply in replies if not reply.cost.queries)
    assert unsent.startswith("budget of 0.1 USD: 0 spent so far, 0.084 possibly paid, and the next ask may cost 0.042")


def test_a_larger_budget_goes_on_and_nothing_answered_is_asked_again(server: Flaky, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    with pytest.raises(
        NothingMeasured, match=r"1 of 1 cells are not finished.*14 asks were not sent; budget of 6 calls"
    ):
        api_study.run(server.url, out, 20, budget_calls=6)  # type: ignore[attr-defined]
    assert server.stats()["requests"] == 6
    frame, (cell,) = Store(out).frame(), Store(out).cells()
    assert Counter(frame["outcome"]) == {"ok": 6}, "what was not sent is no failure: it has no record"
    assert (cell["status"], cell["planned"], cell["unsent"]) == ("pending", 20, 14)
    rates = api_study.run(server.url, out, 20, budget_calls=25)  # type: ignore[attr-defined]
    assert rates["not-refused"].n == 20
    assert (server.stats()["requests"], server.stats()["doubled"]) == (20, 0)
