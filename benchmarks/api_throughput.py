"""Requests per second of the API victim beside the vendor's own client, on one loopback server, in one run.

Baseline: `openai.AsyncOpenAI` behind a semaphore, without retries and records. Ours: `ApiVictim` with its ledger on
disk (two synced lines per request), and without one. The server is a process of its own and answers after
`--latency` seconds; every ask holds another small picture. Nothing fails here: this is the price of the bookkeeping.

    python benchmarks/api_throughput.py [--n 1000] [--connections 50] [--latency 0.05] [--repeats 5]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openai

from proofglass import images
from proofglass.console import say
from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.inspect import ApiVictim

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "victims"))
import flaky_server


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--n", type=int, default=1000)
    arguments.add_argument("--connections", type=int, default=50)
    arguments.add_argument("--latency", type=float, default=0.05)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--side", type=int, default=64, help="of the pictures, pixels")
    asked = arguments.parse_args()
    with flaky_server.program(latency_s=asked.latency) as url:
        figures = measure(url, asked.n, asked.connections, asked.repeats, asked.side)
        answered = flaky_server.stats(url)["answered"]
    ideal = asked.connections / asked.latency if asked.latency else float("inf")
    say(
        f"n = {asked.n} asks with a picture of {asked.side} x {asked.side} px, {asked.connections} connections, "
        f"{1000 * asked.latency:g} ms latency (at most {ideal:.0f}/s), {asked.repeats} interleaved repeats, "
        f"{os.cpu_count()} cores, openai {openai.__version__}; server answered {answered}"
    )
    plain = statistics.median(figures["plain client"])
    for name, rates in figures.items():
        rate = statistics.median(rates)
        say(f"{name:24} {rate:7.1f}/s  ({min(rates):.1f} to {max(rates):.1f})  {rate / plain:.2f} x plain")


def measure(url: str, n: int, connections: int, repeats: int, side: int) -> dict[str, list[float]]:
    """Requests per second of each way, once per repeat; every repeat has new pictures."""
    figures: dict[str, list[float]] = {"plain client": [], "victim with ledger": [], "victim without ledger": []}
    with tempfile.TemporaryDirectory() as folder:
        common = {"model": "m", "provider": "openai-compatible", "base_url": url, "connections": connections}
        with_ledger, without = ApiVictim(**common, ledger=Path(folder)), ApiVictim(**common)
        for victim in (with_ledger, without):  # opens the provider
            victim.reply([Ask(Chat.user("warm up"))])
        for repeat in range(repeats):
            asks = [_ask(repeat * n + k, side) for k in range(n)]
            ways: dict[str, Callable[[], object]] = {
                "plain client": lambda asks=asks: asyncio.run(_plain(url, asks, connections)),
                "victim with ledger": lambda asks=asks: with_ledger.reply(asks),
                "victim without ledger": lambda asks=asks: without.reply(asks),
            }
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                figures[name].append(n / (time.perf_counter() - start))
    return figures


async def _plain(url: str, asks: list[Ask], connections: int) -> None:
    gate = asyncio.Semaphore(connections)
    async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:

        async def one(ask: Ask) -> str | None:
            picture, text = ask.chat.messages[0].parts
            async with gate:
                uri = "data:image/png;base64," + base64.b64encode(images.encode(picture)).decode()
                content = [{"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": text}]
                answer = await client.chat.completions.create(
                    model="m",
                    messages=[{"role": "user", "content": content}],
                    max_tokens=ask.settings.max_new_tokens,
                    temperature=0,
                )
            return answer.choices[0].message.content

        texts = await asyncio.gather(*map(one, asks))
    assert all(text and text.startswith("answer") for text in texts)


def _ask(seed: int, side: int) -> Ask:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Ask(Chat.user(Image.from_array(pixels), "What is in this picture?"), Settings())


if __name__ == "__main__":
    main()
