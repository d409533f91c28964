"""FARE and TeCoA: golden losses, the worst picture of a ball, a tower that alone learns, resumed to the last bit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from defenses.training.learned_from import Written, asked, gone
from proofglass.defenses.towers import Ball
from proofglass.defenses.training.fare import FARE
from proofglass.defenses.training.tecoa import TeCoA
from proofglass.defenses.tuning import CARD, CHECKPOINT, LEARNED
from proofglass.engine.progress import Pace, watched_by
from proofglass.errors import UsageError
from proofglass.interfaces import Encoder, TowerLearner, opened_through
from proofglass.registry import build
from proofglass.testing.material import Scripted
from proofglass.types import BadSample, Chat, Image, Sample
from proofglass.victims.hf.learner import is_of_tower
from proofglass.victims.hf.tower import HFTower
from proofglass.victims.hf_folder import HF
from tiny_models import build as tiny

UNIT = 64 / 255  # a level of 64 is an embedding of 1


class Toy(TowerLearner):
    """Embeds a picture as the mean of each channel, in units of 64 levels; what learns mixes the three."""

    def __init__(self, mix: Any = None, micro: int = 8) -> None:
        self.mix = torch.nn.Parameter(torch.eye(3) if mix is None else torch.tensor(mix))
        self.micro = micro

    @property
    def parameters(self) -> Sequence[torch.nn.Parameter]:
        return [self.mix]

    def pixels(self, image: Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image.array())).permute(2, 0, 1)[None].float() / 255

    def features(self, pixels: torch.Tensor, layer: str) -> torch.Tensor:
        return pixels.mean((2, 3)) / UNIT @ self.mix

    def original(self, pixels: torch.Tensor, layer: str) -> torch.Tensor:
        return pixels.mean((2, 3)) / UNIT

    def save(self, folder: Path) -> None:
        raise AssertionError("a toy is never saved")


@dataclass(frozen=True)
class Words(Encoder):
    """Shares the tower of a victim, or the toy's; the embedding of a text is drawn from it, or told."""

    tower: HF | None = None
    told: tuple[tuple[str, tuple[float, ...]], ...] = ()
    width: int = 3
    name = "words"

    def features(self, pixels: torch.Tensor, layer: Any = "pooled") -> torch.Tensor:
        return Toy().original(pixels, layer) if self.tower is None else self.tower.features(pixels, layer)

    def projected(self, seen: torch.Tensor) -> torch.Tensor:
        return seen

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        if long := [text for text in texts if len(text) > 60]:
            raise ValueError(f"texts: expected at most 60 signs, found {len(long[0])}")
        known = dict(self.told)
        draw = torch.Generator().manual_seed(1)
        return torch.stack(
            [torch.tensor(known[t]) if t in known else torch.randn(self.width, generator=draw) for t in texts]
        )


def flat(name: str, levels: tuple[int, int, int], category: str = "a", side: int = 4) -> Sample:
    image = Image.from_array(np.full((side, side, 3), levels, dtype=np.uint8))
    return Sample(name, "written", Chat.user(image, "what is it ?"), category=category)


def total(lesson: Any, step: int = 0) -> float:
    return float(sum(part.detach() for part in lesson.parts(lesson.picks(step))))


# ---------------------------------------------------------------- the losses


