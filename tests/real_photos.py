"""Photographs that the scikit-image wheel carries (public domain, CC0), read from its folder without importing it.

`pip install --no-deps scikit-image` is enough. Also: the slope of a function along a random direction.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow


def photo(name: str) -> torch.Tensor:
    """astronaut (a face), coffee, chelsea (a cat) or rocket as float32 [1, 3, H, W]; skips the test without them."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        pytest.skip("needs photographs: pip install --no-deps scikit-image")
    (path,) = (Path(spec.origin).parent / "data").glob(f"{name}.*g")
    levels = np.array(Pillow.open(path).convert("RGB"))
    return torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255


def assert_gradient_is_the_slope(
    value: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, step: float = 1e-6, rtol: float = 1e-4
) -> None:
    """Directional derivative against a central difference, both in float64. value: pixels -> one number."""
    # Flat areas tie the places of a max pooling, and there is no slope at a tie.
    x = 0.05 + 0.85 * x.double() + 0.05 * torch.rand(x.shape, generator=torch.Generator().manual_seed(3)).double()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(value(x), x)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(7), dtype=torch.double)
    with torch.no_grad():
        slope = (value(x + step * way) - value(x - step * way)) / (2 * step)
    torch.testing.assert_close((gradient * way).sum(), slope, rtol=rtol, atol=1e-9)


def weighed(found: torch.Tensor) -> torch.Tensor:
    """One number that depends on every part of `found`, on each in its own way."""
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    return (found * weights).sum()
