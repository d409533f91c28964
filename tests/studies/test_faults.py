"""What a plug that breaks costs and says: file and line, a traceback in the run folder, the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proofglass import api
from proofglass.errors import NothingMeasured, UsageError
from proofglass.records.store import Store
from proofglass.studies import judge_study
from proofglass.studies.attempt import nothing_measured
from proofglass.studies.runners.local import _named
from proofglass.types import Chat, Reply, Score
from scripted_plugs import AskTwice, EchoVictim, Lines, Long, Mute, OwnSpeck, Plain, Speck
from scripted_study import SMALL, TESTS, run, tables

BOTH = SMALL.replace("[long]", "[long, mute]\nsuccess: long")


class Abort(BaseException):
    """What a plug may raise beside Exceptions: here of its own base."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def misspelt(*_: Any, **__: Any) -> Any:
    return undefined  # type: ignore[name-defined]  # noqa: F821


LINE = misspelt.__code__.co_firstlineno + 1
AT = rf"NameError: name 'undefined' is not defined \(test_faults\.py:{LINE}; faults/"


def test_a_judge_that_breaks_ends_with_exit_code_1_and_says_where_in_every_place(
    study, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(Mute, "score", misspelt)
    with pytest.raises(NothingMeasured, match=f"judge mute broke on 18 of 18 replies: {AT}judge-mute-"):
        run(study(BOTH), tmp_path / "run")
    store = Store(tmp_path / "run")
    assert {cell["status"] for cell in store.cells()} == {"done"}  # the replies are measured, by the other judges
    from rich.console import Console

    with (tmp_path / "told").open("w") as file:
        Console(file=file, width=400).print(api.Run(tmp_path / "run").summary())
    assert "judge mute broke on 18 of 18 replies: NameError: name 'undefined'" in (tmp_path / "told").read_text()
    api.Run(tmp_path / "run").report()
    (told,) = json.loads((tmp_path / "run" / "report" / "report.json").read_text())["broken_judges"]
    assert (told["judge"], told["replies"], told["of"], told["cells"]) == ("mute", 18, 18, 6)
    (kept,) = (tmp_path / "run" / "faults").iterdir()  # once, not 18 times
    assert f"faults/{kept.name}" in told["reason"]
    assert "return undefined" in kept.read_text()


def test_a_mended_judge_judges_again_without_asking_anybody(study, tmp_path: Path, monkeypatch) -> None:
    whole = tables(run(study(BOTH), tmp_path / "whole"))
    log = tmp_path / "log"
    with monkeypatch.context() as patch:
        patch.setattr(Mute, "score", misspelt)
        with pytest.raises(NothingMeasured):
            run(study(BOTH.replace("LOG", str(log))), tmp_path / "run")
    said = log.read_text()
    found = tables(run(study(BOTH.replace("LOG", str(log))), tmp_path / "run"))
    assert {k: found[k] for k in ("scores", "cells")} == {k: whole[k] for k in ("scores", "cells")}
    assert log.read_text() == said


def test_a_judge_that_breaks_on_one_reply_costs_that_reply(study, tmp_path: Path, monkeypatch) -> None:
    def picky(self: Mute, attempts: Any) -> Any:
        return [Score("mute", 1.0) if a.sample.id != "first2" else misspelt() for a in attempts]

    monkeypatch.setattr(Mute, "score", picky)
    with pytest.raises(NothingMeasured, match="judge mute broke on 6 of 18 replies"):
        run(study(BOTH), tmp_path / "run")
    scores = Store(tmp_path / "run").scores()
    mute = scores.filter(scores["judge"] == "mute")
    assert mute["value"].null_count() == 6  # 3 attacks x 2 defenses
    assert set(mute.filter(mute["value"].is_null())["sample_id"]) == {"first2"}


@pytest.mark.parametrize("given", [[None], [0.5], "yes", None, []])
def test_what_is_no_score_is_the_judges_failure(study, tmp_path: Path, monkeypatch, given: Any) -> None:
    monkeypatch.setattr(
        Mute, "score", lambda self, attempts: given if given is None else list(given)[:1] * len(attempts)
    )
    with pytest.raises(NothingMeasured, match=r"judge mute broke on 18 of 18 replies: (Type|Value)Error"):
        run(study(BOTH), tmp_path / "run")


def test_a_reason_that_names_its_sample_counts_once_over_all_samples() -> None:
    rows = [{"sample_id": f"row{k}", "outcome": "error", "reason": f"sample row{k}: no instruction"} for k in range(20)]
    assert nothing_measured(rows, {}) == "none of 20 samples could be judged; 20 x sample …: no instruction"


def test_a_message_that_quotes_megabytes_is_cut_in_the_reason_and_whole_in_the_traceback(
    study, tmp_path: Path, monkeypatch
) -> None:
    def quotes(self: Mute, attempts: Any) -> Any:
        raise ValueError("no verdict in " + "x" * 10**6)

    monkeypatch.setattr(Mute, "score", quotes)
    with pytest.raises(NothingMeasured) as raised:
        run(study(BOTH), tmp_path / "run")
    assert len(str(raised.value)) < 2000
    scores = Store(tmp_path / "run").scores()
    (reason,) = scores.filter(scores["judge"] == "mute")["reason"].unique()
    assert reason.startswith("judge mute: ValueError: no verdict in xxx")
    assert len(reason) < 1200  # 1000 of the message, and the place
    (kept,) = (tmp_path / "run" / "faults").iterdir()
    assert "x" * 10**6 in kept.read_text()


@pytest.mark.parametrize("raised", [SystemExit, Abort])
@pytest.mark.parametrize(
    ("cls", "method", "kind"),
    [
        (OwnSpeck, "craft", "attack own-speck: crafting failed"),
        (OwnSpeck, "apply", "attack own-speck"),
        (OwnSpeck, "converse", "attack own-speck"),
        (AskTwice, "flow", "defense ask-twice"),
        (EchoVictim, "reply", "victim echo"),
    ],
)
def test_whatever_a_plug_raises_costs_its_own_samples_and_says_where(
    study, tmp_path: Path, monkeypatch, cls: type, method: str, kind: str, raised: type[BaseException]
) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise raised("bye")

    line = breaks.__code__.co_firstlineno + 1
    monkeypatch.setattr(cls, method, breaks)
    with pytest.raises(NothingMeasured):
        run(study(SMALL), tmp_path / "run")
    frame = Store(tmp_path / "run").frame()
    hit = frame.filter(frame["outcome"] == "error")
    assert len(hit) == {"own-speck": 6, "ask-twice": 9, "echo": 18}[kind.split()[1].rstrip(":")]
    (reason,) = set(hit["reason"])
    assert reason.startswith(f"{kind}: {raised.__name__}: ")
    assert f"(test_faults.py:{line}; faults/" in reason
    assert (tmp_path / "run" / reason.rpartition("; ")[2].rstrip(")")).exists()


def test_a_universal_attack_and_a_crafting_split_that_break_fail_their_cells_and_say_where(
    study, tmp_path: Path, monkeypatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Speck, "craft", misspelt)
        with pytest.raises(NothingMeasured, match=f"attack speck: crafting failed: {AT}attack-speck-"):
            run(study(SMALL), tmp_path / "a")
    monkeypatch.setattr(Lines, "crafting", misspelt)
    with pytest.raises(NothingMeasured, match=f"data set lines/first: its crafting split: {AT}dataset-lines-"):
        run(study(SMALL), tmp_path / "b")


def test_what_dialogues_and_crafts_return_is_checked(study, tmp_path: Path, monkeypatch) -> None:
    def talks(self: Plain, artefact: Any, sample: Any, ask: Any) -> Any:
        reply = yield ask
        return reply

    def moderates(self: AskTwice, ask: Any) -> Any:
        yield ask

    monkeypatch.setattr(Plain, "converse", talks)
    monkeypatch.setattr(AskTwice, "flow", moderates)
    monkeypatch.setattr(OwnSpeck, "craft", lambda self, *a, **k: iter([Chat()]))
    with pytest.raises(NothingMeasured):
        run(study(SMALL), tmp_path / "run")
    reasons = set(Store(tmp_path / "run").frame()["reason"]) - {""}
    assert reasons == {
        "attack no-attack: its dialogue returned a Reply, expected the last chat and its reply",
        "defense ask-twice: its dialogue returned a NoneType, expected a Reply",
        "attack own-speck: crafting failed: TypeError: craft yielded a Chat, expected an Artefact",
    }


def test_a_victim_that_answers_with_something_else_is_at_fault(study, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(EchoVictim, "reply", lambda self, asks: ["yes"] * len(asks))
    with pytest.raises(NothingMeasured, match="victim echo: TypeError: a str among the replies, expected a Reply"):
        run(study(SMALL), tmp_path / "run")


def rows(odd: Any) -> Any:
    def iterate(self: Lines) -> Any:
        yield self._sample("a", Chat.user("a?"))
        yield odd() if callable(odd) else odd

    return iterate


def leaves() -> None:
    sys.exit(3)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (misspelt, rf"row 2: NameError: name 'undefined' is not defined \(test_faults.py:{LINE}\)"),
        (leaves, r"row 2: SystemExit: 3 \(test_faults.py:"),
        ({"text": "b?"}, "row 2: TypeError: a dict, expected a Sample or a BadSample"),
        (None, "row 2: TypeError: a NoneType, expected"),
    ],
)
def test_a_data_set_that_breaks_is_one_line_with_its_row_before_anything_is_spent(
    study, tmp_path: Path, monkeypatch, odd: Any, message: str
) -> None:
    monkeypatch.setattr(Lines, "__iter__", rows(odd))
    with pytest.raises(UsageError, match=rf"^study\.yaml: data set lines/first: {message}"):
        run(study(SMALL), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_card_or_a_key_that_breaks_is_one_line_before_anything_is_spent(study, tmp_path: Path, monkeypatch) -> None:
    at = rf"NameError: .* \(test_faults.py:{LINE}\)"
    with monkeypatch.context() as patch:
        patch.setattr(EchoVictim, "card", misspelt)
        with pytest.raises(UsageError, match=f"victim echo: its card: {at}"):
            run(study(SMALL), tmp_path / "run")
    monkeypatch.setattr(Speck, "key", property(misspelt))
    with pytest.raises(UsageError, match=f"study.yaml: attack speck: its settings or key: {at}"):
        run(study(SMALL), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_ctrl_c_in_a_plug_is_ctrl_c(study, tmp_path: Path, monkeypatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    for cls, method in ((Long, "score"), (AskTwice, "flow"), (OwnSpeck, "craft"), (Lines, "__iter__")):
        with monkeypatch.context() as patch:
            patch.setattr(cls, method, interrupted)
            with pytest.raises(KeyboardInterrupt):
                run(study(SMALL), tmp_path / f"{cls.__name__}")


def test_the_command_line_says_it_with_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(SMALL.replace("[long]", "[long, loud]\nsuccess: long"))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import scripted_plugs; scripted_plugs.register()\n"
        "sys.argv = ['proofglass', 'run', 'study.yaml', '--out', 'run']\n"
        "from proofglass.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(TESTS)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    told = "judge loud broke on 18 of 18 replies: RuntimeError: too loud to hear (scripted_plugs.py:"
    assert told in done.stderr
    assert told in done.stdout
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------------------------------- a changed success judge


def test_another_success_judge_on_resume_decides_anew_and_ends_as_a_fresh_run(study, tmp_path: Path) -> None:
    log = tmp_path / "log"
    first, other = (
        BOTH.replace("LOG", str(log)),
        BOTH.replace("success: long", "success: mute").replace("LOG", str(log)),
    )
    run(study(first), tmp_path / "run")
    said = log.read_text()
    with pytest.raises(NothingMeasured, match=r"6 of 6 cells measured nothing.*nothing to say"):
        run(study(other), tmp_path / "run")
    assert "success: mute" in Store(tmp_path / "run").manifest()["study_text"]
    assert log.read_text() == said
    run(study(first), tmp_path / "run")
    assert {cell["status"] for cell in Store(tmp_path / "run").cells()} == {"done"}
    assert log.read_text() == said


def test_a_success_judge_with_another_parameter_or_version_decides_anew(study, tmp_path: Path, monkeypatch) -> None:
    run(study(SMALL), tmp_path / "run")
    monkeypatch.setattr(Long, "version", 2)
    monkeypatch.setattr(Long, "score", Mute.score)
    with pytest.raises(NothingMeasured, match=r"6 of 6 cells measured nothing.*nothing to say"):
        run(study(SMALL), tmp_path / "run")


def test_judging_anew_keeps_the_study_as_it_was_read(study, tmp_path: Path) -> None:
    run(study(SMALL), tmp_path / "run")
    text = SMALL.replace("[long]", "[long, mute]\nsuccess: long")
    assert judge_study(study(text), tmp_path / "run").manifest()["study_text"] == study(text).text


# -------------------------------------------------------------------------------------- what was not sent, what it cost


def test_what_was_not_sent_is_pending_whatever_a_defense_makes_of_it(study, tmp_path: Path, monkeypatch) -> None:
    from proofglass.types import Cost

    real, left = EchoVictim._one, [13]

    def poor(self: EchoVictim, ask: Any) -> Reply:
        left[0] -= 1
        return real(self, ask) if left[0] >= 0 else Reply.error("budget of 13 calls is spent: not sent", Cost())

    def suspicious(self: AskTwice, ask: Any) -> Any:
        first = yield ask
        second = yield ask.on(ask.chat.say(first.text).ask("sure?"))
        return first if second.outcome == "ok" else Reply("no", outcome="blocked")

    text = SMALL.replace("[no-attack, speck, own-speck]", "[no-attack]").replace("{n: 3}", "{n: 10}")
    with monkeypatch.context() as patch:
        patch.setattr(EchoVictim, "_one", poor)
        patch.setattr(AskTwice, "flow", suspicious)
        with pytest.raises(NothingMeasured, match=r"1 of 2 cells are not finished.*7 asks were not sent; budget of 13"):
            run(study(text), tmp_path / "run")
        plain, twice = Store(tmp_path / "run").cells()
        assert (plain["status"], twice["status"], twice["unsent"]) == ("done", "pending", 7)
        # 10 for the plain cell, 3 second asks: 3 dialogues ended, none of the others is blocked or failed.
        rows = Store(tmp_path / "run").frame(twice["cell"])
        assert rows["outcome"].to_list() == ["ok"] * 3
        patch.setattr(EchoVictim, "_one", real)
        store = run(study(text), tmp_path / "run")
    assert [cell["status"] for cell in store.cells()] == ["done", "done"]
    assert store.frame()["outcome"].to_list() == ["ok"] * 20


def test_the_last_line_names_each_reason_once_and_counts_no_skipped_cell() -> None:
    def cell(attack: str, status: str, reason: str = "") -> dict[str, str]:
        return {**dict.fromkeys(("victim", "defense", "dataset"), "x"), "attack": attack, "status": status,
                "reason": reason}  # fmt: skip

    cells = [cell("a", "pending", "r"), cell("b", "pending", "r"), cell("c", "done"), cell("d", "skipped", "s")]
    assert _named(cells, "pending") == ("2 of 3 cells", "x x a x x x x and 1 more: r")
    many = [cell("a", "failed", f"reason {k}") for k in range(9)]
    count, told = _named(many, "failed")
    assert count == "9 of 9 cells"
    assert told.endswith("reason 2; 6 more reasons: the report has them")


def test_the_sum_over_cells_counts_an_answer_that_two_share_once(study, tmp_path: Path, monkeypatch) -> None:
    real, log = EchoVictim._one, tmp_path / "log"

    def paid(self: EchoVictim, ask: Any) -> Reply:
        from dataclasses import replace

        reply = real(self, ask)
        return replace(reply, cost=replace(reply.cost, money=0.5))

    monkeypatch.setattr(EchoVictim, "_one", paid)
    for _ in range(2):  # and the same after a resume
        store = run(study(SMALL.replace("LOG", str(log))), tmp_path / "run")
        # 3 attacks x 3 first asks, shared by both defenses, and 3 x 3 second ones; the records add up to 9 + 18.
        assert sum(cell["money_new"] for cell in store.cells()) == 0.5 * 18
        assert sum(cell["queries_new"] for cell in store.cells()) == 18
        assert store.frame()["money"].sum() == 0.5 * 27
        first_rounds = [c["money_new"] for c in store.cells() if c["defense"] == "ask-twice"]
        assert first_rounds == [0.5 * c["planned"] for c in store.cells() if c["defense"] == "ask-twice"]


@pytest.mark.parametrize("kind", ["reply", "raised", "judge", "dataset"])
def test_a_reason_of_megabytes_is_cut_on_the_terminal(study, tmp_path: Path, monkeypatch, capsys, kind: str) -> None:
    # It was printed three times: as it came, with its cell, and at the end.
    def raises(*_: Any) -> Any:
        raise RuntimeError("E" * 5_000_000)

    cls, method = {"judge": (Mute, "score"), "dataset": (Lines, "__iter__")}.get(kind, (EchoVictim, "reply"))
    said = raises if kind != "reply" else (lambda self, asks: [Reply.error("E" * 5_000_000) for _ in asks])
    monkeypatch.setattr(cls, method, said)
    with pytest.raises((NothingMeasured, UsageError)) as caught:
        api.run(study(BOTH), tmp_path / "run")
    told = capsys.readouterr()
    assert len(told.out) + len(told.err) + len(str(caught.value)) < 50_000
    assert "characters" in str(caught.value)
