"""An ask, what it cost, and what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from proofglass.errors import TooLong
from proofglass.types.chats import Chat
from proofglass.types.images import Image

Outcome = Literal["ok", "refused", "filtered", "blocked", "error"]
Finish = Literal["stop", "length"]
# What in the ask an error is owed to: "length", longer than the model's context; "ask", anything else that this victim
# cannot be asked; "", nothing: the victim failed.
AskFault = Literal["", "length", "ask"]


@dataclass(frozen=True)
class Settings:
    """How a victim decodes. Part of every study and of every record.

    max_new_tokens: cut after so many tokens (a cut reply has finish "length").
    temperature: 0 is greedy. top_p: nucleus. stop: texts that end a reply. draw: which of several samples.
    choices: texts ("Yes", "No") of whose first tokens the reply tells the probabilities (`Reply.choices`), where the
    model opens them.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    draw: int = 0
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens: expected at least 1, found {self.max_new_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature: expected 0 (greedy) or more, found {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected 0 < top_p <= 1, found {self.top_p}")
        if not all(self.choices) or len(set(self.choices)) < len(self.choices):
            raise ValueError(f"choices: expected different texts, none of them empty, found {self.choices}")

    def told(self) -> dict[str, Any]:
        """Field by field, JSON-able, as keys and records hold them. Without choices they say nothing of them: so keys
        are those of runs before there were any."""
        every = asdict(self)
        return every if self.choices else {name: value for name, value in every.items() if name != "choices"}


class Helper(Protocol):
    """Another model than the victim that a method asks: an attacker LLM, a judge LLM, a guard, a caption model.

    Any `Victim` is one. The method holds it as a field, so that it is in the method's key. Two helpers with the same
    key are the same model: their asks go together in one batch.
    """

    @property
    def key(self) -> str: ...

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        """One reply per ask, in order."""


@dataclass(frozen=True)
class Ask:
    """One question to a model. to: the helper that is asked, None for the victim.

    Raises TypeError if `to` is no model (a helper is handed over itself, not by its name).
    """

    chat: Chat
    settings: Settings = Settings()
    to: Helper | None = None

    def __post_init__(self) -> None:
        # Not its key: that may read weights.
        if self.to is not None and not callable(getattr(self.to, "reply", None)):
            raise TypeError(f"to: expected a model (with key and reply), found {self.to!r}")

    def on(self, chat: Chat, to: Helper | None = None) -> Ask:
        """An ask about another chat, under the same settings. to: the helper that is asked, None for the victim."""
        return replace(self, chat=chat, to=to)


@dataclass(frozen=True)
class Decision:
    """What a gated defense decided on one ask. margin: real, positive = it intervened."""

    defense: str
    fired: bool
    margin: float | None = None
    threshold: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Cost:
    """What was spent. forward, backward: passes, counted per row of a batch; queries: replies of the victim;
    seconds (wall) and peak_bytes belong to a cell or an artefact: a batch has no honest share per sample."""

    forward: int = 0
    backward: int = 0
    queries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    seconds: float = 0.0
    peak_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.forward + other.forward,
            self.backward + other.backward,
            self.queries + other.queries,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.money + other.money,
            self.seconds + other.seconds,
            max(self.peak_bytes, other.peak_bytes),
        )

    def __mul__(self, times: int) -> Cost:
        """So many of it: what `times` like this one add up to."""
        return sum([self] * times, Cost())

    @property
    def equivalents(self) -> int:
        """Forward equivalents, what a budget counts: forward + 2 x backward passes + queries."""
        return self.forward + 2 * self.backward + self.queries


@dataclass(frozen=True)
class Reply:
    """What came back. An error has no text: it can never be judged as if it were an answer.

    refused: the provider itself says that this is a refusal (a stop reason, a field of its answer), apart from a model
    that refuses in its own words, which is "ok" (text = what was delivered before, usually nothing);
    filtered: the provider's filter cut it off (text = what it delivered before) or withheld all of it (no text);
    blocked: a defense stopped it (text = the fixed refusal it showed); error: nothing came back, `reason` says why,
    `fault` whether the ask is to blame.
    cost: queries and tokens of the victim, the calls that a defense made of it included. helpers: key of a helper ->
    what a defense spent on asking it: those are no queries of the victim.
    reasoning: what a model that thinks aloud wrote before its answer; no part of `text`. Judges that declare
    `reads_reasoning` see it. With a reasoning and no text (cut in thought) there is nothing to judge.
    choices: text -> probability (0..1) that the reply begins with its first token, before any decoding rule; of those
    of `Settings.choices` that the model tells, empty where it opens none. Choices that begin with one and the same
    token are not told: nothing tells them apart.
    images: what a text-to-image model drew (`interfaces.Painter`); a victim of text has none.
    """

    text: str = ""
    outcome: Outcome = "ok"
    finish: Finish = "stop"
    reason: str = ""
    decisions: tuple[Decision, ...] = ()
    cost: Cost = Cost()
    fault: AskFault = ""
    reasoning: str = ""
    helpers: Mapping[str, Cost] = field(default_factory=dict, hash=False)
    choices: Mapping[str, float] = field(default_factory=dict, hash=False)
    images: tuple[Image, ...] = ()

    def __post_init__(self) -> None:
        if self.outcome == "error" and self.text:
            raise ValueError("text: a reply with outcome 'error' has no text; put the message in reason")
        if self.outcome == "error" and not self.reason:
            raise ValueError("reason: a reply with outcome 'error' says why")

    @property
    def is_said(self) -> bool:
        """Whether the model's own words reached the user, so that they can be judged: an answer (an empty one too,
        unless it was cut off in thought), or the part of one that a provider delivered before it refused or its filter
        cut it off."""
        if self.outcome == "ok":
            return bool(self.text.strip()) or not self.reasoning
        return self.outcome in ("refused", "filtered") and bool(self.text.strip())

    @property
    def is_withheld(self) -> bool:
        """Whether somebody kept the answer back before a word of it got through: counted as not broken."""
        return self.outcome in ("refused", "filtered", "blocked") and not self.is_said

    @classmethod
    def error(cls, reason: str, cost: Cost | None = None, fault: AskFault = "") -> Reply:
        return cls(outcome="error", reason=reason, cost=cost or Cost(queries=1), fault=fault)

    @classmethod
    def unaskable(cls, error: Exception) -> Reply:
        """The error of an ask that cannot be put to this victim: whoever asks it again gets it again."""
        if isinstance(error, TooLong):
            return cls.error(str(error), fault="length")
        return cls.error(f"{type(error).__name__}: {error}", fault="ask")


class Unsent(Reply):
    """The reply to an ask that was not sent since a budget is spent: an error that is no failure, but still to do."""

    @classmethod
    def because(cls, reason: str) -> Unsent:
        return cls(outcome="error", reason=reason)
