"""Defenses that learn about a victim in the run: once, on what nobody judges, and again from where it stood."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import proofglass.defenses
from proofglass.defenses.inference.inferaligner import InferAligner
from proofglass.defenses.learned import once, rows_of
from proofglass.errors import NothingMeasured, UsageError
from proofglass.interfaces import Dataset, Defense, Stack, Victim, fitted_in, key_of
from proofglass.registry import build
from proofglass.report.run import ReportedRun
from proofglass.types import Ask, BadSample, Chat, Sample
from scripted_plugs import AskTwice, EchoVictim, Lines
from scripted_study import run

STUDY = """\
name: learning
seed: 7
chunk: 4
victims: [echo]
attacks: [no-attack, own-speck]
defenses: [none, learns: {data: {lines: {n: 3, part: second}}, log: LOG}]
datasets: [lines: {n: 5}]
judges: [long]
"""


@dataclass(frozen=True)
class Learns(Defense):
    """Learns how many rows there are, and says so behind every question."""

    name = "learns"
    not_in_key = ("found", "log")
    learned_in, learns_from, learned_files = "found", ("data",), ("n.json",)

    data: Dataset | None = None
    found: Path | None = None
    log: str = ""
    breaks: bool = False

    def fitted(self, model: Victim, folder: Path) -> Defense:
        rows = rows_of(self.data, "data")

        def learn() -> None:
            if self.log:
                with open(self.log, "a") as file:
                    file.write(f"{model.key}\n")
            if self.breaks:
                raise ZeroDivisionError("no vectors today")
            folder.mkdir(parents=True)
            (folder / "n.json").write_text(json.dumps(len(rows)))

        def is_whole() -> None:
            if not (folder / "n.json").exists():
                raise UsageError("nothing there")

        once(folder, is_whole, learn, {"rows": len(rows)})
        return replace(self, found=folder)

    def flow(self, ask: Ask):
        assert self.found is not None
        reply = yield ask.on(ask.chat.with_text(f"{ask.chat.last_text} {(self.found / 'n.json').read_text()}"))
        return reply


@dataclass(frozen=True)
class Whole(Dataset):
    """Keeps no crafting rows apart; its second row is bad."""

    name = "whole"
    n: int = 3

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for k in range(self.n):
            yield Sample(f"w{k}", "whole", Chat.user(f"{k} ?")) if k != 1 else BadSample("w1", "whole", "no question")


@pytest.fixture
def learning(study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(proofglass.defenses.CONTENTS, "learns", "studies.test_fitting:Learns")
    monkeypatch.chdir(tmp_path)
    return lambda text=STUDY: study(text.replace("LOG", str(tmp_path / "log")))


def test_a_run_fits_a_defense_once_and_says_what_that_cost(learning, tmp_path: Path) -> None:
    store = run(learning(), tmp_path / "run")
    assert (tmp_path / "log").read_text() == f"{EchoVictim().key}\n"  # two cells, one fit
    asked = store.frame().filter(store.frame()["defense"] == "learns")["attacked_text"]
    assert len(asked) == 10
    (folder,) = (tmp_path / "run" / "fits").iterdir()
    told = {cell["defense"]: cell["fit"] for cell in store.cells()}
    assert told["none"] is None
    assert told["learns"]["learns"]["rows"] == 3
    assert told["learns"]["learns"]["seconds"] >= 0
    assert json.loads((folder / "n.json").read_text()) == 3
    assert {c.defense: c.plan["fit"] for c in ReportedRun(store).cells}["none"] is None


def test_a_rerun_and_a_longer_study_learn_nothing_anew(learning, tmp_path: Path) -> None:
    run(learning(), tmp_path / "run")
    run(learning(), tmp_path / "run")
    run(learning(), tmp_path / "run", limit=2)  # its folder shares what was learned
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_what_is_learned_from_is_not_judged(learning, tmp_path: Path) -> None:
    same = STUDY.replace("{n: 3, part: second}", "{n: 3, leak: true}")
    with pytest.raises(NothingMeasured, match="is learned from and is judged too"):
        run(learning(same), tmp_path / "run")


def test_a_fit_that_breaks_costs_its_cells_and_says_where(learning, tmp_path: Path) -> None:
    with pytest.raises(NothingMeasured, match="defense learns: fitting failed: ZeroDivisionError: no vectors today"):
        run(learning(STUDY.replace("log: LOG", "breaks: true")), tmp_path / "run")


def test_a_stack_fits_the_inner_members_first_each_on_what_stands_inside_it(tmp_path: Path) -> None:
    learns, victim = Learns(Lines(n=2)), EchoVictim()
    outer = Learns(Lines(n=3))
    stack = fitted_in(Stack((outer, AskTwice(), learns)), victim, tmp_path)
    assert isinstance(stack, Stack)
    assert stack.fits_on == ()
    inner = fitted_in(learns, victim, tmp_path)
    assert inner == stack.members[2]  # shared with the defense alone
    seen = AskTwice()(inner(victim))
    first = stack.members[0]
    assert isinstance(first, Learns)
    assert first.found == tmp_path / key_of(["fit", outer.learns, seen.key])


def test_defenses_that_differ_in_how_they_are_used_share_what_they_learned(tmp_path: Path) -> None:
    data = Lines(n=2)
    weak, strong, other = (
        InferAligner(harmful=data, harmless=data, **more) for more in ({"alpha": 1.0}, {}, {"false_alarms": 0.1})
    )
    assert weak.learns == strong.learns != other.learns
    assert weak.key != strong.key


@pytest.mark.parametrize("name", ["inferaligner", "hiddendetect"])
def test_a_defense_says_the_same_wherever_its_folder_lies_and_however_long_it_took(name: str, tmp_path: Path) -> None:
    victim = build("victims", "testbed-linear", device="cpu")
    sealed, plain = (
        build("datasets", "testbed", part=f"{part}-image", n=1, craft_n=3) for part in ("restricted", "benign")
    )
    fields = {"inferaligner": ("harmful", "harmless"), "hiddendetect": ("unsafe", "safe")}[name]
    defense = build("defenses", name, **dict(zip(fields, (sealed, plain), strict=True)))
    one, other = (defense.fitted(victim, tmp_path / folder) for folder in ("a", "b"))
    (tmp_path / "b" / "cost.json").write_text('{"seconds": 1234.5, "rows": 6}')
    assert one.learned != other.learned
    assert (one.spent["rows"], other.spent["seconds"]) == (6, 1234.5)
    assert one.key == other.key


def test_a_data_set_without_a_crafting_split_is_learned_from_whole_and_an_empty_one_refused() -> None:
    assert [row.id for row in rows_of(Whole(), "data")] == ["w0", "w2"]
    assert [row.id for row in rows_of(Lines(n=4), "data")] == ["craft0", "craft1", "craft2"]
    with pytest.raises(UsageError, match="data: whole has no sample to learn from"):
        rows_of(Whole(n=0), "data")


def test_a_broken_note_of_the_cost_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "cost.json").write_text("{")
    with pytest.raises(UsageError, match=r"cost\.json: cannot be read"):
        Learns(found=tmp_path).spent  # noqa: B018
    assert Learns().spent == Learns(found=tmp_path / "none").spent == {}
