"""A planted defense that masks its gradient: it passes the static column, and falls in the adaptive one."""

from __future__ import annotations

import pytest
import torch

from defenses.opened_parts import PAIRS, some_pixels
from defenses.test_adaptive import attacked, broken, model_of, requests, seen_through
from masking import Masking
from proofglass.attacks.image.pgd import PGD
from proofglass.engine.seeds import drawing
from proofglass.errors import ProofglassError
from proofglass.evaluation.statistics.rates import wilson
from proofglass.testing.material import picture
from proofglass.types import Chat
from proofglass.victims.own import OwnModule
from toy_module import Toy


def test_as_it_is_written_it_has_no_gradient_and_who_knows_it_finds_one() -> None:
    toy, x = OwnModule(Toy()), some_pixels()
    grads = []
    for knows in (False, True):
        view = Masking(knows=knows).opened(toy)
        with drawing([1, 2], 0):
            grads.append(view.loss_and_grad(x, view.prepare(PAIRS)).pixels)
    assert torch.equal(grads[0], torch.zeros_like(x))
    assert (grads[1].flatten(1).norm(dim=1) > 0).all()


def test_an_attack_that_finds_no_gradient_says_so_and_is_no_sign_of_safety() -> None:
    view = Masking(knows=False).opened(OwnModule(Toy()))
    (sample,) = requests("restricted-image", 1)
    sample = type(sample)(**{**vars(sample), "chat": Chat.user(picture(1), "what is it ?"), "target": "a kite"})
    with pytest.raises((ProofglassError, ValueError), match="gradient"):
        list(PGD(steps=2).craft(view, [sample], seed=1))


@pytest.mark.slow
def test_it_passes_the_static_column_and_falls_in_the_adaptive_one() -> None:
    # n = 30, the same steps and the same step size. What the static attack found is lost by the resize and the levels.
    defense, model, samples = Masking(), model_of("testbed-linear"), requests("restricted", 30)
    attack = PGD(epsilon=48 / 255, steps=24, step_size=12 / 255, select="last", batch=30)
    rates = []
    for crafted_on in (model, seen_through(defense, model)):
        chats = attacked(attack, list(attack.craft(crafted_on, samples, seed=1)), samples)
        rates.append(wilson(broken(defense(model), chats, samples), len(samples)))
    (_, static), (adaptive, _) = rates
    assert static < 0.25, rates
    assert adaptive > 0.5, rates
