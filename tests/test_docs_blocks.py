"""Every command and every line of code that a page shows is run, or the page says why not."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from docs_blocks import ROOT, Block, blocks_of
from proofglass import registry
from proofglass.cli import main as cli
from serve import live

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUN = [page for page in PAGES if any(block.is_run for block in blocks_of(page))]
SLOW = [page for page in PAGES if any(block.marked("slow") for block in blocks_of(page))]

Proofglass = Callable[[list[str]], None]


@pytest.fixture
def proofglass(monkeypatch: pytest.MonkeyPatch) -> Proofglass:
    """Runs the words of a command in this process; anything but exit code 0 fails."""

    def call(words: list[str]) -> None:
        monkeypatch.setattr(sys, "argv", ["proofglass", *words])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        assert not code, f"proofglass {shlex.join(words)}: exit code {code}"

    return call


@pytest.fixture
def in_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has what a clone has beside the code."""
    for name in ("examples", "scripts", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.filterwarnings("ignore:measure:UserWarning")  # said on purpose
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_a_page_runs_from_top_to_bottom(page: Path, in_a_clone: Path, proofglass: Proofglass) -> None:
    names: dict[str, Any] = {"__name__": "a_page_of_the_docs"}
    for block in blocks_of(page):
        if block.is_run:
            run(block, names, proofglass, ("",))


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=lambda page: page.name)
def test_the_slow_lines_of_a_page_run_too(page: Path, in_a_clone: Path, proofglass: Proofglass) -> None:
    for block in blocks_of(page):
        if block.language in ("", "sh", "bash") and block.marked("slow"):
            run(block, {}, proofglass, ("", "slow"))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_what_a_page_says_of_a_block_is_so(block: Block) -> None:
    for mark in block.marks:
        assert mark.text or mark.kind == "output", f"{block.place}: {mark.kind}: says no reason"
        if mark.line:
            assert any(line.startswith(mark.line) for line in block.lines), f"{block.place}: no line {mark.line!r}"
        if mark.kind == "tested":
            assert block.page.name in (ROOT / mark.text).read_text(), f"{mark.text} does not name {block.page.name}"


def test_what_the_pages_take_from_the_package_is_there_in_a_fresh_process() -> None:
    """In one process the blocks would find what other tests have imported."""
    used = {name for block in BLOCKS for name in re.findall(r"\bpg((?:\.[A-Za-z_]+)+)", block.code)}
    code = "import proofglass as pg\n" + "\n".join(f"pg{name}" for name in sorted(used))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert used >= {".Run", ".measure"}
    assert ended.returncode == 0, ended.stderr


def run(block: Block, names: dict[str, Any], proofglass: Proofglass, taken: tuple[str, ...]) -> None:
    """Run one block. taken: the marks of lines that are run now."""
    with contextlib.ExitStack() as stack:
        code = block.code
        for mark in block.marked("with"):
            made, instead = stack.enter_context(given(mark.text))
            names.update(made)
            for shown, real in instead.items():
                assert shown in code, f"{block.place}: no longer says {shown!r}"
                code = code.replace(shown, real)
        run_code(block, code, names, proofglass, taken)


def run_code(block: Block, code: str, names: dict[str, Any], proofglass: Proofglass, taken: tuple[str, ...]) -> None:
    if block.language == "python":
        exec(compile(code, block.place, "exec", dont_inherit=True), names)  # as a reader runs it
    elif block.language == "toml":
        groups = tomllib.loads(code)["project"]["entry-points"]
        assert all(group.removeprefix("proofglass.") in registry.KINDS for group in groups), block.place
    elif block.language == "yaml":
        read_yaml(code)
    else:
        assert block.language in ("", "sh", "bash"), f"{block.place}: no way to run {block.language!r}"
        for line in block.lines:
            if block.mark_of(line) in taken:
                run_line(line, block, proofglass)


def run_line(line: str, block: Block, proofglass: Proofglass) -> None:
    words = shlex.split(line)
    assert words[0] == "proofglass", f"{block.place}: {words[0]!r} is not run here; say why above the block"
    proofglass(words[1:])


