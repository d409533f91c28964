"""The two forms of transformers' image processors against each other: Pillow's, followed here, and torchvision's.

Every image processor that has a twin, with the settings of its class, on 20 pictures of odd sizes: the largest
difference in levels of 255, and the share of values that differ by more than half a level and by more than one and a
half. docs/families.md states what this prints. Needs a torchvision that loads.

    OMP_NUM_THREADS=1 python scripts/processor_forms.py
"""

from __future__ import annotations

import numpy as np
import transformers

from proofglass.console import say
from proofglass.victims.hf import checks
from proofglass.victims.hf.twins import TWINS
from proofglass.victims.hf.twins.base import official, pillow

PICTURES, SIDES = 20, (16, 420)


def main() -> None:
    pictures = checks.odd_pictures(PICTURES, sides=SIDES)
    for name in TWINS:
        forms = [getattr(transformers, f"{name}{form}", None) for form in ("Pil", "")]
        if None in forms:
            say(f"{name}: one form only")
            continue
        made = [form() for form in forms]
        off = np.concatenate([_levels(*made, pillow(picture.array())) for picture in pictures])
        say(
            f"{name}: up to {off.max():.1f} levels, {100 * (off > 0.5).mean():.2f} % of values by more than half a "
            f"level, {100 * (off > 1.5).mean():.3f} % by more than one and a half",
            flush=True,
        )


def _levels(pil, other, picture) -> np.ndarray:
    """|difference| of every value, in levels of 255."""
    std = max(getattr(pil, "image_std", None) or [1]) if getattr(pil, "do_normalize", True) else 1
    found = [np.asarray(official(form, [picture])["pixel_values"]).ravel() for form in (pil, other)]
    return 255 * std * np.abs(found[0] - found[1])


if __name__ == "__main__":
    main()
