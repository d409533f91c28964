"""`a + b`: crafted in order, applied in order, cost added, key of both, one budget for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from proofglass.errors import ImageError, UnknownName
from proofglass.flow import Flow, drive
from proofglass.interfaces import Attack, Composed, Judge, Victim
from proofglass.registry import build
from proofglass.testing.material import Scripted
from proofglass.types import Artefact, Ask, Attempt, Budget, Chat, Cost, Reply, Sample, Score, Settings
from scripted_plugs import EchoVictim, Speck


@dataclass(frozen=True)
class Says(Attack):
    """Puts a word behind the text."""

    name = "says"
    changes = ("text",)

    word: str = "please"

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        if "sealed" in sample.chat.last_text:
            raise ValueError("says: cannot say it")
        return sample.chat.with_text(f"{sample.chat.last_text} {self.word}")


@dataclass(frozen=True)
class Learns(Attack):
    """Crafts a text for each sample out of what it is shown, and counts what it may spend."""

    name = "learns"
    changes = ("text",)
    opens = "gradients"
    scope = "sample"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        for sample in samples:
            seen = f"<{sample.chat.last_text}|{len(sample.chat.images)}>"
            trace = {"loss": [2.0, 1.0], "spent": budget.amount if budget else 0.0}
            yield Artefact(sample.id, texts=(seen,), crafted_on=victim.key, cost=Cost(forward=3), trace=trace)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_text(f"{sample.chat.last_text} {artefact.texts[0]}")


@dataclass(frozen=True)
class LearnsOnce(Learns):
    """Learns what serves all."""

    name = "learns-once"
    scope = "universal"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        yield replace(next(super().craft(victim, samples, seed=seed, budget=budget)), sample_id=None)


@dataclass(frozen=True)
class Breaks(Attack):
    """Finds a picture that cannot be read."""

    name = "breaks"

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        if "sealed" in sample.chat.last_text:
            raise ImageError("cut off")
        return sample.chat


@dataclass(frozen=True)
class Numbered(Attack):
    """Puts the number of the draw behind the text, in a dialogue of its own."""

    name = "numbered"
    changes = ("text",)

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        chat = sample.chat.with_text(f"{sample.chat.last_text} {ask.settings.draw}")
        reply = yield ask.on(chat)
        return chat, reply


@dataclass(frozen=True)
class Watches(Judge):
    """Notes the samples that it is shown; nothing is a success."""

    name = "watches"
    says = "bad"

    seen: list[Sample] = field(default_factory=list)

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        self.seen.extend(attempt.sample for attempt in attempts)
        return [Score(self.name, 0.0) for _ in attempts]


@dataclass(frozen=True)
class Twice(Attack):
    """Asks, and asks again about the answer; tells of its own work in the reply's reason."""

    name = "twice"
    changes = ("text",)

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        first = yield ask.on(sample.chat)
        chat = sample.chat.with_text(f"again {first.text}")
        second = yield ask.on(chat)
        return chat, replace(second, reason="asked twice")


def ask(attack: Attack, sample: Sample, artefact: Artefact) -> tuple[list[str], Chat, Reply]:
    """What the victim is asked, the last chat and the reply."""
    asked: list[str] = []

    def answer(asks: Sequence[Ask]) -> list[Reply]:
        asked.extend(one.chat.last_text for one in asks)
        return [Reply(f"r{len(asked)}", cost=Cost(queries=1)) for _ in asks]

    (end,) = drive([attack.converse(artefact, sample, Ask(sample.chat))], answer)
    assert end.value is not None, end.failure
    return asked, *end.value


def sample(text: str = "how", name: str = "a") -> Sample:
    return Sample(name, "lines", Chat.user(text))


def crafted(attack: Attack, *samples: Sample, **more: Any) -> list[Artefact]:
    return list(attack.craft(EchoVictim(), samples, seed=1, **more))


def test_members_change_a_chat_in_order_and_order_is_part_of_the_key() -> None:
    one, two = Says("x") + Says("y"), Says("y") + Says("x")
    (artefact,) = crafted(one, sample())
    assert one.apply(artefact, sample()).last_text == "how x y"
    assert two.apply(crafted(two)[0], sample()).last_text == "how y x"
    assert len({one.key, two.key, Says("x").key, (Says("x") + Says("z")).key}) == 4
    assert one.name == "says + says"


def test_a_sum_of_sums_is_flat() -> None:
    a, b, c = Says("a"), Says("b"), Says("c")
    assert ((a + b) + c) == (a + (b + c)) == Composed((a, b, c))


def test_what_it_is_follows_from_its_members() -> None:
    both = Speck() + Learns()
    assert (both.opens, both.scope, both.changes) == ("gradients", "sample", ("image", "text"))
    assert (Speck() + Says()).scope == "universal"
    assert (Says() + Says()).scope == "none"


def test_a_member_is_crafted_on_what_those_before_it_made() -> None:
    both = Speck() + Says("x") + Learns()
    shared = both.shared()
    assert isinstance(shared, Composed)
    (bought,) = crafted(shared, sample(name="crafting"))
    (own,) = crafted(both.after(bought), sample())
    assert own.sample_id == "a"
    assert own.parts[2].texts == ("<how x|1>",)
    chat = both.after(bought).apply(own, sample())
    assert (chat.last_text, chat.images) == ("how x <how x|1>", bought.images)
    assert own.cost == Cost(forward=3)  # what is shared was paid once, before
    assert own.trace["loss"] == [2.0, 1.0]


