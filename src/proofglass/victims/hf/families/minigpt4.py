"""MiniGPT-4 (Zhu et al. 2023, arXiv:2304.10592) from a user's own parts, as a folder that the victim `hf` loads.

Its vision is that of BLIP-2 (EVA-CLIP ViT-g and the Q-Former of the weights with Flan-T5 XXL), its language model a
Vicuna, and all that was trained is one linear layer between them. So in terms of transformers it is a BLIP-2 whose
language projection is that layer: `assemble` writes it as one, shard by shard, in the dtypes of the parts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import UnsafeWeights, UsageError, is_environment
from proofglass.weights import check_folder

if TYPE_CHECKING:
    from torch import Tensor

MARK, STOP = "<image>", "###"
PROJECTION = ("llama_proj.weight", "llama_proj.bias")
SYSTEM = (
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you. "
    "Please answer my questions."
)
# The conversation of the authors' first release, with Vicuna v0. A system prompt takes the place of theirs.
TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] != 'system' %}" + SYSTEM + "###{% endif %}{% for m in messages %}"
    "{% if m['role'] == 'user' %}Human: {% elif m['role'] == 'assistant' %}Assistant: {% endif %}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if not loop.first %}{{ ' ' }}{% endif %}"
    "{% if c['type'] == 'image' %}<Img><image></Img>{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}###"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def assemble(blip2: Path, vicuna: Path, projection: Path, out: Path, sha256: str = "") -> Path:
    """Write MiniGPT-4 to the new folder `out`, in the shape of BLIP-2, and return it.

    blip2: folder of Salesforce/blip2-flan-t5-xxl, whose language model is left out. vicuna: folder of the Vicuna v0
    that the layer was trained for (7B or 13B), as a `LlamaForCausalLM`. projection: a safetensors file with
    llama_proj.weight and llama_proj.bias; or the authors' checkpoint (.pth), and then sha256, that of the file which
    you mean to load: it is read by a reader that builds tensors and nothing else.
    Raises UsageError for parts that do not fit together, UnsafeWeights for what may not be read.
    """
    blip2, vicuna, projection, out = (Path(path).expanduser() for path in (blip2, vicuna, projection, out))
    seen, said = _config(blip2, "Blip2ForConditionalGeneration"), _config(vicuna, "LlamaForCausalLM")
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty; name a new folder")
    linear = _projection(projection, sha256)
    expected = (said["hidden_size"], seen.get("qformer_config", {}).get("hidden_size", 768))
    if tuple(linear[PROJECTION[0]].shape) != expected:
        raise UsageError(
            f"{projection}: {PROJECTION[0]}: expected shape {list(expected)} between the Q-Former of {blip2} and "
            f"{vicuna}, found {list(linear[PROJECTION[0]].shape)}; the layers for 7B and 13B differ"
        )
    unfinished = out.with_name(f"{out.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        _fill(unfinished, blip2, vicuna, linear, seen, said)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return out


def _fill(
    out: Path, blip2: Path, vicuna: Path, linear: Mapping[str, Tensor], seen: dict[str, Any], said: dict[str, Any]
) -> None:
    """seen, said: the configurations of BLIP-2 and of the Vicuna."""
    import transformers

    words = _words(vicuna, out)
    image, unknown = words.convert_tokens_to_ids(MARK), words.unk_token_id or 0
    tokens = max(int(said["vocab_size"]), image + 1)
    config = transformers.Blip2Config(
        vision_config=seen.get("vision_config"),
        qformer_config=seen.get("qformer_config"),
        text_config={**said, "vocab_size": tokens},
        num_query_tokens=seen.get("num_query_tokens", 32),
        image_token_index=image,
        architectures=["Blip2ForConditionalGeneration"],
    )
    _write(out, _shards(blip2, vicuna, linear, tokens, unknown), _names(config))
    config.save_pretrained(out)
    made = {"processor_class": "Blip2Processor", "num_query_tokens": config.num_query_tokens}
    ends = {key: said[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in said}
    (out / "preprocessor_config.json").write_bytes((blip2 / "preprocessor_config.json").read_bytes())
    (out / "processor_config.json").write_text(json.dumps(made))
    (out / "generation_config.json").write_text(json.dumps({**ends, "stop_strings": [STOP]}))


def _config(folder: Path, architecture: str) -> dict[str, Any]:
    check_folder(folder)
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    if architecture not in (found.get("architectures") or []):
        raise UsageError(
            f"{folder / 'config.json'}: architectures: expected {architecture}, found {found.get('architectures')}"
        )
    return found


def _projection(path: Path, sha256: str) -> Mapping[str, Tensor]:
    """The linear layer, by the names that the authors' checkpoints give it."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        found: Mapping[str, Any] = load_file(path)
    else:
        found = _checked(path, sha256)
        found = found.get("model", found)
    missing = [name for name in PROJECTION if name not in found]
    if missing:
        raise UsageError(f"{path}: expected {' and '.join(PROJECTION)}, found {', '.join(sorted(found)[:5])}")
    return {name: found[name] for name in PROJECTION}


