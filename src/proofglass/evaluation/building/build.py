"""From scenes to a data set: draft, filter, keep, and write what people are to review."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from proofglass.errors import UsageError
from proofglass.evaluation.building import filters
from proofglass.evaluation.building.drafting import TWINS, Draft, Twin, Unread, drafted, in_turn
from proofglass.evaluation.building.filters import Dropped, Pair
from proofglass.evaluation.building.scenes import Scene, kept
from proofglass.evaluation.datasets.built import REVIEW, TABLE, review_of
from proofglass.evaluation.datasets.reading import text_of
from proofglass.flow import drive
from proofglass.interfaces import Judge, Victim, key_of
from proofglass.records.files import write_whole
from proofglass.records.journal import Journal, JournaledHelpers
from proofglass.records.schema import utf8
from proofglass.records.spreadsheets import csv_cell
from proofglass.types import Ask, BadSample, Cost, Reply

REMOVED, ABOUT = "removed.csv", "about.json"
VERSION = 1
AT_ONCE = 16  # pairs drafted together


@dataclass(frozen=True)
class Built:
    """What came out. pairs: those that stand in the data set; dropped: the others; bad: pictures that could not be
    read; asked: what the helpers were asked, by key; version: names everything that decided, so that another writer,
    brief or scene is another version."""

    folder: Path
    version: str
    pairs: tuple[Pair, ...]
    dropped: tuple[Dropped, ...]
    bad: tuple[BadSample, ...]
    asked: dict[str, Cost]


def build(
    scenes: Iterable[Scene | BadSample],
    writer: Victim,
    out: Path,
    *,
    brief: str,
    pairs: int,
    judge: Judge | None = None,
    twins: Sequence[Twin] = TWINS,
    tokens: int = 256,
    heard: Callable[[str], None] = lambda text: None,
) -> Built:
    """Draft `pairs` pairs about the first scenes, drop those that do not hold, and write the data set into `out`.

    Every answer of writer and judge is journaled: what was answered is not asked again, so a build that was stopped
    goes on. heard: called with a line for each stage. Raises UsageError for a folder that holds another build, for no
    scene, and where nothing is left.
    """
    found, usable = [], list[Scene]()
    for each in scenes:
        found.append(each)
        usable += [each] if isinstance(each, Scene) else []
        if len(usable) == pairs:
            break
    if not usable:
        first = found[0] if found else None
        why = first.reason if isinstance(first, BadSample) else "there is none"
        raise UsageError(f"no picture can be used; the first: {why}")
    if len(usable) < pairs:
        heard(f"{pairs} pairs were asked for, and there are pictures for {len(usable)}")
    told = {"writer": writer.key, "judge": judge.key if judge else "", "brief": brief, "twins": list(twins)}
    version = key_of([VERSION, told, tokens, [each.image.sha256 for each in usable]])
    out.mkdir(parents=True, exist_ok=True)
    _check_ours(out, version)
    with Journal(out / "journal.jsonl") as journal:
        helpers = JournaledHelpers(journal)
        made = _drafted(usable, writer, brief, twins, tokens, helpers, heard)
        read = [each for each in made if not isinstance(each, Unread)]
        dropped = [Dropped(each.pair, "unread", each.reason) for each in made if isinstance(each, Unread)]
        read, dropped = _without(read, dropped, filters.near_duplicates(read))
        heard(f"{len(read)} pairs are left after near duplicates")
        if judge is not None:
            read, dropped = _without(read, dropped, filters.disputed(read, judge, helpers))
            heard(f"{len(read)} pairs are left after the judge")
        asked = helpers.costs
    bad = tuple(each for each in found if isinstance(each, BadSample))
    built = Built(out, version, tuple(read), tuple(dropped), bad, asked)
    _write(built, {**told, "tokens": tokens})
    if not read:
        raise UsageError(f"no pair is left of {len(usable)}; why: {out / REMOVED}")
    return built


def _drafted(
    scenes: Sequence[Scene],
    writer: Victim,
    brief: str,
    twins: Sequence[Twin],
    tokens: int,
    helpers: JournaledHelpers,
    heard: Callable[[str], None],
) -> list[Pair | Unread]:
    flows = [
        drafted(f"{k:05d}", scene, scenes[(k + 1) % len(scenes)], writer, in_turn(twins, k), brief, tokens)
        for k, scene in enumerate(scenes)
    ]
    heard(f"drafting {len(flows)} pairs: {2 * len(flows)} asks of {writer.name}")
    # A round of asks is kept as a whole, so a build that is stopped loses the answers of so many pairs at most.
    ends = [end for at in range(0, len(flows), AT_ONCE) for end in drive(flows[at : at + AT_ONCE], _nobody, helpers)]
    return [
        end.value if end.value is not None else Unread(f"{k:05d}", end.failure or "no draft")
        for k, end in enumerate(ends)
    ]


def _without(
    pairs: Sequence[Pair], dropped: Sequence[Dropped], more: Sequence[Dropped]
) -> tuple[list[Pair], list[Dropped]]:
    gone = {each.pair for each in more}
    return [pair for pair in pairs if pair[0].pair not in gone], [*dropped, *more]


def _nobody(asks: Sequence[Ask]) -> list[Reply]:
    raise AssertionError("a draft asks its writer only")


def _check_ours(out: Path, version: str) -> None:
    about = out / ABOUT
    if not about.exists():
        return
    try:
        before = json.loads(text_of(about))["version"]
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{about}: says of no data set which it is ({error}): delete it to build here again"
        ) from error
    if before != version:
        raise UsageError(f"{out}: holds version {before} of a data set, this would be {version}: name another folder")


def _write(built: Built, told: dict[str, object]) -> None:
    drafts = [draft for pair in built.pairs for draft in pair]
    lines = [json.dumps(_row(draft, built.folder), ensure_ascii=False) for draft in drafts]
    about = {
        "version": built.version,
        **told,
        "pairs": len(built.pairs),
        "dropped": dict(filters.counted(built.dropped)),
        "pictures that could not be read": len(built.bad),
        "reviewed": False,
        "asked": {key: dataclasses.asdict(cost) for key, cost in built.asked.items()},
    }
    removed = [
        *((each.pair, each.by, each.reason) for each in built.dropped),
        *((each.id, "picture", each.reason) for each in built.bad),
    ]
    said = _reviewed(built.folder, drafts)  # what people wrote stays
    review = [
        (each.id, each.question, each.expected, each.category, each.why, *said.get(each.id, ("", "")))
        for each in drafts
    ]
    files = {
        TABLE: "".join(f"{line}\n" for line in lines),
        REMOVED: _csv(("pair", "filter", "reason"), removed),
        REVIEW: _csv(("id", "question", "expected", "category", "reason", "keep", "note"), review),
        ABOUT: json.dumps(about, indent=2, ensure_ascii=False),
    }
    for name, text in files.items():
        write_whole(built.folder / name, utf8(text).encode())


def _reviewed(folder: Path, drafts: Sequence[Draft]) -> dict[str, tuple[str, str]]:
    """Id -> what somebody wrote under `keep` and `note`. Raises UsageError for what `review_of` refuses, and for what
    was written about another question than the one drafted (as the table shows it, or as it is): nobody's work is
    overwritten."""
    rows = review_of(folder, {each.id for each in drafts}, ("id", "question", "keep", "note"))
    for each in drafts:
        row = rows.get(each.id)
        is_other = row and row["question"] not in (each.question, csv_cell(each.question))
        if row and is_other and (row["keep"].strip() or row["note"].strip()):
            raise UsageError(
                f"{folder / REVIEW}: {each.id}: the question is {row['question']!r:.80}, drafted was "
                f"{each.question!r:.80}: move the review elsewhere, or put the question back"
            )
    return {name: (row["keep"], row["note"]) for name, row in rows.items()}


def _row(draft: Draft, folder: Path) -> dict[str, object]:
    return {
        "id": draft.id,
        "image": kept(draft.scene, folder / "pictures"),
        "question": draft.question,
        "expected": draft.expected,
        "category": draft.category,
        "group": draft.pair,
        "twin": draft.twin,
        "answer": draft.answer,
        "scene": draft.scene.id,
        "reason": draft.why,
    }


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """For spreadsheets, which obey formulas: a model wrote some of these cells, and strangers named the pictures."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *(map(csv_cell, row) for row in rows)])
    return text.getvalue()
