"""The journal: one line per answered batch, on disk before anything looks at the answers.

Whole batches are the unit. A batch that is there is never asked again, whichever cell asks it; one that was
cut off by a crash is asked again whole, so padded shapes, and with them the numbers, stay the same however
often a run is stopped.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofglass.errors import ImageError, ProofglassError
from proofglass.faults import stops_the_run, told
from proofglass.flow import Answer
from proofglass.interfaces import Victim
from proofglass.records.checksums import damaged, is_intact, signed, signed_lines
from proofglass.records.files import guarded
from proofglass.records.pictures import PictureFiles
from proofglass.records.schema import turns_of
from proofglass.types import Ask, Cost, Decision, Helper, Reply, Unsent

_FIX = "cut it before this line: what stood from there on is asked again"
_NO_PICTURE = "Restore it from a copy, or delete the journal beside it: all that it holds is asked again."
Heard = Callable[[int, bool, float], None]


@dataclass(frozen=True)
class Answered:
    """A batch with its replies, in the order of its asks. seconds: wall time that the victim took."""

    batch: str
    victim: str
    replies: tuple[Reply, ...]
    seconds: float


class Journal:
    """Append-only file of answered batches. Opened by the one writer that holds the lock of the folder.

    Every line carries a checksum. Raises StoreError for one that does not fit it, except a last one torn by a crash:
    that is no crash but an edited or rotten file. What painters drew lies beside it, in `painted/`, before its line
    is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._painted = PictureFiles(path.parent / "painted", _NO_PICTURE)
        with guarded(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._places: dict[str, tuple[int, int]] = {}  # batch -> offset and length of its line, in bytes
        self._end = 0
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        for offset, line in signed_lines(self.path, _FIX):
            self._places[json.loads(line)["batch"]] = (offset, len(line))
            self._end = offset + len(line)
        with guarded(self.path):
            os.ftruncate(self._file, self._end)  # torn by a crash: its batch is asked again

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, batch: str) -> bool:
        return batch in self._places

    def recall(self, batch: str) -> Answered | None:
        """The answers to `batch`, None if it was never answered whole. Raises StoreError if they are damaged since."""
        if batch not in self._places:
            return None
        offset, length = self._places[batch]
        line = os.pread(self._file, length, offset)
        if not is_intact(line):
            raise damaged(f"{self.path}: byte {offset}", _FIX)
        return self._answered(json.loads(line))

    def append(self, answered: Answered) -> None:
        """Write and sync one batch. On return it survives a crash. Raises StoreError if the disk is full."""
        line = signed(json.dumps(self._told(answered), separators=(",", ":")).encode())
        with guarded(self.path):
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, self._end)  # no torn line in the middle once space is free again
                raise
        self._places[answered.batch] = (self._end, len(line))
        self._end += len(line)

    def _told(self, answered: Answered) -> dict[str, Any]:
        """As a line holds it: a picture by its hash."""
        replies = []
        for reply in answered.replies:
            plain = dataclasses.asdict(dataclasses.replace(reply, images=()))
            replies.append({**plain, "images": [self._painted.put(image) for image in reply.images]})
        return {"batch": answered.batch, "victim": answered.victim, "replies": replies, "seconds": answered.seconds}

    def _answered(self, line: dict[str, Any]) -> Answered:
        replies = tuple(self._reply(told) for told in line["replies"])
        return Answered(line["batch"], line["victim"], replies, line["seconds"])

    def _reply(self, told: dict[str, Any]) -> Reply:
        return Reply(
            **{
                **told,
                "decisions": tuple(Decision(**decision) for decision in told["decisions"]),
                "cost": Cost(**told["cost"]),
                "helpers": {key: Cost(**cost) for key, cost in told.get("helpers", {}).items()},
                "images": tuple(self._painted.get(sha256) for sha256 in told.get("images", ())),
            }
        )

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def batch_key(victim: str, asks: Sequence[Ask]) -> str:
    """Names a batch: the key of the victim or helper that is asked, and its asks in order, with settings, draw and
    pixels. Who is asked stands in front alone: a model's answers are its own, whether it was asked as victim or as
    helper."""
    # None: where helpers stood by name. The key of a batch is that of older journals.
    told = [[None, ask.settings.told(), turns_of(ask.chat)] for ask in asks]
    return hashlib.sha256(json.dumps([victim, told], sort_keys=True).encode()).hexdigest()[:32]


