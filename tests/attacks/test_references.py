"""No attack, and noise of the same size as an attack."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass import registry
from proofglass.attacks.references import NoAttack, RandomNoise
from proofglass.interfaces import Victim
from proofglass.types import Chat, Image, Sample


class Blind(Victim):
    name = "blind"

    def __init__(self, size=None):
        self.image_size = size

    def reply(self, asks):
        raise AssertionError("a black-box reference asks nothing while crafting")


def grey(level, width=8, height=6):
    return Image.from_array(np.full((height, width, 3), level, np.uint8))


def noisy(attack, sample, seed=0, size=(10, 7)):
    (artefact,) = attack.craft(Blind(size), [], seed=seed)
    return attack.apply(artefact, sample)


def test_no_attack_is_the_question_as_asked():
    sample = Sample("a", "toy", Chat.user(grey(3), "hello"))
    assert noisy(NoAttack(), sample) is sample.chat


@given(
    st.integers(0, 255),
    st.floats(1 / 255, 1.0),
    st.sampled_from(["sign", "uniform"]),
    st.integers(0, 2**31),
)
@settings(max_examples=100, deadline=None)
def test_noise_stays_within_epsilon_after_rounding(level, epsilon, kind, seed):
    sample = Sample("a", "toy", Chat.user(grey(level), "hello"))
    found = noisy(RandomNoise(epsilon, kind), sample, seed).images[0].array().astype(int)
    assert np.abs(found - level).max() <= 255 * epsilon + 1e-4


def test_sign_noise_is_epsilon_in_every_channel_and_both_signs_are_drawn():
    sample = Sample("a", "toy", Chat.user(grey(100, 50, 50), "hello"))
    found = noisy(RandomNoise(16 / 255), sample).images[0].array()
    levels, counts = np.unique(found, return_counts=True)
    assert levels.tolist() == [84, 116]
    assert abs(counts[0] / counts.sum() - 0.5) < 0.03  # 7500 draws: standard deviation 0.006


@pytest.mark.parametrize(("epsilon", "levels"), [(2.5 / 255, 2), (0.03, 7), (8 / 255, 8)])
def test_a_radius_between_two_levels_ends_at_the_lower_one(epsilon, levels):
    # half up, 100 + 2.5 would be 103 and 100 - 2.5 98: the control would leave its ball on one side; .03 is 7.65 levels
    sample = Sample("a", "toy", Chat.user(grey(100, 20, 20), "hello"))
    found = noisy(RandomNoise(epsilon), sample).images[0].array()
    assert np.unique(found).tolist() == [100 - levels, 100 + levels]


def test_pixels_stay_between_black_and_white():
    for level, expected in ((0, [0, 16]), (255, [239, 255])):
        sample = Sample("a", "toy", Chat.user(grey(level, 20, 20), "hello"))
        assert np.unique(noisy(RandomNoise(16 / 255), sample).images[0].array()).tolist() == expected


def test_a_sample_without_a_picture_gets_mid_grey_of_the_victims_size():
    sample = Sample("a", "toy", Chat.user("hello").with_system("be kind"))
    chat = noisy(RandomNoise(1 / 255), sample)
    assert chat.images[0].array().shape == (7, 10, 3)
    assert np.unique(chat.images[0].array()).tolist() == [127, 129]
    assert (chat.system, chat.last_text) == ("be kind", "hello")
    assert noisy(RandomNoise(), sample, size=None).images[0].width == 224


def test_noise_depends_on_seed_and_sample_and_nothing_else():
    one, other = (Sample(name, "toy", Chat.user(grey(9), "hello")) for name in "ab")
    attack = RandomNoise()
    assert noisy(attack, one, 1) == noisy(attack, one, 1)
    assert len({noisy(attack, s, seed).images[0] for s in (one, other) for seed in (1, 2)}) == 4


def test_the_sample_itself_is_untouched():
    picture = grey(9)
    before = picture.array().copy()
    sample = Sample("a", "toy", Chat.user(picture, "hello"))
    noisy(RandomNoise(), sample)
    assert (sample.chat.images[0].array() == before).all()


def test_epsilon_in_grey_levels_is_refused_with_the_fraction_that_was_meant():
    with pytest.raises(
        ValueError, match=r"epsilon: expected 0 < epsilon <= 1 \(pixels are in \[0, 1\]\), found 16"
    ) as e:
        RandomNoise(epsilon=16)
    assert str(e.value).endswith("write 16/255?")
    with pytest.raises(ValueError, match=r"found 0$"):
        RandomNoise(epsilon=0)
    with pytest.raises(ValueError, match=r"found nan$"):
        RandomNoise(epsilon=float("nan"))
    with pytest.raises(ValueError, match="kind: expected sign or uniform"):
        RandomNoise(kind="normal")


def test_the_registry_builds_both():
    assert registry.build("attacks", "no-attack") == NoAttack()
    assert registry.build("attacks", "random-noise", kind="uniform") == RandomNoise(kind="uniform")
