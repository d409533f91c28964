"""What every plug promises."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proofglass.interfaces import (
    Paper,
    Plug,
)
from proofglass.testing.variants import keyed, variants
from proofglass.types import (
    Image,
    pixel_hash,
)

if TYPE_CHECKING:
    pass

Build = Callable[[], Any]


def is_a_frozen_dataclass(plug: Plug) -> None:
    """Its fields are its configuration, and nobody can change them after `__post_init__` checked them."""
    assert dataclasses.is_dataclass(plug), f"{type(plug).__name__} is no dataclass"
    assert type(plug).__dataclass_params__.frozen, f"{type(plug).__name__} is not frozen"


def says_what_it_is(plug: Plug, *, needs_paper: bool) -> None:
    """A docstring of its own and, where it comes from a paper, that paper with a link."""
    text = type(plug).__doc__ or ""
    assert text.strip(), "no docstring"
    assert not text.startswith(f"{type(plug).__name__}("), "no docstring of its own"
    assert plug.name, "no name"
    if plug.paper is None:
        assert not needs_paper, "no paper"
    else:
        assert isinstance(plug.paper, Paper)
        assert all((plug.paper.short, plug.paper.title, plug.paper.link)), "the paper lacks title or link"


def key_is_stable(build: Build) -> None:
    """Two plugs of one configuration have one key, and using a plug's key does not change it."""
    one, other = build(), build()
    assert one.key == other.key == one.key, "two builds, two keys"


def key_holds_every_parameter(plug: Plug, others: Mapping[str, Any] | None = None) -> None:
    """Another value in any field is another key, unless `not_in_key` says that it changes no result. Values that the
    plug refuses, or cannot name, are passed over.

    others: a value to try, for fields in which none can be guessed.
    """
    tried = 0
    for name, value, key in variants(plug, others):
        tried += 1
        assert key != plug.key, f"{name}: {value!r} has the same key"
    assert tried or not keyed(plug), "nothing could be tried: give a value in `others`"


def settings_build_it_again(plug: Plug) -> None:
    """What a record keeps is enough to build the same plug."""
    again = type(plug)(**plug.settings())
    assert again == plug
    assert again.key == plug.key


def takes_strings_for_paths(plug: Plug) -> None:
    """Every field that is a path becomes one whatever it is given as: a command line and Python give strings."""
    for field in dataclasses.fields(plug):  # type: ignore[arg-type]
        words = set(re.findall(r"\w+", str(field.type)))
        if not field.init or "Path" not in words or "str" in words:
            continue
        told: Any = str(getattr(plug, field.name) or "a/place")
        expected: Any = Path(told)
        if "tuple" in words or "Sequence" in words:
            told, expected = [told], (expected,)
        again = dataclasses.replace(plug, **{field.name: told})  # type: ignore[type-var]
        assert getattr(again, field.name) == expected, f"{field.name}: {told!r} stays a string"


def is_8_bit(image: Image) -> None:
    """Pixels as they are stored: uint8, of the stated size, under the name of these very pixels."""
    pixels = image.array()
    assert pixels.dtype == np.uint8, pixels.dtype
    assert pixels.shape == (image.height, image.width, 3), pixels.shape
    assert pixel_hash(pixels) == image.sha256, "the hash is of other pixels"