class Journaled:
    """`model` whose answers go through `journal`.

    key: under which they are kept, "": that of `model`. heard: called after each batch with the number of asks, whether
    they were asked now or recalled, and the seconds that the model took for them.
    asked, recalled: asks so far; seconds: what the model took for all of them, whichever run asked. unsent: asks
    that ended as an error without a query, so that nothing was sent (a budget is spent), and why. batches: batch ->
    what its answers cost: whoever adds up several cells counts a batch that they share once. sizes: batch -> its asks.
    """

    kind = "helper"  # what a reason calls the model

    def __init__(self, model: Helper, journal: Journal, heard: Heard | None = None, key: str = "") -> None:
        self.model, self.journal, self.heard = model, journal, heard
        self._key = key or model.key
        self.asked = self.recalled = 0
        self.seconds = 0.0
        self.unsent: Counter[str] = Counter()
        self.batches: dict[str, Cost] = {}
        self.sizes: dict[str, int] = {}

    @property
    def key(self) -> str:
        return self._key

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        batch = batch_key(self.key, asks)
        answered = self.journal.recall(batch)
        is_new = answered is None
        if answered is None:
            answered = self._ask(batch, asks)
        if is_new:
            self.asked += len(asks)
        else:
            self.recalled += len(asks)
        self.seconds += answered.seconds
        self.batches[batch] = sum((reply.cost for reply in answered.replies), Cost())
        self.sizes[batch] = len(asks)
        if self.heard:
            self.heard(len(asks), is_new, answered.seconds)
        return list(answered.replies)

    def _ask(self, batch: str, asks: Sequence[Ask]) -> Answered:
        start = time.perf_counter()
        try:
            replies = tuple(self.model.reply(asks))
            if len(replies) != len(asks):
                raise ValueError(f"{len(replies)} replies to {len(asks)} asks")
            if odd := next((type(r).__name__ for r in replies if not isinstance(r, Reply)), ""):
                raise TypeError(f"a {odd} among the replies, expected a Reply to each ask")
            # An error of the victim itself that cost no query says the same: nothing was asked.
            spared = [r.outcome == "error" and not r.cost.queries for r in replies]
            replies = tuple(Unsent.because(r.reason) if s else r for r, s in zip(replies, spared, strict=True))
        except BaseException as error:
            if stops_the_run(error) or (isinstance(error, ProofglassError) and not isinstance(error, ImageError)):
                raise  # Ctrl-C, a full disk, missing weights: not the fault of these samples
            # Not journaled: the victim gave no answer, so the next run of the study asks once more.
            name = getattr(self.model, "name", "") or type(self.model).__name__
            reason = f"{self.kind} {name}: {told(error, self.kind, self.model)}"
            replies = (Reply.error(reason),) * len(asks)
            return Answered(batch, self.key, replies, time.perf_counter() - start)
        answered = Answered(batch, self.key, replies, time.perf_counter() - start)
        unsent = Counter(r.reason for r in replies if isinstance(r, Unsent))
        self.unsent += unsent
        if not unsent:  # else the batch is not answered: a run that goes on asks it again
            self.journal.append(answered)
        return answered


class JournaledVictim(Journaled, Victim):
    """`victim` whose answers go through a journal: the innermost one of a finished stack of defenses."""

    name, kind = "journaled", "victim"

    def __init__(self, victim: Victim, journal: Journal, heard: Heard | None = None, key: str = "") -> None:
        super().__init__(victim, journal, heard, key)
        self.victim = victim
        self.layout, self.image_size, self.sees_images = victim.layout, victim.image_size, victim.sees_images

    def settings(self) -> dict[str, Any]:
        return self.victim.settings()

    def card(self) -> dict[str, Any]:
        return self.victim.card()


class JournaledHelpers:
    """The answers of helpers through `journal`, as `flow.drive` takes them; counted by helper, for one cell.

    heard: see `Journaled`. held: key -> the model in memory, for all cells that are given the same mapping. Helpers
    with the same key are one model, a copy of the one that was handed over: it loads its weights here and is freed with
    `held`, while the method that names it stays.
    """

    def __init__(self, journal: Journal, heard: Heard | None = None, held: dict[str, Helper] | None = None) -> None:
        self.journal, self.heard = journal, heard
        self.held = {} if held is None else held
        self.by_key: dict[str, Journaled] = {}

    def __call__(self, helper: Helper) -> Answer:
        key = helper.key
        if key not in self.by_key:
            model = self.held.setdefault(key, copy.copy(helper))
            self.by_key[key] = Journaled(model, self.journal, self.heard)
        return self.by_key[key].reply

    @property
    def unsent(self) -> Counter[str]:
        """Asks that were not sent, and why."""
        return sum((asked.unsent for asked in self.by_key.values()), Counter[str]())

    @property
    def costs(self) -> dict[str, Cost]:
        """Key of each helper -> what its answers cost, each batch once."""
        return costs_of([self])

    @property
    def told(self) -> dict[str, dict[str, Any]]:
        """By key of the helper: its name; batches: batch -> asks, queries, tokens in and out, money."""
        return {
            key: {
                "name": getattr(asked.model, "name", "") or type(asked.model).__name__,
                "batches": {
                    batch: [asked.sizes[batch], cost.queries, cost.tokens_in, cost.tokens_out, cost.money]
                    for batch, cost in asked.batches.items()
                },
            }
            for key, asked in self.by_key.items()
        }


def costs_of(several: Iterable[JournaledHelpers]) -> dict[str, Cost]:
    """Key of each helper -> what its answers cost, each batch once, whoever of them asked."""
    once: dict[str, dict[str, Cost]] = {}
    for helpers in several:
        for key, asked in helpers.by_key.items():
            once.setdefault(key, {}).update(asked.batches)
    return {key: sum(batches.values(), Cost()) for key, batches in once.items()}