def read_yaml(text: str) -> None:
    """A study, whose loading builds its plugs; a piece of one, put into a small one; or a table of prices."""
    from proofglass.studies import load
    from proofglass.victims.api import prices

    told = yaml.safe_load(text)
    if "models" in told:
        Path("prices.yaml").write_text(text)
        for name in told["models"]:
            assert prices.find(name, Path("prices.yaml"))
        return
    small: dict[str, Any] = {"name": "piece", "victims": ["testbed-linear"], "attacks": ["no-attack"]}
    small |= {"datasets": ["testbed"], "judges": ["not-refused"]}
    path = Path("study.yaml")
    path.write_text(text if "name" in told else yaml.safe_dump(small | told))
    load(path)


# ---------------------------------------------------------------- what blocks take for granted, small and real


SERVED = {"a server": (8000, "testbed-linear"), "a server of another": (9000, "any-name")}  # port, model


@contextlib.contextmanager
def given(name: str) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Names that the block uses, and what stands in its place for a folder or an address of the reader's own."""
    if name in SERVED:
        port, model = SERVED[name]
        with live.serving(live.Teller(), name=model) as server, pytest.MonkeyPatch.context() as patch:
            patch.setenv("PROOFGLASS_TOKEN", live.TOKEN)
            patch.setenv("OPENAI_COMPATIBLE_API_KEY", live.TOKEN)
            yield {}, {f"http://127.0.0.1:{port}": server.url}
        return
    yield {
        "an encoder": _an_encoder,
        "folders": _folders,
        "a model folder": _a_model_folder,
        "a data set of Inspect": _a_data_set_of_inspect,
        "a victim": _a_victim,
        "pixels": lambda: ({"pixels": _pixels(64)}, {}),
    }[name]()


def _pixels(side: int, n: int = 1) -> Any:
    import torch

    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def _an_encoder() -> tuple[dict[str, Any], dict[str, str]]:
    from tiny_encoders import build

    return {"pixels": _pixels(32)}, {"/models/siglip": str(build("clip", Path("encoder").absolute()))}


def _folders() -> tuple[dict[str, Any], dict[str, str]]:
    from tiny_encoders import build
    from tiny_models import build as build_model

    encoder = str(build("siglip", Path("siglip").absolute()))
    data = Path("unicorns").absolute()
    data.mkdir()
    model = str(build_model("llava", Path("llava").absolute()))
    return {}, {
        "/models/llava-1.5-7b": model,
        "google/siglip-base-patch16-224": encoder,
        "/models/clip-vit-b-32": encoder,
        "/data/unicorns": str(data),
    }


def _a_model_folder() -> tuple[dict[str, Any], dict[str, str]]:
    import torch

    from proofglass.types import Ask, Chat, Image, Sample, Settings
    from victims.families.tiny_llava import build

    folder = Path("my-llava").absolute()
    build(folder)
    picture = Image.from_array(np.full((28, 28, 3), 90, np.uint8))
    chats = [Chat.user(picture, "a kite")]
    names = {
        "samples": [Sample("one", "mine", chats[0], target="red")],
        "chats": chats,
        "asks": [Ask(chat, Settings(max_new_tokens=2)) for chat in chats],
        "vector": torch.zeros(32),
        "x": _pixels(28),
        "goal": torch.zeros(32),
    }
    return names, {"models/my-llava": str(folder), "[10, 20]": "[0, 1]", "{20: vector}": "{1: vector}"}


def _a_data_set_of_inspect() -> tuple[dict[str, Any], dict[str, str]]:
    from inspect_ai.dataset import MemoryDataset, Sample

    return {"dataset": MemoryDataset([Sample("what is it?")])}, {"dataset=...": "dataset=dataset"}


def _a_victim() -> tuple[dict[str, Any], dict[str, str]]:
    import proofglass as pg

    samples = list(pg.dataset("testbed", part="restricted-image", n=2))
    return {"victim": pg.victim("testbed-linear"), "samples": samples}, {"budget=300": "budget=12"}
