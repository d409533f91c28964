"""What every plug promises, as functions that raise AssertionError. Each is shown to fail on a plug that is broken in
its way (tests/conformance/test_checks_bite.py).

Each check takes plugs and material (samples, chats), never a name: the same checks serve other packages' plugs.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from proofglass.conformance.variants import keyed, variants
from proofglass.errors import ClosedVictim, ImageError
from proofglass.flow import drive
from proofglass.interfaces import (
    Attack,
    Dataset,
    Defense,
    Detector,
    Encoder,
    Judge,
    Paper,
    Plug,
    Victim,
    WhiteBoxVictim,
    innermost,
    key_of,
)
from proofglass.types import (
    Artefact,
    Ask,
    Attempt,
    BadSample,
    Chat,
    Expected,
    Image,
    Reply,
    Sample,
    Settings,
    pixel_hash,
)

if TYPE_CHECKING:
    import torch

Build = Callable[[], Any]


# ---------------------------------------------------------------- every plug


def is_a_frozen_dataclass(plug: Plug) -> None:
    """Its fields are its configuration, and nobody can change them after `__post_init__` checked them."""
    assert dataclasses.is_dataclass(plug), f"{type(plug).__name__} is no dataclass"
    assert type(plug).__dataclass_params__.frozen, f"{type(plug).__name__} is not frozen"


def says_what_it_is(plug: Plug, *, needs_paper: bool) -> None:
    """A docstring of its own and, where it comes from a paper, that paper with a link."""
    text = type(plug).__doc__ or ""
    assert text.strip(), "no docstring"
    assert not text.startswith(f"{type(plug).__name__}("), "no docstring of its own"
    assert plug.name, "no name"
    if plug.paper is None:
        assert not needs_paper, "no paper"
    else:
        assert isinstance(plug.paper, Paper)
        assert all((plug.paper.short, plug.paper.title, plug.paper.link)), "the paper lacks title or link"


def key_is_stable(build: Build) -> None:
    """Two plugs of one configuration have one key, and using a plug's key does not change it."""
    one, other = build(), build()
    assert one.key == other.key == one.key, "two builds, two keys"


def key_holds_every_parameter(plug: Plug, others: Mapping[str, Any] | None = None) -> None:
    """Another value in any field is another key, unless `not_in_key` says that it changes no result. Values that the
    plug refuses, or cannot name, are passed over.

    others: a value to try, for fields in which none can be guessed.
    """
    tried = 0
    for name, value, key in variants(plug, others):
        tried += 1
        assert key != plug.key, f"{name}: {value!r} has the same key"
    assert tried or not keyed(plug), "nothing could be tried: give a value in `others`"


def settings_build_it_again(plug: Plug) -> None:
    """What a record keeps is enough to build the same plug."""
    again = type(plug)(**plug.settings())
    assert again == plug
    assert again.key == plug.key


def takes_strings_for_paths(plug: Plug) -> None:
    """Every field that is a path becomes one whatever it is given as: a command line and Python give strings."""
    for field in dataclasses.fields(plug):  # type: ignore[arg-type]
        words = set(re.findall(r"\w+", str(field.type)))
        if not field.init or "Path" not in words or "str" in words:
            continue
        told: Any = str(getattr(plug, field.name) or "a/place")
        expected: Any = Path(told)
        if "tuple" in words or "Sequence" in words:
            told, expected = [told], (expected,)
        again = dataclasses.replace(plug, **{field.name: told})  # type: ignore[type-var]
        assert getattr(again, field.name) == expected, f"{field.name}: {told!r} stays a string"


# ---------------------------------------------------------------- pictures


def is_8_bit(image: Image) -> None:
    """Pixels as they are stored: uint8, of the stated size, under the name of these very pixels."""
    pixels = image.array()
    assert pixels.dtype == np.uint8, pixels.dtype
    assert pixels.shape == (image.height, image.width, 3), pixels.shape
    assert pixel_hash(pixels) == image.sha256, "the hash is of other pixels"


# ---------------------------------------------------------------- data sets


def ids_are_unique(data: Dataset) -> None:
    ids = [row.id for row in data]
    assert ids, "no samples"
    assert len(set(ids)) == len(ids), "an id stands twice"


def iterates_alike_twice(data: Dataset) -> None:
    """The same rows in the same order, crafting split included."""
    for rows in (data.__iter__, data.crafting):
        assert [_named(row) for row in rows()] == [_named(row) for row in rows()]


def crafting_is_disjoint(data: Dataset) -> None:
    """No judged id and no judged question is in the crafting split, and its samples say where they belong."""
    judged = [row for row in data if isinstance(row, Sample)]
    crafting = list(data.crafting())
    assert not {s.id for s in judged} & {s.id for s in crafting}, "an id is in both splits"
    assert not {s.chat for s in judged} & {s.chat for s in crafting}, "a question is in both splits"
    assert all(s.split == "craft" for s in crafting), "a crafting sample does not say so"


