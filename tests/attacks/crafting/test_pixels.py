"""Crafting a picture for each sample: what an artefact holds."""

from __future__ import annotations

from proofglass.attacks.crafting.pixels import craft_each
from proofglass.engine import LInf, On, Schedule, SignStep, TargetNLL
from proofglass.engine.pictures import grey
from proofglass.registry import build
from proofglass.testing.material import samples


def test_a_second_picture_of_the_search_follows_the_first_in_the_artefact() -> None:
    victim = build("victims", "testbed-linear", device="cpu")
    blank, shown = grey(victim), samples(True)[:2]
    move = On(LInf(8 / 255), SignStep(2 / 255))
    x2 = victim.pixels(blank)

    def objective(part, clean, x0, seeds):
        pairs = [[(s.chat.with_image(c).ask(blank, "and this ?"), s.target)] for s, c in zip(part, clean, strict=True)]
        return TargetNLL(victim, pairs, slots=("image", "image2"))

    made = list(
        craft_each(
            victim,
            shown,
            objective,
            seed=1,
            batch=2,
            constraint=move.constraint,
            step=move.step,
            others=lambda taught: {"image2": (x2.repeat(len(taught.pairs), 1, 1, 1), move)},
            schedule=Schedule(2),
        )
    )
    assert [artefact.sample_id for artefact in made] == [sample.id for sample in shown]
    for artefact in made:
        first, second = (image.array().astype(int) for image in artefact.images)
        assert abs(first - artefact.clean.array()).max() <= 8
        assert 0 < abs(second - blank.array()).max() <= 8
    assert made[0].images[1] != made[1].images[1]
