"""Is a data set clean? Everything that can be wrong, planted, and nothing said of what is right."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from proofglass import images
from proofglass.cli.main import app
from proofglass.errors import ImageError
from proofglass.evaluation.quality.card import croissant, markdown
from proofglass.evaluation.quality.check import evenness, findings, look
from proofglass.evaluation.quality.prints import folded
from proofglass.evaluation.quality.prints import look as hashed
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Image, Sample


def picture(seed: int, side: int = 64) -> Image:
    """Smooth, as photographs are: noise has no look to keep."""
    rng = np.random.default_rng(seed)
    small = Pillow.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return Image.from_array(np.asarray(small.resize((side, side), Pillow.Resampling.BICUBIC)))


def saved_again(image: Image, quality: int = 60) -> Image:
    buffer = io.BytesIO()
    Pillow.fromarray(image.array()).save(buffer, "JPEG", quality=quality)
    return images.decode(buffer.getvalue(), "again")


@dataclass(frozen=True)
class Given(Dataset):
    name = "given"
    licence = "CC0"
    rows: tuple[Sample | BadSample, ...] = field(default=())
    crafted: tuple[Sample, ...] = field(default=())

    def __iter__(self) -> Iterator[Sample | BadSample]:
        return iter(self.rows)

    def crafting(self) -> Iterator[Sample]:
        return iter(self.crafted)


def asked(name: str, *parts: str | Image, **more: str) -> Sample:
    return Sample(name, "given", Chat.user(*parts), category=more.pop("category", "a"), **more)  # type: ignore[arg-type]


def found(*sets: Given) -> dict[str, dict[str, tuple[bool | None, str]]]:
    looked, pairs = look({f"s{k}": each for k, each in enumerate(sets)})
    return {one.label: {each.check: (each.ok, each.measured) for each in findings(one, pairs)} for one in looked}


WORDS = ("Where does the ferry cross the river on market days?", "How old is the watchtower above the orchard?")


UNEVEN = tuple(asked(str(k), f"{WORDS[0]} {k}" * k, category="b" if k == 9 else "a") for k in range(1, 10))


def test_nothing_is_said_of_what_is_clean() -> None:
    clean = Given((asked("1", picture(1), WORDS[0]), asked("2", picture(2), WORDS[1], category="b")))
    assert {check for check, (ok, _) in found(clean)["s0"].items() if ok is not True} == set()


@pytest.mark.parametrize(
    ("rows", "check"),
    [
        ((asked("1", picture(1), WORDS[0]), asked("2", picture(1), WORDS[0].upper() + "!")), "no sample twice"),
        ((asked("1", WORDS[0]), asked("2", f"  {WORDS[0].lower()} ")), "no sample twice"),
        ((asked("1", picture(1), WORDS[0]), asked("2", picture(1), WORDS[1])), "no picture twice"),
        ((asked("1", picture(1), WORDS[0]), asked("2", saved_again(picture(1)), WORDS[1])), "no similar pictures"),
        ((asked("1", WORDS[0] + " " + WORDS[1]), asked("2", WORDS[0] + " " + WORDS[1] + " Now?")), "no similar words"),
        ((asked("1", WORDS[0]), BadSample("2", "given", "no file")), "rows can be used"),
        ((asked("1", WORDS[0]), asked("1", WORDS[1])), "ids are unique"),
        ((asked("1", picture(1)), asked("2", WORDS[1])), "every sample asks something"),
        ((asked("1", WORDS[0], expected="label"), asked("2", WORDS[1])), "questions with a right answer have one"),
(UNEVEN, "categories are balanced"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(rows: tuple[Sample | BadSample, ...], check: str) -> None:
    assert found(Given(rows))["s0"][check][0] is False


def test_the_same_words_about_other_pictures_are_no_fault() -> None:
    rows = (asked("1", picture(1), WORDS[0]), asked("2", picture(2), WORDS[0]))
    assert found(Given(rows))["s0"]["no words twice"][0] is None


def test_a_question_and_its_twin_are_no_duplicates() -> None:
    rows = (asked("1", picture(1), WORDS[0], group="g"), asked("2", picture(1), WORDS[1], group="g"))
    assert found(Given(rows))["s0"]["no picture twice"][0] is True


def test_what_is_shared_with_crafting_or_another_set_is_contamination() -> None:
    check = "nothing shared with the crafting split or another set"
    one = Given((asked("1", picture(1), WORDS[0]),), (asked("c", saved_again(picture(1)), WORDS[1], split="craft"),))
    assert found(one)["s0"][check] == (False, found(one)["s0"][check][1])
    both = found(Given((asked("1", picture(1), WORDS[0]),)), Given((asked("9", picture(1), WORDS[1]),)))
    assert both["s0"][check][0] is both["s1"][check][0] is False
    assert "s0: 1 = s1: 9 (same picture)" in both["s0"][check][1]


def test_a_picture_that_is_gone_costs_its_own_line() -> None:
    def gone() -> np.ndarray:
        raise ImageError("one.png: cannot be read")

    lost = Image("0" * 64, 4, 4, gone)
    told = found(Given((asked("1", lost, WORDS[0]), asked("2", picture(2), WORDS[1]))))["s0"]
    assert told["pictures can be read"] == (False, "1: one.png: cannot be read")


def test_hashes_lie_close_where_pictures_look_alike() -> None:
    for seed in range(20):
        one = picture(seed)
        assert (hashed(one) ^ hashed(saved_again(one, 40))).bit_count() <= 6
        assert (hashed(one) ^ hashed(picture(seed + 100))).bit_count() > 6
    assert folded("  The CAT’s\tHat, twice! ") == folded("the cat's hat twice")


def test_evenness_is_pielous() -> None:
    assert evenness([5, 5, 5]) == pytest.approx(1)
    assert evenness([10]) == 0
    assert evenness([1, 3]) == pytest.approx(0.811278)


RDFLIB = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")


@RDFLIB
def test_a_card_tells_all_of_it_and_croissant_is_what_its_library_reads(tmp_path: Path) -> None:
    mlc = pytest.importorskip("mlcroissant")
    (tmp_path / "prompts.csv").write_text("id,prompt,type,label\n1,Where | is <b>it</b>?,a,safe\n")
    from proofglass.registry import build

    ((looked,), pairs) = look({"xstest": build("datasets", "xstest", root=tmp_path / "prompts.csv")})
    text = markdown(looked, findings(looked, pairs))
    assert "| licence | CC BY 4.0 (prompts) |" in text
    assert "1.0 of 2026-11-30" in text
    told = croissant(looked)
    (file,) = told["distribution"]
    assert len(file["sha256"]) == 64
    assert mlc.Dataset(jsonld=told).metadata.name == "xstest"
    json.dumps(told)


def test_the_command_says_it_and_ends_with_1_where_something_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text(
        "id,prompt,type,label\n1,Where is it?,a,safe\n2,Where is it?,a,safe\n3,,a,safe\n"
    )
    run = CliRunner().invoke(
        app, ["datasets", "check", f"xstest={tmp_path / 'prompts.csv'}", "--card", str(tmp_path / "c")]
    )
    assert run.exit_code == 1
    assert "prompt: expected a text" in run.output
    assert "1 pairs" in run.output
    assert (tmp_path / "c" / "xstest.md").exists()


def test_a_question_in_crafting_and_test_is_shared_though_it_is_of_one_cluster() -> None:
    one = asked("1", WORDS[0], cluster="q")
    crafted = asked("2", WORDS[0], cluster="q", split="craft")
    check = "nothing shared with the crafting split or another set"
    assert found(Given((one,), (crafted,)))["s0"][check][0] is False


def test_a_set_that_is_named_twice_does_not_hide_behind_itself(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "xstest_prompts.csv").write_text("id,prompt,type,label\n1,Where is it?,a,safe\n")
    both = [f"xstest={tmp_path / name}" for name in ("a", "b")]
    run = CliRunner().invoke(app, ["datasets", "check", *both])
    assert run.exit_code == 1
    assert "same sample" in run.output
    from proofglass.errors import UsageError

    assert isinstance(CliRunner().invoke(app, ["datasets", "check", both[0], both[0]]).exception, UsageError)


def test_without_its_library_a_card_has_no_croissant_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mlcroissant", None)
    (tmp_path / "prompts.csv").write_text("id,prompt,type,label\n1,Where is it?,a,safe\n")
    words = ["datasets", "check", f"xstest={tmp_path / 'prompts.csv'}", "--card", str(tmp_path / "c")]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0
    assert "pip install mlcroissant" in run.output
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["xstest.md"]


@RDFLIB
@pytest.mark.parametrize("name", ["prompts.csv", "my prompts, é.csv", "a%20b.csv", "a#b?c.csv"])
def test_croissant_without_record_sets_is_valid_whatever_the_file_is_called_and_says_so(
    tmp_path: Path, name: str
) -> None:
    mlc = pytest.importorskip("mlcroissant")
    from proofglass.evaluation.datasets.own import OwnData

    (tmp_path / name).write_text("question\nWhere?\n")
    ((looked,), _) = look({"own": OwnData(tmp_path / name)})
    told = croissant(looked)
    assert mlc.Dataset(jsonld=told).metadata.distribution[0].content_url == name
    assert "recordSet" not in told
    assert "No record sets are listed" in told["description"]
    assert "No files are listed" not in told["description"]


@RDFLIB
def test_croissant_of_what_has_no_files_is_valid_and_says_so() -> None:
    mlc = pytest.importorskip("mlcroissant")
    ((looked,), _) = look({"made": Given((asked("1", WORDS[0]),))})
    told = croissant(looked)
    assert mlc.Dataset(jsonld=told).metadata.distribution == []
    assert "No files are listed" in told["description"]


def test_ids_of_files_stay_apart() -> None:
    from proofglass.evaluation.quality.card import _ids

    names = _ids([Path("/d/a b.csv"), Path("/d/a-b.csv"), Path("/d/a  b.csv")])
    assert len(set(names.values())) == 3
    assert not any(" " in each for each in names.values())


@RDFLIB
def test_metadata_that_its_library_refuses_is_not_written_and_the_card_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlc = pytest.importorskip("mlcroissant")

    def refuses(**given: object) -> None:
        raise mlc.ValidationError("wrong @id")

    monkeypatch.setattr(mlc, "Dataset", refuses)
    (tmp_path / "prompts.csv").write_text("id,prompt,type,label\n1,Where is it?,a,safe\n")
    words = ["datasets", "check", f"xstest={tmp_path / 'prompts.csv'}", "--card", str(tmp_path / "c")]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0
    assert "no Croissant metadata: mlcroissant does not read it: " in run.output
    assert "wrong @id" in run.output
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["xstest.md"]


def test_a_set_without_samples_is_not_clean(tmp_path: Path) -> None:
    check = "there are judged samples"
    assert found(Given(()))["s0"][check][0] is False
    assert found(Given((BadSample("b", "given", "broken"),)))["s0"][check][0] is False
    assert found(Given((), (asked("1", WORDS[0], split="craft"),)))["s0"][check][0] is False
    assert found(Given((asked("1", WORDS[0]),)))["s0"][check][0] is True
    (tmp_path / "prompts.csv").write_text("id,prompt,type,label\n")
    run = CliRunner().invoke(app, ["datasets", "check", f"xstest={tmp_path / 'prompts.csv'}"])
    assert run.exit_code == 1
