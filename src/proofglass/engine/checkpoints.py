"""Checkpoints of long optimisations. The runner names a folder; attacks and `minimise` know nothing of it.

A craft calls `minimise` in a fixed order, so the n-th call of a rerun finds the n-th file. Restoring is exact: every
random draw depends on seeds and the step number alone, and tensors are kept bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import EnvironmentFault, is_environment, remedy

if TYPE_CHECKING:
    import torch

DEFAULT_EVERY = 25


@dataclass
class _Folder:
    path: Path
    every: int
    calls: int = 0


_folder: ContextVar[_Folder | None] = ContextVar("proofglass_checkpoints", default=None)


@contextmanager
def kept_in(path: Path, every: int = DEFAULT_EVERY) -> Iterator[None]:
    """Every `minimise` inside writes its state to `path` every `every` steps, and goes on from what it finds there."""
    if every < 1:
        raise ValueError(f"every: expected 1 step or more, found {every}")
    token = _folder.set(_Folder(path, every))
    try:
        yield
    finally:
        _folder.reset(token)


@dataclass(frozen=True)
class Slot:
    """The file of one `minimise` call. fingerprint: what must be equal for its content to be used."""

    file: Path
    every: int
    fingerprint: str

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Tensors and facts of the last checkpoint; None if there is none, it is damaged or of another run."""
        from safetensors import SafetensorError, safe_open

        if not self.file.is_file():
            return None
        try:
            with safe_open(self.file, framework="pt") as content:
                told = content.metadata() or {}
                tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            if told.get("sha256") != _sha256(told.get("facts", ""), tensors):
                return None
            facts = json.loads(told["facts"])
            return (tensors, facts) if facts.pop("fingerprint", None) == self.fingerprint else None
        except (SafetensorError, OSError) as error:
            if is_environment(error):  # it may be whole: steps that were paid for are not thrown away
                raise
            return None

    def save(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """Write both, whole or not at all. Raises EnvironmentFault if they cannot be written."""
        from safetensors.torch import save

        # Cloned: a rule may keep one tensor under two names, which the file format refuses.
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        told = json.dumps(facts | {"fingerprint": self.fingerprint})
        content = save(plain, metadata={"facts": told, "sha256": _sha256(told, plain)})
        draft = self.file.with_suffix(f".{os.getpid()}.part")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(self.file)
        except OSError as error:  # whatever it is, no sample is at fault
            raise EnvironmentFault(
                f"{self.file}: cannot be written: {remedy(error) or error}. What was answered and crafted before is "
                "kept, and so is the checkpoint before this one."
            ) from error
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def _sha256(facts: str, tensors: dict[str, torch.Tensor]) -> str:
    """Of all that a checkpoint holds: a byte that rots in it would become another picture."""
    import torch

    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fingerprint(variables: Sequence[torch.Tensor], *parts: object) -> str:
    """Sha256 of the variables that a run begins with and of what it is made of, by their `repr`."""
    digest = hashlib.sha256(json.dumps([list(x.shape) for x in variables]).encode())
    for x in variables:
        digest.update(x.cpu().numpy().tobytes())
    digest.update(json.dumps(list(map(repr, parts))).encode())
    return digest.hexdigest()


def next_slot(fingerprint: str) -> Slot | None:
    """The slot of this call of `minimise`; None outside of `kept_in`."""
    folder = _folder.get()
    if folder is None:
        return None
    folder.calls += 1
    return Slot(folder.path / f"{folder.calls:05d}.safetensors", folder.every, fingerprint)
