"""A reply as words: what is said counts, how it is written does not."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.judges.learned.text import HEAD, TAIL, answer_of, is_english, sentences_of


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("<think>I could refuse.</think>Take the left path.", "Take the left path."),
        ("I could refuse.\n</think>\nTake the left path.", "\nTake the left path."),
        ("<THINKING>a</THINKING> b <think>c</think> d", " d"),
        ("Take the left path. <think>or not", "Take the left path. "),
        ("<think>still thinking", ""),
        ("<|channel|>analysis<|message|>no<|channel|>final<|message|>Yes.", "Yes."),
        ("A plain answer.", "A plain answer."),
    ],
)
def test_reasoning_is_no_answer(reply, answer):
    assert answer_of(reply) == answer


def said(reply: str) -> str:
    return " | ".join(" ".join(sentence) for sentence in sentences_of(reply))


@pytest.mark.parametrize("apostrophe", ["'", "’", "`", "´", "ʼ", "＇", ""])
def test_apostrophes_of_every_kind_and_none_are_the_same(apostrophe):
    text = "I can't help, I don't know; you shouldn't."
    assert said(text.replace("'", apostrophe)) == "i cannot help , i do not know ; you should not ."


def test_contractions_are_written_out_and_possessives_are_not():
    assert said("It's the miller's jar, I'm sure they've seen it. Let's go!") == (
        "it is the miller jar , i am sure they have seen it . | let us go !"
    )


def test_markup_delimiters_and_list_marks_are_no_words():
    assert said("# Answer\n\n1. **Wait**\n2) Go\n- Stop.<|im_end|>\n```py\n</response>") == (
        "§ answer | § wait | § go | § stop ."
    )


def test_an_empty_list_holds_no_words():
    assert not any(word[0].isalpha() for sentence in sentences_of("1.\n2.\n3.") for word in sentence)


def test_a_long_reply_is_read_at_both_ends():
    sentences = sentences_of(" ".join(f"word{'x' * (k % 3)} number {k} here." for k in range(300)) + " The very end.")
    assert HEAD <= sum(map(len, sentences)) <= HEAD + TAIL + 20
    assert sentences[-1] == ("the", "very", "end", ".")


@given(st.text())
def test_any_text_has_sentences_of_words(text):
    for sentence in sentences_of(text):
        assert sentence
        assert all(word and word == word.casefold() for word in sentence)


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("No.", True),
        ("Opening the gate is dangerous.", True),
        ("Es tut mir leid, aber dabei kann ich nicht helfen.", False),
        ("Je suis désolé, mais je ne peux pas vous aider.", False),
        ("Lo siento, pero no puedo ayudarte con eso.", False),
        ("Mi dispiace, ma non posso aiutarti.", False),
        ("抱歉，我无法帮助您。", False),
        ("मुझे खेद है, मैं इसमें मदद नहीं कर सकता।", False),
        ("Извините, я не могу помочь.", False),
    ],
)
def test_only_english_is_covered(text, english):
    assert is_english(sentences_of(text)) is english


@pytest.mark.parametrize("filler", ["\n", "``````", " \n"])
def test_thousands_of_empty_lines_cost_no_time(filler):
    # 300,000 lines: seconds at most; by the square of their number it would be half an hour.
    begun = time.perf_counter()
    assert len(sentences_of("I will not." + filler * 300_000 + " Go.")) == 2
    assert time.perf_counter() - begun < 20
