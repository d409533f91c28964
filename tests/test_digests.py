"""Digests of files: true after every edit, and no file is read twice for nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from proofglass import digests
from proofglass.digests import digest_of
from proofglass.errors import UsageError


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read, in order."""
    names: list[str] = []
    real = digests.hashlib.file_digest
    monkeypatch.setattr(
        digests.hashlib, "file_digest", lambda file, name: (names.append(Path(file.name).name), real(file, name))[1]
    )
    return names


def settled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour later: the time of a change cannot be set, but the clock that it is compared with can."""
    later = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(digests.time, "time_ns", lambda: later)


def test_a_settled_file_is_read_once_and_an_edit_is_seen(tmp_path, read, monkeypatch) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    settled(file, monkeypatch)
    # sha256("one"), by sha256sum
    assert digest_of(file) == digest_of(file) == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert read == ["a"]
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time of writing, as `cp -p` leaves it
    assert digest_of(file) != "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"


def test_a_file_that_has_just_changed_is_not_trusted(tmp_path, read) -> None:
    # Two edits within one tick of the disk's clock leave the same size and times.
    file = tmp_path / "a"
    file.write_text("one")
    digest_of(file)
    digest_of(file)
    assert read == ["a", "a"]


def test_a_folder_counts_names_and_contents_below_it_but_nothing_hidden(tmp_path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("1")
    seen = [digest_of(tmp_path)]
    for change in (
        lambda: (tmp_path / "b" / "c").write_text("2"),
        lambda: (tmp_path / "b" / "c").rename(tmp_path / "b" / "d"),
        lambda: (tmp_path / "e").symlink_to(tmp_path / "b"),
        lambda: os.mkfifo(tmp_path / "f"),
    ):
        change()
        seen.append(digest_of(tmp_path))
    assert len(set(seen)) == len(seen)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_text("1")
    (tmp_path / ".DS_Store").write_text("1")
    assert digest_of(tmp_path) == seen[-1]


def test_what_cannot_be_read_is_a_line_and_never_waits(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in ((tmp_path / "gone", "No such file"), (tmp_path / "pipe", "expected a file or a folder")):
        with pytest.raises(UsageError, match=f"cannot read .*{path.name}: .*{why}"):
            digest_of(path)
