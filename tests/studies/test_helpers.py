"""Helpers of methods in a study: named there, in the key, asked through the journal, counted apart from the victim."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import proofglass.attacks
import proofglass.defenses
import proofglass.evaluation.judges
from proofglass.errors import UnknownName, UsageError
from proofglass.flow import Flow
from proofglass.interfaces import Attack, Defense, Encoder, Judge, Victim, WhiteBoxVictim, in_run
from proofglass.models.inspect_role import InspectRole
from proofglass.studies import judge_study
from proofglass.studies.plan import expand
from proofglass.types import Artefact, Ask, Attempt, Chat, Reply, Sample, Score
from scripted_plugs import EchoVictim
from scripted_study import TESTS, asked, run, tables
from strangers.rewriting import Rewriting

ECHO = EchoVictim()

STUDY = """\
name: helped
seed: 7
chunk: 2
settings: {max_new_tokens: 8}
victims: [echo: {log: LOG}]
attacks: [no-attack, rewriting: {helper: {echo: {sees_images: false, log: HELPER}}}]
defenses: [none, guard: {guard: {echo: {sees_images: false, log: HELPER}}}]
datasets: [lines: {n: 4}]
judges: [asks: {helper: {echo: {broken: false, sees_images: false, log: JUDGE}}}]
"""


@dataclass(frozen=True)
class Guard(Defense):
    """Asks a guard about the answer."""

    name = "guard"
    guard: Victim = ECHO

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield ask
        yield ask.on(Chat.user(f"safe? {reply.text}"), to=self.guard)
        return reply


@dataclass(frozen=True)
class AsksJudge(Judge):
    name = "asks"
    helper: Victim = ECHO

    def flow(self, attempt: Attempt) -> Flow[Score]:
        said = yield Ask(Chat.user(f"judge {attempt.reply.text}"), to=self.helper)
        return Score(self.name, float(said.text.startswith("yes")))


@dataclass(frozen=True)
class Takes(Attack):
    """Fields for helpers of every form."""

    name = "takes"
    one: Victim | None = None
    several: tuple[Victim, ...] = ()
    white: WhiteBoxVictim | None = None
    encoder: Encoder | None = None
    named: str | Encoder | None = None

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat


@pytest.fixture(autouse=True)
def helped(scripted: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    attacks = {"rewriting": "strangers.rewriting:Rewriting", "takes": f"{__name__}:Takes"}
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Guard.__module__])
    for package, own in (
        (proofglass.attacks, attacks),
        (proofglass.defenses, {"guard": f"{__name__}:Guard"}),
        (proofglass.evaluation.judges, {"asks": f"{__name__}:AsksJudge"}),
    ):
        monkeypatch.setattr(package, "CONTENTS", {**package.CONTENTS, **own})


def text(tmp_path: Path, of: str = STUDY) -> str:
    return (
        of.replace("LOG", str(tmp_path / "log"))
        .replace("HELPER", str(tmp_path / "h"))
        .replace("JUDGE", str(tmp_path / "j"))
    )


# ---------------------------------------------------------------- named in a study


def one(study, fields: str) -> Takes:
    (item,) = study(f"name: x\nvictims: [echo]\nattacks: [takes: {{{fields}}}]\ndatasets: [lines]\n").attacks
    plug = item.plug
    assert isinstance(plug, Takes)
    return plug


def test_a_helper_is_named_as_a_victim_is(study) -> None:
    assert one(study, "one: echo").one == EchoVictim()
    assert one(study, "one: {echo: {sees_images: false}}").one == EchoVictim(sees_images=False)
    assert one(study, "one: testbed-lm-aligned").one.variant == "testbed-lm-aligned"
    assert one(study, "one: null").one is None
    assert one(study, "several: [echo, {echo: {sees_images: false}}]").several == (
        EchoVictim(),
        EchoVictim(sees_images=False),
    )
    assert one(study, "one: {inspect-role: {role: attacker}}").one == InspectRole("attacker")
    assert one(study, "encoder: testbed-clip").encoder.name == "testbed-clip"
    assert one(study, "named: testbed-clip").named == "testbed-clip"  # it finds the model by itself


@pytest.mark.parametrize(
    ("fields", "kind", "where", "why"),
    [
        ("one: ecko", UnknownName, "takes.one", "no such model: 'ecko'. Did you mean 'echo'?"),
        ("one: 3", UsageError, "takes.one", "found 3. Expected a model by its name"),
        ("one: {echo: {lug: 3}}", UsageError, "takes.one.echo.lug", "no such parameter"),
        ("one: {echo: {pause_s: soon}}", UsageError, "takes.one.echo.pause_s", "Expected"),
        ("several: [echo, ecko]", UnknownName, "takes.several[1]", "no such model: 'ecko'"),
        ("white: echo", UsageError, "takes.white", "echo is a EchoVictim. Expected a model that is a WhiteBoxVictim"),
        ("encoder: testbed-detector", UsageError, "takes.encoder", "Expected a model that is a Encoder"),
    ],
)
def test_a_fault_in_it_names_line_and_field(study, fields, kind, where, why) -> None:
    with pytest.raises(kind) as told:
        one(study, fields)
    assert f"study.yaml:3: attacks[0].{where}: " in str(told.value)
    assert why in str(told.value)


def test_a_helper_is_in_the_key_of_its_method() -> None:
    assert Rewriting(ECHO).key == Rewriting(EchoVictim()).key != Rewriting(EchoVictim(sees_images=False)).key


@dataclass(frozen=True)
class OfRun(EchoVictim):
    """Its answers belong to a run."""

    run: str = ""

    @property
    def key(self) -> str:
        return f"of-run {self.run}"

    def in_run(self, folder: Path, run: str) -> Victim:
        return OfRun(run=run)


def test_a_helper_knows_the_run_that_asks_it(tmp_path: Path) -> None:
    bound = in_run(Takes(one=OfRun(), several=(ECHO, OfRun())), tmp_path, "r1")
    assert bound.one.key == bound.several[1].key == "of-run r1"
    assert bound.several[0] is ECHO
    plain = Takes(one=ECHO)
    assert in_run(plain, tmp_path, "r1") is plain
    assert in_run(OfRun(), tmp_path, "r2").key == "of-run r2"


# ---------------------------------------------------------------- in a run


def test_what_helpers_cost_stands_beside_the_victims_queries(study, tmp_path: Path) -> None:
    store = run(study(text(tmp_path)), tmp_path / "run")
    helper = EchoVictim(sees_images=False).key
    counts = {
        (row["attack"], row["defense"]): (row["queries"], json.loads(row["helpers"]).get(helper, {}).get("queries", 0))
        for row in store.frame().iter_rows(named=True)
    }
    assert counts == {
        ("no-attack", "none"): (1, 0),
        ("no-attack", "guard"): (1, 1),
        ("rewriting", "none"): (2, 2),
        ("rewriting", "guard"): (2, 4),
    }
    told = {(cell["attack"], cell["defense"]): cell for cell in store.cells()}
    assert told["rewriting", "guard"]["helpers"][helper]["queries"] == 16
    assert [cell["helper_asks"] for cell in store.manifest()["plan"]] == [0, 4, 8, 16]
    assert all(cell["judge_helpers"][helper]["queries"] == 4 for cell in told.values())
    assert told["no-attack", "none"]["helpers"] == {}


def test_the_plan_counts_the_asks_of_attacks_and_those_of_helpers_apart(study, tmp_path: Path) -> None:
    cells = expand(study(text(tmp_path))).cells
    assert [(c.attack.label, c.defense.label, c.asks, c.helper_asks) for c in cells] == [
        ("no-attack", "none", 4, 0),
        ("no-attack", "guard", 4, 4),
        ("rewriting", "none", 8, 8),
        ("rewriting", "guard", 8, 16),
    ]


def test_nothing_is_asked_twice_by_a_second_run_or_by_judging_anew(study, tmp_path: Path) -> None:
    first = tables(run(study(text(tmp_path)), tmp_path / "run"))
    # The helpers of judge, attack and defense have one key: one model answers for all of them, the judge's, which came
    # first.
    logs = {name: (tmp_path / name).read_text() for name in ("log", "j")}
    assert not (tmp_path / "h").exists()
    for path in [*(tmp_path / "run" / "cells").iterdir(), *(tmp_path / "run" / "scores").iterdir()]:
        path.unlink()
    again = tables(run(study(text(tmp_path)), tmp_path / "run"))
    judge_study(study(text(tmp_path)), tmp_path / "run")
    assert {k: again[k] for k in ("frame", "scores")} == {k: first[k] for k in ("frame", "scores")}
    assert {name: (tmp_path / name).read_text() for name in logs} == logs


KILLED = """
import sys; sys.path.insert(0, sys.argv[1])
import scripted_plugs; scripted_plugs.register()
import proofglass.attacks; proofglass.attacks.CONTENTS["rewriting"] = "strangers.rewriting:Rewriting"
from proofglass.studies import run_study, located
from proofglass.studies.study import parse
run_study(parse(located.parse(sys.argv[2], "study.yaml")), sys.argv[3], progress=False)
"""


@pytest.mark.parametrize("batch", [1, 3])
def test_a_run_killed_while_a_helper_answers_goes_on_and_asks_nothing_answered_again(
    study, tmp_path: Path, batch: int
) -> None:
    plain = "\n".join(line for line in STUDY.splitlines() if not line.startswith(("defenses", "judges"))) + "\n"
    plain = plain.replace("chunk: 2", "chunk: 2\njudges: [long]")
    whole = tables(run(study(text(tmp_path / "whole", plain)), tmp_path / "unkilled")) if _folder(tmp_path) else {}
    deadly = text(tmp_path, plain.replace("log: HELPER", f"log: HELPER, die_at: {batch}"))
    command = [sys.executable, "-c", KILLED, str(TESTS), deadly, str(tmp_path / "run")]
    assert subprocess.run(command, capture_output=True).returncode == -9
    found = tables(run(study(deadly), tmp_path / "run"))
    assert {k: found[k] for k in ("frame", "scores")} == {k: whole[k] for k in ("frame", "scores")}
    for name in ("log", "h"):
        assert sorted(asked(tmp_path / name)) == sorted(asked(tmp_path / "whole" / name))
        assert len(set(asked(tmp_path / name))) == len(asked(tmp_path / name))


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "whole").mkdir()
    return tmp_path / "whole"


def test_a_testbed_victim_and_a_testbed_language_model_as_its_attackers_helper(study, tmp_path: Path) -> None:
    store = run(
        study(
            """\
