"""`proofglass check`: the contract of a plug from the command line, and the suite behind it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from conformance import broken_plugs as plugs
from proofglass.cli.main import main
from proofglass.testing import suite


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable:
    """`check(*words)` -> (exit code, standard output, standard error) of `proofglass check WORDS`."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["proofglass", "check", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def test_a_sound_plug_passes_and_what_was_not_looked_at_says_so(check) -> None:
    code, out, err = check("defenses", "self-moderation")
    assert (code, err) == (0, "")
    marks = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    # 7 checks of every plug, 3 of a defense; how it is switched off was not said, and it does not open itself
    assert (marks.count("ok"), marks.count("?"), marks.count("FAILED")) == (10, 6, 0)
    assert "--off rounds=0" in out
    code, out, _ = check("defenses", "self-moderation", "--off", "rounds=0")
    assert (code, out.count("ok ")) == (0, 11)


def test_a_stack_is_checked_as_one_with_fields_of_its_members(check) -> None:
    off = ("--off", "jpeg.quality=null", "--off", "self-moderation.rounds=0")
    code, out, err = check("defenses", "jpeg + self-moderation: {jpeg: {quality: 50}}", *off)
    assert (code, err) == (0, "")
    assert "ok  disabled is the identity" in out
    code, out, _ = check("defenses", "jpeg + self-moderation", *off[:2])  # the other member still asks again
    assert code == 1
    assert "FAILED  disabled is the identity" in out
    code, out, err = check("defenses", "jpeg + conformance.broken_plugs:SafeOnError", "--set", "jpeg.quality=9")
    assert code == 1
    assert "FAILED  passes errors on" in out
    assert check("attacks", "figstep + defense-instruction: {figstep: {size: 12, font: DejaVuSans}}")[0] == 0


def test_what_a_plug_breaks_is_named_with_what_was_found_and_what_was_promised(check) -> None:
    code, out, err = check("defenses", "conformance.broken_plugs:SafeOnError", "--json")
    failed = [each for each in json.loads(out)["findings"] if each["ok"] is False]
    assert code == 1
    assert [each["check"] for each in failed] == ["says what it is", "passes errors on"]
    assert [each["measured"] for each in failed] == ["no docstring", "ask 1 failed silently"]
    assert failed[1]["meaning"].startswith("If asking fails, first or later, the outcome is an error")
    assert (
        err.strip() == "conformance.broken_plugs:SafeOnError: 2 of 16 checks failed: says what it is, passes errors on"
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("defenses", "no.such.module:Thing"), "cannot load no.such.module:Thing: No module named 'no'"),
        (("defenses", "conformance.broken_plugs:Suffix"), "is Suffix, which is no Defense"),
        (("defenses", "self-moderatoin"), "Did you mean 'self-moderation'"),
        (("defenses", "self-moderation", "--set", "rounds=-1"), "rounds: expected at least 0"),
        (("datasets", "safebench"), "needs --set root=VALUE"),
        (("defenses", "jpeg + nosuch"), "defense 'nosuch': no such defense"),
        (("defenses", "jpeg + no.such.module:Thing"), "cannot load no.such.module:Thing"),
        (
            ("defenses", "jpeg + blur", "--set", "quality=50"),
            "of which member? Expected MEMBER.FIELD=VALUE: jpeg, blur",
        ),
        (("defenses", "jpeg + blur", "--off", "quality=50"), "--off 'quality=50': of which member?"),
        (("defenses", "jpeg + jpeg", "--set", "jpeg.quality=50"), "jpeg stands 2 times in the stack"),
        (("defenses", "jpeg: {qualty: 50}"), "Did you mean 'quality'"),
        (("defenses", "jpeg", "--off", "nosuch=1"), "--off: JPEG.__init__() got an unexpected keyword"),
        (("defenses", "jpeg + blur", "--off", "blur.sigma=-1"), "--off: sigma: expected"),
    ],
)
def test_what_cannot_be_checked_is_a_line_and_exit_code_2(check, words: tuple[str, ...], why: str) -> None:
    code, out, err = check(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert why in err


@pytest.mark.parametrize(
    ("make", "broken"),
    [
        (plugs.Suffix, set()),
        (plugs.Counts, {"apply is pure", "apply survives the store"}),
        (plugs.Long, set()),
        (plugs.JudgesErrors, {"never judges an error"}),
        (plugs.Three, set()),
        (plugs.Scripted, set()),
        (plugs.Short, {"replies in order"}),
        (plugs.Sees, set()),
        (lambda: plugs.Sees("blind"), {"sees pixels"}),
    ],
    ids=["attack", "counting attack", "judge", "judge of errors", "data set", "victim", "short", "open", "blind"],
)
def test_every_kind_has_its_checks(make: Callable, broken: set[str]) -> None:
    found = list(suite.findings(suite.cases(make)))
    assert broken <= {each.check.partition(" (")[0] for each in found if each.ok is False}
    if not broken:
        assert {each.check: each.measured for each in found if not each.ok} == {}


def test_a_plug_that_raises_anything_fails_its_check_and_the_others_are_looked_at() -> None:
    class Leaves(plugs.Long):
        """Ends the process."""

        def one(self, attempt):
            raise SystemExit("bye")

    found = list(suite.findings(suite.cases(Leaves)))
    assert len(found) == 9
    failed = {each.check: each.measured for each in found if each.ok is False}
    assert set(failed) == {"scores every attempt", "never judges an error"}
    assert failed["scores every attempt"].startswith("SystemExit: bye (test_check.py:")


def test_what_a_check_found_is_cut_where_a_plug_gives_megabytes() -> None:
    def case() -> None:
        raise AssertionError("E" * 5_000_000)

    (found,) = suite.findings([suite.Case("says it all", case, "meaning")])
    assert found.measured.startswith("EEE")
    assert len(found.measured) < 600