def samples_are_whole(data: Dataset) -> None:
    """Every sample asks something, expects a known answer, and its pictures are 8-bit. The data has a licence."""
    assert data.licence, "no licence"
    for row in data:
        assert row.dataset == data.name, f"{row.id} says it is of {row.dataset}"
        if isinstance(row, BadSample):
            assert row.reason, f"{row.id} does not say why it is bad"
            continue
        assert row.chat.last_text.strip(), f"{row.id} asks nothing"
        assert row.expected in get_args(Expected), row.expected
        json.dumps(dict(row.meta))
        for image in row.chat.images:
            is_8_bit(image)


def _named(row: Sample | BadSample) -> str:
    return key_of(row)


# ---------------------------------------------------------------- attacks


def crafts_alike_for_one_seed(attack: Attack, victim: Victim, samples: Sequence[Sample]) -> None:
    one, other = (list(attack.craft(victim, samples, seed=3)) for _ in range(2))
    assert [_bought(a) for a in one] == [_bought(a) for a in other], "one seed, two artefacts"


def crafts_what_its_scope_says(attack: Attack, victim: Victim, samples: Sequence[Sample]) -> None:
    """ "universal": one artefact for all; "sample": one for each, under its id; "none": nothing of its own. It says
    which victim it was made on, and what it spent on what it opens."""
    found = list(attack.craft(victim, samples, seed=3))
    if attack.scope == "none":
        assert type(attack).craft is Attack.craft, "crafts, and says that it has nothing to craft"
    if attack.scope in ("universal", "none"):
        assert [a.sample_id for a in found] == [None], "not one universal artefact"
    else:
        assert [a.sample_id for a in found] == [s.id for s in samples], "not one artefact per sample"
    for artefact in found:
        assert artefact.crafted_on in ("", victim.key), "made on another victim"
        if attack.opens == "scores":
            assert artefact.cost.forward + artefact.cost.queries > 0, "searched by scores and counts no pass"
        if attack.opens in ("encoder", "gradients"):
            assert artefact.crafted_on == victim.key, "does not say which victim it was made on"
            # A victim that says the target at once is shown the clean picture, which took no gradient.
            untouched = artefact.clean is not None and set(artefact.images) == {artefact.clean}
            assert untouched or artefact.cost.backward > 0, "used gradients and counts none"
        json.dumps([dict(artefact.meta), dict(artefact.trace)])
        for image in artefact.images:
            is_8_bit(image)


def apply_is_pure(attack: Attack, artefact: Artefact, sample: Sample) -> None:
    """Twice the same chat, and the sample and the artefact are as before."""
    before = copy.deepcopy((key_of(sample), _bought(artefact)))
    one, other = attack.apply(artefact, sample), attack.apply(artefact, sample)
    assert one == other, "two calls, two chats"
    assert (key_of(sample), _bought(artefact)) == before, "apply changed what it was given"


def apply_survives_the_store(attack: Attack, artefact: Artefact, sample: Sample) -> None:
    """An artefact that went through JSON and PNG, as every reused one does, gives the same chat."""
    stored = dataclasses.replace(
        artefact,
        meta=json.loads(json.dumps(dict(artefact.meta))),
        images=tuple(Image.from_array(image.array().copy()) for image in artefact.images),
    )
    assert attack.apply(stored, sample) == attack.apply(artefact, sample)


def changes_what_it_says(attack: Attack, artefact: Artefact, sample: Sample) -> None:
    """`changes` is the truth: pictures and text differ if they are named there, and only then."""
    chat = attack.apply(artefact, sample)
    assert (chat.images != sample.chat.images) == ("image" in attack.changes), "pictures against `changes`"
    texts = [m.text for m in chat.messages] != [m.text for m in sample.chat.messages]
    assert texts == ("text" in attack.changes), "text against `changes`"
    for image in chat.images:
        is_8_bit(image)


def converse_ends_with_the_victims_reply(attack: Attack, artefact: Artefact, sample: Sample) -> None:
    """The dialogue is driven by asks only, keeps the settings of the study, and a failed ask stays an error."""
    ask = Ask(sample.chat, Settings(max_new_tokens=7))
    asked: list[Ask] = []

    def answer(asks: Sequence[Ask]) -> list[Reply]:
        asked.extend(asks)
        return [Reply("an answer") for _ in asks]

    (end,) = drive([attack.converse(artefact, sample, ask)], answer)
    assert end.value is not None, end.failure
    assert "an answer" in end.value[1].text  # or several of them, where it asks several prompts
    assert asked, "asked nothing"
    assert all(a.settings == ask.settings for a in asked), "settings of its own"
    (end,) = drive([attack.converse(artefact, sample, ask)], _always_failing)
    assert end.value is None or end.value[1].outcome == "error", "an error became an answer"