def test_what_may_be_spent_is_shared_among_those_that_spend() -> None:
    three = Learns() + Says() + Learns()
    (own,) = crafted(three, sample(), budget=Budget(100))
    assert [part.trace.get("spent") for part in own.parts] == [50.0, None, 50.0]
    assert own.cost == Cost(forward=6)
    (alone,) = crafted(Says() + Learns(), sample(), budget=Budget(100))
    assert alone.parts[1].trace["spent"] == 100.0


def test_what_is_crafted_once_and_what_for_each_share_one_budget() -> None:
    both = LearnsOnce() + Says() + Learns()
    shared = both.shared()
    assert shared is not None
    (bought,) = crafted(shared, sample(name="crafting"), budget=Budget(100))
    assert bought.parts[0].trace["spent"] == 50.0
    (own,) = crafted(both.after(bought), sample(), budget=Budget(100))
    assert own.parts[2].trace["spent"] == 50.0
    alone = (LearnsOnce() + Says()).craft(EchoVictim(), [sample()], seed=1, budget=Budget(100))
    assert next(alone).parts[0].trace["spent"] == 100.0


def test_a_broken_picture_of_one_sample_takes_no_other_with_it() -> None:
    made = crafted(Breaks() + Learns(), sample("sealed", "bad"), sample("open", "good"))
    assert [artefact.sample_id for artefact in made] == ["bad", "good"]


def test_a_judge_in_a_search_behind_another_attack_sees_the_question_as_it_was() -> None:
    judge, shown = Watches(), sample("how", "a")
    both = Says("x") + build("attacks", "best-of-n-text", n=2, sigma=0.0, judge=judge)
    asked, _, _ = ask(both, shown, crafted(both)[0])
    assert asked == ["how x"]
    assert judge.seen == [shown]
    changed = shown.changed(Chat.user("else")).changed(Chat.user("again"))
    assert Attempt(changed, changed.chat, Reply()).sample is shown
    assert both.apply(crafted(both)[0], shown).last_text == "how x"


def test_the_dialogue_of_a_record_is_the_one_that_brought_the_reply() -> None:
    search = build("attacks", "best-of-n-text", n=3, kind="repeated", judge=Watches(), go_on=True)
    end = drive(
        [(search + Numbered()).converse(Artefact(), sample(), Ask(sample().chat, Settings(temperature=1.0)))],
        lambda asks: [Reply(f"to {one.chat.last_text}", cost=Cost(queries=1)) for one in asks],
    )[0]
    assert end.value is not None
    chat, reply = end.value
    assert (chat.last_text, reply.text) == ("how 0", "to how 0")  # the first of equals is kept, three were asked


def test_a_member_that_has_to_ask_first_stands_before_one_with_wordings_alone() -> None:
    writer = Scripted()
    both = build("attacks", "mm-safetybench", writer=writer) + build("attacks", "prefix-injection")
    (made,) = crafted(both, sample())
    assert len(made.parts) == 2
    with pytest.raises(ValueError, match="asked in the dialogue"):
        crafted(build("attacks", "mm-safetybench", writer=writer) + LearnsOnce(), sample())


def test_the_traces_of_one_attack_twice_stand_beside_each_other() -> None:
    (own,) = crafted(Learns() + Says() + Learns(), sample())
    assert [name for name in own.trace if name.endswith("loss")] == ["learns (1): loss", "learns (3): loss"]


def test_a_sample_that_a_member_cannot_change_takes_no_other_with_it() -> None:
    both = Says() + Learns()
    made = crafted(both, sample("sealed", "bad"), sample("open", "good"))
    assert [artefact.sample_id for artefact in made] == ["bad", "good"]
    with pytest.raises(ValueError, match="cannot say it"):
        both.apply(made[0], sample("sealed", "bad"))


def test_each_ask_of_a_dialogue_passes_the_members_behind_it() -> None:
    both = Twice() + Says("x")
    asked, chat, reply = ask(both, sample(), crafted(both)[0])
    assert asked == ["how x", "again r1 x"]
    assert chat.last_text == "again r1 x"  # the record holds what was asked in the end
    assert (reply.text, reply.reason) == ("r2", "asked twice")


@pytest.mark.parametrize("both", [Twice() + Says("x"), Says("x") + Twice(), Twice() + Twice()], ids=str)
def test_an_error_of_the_victim_keeps_its_reason(both: Composed) -> None:
    def answer(asks: Sequence[Ask]) -> list[Reply]:
        return [Reply.error("too long for the model") for _ in asks]

    (end,) = drive([both.converse(crafted(both)[0], sample(), Ask(sample().chat))], answer)
    assert end.value is not None, end.failure
    chat, reply = end.value
    assert reply.outcome == "error"
    assert "too long" in reply.reason or reply.reason == "asked twice"
    assert chat.last_text.endswith(("x", "again "))


def test_a_dialogue_behind_another_is_led_for_each_of_its_asks() -> None:
    both = Twice() + Twice()
    asked, chat, _ = ask(both, sample(), crafted(both)[0])
    assert asked == ["how", "again r1", "again r2", "again r3"]
    assert chat.last_text == "again r3"


@pytest.mark.parametrize("members", [(), (EchoVictim(),)])
def test_members_are_attacks_and_there_is_one(members: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="members: expected"):
        Composed(members)


def test_names_are_joined_by_a_sign() -> None:
    both = build("attacks", "figstep + no-attack")
    assert [member.name for member in both.members] == ["figstep", "no-attack"]
    walls = build("defenses", "system-prompt + self-moderation")
    assert walls == build("defenses", "system-prompt") + build("defenses", "self-moderation")
    with pytest.raises(TypeError, match="takes no parameters"):
        build("attacks", "figstep + no-attack", size=3)
    with pytest.raises(UnknownName, match="no-atack"):
        build("attacks", "figstep + no-atack")
