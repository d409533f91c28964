"""T-PGD on tiny random models: format-checked, and the arithmetic of a step, of likeness and of the search's bounds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from attacker_models import Says, Yes, run, sample
from proofglass.attacks.text.t_pgd import TPGD
from proofglass.errors import UnsafeWeights, UsageError
from proofglass.testing.material import picture
from proofglass.types import Reply
from proofglass.types.tries import Tries
from tiny_masked import build

QUESTION = "how do i mend a kite ?"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("masked")
    return {family: build(root / family, family) for family in ("bert", "roberta", "classifier")}


@pytest.fixture(params=["bert", "roberta"])
def model(folders: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return folders[request.param]


def attack(model: Path, **more: object) -> TPGD:
    return TPGD(model, **{"judge": Yes(), "segments": 2, "steps": 6, **more})


def no() -> Says:
    return Says(lambda ask, k: "no")


def test_texts_are_asked_once_each_and_no_special_token_is_among_them(model: Path) -> None:
    victim = no()
    _, reply, _ = run(attack(model), victim, sample(QUESTION, picture(1)))
    asked = [ask.chat.last_text for ask in victim.asked]
    assert 2 <= len(asked) <= 2 * 7
    assert len(set(asked)) == len(asked)
    assert QUESTION not in asked
    assert not any("<" in text for text in asked)
    assert {ask.chat.images for ask in victim.asked} == {(picture(1),)}
    assert Tries.read(reply.reason) == Tries(len(asked))


def test_the_same_seed_finds_the_same_texts_and_another_others(model: Path) -> None:
    found = []
    for seed, name in ((3, "s1"), (3, "s1"), (4, "s1"), (3, "s2")):
        victim = no()
        one = sample(QUESTION)
        run(attack(model), victim, type(one)(name, one.dataset, one.chat), seed=seed)
        found.append([ask.chat.last_text for ask in victim.asked])
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert found[0] != found[3]


def test_it_stops_at_success_and_at_its_budget(model: Path) -> None:
    victim = Says(lambda ask, k: "yes" if k == 1 else "no")
    chat, reply, _ = run(attack(model), victim, sample(QUESTION))
    assert Tries.read(reply.reason) == Tries(2, 1, 2)
    assert chat == victim.asked[1].chat
    victim = no()
    run(attack(model, asks=2), victim, sample(QUESTION))
    assert len(victim.asked) == 2


def test_a_step_has_its_length_and_climbs(model: Path) -> None:
    # lr x T / 20 long, along the gradient of the loss: a tenth of it ends higher.
    local = attack(model, cover=False).local
    text = local.encoded(QUESTION)
    segment = local.begin(text, "x", init=1.0, cover=False)
    before, loss = segment.perturbation.detach().clone(), segment.loss.item()
    segment.step(0.1, 0.0)
    moved = segment.perturbation.detach() - before
    assert float(moved.norm()) == pytest.approx(0.1 * text.ids.shape[1] / 20, rel=1e-4)
    assert segment.loss.item() > loss
    assert not moved[0, ~text.free].any()


def test_the_perturbation_begins_within_init_over_the_number_of_values(model: Path) -> None:
    local = attack(model).local
    text = local.encoded(QUESTION)
    first = local.begin(text, "x", init=2.0, cover=False).perturbation
    bound = 2.0 / (text.ids.shape[1] * 32)
    assert 0.5 * bound < float(first.detach().abs().max()) <= bound


def test_the_model_is_left_as_it_was(model: Path) -> None:
    local = attack(model).local
    text = local.encoded(QUESTION)
    clean = local.model(input_ids=text.ids).logits.clone()
    local.begin(text, "x", init=9.0, cover=True).step(3.0, 0.001)
    torch.testing.assert_close(local.model(input_ids=text.ids).logits, clean)
    assert all(not p.requires_grad for p in local.model.parameters())


def test_one_token_is_covered_and_never_a_special_one(model: Path) -> None:
    local = attack(model).local
    text = local.encoded(QUESTION)
    for k in range(5):
        changed = (local.begin(text, str(k), init=1.0, cover=True).ids != text.ids)[0]
        assert int(changed.sum()) == 1
        assert bool(text.free[changed.nonzero()[0, 0]])


def test_likeness_is_1_of_a_text_with_itself_symmetric_and_0_of_nothing(model: Path) -> None:
    local = attack(model).local
    assert local.similarity(QUESTION, QUESTION) == pytest.approx(1, abs=1e-5)
    assert local.similarity(QUESTION, "gold drum") == pytest.approx(local.similarity("gold drum", QUESTION))
    assert local.similarity(QUESTION, "") == 0.0
    assert local.similarity(QUESTION, "red ? " * 500) < 1  # cut at what the model takes


def test_bounds_of_likeness_keep_texts_from_the_victim(model: Path) -> None:
    victim = no()
    _, _, end = run(attack(model, lower=0.9999, upper=1.0), victim, sample(QUESTION))
    assert not victim.asked
    assert "s1: nothing was asked; no text between similarity 0.9999 and 1 was found" in end.failure
    local, victim = attack(model).local, no()
    run(attack(model, upper=0.85), victim, sample(QUESTION))
    assert all(local.similarity(QUESTION, ask.chat.last_text) <= 0.85 for ask in victim.asked)
    with pytest.raises(ValueError, match="lower: expected at most upper"):
        attack(model, lower=0.9, upper=0.1)


def test_a_classifiers_loss_is_climbed_from_its_own_verdict(folders: dict[str, Path]) -> None:
    local = attack(folders["bert"], classifier=folders["classifier"], cover=False).local
    text = local.encoded(QUESTION)
    segment = local.begin(text, "x", init=1.0, cover=False)
    assert segment.label == int(local.task(input_ids=text.ids).logits.argmax())
    loss = segment.loss.item()
    segment.step(0.1, 0.0)
    assert segment.loss.item() > loss


@pytest.mark.parametrize(
    ("text", "why"), [("", "found none"), ("red " * 2500, "takes 40 tokens, the question has 2502")]
)
def test_an_empty_and_an_endless_question_cost_their_sample(model: Path, text: str, why: str) -> None:
    _, _, end = run(attack(model), no(), sample(text))
    assert why in end.failure


def test_odd_unicode_costs_nothing_or_its_sample(model: Path) -> None:
    for text in ("漢字 \u202e kite", "\x00 how"):
        _, reply, end = run(attack(model), no(), sample(text))
        assert reply is not None or "Error" in end.failure


def test_errors_of_the_victim_end_the_search_after_three(model: Path) -> None:
    victim = Says(lambda ask, k: Reply.error("the line is down"))
    _, reply, _ = run(attack(model), victim, sample(QUESTION))
    assert (reply.outcome, len(victim.asked)) == ("error", 3)


@pytest.mark.parametrize("fault", ["gone", "pickle", "classifier", "gpt2", "layers"])
def test_a_folder_that_is_no_masked_language_model_is_told(
    folders: dict[str, Path], tmp_path: Path, fault: str
) -> None:
    folder = tmp_path / "m"
    if fault != "gone":
        shutil.copytree(folders["classifier" if fault == "classifier" else "bert"], folder)
    if fault == "pickle":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    if fault == "gpt2":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "architectures": ["GPT2LMHeadModel"]}))
    with pytest.raises((UsageError, UnsafeWeights), match="t-pgd"):
        _ = attack(folder, **({"perturb_layer": 2} if fault == "layers" else {})).local


def test_a_classifier_of_another_shape_is_told(folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=r"t-pgd.classifier: .*expected those of the model: roberta"):
        _ = attack(folders["roberta"], classifier=folders["classifier"]).local


def test_another_folder_is_another_key(folders: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(folders["bert"], tmp_path / "copy")
    key = attack(Path(copy)).key
    (Path(copy) / "config.json").write_text((Path(copy) / "config.json").read_text() + " ")
    assert attack(Path(copy)).key != key
    assert attack(Path(copy)).looks_through == "gradients of its local masked language model"
