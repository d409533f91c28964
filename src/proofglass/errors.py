"""Errors that a user can act on: each names the thing, the field and the fix."""

from __future__ import annotations


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
