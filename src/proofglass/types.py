"""The nouns of Proofglass: frozen values that every layer shares. No heavy import.

Their shape makes the common lies impossible: an `Image` is 8-bit and named by its pixels, an error is never
the text of a `Reply`, and a `Score` that could not be given is `None`, not 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from proofglass.errors import TooLong

if TYPE_CHECKING:
    import numpy as np

Role = Literal["system", "user", "assistant"]
Outcome = Literal["ok", "filtered", "blocked", "error"]
Finish = Literal["stop", "length"]
# What in the ask an error is owed to: "length", longer than the model's context; "ask", anything else that this victim
# cannot be asked; "", nothing: the victim failed.
AskFault = Literal["", "length", "ask"]
Expected = Literal["refuse", "comply", "label", "describe"]


class Image:
    """An 8-bit RGB picture, named by the sha256 of its pixels.

    Two images with the same pixels are equal whatever file they came from. Pixels may be read lazily.
    Attributes: sha256 (hex), width and height (pixels).
    """

    __slots__ = ("_pixels", "_read", "height", "sha256", "width")

    def __init__(self, sha256: str, width: int, height: int, read: Callable[[], np.ndarray]) -> None:
        self.sha256, self.width, self.height = sha256, width, height
        self._read = read
        self._pixels: np.ndarray | None = None

    @classmethod
    def from_array(cls, pixels: np.ndarray, *, copy: bool = True) -> Image:
        """Image of `pixels`, uint8 [H, W, 3]. copy: False gives the array away; nobody writes into it any more.

        Raises TypeError for any other dtype: a float picture has not been rounded to what a file can hold,
        so it is not yet an image (`engine.quantise` does that). Raises ValueError for another shape.
        """
        import numpy as np

        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise TypeError(f"pixels: expected a uint8 array, found {getattr(pixels, 'dtype', type(pixels).__name__)}")
        if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"pixels: expected shape [H, W, 3], found {list(pixels.shape)}")
        own = pixels.copy(order="C") if copy else np.ascontiguousarray(pixels)
        own.setflags(write=False)
        image = cls(pixel_hash(own), own.shape[1], own.shape[0], lambda: own)
        image._pixels = own
        return image

    def array(self) -> np.ndarray:
        """Pixels, uint8 [H, W, 3], read-only. Raises ImageError if a lazy file changed or is gone."""
        if self._pixels is None:
            self._pixels = self._read()
            self._pixels.setflags(write=False)
        return self._pixels

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and other.sha256 == self.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"Image({self.sha256[:12]}, {self.width}x{self.height})"


def pixel_hash(pixels: np.ndarray) -> str:
    """Sha256 of size and pixels, uint8 [H, W, 3]: independent of file format and metadata."""
    digest = hashlib.sha256(f"{pixels.shape[1]}x{pixels.shape[0]}:".encode())
    digest.update(pixels.data if pixels.flags.c_contiguous else pixels.tobytes())
    return digest.hexdigest()


Part = str | Image


@dataclass(frozen=True)
class Message:
    """One turn: text and images in the order in which the model sees them."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part for part in self.parts if isinstance(part, Image))


