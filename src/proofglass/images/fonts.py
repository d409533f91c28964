"""Where fonts are found: bundled ones first, so that every machine draws the same picture."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from proofglass.errors import UsageError

BUNDLED = Path(__file__).parent / "fonts"


def font_path(name: str) -> Path:
    """The TrueType file of a font: "DejaVuSans" (bundled), "FreeMonoBold" (if installed) or a path.

    Bundled fonts (DejaVu, reduced to Latin letters with accents, quotes and dashes) win over installed ones. Raises
    UsageError with the known names.
    """
    found = _bundled(name) or _as_path(name) or _installed(name)
    if found is None:
        raise UsageError(
            f"font {name!r}: not found. Bundled: {', '.join(bundled())}. "
            "Install it (FreeMonoBold: the package fonts-freefont-ttf) or pass the path of a .ttf file."
        )
    return found


def bundled() -> list[str]:
    """Names of the fonts that come with the package."""
    return sorted(path.stem for path in BUNDLED.glob("*.ttf"))


def is_path(name: str) -> bool:
    """Whether `name` is meant as a path: it has a folder in it."""
    return "/" in name or "\\" in name


def _bundled(name: str) -> Path | None:
    if is_path(name):
        return None
    path = BUNDLED / f"{name.removesuffix('.ttf')}.ttf"
    return path if path.is_file() else None


def _as_path(name: str) -> Path | None:
    path = Path(name).expanduser()
    return path if path.is_file() else None


@cache
def _installed(name: str) -> Path | None:
    wanted = {f"{name}.ttf".lower(), f"{name}.otf".lower(), name.lower()}
    for folder in _font_folders():
        # Sorted: two folders may hold files of one name, and the choice must not depend on the disk.
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.name.lower() in wanted and path.is_file():
                return path
    return None


def _font_folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "darwin":
        return [home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")]
    if sys.platform == "win32":
        return [home / "AppData/Local/Microsoft/Windows/Fonts", Path("C:/Windows/Fonts")]
    return [
        home / ".fonts",
        home / ".local/share/fonts",
        Path("/usr/local/share/fonts"),
        Path("/usr/share/fonts"),
    ]