def _bought(artefact: Artefact) -> str:
    return key_of(dataclasses.replace(artefact, cost=type(artefact.cost)(), trace={}))


# ---------------------------------------------------------------- defenses


def disabled_is_the_identity(disabled: Defense, ask: Ask) -> None:
    """One ask, the very one that came in; one reply, the very one that came back."""
    asked: list[Ask] = []
    reply = Reply("some words", decisions=())

    def answer(asks: Sequence[Ask]) -> list[Reply]:
        asked.extend(asks)
        return [reply] * len(asks)

    (end,) = drive([disabled.flow(ask)], answer)
    assert asked == [ask], "another ask, or more than one"
    assert end.value == reply, "another reply"


def never_changes_its_ask(defense: Defense, ask: Ask) -> None:
    """The ask that came in is untouched, every inner ask decodes by the same settings."""
    before = key_of(ask)
    asked: list[Ask] = []

    def answer(asks: Sequence[Ask]) -> list[Reply]:
        asked.extend(asks)
        return [Reply("yes , some words") for _ in asks]

    (end,) = drive([defense.flow(ask)], answer)
    assert end.value is not None, end.failure
    assert key_of(ask) == before, "the ask was changed"
    assert all(a.settings == ask.settings for a in asked), "settings of its own"


def passes_errors_on(defense: Defense, ask: Ask) -> None:
    """If asking fails, first or later, the outcome is an error: never an answer, never "blocked" (that is safe)."""
    for failing_from in range(4):
        count = 0

        def answer(asks: Sequence[Ask], failing_from: int = failing_from) -> list[Reply]:
            nonlocal count
            count += 1
            return _always_failing(asks) if count > failing_from else [Reply("no idea") for _ in asks]

        (end,) = drive([defense.flow(ask)], answer)
        if count > failing_from:
            assert end.value is None or end.value.outcome == "error", f"ask {failing_from + 1} failed silently"


def wraps_a_victim(defense: Defense, victim: Victim, asks: Sequence[Ask]) -> None:
    """A defended victim is a victim: own key, replies in order, every inner query counted, the model inside found."""
    counted = Counting(victim)
    defended = defense(counted)
    assert isinstance(defended, Victim)
    assert defended.key != counted.key, "the stack is not in the key"
    assert innermost(defended) is counted
    replies = defended.reply(asks)
    assert len(replies) == len(asks)
    assert sum(reply.cost.queries for reply in replies) == counted.asked[0], "queries are missing from the cost"
    alone = [defense(victim).reply([ask])[0].text for ask in asks]
    assert [reply.text for reply in replies] == alone, "replies out of order"


@dataclasses.dataclass(frozen=True)
class Counting(Victim):
    """`victim`, with its asks counted."""

    victim: Victim
    asked: list[int] = dataclasses.field(default_factory=lambda: [0])
    name = "counting"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.asked[0] += len(asks)
        return self.victim.reply(asks)

    @property
    def key(self) -> str:
        return key_of(["counting", self.victim.key])


def _always_failing(asks: Sequence[Ask]) -> list[Reply]:
    return [Reply.error("the line is down") for _ in asks]


# ---------------------------------------------------------------- judges


def scores_every_attempt(judge: Judge, attempts: Sequence[Attempt]) -> None:
    """One score for each, in order, under the judge's name; none for none. It says what a 1 means."""
    assert judge.column, "no column heading"
    assert judge.score([]) == []
    scores = judge.score(attempts)
    assert len(scores) == len(attempts)
    assert {score.judge for score in scores} == {judge.name}
    assert judge.score(attempts) == scores, "another verdict at second sight"
    assert judge.score(attempts[::-1]) == scores[::-1], "a verdict depends on its neighbours"


def never_judges_an_error(judge: Judge, attempt: Attempt) -> None:
    """No answer, no verdict: None, which is counted apart, and not 0, which would look safe."""
    failed = dataclasses.replace(attempt, reply=Reply.error("the line is down"))
    (score,) = judge.score([failed])
    assert score.value is None, f"an error was judged as {score.value}"
    assert score.reason


# ---------------------------------------------------------------- victims


def replies_in_order(victim: Victim, asks: Sequence[Ask]) -> None:
    """As many replies as asks; together and alone, the first and the last get the same answer."""
    together = victim.reply(asks)
    assert len(together) == len(asks)
    assert victim.reply([]) == []
    assert all(reply.outcome == "ok" for reply in together), [reply.reason for reply in together]
    for k in (0, len(asks) - 1):
        assert victim.reply([asks[k]])[0].text == together[k].text, f"ask {k} got another's reply"


