"""Two pictures of one dialogue are two variables of one search, on a real model."""

from __future__ import annotations

from pathlib import Path

import torch

from plain_loop import picture
from proofglass.engine import LInf, On, Schedule, SignStep, TargetNLL, minimise
from proofglass.types import Chat
from proofglass.victims.hf_folder import HF
from tiny_models import build


def test_two_pictures_of_two_turns_lower_the_loss_further_than_one(tmp_path: Path) -> None:
    victim = HF(build("llava", tmp_path / "model"), device="cpu")
    shown = {"image": picture(1), "image2": picture(2)}
    chat = Chat.user(shown["image"], "see this ?").say("yes").ask(shown["image2"], "and this ?")
    objective = TargetNLL(victim, [[(chat, "no")]], slots=tuple(shown))
    x0 = {slot: victim.pixels(image) for slot, image in shown.items()}
    moves = {slot: On(LInf(16 / 255, "clean"), SignStep(2 / 255)) for slot in shown}
    first_alone = moves | {"image2": On(LInf(16 / 255, "clean"), SignStep(2 / 255), at=())}
    both = minimise(objective, x0, moves, schedule=Schedule(12), select="best")
    alone = minimise(objective, x0, first_alone, schedule=Schedule(12), select="best")
    assert torch.equal(alone.values["image2"], x0["image2"])
    assert float(both.loss) < float(alone.loss) < float(objective.value(x0).loss)
    assert both.linf_levels[0] <= 16
    assert [picture.sha256 != shown["image2"].sha256 for picture in both.images("image2")] == [True]