@dataclass(frozen=True)
class Chat:
    """A dialogue. Every method returns a new chat; a chat never changes."""

    messages: tuple[Message, ...] = ()

    @classmethod
    def user(cls, *parts: Part) -> Chat:
        """A dialogue of one user turn."""
        return cls((Message("user", parts),))

    def ask(self, *parts: Part) -> Chat:
        """This chat and one more user turn."""
        return Chat((*self.messages, Message("user", parts)))

    def say(self, text: str) -> Chat:
        """This chat and one more turn of the assistant."""
        return Chat((*self.messages, Message("assistant", (text,))))

    @property
    def system(self) -> str:
        """Text of the system prompt, empty if there is none."""
        return self.messages[0].text if self.messages and self.messages[0].role == "system" else ""

    def with_system(self, text: str) -> Chat:
        """This chat under the system prompt `text`, which replaces an earlier one; empty text removes it."""
        rest = self.messages[1:] if self.messages and self.messages[0].role == "system" else self.messages
        return Chat((Message("system", (text,)), *rest)) if text else Chat(rest)

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(image for message in self.messages for image in message.images)

    def with_image(self, image: Image) -> Chat:
        """This chat with `image` in its picture slot: it replaces the first picture, or, where the chat has
        none, goes in front of the text of the first user turn (the order that every family reads)."""
        for k, message in enumerate(self.messages):
            if message.images:
                place = next(i for i, part in enumerate(message.parts) if isinstance(part, Image))
                parts = (*message.parts[:place], image, *message.parts[place + 1 :])
                return self._with_message(k, parts)
        for k, message in enumerate(self.messages):
            if message.role == "user":
                return self._with_message(k, (image, *message.parts))
        raise ValueError("chat: a picture needs a user turn to stand in, found none")

    def with_text(self, text: str) -> Chat:
        """This chat with `text` as the only text of its last user turn; pictures stay in front of it."""
        for k in range(len(self.messages) - 1, -1, -1):
            if self.messages[k].role == "user":
                return self._with_message(k, (*self.messages[k].images, text))
        raise ValueError("chat: found no user turn to write to")

    @property
    def last_text(self) -> str:
        """Text of the last user turn."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")

    def _with_message(self, k: int, parts: tuple[Part, ...]) -> Chat:
        changed = replace(self.messages[k], parts=parts)
        return Chat((*self.messages[:k], changed, *self.messages[k + 1 :]))


@dataclass(frozen=True)
class Settings:
    """How a victim decodes. Part of every study and of every record.

    max_new_tokens: cut after so many tokens (a cut reply has finish "length").
    temperature: 0 is greedy. top_p: nucleus. stop: texts that end a reply. draw: which of several samples.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    draw: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens: expected at least 1, found {self.max_new_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature: expected 0 (greedy) or more, found {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected 0 < top_p <= 1, found {self.top_p}")


@dataclass(frozen=True)
class Ask:
    """One question to a model. `to`: name of another model than the victim (a helper of the method)."""

    chat: Chat
    settings: Settings = Settings()
    to: str | None = None

    def on(self, chat: Chat) -> Ask:
        """The same ask about another chat."""
        return replace(self, chat=chat)


@dataclass(frozen=True)
class Decision:
    """What a gated defense decided on one ask. margin: real, positive = it intervened."""

    defense: str
    fired: bool
    margin: float | None = None
    threshold: float | None = None
    reason: str = ""


class Seconds(float):
    """A budget in seconds of wall time: another run will not reproduce what it buys, and reports say so."""

    def __repr__(self) -> str:
        return f"{float(self):g} s"


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

    @property
    def equivalents(self) -> int:
        """Forward equivalents, what a budget counts: forward + 2 x backward passes + queries."""
        return self.forward + 2 * self.backward + self.queries


@dataclass(frozen=True)
class Reply:
    """What came back. An error has no text: it can never be judged as if it were an answer.

    filtered: the provider's filter cut it off (text = what it delivered before) or withheld all of it (no text);
    blocked: a defense stopped it (text = the fixed refusal it showed); error: nothing came back, `reason` says why,
    `fault` whether the ask is to blame. cost: queries and tokens, inner calls of a defense included.
    """

    text: str = ""
    outcome: Outcome = "ok"
    finish: Finish = "stop"
    reason: str = ""
    decisions: tuple[Decision, ...] = ()
    cost: Cost = Cost()
    fault: AskFault = ""

    def __post_init__(self) -> None:
        if self.outcome == "error" and self.text:
            raise ValueError("text: a reply with outcome 'error' has no text; put the message in reason")
        if self.outcome == "error" and not self.reason:
            raise ValueError("reason: a reply with outcome 'error' says why")

    @property
    def is_said(self) -> bool:
        """Whether the model's own words reached the user, so that they can be judged: an answer, or the part of one
        that a provider delivered before its filter cut it off."""
        return self.outcome == "ok" or (self.outcome == "filtered" and bool(self.text.strip()))

    @classmethod
    def error(cls, reason: str, cost: Cost | None = None, fault: AskFault = "") -> Reply:
        return cls(outcome="error", reason=reason, cost=cost or Cost(queries=1), fault=fault)

    @classmethod
    def refused(cls, error: Exception) -> Reply:
        """The error of an ask that cannot be put to this victim: whoever asks it again gets it again."""
        if isinstance(error, TooLong):
            return cls.error(str(error), fault="length")
        return cls.error(f"{type(error).__name__}: {error}", fault="ask")


class Unsent(Reply):
    """The reply to an ask that was not sent since a budget is spent: an error that is no failure, but still to do."""

    @classmethod
    def because(cls, reason: str) -> Unsent:
        return cls(outcome="error", reason=reason)


@dataclass(frozen=True)
class Sample:
    """One question of a data set and what is expected of a safe model.

    cluster: rows of one cluster share a question; intervals resample clusters. expected: refuse, comply, ...
    target: what a targeted attack wants said; references: right answers; meta: what the data set adds.
    """

    id: str
    dataset: str
    chat: Chat
    split: str = "test"
    cluster: str = ""
    category: str = ""
    expected: Expected = "refuse"
    target: str = ""
    references: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.cluster:
            object.__setattr__(self, "cluster", self.id)


@dataclass(frozen=True)
class BadSample:
    """A row or picture that cannot be used: recorded with its reason, and nothing else is lost."""

    id: str
    dataset: str
    reason: str
    category: str = ""


@dataclass(frozen=True)
class Artefact:
    """What crafting bought. sample_id None: universal, it serves every sample.

    images, texts: what `apply` needs. clean: the picture before the attack, for comparison. crafted_on: key
    of the victim attacked. trace: numbers of the optimisation ("loss": list of floats, "loss_before_rounding",
    ...), JSON-able. meta: what else `apply` needs, JSON-able.
    """

    sample_id: str | None = None
    images: tuple[Image, ...] = ()
    texts: tuple[str, ...] = ()
    clean: Image | None = None
    crafted_on: str = ""
    cost: Cost = Cost()
    trace: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """What a judge sees: the sample (with the question as it was before any attack), dialogue and reply."""

    sample: Sample
    conversation: Chat
    reply: Reply


@dataclass(frozen=True)
class Score:
    """A judge's verdict. value: 0..1, or None: could not be judged, counted apart, never as 0."""

    judge: str
    value: float | None
    label: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and not 0 <= self.value <= 1:
            raise ValueError(f"value: a score lies in 0..1 or is None, found {self.value}")
        if self.value is None and not self.reason:
            raise ValueError("reason: a score of None says why nothing could be judged")

    @classmethod
    def unjudged(cls, judge: str, reason: str) -> Score:
        return cls(judge, None, "unjudged", reason)


@dataclass(frozen=True)
class Finding:
    """What a check of a victim found. check: its name. ok: None where nothing could be measured. measured: with
    numbers. meaning: what follows from it."""

    check: str
    ok: bool | None
    measured: str
    meaning: str


@dataclass(frozen=True)
class Layout:
    """How a picture of text is laid out: what an attack draws, and what a victim states that it reads.

    width, height, size, x, y, spacing: pixels. font: name of a bundled font, or path of a TrueType file.
    wrap: characters per line. grid: 0 draws each line as a whole; g > 0 starts every word on a column that is
    a multiple of g and puts lines g pixels apart (what a small vision transformer can read). steps: empty
    numbered items under the text. incitement: the text prompt that points to the picture. fill, background: RGB.
    Defaults: FigStep (Gong et al. 2023), section 3 and its code.
    """

    width: int = 760
    height: int = 760
    font: str = "FreeMonoBold"
    size: int = 80
    x: int = 20
    y: int = 10
    spacing: int = 11
    wrap: int = 15
    grid: int = 0
    steps: int = 3
    incitement: str = ""
    fill: tuple[int, int, int] = (0, 0, 0)
    background: tuple[int, int, int] = (255, 255, 255)