name: real
settings: {max_new_tokens: 12}
victims: [testbed-linear: {device: cpu}]
attacks: [rewriting: {helper: {testbed-lm-helpful: {device: cpu}}, rounds: 1}]
datasets: [testbed: {part: benign, n: 3}]
judges: [long]
"""
        ),
        tmp_path / "run",
    )
    frame = store.frame()
    assert frame["outcome"].to_list() == ["ok"] * 3
    assert frame["queries"].to_list() == [1] * 3
    for row in frame.iter_rows(named=True):
        ((helper, cost),) = json.loads(row["helpers"]).items()
        assert helper != row["victim_key"]
        assert (cost["queries"], cost["tokens_out"] > 0) == (1, True)
        assert row["attacked_text"].endswith(row["question"])
        assert row["attacked_text"] != row["question"]


@dataclass(frozen=True)
class Mute(EchoVictim):
    name = "mute"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply("", "refused") for _ in asks]


def test_a_method_sees_what_became_of_its_helper(study) -> None:
    from proofglass.flow import drive

    sample = Sample("s", "d", Chat.user("q"))
    (end,) = drive([Rewriting(Mute()).converse(Artefact(), sample, Ask(sample.chat))], ECHO.reply)
    assert end.value is not None
    assert end.value[1].reason == "the helper gave no wording: refused"
