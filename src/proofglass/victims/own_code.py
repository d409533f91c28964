"""The files of a user's own code behind a module: an edit in any of them may change what the module computes."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from proofglass.digests import digest_of

if TYPE_CHECKING:
    import torch

_INSTALLED = tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib"))
_OURS = str(Path(__file__).resolve().parent.parent)


def own_code(net: torch.nn.Module) -> list[str]:
    """Sha256 of the files in which the classes of `net` and of its parts stand, and of what these files import.

    Installed packages are left out (their versions are in the manifest of a run), unless `net` itself is of one. Not
    seen: an import inside a function, and data that code reads by itself.
    """
    home = type(net).__module__.partition(".")[0]
    todo: list[Any] = [sys.modules.get(kind.__module__) for part in net.modules() for kind in type(part).__mro__]
    files: dict[str, None] = {}
    while todo:
        module = todo.pop()
        file = getattr(module, "__file__", None)
        if not isinstance(module, ModuleType) or not file or file in files or not _is_own(file, module, home):
            continue
        files[file] = None
        for value in list(vars(module).values()):
            todo.append(value if isinstance(value, ModuleType) else sys.modules.get(_module_of(value)))
    return sorted(digest_of(Path(file)) for file in files)


def _is_own(file: str, module: ModuleType, home: str) -> bool:
    if module.__name__.partition(".")[0] == home:
        return True
    return not str(Path(file).resolve()).startswith((*_INSTALLED, _OURS))


def _module_of(value: Any) -> str:
    """Where a class or a function was written."""
    found = getattr(value, "__module__", "") if isinstance(value, type) or callable(value) else ""
    return found if isinstance(found, str) else ""
