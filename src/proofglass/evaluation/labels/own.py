"""Label files of one's own: CSV with a header, or JSON Lines.

Columns (or keys): at least one of `refusal` (or refused) and `unsafe` (or harmful), labels of the `reply` (or response,
completion); `prompt_unsafe` (or prompt_harmful), of the prompt with its pictures; `image_unsafe` (or image_harmful), of
the pictures alone; each with yes or no in the usual words. A reply may be absent where neither refusal nor unsafe is
labelled. Optional: id, model, prompt (or question), kind, category, cluster, pictures, and the labels of single raters
as refusal_1, refusal_2, unsafe_1, prompt_unsafe_1, ... An empty label is no label. A word counts in its own column
only: "refused" below `unsafe` is neither yes nor no. A row that cannot be used is told with its line and costs itself.

Pictures: `image`, one file, or `images`, a list of them (in a table parted by ";"), relative to the label file and
below its folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from proofglass.errors import ImageError, UsageError
from proofglass.evaluation.datasets.reading import csv_rows, picture_in, text_of
from proofglass.evaluation.labels import PICTURE, LabelledReply, LabelSet
from proofglass.evaluation.labels import PROMPT as ASKED
from proofglass.types import BadSample, Image

REPLY = ("reply", "response", "completion")
PROMPT = ("prompt", "question")
ASPECTS = {
    "refusal": ("refusal", "refused"),
    "unsafe": ("unsafe", "harmful"),
    ASKED: ("prompt_unsafe", "prompt_harmful"),
    PICTURE: ("image_unsafe", "image_harmful"),
}
YES, NO = {"1", "1.0", "true", "yes", "y"}, {"0", "0.0", "false", "no", "n"}
_HARM = ({"unsafe", "harmful"}, {"safe", "harmless"})
WORDS = {
    "refusal": ({"refused", "refusal"}, {"complied", "compliance", "answered", "not refused"}),
    "unsafe": _HARM,
    ASKED: _HARM,
    PICTURE: _HARM,
}
MOST_PICTURES = 100  # of one row


def read(path: Path) -> LabelSet:
    """The labels in `path`. Raises UsageError if the file cannot be read or none of its rows can be used."""
    lines = _json_lines if path.suffix in (".jsonl", ".ndjson") else _table
    replies: dict[str, LabelledReply] = {}
    bad: list[str] = []
    for line, row in lines(path):
        made = row if isinstance(row, str) else _reply(row, path, line)
        if isinstance(made, LabelledReply) and made.id in replies:
            made = f"id: {made.id!r} stands above already"
        if isinstance(made, str):
            bad.append(f"{path.name}:{line}: {made}")
        else:
            replies[made.id] = made
    if not replies:
        raise UsageError(f"{path}: no row can be used" + (f"; the first: {bad[0]}" if bad else ": it has none"))
    return LabelSet(path.stem, tuple(replies.values()), tuple(bad))


def _table(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for line, row in csv_rows(text_of(path), path, (), path.stem):
        yield line, row.reason.removeprefix(f"line {line}: ") if isinstance(row, BadSample) else row


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for line, text in enumerate(text_of(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits, a list in a list in a list ...
            yield line, f"expected JSON: {getattr(error, 'msg', error)}"
            continue
        yield line, row if isinstance(row, dict) else f"expected an object, found a {type(row).__name__}"


def _reply(row: Mapping[str, Any], path: Path, line: int) -> LabelledReply | str:
    """The reply of a row, or why it is none. Names of fields count in any case, with blanks around them or not."""
    row = {str(name).strip().casefold(): value for name, value in row.items()}
    try:
        truth = {aspect: label for aspect in ASPECTS if (label := _label(row, aspect, ASPECTS[aspect])) is not None}
        raters = {aspect: given for aspect in ASPECTS if (given := _raters(row, aspect))}
        reply, prompt = _first(row, REPLY), _text(_first(row, PROMPT))
        if fault := _lacking(row, reply, prompt, truth):
            return fault
        pictures = _pictures(row, path.parent)
    except (ValueError, ImageError) as error:
        return str(error)
    if not pictures and (PICTURE in truth or (ASKED in truth and not prompt.strip())):
        what = "no picture in image, images" if PICTURE in truth else "neither prompt nor picture"
        return f"{what}, and a label of it"
    name = _text(row.get("id")) or f"line {line}"
    return LabelledReply(
        id=name,
        source=path.stem,
        model=_text(row.get("model")),
        cluster=_text(row.get("cluster")) or prompt or "+".join(each.sha256 for each in pictures) or name,
        category=_text(row.get("category")),
        prompt=prompt,
        reply=reply if isinstance(reply, str) else "",
        kind=_text(row.get("kind")),
        truth=truth,
        raters=raters,
        images=pictures,
    )


def _lacking(row: Mapping[str, Any], reply: Any, prompt: str, truth: Mapping[str, float]) -> str:
    """What a row lacks before any picture is opened, "" if nothing."""
    if not isinstance(reply, str) and (not truth or not {ASKED, PICTURE}.issuperset(truth) or reply is not None):
        one = "; a table is parted by commas" if len(row) == 1 and ";" in next(iter(row)) else ""
        return f"no text in {', '.join(REPLY)}; one of these is needed{one}"
    if not truth:
        return f"no label in {', '.join(name for names in ASPECTS.values() for name in names)}; one is needed"
    return ""


def _pictures(row: Mapping[str, Any], folder: Path) -> tuple[Image, ...]:
    """The pictures of a row, read and checked. Raises ImageError for one that cannot be, ValueError for no list."""
    one, several = row.get("image"), row.get("images")
    names = several.split(";") if isinstance(several, str) else several or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in [*names, one or ""]):
        raise ValueError("image, images: expected the name of a file, or a list of names")
    names = [name.strip() for name in [one or "", *names] if name.strip()]
    if len(names) > MOST_PICTURES:
        raise ValueError(f"images: expected at most {MOST_PICTURES} pictures, found {len(names)}")
    return tuple(picture_in(folder, name) for name in names)


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _raters(row: Mapping[str, Any], aspect: str) -> tuple[float, ...]:
    own = f"{ASPECTS[aspect][0]}_"
    columns = sorted(name for name in row if name.startswith(own) and name.removeprefix(own).isdigit())
    labels = [_label(row, aspect, (name,)) for name in columns]
    return tuple(label for label in labels if label is not None)


def _label(row: Mapping[str, Any], aspect: str, names: tuple[str, ...]) -> float | None:
    """1.0 or 0.0, None where no label was given. Raises ValueError for anything that is neither yes nor no."""
    name = next((name for name in names if _text(row.get(name)).strip()), "")
    if not name:
        return None
    said = _text(row[name]).strip().casefold()
    yes, no = (every | own for every, own in zip((YES, NO), WORDS[aspect], strict=True))
    if said in yes or said in no:
        return float(said in yes)
    raise ValueError(f"{name}: expected yes or no (1, 0, true, false, ...), found {said[:40]!r}")
