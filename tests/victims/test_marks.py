"""Where a marked text stands among tokens: found whatever the tokenizer does at its ends, and refused where it cannot
be replaced alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from proofglass.victims.shared.marks import marks_in
from proofglass.victims.shared.prepared import Prompt, Slot, pair_of, prepared_of


def merging(*texts: str) -> Tokenizer:
    """Byte-level BPE that has learnt the words of `texts`, their leading spaces included."""
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    found.train_from_iterator(texts * 4, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    return found


WORDS = merging("say the magic word !! now", "please say it again and again")


def found(text: str, mark: str) -> str:
    ids = WORDS.encode(text).ids
    ((first, last),) = marks_in(ids, mark, WORDS.decode)
    return WORDS.decode(ids[first:last])


def test_a_mark_takes_the_tokens_that_say_it_with_the_space_that_belongs_to_the_first() -> None:
    assert len(WORDS.encode(" magic").ids) == 1  # the space is part of the token
    assert found("say the magic word now", "magic word") == " magic word"
    assert found("say the magic word now", " magic word ") == " magic word"
    assert found("magic word", "magic word") == "magic word"


def test_a_mark_that_shares_a_token_with_its_neighbour_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'gic' shares tokens with the text beside it \('magic'\)"):
        found("say the magic word", "gic")


@pytest.mark.parametrize(
    ("text", "mark", "says"),
    [
        ("say it", "magic", "is not in it"),
        ("! ! ! !", "! ! !", "overlaps itself"),
        ("magic word magic", "magic", "2 times, as other tokens"),  # "magic" and " magic"
        ("say it", "  ", "none but spaces"),
    ],
)
def test_a_mark_that_cannot_be_replaced_alone_is_refused(text: str, mark: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        found(text, mark)


@given(st.text("ab ", max_size=12), st.text("xyz", min_size=1, max_size=8), st.text("ab é", max_size=12))
def test_a_mark_is_found_wherever_it_stands(before: str, mark: str, behind: str) -> None:
    ids = list((before + mark + behind).encode())  # one token per byte
    ((first, last),) = marks_in(ids, mark, lambda part: bytes(part).decode(errors="replace"))
    assert bytes(ids[first:last]).decode() == mark


@given(st.lists(st.text("ab ", max_size=5), min_size=2, max_size=5), st.text("xyz", min_size=1, max_size=4))
def test_each_place_of_a_mark_is_found(beside: list[str], mark: str) -> None:
    text = f"-{mark}-".join(beside)
    places = marks_in(list(text.encode()), mark, lambda part: bytes(part).decode())
    assert len(places) == len(beside) - 1
    assert [text[first:last] for first, last in places] == [mark] * len(places)
    assert all(one[1] < other[0] for one, other in pairwise(places))


# ---------------------------------------------------------------- filling


def test_a_mark_that_stands_twice_is_filled_twice_and_what_is_between_and_behind_moves() -> None:
    slots = (Slot(4, 6, name="image"), Slot(9, 10, name="image2"))
    pair = pair_of(Prompt((1, 7, 8, 9, 3, 3, 7, 8, 5, 3), slots), [[4, 2]], marks=[(1, 3), (6, 8)])
    for ids in ([], [6], [6, 7], [6, 7, 8, 9]):
        filled, by = pair.filled(ids), len(ids) - 2
        places = filled.places
        assert filled.ids == (1, *ids, 9, 3, 3, *ids, 5, 3, 4, 2)
        assert places.marks == ((1, 1 + len(ids)), (6 + by, 6 + by + len(ids)))
        assert places.pictures == ((4 + by, 6 + by), (9 + 2 * by, 10 + 2 * by))
        assert filled.ids[slice(*places.target)] == (4, 2)
        assert filled.filled([7, 8]).places == pair.places


def test_what_stands_behind_a_filled_mark_moves_with_it() -> None:
    before, behind = Slot(1, 3, name="image"), Slot(6, 8, name="image2")
    pair = pair_of(Prompt((1, 3, 3, 7, 8, 9, 3, 3, 5), (before, behind)), [[4, 2]], marks=[(3, 5)])
    for ids in ([], [6], [6, 7], [6, 7, 8, 9]):
        filled = pair.filled(ids)
        places, by = filled.places, len(ids) - 2
        assert filled.ids == (1, 3, 3, *ids, 9, 3, 3, 5, 4, 2)
        assert places.mark == (3, 3 + len(ids))
        assert places.pictures == ((1, 3), (6 + by, 8 + by))
        assert filled.ids[slice(*places.target)] == (4, 2)
        assert filled.spans == pair.spans
        assert all(filled.ids[k] != 3 for k in filled.text_places)
        assert filled.filled([7, 8]).places == pair.places


def test_a_pair_without_a_mark_cannot_be_filled() -> None:
    prepared = prepared_of([[pair_of(Prompt((1, 2)), [[3]])]], ("image",))
    assert prepared.places[0][0].mark is None
    with pytest.raises(ValueError, match=r"mark: found none; prepare\(\.\.\., mark=\.\.\.\)"):
        prepared.filled([[1]])
    with pytest.raises(ValueError, match="those of 1 pictures, found 2"):
        prepared.filled([[1], [2]])


def test_slots_are_named_once_and_stand_for_pictures_that_are_there() -> None:
    pair = pair_of(Prompt((1, 3, 5), (Slot(1, 2),)), [[4]])
    with pytest.raises(ValueError, match="each name once"):
        prepared_of([[pair]], ("image", "image"))
    with pytest.raises(ValueError, match="no chat has a picture for 'image2', found 1 pictures at most"):
        prepared_of([[pair]], ("image", "image2"))
    with pytest.raises(ValueError, match="expected 'image', 'image2'"):
        prepared_of([[pair]], ("picture",))


def test_a_seen_picture_is_named_by_its_number() -> None:
    prompt = Prompt((1, 3, 3), (Slot(1, 2), Slot(2, 3))).named(["image2"])
    assert [slot.name for slot in prompt.slots] == ["", "image2"]
    assert torch.tensor([slot.first for slot in prompt.slots]).tolist() == [1, 2]
