"""What becomes of an error that a plug raised: a reason that names file and line, and a traceback that a run keeps.

A plug may raise anything, `SystemExit` and exceptions of its own base included: all of it is that plug's failure. Two
things are not and go on up: Ctrl-C, and a fault of the machine (`errors.is_environment`).
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from proofglass.errors import ProofglassError, UsageError, is_environment

# (name of the file, traceback) -> where it was kept, as a reason names it.
Keeper = Callable[[str, str], str]
_keeper: ContextVar[Keeper | None] = ContextVar("proofglass_faults", default=None)
_FOREIGN = tuple(sorted({str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib")}))
_OURS = str(Path(__file__).resolve().parent)
LENGTH = 1000  # characters of a message in a reason: some quote all that they could not read; the traceback has it


@contextmanager
def kept_by(keeper: Keeper) -> Iterator[None]:
    """Tracebacks of the plugs that fail inside go to `keeper`."""
    token = _keeper.set(keeper)
    try:
        yield
    finally:
        _keeper.reset(token)


def stops_the_run(error: BaseException) -> bool:
    """Whether an error that came out of a plug is not the plug's: Ctrl-C, or the machine failed."""
    return isinstance(error, KeyboardInterrupt) or is_environment(error)


def told(error: BaseException, kind: str, plug: object) -> str:
    """`error`, raised by `plug`, as a reason: "NameError: name 'x' is not defined (mine.py:12; faults/judge-...txt)".

    kind: attack, defense, victim, helper, dataset or judge. plug: the object, or its class while it is made. The line
    is the innermost one of the plug's own files, else of what is neither Python's, an installed package's, nor ours.
    Without one (what a plug gave back was at fault) and for an error that says by itself what to do (a ProofglassError)
    there is no more to tell than its message, of which a reason holds the beginning (`LENGTH`). The traceback holds all
    of it and is kept once per place, not per sample: its name is a hash of the places that it lists.
    """
    text = f"{type(error).__name__}: {_message(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    place = _place(frames, plug if isinstance(plug, type) else type(plug))
    if isinstance(error, ProofglassError) or place is None:
        return text
    where, keeper = f"{Path(place.filename).name}:{place.lineno}", _keeper.get()
    if keeper is not None:
        places = [(Path(frame.filename).name, frame.lineno, frame.name) for frame in frames]
        digest = hashlib.sha256(repr((type(error).__name__, places)).encode()).hexdigest()[:6]
        where += f"; {keeper(f'{kind}-{_name(plug)}-{digest}.txt', _whole(error))}"
    return f"{text} ({where})"


def briefly(error: BaseException) -> str:
    """`error` of somebody's code that is no plug yet (a package that is imported, a class that is made): its message,
    with the file and line where it was raised. An import that fails and a syntax error tell all by themselves."""
    text = f"{type(error).__name__}: {_message(error)}".removesuffix(": ")
    if isinstance(error, (ImportError, AttributeError)):
        text = _message(error)
    if isinstance(error, SyntaxError):
        return text
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    theirs = [frame for frame in frames if Path(frame.filename).resolve() != Path(_OURS, "registry.py")]
    return f"{text} ({Path(theirs[-1].filename).name}:{theirs[-1].lineno})" if theirs else text


def first_line(error: BaseException) -> str:
    """Of what `error` says, shortened: what a library says of a file that it cannot read may go on for pages."""
    return (str(error).strip().splitlines() or [""])[0][:200]


@contextmanager
def one_line(kind: str, plug: object, what: str) -> Iterator[None]:
    """An error of `plug` that costs more than samples becomes a UsageError: `what`, the error, file and line."""
    try:
        yield
    except ProofglassError:
        raise
    except BaseException as error:
        if stops_the_run(error):
            raise
        raise UsageError(f"{what}: {told(error, kind, plug)}") from error


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # an exception class of the plug's own may be broken, too
        return "(its message cannot be read)"
    return text if len(text) <= LENGTH else f"{text[:LENGTH]} … ({len(text):,} characters)"


def _whole(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__ + "\n"


def _name(plug: object) -> str:
    name = str(getattr(plug, "name", "") or getattr(plug, "__name__", "") or type(plug).__name__)
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)[:60]


def _place(frames: traceback.StackSummary, kind: type) -> traceback.FrameSummary | None:
    """Where the plug's own code was when it failed."""
    files = [(str(Path(frame.filename).resolve()), frame) for frame in reversed(frames)]
    own = _files(kind)
    of_plug = (frame for file, frame in files if file in own)
    near = (frame for file, frame in files if not file.startswith((*_FOREIGN, _OURS)))
    return next(of_plug, None) or next(near, None)


def _files(kind: type) -> set[str]:
    """Files in which the class of a plug and its bases stand; those that only pass on what a plug does are none."""
    bases = ("proofglass.interfaces.", "proofglass.records.journal")
    modules = {base.__module__ for base in kind.__mro__ if not base.__module__.startswith(bases)}
    found = {name: getattr(sys.modules.get(name), "__file__", None) for name in modules}
    files = {name: str(Path(file).resolve()) for name, file in found.items() if file}
    return {file for name, file in files.items() if name == kind.__module__ or not file.startswith(_FOREIGN)}
