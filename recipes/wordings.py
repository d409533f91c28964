"""Our own wordings of replies, for training: what the public labels hold too little of.

The labelled replies come from models of 2023 and 2024 and from short questions. Later models refuse in other words ("I
can't help with that. I can help with ..."), and users meet kinds that are rare there. Each reply is put together from
parts (`phrases.py`), on harmless topics of a village, and labelled by its plan: refused, partly (it turns the request
down and then gives some of it) or not refused. No wording is taken from a data set; none is shipped.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from phrases import (
    ALTERNATIVES,
    ANSWERS,
    CARING,
    CONDEMNED,
    DENIALS,
    ELSEWHERE,
    ENCOURAGED,
    FACTS,
    FRONTS,
    GROUPS,
    HOWEVERS,
    KIND_LEADS,
    LEADS,
    OPTIONS,
    PROMPTS,
    QUOTED,
    REASONS,
    REBUTTED,
    REDIRECTS,
    REJECTIONS,
    RELUCTANT,
    SHORT_YES,
    STEPS,
    THOUGHTS,
    TOPICS,
    TRAITS,
    TURNS,
    UNABLE,
    WARNINGS,
)

SOURCE = "wordings"


@dataclass(frozen=True)
class Wording:
    """plan: how it was put together; label: "refused", "partly" or "not refused"; unsafe: 1 encourages, 0 does not,
    None: it answers a request of which nobody said what it was; prompt: what it replies to."""

    plan: str
    label: str
    text: str
    unsafe: float | None = 0.0
    prompt: str = ""


def in_front(reply: str, question: str, seed: int) -> str:
    """`reply` behind one of `FRONTS`."""
    return random.Random(seed).choice(FRONTS).replace("{question}", question) + reply


def wordings(n: int, seed: int = 0) -> Iterator[Wording]:
    """`n` different replies, plans in turn."""
    draw = random.Random(seed)
    plans = (
        _kindly, _kindly, _with_options, _condemned, _condemned, _caring, _rebutted, _rebutted, _fact, _quoted, _unable,
        _denied, _denied, _with_alternatives, _rejected, _rejected, _announced, _answered, _answered, _elsewhere,
        _elsewhere, _partly, _encouraged,
    )  # fmt: skip
    seen: set[str] = set()
    k = 0
    while len(seen) < n:
        wording = plans[k % len(plans)](draw)
        k += 1
        if wording.text not in seen:
            seen.add(wording.text)
            yield wording


def plain(seed: int = 0) -> Iterator[Wording]:
    """Every sentence that decides by itself, alone."""
    draw = random.Random(seed)
    told: tuple[tuple[tuple[str, ...], str, float | None], ...] = (
        *((parts, "refused", 0.0) for parts in (DENIALS, REJECTIONS, CONDEMNED, REBUTTED)),
        *((parts, "not refused", 0.0) for parts in (ELSEWHERE, UNABLE)),
        *((parts, "not refused", None) for parts in (FACTS, SHORT_YES)),
        (ENCOURAGED, "not refused", 1.0),
    )
    for parts, label, unsafe in told:
        for part in parts:
            topic, (group, trait) = draw.choice(TOPICS), (draw.choice(GROUPS), draw.choice(TRAITS))
            text = _about(_of(draw, (part,), topic), group, trait)
            yield Wording("plain", label, text, unsafe, _of(draw, PROMPTS, topic))


def _about(text: str, group: str, trait: str) -> str:
    return text.replace("{group}", group).replace("{Group}", group[0].upper() + group[1:]).replace("{trait}", trait)


def _of(draw: random.Random, parts: tuple[str, ...], topic: tuple[str, str]) -> str:
    doing, do = topic
    text = draw.choice(parts).replace("{steps}", draw.choice(STEPS))
    return text.replace("{doing}", doing).replace("{do}", do).replace("{Doing}", doing[0].upper() + doing[1:])


def _joined(draw: random.Random, topic: tuple[str, str], *parts: tuple[str, ...]) -> str:
    return " ".join(text for part in parts if (text := _of(draw, part, topic)))


def _thinking(draw: random.Random, topic: tuple[str, str], text: str) -> str:
    return _of(draw, THOUGHTS, topic) + text if draw.random() < 0.1 else text


def _denied(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    text = draw.choice(LEADS) + _joined(draw, topic, DENIALS, REASONS, REDIRECTS)
    return Wording("denied", "refused", _thinking(draw, topic, text))


def _with_alternatives(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    text = draw.choice(LEADS) + _joined(draw, topic, DENIALS, REASONS) + "\n\n" + draw.choice(ALTERNATIVES)
    return Wording("with alternatives", "refused", text)


def _rejected(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    parts = (REJECTIONS, WARNINGS, REDIRECTS) if draw.random() < 0.5 else (REJECTIONS, REJECTIONS, WARNINGS)
    text = draw.choice(LEADS) + _joined(draw, topic, *parts)
    return Wording("rejected", "refused", text, 0.0, _of(draw, PROMPTS, topic))


def _announced(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    starts = ("Sure! ", "Of course. ", "Certainly, here is what you asked for. ", "Great question! ", "Yes, ",
              "Here is a guide:\n\nStep 1: ", "Sure, here you go. Hold on. ", "Let's begin. ",
              "Certainly! Here is how: wait, ")  # fmt: skip
    text = draw.choice(starts) + _joined(draw, topic, ("Actually, ", "Wait, ", "", ""), DENIALS, REASONS)
    return Wording("announced", "refused", text)


def _answered(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    text = _thinking(draw, topic, draw.choice(LEADS) + _of(draw, ANSWERS, topic))
    return Wording("answered", "not refused", text, None)


def _elsewhere(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    return Wording("elsewhere", "not refused", _joined(draw, topic, ELSEWHERE), 0.0, _of(draw, PROMPTS, topic))


def _kindly(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    text = draw.choice(KIND_LEADS) + draw.choice(TURNS) + _joined(draw, topic, DENIALS, REASONS, REDIRECTS)
    return Wording("kindly", "refused", text)


def _with_options(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    denied = draw.choice(("", "", draw.choice(KIND_LEADS))) + _of(draw, DENIALS, topic).rstrip(".")
    return Wording("with options", "refused", f"{denied}, {draw.choice(OPTIONS)}")


def _condemned(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    parts = [_of(draw, (each,), topic) for each in draw.sample(CONDEMNED, draw.randint(2, 4))]
    return Wording("condemned", "refused", " ".join(parts), 0.0, _of(draw, PROMPTS, topic))


def _caring(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    parts = draw.sample(CARING, draw.randint(2, 4))
    if draw.random() < 0.3:
        parts.insert(1, _of(draw, REJECTIONS, topic))
    return Wording("caring", "refused", " ".join(parts), 0.0, _of(draw, PROMPTS, topic))


def _rebutted(draw: random.Random) -> Wording:
    group, trait = draw.choice(GROUPS), draw.choice(TRAITS)
    text = " ".join(draw.sample(REBUTTED, draw.randint(1, 3)))
    return Wording("rebutted", "refused", _about(text, group, trait))


def _fact(draw: random.Random) -> Wording:
    text = draw.choice(FACTS) + draw.choice(
        ("", "", " It has been so for years.", " Ask me if you want to know more.", " Let me explain.")
    )
    return Wording("fact", "not refused", text if draw.random() < 0.8 else draw.choice(SHORT_YES))


def _quoted(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    lead = draw.choice(("", "", "Sure! ", "Here is a draft:\n\n", "Of course. "))
    return Wording(
        "quoted", "not refused", lead + draw.choice(QUOTED) + " " + _of(draw, (*REDIRECTS[4:6], "", "", ""), topic)
    )


def _unable(draw: random.Random) -> Wording:
    return Wording("unable", "not refused", draw.choice(("", "", "I'm sorry. ", "Hmm, ")) + draw.choice(UNABLE))


def _encouraged(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    text = draw.choice(LEADS[:4]) + _of(draw, ENCOURAGED, topic)
    return Wording("encouraged", "not refused", text, 1.0, _of(draw, PROMPTS, topic))


def _partly(draw: random.Random) -> Wording:
    topic = draw.choice(TOPICS)
    text = f"{_joined(draw, topic, DENIALS, REASONS)} {_of(draw, HOWEVERS, topic)}{draw.choice(STEPS)}"
    return Wording("partly", "partly", text if draw.random() < 0.6 else _of(draw, RELUCTANT, topic), None)
