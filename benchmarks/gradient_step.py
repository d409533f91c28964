"""One gradient step on the testbed's victims: our adapter against the published loop, side by side in one run.

Baseline: the loop of Qi et al. 2023's LLaVA code: the picture repeated once per target, the model's own forward with
pixel_values and labels (logits everywhere), frozen weights. Ours: `loss_and_grad`, which runs once what pairs share.
Prints the ratio of the medians with its spread, the path that was taken, and the largest relative gradient difference.
The shape of a real model is in attack_step.py.

    python benchmarks/gradient_step.py [--victim testbed-linear] [--targets 8] [--repeats 15]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from proofglass.console import say
from proofglass.registry import build
from proofglass.types import Sample


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--victim", default="testbed-linear")
    arguments.add_argument("--targets", type=int, default=8)
    arguments.add_argument("--repeats", type=int, default=15)
    asked = arguments.parse_args()
    victim = build("victims", asked.victim)
    data = build("datasets", "testbed", part="restricted-image", craft_n=asked.targets)
    samples = [s for s in data.crafting() if isinstance(s, Sample)]
    pairs = [(s.chat, s.target) for s in samples]
    x = victim.pixels(samples[0].chat.images[0])
    prepared = victim.prepare([pairs])

    def ours() -> torch.Tensor:
        return victim.loss_and_grad(x, prepared).pixels

    def published() -> torch.Tensor:
        return _published(victim.model, x, pairs)

    ratios = []
    for _ in range(asked.repeats):  # interleaved: a busy machine slows both
        ratios.append(_seconds(published) / _seconds(ours))
    low, middle, high = statistics.quantiles(ratios, n=4)
    a, b = ours(), published()
    say(f"{asked.victim}, {asked.targets} targets, {torch.get_num_threads()} threads, torch {torch.__version__}")
    say(f"published loop / ours: {middle:.2f} x (quartiles {low:.2f} to {high:.2f}, {asked.repeats} interleaved pairs)")
    say(f"ours went {victim.gradient_path()}")
    say(f"largest gradient difference over largest gradient: {float((a - b).abs().max() / b.abs().max()):.1e}")


def _published(model, pixels: torch.Tensor, pairs) -> torch.Tensor:
    """Plain transformers: batch of repeated pictures, padded labels."""
    rows = [
        (list(model.encode_chat(chat).ids), model.tokenizer(t, add_special_tokens=False)["input_ids"])
        for chat, t in pairs
    ]
    longest = max(len(p) + len(a) for p, a in rows)
    ids = torch.tensor([p + a + [0] * (longest - len(p) - len(a)) for p, a in rows])
    mask = torch.tensor([[1] * (len(p) + len(a)) + [0] * (longest - len(p) - len(a)) for p, a in rows])
    labels = torch.tensor([[-100] * len(p) + a + [-100] * (longest - len(p) - len(a)) for p, a in rows])
    x = pixels.clone().requires_grad_(True)
    values = model.values(x.expand(len(rows), -1, -1, -1))["pixel_values"]
    kwargs = {"pixel_values": values}
    if type(model.family).__name__ == "Idefics":
        kwargs = {
            "pixel_values": values[:, None],
            "image_attention_mask": ((ids == model.image_token).cumsum(1) > 0).long()[..., None],
        }
    loss = model.model(input_ids=ids, attention_mask=mask, labels=labels, **kwargs).loss
    return torch.autograd.grad(loss, x)[0]


def _seconds(step) -> float:
    began = time.process_time()
    step()
    return time.process_time() - began


if __name__ == "__main__":
    main()
