"""Tokenised pairs: spans, weights, soft labels, and how they are grouped and packed."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plain_loop import picture
from proofglass.types import Chat
from proofglass.victims.hf.model import HFModel
from proofglass.victims.hf.packing import grouped, packed, padded
from proofglass.victims.shared.prepared import Prepared, Prompt, one_run, pair_of
from proofglass.victims.shared.tasks import tasks_of
from tiny_models import build

IMAGE = 3
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return HFModel(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), "cpu")


def seen(prompt, target, before=(1, 5), places=4):
    """A pair whose picture stands behind `before`."""
    ids = (*before, *[IMAGE] * places, *prompt)
    return pair_of(Prompt(ids, one_run(ids, IMAGE)), [target])


# ---------------------------------------------------------------- tokenising


def test_every_part_of_a_target_is_tokenised_by_itself_and_is_a_span(model):
    chat = Chat.user(picture(1), "hi")
    prepared = model.prepare([[(chat, ("sure , ", "here")), (chat, "sure")]], append_eos=True)
    assert prepared.spans == (((7, 5), (5,)),)  # one token per byte; the end token belongs to the last part
    first, second = prepared.pairs[0]
    assert first.ids[-1] == second.ids[-1] == model.tokenizer.eos_token_id
    without = model.prepare([[(chat, "sure , here")]]).pairs[0][0]
    assert without.ids == first.ids[:-1]
    assert without.ids[: without.start] == tuple(model.encode_chat(chat).ids)


def test_text_tokens_are_the_prompt_without_place_holders(model):
    prepared = model.prepare([[(Chat.user(picture(1), "hi"), "yes"), (Chat.user("hi"), "yes")]])
    assert prepared.text_tokens == ((5, 5),)  # <s> <user> h i <bot>
    pair = prepared.pairs[0][0]
    assert [(slot.first, slot.last) for slot in pair.slots] == [(2, 18)]
    assert pair.text_places == (0, 1, 18, 19, 20)


def test_token_ids_give_the_same_pairs_as_chats(model):
    chat = Chat.user(picture(1), "hi")
    answer = model.tokenizer("yes", add_special_tokens=False)["input_ids"]
    by_ids = model.prepare_tokens([[(model.encode_chat(chat).ids, answer)]])
    by_chat = model.prepare([[(chat, "yes")]]).pairs[0][0]
    (slot,) = by_chat.slots
    assert slot.size == (28, 28)  # ids alone do not say how large the picture is
    assert vars(by_ids.pairs[0][0]) == {**vars(by_chat), "slots": (dataclasses.replace(slot, image=None, size=None),)}


@pytest.mark.parametrize(
    ("prompt", "parts", "says"),
    [
        ([1, 5], [[], []], "target: expected text"),
        ([], [[7]], "prompt: expected at least one token"),
        ([1, 3, 3, 9, 3, 3], [[7]], "of one picture in a row"),
    ],
)
def test_a_pair_that_cannot_be_taught_says_what_is_wrong(prompt, parts, says):
    with pytest.raises(ValueError, match=says):
        pair_of(Prompt(tuple(prompt), one_run(prompt, IMAGE)), parts)


def test_the_first_of_two_pictures_is_under_attack_and_the_other_stays(model):
    (pair,) = model.prepare([[(Chat.user(picture(1), picture(2), "hi"), "yes")]]).pairs[0]
    first, second = pair.slots
    assert (first.name, second.name, second.image) == ("image", "", picture(2))
    assert first.last <= second.first
    assert not set(pair.text_places) & set(range(second.first, second.last))
    grads = []
    for second in (2, 3):
        prepared = model.prepare([[(Chat.user(picture(1), picture(second), "hi"), "yes")]])
        grads.append(model.loss_and_grad(model.pixels(picture(1)), prepared).pixels)
    assert grads[0].abs().max() > 0
    assert not torch.allclose(grads[0], grads[1])


# ---------------------------------------------------------------- rows, weights, teachers


def test_rows_and_select_pick_without_tokenising_anew():
    prepared = Prepared(((seen([6], [7]), seen([8], [9, 10])), (seen([11], [12]),)))
    repeated = prepared.rows([1, 0, 1])
    assert [len(row) for row in repeated.pairs] == [1, 2, 1]
    assert repeated.pairs[0][0] is prepared.pairs[1][0]
    assert prepared.select([[1], [0, 0]]).spans == (((2,),), ((1,), (1,)))


def test_weights_and_teachers_of_the_wrong_shape_are_refused():
    prepared = Prepared(((seen([6], [7, 8]),),))
    with pytest.raises(ValueError, match=r"expected one per pair, \[1\] for each picture, found \[2\]"):
        prepared.weighted([[[1, 1], [1, 1]]])
    with pytest.raises(ValueError, match="expected 2 finite numbers"):
        prepared.weighted([[[1.0]]])
    with pytest.raises(ValueError, match="expected 2 finite numbers"):
        prepared.weighted([[[1.0, float("nan")]]])
    with pytest.raises(ValueError, match=r"finite logits \[2, V\], found \[3, 4\]"):
        prepared.taught([[torch.zeros(3, 4)]])
    with pytest.raises(ValueError, match="needs weights"):
        tasks_of(prepared, "given")
    with pytest.raises(ValueError, match="'mean'"):
        tasks_of(prepared, "mean")


def test_weightings_are_the_published_ones():  # G1: token losses 1 x 2 tokens and 2 x 8 tokens
    prepared = Prepared(((seen([6], [7] * 2), seen([6], [7] * 8)),))
    nll = [[1.0] * 2, [2.0] * 8]
    for weighting, wanted in {"token": 1.8, "pair": 1.5, "sum": 18.0}.items():
        (tasks,) = tasks_of(prepared, weighting)
        assert sum(w * n for t, of_t in zip(tasks, nll, strict=True) for w, n in zip(t.weights, of_t, strict=True)) == (
            pytest.approx(wanted)
        )


def test_tokens_behind_the_last_non_zero_weight_are_not_run():
    pair = seen([6], [7, 8, 9, 10])
    ((task,),) = tasks_of(Prepared(((pair,),)).weighted([[[0, -2, 0, 0]]]), "given")
    assert task.weights == (0, -2)
    assert task.ids == pair.ids[:-2]
    ((whole,),) = tasks_of(Prepared(((pair,),)).weighted([[[0, -2, 0, 0]]]), "token")
    assert whole.ids == pair.ids  # only "given" reads the weights


# ---------------------------------------------------------------- grouping and packing

tokens = st.lists(st.integers(4, 6), max_size=5)
pairs_of_one_picture = st.lists(
    st.builds(seen, tokens, st.lists(st.integers(4, 6), min_size=1, max_size=5), st.sampled_from([(1,), (1, 5)])),
    min_size=1,
    max_size=6,
)


@given(pairs_of_one_picture)
def test_text_shared_run_and_suffix_make_up_every_sequence_and_the_first_prediction_is_in_the_suffix(pairs):
    (tasks,) = tasks_of(Prepared((tuple(pairs),)), "token")
    groups, alone = grouped(tasks)
    assert sorted(map(id, tasks)) == sorted(id(t) for t in [*alone, *(t for g in groups for t in g.tasks)])
    for group in groups:
        assert len(group.tasks) > 1
        assert IMAGE not in group.text
        assert group.shared.count(IMAGE) == 4
        assert all(t.ids[: group.past] == group.text + group.shared for t in group.tasks)
        assert all(t.pair.start - 1 >= group.past for t in group.tasks)
        following = {t.ids[group.past : t.pair.start - 1][:1] for t in group.tasks}
        assert len(following) > 1 or following == {()}  # the run could not be longer


@given(pairs_of_one_picture)
def test_packed_and_padded_rows_hold_the_same_predictions_and_no_suffix_sees_another(pairs):
    (tasks,) = tasks_of(Prepared((tuple(pairs),)), "token")
    for group in grouped(tasks)[0]:
        past = group.past
        row = packed(group.tasks, past, CPU)
        flat = [token for t in group.tasks for token in t.ids[past:]]
        assert row.ids.tolist() == [flat]
        wanted = [token for t in group.tasks for token in t.targets]
        assert [flat[k + 1] for k in row.wanted.tolist()] == wanted
        block = [k for k, t in enumerate(group.tasks) for _ in t.ids[past:]]
        place = [past + n for t in group.tasks for n in range(len(t.ids) - past)]
        assert row.positions.tolist() == [place]
        assert row.mask is not None
        for q in range(len(flat)):
            sees = row.mask[0, 0, q].tolist()
            assert sees == [True] * past + [block[q] == block[k] and k <= q for k in range(len(flat))]
        table = padded(group.tasks, past, CPU, pad=0)
        assert [table.ids.flatten()[k + 1].item() for k in table.wanted.tolist()] == wanted


def test_an_additive_mask_is_zero_where_the_boolean_one_is_true():
    (tasks,) = tasks_of(Prepared(((seen([6], [7, 8]), seen([9], [7])),)), "token")
    boolean, additive = (packed(tasks, 6, CPU, kind).mask for kind in (None, torch.float32))
    assert torch.equal(additive == 0, boolean)
    assert float(additive.min()) == torch.finfo(torch.float32).min


def test_one_prompt_with_many_targets_shares_the_prompt_up_to_its_last_token():
    (tasks,) = tasks_of(Prepared((tuple(seen([6, 7, 8], [k, k]) for k in (9, 10, 11)),)), "token")
    ((group,), alone) = grouped(tasks)
    assert not alone
    assert group.text == (1, 5)
    assert group.shared == (IMAGE,) * 4 + (6, 7)


def test_a_target_right_behind_the_picture_shares_nothing():
    # its first token is predicted by the picture's last one, whose hidden state a prefix does not give
    (tasks,) = tasks_of(Prepared(((seen([], [7]), seen([], [8])),)), "token")
    assert grouped(tasks) == ([], tasks)
