"""Files of data sets on the model hub, at one commit, in the hub's own cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from proofglass.errors import UsageError, is_environment


def fetched(name: str, revision: str, patterns: Sequence[str]) -> Iterator[Path]:
    """The files of the data set `owner/name` at the commit `revision` that fit `patterns` (globs), in the order of
    their names; no other file is fetched, and no code runs. Raises UsageError, which says why, where they cannot be
    had."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=list(patterns)))
    except Exception as error:
        if is_environment(error):
            raise
        raise UsageError(f"data set {name!r} at {revision[:12]}: {_reason(error)}") from error
    found = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    if not found:
        raise UsageError(f"data set {name!r} at {revision[:12]}: holds no file that fits {', '.join(patterns)}")
    yield from found


def folder_in(files: Sequence[Path], revision: str) -> Path:
    """The folder of the snapshot at `revision` that these files lie in."""
    return next(folder for folder in files[0].parents if folder.name == revision)


def _reason(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "it is gated; accept its licence on its page of the hub, then run `hf auth login`"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the hub has none of this name, or it is private; log in with `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return "it has no such revision"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "it is not in the local cache and the hub cannot be reached; check network and HF_HUB_OFFLINE"
    return f"cannot be had from the hub: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
