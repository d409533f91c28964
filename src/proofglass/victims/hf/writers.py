"""Which class of transformers a folder names, what of it writes text, and what is mended of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from proofglass.errors import UsageError
from proofglass.victims.hf.loading import processor_class
from proofglass.weights import described

SHIELDGEMMA_2 = "ShieldGemma2ForImageClassification"


def architecture_in(path: Path) -> str:
    """The class that config.json names. Raises UsageError for none, or one that transformers does not have."""
    named = described(path / "config.json").get("architectures")
    found = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    kind = getattr(transformers, found, None) if found else None
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise UsageError(
            f"{path / 'config.json'}: architectures: expected a model class of transformers "
            f"{transformers.__version__}, found {found or named!r}"
        )
    return found


def writer_in(model: Any, path: Path) -> Any:
    """`model`, or the one inside it that writes text. Raises UsageError if none does."""
    for found in (model, getattr(model, "model", None)):
        if found is not None and hasattr(found, "can_generate") and found.can_generate():
            return found
    raise UsageError(f"{path / 'config.json'}: architectures: {type(model).__name__} writes no text")


def mended(model: Any) -> Any:
    """`model`, with what its class misses in some releases of transformers put in place.

    Llama 4 reads `image_outputs` off what its language model gives, which has none in 5.24: no forward pass ends.
    """

    def filled(_module: Any, _given: Any, output: Any) -> None:
        if not hasattr(output, "image_outputs"):
            output.image_outputs = None

    if type(model).__name__ == "Llama4ForConditionalGeneration":
        model.language_model.register_forward_hook(filled)
    return model


def sees_pictures(path: Path) -> bool:
    """Whether the folder has a processor of text and pictures, with the part for pictures."""
    if processor_class(path) is None:
        return False
    stated = path / "processor_config.json"
    inside = stated.is_file() and "image_processor" in described(stated)
    return inside or (path / "preprocessor_config.json").is_file()
