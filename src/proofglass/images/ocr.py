"""Text in pictures, read: by RapidOCR, or as it was drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from proofglass.errors import MissingExtra
from proofglass.images import typography
from proofglass.types import Image

Reads = Callable[[Image], str]
READER = ("rapidocr", "onnxruntime")


def true_text(image: Image) -> str:
    """The text drawn into `image`. Raises ValueError for a picture that `images.typography` did not draw."""
    text = typography.text_of(image)
    if text is None:
        raise ValueError(
            "the control knows the text of pictures drawn by a typographic attack only; use no-attack or figstep here"
        )
    return "\n".join(line.rstrip() for line in text.splitlines())  # as a reader gives it


def reader_version() -> str:
    """The version of RapidOCR that is installed: another reads other text. Raises MissingExtra without one."""
    try:
        return version("rapidocr")
    except PackageNotFoundError:
        raise missing("RapidOCR") from None


def missing(who: str) -> MissingExtra:
    """What `who` lacks to read pictures, with the command that gets it."""
    absent = [package for package in READER if find_spec(package) is None] or list(READER)
    return MissingExtra(f"{who}: {' and '.join(absent)} not installed. Run: pip install {' '.join(absent)}")


def rapidocr_reader(who: str) -> Reads:
    """A function image -> its text, one line per line of the picture. Raises MissingExtra, which names `who`, without
    RapidOCR."""
    if any(find_spec(package) is None for package in READER):
        raise missing(who)
    import logging

    import torch
    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    threads = torch.get_num_threads()
    engine = RapidOCR(params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": threads})

    def read(image: Image) -> str:
        import numpy as np

        # RapidOCR takes BGR, as OpenCV does.
        found = engine(np.ascontiguousarray(image.array()[:, :, ::-1]))
        if found.txts is None or found.boxes is None:
            return ""
        return in_reading_order(found.boxes.tolist(), list(found.txts))

    return read


def in_reading_order(boxes: Sequence[Sequence[Sequence[float]]], texts: Sequence[str]) -> str:
    """`texts` from top to bottom and left to right, boxes on one height joined into a line.

    boxes: four corners (x, y) in pixels each. A box belongs to a line if its middle lies within the line's first
    box, from top to bottom.
    """
    placed = []
    for box, text in zip(boxes, texts, strict=True):
        xs, ys = [x for x, _ in box], [y for _, y in box]
        placed.append((min(ys), max(ys), min(xs), text))
    lines: list[tuple[float, float, list[tuple[float, str]]]] = []
    for top, bottom, left, text in sorted(placed):
        middle = (top + bottom) / 2
        line = next((words for low, high, words in lines if low <= middle <= high), None)
        if line is None:
            lines.append((top, bottom, [(left, text)]))
        else:
            line.append((left, text))
    return "\n".join(" ".join(text for _, text in sorted(words)) for _, _, words in lines)
