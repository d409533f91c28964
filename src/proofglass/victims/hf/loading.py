"""From a folder to a model: weights (quantised, with an adapter, over several devices), tokenizer, processors."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch

from proofglass.errors import MissingExtra, ProofglassError, UsageError, is_environment
from proofglass.faults import first_line
from proofglass.interfaces.devices import SPREAD, placed
from proofglass.victims.hf.families import FAMILIES, family_of, nearest
from proofglass.victims.hf.memory import out_of_memory
from proofglass.weights import ADAPTER, check_folder, described, files_of, quiet, readable

Quantised = Literal["", "int8", "nf4"]


@dataclass(frozen=True)
class Options:
    """How weights are loaded.

    device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", or "spread": layers over all GPUs and what is left
    of memory, by accelerate. dtype: float32, bfloat16, float16, float64. adapter: folder of a LoRA adapter (PEFT,
    safetensors), merged into the weights unless they are quantised. quantised: "" for none, "int8" or "nf4" by
    bitsandbytes.
    """

    device: str = "auto"
    dtype: str = "float32"
    adapter: Path | None = None
    quantised: Quantised = ""

    @property
    def placed(self) -> str:
        """The one device; of "spread" what accelerate calls it. Raises UsageError for one that is not there."""
        return "auto" if self.device == SPREAD else placed(self.device)


def load(path: Path, options: Options) -> tuple[Any, Any, type[Any]]:
    """Model (frozen, in evaluation mode), tokenizer (padding left) and the class of its family.

    Raises UsageError for an unknown architecture or unreadable weights, UnsafeWeights for pickles, MissingExtra with
    the command for a package that an option needs.
    """
    import transformers

    check_folder(path)
    if options.adapter is not None:
        check_folder(options.adapter, "adapter_config.json", ADAPTER)
        needs("peft", "adapter")
    architecture, family = family_in(path)
    with quiet():
        model = model_of(path, getattr(transformers, architecture), options)
        tokenizer = tokenizer_of(path)
        if options.adapter is not None:
            model = _adapted(model, options)
    for module in model.modules():
        # On a CPU, bitsandbytes packs 4-bit weights for inference; its packed form has no gradient.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    if not options.quantised and options.device != SPREAD:
        model = model.to(options.placed)
    return model.eval().requires_grad_(False), tokenizer, family


def family_in(path: Path) -> tuple[str, type[Any]]:
    """Architecture that the folder's config.json names, and the class of its family. Raises UsageError for an unknown
    one, or one whose weights cannot be used."""
    import transformers

    config = described(path / "config.json")
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else "?"
    family = family_of(architecture)
    if family is None or not hasattr(transformers, architecture):
        near = nearest(architecture)
        raise UsageError(
            f"{path / 'config.json'}: architectures: {architecture!r} has no adapter"
            f"{'; the nearest that has one: ' + ', '.join(near) if near else ''}. There is one for "
            f"{', '.join(sorted(FAMILIES))} and every ...ForCausalLM"
        )
    if reason := family.refusal(config):
        raise UsageError(f"{path / 'config.json'}: {reason}")
    return architecture, family


def positions_of(config: Any) -> int:
    """Tokens that a model of this configuration takes at the most, prompt and reply together; 0: no limit is stated."""
    text = config.get_text_config()
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
    stated = (getattr(text, name, None) for name in names)
    return next((found for found in stated if isinstance(found, int) and found > 0), 0)


def positions_in(path: Path) -> int:
    """`positions_of` a folder, without its weights."""
    from transformers import AutoConfig

    with quiet(), readable(path, "configuration", "config.json"):
        return positions_of(AutoConfig.from_pretrained(path, trust_remote_code=False))


def tokenizer_of(path: Path) -> Any:
    """The folder's tokenizer, padding left."""
    from transformers import AutoTokenizer

    with quiet(), readable(path, "tokenizer", "tokenizer.json and tokenizer_config.json"):
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    tokenizer.padding_side = "left"
    return tokenizer


def model_of(path: Path, kind: Any, options: Options) -> Any:
    """The model, every tensor of it from the folder: transformers would leave an absent one random, with a warning."""
    from safetensors import SafetensorError

    try:
        model, found = kind.from_pretrained(
            path,
            dtype=getattr(torch, options.dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **_placing(options),
        )
    except (SafetensorError, OSError) as error:
        if is_environment(error):
            raise
        raise UsageError(
            f"{_broken(path) or path}: weights that cannot be read ({str(error).splitlines()[0]}); get the file again"
        ) from error
    except ProofglassError:
        raise
    except Exception as error:  # a stranger's config.json can make a class fail in any way
        if is_environment(error) or out_of_memory(error):
            raise
        said = (
            "tensors of another shape than config.json says"
            if "ignore_mismatched_sizes" in str(error)
            else f"{kind.__name__} cannot be built as config.json says ({type(error).__name__}: {first_line(error)})"
        )
        raise UsageError(f"{path}: {said}; weights and config.json are of different models") from error
    if absent := sorted(found["missing_keys"]):
        raise UsageError(
            f"{path}: the weights lack {len(absent)} tensors of {kind.__name__}, the first is {absent[0]}; "
            "get all *.safetensors files of the model"
        )
    return model


def _broken(path: Path) -> Path | None:
    """The first safetensors file that does not open."""
    from safetensors import SafetensorError, safe_open

    for file in files_of(path):
        if file.suffix == ".json":
            continue
        try:
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError):
            return file
    return None