def isolates_a_bad_ask(victim: Victim, ask: Ask) -> None:
    """A picture that cannot be read is an error of its own ask; the others are answered as if it were not there."""
    bad = ask.on(Chat.user(unreadable(), "what is this ?"))
    alone = victim.reply([ask])[0]
    first, second, third = victim.reply([ask, bad, ask])
    assert second.outcome == "error", "no picture was seen, yet there is an answer"
    assert first.text == third.text == alone.text
    assert first.outcome == third.outcome == "ok"


def answers_alike_twice(victim: Victim, ask: Ask) -> None:
    """Greedy decoding is deterministic, also for text from anywhere; using a victim leaves its key alone."""
    key = victim.key
    for text in ("", "naïve 😀 \u202e \x1b[31m <s> </s> <image>"):
        odd = ask.on(ask.chat.ask(text))
        assert victim.reply([odd]) == victim.reply([odd])
    assert victim.key == key


def keeps_the_token_limit(victim: Victim, ask: Ask) -> None:
    """No more than max_new_tokens; a reply that was cut says so; every reply counts as a query."""
    short = victim.reply([dataclasses.replace(ask, settings=Settings(max_new_tokens=2))])[0]
    assert short.cost.tokens_out <= 2
    assert short.cost.queries == 1
    assert short.finish == "length" or short.cost.tokens_out < 2, "cut, and it does not say so"


def has_a_card(victim: Victim) -> None:
    """What the report states about it, JSON-able."""
    card = victim.card()
    assert card, "an empty card"
    json.dumps(card)


def gives_gradients(victim: WhiteBoxVictim, image: Image, chat: Chat, target: str) -> None:
    """Shapes and meaning of the white-box port: finite, not zero, [0, 1] only, rows independent, loss goes down."""
    import torch

    pixels = victim.pixels(image)
    assert pixels.dtype == torch.float32
    assert pixels.shape[:2] == (1, 3)
    pair = [(chat.with_image(image), target)]
    one = victim.loss_and_grad(pixels, victim.prepare([pair]))
    assert one.pixels.shape == pixels.shape
    assert torch.isfinite(one.pixels).all()
    assert one.pixels.abs().max() > 0, "the gradient is zero"
    two = victim.loss_and_grad(pixels.repeat(2, 1, 1, 1), victim.prepare([pair, pair]))
    torch.testing.assert_close(two.pixels[1:], one.pixels, rtol=1e-3, atol=1e-6)
    step = (pixels - 2e-3 * one.pixels.sign()).clamp(0, 1)
    assert victim.loss_and_grad(step, victim.prepare([pair]), need_grad=False).loss < one.loss, "uphill"
    ports = {
        "loss_and_grad": lambda x: victim.loss_and_grad(x, victim.prepare([pair])),
        "target_logits": lambda x: victim.target_logits(x, victim.prepare([pair])),
        "features": victim.features,
        "features_and_grad": lambda x: victim.features_and_grad(x, lambda found: found.flatten(1).sum(1)),
    }
    for port, take in ports.items():
        try:
            take(pixels + 2)
        except (ValueError, ClosedVictim):
            continue
        raise AssertionError(f"{port}: pixels outside [0, 1] were taken")


def sees_pixels(model: Encoder | Detector, pixels: torch.Tensor) -> None:
    """What an encoder or a detector promises of float32 pixels [1, 3, H, W]: finite numbers that depend on them, rows
    independent, [0, 1] only."""
    import torch

    def seen(x: torch.Tensor) -> torch.Tensor:
        return model.features(x) if isinstance(model, Encoder) else model.scores(x)

    x = pixels.clone().requires_grad_()
    one = seen(x)
    assert one.ndim == 2
    assert len(one) == 1
    assert torch.isfinite(one).all()
    weights = torch.linspace(1, 2, one.shape[1])  # a plain sum, or that of squares, may be a constant of the model
    (gradient,) = torch.autograd.grad((one * weights.to(one)).sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0, "the gradient is zero"
    two = seen(torch.cat([1 - pixels, pixels]))
    torch.testing.assert_close(two[1:], one.detach(), rtol=1e-3, atol=1e-5)
    assert not torch.equal(two[0], two[1]), "two pictures look alike"
    try:
        seen(pixels + 2)
    except ValueError:
        return
    raise AssertionError("pixels outside [0, 1] were taken")


def unreadable() -> Image:
    """A picture whose file has gone."""

    def gone() -> np.ndarray:
        raise ImageError("gone.png: cannot be read")

    return Image("0" * 64, 8, 8, gone)
