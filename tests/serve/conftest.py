"""The endpoint that the tests ask over HTTP, where they start none of their own."""

from __future__ import annotations

import pytest

from proofglass.serve import Limits
from proofglass.types import Cost, Reply
from serve.live import Teller, serving
from serve.outcomes import OUTCOMES


@pytest.fixture(scope="module")
def teller():
    return Teller(
        lambda ask: OUTCOMES.get(ask.chat.last_text) or Reply(ask.chat.last_text.upper(), cost=Cost(1, 0, 1, 7, 3))
    )


@pytest.fixture(scope="module")
def live(teller):
    with serving(teller, Limits(body_bytes=200_000, image_bytes=100_000, image_pixels=10_000)) as found:
        yield found
