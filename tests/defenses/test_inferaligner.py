"""InferAligner: golden gates and shifts, the identity, what is refused, and what an attacker sees through it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defenses.layered import Written, crafting, judged, victim_of
from proofglass import Stack
from proofglass.attacks.image.pgd import PGD
from proofglass.defenses.inference.inferaligner import InferAligner, gate_of
from proofglass.defenses.inference.system_prompt import SystemPrompt
from proofglass.defenses.vectors import middle
from proofglass.engine import TargetNLL
from proofglass.errors import UsageError
from proofglass.interfaces import Victim, WhiteBoxVictim, innermost, opened_through
from proofglass.testing.material import Scripted
from proofglass.types import Ask, Chat, Settings
from proofglass.victims.own import OwnModule
from toy_module import Toy

SIX = Settings(max_new_tokens=6)


def chat(text: str) -> Chat:
    return Chat.user(text)


# harmful (3,1,0), (1,3,0); harmless (1,0,0), (-1,0,0): m = (2,2,0), s = m / |m|, b = -(sqrt 8 + 0) / 2
STATES = {
    "bad one": [(3.0, 1.0, 0.0)],
    "bad two": [(1.0, 3.0, 0.0)],
    "good one": [(1.0, 0.0, 0.0)],
    "good two": [(-1.0, 0.0, 0.0)],
    "asked": [(2.0, 1.0, 5.0)],
    "harmless": [(1.0, 0.0, -4.0)],
    "edge": [(2.0, 0.0, 0.0)],
}
BAD, GOOD = [chat("bad one"), chat("bad two")], [chat("good one"), chat("good two")]
# What is added is another model's: m = (0, .6, -.8).
ALIGNED = Written(
    {"bad one": [(0, 0.6, -0.8)], "bad two": [(0, 0.6, -0.8)], "good one": [(0.0,) * 3], "good two": [(0.0,) * 3]}
)


@pytest.fixture
def golden(tmp_path: Path) -> tuple[InferAligner, Written]:
    model = Written(STATES)
    fitted = InferAligner.fit(model, BAD, GOOD, folder=tmp_path, aligned=replace(ALIGNED, name="aligned"))
    return replace(fitted, layers=(0,)), model


def test_the_gate_and_the_shift_are_those_of_the_formulas(golden: tuple[InferAligner, Written]) -> None:
    defense, model = golden
    gates = defense.gates(model)
    states = model.hidden_states([chat("asked"), chat("harmless")], [0])
    torch.testing.assert_close(gates.margins(model, states)[:, 0], torch.tensor([0.7071068, -0.7071068]))
    asked, harmless = defense(model).reply([Ask(chat("asked")), Ask(chat("harmless"))])
    assert asked.text == "2 3.4 1.8"  # + 4 x (0, .6, -.8)
    assert harmless.text == "1 0 -4"
    (decision,), (other,) = asked.decisions, harmless.decisions
    assert (decision.fired, other.fired) == (True, False)
    assert decision.margin == pytest.approx(0.7071068)
    assert decision.reason == "gates open: layer 0"
    assert other.reason == ""
    assert (asked.cost.queries, asked.cost.forward) == (1, 1)  # the pass that the gate takes is counted


def test_a_margin_of_exactly_zero_opens_nothing(golden: tuple[InferAligner, Written]) -> None:
    defense, model = golden  # (2,0,0) . s = sqrt 2 = -b, up to rounding: a threshold takes away what is left
    at = defense.gates(model).margins(model, model.hidden_states([chat("edge")], [0])).item()
    (reply,) = replace(defense, threshold=at)(model).reply([Ask(chat("edge"))])
    assert (reply.text, reply.decisions[0].fired, reply.decisions[0].margin) == ("2 0 0", False, 0.0)


@settings(max_examples=25)
@given(st.floats(-50, 50), st.floats(-3, 3), st.floats(-3, 3))
def test_what_is_orthogonal_to_the_vector_moves_no_gate(far: float, x: float, y: float) -> None:
    high, low = (
        torch.tensor([[(3.0, 1.0, 0.0)], [(1.0, 3.0, 0.0)]]),
        torch.tensor([[(1.0, 0.0, 0.0)], [(-1.0, 0.0, 0.0)]]),
    )
    srv, bias, _ = gate_of(high, low)
    beside = torch.tensor([far, -far, 3 * far])  # . (1,1,0) = 0
    state = torch.tensor([x, y, 1.0])
    for each in (state, state + beside):
        torch.testing.assert_close(each @ srv[0] + bias[0], state @ srv[0] + bias[0], atol=1e-4, rtol=1e-4)


def test_a_share_of_false_alarms_sets_the_bias() -> None:
    low = torch.arange(100.0).reshape(100, 1, 1)
    srv, bias, accuracy = gate_of(torch.full((10, 1, 1), 200.0), low, false_alarms=0.05)
    assert int((low @ srv[0] + bias > 0).sum()) == 5
    assert accuracy.item() == pytest.approx((1 + 0.95) / 2)


def test_the_best_layer_drives_all(tmp_path: Path) -> None:
    # Layer 1 tells the kinds apart, layer 0 half of the time.
    table = {
        "bad one": [(3.0, 0.0), (1.0, 0.0)],
        "bad two": [(0.0, 0.0), (1.0, 0.0)],
        "good one": [(0.5, 0.0), (0.0, 0.0)],
        "good two": [(0.0, 0.0), (0.0, 0.0)],
        "asked": [(-9.0, 0.0), (2.0, 0.0)],
    }
    model = Written(table)
    fitted = replace(InferAligner.fit(model, BAD, GOOD, folder=tmp_path), layers=(0, 1), alpha=1)
    each, best = (
        fitted(model).reply([Ask(chat("asked"))]),
        replace(fitted, gate="best_layer")(model).reply([Ask(chat("asked"))]),
    )
    assert each[0].text == "-9 0 | 3 0"
    assert best[0].text == "-8 0 | 3 0"
    assert best[0].decisions[0].reason == "gates open: layer 1"


def test_a_prompt_that_cannot_be_read_costs_itself_and_is_never_answered_unguarded(golden: Any) -> None:
    defense, model = golden
    good, bad, again = defense(model).reply([Ask(chat("asked")), Ask(chat("unwritten")), Ask(chat("asked"))])
    assert good == again
    assert bad.outcome == "error"
    assert "no state is written for 'unwritten'" in bad.reason
    assert bad.decisions == ()


def test_vectors_without_length_or_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="both kinds look alike"):
        InferAligner.fit(Written(STATES), BAD, BAD, folder=tmp_path)
    with pytest.raises(ValueError, match="harmful: expected at least one"):
        InferAligner.fit(Written(STATES), [], GOOD, folder=tmp_path)
    with pytest.raises(ValueError, match="harmless: expected chats or samples, found a str"):
        InferAligner.fit(Written(STATES), BAD, ["good one"], folder=tmp_path)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="false_alarms: expected a share from 0 to 1, found 5"):
        InferAligner.fit(Written(STATES), BAD, GOOD, folder=tmp_path, false_alarms=5)
    broken = Written({**STATES, "bad two": [(float("nan"), 0.0, 0.0)]})
    with pytest.raises(ValueError, match="not finite; nothing was written"):
        InferAligner.fit(broken, BAD, GOOD, folder=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_state_that_is_no_number_is_an_error_and_opens_no_gate(golden: Any) -> None:
    defense, _ = golden
    model = Written({**STATES, "nan": [(float("nan"), 0.0, 0.0)]})
    card = json.loads((defense.vectors / "card.json").read_text())
    card["model"]["key"] = model.key
    (defense.vectors / "card.json").write_text(json.dumps(card))
    (reply,) = defense(model).reply([Ask(chat("nan"))])
    assert reply.outcome == "error"
    assert "not a number" in reply.reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda card: card["model"].update(key="0" * 16), "model: fitted on 'written' .*says nothing of another"),
        (lambda card: card.update(defense="astra"), "defense: expected 'inferaligner', found 'astra'"),
        (lambda card: card.pop("model"), "cannot be read as a card"),
    ],
)
def test_vectors_of_another_model_or_defense_are_refused(golden: Any, change: Any, said: str) -> None:
    defense, model = golden
    file = defense.vectors / "card.json"
    card = json.loads(file.read_text())
    change(card)
    file.write_text(json.dumps(card))
    for use in (defense, defense.opened):
        with pytest.raises(UsageError, match=said):
            use(model)


def test_missing_and_broken_files_are_named(golden: Any) -> None:
    defense, model = golden
    (defense.vectors / "vectors.safetensors").write_bytes(b"junk")
    with pytest.raises(UsageError, match=r"vectors\.safetensors: cannot be read"):
        defense(model)
    (defense.vectors / "vectors.safetensors").unlink()
    with pytest.raises(UsageError, match=r"vectors\.safetensors: cannot be read"):
        defense(model)
    with pytest.raises(UsageError, match=r"card\.json: cannot be read as a card"):
        replace(defense, vectors=defense.vectors / "nowhere")(model)


def test_an_aligned_model_of_another_shape_and_a_layer_too_many_are_refused(golden: Any, tmp_path: Path) -> None:
    defense, model = golden
    wide = Written({text: [(*rows[0], 1.0)] for text, rows in STATES.items()}, name="wide")
    with pytest.raises(UsageError, match=r"aligned: expected \[1, 3\] .* found \[1, 4\] in 'wide'"):
        InferAligner.fit(model, BAD, GOOD, folder=tmp_path, aligned=wide)
    with pytest.raises(UsageError, match=r"layers: expected 0 to 0, found \[7\]"):
        replace(defense, layers=(7,))(model)


@pytest.mark.parametrize("victim", [Scripted(), OwnModule(Toy())], ids=["replies only", "closed layers"])
def test_a_victim_without_open_layers_is_refused_before_it_is_asked(golden: Any, victim: Victim) -> None:
    with pytest.raises(UsageError, match=r"inferaligner: .*layers"):
        golden[0](victim)


def test_the_middle_layers_are_those_of_the_paper_at_its_depth() -> None:
    assert middle(32) == tuple(range(12, 25))
    assert middle(4) == (2, 3)
    assert middle(1) == (0,)


# ---------------------------------------------------------------- on the testbed


@pytest.fixture(scope="module")
def cross() -> WhiteBoxVictim:
    return victim_of("testbed-cross")


@pytest.fixture(scope="module")
def fitted(cross: WhiteBoxVictim, tmp_path_factory: pytest.TempPathFactory) -> InferAligner:
    bad, good = crafting("restricted-image"), crafting("benign-image")
    found = InferAligner.fit(cross, bad, good, folder=tmp_path_factory.mktemp("vectors"))
    return replace(found, gate="best_layer", alpha=10.0)


def test_vectors_are_of_the_weights_wherever_these_run(cross: WhiteBoxVictim, fitted: InferAligner) -> None:
    elsewhere = victim_of("testbed-cross", device="auto")
    assert elsewhere.key != cross.key
    assert fitted.gates(elsewhere).layers == fitted.gates(cross).layers
    with pytest.raises(UsageError, match="fitted on 'testbed-cross'"):
        fitted(victim_of("testbed-cross-strict"))


def some(cross: WhiteBoxVictim) -> list[Ask]:
    parts = ("restricted-image", "benign-image", "typographic", "benign")
    return [Ask(sample.chat, SIX) for part in parts for sample in judged(part, 2)]


def test_without_strength_it_is_the_identity_token_for_token(cross: WhiteBoxVictim, fitted: InferAligner) -> None:
    asks = some(cross)
    plainly, shut = cross.reply(asks), replace(fitted, alpha=0.0)(cross).reply(asks)
    assert [(r.text, r.finish, r.cost.tokens_out) for r in shut] == [
        (r.text, r.finish, r.cost.tokens_out) for r in plainly
    ]
    never = replace(fitted, threshold=1e6)(cross).reply(asks)  # all gates are shut
    assert [r.text for r in never] == [r.text for r in plainly]
    assert not any(decision.fired for reply in never for decision in reply.decisions)


def test_its_gate_is_that_of_each_prompt_whatever_shares_the_batch(cross: WhiteBoxVictim, fitted: InferAligner) -> None:
    asks = some(cross)
    together = fitted(cross).reply(asks)
    assert {reply.decisions[0].fired for reply in together} == {True, False}
    for ask, reply in zip(asks, together, strict=True):
        (alone,) = fitted(cross).reply([ask])
        assert (alone.text, alone.decisions[0].fired) == (reply.text, reply.decisions[0].fired)


def test_in_a_stack_it_acts_inside_the_model_wherever_it_stands(cross: WhiteBoxVictim, fitted: InferAligner) -> None:
    policy, asks = SystemPrompt("check the picture ."), some(cross)[:4]
    one, other = Stack((fitted, policy))(cross), Stack((policy, fitted))(cross)
    texts = [reply.text for reply in one.reply(asks)]
    assert texts == [reply.text for reply in other.reply(asks)]
    seen = opened_through(Stack((policy, fitted)), cross)
    assert seen is not None
    assert innermost(one) is innermost(other) is innermost(seen) is cross
    assert [reply.text for reply in seen.reply(asks)] == texts
    assert sum(reply.cost.queries for reply in one.reply(asks)) == len(asks)


def pairs_of(n: int = 2) -> Any:
    """Rows whose pairs meet other gates: a sealed request and a harmless one about one picture."""
    sealed, craft = judged("restricted-image", n), judged("benign-image", n)
    return [
        [(one.chat, one.target), (other.chat.with_image(one.chat.images[0]), other.target)]
        for one, other in zip(sealed, craft, strict=True)
    ]


@pytest.mark.parametrize("weighting", ["token", "pair", "sum"])
def test_losses_are_of_each_pair_behind_its_own_gate(
    cross: WhiteBoxVictim, fitted: InferAligner, weighting: Any
) -> None:
    pairs, view = pairs_of(), fitted.opened(cross)
    x = torch.cat([cross.pixels(row[0][0].images[0]) for row in pairs])
    gates = fitted.gates(cross)
    found = view.loss_and_grad(x, view.prepare(pairs), weighting=weighting)
    logits = view.target_logits(x, view.prepare(pairs))
    fired = []
    for b, row in enumerate(pairs):
        for p, (asked, target) in enumerate(row):
            states, _ = cross.prompt_states(x[b : b + 1], cross.prepare([[(asked, target)]]), gates.layers)
            fired.append(bool((gates.margins(cross, states) > 0).any()))
            assert gates.vectors is not None
            with cross.steering(gates.vectors((fired[-1],)) or {0: torch.zeros(cross.embedding_width)}):
                alone = cross.loss_and_grad(x[b : b + 1], cross.prepare([[(asked, target)]]))
                (own,) = cross.target_logits(x[b : b + 1], cross.prepare([[(asked, target)]]))
            torch.testing.assert_close(found.nll[b, p], alone.nll[0, 0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(logits[b][p], own[0], rtol=1e-3, atol=1e-4)
    assert set(fired) == {True, False}
    each = found.nll * torch.tensor([[len(own) for own in row] for row in logits])
    tokens = torch.tensor([[float(len(own)) for own in row] for row in logits])
    wanted = {"token": each.sum(1) / tokens.sum(1), "pair": found.nll.mean(1), "sum": each.sum(1)}[weighting]
    torch.testing.assert_close(found.loss, wanted)


def test_the_margin_and_its_gradient_are_those_of_the_gate(cross: WhiteBoxVictim, fitted: InferAligner) -> None:
    view = opened_through(Stack((SystemPrompt("check the picture ."), fitted)), cross)
    assert view is not None
    assert view.gated
    samples = judged("restricted-image", 2)
    chats = [sample.chat for sample in samples]
    x = torch.cat([cross.pixels(chat.images[0]) for chat in chats]).clamp(0.01, 0.99)
    margin, grad = view.margin_and_grad(x, chats)
    decided = [reply.decisions[0].margin for reply in view.reply([Ask(chat, SIX) for chat in chats])]
    torch.testing.assert_close(view.margin_and_grad(torch.cat([cross.pixels(c.images[0]) for c in chats]), chats)[0],
                               torch.tensor(decided), rtol=1e-3, atol=1e-2)  # fmt: skip
    way = 1e-3 * grad.sign()
    ahead, behind = (view.margin_and_grad(x + side * way, chats)[0] for side in (1, -1))
    torch.testing.assert_close((grad * 2 * way).sum((1, 2, 3)), ahead - behind, rtol=0.05, atol=1e-4)
    assert float(margin.min()) > 0


def test_an_attacker_who_knows_it_passes_the_gate_that_stops_one_who_does_not(
    cross: WhiteBoxVictim, fitted: InferAligner
) -> None:
    # The same steps on the bare model and through the defense, both shown to the defended victim: the gate of the last
    # layer, which pixels can move (that of the first reads the words, and holds).
    samples, late = judged("restricted-image", 4), replace(fitted, gate="layer", layers=(3,))
    attack, view = PGD(epsilon=24 / 255, steps=25, step_size=3 / 255, select="last"), late.opened(cross)
    fired, margins = [], []
    for at in (cross, view):
        made = attack.craft(at, samples, seed=1)
        chats = [attack.apply(found, sample) for found, sample in zip(made, samples, strict=True)]
        decisions = [reply.decisions[0] for reply in late(cross).reply([Ask(chat, SIX) for chat in chats])]
        fired.append(sum(decision.fired for decision in decisions))
        margins.append([decision.margin or 0 for decision in decisions])
    assert fired[1] < fired[0], margins


def test_a_descent_through_it_pays_for_the_margin(cross: WhiteBoxVictim, fitted: InferAligner) -> None:
    view = fitted.opened(cross)
    (sample,) = judged("restricted-image", 1)
    pairs, x = [[(sample.chat, sample.target)]], cross.pixels(sample.chat.images[0])
    bare, through = TargetNLL(cross, pairs), TargetNLL(view, pairs)
    seen, margin = through(x, 0), view.margin_and_grad(x, [sample.chat])[0]
    loss = view.loss_and_grad(x, view.prepare(pairs)).loss
    torch.testing.assert_close(seen.loss, loss + 10 * (margin + 0.05) / (margin + 0.1))  # the gate is open
    assert (seen.forward, seen.backward) == (3, 2) == (through.price(True).forward, through.price(True).backward)
    assert (bare(x, 0).forward, bare.price(True).forward) == (1, 1)
