"""The chances of choices, as an API lists them beside its answer; an API that lists none is no error."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs the extra api: pip install inspect-ai openai")
pytest.importorskip("openai", reason="needs the extra api: pip install inspect-ai openai")

from proofglass.types import Settings
from victims.api_victims import answer, asks, saying, victim

CHOICES = ("Yes", "No", "Perhaps not")


def listing(*tokens: tuple[str, float], said: tuple[str, float] = ("Yes", math.log(0.6))) -> dict[str, Any]:
    """An answer whose first token was `said`, with the (token, log probability) pairs that are listed for it."""
    told = answer("Yes, it is.")
    top = [{"token": token, "logprob": logprob, "bytes": None} for token, logprob in tokens]
    first = {"token": said[0], "logprob": said[1], "bytes": None, "top_logprobs": top}
    other = {"token": "No", "logprob": -0.1, "bytes": None, "top_logprobs": []}  # a later token is none of ours
    told["choices"][0]["logprobs"] = {"content": [first, other], "refusal": None}
    return told


def test_the_chances_of_the_first_token_are_read_off() -> None:
    listed = listing(("Yes", math.log(0.6)), ("No", math.log(0.3)), ("Perhaps", -5.0), (" No", -6.0))
    with saying(listed) as server:
        (reply,) = victim(server).reply(asks(1, choices=CHOICES))
    assert reply.text == "Yes, it is."
    assert reply.choices == pytest.approx({"Yes": 0.6, "No": 0.3})  # " No" and "Perhaps" are other texts
    (body,) = server.bodies
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)


def test_without_choices_nobody_asks_for_chances() -> None:
    with saying(listing(("Yes", -0.1))) as server:
        (reply,) = victim(server).reply(asks(1))
    assert reply.choices == {}
    assert not {"logprobs", "top_logprobs"} & set(server.bodies[0])


@pytest.mark.parametrize("given", [None, {"content": None, "refusal": None}, {"content": [], "refusal": None}])
def test_a_provider_that_lists_none_tells_none(given: Any) -> None:
    told = answer("Yes.")
    told["choices"][0]["logprobs"] = given
    with saying(told) as server:
        (reply,) = victim(server).reply(asks(1, choices=CHOICES))
    assert (reply.text, reply.outcome, reply.choices) == ("Yes.", "ok", {})


def test_odd_numbers_are_no_probability_above_one() -> None:
    # OpenAI writes -9999 for what is out of reach; rounding may leave a log probability a little above 0.
    with saying(listing(("No", -9999.0), said=("Yes", 1e-6))) as server:
        (reply,) = victim(server).reply(asks(1, choices=CHOICES))
    assert reply.choices == {"Yes": 1.0, "No": 0.0}


def test_the_cache_and_the_ledger_keep_them(tmp_path: Path) -> None:
    listed = listing(("Yes", math.log(0.6)), ("No", math.log(0.3)))
    with saying(listed) as server:
        replies = [victim(server, cache=tmp_path / "c").reply(asks(1, choices=CHOICES))[0] for _ in range(2)]
        assert len(server.bodies) == 1
        assert replies[1].choices == replies[0].choices == pytest.approx({"Yes": 0.6, "No": 0.3})
        again = [victim(server, ledger=tmp_path / "l").reply(asks(1, choices=CHOICES))[0] for _ in range(2)]
        assert len(server.bodies) == 2  # the second process gets what the first one paid for
    assert again[1].choices == pytest.approx({"Yes": 0.6, "No": 0.3})


def test_settings_with_choices_are_other_settings_for_the_cache(tmp_path: Path) -> None:
    with saying(listing(("Yes", -0.1))) as server:
        for choices in ((), ("Yes",), ("Yes", "No")):
            victim(server, cache=tmp_path / "c").reply(asks(1, choices=choices))
        assert len(server.bodies) == 3
    assert Settings(choices=("Yes",)) != Settings()
