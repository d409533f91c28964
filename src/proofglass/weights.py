"""Which weights are let in: safetensors folders, the model hub's, and files of packages with a pinned sha256.

A pickle can run code when it is loaded. So a folder holds safetensors or is refused, and the `.pth` file of a package
is loaded only if it is the very file that was checked, by a reader that builds tensors and nothing else. What a folder
states about itself, such as an index of its shards, may name files of that folder only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.digests import digest_of
from proofglass.errors import MissingExtra, ProofglassError, UnsafeWeights, UsageError, is_environment
from proofglass.faults import first_line

if TYPE_CHECKING:
    import torch

ADAPTER = "adapter_model.safetensors"  # of a LoRA adapter; without this very name PEFT opens adapter_model.bin
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_CONVERT = (
    "can run code when it is loaded, so it is refused. Convert it once, on a machine you can lose: "
    "CLASS.from_pretrained(DIR).save_pretrained(NEW_DIR), CLASS being the one of transformers that its config.json "
    "names under architectures."
)
_STATED = (
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.json",
)
_LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "depth", "encoder_layers", "decoder_layers")
_LONGEST = 100_000_000  # bytes of a header, as the format limits it
_CONFIGURATION = ("*.json", "*.jinja", "*.txt", "*.model")  # nothing that could hold code
_TEXTS = (*_CONFIGURATION, "additional_chat_templates/*.jinja", "*.tiktoken", "*.spm", "*.vocab")


def check_folder(path: Path, config: str = "config.json", weights: str = "*.safetensors") -> None:
    """Raise UsageError or UnsafeWeights unless `path` holds `config`, safetensors that match `weights` (`files_of`) and
    are what they are called, and texts that can be read and send nobody elsewhere."""
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder; give a folder with {config} and {weights}")
    if not (path / config).is_file():
        raise UsageError(f"{path}: no {config}; a model folder has one (save_pretrained)")
    stated = described(path / config)
    if not any(path.glob(weights)):
        pickles = sorted(p.name for pattern in _PICKLES for p in path.glob(pattern))
        if pickles:
            raise UnsafeWeights(f"{path / pickles[0]}: a pickle checkpoint {_CONVERT}")
        raise UsageError(f"{path}: no {weights} weights; found no safetensors of that name")
    if named := stated.get("transformers_weights"):  # loaded instead of the usual files
        raise UnsafeWeights(
            f"{path / config}: transformers_weights: names {str(named)[:80]!r} as the weights; only the usual file "
            "names are followed. Take that field out and call the file model.safetensors"
        )
    if config == "config.json" and (path / "adapter_config.json").is_file():
        raise UnsafeWeights(
            f"{path / 'adapter_config.json'}: beside config.json it would send transformers to the weights of another "
            "folder or hub name; put the adapter into a folder of its own and name it by `adapter`"
        )
    for name in _STATED:
        if (path / name).is_file():
            described(path / name)
    tensors = [name for file in files_of(path, weights) if file.suffix == ".safetensors" for name in header_of(file)]
    if config == "config.json":
        _check_layers(path / config, stated, tensors)


def _check_layers(file: Path, stated: Mapping[str, Any], tensors: Iterable[str]) -> None:
    """Raise UsageError for a configuration with more layers than any tensor's name counts: such a model would be built
    whole, for minutes, before the tensors are missed."""
    numbers = [int(part) for name in tensors for part in name.split(".") if part.isdecimal() and len(part) < 10]
    most = 1 + max(numbers, default=0)
    for section, fields in {"": stated, **{f"{k}.": v for k, v in stated.items() if isinstance(v, dict)}}.items():
        for field in _LAYERS:
            promised = fields.get(field)
            if isinstance(promised, (int, float)) and promised > most:
                raise UsageError(
                    f"{file}: {section}{field}: promises {promised} layers, the weights hold at most {most}; weights "
                    "and config.json are of different models, or files are absent"
                )


def described(file: Path) -> dict[str, Any]:
    """What a JSON file of a model folder states. Raises UsageError, naming the file, unless it is a JSON object."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # not UTF-8 is a ValueError, too
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise UsageError(f"{file}: no JSON that can be read ({where}); get the file again") from error
    if not isinstance(found, dict):
        raise UsageError(f"{file}: expected a JSON object, found {type(found).__name__}; get the file again")
    return found


