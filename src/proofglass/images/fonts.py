"""Where fonts are found: bundled ones first, so that every machine draws the same picture."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from proofglass.errors import UsageError

BUNDLED = Path(__file__).parent / "fonts"
OFFICIAL = "FreeMonoBold"  # FigStep's
_LISTED = ("file", "index", "family", "fullname", "postscriptname", "weight", "slant", "width")


@dataclass(frozen=True)
class Face:
    """A face of a font file. index: which of several that one file holds (.ttc)."""

    path: Path
    index: int = 0


def face(name: str) -> Face:
    """The face of a font: "DejaVuSans" (bundled), "FreeMonoBold" (a file in a font folder), "DejaVu Sans" (a family, a
    full or a PostScript name that fontconfig knows, case ignored), or a path; "fonts.ttc#2" is the third of a file.

    Bundled fonts (DejaVu, reduced to Latin letters with accents, quotes and dashes) win over installed ones. A name
    must match exactly: nothing is substituted. Raises UsageError with the known names.
    """
    found = _bundled(name) or _as_path(name) or _installed(name) or _by_fontconfig(name)
    if found is None:
        raise UsageError(
            f"font {name[:200]!r}: not found. Bundled: {', '.join(bundled())}. {_hint(name)}"
            f"Install it ({OFFICIAL}: the package fonts-freefont-ttf) or pass the path of a .ttf file."
        )
    return found


def font_path(name: str) -> Path:
    """The file of `face(name)`."""
    return face(name).path


def bundled() -> list[str]:
    """Names of the fonts that come with the package."""
    return sorted(path.stem for path in BUNDLED.glob("*.ttf"))


def is_path(name: str) -> bool:
    """Whether `name` is meant as a path: it has a folder in it."""
    return "/" in name or "\\" in name


def _hint(name: str) -> str:
    if not listed():
        return "Names of families are unknown here: fontconfig (`fc-list`) is not installed. "
    known = {each for row in listed() for each in row["family"].split(",") + row["fullname"].split(",")}
    near = get_close_matches(name[:200], sorted(known), n=1, cutoff=0.7)
    return f"Did you mean {near[0]!r}? " if near else ""


def _bundled(name: str) -> Face | None:
    if is_path(name):
        return None
    path = BUNDLED / f"{name.removesuffix('.ttf')}.ttf"
    return Face(path) if _is_file(path) else None


def _as_path(name: str) -> Face | None:
    path = Path(name).expanduser()
    if _is_file(path):
        return Face(path)
    numbered = re.fullmatch(r"(.+)#([0-9]{1,4})", name, re.DOTALL)
    if numbered and _is_file(path := Path(numbered[1]).expanduser()):
        return Face(path, int(numbered[2]))
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no disk can hold: too long, a NUL in it
        return False


@cache
def _installed(name: str) -> Face | None:
    wanted = {f"{name}.ttf".lower(), f"{name}.otf".lower(), name.lower()}
    for folder in _font_folders():
        # Sorted: two folders may hold files of one name, and the choice must not depend on the disk.
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.name.lower() in wanted and path.is_file():
                return Face(path)
    return None


def _by_fontconfig(name: str) -> Face | None:
    """Full and PostScript names first, then the regular face of a family: upright, of normal weight and width."""
    wanted = _folded(name)
    rows = [row for row in listed() if row["file"].lower().endswith((".ttf", ".otf", ".ttc", ".otc"))]
    for keys in (("fullname", "postscriptname"), ("family",)):
        matching = [row for row in rows if any(wanted in map(_folded, row[key].split(",")) for key in keys)]
        if matching:
            best = min(matching, key=_from_regular)
            return Face(Path(best["file"]), int(best["index"]))
    return None


def _from_regular(row: dict[str, str]) -> tuple[float | str, ...]:
    weight, slant, width = (_number(row[key]) for key in ("weight", "slant", "width"))
    return (slant, abs(width - 100), abs(weight - 80), row["file"], _number(row["index"]))


def _number(text: str) -> float:
    found = re.match(r"[0-9]+(\.[0-9]+)?", text)  # a variable font has a range, such as [100 900]
    return float(found[0]) if found else 0.0


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


@cache
def listed() -> tuple[dict[str, str], ...]:
    """What fontconfig lists, once in a process; nothing where it is not installed."""
    form = "\t".join(f"%{{{key}}}" for key in _LISTED) + "\n"
    try:
        done = subprocess.run(["fc-list", "--format", form], capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = (line.split("\t") for line in done.stdout.decode("utf-8", "replace").splitlines())
    return tuple(dict(zip(_LISTED, row, strict=True)) for row in rows if len(row) == len(_LISTED))


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
