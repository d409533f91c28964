"""Bytes that say whether they are still themselves: what a run folder holds carries the sha256 of its own content.

A JSON object (a line of the journal or of a ledger, a file as a whole) ends with it: `{..., "sha256":"<64 hex>"}` and a
line break. A Parquet file holds it between its last column and its footer, which no reader looks at: every Parquet
tool reads the file as before. So a file is checked by itself, in one pass over bytes that are read anyway, and a crash
between two files leaves no checksum behind that fits neither. That of a file also covers its name, which says whose
records these are: one that took the place of another does not fit. Pictures are named by their pixels and need none.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from proofglass.errors import StoreError
from proofglass.records.files import read_whole

_HEX = 64  # digits of a sha256
_PIECE = 1 << 20  # bytes read at a time
_SEAL = re.compile(rb',"sha256":"[0-9a-f]{64}"}')


def damaged(place: object, fix: str) -> StoreError:
    """The error of a file, or a line of one, that is no longer what was written. fix: how to go on without a copy."""
    return StoreError(f"{place}: not as it was written, its checksum does not fit. Restore it from a copy, or {fix}.")


def signed(document: bytes, name: str = "") -> bytes:
    """`document`, a JSON object with at least one field, closed by its checksum and a line break.

    name: of the file that it is to be; empty for a line of one.
    """
    told = document.rstrip().removesuffix(b"}").rstrip()
    return told + _seal(told, name)


def is_intact(content: bytes, name: str = "") -> bool:
    """Whether `content` is, byte for byte, what `signed` made under this name."""
    told = content[: -len(_seal(b"", ""))]
    return bool(told) and content == told + _seal(told, name)


def _seal(told: bytes, name: str) -> bytes:
    return b',"sha256":"' + hashlib.sha256(name.encode() + told).hexdigest().encode() + b'"}\n'


def read_signed(path: Path, fix: str) -> bytes:
    """The content of a file that `signed` closed. Raises StoreError if it cannot be read, is damaged or another
    file."""
    content = read_whole(path)
    if not is_intact(content, path.name):
        raise damaged(path, fix)
    return content


def signed_lines(path: Path, fix: str) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of every line that `signed` made; a last one that a crash tore is left out.

    Raises StoreError, which names the line, for any other line: that is no crash but an edited or rotten file.
    """
    offset = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not is_intact(line):
                if _is_torn(line):
                    return
                raise damaged(f"{path}:{number}", fix)
            yield offset, line
            offset += len(line)


def _is_torn(line: bytes) -> bool:
    """Whether a last line is the beginning of one. If a whole one stands in it with more behind it, then its line break
    has rotted: leaving it out would lose an answer that was given, and may have been paid."""
    wholes = (line[: found.end()] for found in _SEAL.finditer(line) if found.end() < len(line))
    return not line.endswith(b"\n") and not any(is_intact(whole + b"\n") for whole in wholes)


def signed_parquet(content: bytes, name: str) -> bytes:
    """`content`, the bytes of the Parquet file `name`, with its checksum in front of the footer."""
    file = io.BytesIO(content)
    at = _footer_of(file)
    return content[:at] + _hash_of(file, name, at, at) + content[at:]


def sign_parquet(path: Path, name: str) -> None:
    """Put the checksum in front of the footer of the file at `path`, which is to be called `name`, and sync it."""
    with open(path, "r+b") as file:
        at = _footer_of(file)
        file.seek(at)
        footer = file.read()
        checksum = _hash_of(file, name, at, at)
        file.seek(at)
        file.write(checksum + footer)
        file.flush()
        os.fsync(file.fileno())


def check_parquet(path: Path, fix: str) -> None:
    """Raises StoreError if the file at `path`, which `signed_parquet` or `sign_parquet` made, is damaged or another
    file. Reads it in pieces; an OSError is the caller's."""
    with open(path, "rb") as file:
        at = _footer_of(file)
        if at >= _HEX:
            file.seek(at - _HEX)
            if file.read(_HEX) == _hash_of(file, path.name, at - _HEX, at):
                return
    raise damaged(path, fix)


def _footer_of(file: BinaryIO) -> int:
    """Where the footer begins: the file ends with its length (4 bytes, little-endian) and "PAR1"."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 8, 0))
    return size - 8 - int.from_bytes(file.read(4), "little")


def _hash_of(file: BinaryIO, name: str, start: int, stop: int) -> bytes:
    """Of `name` and the file without what stands from `start` to `stop`."""
    digest = hashlib.sha256(name.encode())
    file.seek(0)
    for length in [_PIECE] * (start // _PIECE) + [start % _PIECE]:
        digest.update(file.read(length))
    file.seek(stop)
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest().encode()
