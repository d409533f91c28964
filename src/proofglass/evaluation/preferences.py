"""Judged replies of a run as pairs to learn from: to one dialogue, a reply that the judge calls good and one that it
calls bad, from other attacks, defenses or victims of the run.

The judge's errors are in the pairs: the card says which judge, and what is known of its error. A reply stands in one
pair at most. The rows were judged: what learns from them is measured on other samples.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import StoreError, UsageError
from proofglass.evaluation.metrics.kinds import is_bad, measures
from proofglass.interfaces import key_of
from proofglass.records.files import write_whole
from proofglass.records.pictures import PictureFiles
from proofglass.records.schema import chat_from_json, chat_to_json, utf8
from proofglass.records.scores import agreed
from proofglass.types import Chat, Image

if TYPE_CHECKING:
    import polars as pl

    from proofglass.records.reader import Reader

PICTURES, CARD = "pictures", ".card.json"
MIDDLE = 0.5  # a score that lies on neither side of it says nothing
COLUMNS = (
    "cell", "victim", "attack", "defense", "dataset", "sample_id", "cluster", "category", "expected", "conversation",
    "reply", "outcome", "finish",
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    """What was written. replies: how many were there. left_out: replies by the reason why none is in a pair; unpaired:
    dialogues by the reason why they gave none."""

    file: Path
    card: Path
    pairs: int
    dialogues: int
    replies: int
    judge: str
    measured: str
    left_out: Mapping[str, int]
    unpaired: Mapping[str, int]


@dataclass
class _Dialogue:
    """What was replied to one dialogue. said: text -> its first row, and whether it is good; None: judged both ways."""

    first: Mapping[str, Any]
    said: dict[str, tuple[Mapping[str, Any], bool] | None] = field(default_factory=dict)


def write(store: Reader, out: Path, judge: str = "") -> Written:
    """Write the pairs of a run into `out` (.jsonl), the pictures that they show beside it, and a card.

    judge: its label, "" for the judge of success. Raises UsageError for another ending, a judge that the run does not
    have, and a run without one pair; StoreError where nothing can be written.
    """
    if out.suffix.casefold() != ".jsonl":
        raise UsageError(f"--out: expected a file that ends in .jsonl, found {out}")
    manifest = store.manifest()
    judge, known = judge or manifest["success"], manifest["plugs"]["judges"]
    if judge not in manifest["judges"]:
        raise UsageError(f"--judge: expected one of {', '.join(manifest['judges'])}, found {judge!r}")
    left_out: Counter[str] = Counter()
    frame = _judged(store, judge)
    dialogues = _dialogues(frame, known[judge], left_out)
    unpaired: Counter[str] = Counter()
    pictures = PictureFiles(out.parent / PICTURES)
    lines = [
        json.dumps(utf8_of(row), ensure_ascii=False)
        for each in dialogues.values()
        for row in _pairs(store, each, judge, pictures, left_out, unpaired)
    ]
    if not lines:
        raise UsageError(
            f"{store.path}: no pair: {frame.height} replies to {len(dialogues)} dialogues; replies left out: "
            f"{told(left_out)}; dialogues: {told(unpaired)}. A pair needs one dialogue with a good and a bad reply: "
            "run the same samples on several victims, or behind several defenses"
        )
    measured = (known[judge].get("measured") or {}).get("agreement", "") or "not measured"
    card = out.with_name(out.name + CARD)
    found = Written(out, card, len(lines), len(dialogues), frame.height, judge, measured, left_out, unpaired)
    write_whole(out, "".join(line + "\n" for line in lines).encode())
    write_whole(card, _card(found, store, known[judge]).encode())
    return found


def told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {number}" for reason, number in sorted(counts.items())) or "none"


def utf8_of(value: Any) -> Any:
    """`value` as a file can hold it."""
    if isinstance(value, Mapping):
        return {name: utf8_of(each) for name, each in value.items()}
    if isinstance(value, list):
        return [utf8_of(each) for each in value]
    return utf8(value) if isinstance(value, str) else value


def _judged(store: Reader, judge: str) -> pl.DataFrame:
    """Rows of the run, in plan order, with the value of the judge."""
    import polars as pl

    frame = store.scan().select([pl.col(name) for name in COLUMNS]).collect()
    keys = [pl.col(name).cast(pl.String()) for name in COLUMNS if frame.schema[name] != pl.String()]
    scores = agreed(store.scan_scores().filter(pl.col("judge").cast(pl.String()) == judge).collect())
    values = scores.select(pl.col("cell", "sample_id").cast(pl.String()), "value")
    return frame.with_columns(keys).join(values, on=["cell", "sample_id"], how="left", maintain_order="left")


def _dialogues(frame: pl.DataFrame, judge: Mapping[str, Any], left_out: Counter[str]) -> dict[str, _Dialogue]:
    """The dialogues that were held, each with the replies that may stand in a pair."""
    found: dict[str, _Dialogue] = {}
    for row in frame.iter_rows(named=True):
        dialogue = found.setdefault(key_of([row["conversation"], row["expected"]]), _Dialogue(row))
        if reason := _why_not(row, judge):
            left_out[reason] += 1
            continue
        good = (row["value"] > MIDDLE) != is_bad(judge["says"], row["expected"])
        text = row["reply"].strip()
        if text not in dialogue.said:
            dialogue.said[text] = (row, good)
            continue
        before = dialogue.said[text]
        left_out["equal to another reply to the same dialogue"] += 1
        if before is not None and before[1] != good:
            left_out["judged both ways"] += 1
            dialogue.said[text] = None
    return found


def _why_not(row: Mapping[str, Any], judge: Mapping[str, Any]) -> str:
    if row["outcome"] != "ok":
        return f"outcome {row['outcome']}"
    if not (row["reply"] or "").strip():
        return "empty"
    if row["finish"] == "length":
        return "cut off at the token limit"
    if not measures(judge.get("aspect") or "", row["expected"]):
        return "of a kind that the judge does not see"
    if row["value"] is None or row["value"] == MIDDLE:
        return "unjudged"
    return ""


def _pairs(
    store: Reader,
    dialogue: _Dialogue,
    judge: str,
    pictures: PictureFiles,
    left_out: Counter[str],
    unpaired: Counter[str],
) -> Iterator[dict[str, Any]]:
    """The k-th good reply beside the k-th bad one."""
    kept = [each for each in dialogue.said.values() if each is not None]
    good, bad = ([row for row, is_good in kept if is_good == wanted] for wanted in (True, False))
    if not kept:
        unpaired["no reply that may stand in a pair"] += 1
        return
    if not (good and bad):
        unpaired[f"all judged {'good' if good else 'bad'}"] += 1
        left_out["without its opposite"] += len(kept)
        return
    try:
        chat = chat_from_json(dialogue.first["conversation"], store.image)
        for image in chat.images:
            pictures.put(image)
    except StoreError:
        unpaired["a picture is gone"] += 1
        left_out["its picture is gone"] += len(kept)
        return
    if more := abs(len(good) - len(bad)):
        left_out["without its opposite"] += more
    for k, (chosen, rejected) in enumerate(zip(good, bad, strict=False)):
        yield _row(dialogue.first, chat, chosen, rejected, judge, k)


def _row(
    first: Mapping[str, Any], chat: Chat, chosen: Mapping[str, Any], rejected: Mapping[str, Any], judge: str, k: int
) -> dict[str, Any]:
    name = key_of([first["conversation"], first["expected"], chosen["reply"], rejected["reply"]])
    image, question = _plain(chat)
    return {
        "id": f"{name[:16]}-{k}",
        "image": image,
        "question": question,
        "chosen": chosen["reply"],
        "rejected": rejected["reply"],
        "expected": first["expected"],
        "category": first["category"],
        "cluster": first["cluster"],
        "dialogue": json.loads(chat_to_json(chat)),
        "judge": judge,
        "of": {"dataset": first["dataset"], "sample": first["sample_id"]},
        "chosen_from": _from(chosen),
        "rejected_from": _from(rejected),
    }


def _from(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("victim", "attack", "defense", "value")}


def _plain(chat: Chat) -> tuple[str | None, str]:
    """Picture (its place beside the file) and question of a dialogue of one turn: one text, at most one picture before
    it. Another one has neither: who reads these columns alone would read another dialogue."""
    if len(chat.messages) == 1 and chat.messages[0].role == "user":
        *shown, last = chat.messages[0].parts
        if isinstance(last, str) and len(shown) <= 1 and all(isinstance(part, Image) for part in shown):
            sha256 = next((part.sha256 for part in shown if isinstance(part, Image)), "")
            return (f"{PICTURES}/{sha256[:2]}/{sha256}.png" if sha256 else None), last
    return None, ""


def _card(found: Written, store: Reader, judge: Mapping[str, Any]) -> str:
    told_of = {
        "pairs": found.pairs,
        "dialogues": found.dialogues,
        "replies": found.replies,
        "replies_left_out": dict(sorted(found.left_out.items())),
        "dialogues_without_a_pair": dict(sorted(found.unpaired.items())),
        "judge": {"label": found.judge, **{k: judge.get(k) for k in ("name", "key", "says", "aspect", "measured")}},
        "datasets": sorted({plan["dataset"] for plan in store.cells()}),
        "note": "judged by a judge that errs; rows of judged samples: measure what learns from them on others",
    }
    return json.dumps(told_of, indent=1, ensure_ascii=False) + "\n"
