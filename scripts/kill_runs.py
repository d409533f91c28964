"""Kill a run again and again, and show that nothing is lost, doubled or changed.

Runs a study with `proofglass run` in a process of its own (forked from one that has imported torch and transformers
and run nothing, which saves seconds at each start), sends it SIGKILL while it crafts, asks, is in the
middle of a dialogue, judges, seals or reports, starts the same command again until the study is done, and
compares records, scores and report.json with those of a run that nobody killed. Exit code 1 on any violation.

    python scripts/kill_runs.py                      the shipped study "demo", 20 kills
    python scripts/kill_runs.py --study my.yaml --kills 50 --seed 3
    python scripts/kill_runs.py --study scripted.yaml --plugs tests/scripted_plugs.py

The phases are seen from outside the product: the child process wraps the functions of the phases and logs their
calls, together with every batch that the victim was asked and every batch that was answered.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from proofglass.console import say

PHASES = ("crafting", "asking", "dialogue", "judging", "sealing", "reporting")
PRELOADED = ["proofglass.victims.hf.victim", "proofglass.victims.hf.model"]  # the heavy imports of every run
POLL_S = 0.001
HOLD_S = 0.01  # each phase is held before and after its work, or judging would be over before a kill can land


@dataclass
class Tally:
    """What happened to one run folder. batches: asks per batch, begun: times that each was put to the victim."""

    folder: Path
    kills: Counter[str] = field(default_factory=Counter)
    begun: Counter[str] = field(default_factory=Counter)
    asks: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


def main() -> int:
    arguments = _arguments()
    work = Path(tempfile.mkdtemp(prefix="kill_runs_"))
    say(f"work folder: {work}")
    whole = work / "unkilled"
    first = _start(arguments, whole)
    first.join()
    if first.exitcode != 0:
        say((work / "unkilled.err").read_text())
        return 1
    expected = _visible(whole)
    rng = random.Random(arguments.seed)
    tallies: list[Tally] = []
    while sum(sum(t.kills.values()) for t in tallies) < arguments.kills:
        left = arguments.kills - sum(sum(t.kills.values()) for t in tallies)
        tally = _torment(arguments, work / f"run{len(tallies)}", rng, left, _kills(tallies))
        tally.violations += _differences(expected, _visible(tally.folder))
        tallies.append(tally)
    return _tell(tallies, work)


def _torment(
    arguments: argparse.Namespace, folder: Path, rng: random.Random, kills: int, before: Counter[str]
) -> Tally:
    """Run one study to its end, killed on the way at most `kills` times, rarest phases first."""
    tally = Tally(folder)
    while True:
        may_kill = sum(tally.kills.values()) < kills
        counts = before + tally.kills
        target = min(PHASES, key=lambda phase: (counts[phase], rng.random())) if may_kill else ""
        log = folder.with_suffix(".log")
        start = log.stat().st_size if log.exists() else 0
        process = _start(arguments, folder)
        # A few calls into the phase, and a moment into the call: the phase is chosen, the place is not.
        phase = _kill_in(process, log, start, target, calls=rng.choice((1, 1, 1, 2)), wait_s=rng.random() * 0.02)
        _account(tally, log, start)
        if phase is None:
            if process.exitcode != 0:
                tally.violations.append(f"exit code {process.exitcode}: {folder.with_suffix('.err').read_text()}")
            _check_journal(tally)
            return tally
        tally.kills[phase] += 1
        say(f"{folder.name}: killed while {phase}")


def _kill_in(process: BaseProcess, log: Path, start: int, target: str, calls: int, wait_s: float) -> str | None:
    """Kill the process in the phase `target`; the phase in which it died, None if it came to its end first."""
    while target and process.is_alive():
        if sum(line[:2] == ["phase", target] for line in _lines(log, start)) >= calls:
            time.sleep(wait_s)
            process.kill()
            break
        time.sleep(POLL_S)
    process.join()
    if process.exitcode != -signal.SIGKILL:
        return None
    phases = [line[1] for line in _lines(log, start) if line[0] == "phase"]
    return phases[-1]


def _account(tally: Tally, log: Path, start: int) -> None:
    """Count what one life of the run asked; it may leave one batch unanswered, and repeat none answered before."""
    answered_before = {batch for batch in tally.begun if batch in _answered(log, 0, start)}
    begun = [line[1:] for line in _lines(log, start) if line[0] == "begun"]
    answered = _answered(log, start)
    for batch, asks in begun:
        tally.begun[batch] += 1
        tally.asks[batch] = int(asks)
        if batch in answered_before:
            tally.violations.append(f"batch {batch} was answered and is asked again")
    unanswered = [batch for batch, _ in begun if batch not in answered]
    if len(unanswered) > 1:
        tally.violations.append(f"{len(unanswered)} batches were under way at one kill, expected at most 1")


def _check_journal(tally: Tally) -> None:
    """Every batch that was ever answered stands in the journal, once."""
    journal = tally.folder / "journal.jsonl"
    kept = Counter(json.loads(line)["batch"] for line in journal.read_bytes().splitlines())
    for batch in _answered(tally.folder.with_suffix(".log"), 0) - set(kept):
        tally.violations.append(f"batch {batch} was answered and is lost")
    for batch, times in kept.items():
        if times > 1:
            tally.violations.append(f"batch {batch} stands {times} times in the journal")


def _visible(folder: Path) -> dict[str, Any]:
    """All that a user sees of a run, without what may differ between two runs."""
    from proofglass.records.schema import VOLATILE
    from proofglass.records.store import Store

    def steady(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: steady(v) for k, v in value.items() if k not in (*VOLATILE, "volatile")}
        return [steady(v) for v in value] if isinstance(value, list) else value

    store = Store(folder)
    report = json.loads((folder / "report" / "report.json").read_bytes())
    return {
        "records": store.frame().to_dicts(),
        "scores": store.scores().to_dicts(),
        "cells": steady(store.cells()),
        "report.json": steady(report),
        "pictures": sorted(path.name for path in (folder / "artefacts").rglob("*.png")),
    }


def _differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    return [f"{what} differ from those of the unkilled run" for what in expected if expected[what] != found[what]]


def _kills(tallies: list[Tally]) -> Counter[str]:
    return sum((tally.kills for tally in tallies), Counter())


def _tell(tallies: list[Tally], work: Path) -> int:
    kills = _kills(tallies)
    violations = [f"{t.folder.name}: {violation}" for t in tallies for violation in t.violations]
    again = sum(t.asks[batch] * (times - 1) for t in tallies for batch, times in t.begun.items())
    batches_again = sum(times - 1 for t in tallies for times in t.begun.values())
    say(f"{sum(kills.values())} kills over {len(tallies)} runs: ", end="")
    say(", ".join(f"{kills[phase]} {phase}" for phase in (*PHASES, *sorted(set(kills) - set(PHASES)))))
    say(f"asks answered: {sum(sum(t.asks.values()) for t in tallies)}")
    say(f"asks asked again: {again}, in {batches_again} batches cut off by a kill")
    lost = sum("is lost" in v or "is asked again" in v for v in violations)
    say(f"answers lost: {lost}; answers doubled: {sum('times in the journal' in v for v in violations)}")
    say(f"violations: {len(violations)}")
    for violation in violations:
        say(f"  {violation}")
    if not violations:
        shutil.rmtree(work)
    return 1 if violations else 0


def _lines(log: Path, start: int, end: int | None = None) -> list[list[str]]:
    if not log.exists():
        return []
    with open(log, "rb") as file:
        file.seek(start)
        data = file.read() if end is None else file.read(max(end - start, 0))
    return [line.decode().split() for line in data.splitlines(keepends=True) if line.endswith(b"\n")]


def _answered(log: Path, start: int, end: int | None = None) -> set[str]:
    return {line[1] for line in _lines(log, start, end) if line[0] == "answered"}


def _start(arguments: argparse.Namespace, folder: Path) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_child, args=(arguments, folder))
    process.start()
    return process


def _child(arguments: argparse.Namespace, folder: Path) -> None:
    """`proofglass run STUDY --out FOLDER --quiet`, its phases logged."""
    errors = os.open(folder.with_suffix(".err"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(errors, stream)
    if arguments.plugs:
        plugs = Path(arguments.plugs).resolve()
        sys.path.insert(0, str(plugs.parent))
        importlib.import_module(plugs.stem).register()
    _log_phases(folder.with_suffix(".log"))
    from proofglass.cli.main import main as proofglass

    sys.argv = ["proofglass", "run", arguments.study, "--out", str(folder), "--quiet"]
    proofglass()


def _log_phases(log: Path) -> None:
    """Wrap the functions of the phases so that each call leaves a line."""
    from proofglass import api
    from proofglass.records.journal import JournaledVictim
    from proofglass.records.store import Store
    from proofglass.studies import execute
    from proofglass.studies.runners import local

    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    rounds = 0

    def note(*words: object) -> None:
        os.write(file, (" ".join(map(str, words)) + "\n").encode())

    def phase(owner: Any, name: str, called: str) -> None:
        real = getattr(owner, name)

        def logged(*args: Any, **more: Any) -> Any:
            note("phase", called)
            time.sleep(HOLD_S)
            found = real(*args, **more)
            time.sleep(HOLD_S)
            note("phase", "between")
            return found

        setattr(owner, name, logged)

    def chunk(*args: Any, **more: Any) -> Any:
        nonlocal rounds
        rounds = 0
        return run_chunk(*args, **more)

    def reply(self: JournaledVictim, asks: Any) -> Any:
        nonlocal rounds
        rounds += 1
        return answer(self, asks)

    def ask(self: JournaledVictim, batch: str, asks: Any) -> Any:
        note("phase", "asking" if rounds <= 1 else "dialogue")
        note("begun", batch, len(asks))
        found = real_ask(self, batch, asks)
        note("answered", batch)
        note("phase", "between")
        return found

    run_chunk, answer, real_ask = execute.run_chunk, JournaledVictim.reply, JournaledVictim._ask
    execute.run_chunk, JournaledVictim.reply, JournaledVictim._ask = chunk, reply, ask  # type: ignore[method-assign]
    phase(execute, "craft", "crafting")
    phase(local, "judge", "judging")
    phase(Store, "put_scores", "sealing")
    phase(Store, "seal", "sealing")
    phase(api.Run, "report", "reporting")
    note("phase", "starting")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--study", default="demo", help="a YAML file, or the name of a shipped study")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--plugs", default="", help="a Python file whose register() makes further plugs known")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
