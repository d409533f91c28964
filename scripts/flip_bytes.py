"""Flip one byte of a run folder, again and again, and show that no report changes without a word.

Makes a small run, and two that were stopped: one in the middle of an optimisation, one in the middle of a batch behind
an API. Then takes a copy, gives one byte of one file another value, and does what a user would do next: reports on the
finished run, runs the same command again, reports. Right is an error that names the file (`told`), or the report of the
run that nobody touched (`equal`: nothing needed the byte, or what needed it was done again). A report that differs is a
silent change; any other exception is a traceback. Exit code 1 if there was one of either.

    python scripts/flip_bytes.py                 200 places in each kind of file
    python scripts/flip_bytes.py --flips 20 --seed 3
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from proofglass import api
from proofglass.console import say
from proofglass.engine import Differentiable, LInf, Schedule, SignStep, minimise
from proofglass.errors import ProofglassError, StoreError
from proofglass.interfaces import Attack, Dataset, Judge, Victim
from proofglass.studies import Study, run_study
from proofglass.studies.study import Item
from proofglass.types import Artefact, Ask, Attempt, Budget, Chat, Cost, Image, Reply, Sample, Score, Settings
from proofglass.victims.api.calls import Calls
from proofglass.victims.api.ledger import Caps
from proofglass.victims.api.limits import Backoff, Pace
from proofglass.victims.api.provider import Answer, Request, estimate
from proofglass.victims.inspect import ApiVictim, _opened

KINDS = {
    "manifest": "manifest.json",
    "journal": "journal.jsonl",
    "samples": "samples/*.parquet",
    "cell status": "cells/*.json",
    "cell records": "cells/*.parquet",
    "scores": "scores/*.parquet",
    "artefacts": "artefacts/*.json",
    "pictures": "artefacts/*/*.png",
    "checkpoints": "drafts/*/*.safetensors",
    "API ledger": "ledger/*/calls.jsonl",
}
# The last one stops while it asks about a picture that was crafted before it: a resume reads that one back.
STOPS = (("finished", {}), ("stopped crafting", {"craft": 40}), ("stopped asking", {"ask": 27}))
LEFT: dict[str, int] = {}  # calls that a stopped run has left, by "craft" and "ask"


def main() -> int:
    arguments = _arguments()
    work = Path(tempfile.mkdtemp(prefix="flip_bytes_", dir=arguments.work))
    rng = random.Random(arguments.seed)
    tallies = [flips(run, kind, arguments.flips, rng, work) for run in runs(work) for kind in KINDS if run.files(kind)]
    say(f"{'run':20}{'file':14}{'flips':>7}{'told':>7}{'equal':>7}{'silent':>8}{'traceback':>11}")
    for each in tallies:
        counts = (each.ends[name] for name in ("told", "equal", "silent", "traceback"))
        told, equal, silent, traceback = counts
        say(f"{each.run:20}{each.kind:14}{arguments.flips:7}{told:7}{equal:7}{silent:8}{traceback:11}")
    wrong = [line for each in tallies for line in each.wrong]
    say("\n".join(wrong[:20]) if wrong else "no silent change of a report, no traceback")
    shutil.rmtree(work)
    return 1 if wrong else 0


@dataclass
class Tally:
    """How the flips in one kind of file ended. wrong: silent changes and tracebacks, with their place."""

    run: str
    kind: str
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Made:
    """A run folder to damage. first: its report as it is, None if it is not finished; last: after running it again."""

    name: str
    folder: Path
    first: bytes | None
    last: bytes

    def files(self, kind: str) -> list[Path]:
        return sorted(path.relative_to(self.folder) for path in self.folder.glob(KINDS[kind]))


def runs(work: Path) -> Iterator[Made]:
    """A finished run, one stopped while it crafted and one stopped while it asked an API."""
    for name, left in STOPS:
        folder = work / name.replace(" ", "-")
        LEFT.clear()
        LEFT.update(left)
        try:
            run_study(study(), folder, progress=False)
        except (KeyboardInterrupt, StoreError):
            assert left
        LEFT.clear()
        first = None if left else report(folder)
        shutil.copytree(folder, work / "again")
        run_study(study(), work / "again", progress=False)
        yield Made(name, folder, first, report(work / "again"))
        shutil.rmtree(work / "again")


def flips(run: Made, kind: str, count: int, rng: random.Random, work: Path) -> Tally:
    """`count` bytes of this kind of file, each flipped in a copy of its own."""
    tally = Tally(run.name, kind)
    files, copy = run.files(kind), work / "copy"
    sizes = [(run.folder / file).stat().st_size for file in files]
    for _ in range(count):
        (file,) = rng.choices(files, sizes)
        shutil.copytree(run.folder, copy)
        content = bytearray((copy / file).read_bytes())
        at = rng.randrange(len(content))
        content[at] ^= rng.randrange(1, 256)
        (copy / file).write_bytes(content)
        end = ending(run, copy)
        tally.ends[end.split(":")[0]] += 1
        if not end.startswith(("told", "equal")):
            tally.wrong.append(f"{run.name}: {file}, byte {at}, now {content[at]:#04x}: {end}")
        shutil.rmtree(copy)
    return tally


def ending(run: Made, copy: Path) -> str:
    """What a user gets of a damaged folder: "told", "equal", "silent" or "traceback: ..."."""
    try:
        if run.first is not None and report(copy) != run.first:
            return "silent"
        run_study(study(), copy, progress=False)
        return "equal" if report(copy) == run.last else "silent"
    except ProofglassError as error:
        return "told" if str(copy) in str(error) else f"traceback: {type(error).__name__}, names no file: {error}"
    except Exception as error:
        return f"traceback: {type(error).__name__}: {error}"


def report(folder: Path) -> bytes:
    """report.json without what may differ between equal runs."""
    page = api.write_report(folder)
    told = json.loads((page.parent / "report.json").read_bytes())
    del told["volatile"]
    return json.dumps(_steady(told)).encode()


def _steady(value: Any) -> Any:
    """Of crafting and cells, the seconds and the memory differ too."""
    from proofglass.records.schema import VOLATILE

    if isinstance(value, dict):
        return {k: _steady(v) for k, v in value.items() if k not in VOLATILE}
    return [_steady(v) for v in value] if isinstance(value, list) else value


# The study: every answer is known, a cell takes milliseconds.


def study() -> Study:
    """Two victims, one of them behind an API, a plain attack and an optimised picture, one data set, two judges."""

    def items(*plugs: Any) -> tuple[Item[Any], ...]:
        return tuple(Item(p.name, p.name, p, lambda p=p: p, {}) for p in plugs)

    return Study(
        name="flip",
        source="flip",
        text="",
        seed=1,
        settings=Settings(16),
        chunk=4,
        budget=None,
        victims=items(Echo(), Paid("paper/paper")),
        attacks=items(api.attack("no-attack"), Drawn()),
        defenses=items(api.defense("none"), api.defense("system-prompt", text="Take care.")),
        datasets=items(Lines()),
        judges=items(SaysYes(), Long()),
        success="long",
    )


def _stop(what: str) -> bool:
    """Whether a run that is to be stopped has come to its end, at this call."""
    if what in LEFT:
        LEFT[what] -= 1
    return LEFT.get(what, 1) <= 0


def said(chat: Chat) -> str:
    parts = "|".join(p if isinstance(p, str) else p.sha256 for m in chat.messages for p in m.parts)
    digest = hashlib.sha256(parts.encode()).digest()
    return f"{'yes' if digest[0] % 2 else 'no'} {digest.hex()[: digest[1] % 40]}"


@dataclass(frozen=True)
class Echo(Victim):
    name = "echo"
    sees_images: bool = True

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply(said(ask.chat), cost=Cost(queries=1)) for ask in asks]


class Paper:
    """A provider that never leaves this process."""

    name, address = "paper/paper", ""

    def request(self, ask: Ask) -> Request:
        return Request([ask.chat], None, estimate(ask.chat))  # type: ignore[list-item, arg-type]

    async def ask(self, request: Request) -> Answer:
        if _stop("ask"):
            raise StoreError("stopped")
        return Answer(said(request.messages[0]), "paper-1", "stop", tokens=(10, 5, 0, 0))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Paid(ApiVictim):
    name = "paid"
    connections: int = 1

    @cached_property
    def _calls(self) -> Calls:
        ledger, pace = _opened(self.ledger_folder), Pace(None, None)
        return Calls(Paper(), ledger, Caps(), pace, None, None, 1, 1, 1.0, Backoff(0.1))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Drawn(Attack):
    """A universal picture, optimised towards another one."""

    name = "drawn"
    changes = ("image",)

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        import torch

        def distance(x: torch.Tensor, rows: Any) -> torch.Tensor:
            if _stop("craft"):
                raise KeyboardInterrupt
            return ((x - 0.9) ** 2).flatten(1).sum(1)

        start = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(2))
        objective, schedule = Differentiable(distance, 1), Schedule(60)
        found = minimise(
            objective, start, constraint=LInf(0.4), step=SignStep(0.003), schedule=schedule, seed=seed, select="best"
        )
        clean = Image.from_array((start[0].permute(1, 2, 0) * 255).round().byte().numpy())
        yield Artefact(None, tuple(found.images()), clean=clean, crafted_on=victim.key, cost=found.cost)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(artefact.images[0])


@dataclass(frozen=True)
class Lines(Dataset):
    name = "lines"

    def __iter__(self) -> Iterator[Sample]:
        for k in range(8):
            yield Sample(f"line{k}", "lines", Chat.user(f"line {k}?"))

    def crafting(self) -> Iterator[Sample]:
        yield Sample("craft", "lines", Chat.user("another line?"), split="craft")


@dataclass(frozen=True)
class SaysYes(Judge):
    name = "not-refused"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score(self.name, float(a.reply.text.startswith("yes"))) for a in attempts]


@dataclass(frozen=True)
class Long(Judge):
    name = "long"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score(self.name, min(len(a.reply.text) / 40, 1.0), "length") for a in attempts]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flips", type=int, default=200, help="places in each kind of file")
    parser.add_argument("--seed", type=int, default=0, help="of the places")
    parser.add_argument("--work", default=None, help="folder for the run folders; one in memory is fastest")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
