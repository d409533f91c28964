"""PGD crafted through a defense is worth at least as much behind it as PGD on the bare model: of every one that opens
itself. What is worth more is a reply that no gate withholds, then a lower loss of the target."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from conformance.fixtures import Bench, make_bench
from defenses.every_opened import OPENED, built, view_of
from proofglass.attacks.image.pgd import PGD
from proofglass.engine.seeds import drawing
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import WhiteBoxVictim
from proofglass.registry import build
from proofglass.types import Artefact, Sample

# The gate of these stands open before the picture is touched: it is in reach of the pixels, and is passed.
OPEN_AT_FIRST = {"hiddendetect": {"threshold": 0.02}}
DRAWN = ("random-crop", "random-resize-pad", "smooth-vlm", "jailguard")  # several passes a look: slow
ATTACK = PGD(epsilon=16 / 255, steps=10, step_size=3 / 255, select="last", batch=3)
A_GATE = 10.0  # nats that no loss of a target here comes up to
SLACK = 0.05  # share of the static loss: what 8-bit pictures, three samples and the least share of a gate may cost
# The bench's two shields are opposite, so that one of them is always near enough: to first order this gate is in reach,
# and no picture passes it. What it costs then is up to its share (`engine.gates`).
NEVER_PASSED = {"adashield": 0.3}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def model() -> WhiteBoxVictim:
    victim: WhiteBoxVictim = build("victims", "testbed-linear", device="cpu")
    return victim


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [row for row in TestbedData(part="restricted-image", n=3) if isinstance(row, Sample)]


@pytest.fixture(scope="module")
def static(model: WhiteBoxVictim, samples: list[Sample]) -> list[Artefact]:
    return list(ATTACK.craft(model, samples, seed=1))


def worth(view: WhiteBoxVictim, made: Sequence[Artefact], samples: Sequence[Sample]) -> tuple[float, float]:
    """Mean loss of the target behind the defense at other draws than those of the craft, and how many gates open."""
    chats = [ATTACK.apply(found, sample) for found, sample in zip(made, samples, strict=True)]
    x = torch.cat([view.pixels(chat.images[0]) for chat in chats])
    prepared = view.prepare([[(chat, sample.target)] for chat, sample in zip(chats, samples, strict=True)])
    losses = []
    for step in range(3 if view.draws else 1):
        with drawing([91, 92, 93], f"judged {step}"):
            losses.append(float(view.loss_and_grad(x, prepared, need_grad=False).loss.mean()))
    fired = (view.margin_and_grad(x, chats)[0] > 0).float().mean() if view.gated else 0.0
    return sum(losses) / len(losses), float(fired)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in DRAWN else n for n in OPENED])
def test_through_it_pgd_is_worth_no_less_than_on_the_bare_model(
    bench: Bench, model: WhiteBoxVictim, samples: list[Sample], static: list[Artefact], name: str
) -> None:
    view = view_of(built(bench, name, **OPEN_AT_FIRST.get(name, {})), model)
    (bare, shut_out), (known, passed) = (
        worth(view, made, samples) for made in (static, list(ATTACK.craft(view, samples, seed=1)))
    )
    assert known + A_GATE * passed <= bare * (1 + NEVER_PASSED.get(name, SLACK)) + A_GATE * shut_out, (
        bare,
        shut_out,
        known,
        passed,
    )


def test_without_a_gate_in_reach_and_without_a_change_both_are_one(
    bench: Bench, model: WhiteBoxVictim, samples: list[Sample], static: list[Artefact]
) -> None:
    view = view_of(built(bench, "none"), model)
    made = list(ATTACK.craft(view, samples, seed=1))
    assert [found.images[0].sha256 for found in made] == [found.images[0].sha256 for found in static]
