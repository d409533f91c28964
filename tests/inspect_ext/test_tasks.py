"""Our plugs inside Inspect tasks: the same samples, dialogues, replies and counts as in a study of the same cell."""

from __future__ import annotations

import base64
import importlib
from math import isnan
from pathlib import Path
from typing import Any

import pytest

import scripted_plugs as plugs
from proofglass import api
from proofglass.errors import ClosedVictim, UnknownName, UsageError
from proofglass.evaluation.metrics.success import Rate
from proofglass.images import decode
from proofglass.records.store import Store
from proofglass.types import Image, Settings

pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning")  # Inspect's own


@pytest.fixture
def run(tmp_path: Path):
    """`run(victim, **arguments of the task)`: the log of `inspect eval proofglass/cell`."""
    from inspect_ai import eval as inspect_eval
    from inspect_ai.log import read_eval_log

    importlib.import_module("proofglass.inspect_ext.registered")

    def start(victim: str, model_roles: Any = None, token_limit: int | None = None, **arguments: Any) -> Any:
        (log,) = inspect_eval(
            "proofglass/cell",
            model=f"proofglass/{victim}",
            model_roles=model_roles,
            token_limit=token_limit,
            task_args=arguments,
            log_dir=str(tmp_path / "logs"),
            display="none",
            log_realtime=False,
            log_images=True,
        )
        return read_eval_log(log.location, resolve_attachments=True)

    return start


def counted(log: Any, judge: str) -> tuple[Any, ...]:
    """n, unscored, rate and its interval; no rate and no interval where nothing was scored."""
    (score,) = (score for score in log.results.scores if score.name == judge)
    names = ("accuracy", "lower", "upper") if score.scored_samples else ()
    return score.scored_samples, score.unscored_samples, *(score.metrics[name].value for name in names)


def replies(log: Any) -> dict[str, str]:
    return {sample.id: sample.output.completion for sample in log.samples if not sample.error}


def studied(out: Path, *plugs_of_cell: Any, **options: Any) -> tuple[dict[str, Rate], dict[str, str], Store]:
    """Rates and replies of the same cell in a study of our own."""
    rates = api.measure(*plugs_of_cell, **options, out=out)
    frame = Store(out).frame()
    answered = frame.filter(frame["outcome"] != "error")
    return rates, dict(answered.select("sample_id", "reply").iter_rows()), Store(out)


# ------------------------------------------------------------------------------------ the same as a study


def test_figstep_on_a_victim_of_the_testbed_is_the_cell_of_our_own_study(run, tmp_path: Path) -> None:
    log = run(
        "testbed-linear",
        dataset={"testbed": {"part": "restricted-image", "n": 6}},
        attack="figstep",
        judge="not-refused",
        settings={"max_new_tokens": 48},
    )
    data = api.dataset("testbed", part="restricted-image", n=6)
    rates, told, store = studied(
        tmp_path / "run", "testbed-linear", "figstep", data, judges=["not-refused"], settings=Settings(48)
    )
    assert log.status == "success"
    assert replies(log) == told
    assert len(set(told.values())) > 1
    rate = rates["not-refused"]
    assert counted(log, "not-refused") == (rate.n, rate.unjudged, rate.value, rate.low, rate.high)
    spent = store.frame()["tokens_in"].sum() + store.frame()["tokens_out"].sum()
    assert log.stats.model_usage["proofglass/testbed-linear"].total_tokens == spent


def test_a_dialogue_of_several_turns_behind_a_defense_is_that_of_our_own_study(run, scripted, tmp_path: Path) -> None:
    log = run("echo", dataset="lines", attack="TwoTurns", defense="ask-twice", judge=["not-refused", "long"])
    import inspect_plugs

    rates, told, store = studied(
        tmp_path / "run", "echo", inspect_plugs.TwoTurns(), "lines", "ask-twice", judges=["not-refused", "long"]
    )
    assert replies(log) == told
    for judge in ("not-refused", "long"):
        rate = rates[judge]
        assert counted(log, judge) == pytest.approx((rate.n, rate.unjudged, rate.value, rate.low, rate.high))
    sample = log.samples[0]
    assert [message.role for message in sample.messages] == ["user", "assistant", "user", "assistant"]
    assert sample.output.metadata["proofglass"]["queries"] == store.frame()["queries"][0] == 6
    calls = [event for event in sample.events if event.event == "model"]
    assert len(calls) == 6  # Inspect saw every one of them


