"""The text side of a victim: a text-only model, what candidates share, and what an own module opens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from plain_loop import picture
from proofglass.errors import ClosedVictim
from proofglass.interfaces import WhiteBoxVictim
from proofglass.registry import build as plug
from proofglass.types import Chat
from proofglass.victims.hf.candidates import Candidates
from proofglass.victims.hf_folder import HF
from proofglass.victims.own import OwnModule
from tiny_models import build
from toy_module import Open, Toy

MARK = "! ! !"
PAIRS = [(Chat.user(f"how do i make it {MARK} ?"), "sure , here"), (Chat.user(f"tell me {MARK}"), "ok")]
SEEN = [(Chat.user(picture(0), f"how do i make it {MARK} ?"), "sure , here"), (Chat.user(picture(0), MARK), "ok")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {name: build(name, folder / name) for name in ("llava", "blip2", "idefics", "lm")}


@pytest.fixture
def lm(folders) -> HF:
    return HF(folders["lm"], device="cpu")


@pytest.fixture
def llava(folders) -> HF:
    return HF(folders["llava"], device="cpu")


def candidates(victim, *texts):
    return [victim.encode(text) for text in texts]


# ---------------------------------------------------------------- tokens


def test_a_text_that_is_tokenised_otherwise_by_itself_is_told_by_its_ids(lm: HF) -> None:
    """What an attack on ids must look at: the text of a candidate may be other tokens for the model that reads it."""
    broken = lm.encode("é")[:1]  # half a letter
    assert lm.encode(lm.decode(broken)) != broken
    assert not lm.writable()[broken].any()
    assert lm.encode(lm.decode(lm.encode("a b"))) == lm.encode("a b")


def test_without_a_picture_neither_pixels_nor_their_gradient_are_there(lm: HF) -> None:
    prepared = lm.prepare([PAIRS], slots=(), mark=MARK)
    found = lm.loss_and_grad(None, prepared, need_grad=False)
    assert found.pixels is None
    with pytest.raises(ValueError, match=r"prepared for the slots \[\], found \['image'\]"):
        lm.loss_and_grad({"image": torch.zeros(1, 3, 4, 4)}, prepared)
    with pytest.raises(ValueError, match=r"expected a mapping of slots to tensors, \[\], found one tensor"):
        lm.loss_and_grad(torch.zeros(1, 3, 4, 4), prepared)


def test_a_gcg_step_on_text_lowers_the_loss(lm: HF) -> None:
    """The best of the single-token changes that the gradient proposes; the current mark is among the candidates."""
    prepared, allowed = lm.prepare([PAIRS], slots=(), mark=MARK), lm.writable()
    first, last = prepared.places[0][0].mark
    mark, losses = list(prepared.places[0][0].ids[first:last]), []
    for _ in range(3):
        prepared = prepared.filled([mark])
        loss, (grad,) = lm.mark_gradient(None, prepared)
        losses.append(float(loss))
        scores = (-grad @ lm.embeddings().float().T).masked_fill(~allowed, -torch.inf)
        swaps = [[*mark[:k], int(t), *mark[k + 1 :]] for k in range(len(mark)) for t in scores[k].topk(4).indices]
        tried = [mark, *swaps]
        mark = tried[int(lm.losses_of(None, prepared, [tried])[0].argmin())]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.05


def test_hotflip_scores_by_hand() -> None:  # G-H1: s(v) = (E_v - E_cur) . g
    rows, grad = torch.tensor([[0.0, 0], [1, 0], [0, 2], [-1, -1]]), torch.tensor([0.5, -1])
    assert ((rows - rows[0]) @ grad).tolist() == [0, 0.5, -2, 0.5]
    assert int(((rows - rows[2]) @ grad).argmin()) == 2


# ---------------------------------------------------------------- candidates


@pytest.mark.parametrize("weighting", ["token", "pair", "sum", "given"])
def test_candidates_are_weighed_as_a_gradient_step_weighs(llava: HF, weighting) -> None:
    x = torch.cat([llava.pixels(picture(seed)) for seed in (1, 2)])
    prepared = llava.prepare([SEEN, SEEN[:1]], mark=MARK)
    prepared = prepared.weighted([[[0.5, -1.0] + [0.0] * (sum(spans) - 2) for spans in row] for row in prepared.spans])
    rows = [candidates(llava, "! a !", "b", "what"), candidates(llava, "c d")]
    found = llava.losses_of(x, prepared, rows, weighting=weighting)
    assert found.isnan().tolist() == [[False] * 3, [False, True, True]]
    for b, row in enumerate(rows):
        for c, ids in enumerate(row):
            single = llava.loss_and_grad(
                x[b : b + 1], prepared.rows([b]).filled([ids]), weighting=weighting, need_grad=False
            )
            torch.testing.assert_close(found[b, c], single.loss[0], rtol=1e-5, atol=1e-6)


def test_the_shared_way_is_the_plain_one_of_the_interface(llava: HF) -> None:
    x, prepared = llava.pixels(picture(1)), llava.prepare([SEEN], mark=MARK)
    rows = [candidates(llava, "! a !", "b", "what")]
    plain = WhiteBoxVictim.losses_of(llava, x, prepared, rows)
    torch.testing.assert_close(llava.losses_of(x, prepared, rows), plain, rtol=1e-5, atol=1e-6)
    by_slot = WhiteBoxVictim.losses_of(llava, {"image": x}, prepared, rows)
    torch.testing.assert_close(by_slot, plain)


def test_a_picture_is_encoded_once_for_all_candidates(llava: HF) -> None:
    x, prepared = llava.pixels(picture(1)), llava.prepare([SEEN], mark=MARK)
    calls, encode = [], llava.model.family.encode
    llava.model.family.encode = lambda values: calls.append(1) or encode(values)
    llava.losses_of(x, prepared, [candidates(llava, *"abcdefgh")])
    assert calls == [1]


def test_the_text_in_front_of_a_mark_is_run_once_for_all_calls(lm: HF) -> None:
    prepared = lm.prepare([PAIRS], slots=(), mark=MARK)
    lm.losses_of(None, prepared, [candidates(lm, "a", "b")])
    seen, hidden = [], lm.model.family.hidden

    def watched(ids, *rest, **named):
        seen.append(tuple(ids.shape))
        return hidden(ids, *rest, **named)

    lm.model.family.hidden = watched
    rows = [candidates(lm, "a", "c")]
    lm.losses_of(None, prepared, rows)
    longest = [len(places.ids) - places.mark[0] for places in prepared.filled([rows[0][0]]).places[0]]
    assert seen == [(2, length - 1) for length in longest]  # for each pair: from the mark on, without the last target


def test_candidates_in_small_batches_have_the_same_losses(llava: HF, monkeypatch) -> None:
    x, prepared = llava.pixels(picture(1)), llava.prepare([SEEN], mark=MARK)
    rows = [candidates(llava, *"abcdefghij")]
    whole = llava.losses_of(x, prepared, rows)
    monkeypatch.setattr("proofglass.victims.hf.candidates.TOKENS", {"cpu": 1})
    torch.testing.assert_close(llava.losses_of(x, prepared, rows), whole, rtol=1e-5, atol=1e-6)


def test_a_candidate_begins_at_the_token_in_which_it_differs(lm: HF) -> None:
    prepared = lm.prepare([PAIRS[:1]], slots=(), mark=MARK)
    (places,) = prepared.places[0]
    mark, tail = list(places.ids[slice(*places.mark)]), len(places.ids) - places.mark[1] - 1
    lm.losses_of(None, prepared, [[mark, mark]])  # compared with whole rows, once
    seen, hidden = [], lm.model.family.hidden
    lm.model.family.hidden = lambda ids, *rest, **named: seen.append(ids.shape[1]) or hidden(ids, *rest, **named)
    for place in range(len(mark)):
        ids = [*mark[:place], 9, *mark[place + 1 :]]
        found = lm.losses_of(None, prepared, [[ids, ids]])
        assert seen[-1] == len(mark) - place + tail
        single = lm.loss_and_grad(None, prepared.filled([ids]), need_grad=False).loss
        torch.testing.assert_close(found[0, 0], single[0], rtol=1e-5, atol=1e-6)


def test_a_batch_of_candidates_that_does_not_fit_into_memory_is_halved(lm: HF, monkeypatch) -> None:
    prepared = lm.prepare([PAIRS], slots=(), mark=MARK)
    rows = [candidates(lm, *"abcdefgh")]
    whole, behind, sizes = lm.losses_of(None, prepared, rows), lm.model.step.behind, []

    def small(keys, past, rows, *rest):
        sizes.append(len(rows.ids))
        if len(rows.ids) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return behind(keys, past, rows, *rest)

    monkeypatch.setattr(lm.model.step, "behind", small)
    torch.testing.assert_close(lm.losses_of(None, prepared, rows), whole, rtol=1e-5, atol=1e-6)
    assert sizes[:3] == [8, 4, 2]
    assert max(sizes[2:]) == 2  # later batches are no larger
    assert any("out of memory with 8 rows in a batch" in remark for remark in lm.model.remarks)


def test_many_rows_of_ids_are_read_back_as_one_at_a_time(lm: HF) -> None:
    rows = [lm.encode("a b"), lm.encode("é")[:1], [], lm.encode("x") * 2, lm.encode("<s>"), lm.encode("kite é")]
    assert lm.reads_back(rows) == WhiteBoxVictim.reads_back(lm, rows)
    assert lm.reads_back([]) == []


def test_a_wrong_way_of_sharing_is_found_out_and_whole_rows_are_taken(llava: HF, monkeypatch) -> None:
    x, prepared = llava.pixels(picture(1)), llava.prepare([SEEN], mark=MARK)
    rows = [candidates(llava, "! a !", "b")]
    wanted = WhiteBoxVictim.losses_of(llava, x, prepared, rows)
    shared = Candidates._behind
    monkeypatch.setattr(
        Candidates, "_behind", lambda *given: {task: 1.01 * nll for task, nll in shared(*given).items()}
    )
    torch.testing.assert_close(llava.losses_of(x, prepared, rows), wanted, rtol=1e-5, atol=1e-6)
    assert llava.model.candidates.said.startswith("whole rows: disagrees with whole rows, loss 1e-02")
    assert llava.gradient_path().endswith("candidates by whole rows: disagrees with whole rows, loss 1e-02")

    def fails(*given):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(Candidates, "_behind", fails)
    llava.model.forget()
    torch.testing.assert_close(llava.losses_of(x, prepared, rows), wanted, rtol=1e-5, atol=1e-6)
    assert "RuntimeError: no such kernel" in llava.model.candidates.said


def test_a_mark_in_front_of_a_picture_shares_no_more_than_the_picture(llava: HF) -> None:
    chats = [(Chat.user(f"see {MARK} here", picture(0), "what is it"), "ok")]
    x, prepared = llava.pixels(picture(1)), llava.prepare([chats], mark=MARK)
    rows = [candidates(llava, "! a !", "b", "")]
    found = llava.losses_of(x, prepared, rows)
    assert llava.model.candidates.said == "whole rows: a picture stands behind the mark"
    torch.testing.assert_close(found, WhiteBoxVictim.losses_of(llava, x, prepared, rows), rtol=1e-5, atol=1e-6)


def test_steered_layers_steer_candidates_too(lm: HF) -> None:
    prepared, rows = lm.prepare([PAIRS], slots=(), mark=MARK), [candidates(lm, "a", "b")]
    before = lm.losses_of(None, prepared, rows)
    with lm.steering({0: torch.ones(32)}):
        inside = lm.losses_of(None, prepared, rows)
        torch.testing.assert_close(inside, WhiteBoxVictim.losses_of(lm, None, prepared, rows), rtol=1e-5, atol=1e-6)
    assert (inside - before).abs().max() > 1e-3
    torch.testing.assert_close(lm.losses_of(None, prepared, rows), before)


def test_a_picture_without_candidates_is_refused(lm: HF) -> None:
    prepared = lm.prepare([PAIRS], slots=(), mark=MARK)
    for rows in ([], [[]], [[[1]], [[2]]]):
        with pytest.raises(ValueError, match="candidates: expected some for each of 1 pictures"):
            lm.losses_of(None, prepared, rows)


def test_pairs_whose_marks_differ_in_length_have_no_common_gradient(lm: HF) -> None:
    """Two marks of one picture, here of unequal lengths by hand; filled with the same ids they have one."""
    prepared = lm.prepare([PAIRS], slots=(), mark=MARK)
    longer = replace(prepared, pairs=((prepared.pairs[0][0], prepared.pairs[0][1].filled([9, 9])),))
    with pytest.raises(ValueError, match=r"as many tokens in all pairs of a picture, found \[2, 5\]"):
        lm.mark_gradient(None, longer)
    with pytest.raises(ValueError, match="mark: found none"):
        lm.mark_gradient(None, lm.prepare([PAIRS], slots=()))


def test_each_picture_may_have_a_mark_of_its_own(lm: HF) -> None:
    rows = [[(Chat.user("tell me xx"), "ok")], [(Chat.user("tell me yyy now"), "ok")]]
    prepared = lm.prepare(rows, slots=(), mark=["xx", "yyy"])
    said = [lm.decode(row[0].ids[slice(*row[0].mark)]).strip() for row in prepared.places]
    assert said == ["xx", "yyy"]
    with pytest.raises(ValueError, match="'yyy' is not in it"):
        lm.prepare(rows, slots=(), mark="yyy")


@pytest.mark.parametrize("name", ["testbed-linear", "testbed-queries", "testbed-cross", "testbed-lm-helpful"])
def test_the_shipped_victims_open_their_text(name: str) -> None:
    victim = plug("victims", name, device="cpu")
    shown = [picture(1, 96)] if victim.sees_images else []
    pairs = [(Chat.user(*shown, "what is it xyz now"), "it is a kite")]
    prepared, slots = victim.prepare([pairs], mark="xyz", slots=()), ()
    assert prepared.slots == slots
    rows = [candidates(victim, "abc", "x y", "red", "blue kite")]
    found = victim.losses_of(None, prepared, rows)
    torch.testing.assert_close(found, WhiteBoxVictim.losses_of(victim, None, prepared, rows), rtol=1e-5, atol=1e-5)
    assert (
        victim.gradient_path()
        .rpartition("candidates by ")[2]
        .startswith("shared picture: " if shown else "shared text: ")
    )


# ---------------------------------------------------------------- an own module


def test_an_own_module_opens_its_tokens_and_by_its_embedding_the_rest() -> None:
    victim, shut = OwnModule(Open()), OwnModule(Toy())
    assert victim.decode(victim.encode("kite")) == "kite"
    x, rows = victim.pixels(picture(0)), [candidates(victim, "a b", "c", "zz")]
    for each in (victim, shut):
        prepared = each.prepare([SEEN], mark=MARK)
        found = each.losses_of(x, prepared, rows)
        for c, ids in enumerate(rows[0]):
            single = each.loss_and_grad(x, prepared.filled([ids]), need_grad=False).loss[0]
            torch.testing.assert_close(found[0, c], single)
    assert int(victim.writable().sum()) == 94  # what is printable of ASCII, the space aside
    for closed in (shut.embeddings, shut.writable, lambda: shut.mark_gradient(x, prepared)):
        with pytest.raises(ClosedVictim, match="let `embedding` of its module be"):
            closed()


def test_the_text_gradient_of_an_own_module_is_that_of_autograd() -> None:
    victim = OwnModule(Open())
    chat, target = Chat.user(picture(0), f"say {MARK} now"), "kite"
    x, prepared = victim.pixels(picture(0)), victim.prepare([[(chat, target)]], mark=MARK)
    _, (grad,) = victim.mark_gradient(x, prepared)
    ids = list(f"say {MARK} now\n".encode())
    rows = victim.embeddings()[ids + list(target.encode())][None].requires_grad_()
    state = rows.cumsum(1) / 4 + victim.net.see(x).mean(1, keepdim=True) * 4
    logits = (torch.sin(state) @ victim.net.head)[0, len(ids) - 1 : -1]
    F.cross_entropy(logits, torch.tensor(list(target.encode()))).backward()
    wanted = rows.grad[0, 4 : 4 + len(MARK)]
    assert wanted.abs().max() > 0
    torch.testing.assert_close(grad, wanted, rtol=1e-4, atol=1e-7)


def test_an_own_module_takes_a_fixed_picture_and_no_second_one() -> None:
    victim = OwnModule(Open())
    free = victim.loss_and_grad(victim.pixels(picture(0)), victim.prepare([SEEN]), need_grad=False)
    fixed = victim.loss_and_grad(None, victim.prepare([SEEN], slots=()), need_grad=False)
    torch.testing.assert_close(fixed.loss, free.loss)
    two = Chat.user(picture(0), picture(1), "which")
    with pytest.raises(ValueError, match="this victim takes one picture, found 2"):
        victim.prepare([[(two, "a")]], slots=("image", "image2"))
