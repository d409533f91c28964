"""One request that shows many large pictures: what it costs the server, and what others wait meanwhile.

    python benchmarks/large_pictures.py                      # six pictures of 4096 x 4096, the testbed's victim
    python benchmarks/large_pictures.py --pictures 1 --side 8192 --victim testbed-cross

The server is a process of its own, on one core and with one thread; Linux, since it is read in /proc. Printed: the
size of the request, the CPU seconds that the server took for it, how far its memory rose above where it stood before,
at the highest, and the longest that another caller, who asks a short question again and again, waited.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proofglass.console import say

TOKEN = secrets.token_urlsafe(32)
TICK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--victim", default="testbed-linear")
    parser.add_argument("--pictures", type=int, default=6)
    parser.add_argument("--side", type=int, default=4096, help="pixels")
    told = parser.parse_args()
    body = request(told.victim, [picture(told.side, k) for k in range(told.pictures)])
    with serving(told.victim) as (url, pid):
        ask(url, request(told.victim, [picture(64, 0)]))  # what is loaded once does not count
        ask(url, request(told.victim, []))
        (Path("/proc") / str(pid) / "clear_refs").write_text("5")  # the peak starts anew
        cpu, peak = cpu_s(pid), memory_mb(pid, "VmHWM")
        with another(url, told.victim) as waits:
            time.sleep(0.5)
            start = time.perf_counter()
            status = ask(url, body)
            took = time.perf_counter() - start
        say(f"{told.pictures} pictures of {told.side} x {told.side} px, {len(body) / 1e3:.0f} KB: HTTP {status}")
        say(f"CPU of the server: {cpu_s(pid) - cpu:.2f} s (answered after {took:.2f} s)")
        say(f"peak memory above that before: {memory_mb(pid, 'VmHWM') - peak:.0f} MB")
        say(f"another caller: {len(waits)} questions, the longest wait {max(waits):.2f} s")


def picture(side: int, k: int) -> str:
    """A data URL: broad stripes in flat colours, which a PNG holds in little."""
    import numpy as np
    from PIL import Image

    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[:, :, k % 3] = 200
    pixels[side // 3 : side // 2] = 40 * k
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def request(model: str, urls: list[str]) -> bytes:
    parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [*parts, {"type": "text", "text": "what is it ?"}]
    return json.dumps({"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 8}).encode()


def ask(url: str, body: bytes) -> int:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=120) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@contextlib.contextmanager
def another(url: str, model: str) -> Iterator[list[float]]:
    """A caller who asks a short question every 0.2 s; how long it waited each time, in seconds."""
    waits: list[float] = []
    body, over = request(model, []), threading.Event()

    def call() -> None:
        while not over.wait(0.2):
            start = time.perf_counter()
            ask(url, body)
            waits.append(time.perf_counter() - start)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def serving(victim: str) -> Iterator[tuple[str, int]]:
    """URL and process id of `proofglass serve` on one core."""
    core = min(os.sched_getaffinity(0))
    server = subprocess.Popen(
        [sys.executable, "-m", "proofglass", "serve", victim, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PROOFGLASS_TOKEN": TOKEN},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if found := re.search(r"at (http://\S+/v1)", line):
                yield f"{found[1]}/chat/completions", server.pid
                return
        sys.exit("the server did not start")
    finally:
        server.terminate()
        server.wait()


def cpu_s(pid: int) -> float:
    """CPU seconds of all threads of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_mb(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