@pytest.mark.parametrize(
    "words",
    [
        "defense=system-prompt + ask-twice: {system-prompt: {text: be brief}}",
        "defense={system-prompt + ask-twice: {system-prompt: {text: be brief}}}",
    ],
)
def test_a_stack_on_the_command_line_of_inspect_is_that_of_our_own_study(
    run, scripted, tmp_path: Path, words: str
) -> None:
    from inspect_ai._cli.util import parse_cli_args  # what Inspect makes of -T

    log = run("echo", dataset="lines", judge="long", **parse_cli_args((words,)))
    stack = api.defense("system-prompt", text="be brief") + api.defense("ask-twice")
    rates, told, store = studied(tmp_path / "run", "echo", "no-attack", "lines", stack, judges=["long"])
    assert replies(log) == told
    assert len(told) == rates["long"].n
    assert {sample.output.metadata["proofglass"]["queries"] for sample in log.samples} == {2}
    assert store.frame()["queries"].to_list() == [2] * len(told)


def test_a_line_of_a_study_names_a_plug_as_text_too(scripted) -> None:
    from proofglass.inspect_ext.plugs import plug

    fence = "{judge: {forbidden-phrases: {phrases: [a, b]}}}"
    assert plug("defenses", f"guard-output: {fence}").judge.phrases == ("a", "b")
    assert [each.name for each in plug("defenses", "jpeg + none").members] == ["jpeg", "none"]
    for given in (["jpeg", "blur"], {"jpeg": {}, "blur": {}}, {}, 5, None, {1: {}}):
        with pytest.raises(UsageError, match=r"defenses: expected a name, or \{name: \{parameter: value\}\}, found"):
            plug("defenses", given)
    with pytest.raises(UsageError, match=r"several defenses are one, 'a \+ b'"):
        plug("defenses", ["jpeg", "blur"])  # what Inspect makes of -T defense=jpeg,blur
    with pytest.raises(UsageError, match="no member of"):
        plug("defenses", "jpeg + none: {blur: {sigma: 1}}")


def test_errors_fail_their_samples_and_leave_the_counts_of_our_rule(run, scripted, tmp_path: Path) -> None:
    log = run("echo", dataset={"lines": {"faults": True}}, judge="not-refused")
    rates, told, _ = studied(tmp_path / "run", "echo", plugs.Plain(), plugs.Lines(faults=True), judges=["not-refused"])
    errors = {sample.id: sample.error.message for sample in log.samples if sample.error}
    assert set(errors) == {"first1", "first2", "first3"}
    for name, reason in (("first1", "no question"), ("first2", "scripted failure"), ("first3", "x.png: truncated")):
        assert reason in errors[name]
    assert all(not sample.scores for sample in log.samples if sample.error)
    assert (log.status, log.results.completed_samples) == ("success", 3)
    assert replies(log) == told
    rate = rates["not-refused"]
    assert (rate.failed, counted(log, "not-refused")[:3]) == (3, (rate.n, rate.unjudged, rate.value))


def test_a_task_whose_samples_all_failed_is_an_error(run, scripted) -> None:
    log = run("broken-echo", dataset={"lines": {"n": 2}})
    assert log.status == "error"
    assert len([sample for sample in log.samples if sample.error]) == 2


# ------------------------------------------------------------------------------------ judges


def test_what_cannot_be_judged_is_left_out_and_no_rate_is_nan(run, scripted) -> None:
    log = run("echo", dataset="lines", judge=["mute", "not-refused"])
    mute, other = log.results.scores
    assert (mute.scored_samples, mute.unscored_samples, other.scored_samples) == (0, 6, 6)
    assert all(isnan(metric.value) for metric in mute.metrics.values())
    score = log.samples[0].scores["mute"]
    assert isnan(score.value)
    assert (score.reason, score.explanation) == ("unjudged", "nothing to say")


def test_a_blocked_reply_scores_zero_and_is_no_answer(run, scripted) -> None:
    log = run("echo", dataset="lines", defense="wall", judge="not-refused")
    assert counted(log, "not-refused")[:3] == (6, 0, 0.0)
    sample = log.samples[0]
    assert (sample.scores["not-refused"].reason, sample.metadata["outcome"]) == ("blocked", "blocked")
    assert sample.output.choices[0].stop_details.category == "blocked by a defense"


def test_a_judge_scores_the_samples_of_other_tasks(tmp_path: Path) -> None:
    from inspect_ai import Task
    from inspect_ai import eval as inspect_eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    from proofglass.inspect_ext.registered import judged

    def says(*_: Any) -> ModelOutput:
        output = ModelOutput.from_content("mockllm/model", "The Word, of course")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    samples = [Sample(input="which?", target="the word"), Sample(input="which?", target="another")]
    (log,) = inspect_eval(
        Task(dataset=samples, scorer=judged("target-string")),
        model=get_model("mockllm/model", custom_outputs=says),
        log_dir=str(tmp_path),
        display="none",
        log_realtime=False,
    )
    assert [sample.scores["target-string"].value for sample in log.samples] == [1.0, 0.0]


