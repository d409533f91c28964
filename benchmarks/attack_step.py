"""One step of a universal image attack: the published loops, torchattacks' PGD and ours, side by side in one run.

One picture, B pairs of (prompt, target), mean cross-entropy over all target tokens, gradient down to the pixels. All
sides run the same frozen random weights of LLaVA's shape, loaded from a folder as a user's own model is:

published     Qi et al. (2023), LLaVA code: picture repeated B times, the model's own forward with labels
encode-once   Qi et al. (2023), MiniGPT-4 code: picture features computed once and repeated, the rest as above
torchattacks  one step of targeted PGD of the package around the model (pip install --no-deps torchattacks)
ours          loss_and_grad of the victim `llava`, on pairs drawn anew in each step, as an attack draws them

    OMP_NUM_THREADS=1 python benchmarks/attack_step.py [--head real|32k|both] [--batch 1 4 8 16 64] [--json FILE]
    python benchmarks/attack_step.py --shape llava-7b --device cuda --dtype bfloat16

Repeats are interleaved, so that a busy machine slows all sides. Memory is the growth of the peak over the loaded model
in one step: resident high-water mark of a process of its own per side (Linux), or the allocator's maximum on a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import datetime
import gc
import importlib.metadata
import importlib.util
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from proofglass.console import say
from proofglass.registry import build
from proofglass.victims.llava import Llava

PUBLISHED, ONCE, TORCHATTACKS, OURS = SIDES = ("published", "encode-once", "torchattacks", "ours")
TEXT_BEFORE, SUFFIX = 35, (20, 60)  # tokens before the picture; of prompt and target behind it, half of them target
LARGEST_32K = 16  # pairs: logits of 64 repeated pictures over 32,000 words are 5.5 GB, twice
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's, as in LLaVA

ONCE_GOALS = {8: 4.0, 16: 6.0}
MEMORY_GOALS = {8: 1 / 6, 16: 1 / 12, 64: 1 / 30}
GRADIENT_GOAL = 1e-5  # float32
REAL_GOALS = {1: 0.95, 8: 5.5, 16: 8.5, 64: 12.0}


# ---- the model --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """heads: vocabulary of each language model head; square: side of the matrices whose product is timed.

    drawn: the weights are drawn on the device instead of being saved and read (14 GB at the size of LLaVA-1.5-7B).
    """

    side: int = 336
    patch: int = 14
    vision: tuple[int, int, int] = (4, 128, 2)  # layers, width, heads
    text: tuple[int, int, int] = (4, 256, 4)
    ffn: int = 688
    heads: tuple[tuple[str, int], ...] = (("real", 256), ("32k", 32_000))
    square: int = 1024
    drawn: bool = False

    @property
    def image_tokens(self) -> int:
        return (self.side // self.patch) ** 2

    def config(self, vocabulary: int) -> LlavaConfig:
        layers, width, heads = self.vision
        vision = CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=self.side,
            patch_size=self.patch,
            projection_dim=width,
        )
        layers, width, heads = self.text
        text = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=self.ffn,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=4096,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
        return LlavaConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=3,
            vision_feature_layer=-2,
            vision_feature_select_strategy="default",
            image_seq_length=self.image_tokens,
            architectures=["LlavaForConditionalGeneration"],
        )


SHAPES = {
    "tiny": Shape(side=28, patch=7, vision=(2, 32, 2), text=(2, 32, 2), ffn=64, square=256),  # to try the script
    "toy": Shape(),
    "llava-7b": Shape(
        vision=(24, 1024, 16), text=(32, 4096, 32), ffn=11_008, heads=(("real", 32_064),), square=8192, drawn=True
    ),
}


def save(shape: Shape, vocabulary: int, folder: Path) -> None:
    """A model folder: config, byte-level tokenizer, image processor and, unless they are drawn later, weights."""
    folder.mkdir(parents=True, exist_ok=True)
    transformers.logging.disable_progress_bar()
    specials = ["<pad>", "<s>", "</s>", "<image>", "<sys>", "<user>", "<bot>"]
    never = {chr(byte) for byte in range(0xF9, 0x100)}  # no UTF-8 text has them; without them 256 tokens are enough
    alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - never)
    tokens = {token: k for k, token in enumerate([*specials, *alphabet])}
    raw = Tokenizer(models.BPE(vocab=tokens, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=specials[3:],
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(folder)
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_center_crop": False,
        "size": {"height": shape.side, "width": shape.side},
        "image_mean": MEAN,
        "image_std": STD,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    config = shape.config(vocabulary)
    if shape.drawn:
        config.save_pretrained(folder)
        layers = max(config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers)
        save_file({f"layers.{layers - 1}.drawn": torch.empty(0)}, folder / "model.safetensors")  # a header, no weights
    else:
        torch.manual_seed(0)
        LlavaForConditionalGeneration(config).save_pretrained(folder)


def load(shape: Shape, folder: Path, device: str, dtype: str) -> Llava:
    """The victim `llava`, loaded; for a drawn shape only the reading of the weights is replaced."""
    victim: Llava = build("victims", "llava", path=folder, device=device, dtype=dtype)

    def draw(path: Path, *, dtype: torch.dtype, **_: Any) -> tuple[LlavaForConditionalGeneration, dict[str, Any]]:
        torch.manual_seed(0)
        with torch.device(device):
            made = LlavaForConditionalGeneration._from_config(LlavaConfig.from_pretrained(path), dtype=dtype)
        return made, {"missing_keys": []}

    changed = mock.patch.object(LlavaForConditionalGeneration, "from_pretrained", draw)
    with changed if shape.drawn else contextlib.nullcontext():
        assert victim.model.model is not None
    return victim


# ---- one step, four ways ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """The picture [1, 3, H, W] in [0, 1] and B pairs (prompt ids with the picture's place holders, target ids)."""

    pixels: Tensor
    pairs: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

    def batches(self, micro: int | None) -> Iterator[tuple[dict[str, Tensor], float]]:
        """Right-padded input_ids, attention_mask and labels of `micro` pairs, and their share of all target tokens."""
        total = sum(len(target) for _, target in self.pairs)
        size = micro or len(self.pairs)
        for at in range(0, len(self.pairs), size):
            part = self.pairs[at : at + size]
            longest = max(len(p) + len(t) for p, t in part)
            rows = [[], [], []]  # type: list[list[list[int]]]
            for p, t in part:
                pad = longest - len(p) - len(t)
                rows[0].append([*p, *t] + [0] * pad)
                rows[1].append([1] * (len(p) + len(t)) + [0] * pad)
                rows[2].append([-100] * len(p) + [*t] + [-100] * pad)
            names = ("input_ids", "attention_mask", "labels")
            batch = {name: torch.tensor(row, device=self.pixels.device) for name, row in zip(names, rows, strict=True)}
            yield batch, sum(len(t) for _, t in part) / total


def case(shape: Shape, vocabulary: int, size: int, device: str, seed: int = 0, one_prompt: bool = False) -> Case:
    """Suffix lengths are spread evenly over SUFFIX and shuffled: the mean is 40 whatever B is."""
    draw = random.Random(seed)
    low, high = SUFFIX
    lengths = [low + round((high - low) * k / (size - 1)) for k in range(size)] if size > 1 else [(low + high) // 2]
    draw.shuffle(lengths)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(7, vocabulary) for _ in range(count))  # 0 to 6 are special tokens

    before = (1, *ids(TEXT_BEFORE - 1), *[3] * shape.image_tokens)
    shared = ids((low + high) // 4)
    pairs = tuple(((*before, *(shared if one_prompt else ids(n - n // 2))), ids(n // 2)) for n in lengths)
    generator = torch.Generator().manual_seed(seed)
    return Case(torch.rand(1, 3, shape.side, shape.side, generator=generator).to(device), pairs)


def normalised(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((pixels - mean) / std).to(dtype)


def published(model: Any, given: Case, micro: int | None) -> Tensor:
    x = given.pixels.clone().requires_grad_(True)
    for batch, share in given.batches(micro):
        values = normalised(x, model.dtype).repeat(len(batch["labels"]), 1, 1, 1)
        (model(**batch, pixel_values=values, use_cache=False).loss * share).backward()
    return _gradient(x)


def encode_once(model: Any, given: Case, micro: int | None) -> Tensor:
    x = given.pixels.clone().requires_grad_(True)
    found = model.get_image_features(pixel_values=normalised(x, model.dtype)).pooler_output
    features = found if isinstance(found, Tensor) else torch.stack(list(found))
    leaf = features.detach().requires_grad_(True)  # so that micro-batches, too, go through the tower once
    for batch, share in given.batches(micro):
        ids = batch.pop("input_ids")
        embeds = model.get_input_embeddings()(ids)
        here = (ids == model.config.image_token_id)[..., None]
        embeds = embeds.masked_scatter(here, leaf.expand(len(ids), -1, -1).to(embeds.dtype))
        (model(inputs_embeds=embeds, **batch, use_cache=False).loss * share).backward()
    assert leaf.grad is not None
    features.backward(leaf.grad)
    return _gradient(x)


class Around(torch.nn.Module):
    """A classifier for torchattacks: picture in, logits of the target tokens out. Keeps the gradient on its way."""

    def __init__(self, model: Any, given: Case) -> None:
        super().__init__()
        self.model = model
        ((batch, _),) = given.batches(None)
        labels = batch.pop("labels")[:, 1:]
        self.batch, self.wanted, self.labels = batch, labels != -100, labels[labels != -100]
        self.gradient: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            images.register_hook(self._keep)
        values = normalised(images, self.model.dtype).repeat(len(self.wanted), 1, 1, 1)
        logits = self.model(**self.batch, pixel_values=values, use_cache=False).logits
        return logits[:, :-1][self.wanted].float()

    def _keep(self, gradient: Tensor) -> None:
        self.gradient = -gradient.detach()  # targeted PGD climbs the negative loss


def torchattacks_step(model: Any, given: Case, micro: int | None) -> Tensor:
    """`micro` is not used: PGD takes its batch whole."""
    import torchattacks

    around = Around(model, given).eval()
    attack = torchattacks.PGD(around, eps=16 / 255, alpha=1 / 255, steps=1, random_start=False)
    attack.set_mode_targeted_by_label(quiet=True)
    attack(given.pixels, around.labels)
    assert around.gradient is not None
    return around.gradient


PEERS: dict[str, Callable[[Any, Case, int | None], Tensor]] = {
    PUBLISHED: published,
    ONCE: encode_once,
    TORCHATTACKS: torchattacks_step,
}


def _gradient(x: Tensor) -> Tensor:
    assert x.grad is not None
    return x.grad


def step_of(side: str, victim: Llava, given: Case, micro: int | None) -> Callable[[], Tensor]:
    """One step of `side`: a call that gives the gradient [1, 3, H, W]."""
    if side != OURS:
        return lambda: PEERS[side](victim.model.model, given, micro)
    prepared = victim.model.prepare_tokens([given.pairs])
    draw = random.Random(1)

    def ours() -> Tensor:
        order = draw.sample(range(len(given.pairs)), len(given.pairs))
        return victim.loss_and_grad(given.pixels, prepared.select([order]), weighting="token").pixels

    return ours


# ---- arithmetic -------------------------------------------------------------------------------------------------


def flops(side: str, shape: Shape, vocabulary: int, given: Case, micro: int | None) -> float:
    """Matrix products of one step: forward and the gradient to the inputs, 4 per weight and token, none for weights.

    Attention: 14 x layers x width x (query, key) pairs: scores and values forward (4) and a backward of 2.5 forwards.
    A padded batch runs the full square T^2, one row without padding half of it. Ours: the picture's tokens once, with
    keys and values only in the last layer; every suffix once; the head at target positions; the text before the
    picture is not run. One pair is one plain row with the head at target positions.
    """
    layers, width, _ = shape.vision
    used, seen = layers - 1, shape.image_tokens + 1  # the last tower layer is not looked at; the class token is
    tower = used * 12 * width**2 + 3 * shape.patch**2 * width
    vision: float = 4 * tower * seen + 14 * used * width * seen**2
    layers, d, _ = shape.text
    vision += 4 * (width * d + d * d) * shape.image_tokens  # the projector
    body = layers * (4 * d * d + 3 * d * shape.ffn)
    if side == OURS:
        before, picture = TEXT_BEFORE, shape.image_tokens
        suffixes = [len(p) + len(t) - before - picture for p, t in given.pairs]
        head = 4 * d * vocabulary * sum(len(t) for _, t in given.pairs)
        if len(suffixes) == 1:
            row = before + picture + suffixes[0]
            return vision + head + 4 * body * row + 14 * layers * d * row**2 / 2
        prefix: float = 4 * (body - 2 * d * d - 3 * d * shape.ffn) * picture
        prefix += 14 * (layers - 1) * d * (before * picture + picture**2 / 2)
        square = sum(s * (before + picture + s) for s in suffixes)
        return vision + head + prefix + 4 * body * sum(suffixes) + 14 * layers * d * square
    total = vision if side == ONCE else 0.0
    for batch, _ in given.batches(None if side == TORCHATTACKS else micro):
        rows, longest = batch["labels"].shape
        covered = longest**2 / (2 if bool(batch["attention_mask"].all()) else 1)
        one = 4 * (body + d * vocabulary) * longest + 14 * layers * d * covered
        total += rows * (one + (0 if side == ONCE else vision))
    return total


@dataclass
class Clock:
    """CPU time of the process and wall time, in seconds; on a GPU both wait for it."""

    device: str

    def __call__(self, work: Callable[[], Any]) -> tuple[float, float]:
        self._wait()
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        self._wait()
        return time.process_time() - cpu, time.perf_counter() - wall

    def _wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()


# ---- memory -----------------------------------------------------------------------------------------------------


def peak_bytes(side: str, victim: Llava, given: Case, warm: Case) -> float:
    """Growth of the peak in one step on the whole batch. A step on `warm` (two pairs) comes first, so that what is done
    once per process or model does not count."""
    step_of(side, victim, warm, None)()
    gc.collect()
    if victim.model.device.type != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before: float = torch.cuda.memory_allocated()
        step_of(side, victim, given, None)()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)  # glibc: what the warm-up freed must not hide what the step takes
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step_of(side, victim, given, None)()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return float(line.split()[1]) * 1024


@dataclass
class Memory:
    """Peaks of the sides for one model. known: bytes of (side, B), to foresee what will not fit."""

    asked: argparse.Namespace
    shape: Shape
    head: str
    folder: Path
    victim: Llava
    known: dict[tuple[str, int], float | None] = field(default_factory=dict)

    def of(self, side: str, size: int) -> tuple[float | None, str]:
        """Peak in bytes and a note: 8 pairs' peak in proportion where a repeated batch does not fit."""
        grows = side != OURS and size > 8
        on_cpu = self.victim.model.device.type == "cpu"
        if not grows or not on_cpu or (self._measured(side, 8) or 0) / 8 * size < 0.7 * _available():
            found = self._measured(side, size)
            if found is not None:
                return found, ""
        eight = self._measured(side, 8) if grows else None
        if eight is None:
            return None, f"B = {size}: {side} does not fit into memory"
        return (
            eight / 8 * size,
            f"B = {size}: {side} does not fit whole; peak estimated from above, B / 8 of that at B = 8",
        )

    def _measured(self, side: str, size: int) -> float | None:
        if (side, size) not in self.known:
            self.known[side, size] = self._measure(side, size)
        return self.known[side, size]

    def _measure(self, side: str, size: int) -> float | None:
        if self.victim.model.device.type != "cpu":
            try:
                return peak_bytes(side, self.victim, *_cases(self.asked, self.shape, self.head, size))
            except torch.OutOfMemoryError:
                return None
        command = [sys.executable, __file__, "--child", side, "--folder", str(self.folder), "--batch", str(size)]
        command += ["--shape", self.asked.shape, "--head", self.head, "--dtype", self.asked.dtype]
        command += ["--one-prompt"] * self.asked.one_prompt
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"memory of {side} at B = {size}: exit {ended.returncode}\n{ended.stderr[-2000:]}")
        return float(ended.stdout.split()[-1])


def _cases(asked: argparse.Namespace, shape: Shape, head: str, size: int) -> tuple[Case, Case]:
    """The case to measure and two pairs to warm up on."""
    vocabulary = dict(shape.heads)[head]
    return (
        case(shape, vocabulary, size, asked.device, one_prompt=asked.one_prompt),
        case(shape, vocabulary, 2, asked.device, seed=1, one_prompt=asked.one_prompt),
    )


def _available() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024


# ---- one cell: a head and a number of pairs ---------------------------------------------------------------------


@dataclass
class Cell:
    """What was measured. seconds: on the clock that counts (CPU time; wall time on a GPU); differences: largest
    gradient difference to the published loop over its largest gradient; cosines: of the two gradients; peaks: bytes."""

    head: str
    vocabulary: int
    size: int
    micro: int | None
    path: str = ""  # which way `ours` went, and what its own check found
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    cosines: dict[str, float] = field(default_factory=dict)
    flops: dict[str, float] = field(default_factory=dict)
    matmul: list[float] = field(default_factory=list)  # FLOP/s
    peaks: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def median(self, side: str) -> float:
        return statistics.median(self.seconds[side])

    def ratio(self, slow: str, fast: str = OURS) -> float:
        return self.median(slow) / self.median(fast)

    def quartiles(self, slow: str, fast: str = OURS) -> tuple[float, float]:
        """Of the ratios of neighbours in time."""
        pairs = [a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True)]
        if len(pairs) < 2:
            return pairs[0], pairs[0]
        low, _, high = statistics.quantiles(pairs, n=4, method="inclusive")
        return low, high

    def rate(self, side: str) -> float:
        """Fraction of the square matrix product's rate that the step reached."""
        return self.flops[side] / self.median(side) / statistics.median(self.matmul)

    def line(self) -> str:
        took = ", ".join(f"{side} {self.median(side):.3g} s" for side in self.seconds)
        low, high = self.quartiles(PUBLISHED)
        return (
            f"{self.head} head, B = {self.size}: {took}; published / ours {self.ratio(PUBLISHED):.2f} "
            f"({low:.2f} to {high:.2f}), gradient {self.differences[OURS]:.1e}"
        )


def measure(
    head: str,
    shape: Shape,
    vocabulary: int,
    victim: Llava,
    given: Case,
    micro: int,
    repeats: int,
    sides: Sequence[str],
) -> Cell:
    """Times, gradients and rates of one cell; the first call of every side is not timed."""
    size, device = len(given.pairs), victim.model.device.type
    cell = Cell(head, vocabulary, size, micro if size > micro else None)
    gradients: dict[str, Tensor] = {}
    for side in sides:
        if side in (PUBLISHED, ONCE):
            gradients[side], cell.micro = _fitting(side, victim, given, cell.micro)
        elif side == TORCHATTACKS and cell.micro:
            cell.notes.append(f"B = {size}: torchattacks not run, PGD cannot split its batch")
        else:
            gradients[side] = step_of(side, victim, given, None)()
    cell.path = victim.gradient_path()
    if cell.micro:
        cell.notes.append(f"B = {size}: published and encode-once ran in micro-batches of {cell.micro}")
    reference = gradients[PUBLISHED].double().flatten()
    for side, found in gradients.items():
        gradient = found.double().flatten()
        cell.differences[side] = float((gradient - reference).abs().max() / reference.abs().max())
        cell.cosines[side] = float(torch.nn.functional.cosine_similarity(gradient, reference, dim=0))
        cell.flops[side] = flops(side, shape, vocabulary, given, cell.micro)
        cell.seconds[side], cell.wall[side] = [], []
    steps = {side: step_of(side, victim, given, cell.micro) for side in gradients}
    clock, counts = Clock(device), int(device != "cpu")  # CPU time, or wall time on a GPU
    square = torch.randn(shape.square, shape.square, device=device, dtype=victim.model.model.dtype)
    for _ in range(repeats):
        cell.matmul.append(8 * 2 * shape.square**3 / clock(lambda: [square @ square for _ in range(8)])[counts])
        for side, step in steps.items():
            taken = clock(step)
            cell.seconds[side].append(taken[counts])
            cell.wall[side].append(taken[1])
            gc.collect()
    return cell


def _fitting(side: str, victim: Llava, given: Case, micro: int | None) -> tuple[Tensor, int | None]:
    """The gradient, in micro-batches that are halved until they fit into a GPU's memory."""
    while True:
        with contextlib.suppress(torch.OutOfMemoryError):
            return step_of(side, victim, given, micro)(), micro
        torch.cuda.empty_cache()
        if micro == 1:
            raise SystemExit(f"{side}: not even one pair fits into the GPU's memory")
        micro = (micro or len(given.pairs)) // 2


# ---- the report -------------------------------------------------------------------------------------------------


def goal(value: float | None, wanted: float | None, at_most: bool = False) -> str:
    if wanted is None or value is None:
        return "–"
    met = value <= wanted if at_most else value >= wanted
    shown = f"1/{1 / wanted:.0f}" if at_most else f"{wanted:g}"
    return f"{'≤' if at_most else '≥'} {shown}: {'met' if met else '**missed**'}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def report(cells: Sequence[Cell], clock: str) -> str:
    """Three Markdown tables per head: time, gradient and rate, memory."""
    parts = []
    for head in dict.fromkeys(cell.head for cell in cells):
        chosen = [cell for cell in cells if cell.head == head]
        parts += [
            f"### {head} head, {chosen[0].vocabulary:,} words",
            f"Time of a step ({clock}), medians; ratios of medians, in brackets quartiles of neighbouring repeats.",
            table(
                [
                    *("B", "repeats", *(f"{side}, s" for side in SIDES)),
                    *("published / ours", "goal", "encode-once / ours", "goal", "published / ours, wall"),
                ],
                [_times(cell) for cell in chosen],
            ),
            "Largest gradient difference to the published loop over its largest gradient "
            f"(goal in float32: ≤ {GRADIENT_GOAL:g}), cosine of the two, and the fraction reached of the rate of a "
            "square matrix product.",
            table(
                ["B", *(f"gradient, {side}" for side in SIDES[1:]), "cosine, ours", *(f"rate, {s}" for s in SIDES)],
                [_checks(cell) for cell in chosen],
            ),
        ]
        if any(cell.peaks for cell in chosen):
            parts.append("Peak memory over the loaded model in one step, whole batch, MiB.")
            parts.append(table(["B", *SIDES, "ours / published", "goal"], [_memory(cell) for cell in chosen]))
        notes = [f"B = {cell.size}: ours went {cell.path}" for cell in chosen]
        notes += [note for cell in chosen for note in cell.notes]
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts)


def _times(cell: Cell) -> list[str]:
    real = cell.head == "real"
    wall = statistics.median(cell.wall[PUBLISHED]) / statistics.median(cell.wall[OURS])
    row = [str(cell.size), str(len(cell.matmul))]
    row += _each({side: cell.median(side) for side in cell.seconds}, "{:.3g}")
    for slow, goals in ((PUBLISHED, REAL_GOALS), (ONCE, ONCE_GOALS)):
        low, high = cell.quartiles(slow)
        row.append(f"**{cell.ratio(slow):.2f}** ({low:.2f} to {high:.2f})")
        row.append(goal(cell.ratio(slow), goals.get(cell.size) if real else None))
    return [*row, f"{wall:.2f}"]


def _checks(cell: Cell) -> list[str]:
    gradients = _each(cell.differences, "{:.1e}")[1:]
    rates = _each({side: cell.rate(side) for side in cell.seconds}, "{:.2f}")
    return [str(cell.size), *gradients, f"{cell.cosines[OURS]:.6f}", *rates]


def _memory(cell: Cell) -> list[str]:
    row = [str(cell.size), *_each({side: peak / 2**20 for side, peak in cell.peaks.items()}, "{:,.0f}")]
    if not {OURS, PUBLISHED} <= set(cell.peaks):
        return [*row, "–", "–"]
    share = cell.peaks[OURS] / cell.peaks[PUBLISHED]
    return [*row, f"**1/{1 / share:.1f}**", goal(share, MEMORY_GOALS.get(cell.size), at_most=True)]


def _each(values: dict[str, float], form: str) -> list[str]:
    return [form.format(values[side]) if side in values else "–" for side in SIDES]


def environment(asked: argparse.Namespace, victim: Llava) -> dict[str, Any]:
    machine = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        machine = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    if victim.model.device.type != "cpu":
        machine = torch.cuda.get_device_name()
    found = importlib.util.find_spec("torchattacks")
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "torchattacks": importlib.metadata.version("torchattacks") if found else None,
        "shape": asked.shape,
        "dtype": asked.dtype,
        "attention": victim.model.model.config._attn_implementation,
        "one_prompt": asked.one_prompt,
    }


# ---- command line -----------------------------------------------------------------------------------------------


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", default="both", choices=["real", "32k", "both"], help="vocabulary 256 or 32,000")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8, 16, 64], help="numbers of pairs")
    parser.add_argument("--repeats", type=int, default=5, help="at B >= 16; smaller B get more in about equal time")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--micro", type=int, default=16, help="largest batch that the published loops run at once")
    parser.add_argument("--one-prompt", action="store_true", help="one prompt, many targets (as Qi et al. attack)")
    parser.add_argument("--shape", default="toy", choices=sorted(SHAPES))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--child", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(given)
    heads = [head for head, _ in SHAPES[asked.shape].heads]
    if asked.head not in ("both", *heads):
        parser.error(f"--head {asked.head}: the shape {asked.shape} has {', '.join(heads)}")
    return asked


def run(asked: argparse.Namespace, shape: Shape, folder: Path) -> tuple[list[Cell], dict[str, Any]]:
    sides = [s for s in SIDES if s != TORCHATTACKS or importlib.util.find_spec("torchattacks")]
    cells: list[Cell] = []
    facts: dict[str, Any] = {}
    for head, vocabulary in shape.heads:
        if asked.head not in ("both", head):
            continue
        save(shape, vocabulary, folder / head)
        victim = load(shape, folder / head, asked.device, asked.dtype)
        facts = environment(asked, victim)
        memory = Memory(asked, shape, head, folder / head, victim)
        for size in asked.batch:
            if head == "32k" and size > LARGEST_32K:
                say(f"{head} head, B = {size}: left out, this head runs up to B = {LARGEST_32K}")
                continue
            given = case(shape, vocabulary, size, asked.device, one_prompt=asked.one_prompt)
            repeats = asked.repeats * max(1, 16 // size)
            cell = measure(head, shape, vocabulary, victim, given, asked.micro, repeats, sides)
            say(cell.line())
            if asked.memory:
                for side in cell.seconds:
                    peak, note = memory.of(side, size)
                    cell.peaks |= {} if peak is None else {side: peak}
                    cell.notes += [note] * bool(note)
                told = ", ".join(f"{side} {peak / 2**20:,.0f} MiB" for side, peak in cell.peaks.items())
                say(f"{head} head, B = {size}: peak over the loaded model: {told}")
            cells.append(cell)
    return cells, facts


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(given)
    shape = SHAPES[asked.shape]
    transformers.logging.set_verbosity_error()
    if asked.child:
        victim = load(shape, asked.folder, asked.device, asked.dtype)
        say(peak_bytes(asked.child, victim, *_cases(asked, shape, asked.head, asked.batch[0])))
        return
    with tempfile.TemporaryDirectory() as folder:
        cells, facts = run(asked, shape, Path(folder))
    clock = "CPU time of the process" if asked.device == "cpu" else "wall time"
    say()
    say(", ".join(f"{name} {value}" for name, value in facts.items() if value is not None))
    if not facts["torchattacks"]:
        say("torchattacks: not installed: pip install --no-deps torchattacks")
    say()
    say(report(cells, clock))
    if asked.json:
        asked.json.write_text(json.dumps({"facts": facts, "cells": [asdict(cell) for cell in cells]}, indent=1))


if __name__ == "__main__":
    main()
