"""What every attack promises."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Sequence

from proofglass.flow import Driven, drive
from proofglass.interfaces import (
    Attack,
    Victim,
    key_of,
)
from proofglass.testing.checks.plugs import is_8_bit
from proofglass.testing.material import always_failing
from proofglass.types import (
    Artefact,
    Ask,
    Chat,
    Image,
    Reply,
    Sample,
    Settings,
)


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
    """`changes` is the truth: pictures and text differ if they are named there, and only then. What an attack changes
    while it talks counts, too; further turns alone are no change of text."""
    chat = attack.apply(artefact, sample)
    later = [ask.chat for ask in _dialogue(attack, artefact, Ask(sample.chat), sample)[0]]
    foreign = {image.sha256 for each in later for image in each.images} - {i.sha256 for i in sample.chat.images}
    shown = chat.images != sample.chat.images or bool(foreign)
    assert shown == ("image" in attack.changes), "pictures against `changes`"
    if "text" in attack.changes:
        assert any(_texts(each) != _texts(sample.chat) for each in (chat, *later)), (
            "names text in `changes`, changes none"
        )
    else:
        assert _texts(chat) == _texts(sample.chat), "changes text, and does not say so in `changes`"
    for image in chat.images:
        is_8_bit(image)


def converse_ends_with_the_victims_reply(attack: Attack, artefact: Artefact, sample: Sample) -> None:
    """The dialogue is driven by asks only, keeps the settings of the study, and a failed ask stays an error."""
    ask = Ask(sample.chat, Settings(max_new_tokens=7))
    asked, end = _dialogue(attack, artefact, ask, sample)
    assert end.value is not None, end.failure
    assert "an answer" in end.value[1].text  # or several of them, where it asks several prompts
    assert asked, "asked nothing"
    assert all(a.settings == ask.settings for a in asked), "settings of its own"
    (end,) = drive([attack.converse(artefact, sample, ask)], always_failing)
    assert end.value is None or end.value[1].outcome == "error", "an error became an answer"


def _dialogue(
    attack: Attack, artefact: Artefact, ask: Ask, sample: Sample
) -> tuple[list[Ask], Driven[tuple[Chat, Reply]]]:
    """What the victim is asked, which answers all alike, and how it ends. Helpers answer for themselves."""
    asked: list[Ask] = []

    def answer(asks: Sequence[Ask]) -> list[Reply]:
        asked.extend(asks)
        return [Reply("an answer") for _ in asks]

    (end,) = drive([attack.converse(artefact, sample, ask)], answer)
    return asked, end


def _texts(chat: Chat) -> list[str]:
    return [message.text for message in chat.messages]


def _bought(artefact: Artefact) -> str:
    return key_of(dataclasses.replace(artefact, cost=type(artefact.cost)(), trace={}))
