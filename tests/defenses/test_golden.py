"""Published numbers through the registered names: defaults, golden values, and what a method leaves unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conformance.fixtures import ALWAYS_ON, DISABLED
from defenses.counting import PICTURE, World, behind_an_api, chats
from defenses.layered import Written
from defenses.scripted_models import Lines, lines
from proofglass.defenses import mutators, vectors
from proofglass.defenses.inference import bluesuffix, hiddendetect, jailguard
from proofglass.interfaces import Defense, Encoder, Judge, Painter, WhiteBoxVictim
from proofglass.registry import build, entries
from proofglass.types import Ask, Attempt, Chat, Cost, Decision, Image, Reply, Score, Settings


def level(value: int) -> Image:
    return Image.from_array(np.full((4, 4, 3), value, np.uint8))


# ------------------------------------------------------------------------------------------------------- defaults

PUBLISHED: dict[str, dict[str, Any]] = {
    "self-moderation": {"rounds": 3, "affirmatives": ("yes", "sure")},  # not public: ours
    "inferaligner": {"alpha": 4.0, "layers": (), "gate": "layer", "threshold": 0.0, "normalize": True},  # not public
    "hiddendetect": {"threshold": None, "layers": ()},  # the authors publish no threshold
    "astra": {"alpha": 10.0},
    "coca": {"alpha": 4.0},
    "immune": {"k": 2, "weight": 0.5},  # the authors' code; their paper has k = 10
    "ecso": {"longest": 1927, "unsafe": ("yes", "yes.")},
    "adashield-static": {"layout": "query shield query", "separator": ""},
    "adashield": {"beta": 0.7, "layout": "query shield query", "separator": ""},
    "eta": {"post": 0.06, "pre": 0.16, "candidates": 5, "sentence_tokens": 70, "temperature": 1.5},
    "dps": {"longest": 20, "crops": "centre"},
    "jpeg": {"quality": 75},
    "bit-depth": {"bits": 3},
    "random-resize-pad": {"smallest": 299 / 331, "fill": 0.0},
    "smooth-vlm": {"copies": 10, "share": 0.1, "threshold": 0.5},  # SmoothLLM's; those of SmoothVLM are not public
    "jailguard": {"copies": 8, "longest": 100, "threshold": None},
    "mirrorcheck": {"threshold": 0.55, "noise": 5e-6, "stochastic": False},
    "cider": {"threshold": -0.00393677, "steps": 350, "every": 50},
    "bluesuffix": {"tokens": 10, "passes": 1},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_are_the_published_ones(name: str) -> None:
    plug = entries("defenses")[name].load()
    fields = plug.__dataclass_fields__
    assert {each: fields[each].default for each in PUBLISHED[name]} == PUBLISHED[name]


def test_constants_are_the_published_ones() -> None:
    assert (jailguard.OF_PICTURES, jailguard.OF_TEXTS) == (0.025, 0.02)
    assert (mutators.ROTATION, mutators.BLUR, mutators.POSTERISE) == (0.34, 0.45, 0.21)
    assert (mutators.PUNCTUATION, mutators.INSERTION, mutators.TRANSLATION) == (0.24, 0.52, 0.24)
    assert (bluesuffix.TEMPERATURE, bluesuffix.TOP_P, bluesuffix.FENCE) == (0.7, 0.92, "@@")
    assert len(set(hiddendetect.WORDS)) == 20
    assert vectors.middle(32) == tuple(range(12, 25))


# -------------------------------------------------------------------------------------------------- golden values


@dataclass(frozen=True)
class Cosines(Encoder):
    """The cosine of a picture with any text is what stands beside its level; of a text with any picture, beside it."""

    of: Mapping[Any, float] = field(default_factory=dict)
    name = "cosines"

    def features(self, pixels: torch.Tensor, layer: Any = "pooled") -> torch.Tensor:
        if not any(isinstance(key, int) for key in self.of):
            return torch.tensor([[1.0, 0.0]] * len(pixels), dtype=torch.float64)
        return self._at([round(float(x[0, 0, 0]) * 255) for x in pixels])

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        if any(isinstance(key, int) for key in self.of):
            return torch.tensor([[1.0, 0.0]] * len(texts), dtype=torch.float64)
        return self._at(texts)

    def _at(self, keys: Sequence[Any]) -> torch.Tensor:
        cosines = torch.tensor([self.of[key] for key in keys], dtype=torch.float64)
        return torch.stack([cosines, (1 - cosines**2).sqrt()], 1)


@dataclass(frozen=True)
class Steps(Painter):
    """Asked with a picture and k x 50 steps, it gives one k levels brighter."""

    name = "steps"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        found = [int(ask.chat.images[0].array()[0, 0, 0]) + int(ask.chat.last_text) // 50 for ask in asks]
        return [Reply(images=(level(each),), cost=Cost(queries=1)) for each in found]


@pytest.mark.parametrize(("threshold", "outcome"), [(-0.00393677, "ok"), (-0.00286865, "blocked")])
def test_g_ci1_a_fall_by_0_0039(threshold: float, outcome: str) -> None:
    falling = (0.2100, 0.2095, 0.2088, 0.2079, 0.2071, 0.2066, 0.2063, 0.2061)
    defense = build(
        "defenses", "cider", denoiser=Steps(), encoder=Cosines(dict(enumerate(falling))), threshold=threshold
    )
    (reply,) = defense(lines("the answer")).reply([Ask(Chat.user(level(0), "what ?"))])
    assert (reply.outcome, sum(cost.queries for cost in reply.helpers.values())) == (outcome, 7)
    assert reply.decisions[-1].margin == pytest.approx(threshold + 0.0039, abs=1e-9)


@pytest.mark.parametrize(("rate", "threshold"), [(0.95, -0.00265), (0.9, -0.0023)])
def test_g_ci2_the_threshold_is_a_percentile_of_clean_changes(rate: float, threshold: float) -> None:
    rows = [(0.20, 0.199, 0.198), (0.22, 0.2205, 0.2198), (0.19, 0.1885, 0.187), (0.25, 0.2495, 0.2492)]
    encoder = Cosines({10 * row + k: value for row, values in enumerate(rows) for k, value in enumerate(values)})
    defense = build("defenses", "cider", denoiser=Steps(), encoder=encoder, steps=100)
    fitted = defense.at_rate([Ask(Chat.user(level(10 * row), "what ?")) for row in range(4)], rate)
    assert fitted.threshold == pytest.approx(threshold, abs=1e-9)


@dataclass(frozen=True)
class Graded(Judge):
    """The reward of an answer is that of its last sentence."""

    rewards: Mapping[str, float]
    name = "graded"
    says = "good"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score(self.name, self.rewards[each.reply.text.split()[-1]]) for each in attempts]


def test_g_et1_the_reward_alone_then_with_a_share_of_the_similarity() -> None:
    # i = 1: .12 wins. i = 2: .10 + .15, .12 + .10, .11 + .12. i = 3: .10 + .10, .12 + .0667, .11 + .08.
    rewards = Graded({"bad": 0.0, "a.": 0.10, "b.": 0.12, "c.": 0.11})
    encoder = Cosines({"a.": 0.30, "b.": 0.20, "c.": 0.24, "unsafe": 0.9})
    defense = build("defenses", "eta", reward=rewards, encoder=encoder, candidates=3, sentences=3, unsafe="unsafe")
    victim = lines("bad", *[f"{each}. more" for each in "abc"] * 3)
    (reply,) = defense(victim).reply([Ask(Chat.user(level(0), "what ?"))])
    assert reply.text == f"{defense.prefix} b. a. a."
    assert reply.cost.queries == 1 + 3 * 3
    assert reply.decisions[-1].margin == pytest.approx(min(0.9 - 0.16, 0.06))


def test_g_et1_where_a_candidate_ends_the_answer_the_reward_alone_decides() -> None:
    rewards = Graded({"bad": 0.0, "a.": 0.10, "b.": 0.12, "c.": 0.11})
    encoder = Cosines({"a.": 0.30, "b.": 0.20, "c.": 0.24, "unsafe": 0.9})
    defense = build("defenses", "eta", reward=rewards, encoder=encoder, candidates=3, sentences=9, unsafe="unsafe")
    victim = lines("bad", *[f"{each}. more" for each in "abc"], "a. more", "b.", "c. more")
    (reply,) = defense(victim).reply([Ask(Chat.user(level(0), "what ?"))])
    assert (reply.text, reply.finish) == (f"{defense.prefix} b. b.", "stop")


@dataclass(frozen=True)
class Logits(Written):
    """Logits of the next token: those that `states` gives system prompt and text of a dialogue; of a state, itself."""

    def next_token_logits(self, chats: Sequence[Chat]) -> torch.Tensor:
        return torch.tensor([self.states[f"{chat.system}|{chat.last_text}"] for chat in chats])

    def target_logits(self, pixels: Any, prepared: Any) -> Any:
        raise AssertionError("nobody asks for a target here")

    def reply_by(self, asks: Any, rescored: Any, beside: Any = ()) -> Any:
        with_principle, without = (self.next_token_logits(each) for each in ([ask.chat for ask in asks], beside))
        found = rescored([(k, ()) for k in range(len(asks))], with_principle, without)
        return [Reply(str(int(row.argmax())), cost=Cost(queries=1)) for row in found]

    def read_out(self, states: torch.Tensor) -> torch.Tensor:
        return states

    def prompt_states(self, *given: Any, **more: Any) -> Any:
        raise AssertionError("nobody looks for a gradient here")

    def encode(self, text: str) -> list[int]:
        return [0]

    def decode(self, ids: Sequence[int]) -> str:
        return "sorry"


def test_g_co1_the_logits_go_beyond_what_the_principle_changes() -> None:
    model = Logits({"be safe|q": (2.0, 1.0, 0.0), "|q": (1.5, 1.6, 0.0)})  # type: ignore[dict-item]
    defense = build("defenses", "coca", principle="be safe")
    view = defense.opened(model)
    torch.testing.assert_close(view.next_token_logits([Chat.user("q")]), torch.tensor([[4.0, -1.4, 0.0]]))
    (reply,) = defense(model).reply([Ask(Chat.user("q"))])
    assert (reply.text, reply.cost.queries, reply.cost.forward) == ("0", 1, 1)


def saved(folder: Path, name: str, model: WhiteBoxVictim, **tensors: Any) -> Path:
    vectors.save(folder, name, model, {key: torch.tensor(value) for key, value in tensors.items()}, {})
    return folder


@pytest.mark.parametrize(("threshold", "outcome"), [(0.2, "blocked"), (0.5, "ok"), (0.6, "ok")])
def test_g_hd1_the_area_under_0_1_3_2(tmp_path: Path, threshold: float, outcome: str) -> None:
    # One refusal word, the first of two tokens: F of a state of length one is its first number.
    states = [(f, (1 - f * f) ** 0.5) for f in (0.0, 0.1, 0.3, 0.2)]
    model = Logits({"q": states})
    folder = saved(tmp_path, "hiddendetect", model, layers=[0, 1, 2, 3], words=[0], threshold=[9.0], fdv=[0.0] * 4)
    defense = build("defenses", "hiddendetect", found=folder, threshold=threshold)
    (reply,) = defense(model).reply([Ask(Chat.user("q"))])
    assert reply.decisions[0].margin == pytest.approx(0.5 - threshold, abs=1e-6)
    if threshold != 0.5:  # there rounding decides
        assert reply.outcome == outcome
        assert reply.cost.queries == (0 if outcome == "blocked" else 1)


def test_g_i1_the_gate_and_the_shift(tmp_path: Path) -> None:
    # s = (.7071068, .7071068, 0), b = -1.4142136; h = (2, 1, 5): +.7071068; h = (1, 0, -4): -.7071068.
    model = Written({"a": [(2.0, 1.0, 5.0)], "b": [(1.0, 0.0, -4.0)], "c": [(2.0, 1.0, -7.0)]})
    half = 0.5**0.5
    folder = saved(
        tmp_path, "inferaligner", model,
        srv=[[half, half, 0.0]], ssv=[[0.0, 0.6, -0.8]], bias=[-(2.0**0.5)], accuracy=[1.0],
    )  # fmt: skip
    defense = build("defenses", "inferaligner", vectors=folder, layers=(0,))
    opened, shut, moved = defense(model).reply([Ask(Chat.user(text)) for text in "abc"])
    assert (opened.text, shut.text, moved.text) == ("2 3.4 1.8", "1 0 -4", "2 3.4 -10.2")
    margins = [reply.decisions[0].margin for reply in (opened, shut, moved)]
    assert margins == pytest.approx([0.7071068, -0.7071068, 0.7071068], abs=1e-6)
    (off,) = replace(defense, alpha=0.0)(model).reply([Ask(Chat.user("a"))])
    assert (off.text, off.outcome) == ("2 1 5", "ok")


def test_astra_takes_away_what_leads_towards_v(tmp_path: Path) -> None:
    # h = (3, 4), h_ref = 0, v = (2, 0): cos = .6, |h| = 5, alpha .5: 3 - .5 . 5 . .6; behind the reference nothing.
    model = Written({"q": [(0.0, 0.0)]})
    folder = saved(tmp_path, "astra", model, vector=[[2.0, 0.0]], reference=[[0.0, 0.0]])
    (change,) = build("defenses", "astra", vectors=folder, alpha=0.5).steering(model).values()
    states = torch.tensor([[3.0, 4.0], [-3.0, 4.0], [0.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(change(states), torch.tensor([[1.5, 4.0], [-3.0, 4.0], [0.0, 4.0], [0.0, 0.0]]))


@pytest.mark.parametrize("name", ["inferaligner", "astra", "hiddendetect"])
def test_what_was_fitted_on_another_model_is_refused(tmp_path: Path, name: str) -> None:
    from conformance.fixtures import FITTED
    from proofglass.errors import UsageError

    model, other = Logits({"q": [(1.0, 0.0)]}), Logits({"q": [(0.0, 1.0)]})
    row, one = [[1.0, 0.0]], [1.0]
    folder = saved(
        tmp_path, name, model, srv=row, ssv=row, bias=one, accuracy=one, vector=row, reference=row,
        layers=[0], words=[0], threshold=one, fdv=one,
    )  # fmt: skip
    defense = build("defenses", name, **{FITTED[name]: folder})
    assert defense(model) is not None
    with pytest.raises(UsageError, match="fitted on"):
        defense(other)
    with pytest.raises(UsageError, match="gives replies only"):
        defense(lines("fine"))


def test_mirrorcheck_of_a_painter_that_gives_the_picture_back_has_a_cosine_of_one() -> None:
    world = World(0)
    defense = replace(world.member("mirrorcheck", 0), threshold=1.0)
    (reply,) = defense(lines("a caption", "the answer")).reply([Ask(Chat.user(PICTURE, "what ?"))])
    assert reply.text == "the answer"
    assert reply.decisions[0].margin == pytest.approx(0.0, abs=1e-6)


# ----------------------------------------------------------------------------------------------- what is unchanged

INNER = Reply(
    "the answer", "ok", "length", decisions=(Decision("inner", True, 0.3, 0.1, "why"),), reasoning="hm",
    cost=Cost(queries=1, tokens_in=3), choices={"Yes": 0.25},
)  # fmt: skip
PASSING: dict[str, dict[str, Any]] = {  # fields with which each lets an ask pass
    "guard-input": {}, "guard-output": {}, "ocr-guard": {}, "eta": {"pre": 1.0, "post": 0.0}, "ecso": {},
    "jailguard": {}, "mirrorcheck": {}, "cider": {},
}  # fmt: skip


@dataclass(frozen=True)
class Same(Lines):
    """Answers every ask with one and the same reply."""

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.asked.extend(asks)
        return [INNER] * len(asks)


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("chat", chats(), ids=["picture", "text", "turns"])
def test_a_gate_that_does_not_fire_delivers_the_very_reply(name: str, chat: Chat) -> None:
    world = World(0)
    object.__setattr__(world, "helper", lambda label, *said: Lines(("safe",), label))
    defense = replace(world.member(name, 0), **PASSING[name])
    (reply,) = defense(Same()).reply([Ask(chat, Settings(9))])
    assert reply.decisions[0] == INNER.decisions[0]
    assert not any(each.fired for each in reply.decisions[1:])
    shown = replace(reply, decisions=INNER.decisions, cost=INNER.cost, helpers=INNER.helpers)
    assert shown == INNER


@pytest.mark.parametrize("name", sorted(set(behind_an_api()) - ALWAYS_ON))
def test_switched_off_it_is_the_identity(name: str) -> None:
    defense: Defense = build("defenses", name, **DISABLED[name])
    for chat in [*chats(), Chat.user(PICTURE, "q").with_system("rules"), Chat.user(PICTURE), Chat.user("")]:
        victim, ask = Same(), Ask(chat, Settings(9, draw=2))
        (reply,) = defense(victim).reply([ask])
        assert (victim.asked, reply) == ([ask], INNER)
