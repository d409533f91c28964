"""Victims are held to the shapes of their port: what does not fit is found, at every port of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from proofglass.defenses.opened import Opened
from proofglass.interfaces import LossAndGrad, WhiteBoxVictim
from proofglass.types import Chat
from proofglass.victims.hf.victim import HFVictim
from proofglass.victims.hf_folder import HF
from proofglass.victims.own import OwnModule
from proofglass.victims.testbed import TestbedVictim
from scripted_victims import Scripted, grey
from shapes import PORTS, is_held, unheld

X = torch.full((2, 3, 2, 2), 0.5)


@dataclass
class Bent(Scripted):
    """Gives what `bend` makes of the right losses and gradients."""

    bend: Callable[[LossAndGrad[Any]], LossAndGrad[Any]] = lambda found: found
    logits: Any = None

    def loss_and_grad(self, pixels: Any, prepared: Any, **named: Any) -> LossAndGrad[Any]:
        return self.bend(super().loss_and_grad(X, prepared))

    def target_logits(self, pixels: Any, prepared: Any) -> Any:
        return self.logits

    def features(self, pixels: Any, layer: Any = "pooled") -> Any:
        return pixels.flatten(1) if layer == "pooled" else pixels[0]


def bent(bend: Callable[[LossAndGrad[Any]], LossAndGrad[Any]] = lambda found: found, **more: Any) -> Bent:
    return Bent(lambda x, _: x.flatten(1).sum(1), bend=bend, **more)


def step(victim: WhiteBoxVictim, pixels: Any = X) -> LossAndGrad[Any]:
    return victim.loss_and_grad(pixels, victim.prepare([[(Chat.user(grey()), "a")]] * 2))


def test_what_fits_passes() -> None:
    assert step(bent()).nll.shape == (2, 1)
    assert step(bent(lambda f: LossAndGrad(f.nll, f.loss, {"image": f.pixels})), {"image": X}).loss.shape == (2,)


@pytest.mark.parametrize(
    ("bend", "found"),
    [
        (lambda f: LossAndGrad(f.loss, f.loss, f.pixels), "return.nll: expected"),  # [B] for [B, P]
        (lambda f: LossAndGrad(f.nll, f.loss[:1], f.pixels), "return.loss: expected"),  # one loss for all pictures
        (lambda f: LossAndGrad(f.nll, f.loss, f.pixels[..., :1]), "return.pixels: expected"),  # of another width
        (lambda f: LossAndGrad(f.nll, f.loss, f.pixels.half()), "return.pixels: expected"),
        (lambda f: LossAndGrad(f.nll, f.loss, {"image": f.pixels[:, :1]}), "return.pixels: expected"),
        (lambda f: LossAndGrad(f.nll, f.loss, f.pixels, ((f.pixels,),)), "return.text: expected"),
        (lambda f: f.loss, "return: expected LossAndGrad"),
    ],
    ids=["nll", "loss", "width", "dtype", "slot", "text", "kind"],
)
def test_a_wrong_shape_is_found(bend: Callable[[LossAndGrad[Any]], Any], found: str) -> None:
    with pytest.raises(TypeError, match=f"Bent.loss_and_grad: {found}"):
        step(bent(bend))


def test_sizes_hold_over_a_whole_call() -> None:
    with pytest.raises(TypeError, match=r"return\.nll: expected .* found torch.float32"):
        step(bent(), X[:1])  # one picture is asked, two are answered


def test_a_call_that_raises_and_one_unheld_are_not_looked_at() -> None:
    with pytest.raises(ValueError, match="expected values in"):
        Scripted(lambda x, _: x.flatten(1).sum(1)).loss_and_grad(X[0] + 1, None)  # no batch, and too bright
    with unheld():
        assert step(bent(), X[:1]).nll.shape == (2, 1)


def test_each_item_of_a_nested_list_is_looked_at() -> None:
    rows = [[torch.zeros(t, 5) for t in range(3)] for _ in range(3)]
    assert bent(logits=rows).target_logits(X, None) is rows  # spans of any length, one vocabulary
    rows[2][1] = torch.zeros(1, 6)
    with pytest.raises(TypeError, match=r"return\[2\]\[1\]: expected"):
        bent(logits=rows).target_logits(X, None)


def test_an_inherited_port_is_looked_at() -> None:
    assert bent().features_and_grad(X, lambda f: f.sum(1))[1].shape == X.shape
    with pytest.raises(TypeError, match=r"Bent\.features: return: expected"):
        bent().features(X, "patches")


@pytest.mark.parametrize("victim", [HFVictim, HF, TestbedVictim, OwnModule, Opened, WhiteBoxVictim])
def test_every_port_of_ours_is_looked_at(victim: type[WhiteBoxVictim]) -> None:
    assert [name for name in PORTS if not is_held(victim, name)] == []
    assert {"loss_and_grad", "target_logits", "features", "losses_of", "normalisation", "embedding_width"} <= set(PORTS)
