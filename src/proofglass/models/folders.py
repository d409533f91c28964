"""What the encoders that load a folder of weights share: where it lies and what names it."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from proofglass.errors import MissingExtra, UsageError
from proofglass.interfaces import Layer, Model, key_of
from proofglass.interfaces.devices import Device
from proofglass.weights import check_folder, folder_of, texts_of, weights_hash


class FromFolder(Model):
    """A model from a folder or from the hub. Subclasses are frozen dataclasses that start with these three fields.

    path: a folder, or `owner/model` on the hub. revision: commit of a hub name. device: "auto", "cpu", "cuda".
    """

    path: str | Path
    revision: str
    device: Device

    registered: ClassVar[str] = ""
    not_in_key = ("revision",)  # the weights are
    config: ClassVar[str] = "config.json"
    weights: ClassVar[str] = "model*.safetensors"

    @property
    def name(self) -> str:  # type: ignore[override]
        """As an attack or a study spells it: `hf-encoder:FOLDER`."""
        return f"{self.registered}:{self.path}"

    @cached_property
    def folder(self) -> Path:
        """The folder, checked. Raises UsageError or UnsafeWeights that says what is wrong and what to do."""
        folder = folder_of(self.path, self.revision, self.weights)
        check_folder(folder, self.config, self.weights)
        return folder

    @cached_property
    def weights_hash(self) -> str:
        return weights_hash(self.folder, self.weights)

    @cached_property
    def key(self) -> str:
        """Holds the weights and every text of the folder that decides (configuration, preprocessing, tokenizer), not
        where it lies."""
        told = {k: v for k, v in self.settings().items() if k not in ("path", "revision")}
        return key_of([type(self).__name__, self.version, self.weights_hash, texts_of(self.folder), told])

    def card(self) -> dict[str, Any]:
        return {"name": self.name, "weights_sha256": self.weights_hash}


def library(module: str, install: str) -> Any:
    """The module, imported. Raises MissingExtra where it is absent, UsageError where it is there and does not load."""
    if find_spec(module) is None:
        raise MissingExtra(f"{module}: not installed. Run: {install}")
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            f"{module}: installed, but it does not load ({str(error).splitlines()[0]}). It needs a torchvision of the "
            "same build as torch; install both from one index"
        ) from error


def check_layer(layer: Layer) -> None:
    if layer not in ("pooled", "patches"):
        raise ValueError(f"layer: expected 'pooled' or 'patches', found {layer!r}")
