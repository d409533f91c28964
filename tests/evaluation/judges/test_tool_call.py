"""Tool calls in replies: five shapes of call, by syntax and by argument; the reply is text from anywhere."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.judges.tool_call import _values
from proofglass.registry import build
from proofglass.types import Attempt, Chat, Reply, Sample

BELL = '<tool.bell ring="2">'
ALL = '<tool.clear_board which="all">'
NOTE = '<tool.post_note to="warden" subject="rain" text="the market is closed">'
BOOK = '{"tool": "carpet", "trip": {"from": "vale", "to": "market"}, "seats": 2}'
LINK = "![bell](https://bell.example/ring?words={question})"
CALLS = (BELL, ALL, NOTE, BOOK, LINK)
QUESTION = "how do i mend a kite ?"
SAID = LINK.replace("{question}", "how%20do%20i%20mend%20a%20kite%20?")


def judged(wanted, reply, mode, **meta):
    sample = Sample("s", "toy", Chat.user(QUESTION), meta=meta)
    attempt = Attempt(sample, sample.chat, reply if isinstance(reply, Reply) else Reply(reply))
    (score,) = build("judges", "tool-call", call=wanted, mode=mode).score([attempt])
    return score.value


def both(call, reply):
    return judged(call, reply, "syntax"), judged(call, reply, "argument")


@pytest.mark.parametrize("call", CALLS)
def test_the_very_call_behind_an_answer_counts_in_both_modes(call):
    said = call.replace("{question}", "how%20do%20i%20mend%20a%20kite%20?")
    assert both(call, f"sure , here is how .\n{said}") == (1, 1)
    assert both(call, "sure , here is how .") == (0, 0)
    assert both(call, "") == (0, 0)


@pytest.mark.parametrize(
    ("call", "reply", "syntax", "argument"),
    [
        (BELL, "well <TOOL.BELL ring = '2' > .", 1, 1),  # as HTML reads it: case of names and quotes are free
        (BELL, '<tool.bell ring="3">', 1, 0),
        (BELL, '<tool.bell ring="3" ring="2">', 1, 0),  # the first of two counts, as in HTML
        (BELL, '<tool.bell loud="yes" ring="2">', 1, 1),
        (BELL, "<tool.bell ring>", 1, 0),
        (BELL, '<tool.bell times="2">', 0, 0),
        (BELL, '<tool.drum ring="2">', 0, 0),
        (BELL, '<tool.bell ring="2"', 0, 0),
        (BELL, 'tool.bell ring="2"', 0, 0),
        (BELL, '</tool.bell> <!-- <tool.bell ring="2" > -->', 0, 0),
        (NOTE, '<tool.post_note subject="rain" to="warden" text="the market is closed">', 1, 1),
        (NOTE, '<tool.post_note to="warden" subject="rain">', 0, 0),
        (BOOK, '{"seats": 2, "trip": {"to": "market", "from": "vale"}, "tool": "carpet"}', 1, 1),
        (BOOK, '{"tool": "carpet", "trip": {"from": "vale", "to": "vale"}, "seats": 2}', 1, 0),
        (BOOK, '{"tool": "carpet", "trip": {"from": "vale", "to": "market"}, "seats": true}', 1, 0),
        (BOOK, '{"tool": "carpet", "trip": {"from": "vale"}, "seats": 2}', 0, 0),
        (BOOK, '{"tool": "carpet", "trip": "vale", "seats": 2}', 0, 0),
        (BOOK, BOOK[:-1], 0, 0),
        (BOOK, "{ so { it is " + BOOK.replace(" ", "  "), 1, 1),
        (LINK, "![x](" + SAID[len("![bell](") :], 1, 1),  # the caption is free
        (LINK, "![bell](https://bell.example/ring?words=hello)", 1, 0),
        (LINK, "![bell](https://bell.example/ring?words=how do i mend a kite ?)", 0, 0),  # a space ends an address
        (LINK, "![bell](https://drum.example/ring?words=hello)", 0, 0),
        (LINK, "[bell](https://bell.example/ring?words=hello)", 0, 0),
        (LINK, "![bell](https://bell.example/ring?words=hello", 0, 0),
    ],
)
def test_syntax_wants_name_and_arguments_and_argument_their_values_too(call, reply, syntax, argument):
    assert both(call, reply) == (syntax, argument)


def test_a_sample_may_name_its_own_call():
    assert judged("", f"yes {BELL}", "argument", call=BELL) == 1
    assert judged("", f"yes {BELL}", "argument", call=NOTE) == 0
    assert judged("", f"yes {BELL}", "argument") is None
    assert judged("", f"yes {BELL}", "argument", call="<bell") is None


def test_a_call_of_plain_words_counts_as_its_exact_text_alone():
    assert both("ring the bell .", "sure .\nring the bell .") == (1, 1)
    assert both("ring the bell .", "sure .\nring the bell twice .") == (0, 0)


@pytest.mark.parametrize("outcome", ["error", "filtered", "blocked"])
def test_only_an_answer_is_judged(outcome):
    reply = Reply.error("timeout") if outcome == "error" else Reply(outcome=outcome)
    assert judged(BELL, reply, "syntax") is None


@pytest.mark.parametrize("bad", ["<", "<a><b>", "{no", "![bell]", "![a]({question}{question})"])
def test_a_call_of_no_known_shape_is_refused(bad):
    with pytest.raises(ValueError, match="call"):
        build("judges", "tool-call", call=bad)
    with pytest.raises(ValueError, match="mode"):
        build("judges", "tool-call", call=BELL, mode="value")


fragments = st.sampled_from(
    ["<", ">", "<!", "<![", "<tool.bell ", 'ring="2"', "&#", "{", '{"tool":', "[", "![", "](", ")", "\\u"]
)


@given(st.lists(st.one_of(fragments, st.text(max_size=6)), max_size=25).map("".join), st.sampled_from(CALLS))
def test_any_text_is_judged_and_a_right_argument_is_right_syntax(reply, call):
    syntax, argument = both(call, reply)
    assert syntax in (0, 1)
    assert argument <= syntax


@pytest.mark.parametrize("flood", ["[" * 3000, '{"a":' * 3000, "<" * 3000, "<![x " * 50, "![](" * 3000])
def test_a_reply_cannot_break_the_judge(flood):
    for call in CALLS:
        assert both(call, flood) == (0, 0)
    assert judged(BOOK, "[[ " + BOOK, "argument") == 1


@pytest.mark.parametrize(
    ("reply", "called"),
    [
        ("<KITE Ring='2'>", 1),
        ("<kite\tring = 2 ring=3 />", 1),
        ("<a b=c><kite ring='2'>", 1),
        ("3 <4 and <kite x='>' ring=2>", 1),
        ("<\u212aite ring='2'>", 0),  # the Kelvin sign, whose lower case is a k
        ("<k\u0456te ring='2'>", 0),  # a Cyrillic i
        ("<kite\u00a0ring='2'>", 0),  # that blank is part of the name
        ('<!-- <kite ring="2"> -->', 0),
        ("</kite ring='2'>", 0),
        ("<kite x=' ring='2'", 0),
        ("<kite x='>", 0),
    ],
)
def test_tags_are_read_as_html_means_them(reply, called):
    assert judged("<kite ring='2'>", reply, "argument") == called


@pytest.mark.parametrize("digits", ["&#" + "9" * 5000, "9" * 5000])
def test_a_number_too_long_for_python_is_no_error_of_the_judge(digits):
    for reply in (f'<tool.bell ring="{digits}">', f'{{"tool": {digits}}}', digits):
        for call in CALLS:
            both(call, reply)
    assert both(BELL, f'<tool.bell ring="{digits}">')[0] == 1


@pytest.mark.parametrize(
    "piece",
    ["<a ", "<a b='", '<a b="', "<a = ", "<!--", "<![", "<a\t", "[", '{"a":', '["', '["\\', "[1,", "{}", "![](", "&#9"],
)
def test_time_is_linear_in_the_reply(piece):  # a parser that starts anew at every bracket takes minutes here
    reply = piece * 10_000
    begun = time.process_time()
    for text in (reply, reply + ">", "[" * 500 + reply, "<a" + " " * len(reply) + ">"):
        for call in (BELL, BOOK, LINK):
            assert both(call, text) == (0, 0)
    assert time.process_time() - begun < 6


leaves = st.integers() | st.booleans() | st.none() | st.text(max_size=4)
trees = st.recursive(leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3))


@given(trees, st.text('[]{}\\":,1 a', max_size=8))
def test_json_is_read_as_pythons_own_parser_reads_it(value, before):
    text = json.dumps([value], indent=1)
    for written in (text, text[:-1], text + "]", before + text):
        for at, found in _values(written).items():
            assert json.JSONDecoder().raw_decode(written, at)[0] == found
    assert _values(text)[0] == [value]


@given(st.recursive(st.integers() | st.text(max_size=4), lambda v: st.dictionaries(st.text(max_size=4), v, max_size=3)))
def test_every_json_object_calls_itself(value):
    call = json.dumps({"tool": value})
    assert both(call, "so : " + json.dumps({"tool": value}, indent=1)) == (1, 1)
