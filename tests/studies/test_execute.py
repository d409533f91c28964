"""One executor for a run folder and for memory; a defense gets the model itself, an attack what that opens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from proofglass import api
from proofglass.errors import UsageError
from proofglass.interfaces import Attack, Defense, Victim, WhiteBoxVictim, key_of
from proofglass.records.store import Store
from proofglass.registry import build, entries
from proofglass.report.run import ReportedRun
from proofglass.studies import run_study
from proofglass.studies.execute import Chunk, crafting_of, run_cell, run_chunk, target_of, trial_of
from proofglass.studies.plan import expand, looks_inside
from proofglass.studies.sink import Memory
from proofglass.types import Artefact, Ask, Chat, Cost, Image, Reply, Sample
from scripted_plugs import AskTwice, EchoVictim, Lines, NoDefense, Plain, SaysYes, noise
from scripted_study import WHOLE, run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------------------------------------------ one executor


def test_a_cell_in_memory_has_the_records_that_a_run_folder_has(study, tmp_path: Path) -> None:
    faulty = study(WHOLE.replace("{n: 10}", "{faults: true, n: 6}"))
    store = run(faulty, tmp_path / "run")
    for cell in expand(faulty).cells:
        sink = Memory()
        trial = trial_of(cell, cell.victim.build(), faulty.settings, faulty.budget)
        chunks = list(run_cell(trial, sink))
        records = [vars(record) for chunk in chunks for record in chunk.records]
        assert records == store.frame(cell.key).to_dicts()
        assert [chunk.rows for chunk in chunks] == [len(rows) for rows in cell.rows.chunks()]
        shown = {sha for record in records for sha in record["attacked_images"]}
        assert all(sink.pictures[sha] == store.image(sha) for sha in shown)


def test_a_chunk_writes_nothing_and_asks_the_victim_that_it_is_given(study, tmp_path: Path) -> None:
    plan = expand(study(WHOLE))
    cell = next(c for c in plan.cells if c.attack.label == "own-speck" and c.defense.label == "none")
    trial = trial_of(cell, EchoVictim(), plan.study.settings)
    (first, *_) = run_cell(trial, Memory())
    assert isinstance(first, Chunk)
    rows = next(cell.rows.chunks())
    other = replace(trial, victim=Deaf())
    done = run_chunk(other, rows, 3, first.bought, {rows[1].id: "torn"})
    assert [each.record.reply for each in done] == ["deaf", "", "deaf", "deaf"]
    assert [each.record.reason for each in done] == ["", "torn", "", ""]
    assert {each.record.chunk for each in done} == {3}
    assert [each.record.attacked_images for each in done if each.record.reply] == [
        [first.bought.of(row.id).images[0].sha256] for row in rows if row.id != rows[1].id
    ]
    assert not [path for path in tmp_path.iterdir() if path.name != "LOG"]


class Deaf(Victim):
    name = "deaf"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply("deaf") for _ in asks]


# ------------------------------------------------------------------------------------------------ defense first


@dataclass(frozen=True)
class Glass(WhiteBoxVictim):
    """A victim of which the gradient could be asked, and is not here. tint: part of what it is."""

    name = "glass"
    tint: str = "clear"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply(f"yes {self.tint}", cost=Cost(queries=1)) for _ in asks]

    def pixels(self, image: Image) -> Any:
        raise AssertionError("the gradient is not asked here")

    def prepare(self, pairs: Any, *, append_eos: bool = False) -> Any:
        raise AssertionError("the gradient is not asked here")

    def loss_and_grad(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the gradient is not asked here")


class Unkeyed(Victim):
    """Another model in the place of the first; its class forgets to say what it is made of."""

    name = "unkeyed"

    def __init__(self, inner: Victim, calls: list[int]) -> None:
        self.inner, self.calls = inner, calls

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.calls.append(len(asks))
        return self.inner.reply(asks)


CALLS: list[int] = []
GIVEN: list[Victim] = []


@dataclass(frozen=True)
class Swaps(Defense):
    """An adapter: another model answers in the place of the one that it is given."""

    name = "swaps"

    def __call__(self, victim: Victim) -> Victim:
        GIVEN.append(victim)
        return AskTwice()(Unkeyed(victim, CALLS))


def measured(
    victim: Victim, out: Path, attack: Attack | None = None, defense: Defense | None = None, **more: Any
) -> Store:
    api.measure(victim, attack or Plain(), Lines(n=3), defense or NoDefense(), [SaysYes()], out=out, **more)
    return Store(out)


def test_a_defense_gets_the_model_itself_and_what_it_puts_in_its_place_is_journaled(tmp_path: Path) -> None:
    CALLS.clear(), GIVEN.clear()
    victim = Glass()
    store = measured(victim, tmp_path / "run", defense=Swaps())
    assert all(given is victim for given in GIVEN)
    assert store.frame()["reply"].to_list() == ["yes clear / yes clear"] * 3
    assert CALLS == [3, 3]
    for path in [*(tmp_path / "run" / "cells").iterdir(), *(tmp_path / "run" / "scores").iterdir()]:
        path.unlink()
    again = measured(victim, tmp_path / "run", defense=Swaps())
    assert CALLS == [3, 3]  # every answer was in the journal
    assert again.frame()["reply"].to_list() == store.frame()["reply"].to_list()


def test_two_models_behind_a_class_that_hides_them_share_no_answer(tmp_path: Path) -> None:
    plans = [
        api.cell_study(v, Plain(), Lines(n=3), Swaps(), [SaysYes()], 0, _settings(), 100)
        for v in (Glass(), Glass("red"))
    ]
    both = replace(plans[0], victims=(plans[0].victims[0], replace(plans[1].victims[0], label="red")))
    frame = run_study(both, tmp_path / "run", progress=False).frame()
    assert set(frame.filter(frame["victim"] == "red")["reply"]) == {"yes red / yes red"}
    assert set(frame.filter(frame["victim"] == "glass")["reply"]) == {"yes clear / yes clear"}


def _settings() -> Any:
    from proofglass.types import Settings

    return Settings()


# ------------------------------------------------------------------------------------------------ what an attack saw


@dataclass(frozen=True)
class Looks(Attack):
    """A picture that depends on the victim it was crafted on. on: says that it was crafted on another one."""

    name = "looks"
    changes = ("image",)
    access, opens, scope = "white", "gradients", "sample"
    on: str = ""

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: float | None = None
    ) -> Iterator[Artefact]:
        for sample in samples:
            picture = noise(f"{victim.key}{seed}{sample.id}")
            yield Artefact(sample.id, (picture,), crafted_on=self.on or victim.key, cost=Cost(forward=1))

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(artefact.images[0])


class Lens(Glass):
    """`Glass` as somebody sees it who looks through the defense."""

    @property
    def key(self) -> str:
        return key_of(["lens", self.tint])


@dataclass(frozen=True)
class Opens(Defense):
    name = "opens"

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Lens(model.tint)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("attack", "defense", "adaptive", "crafting", "on"),
    [
        (Plain(), Opens(), True, "nothing", ""),
        (Looks(), NoDefense(), True, "direct", Glass().key),
        (Looks(), AskTwice(), True, "static", Glass().key),
        (Looks(), Opens(), False, "static", Glass().key),
        (Looks(), Opens(), True, "adaptive", Lens().key),
        (Looks("elsewhere"), Opens(), True, "transfer", "elsewhere"),
    ],
)
def test_every_record_says_what_its_attack_was_crafted_on(
    tmp_path: Path, attack: Attack, defense: Defense, adaptive: bool, crafting: str, on: str
) -> None:
    store = measured(Glass(), tmp_path / "run", attack, defense, adaptive=adaptive)
    frame = store.frame()
    assert set(frame["crafting"]) == {crafting}
    assert set(frame["crafted_on"]) == {on}
    (cell,) = store.cells()
    assert (cell["craft"] or {}).get("crafting", "nothing") == crafting
    (shown,) = {each.crafted for each in ReportedRun(store).cells}
    wanted = {"nothing": "", "direct": "", "transfer": "transfer from another model"}
    assert shown == wanted.get(crafting, crafting)


def test_adaptive_and_static_stand_side_by_side_in_one_study_and_share_nothing(
    study, tmp_path: Path, monkeypatch
) -> None:
    import proofglass.attacks
    import proofglass.defenses
    import proofglass.victims

    here = __name__
    monkeypatch.setitem(proofglass.attacks.CONTENTS, "looks", f"{here}:Looks")
    monkeypatch.setitem(proofglass.defenses.CONTENTS, "opens", f"{here}:Opens")
    monkeypatch.setitem(proofglass.victims.CONTENTS, "glass", f"{here}:Glass")
    text = """\
