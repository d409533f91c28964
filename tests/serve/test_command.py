"""`proofglass serve`: what it refuses at the start, what it prints, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proofglass import serve as package
from proofglass.cli import serve as command
from proofglass.errors import UsageError
from proofglass.interfaces import Defended
from proofglass.serve import server as http
from proofglass.types import Ask, Chat, Reply
from serve.live import Live, Teller, everything, head


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    monkeypatch.delenv("PROOFGLASS_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("testbed-linaer",), "Did you mean"),
        (("testbed-linear", "--defense", "self-moderatoin"), "Did you mean"),
        (("testbed-linear", "--set", "colour=red"), "colour"),
        (("testbed-linear", "--set", "batch"), "expected FIELD=VALUE"),
        (("testbed-linear", "--set", "self-moderation.rounds=2"), "no --defense 'self-moderation' is named"),
        (("testbed-linear", "--defense", "self-moderation", "--set", "self-moderation.rounds=-1"), "rounds"),
        (("testbed-linear", "--defense", "jpeg + self-moderatoin"), "Did you mean 'self-moderation'"),
        (("testbed-linear", "--defense", "jpeg +"), "Expected names between the signs"),
        (("testbed-linear", "--defense", "jpeg: {qualty: 3}"), "Did you mean 'quality'"),
        (("testbed-linear", "--defense", "jpeg: 3"), "expected a name, or 'name: {parameter: value}'"),
        (("testbed-linear", "--defense", ""), "expected a name, or 'name: {parameter: value}'"),
        (("testbed-linear", "--defense", "jpeg + blur: {jpegg: {}}"), "no member of 'jpeg + blur'"),
        (("testbed-linear", "--defense", "jpeg + blur", "--set", "blurr.sigma=2"), "Did you mean 'blur'"),
        (("testbed-linear", "--defense", "jpeg + jpeg", "--set", "jpeg.quality=9"), "jpeg stands 2 times in the stack"),
        (
            ("testbed-linear", "--defense", "jpeg", "--defense", "blur + jpeg", "--set", "jpeg.quality=9"),
            "write it beside its name, 'jpeg: {quality: 9}'",
        ),
        (("testbed-linear", "--defense", "jpeg: {quality: 3}", "--set", "jpeg.quality=9"), "beside its name already"),
        (("testbed-linear", "--defense", "jpeg", "--set", "jpeg.quality=9", "--set", "jpeg.quality=8"), "set already"),
        (("testbed-linear", "--defense", "jpeg + guard-output"), "guard-output: needs --set judge=VALUE"),
        (("testbed-linear", "--host", "0.0.0.0", "--port", "0"), "a token of yours is needed"),
        (("testbed-linear", "--host", "no.such.host.example", "--port", "0"), "cannot be listened on"),
        (("testbed-linear", "--token-file", "no-such-file", "--port", "0"), "no-such-file: cannot be read"),
        (("testbed-linear", "--deadline", "0"), "deadline_s: expected more than 0"),
        (("testbed-linear", "--deadline", "inf"), "deadline_s: expected more than 0, and an end, found inf"),
        (("testbed-linear", "--name", "it's $(mine)"), '--name "it\'s $(mine)": expected letters'),
        (("llava", "--set", "path=no-such-folder", "--port", "0"), "no-such-folder"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_code_2(proofglass, words, message):
    code, out, err = proofglass("serve", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_port_that_is_taken_is_said_to_be(proofglass):
    with http.listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, err = proofglass("serve", "testbed-linear", "--port", port)
    assert code == 2
    assert f"--port {port}: cannot be listened on" in err


def test_a_missing_package_is_named_with_its_command(proofglass, monkeypatch):
    monkeypatch.setattr(package, "find_spec", lambda name: None if name == "uvicorn" else object())
    code, _, err = proofglass("serve", "testbed-linear")
    assert code == 2
    assert 'uvicorn not installed. Run: pip install -e ".[serve]"' in err


@pytest.mark.parametrize(
    "token", ["", "short", "sixteen letters and spaces", "sixteen-letters-\u00e9", "0123456789abcdef\x1b"]
)
def test_a_weak_token_is_refused(tmp_path, token, monkeypatch):
    monkeypatch.delenv("PROOFGLASS_TOKEN", raising=False)
    (tmp_path / "token").write_text(token)
    with pytest.raises(UsageError, match="at least 16 ASCII characters"):
        command.token_of(tmp_path / "token", True)


def test_a_token_comes_from_the_file_else_the_environment_else_is_made_up(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PROOFGLASS_TOKEN", "of-the-environment")
    file = tmp_path / "token"
    file.write_text("of-the-token-file\n")
    file.chmod(0o600)
    assert command.token_of(file, False) == ("of-the-token-file", False)
    assert command.token_of(None, False) == ("of-the-environment", False)
    monkeypatch.delenv("PROOFGLASS_TOKEN")
    (one, made), (other, _) = command.token_of(None, True), command.token_of(None, True)
    assert made
    assert one != other
    assert len(one) >= 32
    assert capsys.readouterr().err == ""
    file.chmod(0o644)
    command.token_of(file, True)
    assert "chmod 600" in capsys.readouterr().err


def test_a_path_of_the_command_line_is_a_path(tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("models:\n  openai-compatible/m: {input: 1, output: 2}\n")
    told = ["model=m", "base_url=http://127.0.0.1:9/v1", "budget_usd=1", f"prices={prices}", "cache=here", "ledger=l"]
    victim, _ = command.guarded("openai-compatible", [], told)
    assert (victim.prices, victim.cache, victim.ledger) == (prices, Path("here"), Path("l"))
    assert victim.card()["price"]["output"] == 2
    assert victim.ledger_folder.parent == Path("l")


def test_the_first_defense_is_the_innermost():
    victim, chain = command.guarded(
        "testbed-linear", ["self-moderation", "system-prompt"], ["batch=4", "system-prompt.mode=append"]
    )
    assert isinstance(victim, Defended)
    assert isinstance(victim.victim, Defended)
    assert (victim.defense.name, victim.defense.mode) == ("system-prompt", "append")
    assert (victim.victim.defense.name, victim.victim.victim.batch) == ("self-moderation", 4)
    assert chain == "system-prompt -> self-moderation -> testbed-linear"


def layers(victim):
    """The defenses around a victim, the outermost first."""
    found = []
    while isinstance(victim, Defended):
        found.append(victim.defense)
        victim = victim.victim
    return found


@pytest.mark.parametrize(
    ("lines", "given", "chain"),
    [
        (["jpeg + blur"], [], "jpeg -> blur"),
        (["blur", "jpeg"], [], "jpeg -> blur"),
        (["blur + none", "system-prompt + jpeg"], [], "system-prompt -> jpeg -> blur -> none"),
        ([], [], ""),
    ],
)
def test_the_last_defense_is_the_outermost_and_the_first_member_of_one(lines, given, chain):
    victim, told = command.guarded("testbed-linear", lines, given)
    assert told == " -> ".join(filter(None, [chain, "testbed-linear"]))
    assert " -> ".join(each.name for each in layers(victim)) == chain


def test_a_stack_is_served_with_its_fields_beside_the_names_or_by_set():
    words = "system-prompt + jpeg + guard-output"
    fence = "{forbidden-phrases: {phrases: [grimoil]}}"
    given = ["jpeg.quality=50", f"guard-output.judge={fence}", "batch=4", "system-prompt.text=a = b . c"]
    by_set, _ = command.guarded("testbed-linear", [words], given)
    beside = f"{words}: {{jpeg: {{quality: 50}}, guard-output: {{judge: {fence}}}, system-prompt: {{text: a = b . c}}}}"
    as_line, _ = command.guarded("testbed-linear", [beside], ["batch=4"])
    assert layers(by_set) == layers(as_line)
    assert [each.settings() for each in layers(by_set)][1] == {"quality": 50}
    assert by_set.key == as_line.key
    mixed, _ = command.guarded("testbed-linear", [f"guard-output: {{judge: {fence}}}", "system-prompt + jpeg"],
                               ["jpeg.quality=50", "system-prompt.text=a = b . c", "batch=4"])  # fmt: skip
    assert mixed.key == by_set.key
    (reply,) = by_set.reply([Ask(Chat.user("what is a grimoil ?"))])
    assert [each.defense for each in reply.decisions] == ["guard-output"]


def test_a_member_that_stands_twice_has_its_fields_beside_each_name():
    victim, _ = command.guarded("testbed-linear", ["jpeg: {quality: 50}", "blur + jpeg: {jpeg: {quality: 9}}"], [])
    assert [each.settings() for each in layers(victim)] == [{"sigma": 1.0}, {"quality": 9}, {"quality": 50}]


def test_a_model_that_fails_at_its_first_ask_is_not_served():
    def fails(ask):
        raise RuntimeError("no such weights")

    with pytest.raises(UsageError, match="cannot be loaded: RuntimeError: no such weights"):
        command.ask_once(Teller(fails))
    with pytest.raises(UsageError, match="did not answer a first ask: out of coffee"):
        command.ask_once(Teller(lambda ask: Reply.error("out of coffee")))


def test_help_shows_how_to_call_it_and_what_is_safe(proofglass):
    code, out, _ = proofglass("serve", "--help")
    told = " ".join(out.split())
    assert code == 0
    for words in (
        "OpenAI-compatible",
        "innermost",
        "outermost",
        "bearer token",
        "Ctrl-C finishes",
        "Examples:",
        "--defense NAME",
    ):
        assert words in told


def test_it_serves_until_ctrl_c_and_finishes_what_runs():
    process = subprocess.Popen(
        [sys.executable, "-m", "proofglass", "serve", "testbed-linear", "--defense", "self-moderation", "--port", "0",
         "--batch", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PROOFGLASS_TOKEN": ""},
    )  # fmt: skip
    watchdog = threading.Timer(90, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        printed = ""
        while "Ctrl-C" not in printed:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            printed += line
        (url,) = re.findall(r"^serving testbed-linear at (\S+)$", printed, re.M)
        (token,) = re.findall(r"^export PROOFGLASS_TOKEN=(\S+)", printed, re.M)
        assert printed.count(token) == 1
        assert "an ask passes self-moderation -> testbed-linear" in printed
        said = {"model": "testbed-linear", "messages": [{"role": "user", "content": "what is it?"}], "max_tokens": 60}
        body = json.dumps(said).encode()
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(Live(int(url.split(":")[2][:-3])).connect()) for _ in range(8)]
            for each in callers:
                each.sendall(head(len(body), "Connection: close", token=token) + body)
            answers = [everything(callers[0])]
            process.send_signal(signal.SIGINT)  # seven still wait: asks go one by one
            answers += [everything(each) for each in callers[1:]]
        _, err = process.communicate()
    finally:
        watchdog.cancel()
        process.kill()
    assert process.returncode == 0, err
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 8
    assert token not in err
    assert "what is it?" not in err
    assert err.count("POST /v1/chat/completions 200 ok") == 8
    assert err.rstrip().endswith("stopped")
