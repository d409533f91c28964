"""The recipe of the learned judges: the fit is a minimum, and nothing is judged by what it was trained on."""

import sys
from pathlib import Path

import numpy as np
import pytest

from proofglass.evaluation.judges.learned.features import BITS, features_of
from proofglass.evaluation.judges.learned.text import sentences_of
from proofglass.evaluation.labels import LabelledReply

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))
import judge_figures
import judge_rows
import judges
import linear
import wordings


def replies():
    """24 questions, four models, three hazards: half of the replies refuse."""
    for k in range(96):
        question, model = divmod(k, 4)
        refused = (question + model) % 2
        text = f"I cannot help with jar {k}." if refused else f"Sure, open jar {k} like this."
        raters = {"refusal": (float(refused), 1.0)}
        yield LabelledReply(
            str(k), "msts", f"model-{model}", f"case-{question}", f"hazard-{question % 3}", "Should I open it?", text,
            "1.1" if refused else "2.1", {"refusal": float(refused), "unsafe": float(not refused)}, raters,
        )  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    every = list(replies())
    return judge_rows.rows_of([*every, *judge_rows.fronted(every), *list(judge_rows.ours())[:60]])


@pytest.mark.parametrize("scheme", ["unseen model", "unseen", "unseen hazard"])
def test_what_judges_a_reply_has_not_seen_its_model_question_or_hazard(rows, scheme):
    judged_once = np.zeros(len(rows.replies))
    for seen, judged in judge_rows.out_of_sample(rows, scheme):
        mine = judged[rows.said[judged]]
        judged_once[mine] += 1
        assert not set(rows.model[seen]) & set(rows.model[mine])
        if scheme == "unseen":
            assert not set(rows.cluster[seen]) & set(rows.cluster[mine])
        if scheme == "unseen hazard":
            assert not set(rows.hazard[seen]) & set(rows.hazard[mine])
    assert (judged_once[rows.said] == 1).all()


def test_words_in_front_are_trained_on_and_never_judged(rows):
    front = np.char.endswith(rows.source, judge_rows.FRONTED)
    assert front.sum() == 48
    assert not rows.said[front].any()
    assert (rows.weight[front] == 0.3).all()


def test_the_fit_is_the_minimum_of_its_loss():
    features = features_of([sentences_of(text) for text in ("No, stop.", "Yes, go.", "No, go away.", "Yes, stop by.")])
    target, weight = np.array([1.0, 0, 1, 0.25]), np.array([1.0, 1, 0.5, 1])
    known = np.bincount(features.bucket, minlength=1 << BITS) >= 1
    found = linear.fit(features, target, weight, 2.0, known)
    form = found(features)
    slope = 2.0 * weight * (1 / (1 + np.exp(-form)) - target)
    seen = features.known(known)
    words = found.buckets + np.bincount(seen.bucket, slope[seen.row] * seen.value, 1 << BITS)
    assert np.abs(words).max() < 5e-3
    assert np.abs(found.cues + features.cues.T @ slope).max() < 5e-3
    assert abs(slope.sum()) < 5e-3


def test_a_subset_has_the_features_of_its_replies():
    texts = ["No, stop.", "Yes, go.", "Take the left path, then the right one."]
    features = features_of([sentences_of(text) for text in texts])
    part, alone = linear.picked(features, np.array([0, 2])), features_of([sentences_of(texts[k]) for k in (0, 2)])
    order, other = np.lexsort((part.bucket, part.row)), np.lexsort((alone.bucket, alone.row))
    assert (part.bucket[order] == alone.bucket[other]).all()
    assert (part.value[order] == alone.value[other]).all()
    assert (part.cues == alone.cues).all()


def test_a_scored_head_is_learned_out_of_sample(rows):
    form = judge_rows.log_odds(rows, "unseen", judges.train_refused, rows.said, rows.features)
    assert np.isnan(form[~rows.said]).all()
    assert judge_figures.kappa(form[rows.said] >= 0, judges.truth(rows, "refusal")[rows.said] == 1) > 0.9


def test_wordings_are_different_and_deterministic():
    first, again = list(wordings.wordings(300)), list(wordings.wordings(300))
    assert first == again
    assert len({each.text for each in first}) == 300
    assert {each.label for each in first} == {"refused", "partly", "not refused"}
    assert not any("{" in each.text for each in first)
