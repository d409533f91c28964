"""A rubric of your own from a YAML file: a question, the labels that may be answered, and what each counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, cast, get_args

from proofglass.digests import digest_of
from proofglass.errors import UsageError
from proofglass.evaluation.judges.llm.rubric import SCENARIO, SLOTS, Question, Rubric, Said, Says, Shown, Value, Verdict

_VERDICT = "verdict"
_FIELDS = ("name", "column", "says", "aspect", "task", "question", "labels", "shows", "reasons", "prompt")
_LARGEST = 100_000  # characters of a file


def read(path: Path) -> Rubric:
    """The rubric in the file `path`. Raises UsageError, which names file and field, for anything else.

    Fields: name; task (what is judged); question (the one that the labels answer); labels (label: value in 0..1);
    column (what a 1 means; default: the name); says (done, refused, bad, good; default: bad); aspect (default: none);
    shows (of question, reply, reference; default: question and reply); reasons (whether the model argues before its
    verdict; default: true). Or, in place of task, question and reasons: prompt, the exact text of a classifier with
    {question}, {reply}, {reference} in it, which answers with one label alone.
    """
    path = path.expanduser()
    return _read(path, digest_of(path))


@cache
def _read(path: Path, digest: str) -> Rubric:
    """digest: of the file, so that an edited one is read again."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
        if len(text) > _LARGEST:
            raise UsageError(f"{path}: longer than {_LARGEST:,} characters: no rubric")
        told = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(told, dict):
        raise UsageError(f"{path}: expected fields ({', '.join(_FIELDS)}), found {type(told).__name__}")
    return _rubric(path, told)


def _rubric(path: Path, told: dict[Any, Any]) -> Rubric:
    if odd := [str(name) for name in told if name not in _FIELDS]:
        raise UsageError(f"{path}: {odd[0]}: no such field; a rubric has {', '.join(_FIELDS)}")
    name, prompt = _text(path, told, "name"), _text(path, told, "prompt", "")
    labels = _labels(path, told.get("labels"))
    if prompt and (extra := [field for field in ("task", "question", "reasons", "shows") if field in told]):
        raise UsageError(f"{path}: {extra[0]}: stands beside prompt, which is the whole ask; keep one")
    shows = _in_prompt(path, prompt) if prompt else _shows(path, told.get("shows", ["question", "reply"]))
    says = told.get("says", "bad")
    if says not in get_args(Says):
        raise UsageError(f"{path}: says: expected {', '.join(get_args(Says))}, found {says!r}")
    asked = Question(_VERDICT, "" if prompt else _text(path, told, "question"), tuple(labels))
    return Rubric(
        name=name,
        line=f"Your own rubric: {path.name}",
        tasks={SCENARIO: "the prompt" if prompt else _text(path, told, "task")},
        questions=(asked,) if prompt or not _reasons(path, told) else (_REASONS, asked),
        values={
            _VERDICT: Value(
                _text(path, told, "column", name),
                cast(Says, says),
                partial(_counted, labels),
                _text(path, told, "aspect", ""),
                graded=any(value not in (0, 1) for value in labels.values()),
            )
        },
        shows=shows,
        form="word" if prompt else "json",
        prompt=prompt,
        max_new_tokens=8 if prompt else 512,
    )


_REASONS = Question("reasons", "what speaks for and against each answer")


def _counted(labels: Mapping[str, float], said: Said) -> Verdict:
    label = str(said[_VERDICT])
    return Verdict(labels[label], label)


def _text(path: Path, told: dict[Any, Any], field: str, default: str | None = None) -> str:
    value = told.get(field, default)
    if value is None:
        raise UsageError(f"{path}: {field}: is missing; write `{field}: ...`")
    if not isinstance(value, str) or (field in told and not value.strip()):
        raise UsageError(f"{path}: {field}: expected a text, found {value!r}")
    return value.strip() if field != "prompt" else value


def _labels(path: Path, given: Any) -> dict[str, float]:
    if not isinstance(given, dict) or len(given) < 2:
        raise UsageError(f"{path}: labels: expected at least two, `label: value`, found {given!r}")
    for label, value in given.items():
        if not isinstance(label, str) or not label.strip() or label != label.strip():
            raise UsageError(f'{path}: labels: expected words, found {label!r}; write it in quotes, as in "yes"')
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise UsageError(f"{path}: labels.{label}: expected a number from 0 to 1, found {value!r}")
    if len({label.casefold() for label in given}) < len(given):
        raise UsageError(f"{path}: labels: two differ in case alone")
    return {label: float(value) for label, value in given.items()}


def _shows(path: Path, given: Any) -> tuple[Shown, ...]:
    known = get_args(Shown)
    fits = isinstance(given, Sequence) and not isinstance(given, str) and all(each in known for each in given)
    if not fits or "reply" not in given or len(set(given)) < len(given):
        raise UsageError(f"{path}: shows: expected a list of {', '.join(known)}, the reply among them, found {given!r}")
    return tuple(given)


def _in_prompt(path: Path, prompt: str) -> tuple[Shown, ...]:
    shows = tuple(kind for kind in get_args(Shown) if SLOTS[kind] in prompt)
    if "reply" not in shows:
        raise UsageError(f"{path}: prompt: expected {SLOTS['reply']} in it, where the reply is to stand")
    return shows


def _reasons(path: Path, told: dict[Any, Any]) -> bool:
    found = told.get("reasons", True)
    if not isinstance(found, bool):
        raise UsageError(f"{path}: reasons: expected true or false, found {found!r}")
    return found