def files_of(path: Path, weights: str = "*.safetensors") -> list[Path]:
    """The files from which folder `path` is loaded, in name order: model.safetensors, else the index of shards and what
    it names, else every safetensors that matches `weights`.

    A link counts as what it points to, which is what is checked and hashed. Raises UnsafeWeights for an index that
    names anything but safetensors beside it, UsageError for one that is broken or names a file which is not there.
    """
    whole, index = path / "model.safetensors", path / "model.safetensors.index.json"
    if whole.is_file() and whole.match(weights):
        return [whole]
    if not index.is_file() or not whole.match(weights):
        return sorted(path.glob(weights))
    where = described(index).get("weight_map")
    if not isinstance(where, dict) or not where or not all(isinstance(name, str) for name in where.values()):
        raise UsageError(f"{index}: weight_map: expected names of tensors and their files; get the file again")
    for name in sorted(set(where.values())):
        if not name.endswith(".safetensors"):
            raise UnsafeWeights(f"{index}: weight_map: names {name!r}, no safetensors: a pickle checkpoint {_CONVERT}")
        if Path(name).name != name or "\\" in name:
            raise UnsafeWeights(f"{index}: weight_map: names {name!r}, a path; only files beside it are loaded")
        if not os.path.isfile(path / name):  # False also for a name that no disk can hold
            raise UsageError(f"{index}: weight_map: names {name!r}, which is not there; get all files of the model")
    return sorted({index, *(path / name for name in where.values())})


def header_of(file: Path) -> dict[str, Any]:
    """Names of the tensors of a safetensors file, each with its "dtype" and "shape"; no tensor is read.

    Raises UnsafeWeights for a pickle or a zip, which torch writes, UsageError for a file that is broken.
    """
    if not file.is_file():  # opening a pipe would wait for ever
        raise UsageError(f"{file}: weights that cannot be read (no file, or a link that leads to none); get it again")
    with file.open("rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        try:
            if len(start) < 8 or length > min(_LONGEST, file.stat().st_size - 8):
                raise ValueError("its header is cut off")
            found = json.loads(stream.read(length))
            if not isinstance(found, dict) or not all(isinstance(of, dict) for of in found.values()):
                raise ValueError("its header is no table of tensors")
        except (ValueError, RecursionError) as error:
            if start[:2] == b"PK" or start[:1] == b"\x80":
                raise UnsafeWeights(
                    f"{file}: no safetensors in spite of its name: a pickle checkpoint {_CONVERT}"
                ) from error
            said = str(error).splitlines()[0]
            raise UsageError(f"{file}: weights that cannot be read ({said}); get the file again") from error
    return {name: of for name, of in found.items() if name != "__metadata__"}


def weights_hash(path: Path, weights: str = "*.safetensors") -> str:
    """Sha256 over the bytes of `files_of` folder `path`: part of a model's identity."""
    digest = hashlib.sha256()
    for file in files_of(path, weights):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def readable(path: Path, part: str, files: str) -> Iterator[None]:
    """Whatever a library raises while it reads `part` of folder `path` becomes a UsageError that names the `files`:
    they are a stranger's, and every library has its own error for them. What is the machine's own stays as it is."""
    try:
        yield
    except ProofglassError:
        raise
    except Exception as error:
        if is_environment(error):
            raise
        reason = first_line(error).partition(". ")[0] or type(error).__name__
        raise UsageError(f"{path}: no {part} that can be read ({reason}); it needs {files}") from error


def texts_of(folder: Path) -> dict[str, str]:
    """Name -> sha256 of what decides in a model's folder beside weights: configuration, chat templates, tokenizer."""
    files = sorted(file for pattern in _TEXTS for file in folder.glob(pattern))
    return {file.relative_to(folder).as_posix(): digest_of(file) for file in files}


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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers without warnings and bars: a bar per victim would tear the study's own."""
    from transformers import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # Of peft and transformers among themselves.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        logging.set_verbosity(before)