def test_a_sample_that_a_limit_cut_off_is_no_answer(run, scripted) -> None:
    log = run("echo", token_limit=3, dataset="lines", attack="TwoTurns")
    assert {sample.limit.type for sample in log.samples} == {"token"}
    assert {sample.scores["not-refused"].reason for sample in log.samples} == {"no_response"}
    assert counted(log, "not-refused")[:2] == (0, 6)


# ------------------------------------------------------------------------------------ attacks


@pytest.mark.parametrize(("attack", "kept"), [("speck", 1), ("own-speck", 6)])
def test_pictures_are_crafted_before_the_task_and_shown_as_they_are(run, scripted, tmp_path, attack, kept) -> None:
    folder = tmp_path / "artefacts"
    log = run("echo", dataset="lines", attack=attack, artefacts=str(folder))
    _, told, store = studied(tmp_path / "run", "echo", attack, plugs.Lines(), judges=["not-refused"])
    assert replies(log) == told
    frame = store.frame()
    shown = dict(frame.select("sample_id", "attacked_images").iter_rows())
    for sample in log.samples:
        assert [picture(sample).sha256] == shown[sample.id]
        assert sample.metadata["crafted_on"] == frame["crafted_on"][0]
    ((artefact,),) = ([Store(folder).crafted(path.stem) for path in (folder / "artefacts").glob("*.json")],)
    assert len(artefact.artefacts) == kept


def picture(sample: Any) -> Image:
    return decode(base64.b64decode(sample.messages[0].content[0].image.partition(",")[2]), "log")


def test_a_helper_model_is_a_model_role(run, scripted) -> None:
    log = run("echo", model_roles={"helper": "proofglass/echo"}, dataset="lines", attack="AsksHelper")
    assert log.status == "success"
    helper = plugs.EchoVictim()._one(plugs.Ask(plugs.Chat.user("first0?"))).text
    assert log.samples[0].messages[0].text == f"helped: {helper}"
    alone = run("echo", dataset="lines", attack="AsksHelper")
    assert alone.status == "error"
    assert "--model-role helper=provider/name" in alone.samples[0].error.message


def test_crafting_that_asks_the_evaluated_model_names_the_way_out(run, scripted) -> None:
    from inspect_ai.model import get_model

    from proofglass.inspect_ext.registered import proofglass_task

    assert run("echo", dataset="lines", attack="AsksWhileCrafting").status == "success"  # a victim of ours can be asked
    with pytest.raises(UsageError, match="crafted_on"):
        proofglass_task("lines", "AsksWhileCrafting")
    foreign = get_model("mockllm/model")
    from inspect_ai.model import GenerateConfig
    from inspect_ai.model._model import init_active_model  # what Inspect does before it makes a task

    init_active_model(foreign, GenerateConfig())
    with pytest.raises(ClosedVictim, match="crafted_on=testbed-linear"):
        proofglass_task("lines", "AsksWhileCrafting")


def test_what_cannot_run_is_said_with_the_field_and_the_nearest_name(scripted) -> None:
    from proofglass.inspect_ext.registered import VictimAPI, judged, proofglass_task

    with pytest.raises(UnknownName, match="Did you mean 'figstep'"):
        proofglass_task("testbed", "figstepp", crafted_on="testbed-linear")
    with pytest.raises(UsageError, match="Did you mean 'size'"):
        proofglass_task("testbed", {"figstep": {"sise": 3}}, crafted_on="testbed-linear")
    with pytest.raises(UsageError, match="needs gradients"):
        proofglass_task("testbed", "pgd", crafted_on="echo")
    with pytest.raises(UsageError, match=r"settings\.max_new_tokens"):
        proofglass_task("testbed", settings={"max_new_tokens": 0}, crafted_on="testbed-linear")
    with pytest.raises(UnknownName, match="testbed-linear"):
        VictimAPI("testbed-liner")
    with pytest.raises(UnknownName, match="not-refused"):
        judged("not-refuse")


def test_an_exported_log_is_scored_again_by_what_its_records_hold(scripted, tmp_path: Path) -> None:
    from inspect_ai import score
    from inspect_ai.log import read_eval_log

    from proofglass.inspect_ext.export import export
    from proofglass.inspect_ext.registered import judged

    rates, _, store = studied(tmp_path, "echo", plugs.OwnSpeck(), plugs.Lines(faults=True), judges=["not-refused"])
    (path,) = export(store, tmp_path / "inspect").logs
    log = score(read_eval_log(str(path)), [judged("not-refused"), judged("target-string")], action="overwrite")
    rate = rates["not-refused"]
    n, left_out, *told = counted(log, "not-refused")
    assert (n, left_out, told) == (rate.n, rate.failed, [rate.value, rate.low, rate.high])
    assert log.samples[1].scores["not-refused"].reason == "no_response"
    # A record does not hold the target: what a judge needs and has not is no 0.
    assert log.results.scores[1].scored_samples == 0
    assert log.samples[0].scores["target-string"].explanation == "the sample has no target"