def _checked(path: Path, sha256: str) -> Mapping[str, Any]:
    import torch

    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256.lower():
        stated = f"{sha256[:16]}..." if sha256 else "none was given"
        raise UnsafeWeights(
            f"{path}: its sha256 is {found}, sha256: {stated}. A pickle is read only as the very file that you mean: "
            "give its sha256, from a source that you trust"
        )
    try:
        made: Mapping[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        return made
    except Exception as error:
        if is_environment(error):
            raise
        raise UnsafeWeights(
            f"{path}: holds more than tensors, so it is refused ({type(error).__name__}); write "
            f"{' and '.join(PROJECTION)} to a safetensors file, on a machine you can lose"
        ) from error


def _words(vicuna: Path, out: Path) -> Any:
    """The Vicuna's tokenizer with a marker for pictures and MiniGPT-4's conversation, saved to `out`.

    The authors tokenise the texts before and behind a picture one by one, so each of them begins with the space that
    a Llama tokenizer writes in front of a text. `legacy` says that it does so behind the marker, too.
    """
    import transformers

    words = transformers.AutoTokenizer.from_pretrained(vicuna, trust_remote_code=False)
    words.add_tokens([MARK], special_tokens=True)
    words.chat_template = TEMPLATE
    words.save_pretrained(out)
    described = json.loads((out / "tokenizer_config.json").read_text())
    (out / "tokenizer_config.json").write_text(json.dumps({**described, "legacy": True}))
    words = transformers.AutoTokenizer.from_pretrained(out, trust_remote_code=False)
    text = "</Img> what is it?"
    alone, behind = (words(t, add_special_tokens=False)["input_ids"] for t in (text, MARK + text))
    if behind[1:] != alone:
        raise UsageError(
            f"{vicuna}: tokenizer: writes a text behind a picture as {words.convert_ids_to_tokens(behind[1:4])}, and "
            f"alone as {words.convert_ids_to_tokens(alone[:3])}; take the tokenizer of class LlamaTokenizer"
        )
    return words


def _names(config: Any) -> set[str]:
    """Of all weights of a BLIP-2 of this configuration."""
    import torch
    import transformers

    with torch.device("meta"):
        names = set(transformers.Blip2ForConditionalGeneration(config).state_dict())
    return names - {"language_model.lm_head.weight"} if config.text_config.tie_word_embeddings else names


def _shards(
    blip2: Path, vicuna: Path, linear: Mapping[str, Tensor], tokens: int, unknown: int
) -> Iterator[dict[str, Tensor]]:
    """All weights under BLIP-2's names, file by file of the parts."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    for file in sorted(blip2.glob("*.safetensors")):
        with safe_open(file, "pt") as parts:
            yield {name: parts.get_tensor(name) for name in parts.keys() if not name.startswith("language_")}  # noqa: SIM118
    yield {f"language_projection.{name.rpartition('.')[2]}": t.contiguous() for name, t in linear.items()}
    for file in sorted(vicuna.glob("*.safetensors")):
        said = load_file(file)
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            if name in said:
                said[name] = _longer(said[name], tokens, unknown)
        yield {f"language_model.{name}": t for name, t in said.items()}


def _longer(rows: Tensor, tokens: int, unknown: int) -> Tensor:
    """Room for the marker: features stand in its place, and it is as unlikely a reply as the unknown token."""
    import torch

    return torch.cat([rows, rows[unknown].expand(tokens - len(rows), -1)]).contiguous()


def _write(out: Path, shards: Iterator[dict[str, Tensor]], names: set[str]) -> None:
    from safetensors.torch import save_file

    where: dict[str, str] = {}
    for k, shard in enumerate(shards):
        kept = {name: tensor for name, tensor in shard.items() if name in names}
        if kept:
            file = f"model-{k:05d}.safetensors"
            save_file(kept, out / file, metadata={"format": "pt"})
            where |= dict.fromkeys(kept, file)
    if missing := sorted(names - set(where)):
        raise UsageError(f"{out}: the parts lack {len(missing)} weights, such as {', '.join(missing[:3])}")
    (out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
