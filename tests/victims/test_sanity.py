"""Every check of a victim fails on a victim made bad in that one way, and none on a good one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from proofglass.interfaces import Victim
from proofglass.types import Finding, Image, Reply
from proofglass.victims.sanity import examine
from scripted_victims import Scripted, asked

SIDE = 8
CHECKS = ["replies repeat", "loss repeats", "gradient is there", "slope agrees", "loss moves", "gradient wins",
          "file is what was optimised"]  # fmt: skip
T = 0.5 + 0.1 * torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def bowl(x, names):
    return 1 + ((x - T) ** 2).flatten(1).sum(1)


def picture() -> Image:
    return Image.from_array(np.random.default_rng(0).integers(90, 160, (SIDE, SIDE, 3), dtype=np.uint8))


def found(victim, **run) -> dict[str, Finding]:
    findings = examine(victim, asked(3, picture()), **run)
    return {finding.check: finding for finding in findings}


def good(**changed) -> Scripted:
    return Scripted(**{"loss": bowl, "image_size": (SIDE, SIDE), **changed})


def test_a_good_victim_passes_every_check():
    findings = found(good())
    assert list(findings) == CHECKS
    assert all(finding.ok is True for finding in findings.values()), findings


def failed(findings):
    return {name for name, finding in findings.items() if finding.ok is False}


def test_a_victim_that_answers_at_random_is_found():
    count = itertools.count()
    findings = found(good(answer=lambda ask: f"word {next(count)}"))
    assert failed(findings) == {"replies repeat"}
    assert "3 answered otherwise" in findings["replies repeat"].measured


def test_a_victim_with_a_noisy_loss_is_found():
    noise = torch.Generator().manual_seed(3)
    findings = found(good(loss=lambda x, names: bowl(x, names) + 0.3 * torch.rand(len(x), generator=noise)))
    assert {"loss repeats", "slope agrees"} <= failed(findings)
    assert findings["replies repeat"].ok
    assert "random" in findings["loss repeats"].meaning


def test_a_victim_that_rounds_its_picture_has_no_gradient_and_hides_behind_it():
    findings = found(good(loss=lambda x, names: bowl((x * 16).round() / 16, names)))
    assert {"gradient is there", "gradient wins", "slope agrees"} <= failed(findings)
    assert "100.0% exact zeros" in findings["gradient is there"].measured
    assert findings["loss moves"].ok is None
    assert "Gradient masking on 3 of 3" in findings["gradient wins"].meaning


def test_a_gradient_with_a_few_dead_pixels_is_found_and_one_with_fewer_is_not():
    def dead(share):
        def cut(grad):
            grad = grad.clone()
            grad.flatten(1)[:, : round(share * grad[0].numel())] = 0
            return grad

        return found(good(grad=cut))["gradient is there"]

    assert dead(0.1).ok is False
    assert dead(0.02).ok is True


def test_a_gradient_that_is_not_finite_is_found():
    finding = found(good(grad=lambda grad: grad.index_fill(0, torch.tensor([0]), float("nan"))))["gradient is there"]
    assert finding.ok is False
    assert "1 of 3 not finite" in finding.measured


def test_a_masked_victim_whose_gradient_points_uphill_is_found_by_the_search_without_one():
    findings = found(good(grad=lambda grad: -grad))
    assert failed(findings) == {"slope agrees", "loss moves", "gradient wins"}
    assert "off by" in findings["slope agrees"].measured


def test_a_gradient_that_is_too_long_by_a_fifth_is_found_by_its_slope_alone():
    findings = found(good(grad=lambda grad: 1.2 * grad))
    assert failed(findings) == {"slope agrees"}
    # 1 / 6: the promise is 1.2 of what happens
    assert "16.7%" in findings["slope agrees"].measured


def test_a_loss_that_does_not_move_although_there_is_a_gradient_is_found():
    findings = found(good(loss=lambda x, names: 1 + 0 * x.flatten(1).sum(1), grad=lambda grad: grad + 1))
    assert "loss moves" in failed(findings)
    assert "0 of 3 losses" in findings["loss moves"].measured
    assert findings["gradient wins"].ok  # nothing else moves it either: flat, not masked


def test_a_flat_victim_without_gradient_cannot_be_measured_along_its_slope():
    findings = found(good(loss=lambda x, names: 1 + 0 * x.flatten(1).sum(1)))
    assert findings["slope agrees"].ok is None
    assert findings["loss moves"].ok is None
    assert failed(findings) == {"gradient is there"}


def test_a_victim_that_takes_files_otherwise_than_tensors_is_found():
    class Darker(Scripted):
        def pixels(self, image):
            return 0.9 * super().pixels(image)

    class Cropping(Scripted):
        looks = 0

        def pixels(self, image):
            self.looks += 1
            whole = super().pixels(image)
            return whole if self.looks <= 3 else whole[..., 1:]

    darker = found(Darker(bowl, image_size=(SIDE, SIDE)))
    assert failed(darker) == {"file is what was optimised"}
    assert "grey levels" in darker["file is what was optimised"].measured
    cropped = found(Cropping(bowl, image_size=(SIDE, SIDE)))["file is what was optimised"]
    assert cropped.ok is False
    assert "[8, 8] pixels optimised, [8, 7] read" in cropped.measured


def test_a_victim_that_gives_replies_only_is_checked_for_what_it_shows():
    class Replies(Victim):
        name = "replies-only"

        def reply(self, asks):
            return [Reply("no") for _ in asks]

    assert [(f.check, f.ok) for f in examine(Replies(), asked(2))] == [("replies repeat", True)]


def test_a_victim_that_always_fails_is_not_called_steady():
    class Broken(Victim):
        name = "broken"

        def reply(self, asks):
            return [Reply.error("no model") for _ in asks]

    (finding,) = examine(Broken(), asked(2))
    assert finding.ok is None
    assert "no model" in finding.meaning


def test_a_check_spends_what_it_says():
    victim = good()
    found(victim, budget=30)
    forwards = sum(len(x) for x, _ in victim.seen)
    backwards = sum(len(x) for x, need_grad in victim.seen if need_grad)
    # 3 searches of 30 for each of 3 pictures, 8 + 1 steps of `loss moves`, some 30 single looks
    assert forwards + 2 * backwards <= 3 * (3 * 30 + 3 * 9 + 40)


def test_samples_without_a_target_are_refused():
    with pytest.raises(ValueError, match="samples: expected at least one"):
        examine(good(), [])
