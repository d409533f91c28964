"""A defended victim is a victim: what each defense asks, returns, records, and how they stack."""

from itertools import product

import numpy as np
import pytest

from proofglass import registry
from proofglass.defenses.inference.none import NoDefense
from proofglass.defenses.inference.self_moderation import CONFIRM, MODERATE, SelfModeration
from proofglass.defenses.inference.system_prompt import POLICY, SystemPrompt
from proofglass.interfaces import Defense, Victim
from proofglass.types import Ask, Chat, Cost, Decision, Image, Reply, Settings

PICTURE = Image.from_array(np.zeros((2, 2, 3), np.uint8))
CHAT = Chat.user(PICTURE, "what is this ?")


class Scripted(Victim):
    """Says its lines in order; remembers what it was asked."""

    name = "scripted"

    def __init__(self, *lines):
        self.lines, self.asks = list(lines), []

    def reply(self, asks):
        replies = []
        for ask in asks:
            self.asks.append(ask)
            line = self.lines.pop(0)
            replies.append(line if isinstance(line, Reply) else Reply(line, cost=Cost(queries=1, tokens_out=2)))
        return replies


class Echo(Victim):
    """Answers with the system prompt and the number of turns it saw: any change of the dialogue shows."""

    name = "echo"

    def reply(self, asks):
        return [Reply(f"{a.chat.system}|{len(a.chat.messages)}|{a.chat.last_text}") for a in asks]


def asked(defense, *lines, chat=CHAT):
    victim = Scripted(*lines)
    (reply,) = defense(victim).reply([Ask(chat)])
    return reply, victim.asks


# ---------------------------------------------------------------------------------------------- Self-Moderation


def test_g_sm1_the_loop_goes_on_until_the_victim_is_sure():
    reply, asks = asked(SelfModeration(3), "A0", "B", "No.", "B", "Yes")
    assert (reply.text, len(asks), reply.cost.queries) == ("B", 5, 5)


def test_g_sm2_a_first_yes_ends_after_three_calls():
    reply, asks = asked(SelfModeration(3), "A0", "A1", "yes")
    assert (reply.text, len(asks)) == ("A1", 3)


def test_g_sm3_never_yes_takes_all_rounds_and_returns_the_last_answer():
    reply, asks = asked(SelfModeration(3), "A0", "A1", "no", "A2", "no", "A3", "no")
    assert (reply.text, len(asks)) == ("A3", 7)


def test_g_sm4_no_rounds_is_the_undefended_victim():
    first = Reply("A0", decisions=(Decision("inner", True),), finish="length", cost=Cost(queries=1))
    reply, asks = asked(SelfModeration(0), first)
    assert reply == first
    assert len(asks) == 1


def test_each_round_asks_about_the_answer_before_it_in_the_same_dialogue():
    settings = Settings(max_new_tokens=7)
    victim = Scripted("A0", "A1", "no", "A2", "yes")
    SelfModeration(2)(victim).reply([Ask(CHAT, settings)])
    assert [ask.chat for ask in victim.asks] == [
        CHAT,
        CHAT.say("A0").ask(MODERATE),
        CHAT.say("A1").ask(CONFIRM),
        CHAT.say("A1").ask(MODERATE),
        CHAT.say("A2").ask(CONFIRM),
    ]
    assert all(ask.settings == settings for ask in victim.asks)
    assert all(ask.chat.images == (PICTURE,) for ask in victim.asks)


def test_it_fired_if_the_answer_changed():
    changed, _ = asked(SelfModeration(1), "A0", "A1", "yes")
    kept, _ = asked(SelfModeration(1), "A0", "A0", "yes")
    assert changed.decisions == (Decision("self-moderation", True, reason="the answer was rewritten"),)
    assert kept.decisions == (Decision("self-moderation", False),)


@pytest.mark.parametrize(
    ("text", "sure"),
    [
        ("yes", True),
        ("Yes, that is fine.", True),
        ("  SURE!", True),
        ("“Yes.”", True),
        ("**yes**", True),
        ("yes , that is fine .", True),
        ("yesterday", False),
        ("no, yes", False),
        ("surely", False),
        ("", False),
        ("...", False),
        ("no , that is a sealed thing . i take it back .", False),
    ],
)
def test_only_the_first_word_says_whether_the_victim_is_sure(text, sure):
    assert SelfModeration().is_affirmative(text) is sure


