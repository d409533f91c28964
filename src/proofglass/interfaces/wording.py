"""Wordings of methods: a default of our own, or the authors' from a file, and what names them.

Another wording is another method: it is in the key, and `template_sha256` names it, whichever field or file it came
from.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from proofglass.errors import UsageError


def read(path: Path, field: str) -> str:
    """The wording in a file, without blanks at its ends. field: "method.field", for errors.

    Raises UsageError for a file that cannot be read, is not UTF-8, or is empty."""
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{field}: {path} is not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise UsageError(f"{field}: cannot read {path}: {error.strerror or error}") from error
    if not text:
        raise UsageError(f"{field}: {path} is empty; expected the wording")
    return text


def wording(own: str, path: Path | None, field: str) -> str:
    """The wording of `path`, else `own`."""
    return own if path is None else read(path, field)


def sha256(*wordings: str) -> str:
    """Names the wordings that a method used."""
    return hashlib.sha256("\0".join(wordings).encode("utf-8", "surrogatepass")).hexdigest()
