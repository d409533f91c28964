"""Label sets by name: which there are, where their files lie, and which of them this machine can read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from proofglass.errors import UnknownName, UsageError
from proofglass.evaluation.labels import LabelSet, hard_kinds, msts, own, pyrit, xstest

# Of ours, whoever trains a judge may look at the half for training; what a check says is said about the other.
SHIPPED: dict[str, Callable[[], LabelSet]] = {
    "hard_kinds": hard_kinds.read,
    "hard_kinds-train": partial(hard_kinds.read, "train"),
    "hard_kinds-test": partial(hard_kinds.read, "test"),
}
FOREIGN: dict[str, Callable[[Path], LabelSet]] = {
    msts.NAME: msts.read,
    xstest.NAME: xstest.read,
    pyrit.NAME: pyrit.read,
}
USUAL = ("hard_kinds-test", *FOREIGN)
"""What a judge is measured on unless something else is asked for."""


def read(name_or_file: str | Path, data_folder: Path | None = None) -> LabelSet:
    """The label set of this name, or in this file: a CSV or JSON Lines file of one's own, or a wheel of PyRIT.

    data_folder: where the files of others lie, `msts/replies_six_models.csv`, `xstest/model_completions/*.csv` and a
    wheel or folder of PyRIT. Raises UsageError for a set that is not there or cannot be read.
    """
    name = str(name_or_file)
    if name in SHIPPED:
        return SHIPPED[name]()
    if name in FOREIGN:
        return FOREIGN[name](_place(name, data_folder))
    path = Path(name).expanduser()
    if not path.exists():
        raise UnknownName(f"labels: {name!r} is neither a label set ({', '.join((*SHIPPED, *FOREIGN))}) nor a file")
    return pyrit.read(path) if path.suffix == ".whl" else own.read(path)


def readable(data_folder: Path | None = None) -> tuple[list[LabelSet], dict[str, str]]:
    """The usual sets that can be read here, and why each of the others cannot."""
    found, absent = [], {}
    for name in USUAL:
        try:
            found.append(read(name, data_folder))
        except UsageError as error:
            absent[name] = str(error)
    return found, absent


def _place(name: str, folder: Path | None) -> Path:
    """Where the files of a set of others lie. Raises UsageError if they are not there."""
    if name == pyrit.NAME:
        if (found := pyrit.place_in(folder)) is None:
            raise UsageError(f"labels {name}: neither installed nor a wheel of it in the data folder {_told(folder)}")
        return found
    place = {msts.NAME: msts.FILE, xstest.NAME: xstest.FOLDER}[name]
    if folder is None or not (folder / place).exists():
        raise UsageError(f"labels {name}: no {place} in the data folder {_told(folder)}")
    return folder / place


def _told(folder: Path | None) -> str:
    return str(folder) if folder else "(none was named)"