@pytest.mark.parametrize("micro", [8, 1])
def test_the_loss_of_fare_is_summed_over_dimensions_and_the_mean_over_pictures(micro: int) -> None:
    # (1,2,0), (0,0,1) against (1,1,1), (0,2,1): 2 and 4, mean 3, and not 1
    data = Written((flat("row/0", (64, 64, 64)), flat("row/1", (0, 128, 64))))
    fare = build("defenses", "fare", pictures=data, epsilon=0.0, batch=2)
    mix = [[1.0, 2.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    lesson = fare._lesson(Toy(mix, micro))
    assert total(lesson) == pytest.approx(3.0, rel=1e-6)
    assert total(fare._lesson(Toy())) == 0.0  # an epsilon of 0, and nothing learned: nothing to learn


def test_the_loss_of_fare_is_that_of_the_corner_of_the_ball() -> None:
    # Each of three channels moves by 2/255, 1/32 of a unit: 3 / 32^2, whatever the size of the picture.
    data = Written((flat("row/0", (64, 64, 64)), flat("row/1", (64, 128, 64), side=6)))
    lesson = build("defenses", "fare", pictures=data, batch=2)._lesson(Toy())
    assert total(lesson) == pytest.approx(3 / 32**2, rel=1e-4)


def test_the_loss_of_tecoa_is_the_cross_entropy_of_100_cosines() -> None:
    # Of (.6, .8): cosines 1 and .96, logits 100 and 96. Class a: log(1 + e^-4), b: log(1 + e^4), mean 2.0181499.
    words = Words(told=(("a", (0.6, 0.8, 0.0)), ("b", (1.6, 1.2, 0.0))))
    data = Written((flat("row/0", (48, 64, 0), "a"), flat("row/1", (48, 64, 0), "b")))
    tecoa = build("defenses", "tecoa", pictures=data, encoder=words, template="{}", epsilon=0.0, batch=2)
    assert total(tecoa._lesson(Toy())) == pytest.approx(2 + math.log1p(math.exp(-4)), rel=1e-5)
    worse = total(replace(tecoa, epsilon=4 / 255)._lesson(Toy()))
    assert worse > 2 + math.log1p(math.exp(-4)) + 0.5


# ---------------------------------------------------------------- the worst picture


def test_the_worst_picture_lies_in_the_ball_and_is_a_function_of_its_seed() -> None:
    x = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0)).round()  # at the edge of what a picture is
    ball, toy = Ball(8 / 255, 3, 1 / 255), Toy()

    def loss(seen: torch.Tensor, which: Sequence[int]) -> torch.Tensor:
        return (seen - toy.original(x, "pooled")[list(which)]).square().sum(1)

    found = ball.worst(toy, "pooled", loss, x, [1, 2, 3])
    assert float((found - x).abs().max()) <= 8 / 255 + 1e-6
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert torch.equal(found, ball.worst(toy, "pooled", loss, x, [1, 2, 3]))
    assert not torch.equal(found, ball.worst(toy, "pooled", loss, x, [4, 2, 3]))
    assert toy.mix.grad is None


def test_where_no_gradient_leads_anywhere_the_random_points_are_what_was_found() -> None:
    x, toy = torch.full((2, 3, 4, 4), 0.5), Toy([[0.0] * 3] * 3)
    found = Ball(8 / 255, 3, 1 / 255).worst(toy, "pooled", lambda seen, which: seen.square().sum(1), x, [1, 2])
    assert 4 / 255 < float((found - x).abs().max()) <= 8 / 255 + 1e-6


def test_every_pass_begins_at_other_points_and_shows_every_row_once() -> None:
    data = Written(tuple(flat(f"row/{k}", (64, 64, k)) for k in range(3)))
    lesson = build("defenses", "fare", pictures=data, batch=2)._lesson(Toy())
    seen = [k for step in range(3) for k in lesson.picks(step)]
    assert sorted(seen) == list(range(6))
    assert [lesson.names[k] for k in sorted(seen)] == ["row/0", "row/1", "row/2"] * 2
    assert len(lesson.names) == 3
    assert lesson.picks(1) == lesson.picks(1)


# ---------------------------------------------------------------- rows and fields


