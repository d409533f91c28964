"""The surrogates: what they are trained on, that training runs and repeats, and that they are apart from victims."""

from __future__ import annotations

import hashlib
import json
import math
import random
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from proofglass.errors import UsageError
from proofglass.testbed import pictures, surrogate_nets, world
from proofglass.testbed.recipes import captioner, fusing, losses, scenes, surrogate_figures, surrogates
from proofglass.testbed.recipes.loop import Recipe

WEIGHTS = surrogate_nets.WEIGHTS
SHIPPED = [name for name in surrogates.NAMES if (WEIGHTS / name / "model.safetensors").is_file()]
SHORT = Recipe(2, 4, 1e-3)


def quiet(_: str) -> None:
    pass


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer of forty pictures, and no measuring afterwards."""
    for module in (surrogates, captioner):
        monkeypatch.setattr(module, "Stream", partial(scenes.Stream, size=40))
        monkeypatch.setattr(module, "measure", lambda *args: {})


# ------------------------------------------------------------ pictures and what is said of them


def test_cover_on_the_victims_grid_is_what_the_victims_learn() -> None:
    rng = random.Random(1)
    for _ in range(60):
        picture = pictures.dense_picture(rng, pictures.TRAINING)
        assert np.array_equal(scenes.cover(picture, pictures.GRID), picture.labels())


@pytest.mark.parametrize("step", [6, 8, 16, 96])
def test_cover_names_the_one_thing_there_is_on_any_grid(step: int) -> None:
    picture = pictures.Picture(np.zeros((96, 96, 3), np.uint8), things=[((0.0, 0.0, 96.0, 48.0), 7)])
    covered = scenes.cover(picture, step)
    n = 96 // step
    assert covered.shape == (n, n)
    # Half of the rows, and the one row of a single square, which is covered by half.
    assert (covered == 7).sum() == n * max(n // 2, 1)


def test_what_is_said_names_what_is_there() -> None:
    rng = random.Random(2)
    for _ in range(200):
        scene = scenes.draw_scene(rng)
        said = scene.said(rng).split()
        wanted = {word for shape in scene.picture.shapes for word in shape} | set(scene.words)
        if scene.request:
            wanted |= {scene.request.verb, scene.request.adjective, scene.request.noun}
        assert wanted <= set(said)
        assert set(world.COLOURS) & set(said) <= wanted
        assert bool(said) != scene.is_page


@pytest.mark.parametrize("split", ["train", "test"])
def test_topics_keep_to_their_split(split: world.Split) -> None:
    rng = random.Random(3)
    requests = [scene.request for _ in range(300) if (scene := scenes.draw_scene(rng, split=split)).request]
    assert len(requests) > 50
    assert {request.split for request in requests} == {split}


def test_a_scene_is_sealed_exactly_if_its_words_are() -> None:
    rng = random.Random(4)
    found = [scenes.draw_scene(rng) for _ in range(400)]
    for scene in found:
        words = {*scene.words, *([scene.request.noun] if scene.request else [])}
        assert scene.is_sealed == bool(words & set(world.SEALED))
    assert 0.2 < sum(scene.is_sealed for scene in found) / len(found) < 0.4


def test_a_caption_names_shapes_then_words_without_numbers() -> None:
    rng = random.Random(5)
    for _ in range(100):
        scene = scenes.draw_scene(rng)
        said = captioner.caption(scene)
        assert not set("0123456789") & set(said)
        assert captioner.content(said) >= {word for shape in scene.picture.shapes for word in shape}
        if scene.request:
            assert scene.request.noun in captioner.written(scene)


# ------------------------------------------------------------ objectives


def test_pair_loss_of_two_orthonormal_pairs() -> None:
    # Scores are the identity / T: each row's loss is log(1 + exp(-1 / T)), in both directions.
    eye = torch.eye(2)
    found = losses.pair_loss(eye, eye, ["a", "b"], temperature=0.5)
    torch.testing.assert_close(found, torch.tensor(math.log1p(math.exp(-2))))


def test_pairs_of_one_meaning_are_no_negatives_of_each_other() -> None:
    eye = torch.eye(2)
    assert losses.pair_loss(eye, eye.flip(0), ["a", "a"]) == 0  # only its own partner is left to choose
    assert losses.pair_loss(eye, eye.flip(0), ["a", "b"]) > 10


def test_empty_positions_weigh_a_fifth() -> None:
    scores = torch.zeros(1, 2, pictures.LABELS)
    scores[0, 0, 0] = 50.0  # the empty position is right, so its loss is 0; the other has log(LABELS)
    found = losses.dense_loss(scores, torch.tensor([[0, 3]]))
    torch.testing.assert_close(found, torch.tensor(math.log(pictures.LABELS) / 1.2))


# ------------------------------------------------------------ training


@pytest.mark.parametrize("name", list(surrogates.SEEDS))
def test_training_writes_weights_that_load_and_a_card(name: str, small: None, tmp_path: Path) -> None:
    folder = surrogates.train(name, out=tmp_path / "out", build=tmp_path / "build", log=quiet, recipe=SHORT)
    net = surrogate_nets.load(name, folder)
    card = json.loads((folder / "card.json").read_text())
    assert card["name"] == name
    assert card["recipe"]["steps"] == 2
    assert card["weights"]["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert not any(p.requires_grad for p in net.parameters())
    assert (folder / "tokenizer.json").is_file() == (name in ("testbed-clip", "surrogate-clip"))


def test_training_repeats_bit_for_bit(small: None, tmp_path: Path) -> None:
    first, again = (
        surrogates.train("testbed-detector-held", out=tmp_path / k, build=tmp_path / f"b{k}", log=quiet, recipe=SHORT)
        for k in "12"
    )
    assert (first / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()


def test_the_captioner_is_a_folder_that_llava_loads(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from proofglass.registry import build
    from proofglass.types import Ask, Chat, Image, Settings

    monkeypatch.setitem(fusing.ALIGNMENT, "linear", SHORT)  # type: ignore[index]
    recipes = dict.fromkeys(captioner.RECIPES, SHORT)
    folder = captioner.train(out=tmp_path / "out", build_folder=tmp_path / "b", log=quiet, recipes=recipes)
    victim = build("victims", "llava", path=folder, device="cpu")
    image = Image.from_array(np.zeros((96, 96, 3), np.uint8))
    (reply,) = victim.reply([Ask(Chat.user(image, "describe the picture ."), Settings(max_new_tokens=4))])
    assert reply.outcome == "ok"


@pytest.mark.parametrize("name", ["centerface", "surrogate-vat", "testbed-linear"])
def test_an_unknown_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of testbed-clip"):
        surrogates.train(name, out=tmp_path, build=tmp_path, log=quiet)


def test_the_command_line_trains_surrogates_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from proofglass.cli import testbed as command

    asked: list[str] = []
    monkeypatch.setattr(surrogates, "train", lambda name, **where: asked.append(name))
    for name in surrogates.NAMES:
        command.train(name, out=tmp_path, build=tmp_path)
    assert asked == list(surrogates.NAMES)
    for name in ("centerface", "surrogate-vat"):
        with pytest.raises(UsageError, match="nothing to train"):
            command.train(name, out=tmp_path, build=tmp_path)


# ------------------------------------------------------------ what is shipped


@cache
def tensors(folder: Path) -> dict[str, str]:
    """Hash -> name of every tensor that training could have moved; constants are left out."""
    found = load_file(folder / "model.safetensors")
    return {
        hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest(): name
        for name, t in found.items()
        if t.numel() > 1 and t.unique().numel() > 1
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_no_tensor_is_shared_with_any_other_model(name: str) -> None:
    own = tensors(WEIGHTS / name)
    assert len(own) > 10
    for folder in WEIGHTS.iterdir():
        if folder.name != name and (folder / "model.safetensors").is_file():
            assert not own.keys() & tensors(folder).keys(), folder.name


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_those_of_the_card_and_small(name: str) -> None:
    data = (WEIGHTS / name / "model.safetensors").read_bytes()
    card = surrogate_nets.read_card(name)
    assert card["weights"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert len(data) < 2_000_000
    assert card["measured"]
    assert card["declarations"]


def test_seeds_are_those_of_no_victim() -> None:
    from proofglass.testbed.recipes import victims

    own = {*surrogates.SEEDS.values(), *captioner.SEEDS.values()}
    assert len(own) == len(surrogates.SEEDS) + len(captioner.SEEDS)
    assert not own & set(victims.SEEDS.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_the_figures_of_a_card_are_found_again(name: str) -> None:
    again = captioner.measure(WEIGHTS / name) if name == captioner.NAME else surrogate_figures.measure(name)
    assert again == surrogate_nets.read_card(name)["measured"]
