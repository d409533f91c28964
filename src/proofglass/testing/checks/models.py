"""What every encoder and detector promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofglass.interfaces import (
    Detector,
    Encoder,
)

if TYPE_CHECKING:
    import torch


def sees_pixels(model: Encoder | Detector, pixels: torch.Tensor) -> None:
    """What an encoder or a detector promises of float32 pixels [1, 3, H, W]: finite numbers that depend on them, rows
    independent, [0, 1] only."""
    import torch

    def seen(x: torch.Tensor) -> torch.Tensor:
        return model.features(x) if isinstance(model, Encoder) else model.scores(x)

    x = pixels.clone().requires_grad_()
    one = seen(x)
    assert one.ndim == 2
    assert len(one) == 1
    assert torch.isfinite(one).all()
    weights = torch.linspace(1, 2, one.shape[1])  # a plain sum, or that of squares, may be a constant of the model
    (gradient,) = torch.autograd.grad((one * weights.to(one)).sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0, "the gradient is zero"
    two = seen(torch.cat([1 - pixels, pixels]))
    torch.testing.assert_close(two[1:], one.detach(), rtol=1e-3, atol=1e-5)
    assert not torch.equal(two[0], two[1]), "two pictures look alike"
    try:
        seen(pixels + 2)
    except ValueError:
        return
    raise AssertionError("pixels outside [0, 1] were taken")
