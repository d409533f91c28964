"""Patches on pictures: where they land, what comes back, and what would stick out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofglass.engine.pasting import cut, paste, pasted
from proofglass.types import Image


@given(st.integers(0, 5), st.integers(0, 4), st.integers(1, 4), st.integers(1, 3))
def test_what_was_pasted_is_cut_out_again_and_all_else_is_the_carrier(top, left, height, width):
    top, left = min(top, 7 - height), min(left, 6 - width)
    carriers, patches = torch.rand(2, 3, 7, 6), torch.rand(2, 3, height, width)
    before, corners = carriers.clone(), [(top, left), (0, 0)]
    whole = paste(carriers, patches, corners)
    assert torch.equal(cut(whole, corners, height, width), patches)
    assert torch.equal(carriers, before)
    outside = torch.ones(7, 6, dtype=torch.bool)
    outside[top : top + height, left : left + width] = False
    assert torch.equal(whole[0][:, outside], carriers[0][:, outside])


def test_eight_bit_pictures_are_pasted_alike():
    draws = np.random.default_rng(0)
    carrier, patch = (Image.from_array(draws.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in ((7, 6), (2, 4)))

    def tensor(image):
        return torch.from_numpy(image.array().copy()).permute(2, 0, 1)[None]

    found = pasted(carrier, patch, (3, 1))
    assert torch.equal(tensor(found), paste(tensor(carrier), tensor(patch), [(3, 1)]))
    assert carrier.array()[3, 1].tolist() != found.array()[3, 1].tolist()


@pytest.mark.parametrize("corner", [(6, 0), (0, 3), (-1, 0), (0, -1)])
def test_a_patch_that_would_stick_out_is_refused(corner):
    carrier, patch = (Image.from_array(np.zeros((*size, 3), np.uint8)) for size in ((7, 6), (2, 4)))
    with pytest.raises(ValueError, match=r"patch: 2 x 4 at .* does not fit into 7 x 6"):
        pasted(carrier, patch, corner)
