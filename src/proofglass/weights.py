"""Which weights are let in: safetensors folders, the model hub's, and files of packages with a pinned sha256.

A pickle can run code when it is loaded. So a folder holds safetensors or is refused, and the `.pth` file of a package
is loaded only if it is the very file that was checked, by a reader that builds tensors and nothing else.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from proofglass.errors import MissingExtra, UnsafeWeights, UsageError, is_environment

if TYPE_CHECKING:
    import torch

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_CONFIGURATION = ("*.json", "*.jinja", "*.txt", "*.model")  # nothing that could hold code


def check_folder(path: Path, config: str = "config.json", weights: str = "*.safetensors") -> None:
    """Raise UsageError or UnsafeWeights unless `path` holds `config` and safetensors that match `weights`."""
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder; give a folder with {config} and {weights}")
    if not (path / config).is_file():
        raise UsageError(f"{path}: no {config}; a model folder has one (save_pretrained)")
    if not any(path.glob(weights)):
        pickles = sorted(p.name for pattern in _PICKLES for p in path.glob(pattern))
        if pickles:
            raise UnsafeWeights(
                f"{path / pickles[0]}: a pickle checkpoint can run code when it is loaded, so it is refused. "
                "Convert it once, on a machine you can lose: "
                "CLASS.from_pretrained(DIR).save_pretrained(NEW_DIR), CLASS being the one of transformers that its "
                "config.json names under architectures."
            )
        raise UsageError(f"{path}: no {weights} weights; found no safetensors of that name")


def weights_hash(path: Path, weights: str = "*.safetensors") -> str:
    """Sha256 over the files of folder `path` that match `weights`, in name order: part of a model's identity."""
    digest = hashlib.sha256()
    for file in sorted(path.glob(weights)):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def folder_of(named: str | Path, revision: str = "main", weights: str = "*.safetensors") -> Path:
    """The folder `named`, or, for a name of the form `owner/model` that is no path here, the hub's copy of it."""
    path = Path(named).expanduser()
    return path if path.exists() or str(named).count("/") != 1 else from_hub(str(named), revision, weights)


def from_hub(name: str, revision: str = "main", weights: str = "*.safetensors") -> Path:
    """A hub model's configuration, tokenizer and safetensors, in the hub's own cache; no pickle and no code is fetched.

    Raises UsageError that says what to do if the model is gated, unknown, or out of reach.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[*_CONFIGURATION, weights]))
    except Exception as error:
        if is_environment(error):
            raise
        raise UsageError(
            f"model {name!r}: neither a folder here nor to be had from the hub: {_reason(error, revision)}. "
            "Or give the path of a folder with its configuration and *.safetensors."
        ) from error


def _reason(error: Exception, revision: str) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "it is gated; accept the licence on its page of the hub, then run `hf auth login`"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "it does not exist or is private; check the name, or run `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"it has no revision {revision!r}"
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError)):
        return "it is not in the local cache and the hub cannot be reached; check network and HF_HUB_OFFLINE"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"


def packaged(package: str, file: str, sha256: str, install: str) -> Path:
    """The file `file` of an installed package, found without importing it. install: the command that gets it.

    Raises MissingExtra if the package is absent, UnsafeWeights if the file is not the one of this sha256.
    """
    spec = find_spec(package)
    root = Path(spec.origin).parent if spec and spec.origin else None
    if root is None or not (root / file).is_file():
        raise MissingExtra(f"{package}: not installed, or without {file}. Run: {install}")
    path = root / file
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise UnsafeWeights(
            f"{path}: expected the file of sha256 {sha256[:16]}..., found {found[:16]}...; it is not loaded. "
            f"Get the checked release: {install}"
        )
    return path


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a package's `.pth` or `.pt` file, by name, on the CPU. Raises UnsafeWeights for anything else."""
    import torch

    try:
        found = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        if is_environment(error):
            raise
        raise UnsafeWeights(f"{path}: holds more than tensors, so it is refused ({type(error).__name__})") from error
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}