def test_rows_that_cannot_be_used_cost_themselves() -> None:
    good = (flat("row/0", (1, 2, 3), "a"), flat("row/1", (3, 2, 1), "b \u00e9\U0001f642"))
    odd = (
        asked(30, shown=False),
        replace(asked(31), chat=Chat.user(gone(), "what is it ?")),
        BadSample("row/32", "written", "line 32: no picture"),
    )
    lesson = FARE(Written((*good, *odd)))._lesson(Toy())
    left_out = lesson.told["pictures"]["left_out"]["rows"]
    assert list(lesson.names) == ["row/0", "row/1"]
    assert set(left_out) == {"row/30", "row/31", "row/32"}
    assert "expected a picture, found none" in left_out["row/30"]
    unnamed = (flat("row/40", (1, 2, 3), "  "), flat("row/41", (1, 2, 3), "x" * 80))
    named = TeCoA(Written((*good, *odd, *unnamed)), Words())._lesson(Toy())
    assert list(named.names) == ["row/0", "row/1"]
    assert named.told["classes"] == 2
    left_out = named.told["pictures"]["left_out"]["rows"]
    assert set(left_out) == {"row/30", "row/31", "row/32", "row/40", "row/41"}
    assert "category: expected the name of a class" in left_out["row/40"]