@pytest.mark.parametrize(
    "bad",
    [
        Reply.error("timeout"),
        Reply(outcome="filtered", reason="provider"),
        Reply("blocked.", outcome="blocked"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_reply_that_is_no_answer_ends_the_dialogue_and_is_returned_as_it_is(bad, place):
    lines = ["A0", "A1", "no", "A2", "yes"]
    lines[place] = bad
    reply, asks = asked(SelfModeration(2), *lines)
    assert (reply.outcome, reply.text, reply.reason) == (bad.outcome, bad.text, bad.reason)
    assert len(asks) == place + 1


def test_what_a_filter_let_through_is_reviewed_as_an_answer_is():
    cut = Reply("sure, first", "filtered", reason="provider")
    reply, asks = asked(SelfModeration(1), cut, "I take it back.", "yes")
    assert (reply.text, len(asks)) == ("I take it back.", 3)


def test_costs_of_all_inner_calls_are_counted():
    reply, _ = asked(SelfModeration(3), "A0", "A1", "no", "A2", "yes")
    assert (reply.cost.queries, reply.cost.tokens_out) == (5, 10)


def test_samples_of_a_batch_end_when_they_are_done():
    # Two dialogues: the first is sure at once, the second never; rounds are batches, so lines interleave.
    victim = Scripted("A0", "B0", "A1", "B1", "yes", "no", "B2", "no")
    replies = SelfModeration(2)(victim).reply([Ask(CHAT), Ask(Chat.user("other"))])
    assert [(r.text, r.cost.queries) for r in replies] == [("A1", 3), ("B2", 5)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": -1}, "rounds: expected at least 0"),
        ({"moderate": " "}, "moderate: expected no empty text"),
        ({"affirmatives": "yes"}, "affirmatives: expected a list of texts, found 'yes'"),
    ],
)
def test_wrong_parameters_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        SelfModeration(**wrong)


# ---------------------------------------------------------------------------------------------- system prompts


@pytest.mark.parametrize(
    ("mode", "earlier", "expected"),
    [
        ("replace", "old", "new"),
        ("append", "old", "old\nnew"),
        ("prepend", "old", "new\nold"),
        ("replace", "", "new"),
        ("append", "", "new"),
        ("prepend", "", "new"),
    ],
)
def test_a_system_prompt_goes_where_it_is_told_and_adds_no_call(mode, earlier, expected):
    chat = CHAT.with_system(earlier)
    reply, asks = asked(SystemPrompt("new", mode), "fine", chat=chat)
    (ask,) = asks
    assert ask.chat.system == expected
    assert [m for m in ask.chat.messages if m.role != "system"] == list(CHAT.messages)
    assert reply.text == "fine"
    assert chat.system == earlier


def test_an_empty_text_is_the_identity():
    for mode, earlier in product(("replace", "append", "prepend"), ("old", "")):
        chat = CHAT.with_system(earlier)
        _, (ask,) = asked(SystemPrompt("", mode), "fine", chat=chat)
        assert ask.chat is chat


def test_the_default_policy_speaks_of_pictures_and_of_answering():
    _, (ask,) = asked(SystemPrompt(), "fine")
    assert ask.chat.system == POLICY
    assert "\\" not in POLICY
    assert "picture" in POLICY
    assert "do not refuse out of caution alone" in POLICY


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="mode: expected replace, append or prepend, found 'before'"):
        SystemPrompt("x", "before")


# ---------------------------------------------------------------------------------------------- all of them

DEFENSES = [NoDefense(), SystemPrompt("be careful", "append"), SystemPrompt(), SelfModeration(2)]


class Stack(Defense):
    """Several defenses as one: the outermost first."""

    def __init__(self, *members):
        self.members = members

    def __call__(self, victim):
        for member in reversed(self.members):
            victim = member(victim)
        return victim


@pytest.mark.parametrize("members", list(product(DEFENSES, repeat=3)))
def test_stacking_is_associative(members):
    a, b, c = members
    ask = Ask(CHAT.with_system("old"))
    nested = a(b(c(Echo()))).reply([ask])
    assert Stack(a, b, c)(Echo()).reply([ask]) == nested
    assert Stack(a, Stack(b, c))(Echo()).reply([ask]) == nested
    assert Stack(Stack(a, b), c)(Echo()).reply([ask]) == nested


@pytest.mark.parametrize("defense", DEFENSES)
def test_no_defense_changes_the_ask_it_was_given(defense):
    ask = Ask(CHAT.with_system("old"), Settings(max_new_tokens=5))
    before = (ask.chat.messages, ask.settings)
    defense(Echo()).reply([ask])
    assert (ask.chat.messages, ask.settings) == before


@pytest.mark.parametrize("defense", DEFENSES)
def test_the_failure_of_a_victim_is_an_error_of_that_sample_only(defense):
    class Half(Echo):
        def reply(self, asks):
            replies = super().reply(asks)
            return [Reply.error("boom") if "bad" in str(a.chat) else r for a, r in zip(asks, replies, strict=True)]

    fine, bad = defense(Half()).reply([Ask(CHAT), Ask(Chat.user("bad"))])
    assert (fine.outcome, bad.outcome, bad.reason) == ("ok", "error", "boom")


def test_a_requery_inside_a_stack_passes_the_inner_defense_again():
    victim = Scripted("A0", "A1", "yes")
    SelfModeration(1)(SystemPrompt("inner")(victim)).reply([Ask(CHAT)])
    assert [ask.chat.system for ask in victim.asks] == ["inner"] * 3


def test_no_defense_returns_the_very_reply():
    first = Reply("A0", decisions=(Decision("inner", True),), finish="length", cost=Cost(queries=1))
    assert asked(NoDefense(), first)[0] == first


def test_keys_tell_configurations_apart():
    defenses = [*DEFENSES, SelfModeration(1), SelfModeration(2, confirm="sure ?"), SystemPrompt("be careful")]
    stacks = [d(Echo()).key for d in defenses]
    assert len(set(stacks)) == len(defenses)
    assert SystemPrompt("a")(SystemPrompt("b")(Echo())).key != SystemPrompt("b")(SystemPrompt("a")(Echo())).key


def test_the_registry_builds_all_three():
    assert registry.build("defenses", "none") == NoDefense()
    assert registry.build("defenses", "system-prompt", text="x") == SystemPrompt("x")
    built = registry.build("defenses", "self-moderation", rounds=1, affirmatives=["ja"])
    assert built == SelfModeration(1, affirmatives=("ja",))
