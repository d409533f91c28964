"""Fill the disk at one write after another, and show that nothing is lost or called a sample's failure.

Runs a study, reported, once undisturbed; then, again and again into a new folder, with the disk full ("No space left
on device") at one of its writes, drawn by seed: every second time for that write only, else from there until the
command ends. Each must end with exit code 2 and one line, or, where the write did not matter, with 0. Space is freed,
the same command goes on, and the report (all of it but what may differ between equal runs) must equal the undisturbed
one. Exit code 1 on any violation.

    python scripts/full_disk.py                      examples/kill.yaml, 20 writes
    python scripts/full_disk.py --writes 50 --seed 3
    python scripts/full_disk.py --study scripted.yaml --plugs tests/scripted_plugs.py
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import errno
import importlib
import io
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from proofglass.console import say

CHECKPOINT_EVERY = 5  # steps; so that short crafts write some, too


class FullDisk:
    """Counts the writes under `folder`, and fails the `at`-th (from 1; 0: none), and all after it if it lasts."""

    def __init__(self, folder: Path, at: int = 0, lasting: bool = False) -> None:
        self.folder, self.at, self.lasting = folder.resolve(), at, lasting
        self.count = 0
        self.hit = ""

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        """The functions of the system that write go through `self`."""
        with contextlib.ExitStack() as stack:
            for name in ("write", "fsync", "replace", "mkdir"):
                stack.enter_context(mock.patch.object(os, name, self._checked(name, getattr(os, name))))
            stack.enter_context(mock.patch.object(os, "open", self._opened(os.open, lambda f: f & os.O_CREAT)))
            opening = self._opened(io.open, lambda mode: set(str(mode)) & set("wax+"))
            stack.enter_context(mock.patch.object(builtins, "open", opening))
            stack.enter_context(mock.patch.object(io, "open", opening))
            yield

    def _checked(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(place: Any, *rest: Any, **more: Any) -> Any:
            self._write(name, place)
            return real(place, *rest, **more)

        return call

    def _opened(self, real: Callable[..., Any], writes: Callable[[Any], Any]) -> Callable[..., Any]:
        def call(place: Any, mode: Any = "r", *rest: Any, **more: Any) -> Any:
            if writes(mode):
                self._write("open", place)
            return real(place, mode, *rest, **more)

        return call

    def _write(self, name: str, place: Any) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{place}")) if isinstance(place, int) else Path(os.fsdecode(place))
        path = Path(os.path.abspath(path))
        if not path.is_relative_to(self.folder):
            return
        self.count += 1
        if self.at and (self.count == self.at or (self.lasting and self.count > self.at)):
            self.hit = self.hit or f"{name} {path.relative_to(self.folder)}"
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def command(study: str, folder: Path) -> tuple[int, list[str]]:
    """`proofglass run`, in this process: its exit code and the lines of its standard error."""
    from proofglass.cli.main import main

    told = io.StringIO()
    arguments = ["proofglass", "run", study, "--out", str(folder), "--quiet"]
    quiet = contextlib.redirect_stdout(io.StringIO())
    with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stderr(told), quiet:
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, told.getvalue().splitlines()


def report(folder: Path) -> Any:
    """What the report says, without what may differ between equal runs."""
    told = json.loads((folder / "report" / "report.json").read_bytes())
    del told["volatile"]
    return told


def disturbed(study: str, folder: Path, at: int, lasting: bool, expected: Any) -> tuple[str, list[str]]:
    """(what was hit, violations) of one run with a full disk, resumed."""
    disk, wrong = FullDisk(folder, at, lasting), []
    with disk.mounted():
        code, lines = command(study, folder)
    if code not in (0, 2) or (code == 2 and (len(lines) != 1 or not lines[0].startswith("proofglass: "))):
        wrong.append(f"exit code {code}: {lines}")
    if drafts := list(folder.rglob("*.part")):
        wrong.append(f"left half written: {drafts}")
    code, lines = command(study, folder)
    if code:
        wrong.append(f"with space again, exit code {code}: {lines}")
    elif report(folder) != expected:
        wrong.append("the report differs")
    return disk.hit, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="examples/kill.yaml")
    parser.add_argument("--plugs", type=Path, help="a module with register(), whose plugs the study names")
    parser.add_argument("--writes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.plugs:
        sys.path.insert(0, str(arguments.plugs.parent))
        importlib.import_module(arguments.plugs.stem).register()
    with mock.patch("proofglass.studies.craft.kept_in", _often()), tempfile.TemporaryDirectory() as work:
        disk = FullDisk(Path(work) / "whole")
        with disk.mounted():
            code, lines = command(arguments.study, disk.folder)
        if code:
            say(f"undisturbed, exit code {code}: {lines}")
            return 1
        expected, violations = report(disk.folder), 0
        places: Counter[str] = Counter()
        drawn = random.Random(arguments.seed).sample(range(1, disk.count + 1), min(arguments.writes, disk.count))
        for k, at in enumerate(drawn):
            hit, wrong = disturbed(arguments.study, Path(work) / f"run{k}", at, bool(k % 2), expected)
            places[hit.split("/")[0]] += 1
            say(f"write {at} of {disk.count}, {'lasting' if k % 2 else 'a moment'}: {hit}: {wrong or 'equal'}")
            violations += len(wrong)
    say(f"{len(drawn)} writes on a full disk ({dict(places)}); violations: {violations}")
    return 1 if violations else 0


def _often() -> Callable[[Path], Any]:
    from functools import partial

    from proofglass.engine.checkpoints import kept_in

    return partial(kept_in, every=CHECKPOINT_EVERY)


if __name__ == "__main__":
    sys.exit(main())
