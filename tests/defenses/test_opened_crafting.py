"""Crafting through a defense: gates to pass, and draws that the loop keeps, pays for and repeats."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from defenses.opened_parts import CHAT, PAIRS, SYSTEM, some_pixels
from proofglass import Lens, Opened
from proofglass.defenses.inference.none import NoDefense
from proofglass.types import Budget, Sample
from proofglass.victims.own import OwnModule
from strangers.random_resize import RandomResize
from toy_module import Toy


@pytest.fixture
def toy() -> OwnModule:
    return OwnModule(Toy())


# ---------------------------------------------------------------- gates


def brightness(limit: float) -> Callable[[Any, Any], torch.Tensor]:
    return lambda x, chats: x.flatten(1).mean(1) - limit


def test_no_gate_never_intervenes(toy: OwnModule) -> None:
    margin, grad = SYSTEM.opened(toy).margin_and_grad(some_pixels(), [CHAT, CHAT])
    assert margin.tolist() == [float("-inf")] * 2
    assert not grad.any()


def test_of_several_gates_the_largest_margin_counts_behind_what_stands_before_it(toy: OwnModule) -> None:
    # Means m of the pictures: the inner gate sees m / 2 - 0.1, the outer one m - 0.5: equal at m = 0.8.
    inner = Opened(toy, NoDefense(), Lens(margin=brightness(0.1)))
    halving = Opened(inner, NoDefense(), Lens(pixels=lambda x, _: x / 2))
    view = Opened(halving, NoDefense(), Lens(margin=brightness(0.5)))
    x = torch.tensor([0.4, 0.9])[:, None, None, None].expand(2, 3, 12, 8)
    margin, grad = view.margin_and_grad(x, [CHAT, CHAT])
    torch.testing.assert_close(margin, torch.tensor([0.1, 0.4]))
    torch.testing.assert_close(grad.flatten(1).sum(1), torch.tensor([0.5, 1.0]))


def test_an_attacker_who_adds_the_margin_passes_the_gate(toy: OwnModule) -> None:
    # The same descent with and without the hinge max(0, margin + 0.02): one lowers the loss and passes the gate, the
    # other lowers it and does not.
    from proofglass.engine import Box, Schedule, SignStep, TargetNLL, minimise

    x0 = some_pixels(1)
    limit = float(x0.mean()) - 0.05  # the gate fires on the picture as it is
    view = Opened(toy, NoDefense(), Lens(margin=brightness(limit)))
    loss, evading = (TargetNLL(view, PAIRS[:1], evade=weight, slack=0.02) for weight in (0.0, 1000.0))
    found = [
        minimise(J, x0, constraint=Box("clean"), step=SignStep(0.01), schedule=Schedule(60)).x for J in (loss, evading)
    ]
    margins = [float(view.margin_and_grad(x, [CHAT])[0]) for x in found]
    assert margins[0] > 0 > margins[1]
    assert float(loss.value(found[1]).loss) < float(loss.value(x0).loss)


# ---------------------------------------------------------------- the loop


def test_a_batch_crafted_through_random_draws_equals_its_single_runs(toy: OwnModule) -> None:
    from proofglass.engine import Estimated, LInf, MomentumStep, Schedule, TargetNLL, minimise

    view, x0 = RandomResize(0.5, draws=2).opened(toy), some_pixels()

    def crafted(rows: list[int], estimated: bool) -> torch.Tensor:
        loss: Any = TargetNLL(view, [PAIRS[b] for b in rows])
        if estimated:
            loss = Estimated(loss, "spsa", 1 / 255, 2, rows)
        return minimise(
            loss, x0[rows], constraint=LInf(0.1), step=MomentumStep(0.02, 0.5, "unit"), schedule=Schedule(5), seed=rows
        ).x

    for estimated in (False, True):
        both = crafted([0, 1], estimated)
        torch.testing.assert_close(both, torch.cat([crafted([0], estimated), crafted([1], estimated)]))


def test_a_killed_craft_goes_on_with_the_same_draws(toy: OwnModule, tmp_path: Path) -> None:
    from proofglass.engine import LInf, Schedule, SignStep, TargetNLL, minimise
    from proofglass.engine.checkpoints import kept_in
    from toy_objectives import Killed, Recorded

    view = RandomResize(0.5, draws=2).opened(toy)

    def run(fails_at: int | None, folder: Path | None) -> torch.Tensor:
        objective = Recorded(TargetNLL(view, PAIRS), fails_at=fails_at)
        with kept_in(folder, every=2) if folder else nullcontext():
            return minimise(
                objective, some_pixels(), constraint=LInf(0.1), step=SignStep(0.01), schedule=Schedule(8), seed=4
            ).x

    with pytest.raises(Killed):
        run(5, tmp_path)
    assert torch.equal(run(None, tmp_path), run(None, None))


def test_every_draw_is_paid_for(toy: OwnModule) -> None:
    # One pair, 2 draws: a step costs 2 forward and 2 backward passes, 6 equivalents; 20 of them buy 3 steps.
    from proofglass.engine import LInf, Schedule, SignStep, TargetNLL, minimise

    objective = TargetNLL(RandomResize(draws=2).opened(toy), PAIRS[1:])
    found = minimise(
        objective, some_pixels(1), constraint=LInf(0.1), step=SignStep(0.01), schedule=Schedule(9), budget=Budget(20)
    )
    assert (found.costs[0].forward, found.costs[0].backward) == (6, 6)
    assert not objective.plain


def test_a_budget_shortens_a_schedule_by_the_draws_of_a_look() -> None:
    # Square pays one look at a start, `steps` proposals and a last look; each is 2 passes here: 20 // 2 - 1 = 9.
    from proofglass.attacks.image.square import Square

    toy = OwnModule(Toy())
    view = RandomResize(draws=2).opened(toy)
    sample = Sample("s", "toy", CHAT, target="so")
    spent = []
    for victim in (toy, view):
        (found,) = Square(steps=100).craft(victim, [sample], seed=0, budget=Budget(20))
        spent.append((len(found.trace["loss"]), found.cost.forward))
    assert spent == [(20, 20), (10, 20)]


def test_looks_beside_the_search_pay_for_their_draws_too() -> None:
    from proofglass.attacks.image.shayegani2023 import Shayegani2023, _Bare
    from proofglass.engine.objectives import embedding_distance
    from proofglass.registry import build

    view = RandomResize(draws=3).opened(OwnModule(Toy()))
    sample = Sample("s", "toy", CHAT, target="so")
    (noise,) = build("attacks", "random-noise", tries=2).craft(view, [sample], seed=0)
    assert noise.cost.forward == 2 * 3
    assert [embedding_distance(tower, torch.zeros(1, 2)).passes for tower in (view, _Bare(view))] == [3, 3]
    check = Shayegani2023(tau=1.0)._check(view, view, [torch.zeros(1, 2)])
    assert check is not None
    assert check.queries == 3
