"""The networks of the surrogate encoders and detectors, and how their weights folders are read.

Small, written out in plain torch: nothing here is a class of the victims, and no weight is. Every network takes
pixels float32 [B, 3, 96, 96] in [0, 1] and normalises inside.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from proofglass.testbed.pictures import SIZE
from proofglass.testbed.tokenizer import PAD_ID, build_tokenizer

WEIGHTS = Path(__file__).parent / "weights"
LONGEST = 64
"""Tokens that a text tower reads at most."""
TOWER_FROM = "testbed-linear"
"""The victim whose frozen tower `testbed-clip` shares; all of testbed-linear-* and testbed-cross-* have this one."""


class Block(nn.Module):
    """One pre-norm transformer layer. mask: bool [B, n], which tokens are there."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp), nn.GELU(), nn.Linear(mlp, width))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(self.before(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask[:, None, None])
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        found: Tensor = x + self.mlp(self.between(x))
        return found


class ViT(nn.Module):
    """Patches -> tokens [B, n, width], no class token."""

    def __init__(self, width: int, depth: int, patch: int, heads: int = 4) -> None:
        super().__init__()
        self.step, self.width = patch, width
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.places = nn.Parameter(torch.randn((SIZE // patch) ** 2, width) * 0.1)
        self.blocks = nn.ModuleList(Block(width, heads, 3 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.embed(2 * pixels - 1).flatten(2).transpose(1, 2) + self.places
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.norm(x)
        return found

    @torch.no_grad()
    def whiten(self, pixels: Tensor) -> None:
        filters, shift = whitening(pixels, self.step, self.width)
        self.embed.weight.copy_(filters)
        self.embed.bias.copy_(shift)  # type: ignore[union-attr]


def whitening(pixels: Tensor, patch: int, width: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of a patch embedding that starts as the PCA whitening of these pictures: it reads sooner."""
    patches = F.unfold(2 * pixels - 1, patch, stride=patch).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    values, vectors = values[-width:], vectors[:, -width:]
    filters = (vectors / (values + 1e-2 * values.mean()).sqrt()).T
    return filters.reshape(width, 3, patch, patch), -filters @ mean


class ConvNet(nn.Module):
    """3 x 3 convolutions with batch normalisation -> the positions of the last map, [B, n, width].

    widths, strides: of each layer; n = (96 / product of the strides)^2. brief: trains in bfloat16, at half the cost;
    it runs in float32 all the same.
    """

    def __init__(self, widths: Sequence[int], strides: Sequence[int], brief: bool = False) -> None:
        super().__init__()
        self.brief = brief
        layers: list[nn.Module] = []
        for before, after, stride in zip((3, *widths[:-1]), widths, strides, strict=True):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.GELU()]
        self.layers, self.step, self.width = nn.Sequential(*layers), math.prod(strides), widths[-1]

    def forward(self, pixels: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.brief and self.training):
            found: Tensor = self.layers(2 * pixels - 1)
        return found.to(pixels.dtype).flatten(2).transpose(1, 2)

    def fold(self) -> None:
        """Each normalisation into the convolution before it, for good: what is loaded has none left.

        In torch 2.13 the gradient through `batch_norm` in evaluation mode is wrong for a batch of one picture if it
        arrives transposed, as it does here.
        """
        layers = list(self.layers)
        folded: list[nn.Module] = []
        for conv, norm, activation in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
            folded += [fuse_conv_bn_eval(conv, norm), activation]  # type: ignore[type-var, arg-type]
        self.layers = nn.Sequential(*folded)


class SharedTower(nn.Module):
    """The frozen CLIP tower of a victim, its patch tokens [B, 64, 128]; its weights stay in the victim's folder."""

    step, width = 12, 128

    def __init__(self, folder: Path = WEIGHTS / TOWER_FROM) -> None:
        super().__init__()
        from transformers import CLIPVisionModel

        from proofglass.testbed.tower import clip_config

        # Held outside of the module: neither trained nor written with it.
        self.held = [CLIPVisionModel(clip_config()).eval().requires_grad_(False)]
        self.held[0].load_state_dict(tower_weights(folder))

    def _apply(self, fn: Callable[..., Tensor], recurse: bool = True) -> SharedTower:
        self.held[0]._apply(fn, recurse)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def all_tokens(self, pixels: Tensor) -> Tensor:
        """[B, 65, 128], the class token first."""
        found: Tensor = self.held[0](pixel_values=2 * pixels - 1).last_hidden_state
        return found

    def forward(self, pixels: Tensor) -> Tensor:
        return self.all_tokens(pixels)[:, 1:]


def tower_weights(folder: Path) -> dict[str, Tensor]:
    """The tower of a linear-projection victim, float32, under the names of `CLIPVisionModel`."""
    mark = "vision_tower."
    with safe_open(folder / "model.safetensors", "pt") as file:
        names = [name for name in file.keys() if mark in name]  # noqa: SIM118 (no iterator)
        return {name.split(mark)[1].removeprefix("vision_model."): file.get_tensor(name).float() for name in names}


class TextTower(nn.Module):
    """Token ids [n, L], padded with 0 -> the mean over their tokens [n, width]."""

    def __init__(self, vocabulary: int, width: int, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(torch.randn(LONGEST, width) * 0.1)
        self.blocks = nn.ModuleList(Block(width, heads, 2 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.words.weight, std=0.3)

    def forward(self, ids: Tensor) -> Tensor:
        mask = ids != PAD_ID
        x = self.words(ids) + self.places[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, mask)
        return mean_of(self.norm(x), mask)


def mean_of(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that are there: [n, L, d], bool [n, L] -> [n, d]."""
    shown = mask[..., None].to(tokens.dtype)
    return (tokens * shown).sum(1) / shown.sum(1)


class EncoderNet(nn.Module):
    """A vision network; `text`: with a text tower, both projected to unit vectors in one space."""

    def __init__(self, sight: Any, *, vocabulary: int = 0, space: int = 128) -> None:
        super().__init__()
        self.sight = sight
        self.text = TextTower(vocabulary, space) if vocabulary else None
        if self.text is not None:
            self.from_image = nn.Linear(sight.width, space, bias=False)
            self.from_text = nn.Linear(space, space, bias=False)

    def patches(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.sight(pixels)
        return found

    def pooled(self, pixels: Tensor) -> Tensor:
        return self.project(self.patches(pixels).mean(1))

    def project(self, mean: Tensor) -> Tensor:
        """Mean of the patch tokens -> pooled feature."""
        return mean if self.text is None else F.normalize(self.from_image(mean), dim=-1)

    def texts(self, ids: Tensor) -> Tensor:
        if self.text is None:
            raise ValueError("texts: this encoder has no text tower")
        return F.normalize(self.from_text(self.text(ids)), dim=-1)


class DetectorNet(nn.Module):
    """A vision network and one logit per position; the picture's logit is their soft maximum."""

    def __init__(self, sight: Any) -> None:
        super().__init__()
        self.sight, self.head = sight, nn.Linear(sight.width, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.logits(self.sight(pixels))

    def logits(self, tokens: Tensor) -> Tensor:
        """[B, n, width] -> [B, 1]."""
        found: Tensor = self.head(tokens).logsumexp(1)
        return found


def vocabulary_size() -> int:
    return len(build_tokenizer())


NETS: Mapping[str, Callable[[], Any]] = {
    "testbed-clip": lambda: EncoderNet(SharedTower(), vocabulary=vocabulary_size()),
    "surrogate-vit": lambda: EncoderNet(ViT(width=96, depth=3, patch=12)),
    "surrogate-cnn": lambda: EncoderNet(ConvNet((32, 64, 64, 128, 128, 128), (2, 2, 1, 2, 1, 1))),
    "surrogate-clip": lambda: EncoderNet(
        ConvNet((32, 48, 64, 96, 96, 112), (2, 2, 1, 2, 1, 1), brief=True), vocabulary=vocabulary_size(), space=96
    ),
    "testbed-detector": lambda: DetectorNet(ConvNet((24, 48, 64, 96, 128, 96), (2, 2, 1, 2, 1, 1))),
    "testbed-detector-held": lambda: DetectorNet(ConvNet((32, 48, 64, 96, 96, 96), (3, 1, 2, 1, 2, 1), brief=True)),
}


# ------------------------------------------------------------------------------------------------ weights folders


def save(net: nn.Module, folder: Path, tokenizer: Any = None) -> None:
    """float16 weights and, for a text tower, the tokenizer they belong to."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in net.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    if tokenizer is not None:
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))


def load(name: str, folder: Path | None = None) -> Any:
    """The network `name` with its weights in float32, frozen, in evaluation mode."""
    net = NETS[name]()
    weights = load_file((folder or WEIGHTS / name) / "model.safetensors")
    net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    net.eval()
    if isinstance(net.sight, ConvNet):
        net.sight.fold()
    return net.requires_grad_(False)


def files_of(name: str) -> list[Path]:
    """Every file that decides what the network computes; the shared tower's too."""
    own = WEIGHTS / name
    found = [own / "model.safetensors", *own.glob("tokenizer.json")]
    return [*found, WEIGHTS / TOWER_FROM / "model.safetensors"] if name == "testbed-clip" else found


def weights_hash(name: str) -> str:
    """sha256 over the files of `files_of`."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in files_of(name))).hexdigest()


def read_card(name: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((WEIGHTS / name / "card.json").read_text(encoding="utf-8"))
    return card


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """int64 [n, longest], padded with 0. Raises ValueError for an empty text or one of more than 64 tokens."""
    rows = [row.ids for row in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    for text, row in zip(texts, rows, strict=True):
        if not 0 < len(row) <= LONGEST:
            raise ValueError(f"texts: expected 1 to {LONGEST} tokens, found {len(row)} in {text[:60]!r}")
    longest = max(map(len, rows), default=1)
    return torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows])