def test_what_tecoa_cannot_learn_from_is_one_line() -> None:
    one, two = flat("row/0", (1, 2, 3), "a"), flat("row/1", (3, 2, 1), "b")
    with pytest.raises(UsageError, match=r"tecoa\.pictures: written: .*two categories or more, found one: 'a'"):
        TeCoA(Written((one,)), Words())._lesson(Toy())
    with pytest.raises(UsageError, match=r"tecoa\.pictures: written: no row to learn from"):
        TeCoA(Written(()), Words())._lesson(Toy())
    far = Toy()
    far.original = lambda pixels, layer: pixels.mean((2, 3)).flip(1) ** 3  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=r"tecoa\.encoder: words: its vision tower is another one"):
        TeCoA(Written((one, two)), Words())._lesson(far)
    wide = Toy()
    wide.original = lambda pixels, layer: pixels.mean((2, 3)).repeat(1, 2)  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=r"tecoa\.encoder: words: its vision tower is another one.*size"):
        TeCoA(Written((one, two)), Words())._lesson(wide)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"epsilon": 2.0}, r"epsilon.*write 2/255\?"),
        ({"epsilon": 0.001}, "epsilon.*grey level"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"step_size": 1.5}, "step_size"),
        ({"attack_steps": 0}, "attack_steps"),
        ({"layer": "last"}, "layer"),
        ({"rate": 0.0}, "rate"),
        ({"steps": 0}, "steps"),
        ({"pictures": "coco"}, "pictures"),
        ({"pictures": None}, "tuned: expected the folder"),
    ],
)
def test_fields_are_checked(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(FARE(Written()), **fields)
    if "layer" not in fields:
        with pytest.raises(ValueError, match=said):
            replace(TeCoA(Written(), Words()), **fields)


def test_a_template_names_the_class_and_texts_are_needed() -> None:
    with pytest.raises(ValueError, match=r'template: expected a text with "\{\}"'):
        TeCoA(Written(), Words(), template="a photo")
    with pytest.raises(ValueError, match="encoder: expected a model with texts"):
        TeCoA(Written())
    assert TeCoA(tuned=Path("somewhere")).fits_on == ()


# ---------------------------------------------------------------- a victim

SHORT: dict[str, Any] = {"steps": 4, "batch": 3, "attack_steps": 2, "rate": 1e-2, "warm_up": 1, "every": 2}
ROWS = Written(tuple(asked(k) for k in range(5)))


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> HF:
    return HF(tiny("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu", images_per_pass=2)


@pytest.fixture(scope="module")
def fitted(victim: HF, tmp_path_factory: pytest.TempPathFactory) -> FARE:
    return FARE(ROWS, **SHORT).fitted(victim, tmp_path_factory.mktemp("fits") / "one")


def weights(folder: Path | None) -> dict[str, torch.Tensor]:
    assert folder is not None
    return load_file(folder / LEARNED / "model.safetensors")


def test_the_tower_alone_learns_and_the_victim_stays_what_it_was(victim: HF, fitted: FARE) -> None:
    x = torch.cat([victim.pixels(row.chat.images[0]) for row in ROWS.rows if isinstance(row, Sample)])
    fresh = HF(victim.path, device="cpu").features(x)
    assert torch.equal(victim.features(x), fresh)
    own = dict(victim.model.model.named_parameters())
    started = HFTower(victim.model, 2)
    learns = {name for name, p in started.own.model.named_parameters() if p.requires_grad}
    assert learns == {name for name in own if is_of_tower(name)}
    assert torch.equal(started.features(x, "pooled").detach(), started.original(x, "pooled"))
    tuned = fitted(victim)
    now = dict(tuned.model.model.named_parameters())  # type: ignore[attr-defined]
    changed = {name for name in own if not torch.equal(own[name], now[name])}
    assert changed
    assert changed <= learns
    assert tuned.key != victim.key
    assert opened_through(fitted, victim) is tuned
    assert not torch.equal(tuned.features(x), fresh)  # type: ignore[attr-defined]
    assert json.loads((fitted.tuned / CARD).read_text())["weights"] == "the vision tower's"  # type: ignore[operator]


def test_clean_pictures_alone_and_no_decay_teach_nothing(victim: HF, tmp_path: Path) -> None:
    found = replace(FARE(ROWS, **SHORT), epsilon=0.0, decay=0.0).fitted(victim, tmp_path)
    assert json.loads((tmp_path / CARD).read_text())["last_loss"] == 0.0
    own = dict(victim.model.model.named_parameters())
    now = dict(found(victim).model.model.named_parameters())  # type: ignore[attr-defined]
    assert all(torch.equal(own[name], now[name]) for name in own)


class Stopped(Exception):
    pass


def test_a_stopped_training_goes_on_to_the_last_bit(victim: HF, fitted: FARE, tmp_path: Path) -> None:
    def stop(pace: Pace) -> None:
        if pace.step == 3:
            raise Stopped

    with watched_by(stop), pytest.raises(Stopped):
        FARE(ROWS, **SHORT).fitted(victim, tmp_path)
    assert (tmp_path / CHECKPOINT).is_file()
    steps: list[int] = []
    with watched_by(lambda pace: steps.append(pace.step)):
        resumed = FARE(ROWS, **SHORT).fitted(victim, tmp_path)
    assert steps == [3, 4]  # those of the training, none of the ascent's
    one, other = weights(resumed.tuned), weights(fitted.tuned)
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_another_model_a_closed_one_and_one_without_a_tower_are_refused(
    victim: HF, fitted: FARE, tmp_path: Path
) -> None:
    other = HF(tiny("llava", tmp_path / "llava", seed=5), device="cpu")
    with pytest.raises(UsageError, match="model: it was trained on"):
        fitted(other)
    with pytest.raises(UsageError, match="defense: it was another defense"):
        TeCoA(tuned=fitted.tuned)(victim)
    with pytest.raises(UsageError, match=r"fare: .*gives replies only"):
        FARE(ROWS).fitted(Scripted(), tmp_path / "none")
    with pytest.raises(UsageError, match="has no vision tower to train"):
        FARE(ROWS).fitted(HF(tiny("lm", tmp_path / "lm"), device="cpu"), tmp_path / "none")


def test_a_loss_that_is_no_number_names_the_rows(victim: HF, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = HFTower.features
    monkeypatch.setattr(HFTower, "features", lambda self, x, layer: own(self, x, layer) * float("nan"))
    with pytest.raises(UsageError, match=r"step 1: loss nan.*rows row/\d, row/\d, row/\d"):
        FARE(ROWS, **SHORT).fitted(victim, tmp_path)


def test_tecoa_learns_to_name_adversarial_pictures(victim: HF, tmp_path: Path) -> None:
    width = victim.features(victim.pixels(ROWS.rows[0].chat.images[0])).shape[1]  # type: ignore[union-attr]
    tecoa = TeCoA(ROWS, Words(tower=victim, width=width), **{**SHORT, "steps": 8, "batch": 5})
    losses: list[float] = []
    with watched_by(lambda pace: losses.append(pace.loss)):
        tuned = tecoa.fitted(victim, tmp_path)
    assert losses[-1] < losses[0] - 1
    assert json.loads((tmp_path / CARD).read_text())["data"]["classes"] == 3
    assert tuned(victim).key != victim.key
