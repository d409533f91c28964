"""What a model thought is no part of its answer, by marks that its folder knows, and by no others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.victims.hf.thought import MARKS, Marks, marks_of, spoken

THINK = Marks("<think>", "</think>")


class Words:
    """A tokenizer of words; the marks are tokens of their own, and special ones are left out of texts."""

    def __init__(self, added: Sequence[str] = (), special: bool = False) -> None:
        self.words: list[str] = [*added]
        self.added, self.special = {word: k for k, word in enumerate(added)}, special

    def get_added_vocab(self) -> dict[str, int]:
        return self.added

    def encode(self, text: str) -> list[int]:
        for mark in ("<think>", "</think>"):
            text = text.replace(mark, f" {mark} ")
        for word in text.split():
            if word not in self.words:
                self.words.append(word)
        return [self.words.index(word) for word in text.split()]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        hidden = self.added if skip_special_tokens and self.special else {}
        return " ".join(self.words[k] for k in ids if self.words[k] not in hidden)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("added", [("<think>", "</think>"), ()])
@pytest.mark.parametrize(
    ("reply", "prompt", "thought", "answer"),
    [
        ("<think> a b </think> yes", "user: x assistant:", "a b", "yes"),
        ("a b </think> yes", "user: x assistant: <think>", "a b", "yes"),  # the template began it
        ("a b </think> yes", "user: x assistant:", "a b", "yes"),  # its begin mark was left out
        ("<think> a b", "user: x assistant:", "a b", ""),  # cut off in thought
        ("a b", "user: x assistant: <think>", "a b", ""),
        ("<think> </think> yes", "user: x assistant:", "", "yes"),
        ("yes", "user: x assistant:", "", "yes"),
        ("yes", "user: <think> x assistant:", "", "yes"),
    ],
)
def test_a_thought_and_an_answer(special, added, reply, prompt, thought, answer) -> None:
    tokenizer = Words(added, special)
    marks = marks_of(tokenizer, "{% if thinking %}<think></think>{% endif %}")
    assert spoken(marks, tokenizer, tokenizer.encode(reply), tokenizer.encode(prompt)) == (thought, answer)


def test_a_thought_ends_once_what_stands_behind_it_is_said() -> None:
    assert THINK.split("<think>a</think>yes</think>no", opened=False) == ("a", "yes</think>no")


def test_a_model_that_knows_no_marks_writes_text_only() -> None:
    tokenizer = Words()
    marks = marks_of(tokenizer, "{{ messages }}")
    assert marks is None
    said = tokenizer.encode("<think> sure </think> no")
    assert spoken(marks, tokenizer, said, []) == ("", "<think> sure </think> no")


@pytest.mark.parametrize(("begin", "end"), MARKS)
def test_marks_are_known_by_tokens_or_by_the_template(begin: str, end: str) -> None:
    assert marks_of(Words(), f"... {end} ...") == Marks(begin, end)
    assert marks_of(Words([begin, end]), "") == Marks(begin, end, 0, 1)


@given(st.text("ab \n<", max_size=8), st.text("ab \n<", max_size=8), st.booleans())
def test_nothing_that_was_said_is_lost(thought: str, answer: str, opened: bool) -> None:
    told = (f"{thought}</think>" if opened else f"<think>{thought}</think>") + answer
    assert THINK.split(told, opened) == (thought.strip(), answer.strip())


def test_a_reply_of_a_model_that_thinks_aloud_has_its_thought_beside_it(tmp_path) -> None:
    from proofglass.types import Settings
    from proofglass.victims.hf.model import HFModel
    from tiny_models import build

    model = HFModel(build("lm", tmp_path / "lm"), "cpu")
    assert model.marks is None  # nothing in its folder knows a thought
    said = model.tokenizer("sure here is", add_special_tokens=False)["input_ids"]
    whole = model.read(said, [], Settings())
    assert (whole.reasoning, whole.text) == ("", model.tokenizer.decode(said))
    model.marks = Marks(begin="<think>", end=model.tokenizer.decode(said[1:2]), end_id=said[1])
    reply = model.read(said, [], Settings())
    assert reply.reasoning == model.tokenizer.decode(said[:1])
    assert reply.text == model.tokenizer.decode(said[2:]).strip()
    assert reply.cost.tokens_out == len(said)
