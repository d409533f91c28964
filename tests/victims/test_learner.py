"""A model whose weights learn: the same losses as the victim's, an adapter or all weights, and what was saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from proofglass.errors import ClosedVictim, TooLong, UsageError
from proofglass.interfaces import Learner, WhiteBoxVictim
from proofglass.registry import build
from proofglass.testing.material import picture
from proofglass.types import Ask, Chat, Settings
from proofglass.victims.hf_folder import HF
from proofglass.victims.own import OwnModule
from tiny_models import build as tiny
from toy_module import Toy

pytest.importorskip("peft", reason="needs peft")
FAMILIES = ("llava", "blip2", "idefics", "lm")


@pytest.fixture(scope="module", params=FAMILIES)
def victim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HF:
    return HF(tiny(request.param, tmp_path_factory.mktemp("tiny") / request.param), device="cpu")


def pairs(victim: WhiteBoxVictim) -> list[tuple[Chat, str]]:
    shown = [picture(3)] if victim.sees_images else []
    return [(Chat.user(*shown, "what is it ?"), "a kite"), (Chat.user("another thing"), "no , not at all .")]


def of_victim(victim: WhiteBoxVictim, given: list[tuple[Chat, str]]) -> torch.Tensor:
    prepared = victim.prepare([[pair] for pair in given], append_eos=True, slots=())
    return victim.loss_and_grad(None, prepared, weighting="sum", need_grad=False).loss


def sums(learner: Learner, rows: list[object]) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([nll.sum() for nll in learner.nll(rows)])


def taught(victim: WhiteBoxVictim, rank: int, steps: int = 3) -> tuple[Learner, list[object]]:
    learner = victim.learner(rank, 4.0, 0)
    rows: list[object] = [learner.row(*pair) for pair in pairs(victim)]
    optimiser = torch.optim.SGD(learner.parameters, lr=0.02)
    for _ in range(steps):
        torch.stack([nll.mean() for nll in learner.nll(rows)]).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    return learner, rows


@pytest.mark.parametrize("rank", [2, 0])
def test_it_begins_as_the_victim_learns_and_is_saved_as_it_learned(victim: HF, rank: int, tmp_path: Path) -> None:
    before = of_victim(victim, pairs(victim))
    fresh = victim.learner(rank, 4.0, 0)
    rows: list[object] = [fresh.row(*pair) for pair in pairs(victim)]
    torch.testing.assert_close(sums(fresh, rows), before)
    learner, rows = taught(victim, rank)
    after = sums(learner, rows)
    assert float((after - before).abs().min()) > 0.1
    with learner.untaught():
        torch.testing.assert_close(sums(learner, rows), before)
    torch.testing.assert_close(sums(learner, rows), after)
    learner.save(tmp_path / "learned")
    tuned = victim.tuned(tmp_path / "learned")
    torch.testing.assert_close(of_victim(tuned, pairs(victim)), after, rtol=1e-4, atol=1e-3)
    assert tuned.key != victim.key
    torch.testing.assert_close(of_victim(victim, pairs(victim)), before)  # the victim itself did not learn
    assert victim.tuned(tmp_path / "learned") is tuned  # its weights are loaded once


@pytest.mark.parametrize("rank", [2, 0])
def test_the_tower_never_learns_and_an_adapter_sits_in_the_decoder_layers(victim: HF, rank: int) -> None:
    learner = victim.learner(rank, 4.0, 0)
    learning = {name for name, p in learner.own.model.named_parameters() if p.requires_grad}  # type: ignore[attr-defined]
    assert learning
    assert not any("vision_model" in name or "vision_tower" in name for name in learning)
    if rank:
        assert all("lora_" in name and ".layers." in name for name in learning)
    else:
        assert not any("lora_" in name for name in learning)


def test_the_same_seed_gives_the_same_file_in_which_no_path_stands(victim: HF, tmp_path: Path) -> None:
    for name in ("a", "b"):
        learner, _ = taught(victim, 2)
        learner.save(tmp_path / name)
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    told = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert str(victim.folder) not in json.dumps(told)
    assert told["target_modules"] == sorted(told["target_modules"])
    other = victim.learner(2, 4.0, 1)
    assert any(
        bool((a != b).any()) for a, b in zip(other.parameters, victim.learner(2, 4.0, 0).parameters, strict=True)
    )


def test_rows_that_the_model_cannot_be_shown_are_refused_one_by_one(victim: HF) -> None:
    learner = victim.learner(2, 4.0, 0)
    with pytest.raises(TooLong):
        learner.row(Chat.user("a" * 300), "b")
    with pytest.raises(ValueError, match="target"):
        learner.row(Chat.user("a"), "")
    for chat, answer in ((Chat.user("\ud800"), "a"), (Chat.user("a"), "\ud800"), (Chat(()), "a")):
        with pytest.raises(ValueError, match=r"tokenised|empty conversation"):
            learner.row(chat, answer)
    if not victim.sees_images:
        with pytest.raises(ValueError, match="takes no picture"):
            learner.row(Chat.user(picture(3), "a"), "b")
    assert learner.answer(learner.row(Chat.user("a"), "bc"))[-1] == 2  # its end token


def test_a_control_token_in_an_answer_is_plain_text(victim: HF) -> None:
    learner = victim.learner(2, 4.0, 0)
    row = learner.row(Chat.user("a"), "<image> </s>")
    said = learner.answer(row)
    assert said[-1] == 2
    assert victim.decode(said[:-1]) == "<image> </s>"
    assert not {2, 3} & set(said[:-1])
    assert bool(sums(learner, [row]).isfinite())


def test_what_has_learned_already_is_not_trained_again(victim: HF, tmp_path: Path) -> None:
    learner, _ = taught(victim, 2, steps=1)
    learner.save(tmp_path)
    with pytest.raises(UsageError, match=r"adapter: .*merge it into the weights first"):
        victim.tuned(tmp_path).learner(2, 4.0, 0)
    with pytest.raises(UsageError, match="quantised: nf4"):
        HF(victim.path, device="cpu", quantised="nf4").learner(2, 4.0, 0)


def test_a_module_of_ones_own_keeps_its_weights_to_itself(tmp_path: Path) -> None:
    for ask in (lambda: OwnModule(Toy()).learner(2, 4.0, 0), lambda: OwnModule(Toy()).tuned(tmp_path)):
        with pytest.raises(ClosedVictim, match="does not open its weights"):
            ask()


@pytest.mark.parametrize("rank", [2, 0])
def test_a_testbed_victim_keeps_its_world_and_layout(rank: int, tmp_path: Path) -> None:
    victim = build("victims", "testbed-linear-naive", device="cpu")
    learner = victim.learner(rank, 4.0, 0)
    row = learner.row(Chat.user(picture(3, 96), "how do i mend a golden kite ?"), "sorry , no .")
    with torch.no_grad():
        for parameter in learner.parameters:
            parameter.add_(0.02 * torch.sign(parameter) + 0.01)
    learner.save(tmp_path / "learned")
    tuned = victim.tuned(tmp_path / "learned")
    assert (tuned.name, tuned.world, tuned.layout) == (victim.name, victim.world, victim.layout)
    assert len({victim.key, tuned.key}) == 2
    given = [(Chat.user(picture(3, 96), "how do i mend a golden kite ?"), "sorry , no .")]
    torch.testing.assert_close(of_victim(tuned, given), sums(learner, [row]), rtol=1e-4, atol=1e-3)
    asks = [Ask(Chat.user("hello ."), Settings(4))]
    assert tuned.reply(asks)[0].outcome == "ok"
