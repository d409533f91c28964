"""A run folder as Inspect logs: one `.eval` file per cell, which `inspect view` and Inspect's own tools open.

The numbers are the report's: rates come from `evaluation.metrics.success`, and the scores of the samples are such
that Inspect, counting them itself, comes to the same. An error has no score; a blocked reply, or one withheld whole,
scores 0; an unjudged one has Inspect's own mark for it, NaN with a reason, which its metrics leave out.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from proofglass.inspect_ext import require
from proofglass.inspect_ext.cell import LoggedCell, header, samples
from proofglass.records.files import guarded
from proofglass.records.scores import agreed
from proofglass.types import Image
from proofglass.victims.api import loop

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

    from proofglass.records.store import Store

BATCH = 64  # samples in memory at a time
Heard = Callable[[int], None]  # told how many more samples are written


@dataclass(frozen=True)
class Exported:
    """What was written. skipped: cells that cannot run, which have no log; lost: sha256 of pictures that were to be
    put into a log and whose files are gone (the log names them instead)."""

    logs: tuple[Path, ...]
    samples: int
    skipped: int = 0
    lost: tuple[str, ...] = ()


@dataclass
class PicturesOfRun:
    """What stands for a picture in a log: the place of its file in the run folder, or (inline) the file itself."""

    store: Store
    inline: bool
    lost: dict[str, None] = field(default_factory=dict)

    def __call__(self, image: Image) -> str:
        path = self.store.image_path(image.sha256)
        if self.inline:
            if path.exists():
                self.store.image(image.sha256)  # raises for one that is no longer itself
                return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
            self.lost[image.sha256] = None
        return path.relative_to(path.parents[2]).as_posix()  # artefacts/ab/<sha256>.png

    def named(self, sha256: str) -> Image:
        """The picture of a record; its size is not known before it is read, and nothing here reads its pixels."""
        return Image(sha256, 0, 0, lambda: self.store.image(sha256).array())


def export(store: Store, out: Path, *, with_images: bool = False, heard: Heard | None = None) -> Exported:
    """Write one log per cell of the run into the folder `out`; a log that is there already is replaced whole.

    with_images: pictures stand in the logs, as data URIs; else the logs name them, `artefacts/ab/<sha256>.png` in the
    run folder. heard: called after every batch. A cell that measured nothing becomes a log of status "error", one that
    has not run yet "started". Raises MissingExtra, StoreError if the folder cannot be written.
    """
    require()
    manifest = store.manifest()
    given = agreed(store.scores())
    scores = {cell: part for (cell,), part in given.partition_by("cell", as_dict=True).items()}
    nothing = given.clear()
    pictures = PicturesOfRun(store, with_images)
    logs, written, skipped = [], 0, 0
    for plan in store.cells():
        if plan["status"] == "skipped":
            skipped += 1
            continue
        cell = LoggedCell(manifest, plan, store.frame(plan["cell"]), scores.get(plan["cell"], nothing))
        path = out / cell.file_name
        with guarded(path):
            out.mkdir(parents=True, exist_ok=True)
            loop.run(_write(path, header(cell, with_images=with_images), samples(cell, pictures), heard))
        logs.append(path)
        written += cell.rows.height
    return Exported(tuple(logs), written, skipped, tuple(pictures.lost))


async def _write(path: Path, log: EvalLog, samples: Iterator[EvalSample], heard: Heard | None) -> None:
    """As Inspect's `write_eval_log` does, but batch by batch: that one holds all samples of a log in memory.

    The file appears whole, at the end. What stays in memory of a sample is its summary, which the format keeps apart.
    """
    from itertools import islice

    from inspect_ai.log import condense_sample
    from inspect_ai.log._recorders.eval import EvalRecorder

    recorder = EvalRecorder(str(path.parent))
    await recorder.log_init(log.eval, str(path), clean=True)
    await recorder.log_start(log.eval, log.plan)
    (file,) = recorder.data.values()
    while batch := list(islice(samples, BATCH)):
        for sample in batch:
            await recorder.log_sample(log.eval, condense_sample(sample))
        await file.write_buffered_samples()
        if heard:
            heard(len(batch))
    await recorder.log_finish(log.eval, log.status, log.stats, log.results, None, log.error, header_only=True)
