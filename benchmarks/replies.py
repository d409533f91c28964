"""Replies per second: our victims against transformers' `generate`, one by one and in naive batches, in one run.

Two models (the testbed's `testbed-linear`, and random weights of LLaVA's shape) on two workloads:

one picture     a universal attack: every question is asked about the same picture, under one system prompt
own pictures    every question has a picture of its own

one by one      official image processor, chat template, `generate` on each chat
naive batches   the same, as many chats at a time as ours, padded on the left, every picture encoded for every chat
ours            `victim.reply`: pictures once, what prompts share once, ended rows leave the batch

All sides decode greedily and must say the same tokens; a difference is printed. Repeats are interleaved.

    OMP_NUM_THREADS=1 python benchmarks/replies.py [--model testbed llava] [--n 64] [--repeats 3] [--json FILE]
    python benchmarks/replies.py --model llava --shape llava-7b --device cuda --dtype bfloat16
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from proofglass.console import note, say
from proofglass.interfaces import WhiteBoxVictim
from proofglass.registry import build
from proofglass.types import Ask, Chat, Image, Sample, Settings

sys.path.insert(0, str(Path(__file__).parent))
from attack_step_parts.model import SHAPES, load, save

GOALS = {"one by one": 8.0, "naive batches": 1.5}
SYSTEM = "answer in one short sentence ."


@dataclass(frozen=True)
class Case:
    """A victim and what it is asked."""

    name: str
    victim: Any
    asks: tuple[Ask, ...]
    batch: int


@dataclass(frozen=True)
class Line:
    case: str
    side: str
    asks: int
    seconds: float
    per_second: float
    ours_over: float | None = None


def testbed(n: int, one_picture: bool) -> Case:
    victim = build("victims", "testbed-linear")
    data = build("datasets", "testbed", part="vqa", n=n, craft_n=1, seed=5)
    chats = [sample.chat for sample in data if isinstance(sample, Sample)]
    if one_picture:
        chats = [chat.with_image(chats[0].images[0]).with_system(SYSTEM) for chat in chats]
    name = "testbed-linear, " + ("one picture" if one_picture else "own pictures")
    return Case(name, victim, tuple(Ask(chat, Settings(max_new_tokens=24)) for chat in chats), victim.batch)


def llava(folder: Path, shape: str, device: str, dtype: str, n: int, one_picture: bool) -> Case:
    made = SHAPES[shape]
    if not (folder / "config.json").is_file():
        save(made, made.heads[0][1], folder)
        words = json.loads((folder / "tokenizer_config.json").read_text())
        words["chat_template"] = None
        (folder / "chat_template.jinja").write_text(
            "{% for m in messages %}{{ m['role'] }}: {% if m['content'] is string %}{{ m['content'] }}{% else %}"
            "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}"
            "{% endfor %}{% endif %}\n{% endfor %}assistant:"
        )
    victim: WhiteBoxVictim = load(made, folder, device, dtype)
    draw = np.random.default_rng(0)
    pictures = [
        Image.from_array(draw.integers(0, 256, (made.side, made.side, 3), dtype=np.uint8))
        for _ in range(1 if one_picture else n)
    ]
    chats = [
        Chat.user(pictures[k % len(pictures)], f"question {k}: what is there" + " and there" * (k % 5) + "?")
        for k in range(n)
    ]
    name = f"LLaVA shape {shape}, " + ("one picture" if one_picture else "own pictures")
    asks = tuple(Ask(chat.with_system(SYSTEM), Settings(max_new_tokens=24)) for chat in chats)
    return Case(name, victim, asks, 16)


# ---- three ways ---------------------------------------------------------------------------------------------------


def ours(case: Case) -> list[str]:
    case.victim.model.pictures.forget()  # pictures of an earlier repeat
    return [reply.text for reply in case.victim.model.reply(case.asks, case.batch)]


def plain(case: Case, batch: int) -> list[str]:
    return [text for at in range(0, len(case.asks), batch) for text in _generate(case, case.asks[at : at + batch])]


@torch.no_grad()
def _generate(case: Case, asks: Sequence[Ask]) -> list[str]:
    """transformers as its documentation shows it: processor, padding on the left, `generate`."""
    model = case.victim.model
    rows = [list(model.encode_chat(ask.chat).ids) for ask in asks]
    longest = max(map(len, rows))
    ids = torch.tensor([[model.pad] * (longest - len(row)) + row for row in rows], device=model.device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=model.device)
    values = model.processor(images=[np.asarray(ask.chat.images[0].array()) for ask in asks], return_tensors="pt")
    settings = asks[0].settings
    whole = model.model.generate(
        input_ids=ids,
        attention_mask=mask,
        pixel_values=values["pixel_values"].to(model.device, model.model.dtype),
        max_new_tokens=settings.max_new_tokens,
        do_sample=False,
        pad_token_id=model.pad,
    )
    return [model.tokenizer.decode(row[longest:], skip_special_tokens=True).strip() for row in whole]


# ---- timing -------------------------------------------------------------------------------------------------------


def measure(case: Case, repeats: int, clock: Callable[[], float]) -> list[Line]:
    sides: dict[str, Callable[[], list[str]]] = {
        "ours": lambda: ours(case),
        "naive batches": lambda: plain(case, case.batch),
        "one by one": lambda: plain(case, 1),
    }
    said = {name: side() for name, side in sides.items()}  # warms up, too
    for name in GOALS:
        other = sum(a != b for a, b in zip(said["ours"], said[name], strict=True))
        if other:
            note(f"{case.name}: {other} of {len(case.asks)} replies differ from {name}")
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            began = clock()
            side()
            spent[name].append(clock() - began)
    n = len(case.asks)
    middle = {name: statistics.median(each) for name, each in spent.items()}
    return [
        Line(
            case.name, name, n, middle[name], n / middle[name], middle[name] / middle["ours"] if name in GOALS else None
        )
        for name in sides
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", nargs="+", choices=["testbed", "llava"], default=["testbed", "llava"])
    options.add_argument("--shape", choices=list(SHAPES), default="toy")
    options.add_argument("--device", default="cpu")
    options.add_argument("--dtype", default="float32")
    options.add_argument("--n", type=int, default=64, help="questions")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--json", type=Path, help="also write the figures here")
    asked = options.parse_args()
    # CPU time where all work is on one CPU thread: other work on the machine does not count.
    clock = time.process_time if asked.device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    say(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {asked.device}, {asked.dtype}; medians of "
        f"{asked.repeats}, {'CPU' if clock is time.process_time else 'wall'} time; goals: {GOALS}"
    )
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        for one_picture in (True, False):
            for name in asked.model:
                case = (
                    testbed(asked.n, one_picture)
                    if name == "testbed"
                    else llava(Path(folder) / "llava", asked.shape, asked.device, asked.dtype, asked.n, one_picture)
                )
                for line in measure(case, asked.repeats, clock):
                    lines.append(line)
                    ratio = "" if line.ours_over is None else f"   ours is {line.ours_over:.2f} x as fast"
                    say(f"{line.case:45} {line.side:14} {line.per_second:9.2f} replies/s{ratio}")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(line) for line in lines], indent=1))


if __name__ == "__main__":
    main()
