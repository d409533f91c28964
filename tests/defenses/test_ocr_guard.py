"""The guard that reads: what is read goes through a judge, and what cannot be read is never safe."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from defenses.scripted_models import Holds, lines
from proofglass.defenses.inference import ocr_guard
from proofglass.defenses.inference.guard_input import REFUSAL
from proofglass.defenses.inference.ocr_guard import OcrGuard
from proofglass.errors import MissingExtra
from proofglass.evaluation.judges.forbidden_phrases import ForbiddenPhrases
from proofglass.evaluation.judges.guard import Guard
from proofglass.evaluation.judges.refusal import Refusal
from proofglass.evaluation.judges.unsafe import Unsafe
from proofglass.images import typography
from proofglass.types import Ask, Chat, Image, Layout
from proofglass.victims.testbed import TestbedVictim

DOOR = Holds({"door": 0.9, "window": 0.4})
LAYOUT = Layout(width=240, height=120, font="DejaVuSans", size=16, spacing=4, wrap=20, steps=2)


def drawn(text: str) -> Image:
    return typography.render(text, LAYOUT).image


def plain(seed: int) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def reading(guard: OcrGuard, texts: dict[str, str]) -> OcrGuard:
    """`guard` with a reader that knows these pictures only; any other one raises KeyError."""
    guard.__dict__["_reads"] = lambda image: texts[image.sha256]
    return guard


def test_what_is_read_in_any_picture_is_judged_and_the_users_words_are_not() -> None:
    judge = Holds({"door": 0.9})
    a, b = plain(0), plain(1)
    guard = reading(OcrGuard(judge, threshold=0.5), {a.sha256: "the wall", b.sha256: "open the\ndoor"})
    victim = lines("fine")
    (reply,) = guard(victim).reply([Ask(Chat.user(a, "do what it says").say("which ?").ask(b, "that"))])
    assert (reply.outcome, reply.text, victim.asked, reply.cost.queries) == ("blocked", REFUSAL, [], 0)
    assert reply.decisions[0].margin == pytest.approx(0.4)
    (attempt,) = judge.seen
    assert attempt.reply.text == attempt.sample.question == attempt.conversation.last_text == "the wall\nopen the\ndoor"


def test_harmless_text_and_no_text_pass_as_they_are() -> None:
    image = plain(0)
    asks = [Ask(Chat.user(image, "the door ?")), Ask(Chat.user("the door ?"))]
    for read, reason in (("", "no text"), (" \n", "no text"), ("a window", "holds, probability")):
        victim = lines("fine")
        seen, unseen = reading(OcrGuard(DOOR, threshold=0.5), {image.sha256: read})(victim).reply(asks)
        assert victim.asked == asks
        assert (seen.text, seen.decisions[0].reason) == ("fine", reason)
        assert unseen.decisions[0].reason == "no picture"


def test_a_reader_that_fails_and_a_text_that_cannot_be_judged_cost_their_sample() -> None:
    known, unknown = plain(0), plain(1)
    guard = reading(OcrGuard(DOOR), {known.sha256: "an odd text"})
    odd, failed = guard(lines("fine")).reply([Ask(Chat.user(image, "so")) for image in (known, unknown)])
    assert (odd.outcome, failed.outcome) == ("error", "error")
    assert "it is odd" in odd.reason
    assert "KeyError" in failed.reason


def test_a_picture_that_comes_again_is_not_read_again() -> None:
    count, image = [0], plain(0)

    def read(_: Image) -> str:
        count[0] += 1
        return "a wall"

    guard = OcrGuard(DOOR)
    guard.__dict__["_reads"] = read
    guard(lines("fine")).reply([Ask(Chat.user(image, "so")), Ask(Chat.user(image, "and"))])
    assert count == [1]


def test_the_control_reads_what_an_attack_drew_and_nothing_else() -> None:
    guard = OcrGuard(ForbiddenPhrases(("open the door",)), reader="truth")
    blocked, passed = guard(lines("fine")).reply(
        [Ask(Chat.user(image, "so")) for image in (drawn("steps to open the door"), plain(1))]
    )
    assert blocked.outcome == "blocked"
    assert (passed.text, passed.decisions[0].reason) == ("fine", "no text")


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (Refusal(), "finds something bad"),
        (Unsafe(), "judges replies"),
        (Guard("llavaguard", lines("{}")), "judges pictures"),
        (Guard("llama-guard-4", lines("safe")), "judges replies"),
    ],
)
def test_a_judge_of_something_else_is_refused(judge, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"judge: .*{message}"):
        OcrGuard(judge)


def test_without_its_reader_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from proofglass.images import ocr

    monkeypatch.setattr(ocr, "find_spec", lambda package: None)
    monkeypatch.setattr(ocr, "version", lambda package: (_ for _ in ()).throw(ocr.PackageNotFoundError(package)))
    with pytest.raises(MissingExtra, match=r"pip install rapidocr onnxruntime$"):
        _ = OcrGuard(DOOR).key
    with pytest.raises(MissingExtra, match=r"^ocr-guard: rapidocr and onnxruntime not installed"):
        OcrGuard(DOOR).text_of(plain(0))


def test_its_key_holds_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    for version in ("1", "2"):
        monkeypatch.setattr(ocr_guard, "reader_version", lambda version=version: version)
        keys.append(OcrGuard(DOOR).key)
    assert len({*keys, OcrGuard(DOOR, reader="truth").key}) == 3


@pytest.mark.skipif(find_spec("rapidocr") is None, reason="needs the extra real: rapidocr is not installed")
def test_rapidocr_finds_the_words_of_figstep() -> None:
    guard = OcrGuard(ForbiddenPhrases(("open the door",)))
    (reply,) = guard(lines("fine")).reply([Ask(Chat.user(drawn("open the door"), "so"))])
    assert reply.outcome == "blocked"


def test_figstep_on_the_testbed_is_read() -> None:
    from proofglass.registry import build
    from proofglass.testbed import world
    from proofglass.types import Sample

    victim = TestbedVictim(device="cpu")
    data = build("datasets", "testbed", part="typographic", n=8, craft_n=2)
    attack = build("attacks", "figstep")
    (artefact,) = attack.craft(victim, list(data.crafting()), seed=0)
    asks = [Ask(attack.apply(artefact, row)) for row in data if isinstance(row, Sample)]
    guard = OcrGuard(ForbiddenPhrases(world.SEALED), reader="truth")
    assert [reply.outcome for reply in guard(lines("fine")).reply(asks)] == ["blocked"] * 8
