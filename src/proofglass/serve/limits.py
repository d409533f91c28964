"""What one server takes: every bound in one place, with its unit."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Bounds of a server; each is checked before the work that it bounds.

    batch: asks that the victim gets at once; window_s: how long the first of them waits for others.
    queue: requests held at once, those being answered included; beyond it callers get 429.
    deadline_s: from the headers of a request to its answer. header_s, body_s, fetch_s: how long a caller may take for
    headers and body, and a remote host for a picture. connections: open at once.
    body_bytes: of a request; messages: of a dialogue; text_chars: of all its texts together; images: of a dialogue;
    image_bytes: of one picture file; image_pixels: of one picture, known from its header before it is decoded.
    new_tokens: the most that a caller may ask for; default_new_tokens: what a caller gets who asks for no number.
    """

    batch: int = 8
    window_s: float = 0.01
    queue: int = 128
    deadline_s: float = 120.0
    header_s: float = 10.0
    body_s: float = 30.0
    fetch_s: float = 10.0
    connections: int = 512
    body_bytes: int = 20 * MIB
    messages: int = 256
    text_chars: int = 200_000
    images: int = 8
    image_bytes: int = 10 * MIB
    image_pixels: int = 16 * MIB
    new_tokens: int = 1024
    default_new_tokens: int = 64

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("window_s", "images"):
                if not value >= 0:
                    raise ValueError(f"{field.name}: expected 0 or more, found {value}")
            elif not 0 < value < math.inf:
                raise ValueError(f"{field.name}: expected more than 0, and an end, found {value}")
        if self.default_new_tokens > self.new_tokens:
            raise ValueError(
                f"default_new_tokens: expected at most new_tokens ({self.new_tokens}), found {self.default_new_tokens}"
            )
