"""Errors that a user can act on: each names the thing, the field and the fix."""

from __future__ import annotations

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
}


def is_environment(error: BaseException) -> bool:
    """Whether `error`, or what it was raised from, is the machine's fault: running the same sample on a sound machine
    would have gone well. torch's own out-of-memory error is known by its name, so that torch need not be imported."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, (EnvironmentFault, MemoryError)):
            return True
        if isinstance(found, OSError) and found.errno in _OF_THE_MACHINE:
            return True
        if type(found).__name__ == "OutOfMemoryError":
            return True
        found = found.__cause__
    return False
