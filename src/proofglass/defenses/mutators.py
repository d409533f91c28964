"""The mutators of JailGuard (Zhang et al. 2025): how a picture or a text is changed a little, by its policy "PL".

Shares and ranges are those of the authors' code (shiningrain/JailGuard). Departures: pictures are turned with bilinear
interpolation (theirs: nearest), and blurred beyond their edge as the edge is (theirs: mirrored); the important
sentences of a text are chosen without a list of stop words (words of up to three letters count for nothing).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import TYPE_CHECKING

from proofglass.defenses.inference.blur import gaussian

if TYPE_CHECKING:
    import torch

ROTATION, BLUR, POSTERISE = 0.34, 0.45, 0.21  # shares of the picture's mutators
TURN = 180.0  # degrees at most
PUNCTUATION, INSERTION, TRANSLATION = 0.24, 0.52, 0.24  # shares of the text's mutators
MARKS = ".;?:!,"
MASK, RATE, TIMES, IMPORTANT = "[Mask]", 0.005, 5, 3
LANGUAGES = ("Russian", "French", "German", "Greek", "Indonesian", "Italian", "Japanese", "Korean", "Latin", "Polish")


# ---- pictures ----


def mutated(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """float [1, 3, H, W] turned, blurred or posterised, as the generator draws."""
    import torch

    choice = float(torch.rand((), generator=generator))
    if choice < ROTATION + BLUR:
        return turned_or_blurred(x, choice < ROTATION, generator)
    bits, applied = torch.rand(2, generator=generator).tolist()
    return posterised(x, 1 + int(2 * bits)) if applied < 0.5 else x


def turned_or_blurred(x: torch.Tensor, turns: bool, generator: torch.Generator) -> torch.Tensor:
    """One of the two mutators that have a gradient."""
    import torch

    first, second, third = torch.rand(3, generator=generator).tolist()
    if turns:
        return turned(x, second * (0.1 + (TURN - 0.1) * first))
    sigma = 0.1 + 1.9 * third  # kernels of 1, 3, 5 or 7 pixels to each side's end, as torchvision draws its width
    return gaussian(gaussian(x, sigma, 0, int(4 * first)), 0, sigma, int(4 * second))


def turned(x: torch.Tensor, degrees: float) -> torch.Tensor:
    """[1, C, H, W] turned round its middle, counterclockwise; black where there was nothing."""
    import math

    import torch
    import torch.nn.functional as F

    (height, width), angle = x.shape[-2:], math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    # From a place in the result to one in the picture, both in -1 to 1; a turn keeps pixels square, these do not.
    turn = [[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]
    grid = F.affine_grid(torch.tensor([turn]).to(x), [1, x.shape[1], height, width], align_corners=False)
    found: torch.Tensor = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return found


def posterised(x: torch.Tensor, bits: int) -> torch.Tensor:
    """float [1, 3, H, W] with the first `bits` bits of each 8-bit colour; no gradient."""
    step: float = 2 ** (8 - bits)
    levels = (255 * x.detach()).round()
    return (levels / step).floor() * step / 255


# ---- texts ----


def with_marks(text: str, draw: random.Random) -> str:
    """`text` with punctuation marks in front of one to a third of its words (AEDA; Karimi et al. 2021)."""
    words = text.split(" ")
    count = draw.randint(1, max(1, len(words) // 3))
    for place in sorted(draw.sample(range(len(words)), min(count, len(words))), reverse=True):
        words.insert(place, draw.choice(MARKS))
    return " ".join(words)


def with_masks(text: str, draw: random.Random) -> str:
    """`text` with "[Mask]" between some of its letters, five times as often in its important sentences: the three
    with the most frequent words. A text of up to three sentences has no important ones."""
    found, start, last = [], 0, -TIMES - 1
    sentences = re.findall(r"[^.!?]*[.!?]*\s*", text)[:-1]
    important = set(_important(sentences))
    for number, sentence in enumerate(sentences):
        rate = RATE * (TIMES if number in important else 1)
        for place in range(start, start + len(sentence)):
            if place > last + TIMES and draw.random() < rate:
                found.append(place)
                last = place
        start += len(sentence)
    for place in reversed(found):
        text = text[:place] + MASK + text[place:]
    return text


def _important(sentences: list[str]) -> list[int]:
    if len(sentences) <= IMPORTANT:
        return []
    words = [re.findall(r"\w{4,}", sentence.casefold()) for sentence in sentences]
    often = Counter(word for each in words for word in each)
    return sorted(range(len(words)), key=lambda k: -sum(often[word] for word in words[k]))[:IMPORTANT]
