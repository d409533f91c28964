"""Font files for tests: a collection made of bundled fonts, and the fuller fonts of this machine."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from proofglass.errors import UsageError
from proofglass.images.fonts import face


def collection(path: Path, *fonts: Path) -> Path:
    """A TrueType collection of whole fonts: its header, then each font with the offsets of its tables moved."""
    header = struct.pack(">4sHHI", b"ttcf", 1, 0, len(fonts))
    start = len(header) + 4 * len(fonts)
    offsets, bodies = [], b""
    for each in fonts:
        data = bytearray(each.read_bytes())
        at = start + len(bodies)
        offsets.append(at)
        for k in range(struct.unpack_from(">H", data, 4)[0]):
            place = 12 + 16 * k + 8
            struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + at)
        bodies += bytes(data) + b"\0" * (-len(data) % 4)
    path.write_bytes(header + struct.pack(f">{len(offsets)}I", *offsets) + bodies)
    return path


def full(name: str = "DejaVu Sans") -> str:
    """The name of a font with Hebrew and Arabic; skips where it is not installed."""
    try:
        face(name)
    except UsageError:
        pytest.skip(f"the font {name} (Debian: fonts-dejavu-core) or fontconfig is not installed")
    return name
