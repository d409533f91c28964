"""Errors that a user can act on: each names the thing, the field and the fix."""

from __future__ import annotations

import contextlib
import errno


class ProofglassError(Exception):
    """Base of every error that the command line prints as one clear line (exit code 2)."""


class UsageError(ProofglassError):
    """What the user asked for cannot be done as asked: a wrong name, field, value, file or folder."""


class UnknownName(UsageError):
    """No plug of this kind has this name; the message suggests the nearest ones."""


class MissingExtra(UsageError):
    """A package of an optional extra is absent; the message holds the exact command that gets it."""


class ClosedVictim(UsageError):
    """A victim does not open the part that was asked for; the message names it."""


class UnsafeWeights(UsageError):
    """Weights in a format that can run code on loading (pickle); the message says how to convert them."""


class ImageError(ProofglassError):
    """A picture file that cannot be used: truncated, too large, not a picture. Costs its sample only."""


class StoreError(UsageError):
    """The run folder cannot be used: locked, read-only, full, or of another schema version."""


class NothingMeasured(ProofglassError):
    """A cell ended without one judged sample: the run failed (exit code 1), whatever else it holds."""


class ZeroGradient(ProofglassError):
    """An attack whose objective does not depend on the picture: it would optimise rounding noise."""


class TooLong(ValueError):
    """An ask that does not fit into a model's context. tokens: of its prompt, pictures included; new: asked for."""

    def __init__(self, tokens: int, new: int, window: int) -> None:
        super().__init__(
            f"too long for the model: {tokens} tokens and {new} new ones do not fit into its maximum context length of "
            f"{window} tokens"
        )


class EnvironmentFault(ProofglassError):
    """The machine failed, not a sample: a full disk, an I/O error, no memory, no file handles. The run stops cleanly,
    nothing is recorded as a sample's failure, and the same command goes on once the cause is mended."""


_OF_THE_MACHINE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EROFS,
    errno.ESTALE,
}

# torch says it in a RuntimeError where it has no class of its own for it.
_NO_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
_NO_DEVICE = "CUDA error: "  # after one, every further call on the device fails, whoever's sample it is for

_REMEDIES = {
    errno.ENOSPC: "the disk is full. Free some space, then run the same command again",
    errno.EDQUOT: "the disk quota is used up. Free some space, then run the same command again",
    errno.EIO: "the disk or its connection fails (I/O error). Mend it, then run the same command again",
    errno.EMFILE: "too many open files. Raise the limit (`ulimit -n`), then run the same command again",
    errno.ENFILE: "the system has too many open files. Close some programs, then run the same command again",
    errno.EROFS: "the file system is read-only. Mend it, or choose another folder with --out",
    errno.ESTALE: "the network file system lost this file. Mount it anew, then run the same command again",
}


def is_environment(error: BaseException) -> bool:
    """Whether `error`, or what it was raised from or gathers, is the machine's fault: running the same sample on a
    sound machine would have gone well. torch's own errors are known by name and text, so that torch need not be
    imported."""
    return any(
        isinstance(found, EnvironmentFault)
        or (isinstance(found, OSError) and found.errno in _OF_THE_MACHINE)
        or _is_memory(found)
        or _is_device(found)
        for found in _behind(error)
    )


def _behind(error: BaseException) -> list[BaseException]:
    """`error`, what it was raised from, and what it gathers (an ExceptionGroup), each once: they may form a ring."""
    found: list[BaseException] = [error]
    for each in found:
        more = (each.__cause__, *(each.exceptions if isinstance(each, BaseExceptionGroup) else ()))
        found += [next_ for next_ in more if next_ is not None and not any(next_ is known for known in found)]
    return found


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in _said(error) for words in _NO_MEMORY)


def _is_device(error: BaseException) -> bool:
    return _NO_DEVICE in _said(error)


def _said(error: BaseException) -> str:
    """The message of a RuntimeError; empty for all others, and where a class of a plug's own cannot tell it."""
    with contextlib.suppress(Exception):
        return str(error) if isinstance(error, RuntimeError) else ""
    return ""


def remedy(error: BaseException) -> str:
    """What failed of the machine and what mends it, in words; empty if `error` is no fault of the machine."""
    for found in _behind(error):
        if isinstance(found, OSError) and found.errno in _REMEDIES:
            return _REMEDIES[found.errno]
        if _is_memory(found) or (isinstance(found, OSError) and found.errno == errno.ENOMEM):
            return (
                "out of memory. Free some, or take smaller models, a smaller dtype, fewer max_new_tokens or a smaller "
                "batch, then run the same command again"
            )
        if _is_device(found):
            return "the GPU failed, and is lost to this process. See to it, then run the same command again"
    return ""


def machine_fault(error: BaseException, what: str) -> EnvironmentFault:
    """`error`, a fault of the machine, as the one line that a user sees. what: what stopped, such as a run folder."""
    if isinstance(error, EnvironmentFault):
        return error
    return EnvironmentFault(
        f"{what}: stopped: {remedy(error) or 'the machine failed'} ({type(error).__name__}: {error}). Nothing of this "
        "is recorded as a failure; what was answered before is kept."
    )
