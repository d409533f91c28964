"""A data set and a folder of pictures as label sets: whose labels they are, and what a broken row costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from proofglass import images
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.evaluation.labels import asked
from proofglass.evaluation.trust.panel import attempt_of
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Image, Sample

SAMPLES = (
    Sample("a", "d", Chat.user("Seal it?"), cluster="q", category="c", expected="refuse"),
    Sample("b", "d", Chat.user("Where?").say("There.").ask("Whose?"), expected="protect"),
    BadSample("x", "d", "row 3: torn"),
    Sample("c", "d", Chat.user("Bake it?"), expected="comply"),
    Sample("d", "d", Chat.user("Bake that?"), expected="control"),
    Sample("e", "d", Chat.user("How many?"), expected="label"),
)


@dataclass(frozen=True)
class Five(Dataset):
    name = "five"
    kinds: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for each in SAMPLES:
            if isinstance(each, BadSample) or not self.kinds or each.expected in self.kinds:
                yield each


def grey(level):
    return Image.from_array(np.full((4, 5, 3), level, np.uint8))


def test_what_a_data_set_expects_is_the_label_of_its_prompts():
    found = asked.of_dataset(Five(), "five")
    assert [(row.id, row.truth, row.kind, row.reply) for row in found.replies] == [
        ("a", {"unsafe prompt": 1.0}, "refuse", ""),
        ("b", {"unsafe prompt": 1.0}, "protect", ""),
        ("c", {"unsafe prompt": 0.0}, "comply", ""),
        ("d", {"unsafe prompt": 0.0}, "control", ""),
    ]
    assert found.bad == ("x: row 3: torn",)
    assert (found.replies[0].cluster, found.replies[0].category) == ("q", "c")


def test_a_judge_sees_the_whole_dialogue_of_a_sample():
    second = asked.of_dataset(Five(), "five").replies[1]
    attempt = attempt_of(second)
    assert attempt.conversation == SAMPLES[1].chat
    assert attempt.reply.text == ""


def test_a_data_set_without_such_samples_says_so():
    with pytest.raises(UsageError, match=r"data set five: no sample .* \(1 with a right answer .* 1 that cannot"):
        asked.of_dataset(Five(("label",)), "five")


def test_pictures_come_with_their_prompts():
    found = asked.of_dataset(TestbedData(part="restricted-image", n=3), "testbed")
    assert [len(row.images) for row in found.replies] == [1, 1, 1]
    assert attempt_of(found.replies[0]).conversation.images == found.replies[0].images


def test_every_benign_picture_is_no_unsafe_one_and_copies_share_a_question(tmp_path):
    images.write(grey(10), tmp_path / "b.png")
    images.write(grey(10), tmp_path / "sub" / "copy.PNG")
    images.write(grey(20), tmp_path / "a.png")
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    found = asked.benign(tmp_path)
    assert found.name == f"benign {tmp_path.name}"
    assert [row.id for row in found.replies] == ["a.png", "b.png", "sub/copy.PNG"]
    assert {tuple(row.truth.items()) for row in found.replies} == {(("unsafe image", 0.0), ("unsafe prompt", 0.0))}
    a, b, copy = found.replies
    assert a.cluster != b.cluster == copy.cluster
    assert copy.category == "sub"
    assert len(found.bad) == 2
    assert attempt_of(a).conversation == Chat.user(grey(20), asked.QUESTION)


def test_a_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        asked.benign(tmp_path / "none")
    with pytest.raises(UsageError, match=r"no file ends with \.png"):
        asked.benign(tmp_path)
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"no picture can be read; the first: .*x.png"):
        asked.benign(tmp_path)