def _placing(options: Options) -> dict[str, Any]:
    """How `from_pretrained` is told where tensors go. Raises UsageError for a device that is not there: now, not after
    the minutes of loading."""
    placed_on, more = options.placed, dict[str, Any]()
    if options.device == SPREAD:
        needs("accelerate", 'device "spread"')
        more["device_map"] = placed_on
    if options.quantised:
        from transformers import BitsAndBytesConfig

        for package in ("bitsandbytes", "accelerate"):
            needs(package, "quantised")
        more.setdefault("device_map", {"": placed_on})
        more["quantization_config"] = (
            BitsAndBytesConfig(load_in_8bit=True)
            if options.quantised == "int8"
            else BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_compute_dtype=getattr(torch, options.dtype),
            )
        )
    return more


def _adapted(model: Any, options: Options) -> Any:
    import peft

    assert options.adapter is not None
    with readable(options.adapter, "adapter", "the adapter_config.json and adapter_model.safetensors of one training"):
        found = peft.PeftModel.from_pretrained(model, str(options.adapter), is_trainable=False)
    return found.get_base_model() if options.quantised else found.merge_and_unload()


def needs(package: str, what: str) -> None:
    """Raise MissingExtra, with the command, for a package that is absent. what: what needs it."""
    if find_spec(package) is None:
        raise MissingExtra(f"{what}: needs {package}. Run: pip install {package}")


def image_processor(path: Path, form: str = "pil") -> Any:
    """The folder's own processor, in its Pillow form: what is deployed where torchvision is absent, and the form whose
    values a twin can make to the last level. What the class of its processor of text and pictures asks of it at every
    call, such as InternVL's tiles, is set on it. form: "torchvision" for the other one."""
    from transformers import AutoImageProcessor

    with quiet(), readable(path, "image processor", "preprocessor_config.json or processor_config.json"):
        try:
            found = AutoImageProcessor.from_pretrained(path, trust_remote_code=False, backend=form)
        except ValueError as error:
            if "Missing optional dependencies: torchvision" in str(error):  # a few have no Pillow form
                needs("torchvision", f"{path}: its image processor")
            raise
    for name, value in getattr(processor_class(path), "images_kwargs", {}).items():
        if hasattr(found, name):
            setattr(found, name, value)
    return found


def default_form() -> str:
    """The form of image processors that transformers loads here if it is not told: "torchvision" or "pil"."""
    from transformers.utils.import_utils import is_torchvision_available

    return "torchvision" if is_torchvision_available() else "pil"


def processor_class(path: Path) -> Any:
    """Class of the folder's processor of text and pictures, None where the folder names none."""
    import transformers

    stated: dict[str, Any] = {}
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        if (path / name).is_file():
            stated = {**described(path / name), **stated}
    return getattr(transformers, str(stated.get("processor_class")), None)


def processor_template(path: Path) -> Any:
    """The chat template of the folder's processor, where transformers looks for it: processor_config.json, a file of
    its own in the form of older releases, in that of newer ones. None where it has none; a tokenizer may."""
    for name in ("processor_config.json", "chat_template.json"):
        if (path / name).is_file() and (found := described(path / name).get("chat_template")):
            return found
    own = path / "chat_template.jinja"
    return own.read_text(encoding="utf-8") if own.is_file() else None


def full_processor(path: Path, images: Any, tokenizer: Any) -> Any:
    """The processor class that the folder names, around parts that are loaded already: making it by `AutoProcessor`
    would also load video and audio parts, which need other packages. None where the folder names none."""
    import transformers

    kind = processor_class(path)
    if kind is None:
        return None
    taken = inspect.signature(kind.__init__).parameters
    own = described(path / "processor_config.json") if (path / "processor_config.json").is_file() else {}
    fields = {name: value for name, value in own.items() if name in taken and not name.endswith("processor")}
    with quiet(), readable(path, "processor of text and pictures", "processor_config.json"):
        for name in taken:  # a further tokenizer, in a folder of its name (InstructBLIP's "qformer_tokenizer")
            if name.endswith("_tokenizer"):
                fields[name] = transformers.AutoTokenizer.from_pretrained(path / name, trust_remote_code=False)
        given = {"image_processor": images, "tokenizer": tokenizer, **fields}
        absent = {name: None for name in kind.get_attributes() if name not in given}
        if absent:  # parts for other media, which nothing here asks for
            kind = type(
                kind.__name__, (kind,), {"check_argument_for_proper_class": lambda self, name, part: type(part)}
            )
        try:
            return kind(**given, **absent)
        except ImportError as error:
            raise MissingExtra(f"{path}: {kind.__name__}: {error}") from error
