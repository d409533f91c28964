"""Pairs of judged replies: who stands in one, who is left out and why, and that loaders read them back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from proofglass import api, studies
from proofglass.errors import UsageError
from proofglass.evaluation import preferences
from proofglass.evaluation.datasets.own import OwnData
from proofglass.evaluation.datasets.preferences import Preferences
from proofglass.evaluation.datasets.spa_vl import SPAVLPreferences
from proofglass.interfaces import Dataset, Judge, Victim, key_of
from proofglass.records.store import Store
from proofglass.testing.material import picture
from proofglass.types import Ask, Attempt, BadSample, Chat, Reply, Sample, Score
from scripted_plugs import Plain

pytestmark = pytest.mark.filterwarnings("ignore:measure:UserWarning")
ODD = "né \U0001f642 \u202e\x00 .\nno\ud83d ."


@dataclass(frozen=True)
class Said(Victim):
    """Says what is written for the last text of a dialogue."""

    label: str = ""
    lines: Mapping[str, Reply] = field(default_factory=dict)
    name = "said"
    sees_images = True

    @property
    def key(self) -> str:
        return key_of(["said", self.label])

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [self.lines.get(ask.chat.last_text, Reply("yes .")) for ask in asks]


@dataclass(frozen=True)
class Asked(Dataset):
    name = "asked"
    samples: tuple[Sample | BadSample, ...] = ()

    @property
    def key(self) -> str:
        return "asked"

    def __iter__(self) -> Iterator[Sample | BadSample]:
        return iter(self.samples)


@dataclass(frozen=True)
class Yes(Judge):
    """A yes was done what was asked for; of a perhaps it cannot say."""

    name = "yes"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        texts = [attempt.reply.text for attempt in attempts]
        return [
            Score.unjudged(self.name, "perhaps") if "perhaps" in text else Score(self.name, float("yes" in text))
            for text in texts
        ]


def sample(name: str, *parts: Any, expected: Any = "refuse") -> Sample:
    return Sample(name, "asked", Chat.user(*parts, name), expected=expected, cluster=f"c {name}", category="gates")


SHOWN = sample("shown ?", picture(1))
SAMPLES = (
    SHOWN,
    sample("plain ?"),
    Sample(
        "turns ?", "asked", Chat.user(picture(2), picture(3), "two ?").say("which ?").ask("both ?"), expected="refuse"
    ),
    sample("harmless ?", expected="comply"),
    sample("both yes ?"),
    sample("equal ?"),
    sample("perhaps ?"),
    sample("cut ?"),
    sample("fails ?"),
    sample("one word ?", expected="refuse"),
    BadSample("row/9", "asked", "line 9: no question"),
)
GOOD = {
    "shown ?": Reply("no , not that ."),
    "plain ?": Reply(ODD),
    "both ?": Reply("no ."),
    "harmless ?": Reply("no , never ."),
    "equal ?": Reply(" yes . "),
    "perhaps ?": Reply("perhaps ."),
    "cut ?": Reply("no , not", finish="length"),
    "fails ?": Reply.error("out of coffee"),
    "one word ?": Reply("", outcome="ok"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    study = api.cell_study(Said("bold"), Plain(), Asked(SAMPLES), "none", [Yes()], 0, api.Settings(), 100, True)
    (one,) = study.victims
    victims = [
        replace(one, name=name, label=name, plug=(said := Said(name, lines)), make=lambda said=said: said)
        for name, lines in (("bold", {}), ("shy", GOOD))
    ]
    studies.run_study(replace(study, victims=tuple(victims)), folder, progress=False)
    return folder


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def test_a_pair_is_a_good_and_a_bad_reply_to_one_dialogue(run: Path, tmp_path: Path) -> None:
    written = preferences.write(Store(run), tmp_path / "pairs.jsonl")
    rows = {row["of"]["sample"]: row for row in lines(written.file)}
    assert set(rows) == {"shown ?", "plain ?", "turns ?", "harmless ?"}
    assert (rows["shown ?"]["chosen"], rows["shown ?"]["rejected"]) == ("no , not that .", "yes .")
    assert (rows["harmless ?"]["chosen"], rows["harmless ?"]["rejected"]) == ("yes .", "no , never .")
    assert rows["shown ?"]["chosen_from"] == {"victim": "shy", "attack": "no-attack", "defense": "none", "value": 0.0}
    assert rows["shown ?"]["cluster"] == "c shown ?"
    assert written.pairs == 4
    # Every reply is in one pair or is left out for one reason.
    assert written.replies == 2 * len(SAMPLES) == 2 * written.pairs + sum(written.left_out.values())
    assert written.left_out["unjudged"] == 1
    assert written.left_out["equal to another reply to the same dialogue"] == 2
    assert written.left_out["cut off at the token limit"] == 1
    assert written.left_out["empty"] == 1
    assert written.left_out["outcome error"] == 3
    assert written.unpaired["all judged bad"] == 6


def test_the_card_says_judge_error_and_what_was_left_out(run: Path, tmp_path: Path) -> None:
    written = preferences.write(Store(run), tmp_path / "pairs.jsonl")
    card = json.loads(written.card.read_text())
    assert (card["pairs"], card["replies"]) == (4, 22)
    assert card["judge"]["label"] == "yes"
    assert card["judge"]["measured"] is None
    assert written.measured == "not measured"
    assert card["replies_left_out"] == dict(written.left_out)


def test_it_is_the_same_file_again(run: Path, tmp_path: Path) -> None:
    files = [preferences.write(Store(run), tmp_path / name / "p.jsonl").file.read_bytes() for name in "ab"]
    assert files[0] == files[1]


def test_loaders_read_them_back(run: Path, tmp_path: Path) -> None:
    file = preferences.write(Store(run), tmp_path / "pairs.jsonl").file
    read = {each.meta["of"]["sample"]: each for each in Preferences(file) if isinstance(each, Sample)}
    assert len(read) == 4
    assert read["shown ?"].chat == SHOWN.chat
    assert read["turns ?"].chat == SAMPLES[2].chat  # type: ignore[union-attr]
    assert read["plain ?"].references == (ODD.encode("utf-8", "replace").decode().strip(),)
    assert read["plain ?"].meta["rejected"] == "yes ."
    assert read["harmless ?"].expected == "comply"
    (own,) = (each for each in SPAVLPreferences(file) if isinstance(each, Sample))
    assert (own.chat, own.references, own.meta["rejected"]) == (SHOWN.chat, ("no , not that .",), "yes .")
    alone = [each for each in Preferences(file, pictures="left out") if isinstance(each, Sample)]
    assert not any(each.chat.images for each in alone)
    assert len(alone) == 4
    mapped = OwnData(file, picture="image", references="chosen", expected="expected", id="id")
    rows = [each for each in mapped if isinstance(each, Sample)]
    assert [each.chat for each in rows] == [SHOWN.chat]  # what it cannot show costs itself
    assert rows[0].meta["rejected"] == "yes ."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dialogue": None}, "dialogue: expected a list of turns"),
        ({"dialogue": [{"role": "tool", "parts": []}]}, "dialogue: expected"),
        ({"dialogue": [{"role": "user", "parts": ["text"]}]}, "expected parts"),
        ({"dialogue": [{"role": "user", "parts": [["text", 3]]}]}, "expected parts"),
        ({"dialogue": [{"role": "user", "parts": [["image", "../../x"]]}]}, "sha256 of its pixels"),
        ({"dialogue": [{"role": "user", "parts": [["image", "0" * 64]]}]}, "0000"),
        ({"rejected": "no , not that ."}, "the same text"),
        ({"chosen": None}, "chosen: expected a text"),
        ({"expected": "perhaps"}, "expected: expected one of"),
    ],
)
def test_a_row_that_is_none_costs_itself(run: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    file = preferences.write(Store(run), tmp_path / "pairs.jsonl").file
    first, *others = lines(file)
    file.write_text("".join(json.dumps(row) + "\n" for row in ({**first, **change}, *others)))
    bad, *read = list(Preferences(file))
    assert isinstance(bad, BadSample)
    assert said in bad.reason
    assert all(isinstance(each, Sample) for each in read)


def test_a_picture_with_other_pixels_is_none(run: Path, tmp_path: Path) -> None:
    file = preferences.write(Store(run), tmp_path / "pairs.jsonl").file
    one, other = (tmp_path / "pictures" / p.sha256[:2] / f"{p.sha256}.png" for p in (picture(1), picture(2)))
    one.write_bytes(other.read_bytes())
    reasons = [each.reason for each in Preferences(file) if isinstance(each, BadSample)]
    assert len(reasons) == 1
    assert "other pixels" in reasons[0]


def test_what_cannot_be_written_is_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.jsonl"):
        preferences.write(Store(run), tmp_path / "pairs.csv")
    with pytest.raises(UsageError, match="--judge: expected one of not-refused, yes"):
        preferences.write(Store(run), tmp_path / "p.jsonl", "nobody")
    api.measure(Said("alone"), Plain(), Asked(SAMPLES[:2]), judges=[Yes()], out=tmp_path / "one")
    with pytest.raises(UsageError, match=r"no pair: 2 replies to 2 dialogues.*all judged bad: 2"):
        preferences.write(Store(tmp_path / "one"), tmp_path / "p.jsonl")
    assert not (tmp_path / "p.jsonl").exists()


def test_on_the_command_line(proofglass: Any, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.jsonl"
    code, said, err = proofglass("export", str(run), "--to", "preferences", "--out", str(out))
    assert (code, err) == (0, "")
    assert said.splitlines()[:2] == [
        f"pairs: 4, of 11 dialogues with 22 replies, in {out}",
        "judge: yes; its agreement with people: not measured",
    ]
    assert "unjudged: 1" in said
    assert proofglass("export", str(run), "--to", "preferences", "--with-images")[0] == 2
    assert proofglass("export", str(run), "--to", "inspect", "--judge", "yes")[0] == 2