name: both
victims: [glass]
attacks:
  - looks
  - looks:
    label: looks, static
    adaptive: false
defenses: [none, opens]
datasets: [lines: {n: 3}]
judges: [not-refused]
"""
    store = run(study(text), tmp_path / "run")
    told = {(c["attack"], c["defense"]): c["craft"] for c in store.cells()}
    assert {place: craft["crafting"] for place, craft in told.items()} == {
        ("looks", "none"): "direct",
        ("looks", "opens"): "adaptive",
        ("looks, static", "none"): "direct",
        ("looks, static", "opens"): "static",
    }
    bought = {place: craft["artefact"] for place, craft in told.items()}
    # What is crafted on the bare victim is bought once, whoever asks for it.
    assert len({bought[place] for place in bought if place != ("looks", "opens")}) == 1
    assert len(set(bought.values())) == 2
    assert {c.adaptive for c in expand(study(text.replace("victims:", "adaptive: false\nvictims:"))).cells} == {False}
    with pytest.raises(UsageError, match=r"adaptive.*found 'no'\. Expected true \(crafted through a defense"):
        study(text.replace("adaptive: false", "adaptive: 'no'"))


def test_adaptive_is_in_the_key_of_those_cells_only_whose_attack_looks_inside(study) -> None:
    one, other = expand(study(WHOLE)), expand(study(WHOLE.replace("victims:", "adaptive: false\nvictims:")))
    assert [c.key for c in one.cells] == [c.key for c in other.cells]  # none of them does
    cells = [
        expand(api.cell_study(Glass(), Looks(), Lines(n=2), Opens(), [SaysYes()], 0, _settings(), 10, adaptive)).cells[
            0
        ]
        for adaptive in (True, False)
    ]
    assert cells[0].key != cells[1].key
    assert [cell.crafted_through for cell in cells] == ["opens", ""]


NEED_A_FILE = ("text-template", "t-pgd")  # they look into nothing


@pytest.mark.parametrize("name", [name for name in entries("attacks") if name not in ("no-attack", *NEED_A_FILE)])
def test_every_attack_that_looks_into_the_victim_is_static_behind_a_closed_defense(name: str) -> None:
    # A search by scores (square, black-box-pgd) sees the undefended model as much as a gradient does.
    attack = build("attacks", name)
    target = target_of(attack, AskTwice(), Glass())
    artefact = Artefact(crafted_on=Glass().key)
    assert crafting_of(attack, target, artefact) == ("static" if looks_inside(attack) else "nothing")
    asked = replace(artefact, cost=Cost(queries=1))
    assert crafting_of(attack, target, asked) == "static"  # its replies were looked at
    if name in ("square", "black-box-pgd", "pgd", "qi2023", "schlarmann2023"):
        assert crafting_of(attack, target, artefact) == "static"
