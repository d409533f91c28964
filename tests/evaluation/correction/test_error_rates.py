"""Published formulas against numbers computed elsewhere."""

from __future__ import annotations

import pytest

from proofglass.evaluation.correction import (
    ErrorRates,
    calibration_split,
    delta_interval,
    lee_interval,
    prediction_powered,
    rogan_gladen,
)
from proofglass.evaluation.correction.effects import design_effect, spread, worth


def test_the_point_takes_false_alarms_off_and_adds_what_was_missed():
    # (0.4 + 0.85 - 1) / (0.9 + 0.85 - 1) = 0.25 / 0.75
    assert rogan_gladen(80 / 200, ErrorRates(0.9, 0.85, 50, 100)) == pytest.approx(1 / 3)


def test_a_share_below_the_false_alarms_is_clipped_to_zero():
    assert rogan_gladen(0.05, ErrorRates(0.9, 0.85, 50, 100)) == 0.0


def test_the_delta_interval_is_the_textbooks():
    assert delta_interval(0.4, 200, ErrorRates(0.9, 0.85, 50, 100)) == pytest.approx(
        (0.217440, 0.449227), abs=3e-6
    )  # with z = 1.96


@pytest.mark.parametrize(
    ("rate", "n", "errors", "expected"),
    [
        (0.4, 200, ErrorRates(0.9, 0.85, 50, 100), (0.215549, 0.454756)),
        (0.2172, 4000, ErrorRates(0.9061, 0.8154, 181, 3819), (0.021139, 0.069867)),
        (0.0, 100, ErrorRates(0.9, 0.95, 50, 50), (0.0, 0.023582)),
    ],
)
def test_the_interval_of_lee_and_others(rate, n, errors, expected):
    assert lee_interval(rate, n, errors) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("formula", [rogan_gladen, lambda r, e: lee_interval(r, 100, e)])
def test_a_judge_no_better_than_chance_is_no_basis(formula):
    with pytest.raises(ValueError, match="no better than chance"):
        formula(0.19, ErrorRates(0.105, 0.8073, 181, 3819))


def test_labels_go_to_the_rate_whose_error_weighs_more():
    # kappa = (20 * .15 + 1) / (20 * .1 + 1) = 4/3; 300 / (1 + 4 sqrt(4/3)) = 53.4
    assert calibration_split(300, 0.2, ErrorRates(0.9, 0.85, 20, 20)) == (53, 247)
    assert calibration_split(300, 0.001, ErrorRates(0.9, 0.85, 20, 20)) == (10, 290)
    with pytest.raises(ValueError, match="budget: expected at least 20"):
        calibration_split(19, 0.2, ErrorRates(0.9, 0.85, 20, 20))


def _human_and_judge():
    # 1,000 scores, 400 of them positive; of 100 labelled 27 both, 13 judge only, 3 human only, 57 neither
    sample = [1.0] * 40 + [0.0] * 60
    labels = [1.0] * 27 + [0.0] * 13 + [1.0] * 3 + [0.0] * 57
    return [1.0] * 400 + [0.0] * 600, sample, labels


def test_prediction_powered_with_full_power():
    found = prediction_powered(*_human_and_judge(), power=1.0)
    assert found == pytest.approx((0.3, 0.218243, 0.381757), abs=1e-6)


def test_prediction_powered_with_tuned_power():
    assert prediction_powered(*_human_and_judge()) == pytest.approx((0.3, 0.230768, 0.369232), abs=1e-6)


def test_prediction_powered_without_power_is_the_mean_of_the_labels():
    value, low, high = prediction_powered(*_human_and_judge(), power=0.0)
    assert value == pytest.approx(0.3)
    assert high - low == pytest.approx(2 * 1.959964 * (0.3 * 0.7 / 100) ** 0.5, abs=1e-6)


def test_rows_that_say_the_same_as_their_question_count_as_one():
    scores, sample, labels = _human_and_judge()
    apart = prediction_powered(scores, sample, labels, power=1.0)
    groups = (range(1000), [k // 10 for k in range(-10, 90)])  # ten neighbours, alike in both, share a question
    together = prediction_powered(scores, sample, labels, power=1.0, clusters=groups)
    assert together[2] - together[1] > 1.5 * (apart[2] - apart[1])


def test_a_mean_of_yes_and_no_has_the_design_effect_of_every_rate():
    # 30 clusters of 4, yes in all, in half or in none of a cluster; Wilson's interval on 120 / effect is the shared one
    import numpy as np

    from proofglass.evaluation.statistics import clustered_rates
    from proofglass.evaluation.statistics.clusters import ClusterTotals
    from proofglass.evaluation.statistics.rates import score_interval

    values, codes = np.tile([1.0] * 4 + [1.0, 0.0, 1.0, 0.0] + [0.0] * 4, 10), np.repeat(np.arange(30), 4)
    effect = design_effect(values - 0.5, np.ones(120), codes, 0.5)
    found = clustered_rates(ClusterTotals.of(np.zeros(120, int), codes, values, 1))
    assert score_interval(0.5, 120 / effect) == pytest.approx((found.low[0], found.high[0]))
    assert 2 < effect < 4
    # in other units, beside rows that carry nothing
    influence, scale = np.r_[(values - 0.5) / 70, np.zeros(30)], np.r_[np.full(120, 1 / 70), np.zeros(30)]
    assert design_effect(influence, scale, np.r_[codes, np.arange(30)], 0.5) == pytest.approx(effect)


def test_rows_of_their_own_have_no_design_effect_and_equal_ones_are_worth_their_clusters():
    import numpy as np

    alone = np.array([0.5, -0.5] * 100)
    assert design_effect(alone, np.ones(200), np.arange(200), 0.5) == pytest.approx(1.0)
    copied, codes = np.repeat(alone, 4), np.repeat(np.arange(200), 4)
    # 800 rows worth 200 clusters less 2 (1 - 200/800); the t quantile of 199 degrees would ask for more
    assert design_effect(copied, np.ones(800), codes, 0.5) == pytest.approx(800 / 198.5)
    # nothing seen: all alike
    assert design_effect(0 * copied, np.ones(800), codes, 0.0) == pytest.approx(800 / 198.5)


def test_no_spread_between_equal_models_and_all_of_it_between_opposite_ones():
    assert spread([[(5, 10), (5, 10), (5, 10)]]) == 0.0
    assert spread([[(0, 10), (10, 10), (0, 10)]]) == 1.0
    # MSB = (0.2^2 + 0 + 0.2^2) 20 / 2 = 0.8, MSW = (6 x .7 + 10 x .5 + 14 x .3) / 57 = 0.2350877
    assert spread([[(6, 20), (10, 20), (14, 20)]]) == pytest.approx(
        (0.8 - 0.2350877) / (0.8 + 19 * 0.2350877), abs=1e-6
    )


def test_a_new_model_is_never_known_better_than_models_agree():
    # 1 / (0.1 (1 + 1/10) (2.262157 / 1.959964)^2)
    assert worth(1e12, 0.1, 10) == pytest.approx(1 / (0.11 * 1.332168), rel=1e-3)
    assert worth(50, 0.0, 10) == 50
