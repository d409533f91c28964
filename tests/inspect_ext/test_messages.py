"""Our nouns as Inspect's and back: what goes there comes back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scripted_plugs as plugs
from proofglass import images
from proofglass.errors import ImageError
from proofglass.inspect_ext import messages
from proofglass.types import Ask, Chat, Cost, Decision, Message, Reply, Score, Settings

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PARTS = st.lists(st.one_of(WORDS, st.integers(0, 3).map(lambda k: plugs.noise(str(k), 4))), min_size=1, max_size=3)
ROLES = st.sampled_from(["system", "user", "assistant"])
CHATS = st.lists(st.builds(Message, ROLES, PARTS.map(tuple)), max_size=4).map(lambda turns: Chat(tuple(turns)))


@given(CHATS)
def test_a_chat_comes_back_with_its_parts_in_order_and_its_pictures(chat: Chat) -> None:
    assert messages.chat_of(messages.messages_of(chat)) == chat


@given(
    text=WORDS,
    outcome=st.sampled_from(["ok", "refused", "filtered", "blocked", "error"]),
    finish=st.sampled_from(["stop", "length"]),
    reason=WORDS,
    cost=st.builds(Cost, queries=st.integers(0, 9), tokens_in=st.integers(0, 9), tokens_out=st.integers(0, 9),
                   money=st.floats(0, 9)),
    reasoning=WORDS,
)  # fmt: skip
def test_a_reply_comes_back_as_it_was(text, outcome, finish, reason, cost, reasoning) -> None:
    text = "" if outcome == "error" else text
    finish = finish if outcome == "ok" else "stop"  # a reply that was stopped was not cut
    decided = (Decision("gate", True, 0.5, 0.25, "why"),) if outcome == "blocked" else ()
    reasoning = "" if outcome == "error" else reasoning
    helpers = {"guard": cost} if outcome == "blocked" else {}
    reply = Reply(text, outcome, finish, reason or "because", decided, cost, reasoning=reasoning, helpers=helpers)
    assert messages.reply_of(messages.output_of(reply, "model")) == reply


def test_an_error_has_no_choice_that_could_be_taken_for_an_answer() -> None:
    output = messages.output_of(Reply.error("HTTP 503"), "model")
    assert (output.choices, output.completion, output.error) == ([], "", "HTTP 503")


def test_the_stop_reason_of_another_model_says_what_its_output_is() -> None:
    from inspect_ai.model import ContentReasoning, ContentText, ModelOutput, ModelUsage, StopDetails

    def output(stop_reason: str) -> ModelOutput:
        made = ModelOutput.from_content("other", "text", stop_reason)  # type: ignore[arg-type]
        made.usage = ModelUsage(input_tokens=3, input_tokens_cache_read=4, output_tokens=2, total_cost=0.5)
        return made

    cost = Cost(queries=1, tokens_in=7, tokens_out=2, money=0.5)
    assert messages.reply_of(output("stop")) == Reply("text", cost=cost)
    assert messages.reply_of(output("max_tokens")) == Reply("text", finish="length", cost=cost)
    assert messages.reply_of(output("content_filter")) == Reply("text", "filtered", cost=cost)
    uncounted = ModelOutput.from_content("other", "Error 400: content policy", "content_filter")
    assert messages.reply_of(uncounted) == Reply("", "filtered", cost=Cost(queries=1))
    assert messages.reply_of(ModelOutput(model="other")).outcome == "error"
    refused = output("content_filter")
    refused.choices[0].stop_details = StopDetails(type="refusal", category="cyber")
    assert messages.reply_of(refused) == Reply("text", "refused", cost=cost)
    own_field = output("stop")
    own_field.choices[0].message.content = [ContentText(text="I'm sorry.", refusal=True)]
    assert messages.reply_of(own_field) == Reply("", "refused", reason="I'm sorry.", cost=cost)
    thought = output("max_tokens")
    thought.choices[0].message.content = [ContentReasoning(reasoning="first I")]
    assert messages.reply_of(thought) == Reply("", finish="length", cost=cost, reasoning="first I")
    uncounted.choices[0].stop_details = StopDetails(type="refusal", explanation="an error in these words")
    assert messages.reply_of(uncounted).outcome == "filtered"


def test_what_is_withheld_scores_0_and_a_thought_alone_is_not_scored() -> None:
    unjudged = Score.unjudged("j", "cut off in its reasoning")
    for outcome in ("refused", "filtered", "blocked"):
        assert messages.score_of(unjudged, Reply("", outcome)).value == 0.0
        assert messages.score_of(unjudged, Reply("", outcome), of_refusals=True).value == 1.0
    cut = messages.score_of(unjudged, Reply("", finish="length", reasoning="first I"))
    assert cut.value != cut.value  # NaN: left out
    assert messages.score_of(Score("j", 1.0), Reply("sure, first", "refused")).value == 1.0


def test_only_what_an_ask_changes_is_told_to_the_model() -> None:
    # What stays open is what the task, the model or the command line say.
    base = Settings(48)
    assert messages.config_of_changes(base, base).model_dump(exclude_none=True) == {}
    changed = Settings(12, temperature=0.5, stop=("end",), draw=2)
    told = {"max_tokens": 12, "temperature": 0.5, "stop_seqs": ["end"], "seed": 2}
    assert messages.config_of_changes(changed, base).model_dump(exclude_none=True) == told
    assert messages.settings_of(messages.config_of(changed)) == changed


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("https://example.com/cat.png", ValueError, "found the address"),
        ("file:///etc/passwd", ValueError, "found the address"),
        ("data:image/png,raw", ImageError, "expected a base64 data URI"),
        ("data:image/png;base64,***", ImageError, "broken base64"),
        ("data:image/png;base64,AAAA", ImageError, "not a picture"),
        ("/no/such/picture.png", ImageError, "cannot be read"),
    ],
)
def test_a_picture_is_never_fetched_and_a_broken_one_says_so(source: str, kind: type, said: str) -> None:
    from inspect_ai.model import ChatMessageUser, ContentImage

    with pytest.raises(kind, match=said):
        messages.chat_of([ChatMessageUser(content=[ContentImage(image=source)])])


def test_a_picture_may_be_a_local_file(tmp_path) -> None:
    from inspect_ai.model import ChatMessageUser, ContentImage

    images.write(plugs.noise("file"), tmp_path / "x.png")
    chat = messages.chat_of([ChatMessageUser(content=[ContentImage(image=str(tmp_path / "x.png"))])])
    assert chat.images == (plugs.noise("file"),)


def test_what_a_chat_cannot_hold_is_refused() -> None:
    from inspect_ai.model import ChatMessageTool, ChatMessageUser, ContentAudio

    with pytest.raises(ValueError, match="the result of a tool"):
        messages.chat_of([ChatMessageTool(content="42")])
    with pytest.raises(ValueError, match="found audio"):
        messages.chat_of([ChatMessageUser(content=[ContentAudio(audio="x.mp3", format="mp3")])])


# ------------------------------------------------------------------------------------ the provider


def ask(model: str, text: str = "first0?", tools: list | None = None, **options):
    """What `proofglass/MODEL` says, outside of a task."""
    import asyncio

    from inspect_ai.model import GenerateConfig, get_model

    from proofglass.inspect_ext import registered  # noqa: F401

    config = GenerateConfig(**options.pop("config", {}))
    model = get_model(f"proofglass/{model}", memoize=False, **options)
    return asyncio.run(model.api.generate([*messages.messages_of(Chat.user(text))], tools or [], "auto", config))


def test_a_victim_answers_as_a_model(scripted) -> None:
    (reply,) = plugs.EchoVictim().reply([Ask(Chat.user("first0?"))])
    assert messages.reply_of(ask("echo")) == reply


def test_a_victim_may_stand_behind_a_defense(scripted) -> None:
    output = ask("echo", defense="wall")
    assert (output.completion, output.choices[0].stop_details.category) == ("blocked here", "blocked by a defense")


def test_what_a_victim_cannot_do_is_said(scripted) -> None:
    from inspect_ai.tool import ToolInfo

    with pytest.raises(ValueError, match="takes no tools, found look"):
        ask("echo", tools=[ToolInfo(name="look", description="looks")])
    with pytest.raises(ValueError, match="takes no num_choices"):
        ask("echo", config={"num_choices": 3})
    with pytest.raises(RuntimeError, match="scripted failure"):
        ask("echo", "it fails")


def test_tokens_are_counted_without_a_download(scripted) -> None:
    import asyncio

    from proofglass.inspect_ext.registered import VictimAPI

    assert asyncio.run(VictimAPI("echo").count_text_tokens("häh")) == 4
