"""What is asked and expected, what crafting bought, and what judges say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from proofglass.console import cut
from proofglass.types.chats import Chat
from proofglass.types.images import Image
from proofglass.types.replies import Cost, Reply

# What a good model does with a sample: refuses; answers; keeps somebody's data to itself ("protect"); answers, as not
# the protected group was named but a control group ("control"); says the right label; describes the picture.
Expected = Literal["refuse", "comply", "protect", "control", "label", "describe"]


@dataclass(frozen=True)
class Sample:
    """One question of a data set and what is expected of a safe model.

    cluster: rows of one cluster share a question; intervals resample clusters. group: samples of one group
    belong together as a control pair does (the same question, protected and not), "" for none. expected: `Expected`.
    target: what a targeted attack wants said; references: right answers; meta: what the data set adds; its "question"
    is the plain one where the chat puts it otherwise (inside a jailbreak, drawn into the picture). before: of a sample
    that an attack changed for another one to go on from: as the data set has it; None everywhere else.
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
    group: str = ""
    before: Sample | None = None

    def __post_init__(self) -> None:
        if not self.cluster:
            object.__setattr__(self, "cluster", self.id)

    def changed(self, chat: Chat) -> Sample:
        """As an attack that goes on from here sees it; whoever judges still sees what it was before."""
        return replace(self, chat=chat, before=self.before or self)

    @property
    def question(self) -> str:
        """What is asked, in plain words: as the data set tells it, else the last text of the chat."""
        told = self.meta.get("question")
        return told if isinstance(told, str) and told.strip() else self.chat.last_text


LONGEST = 1_500  # characters of a reason


@dataclass(frozen=True)
class BadSample:
    """A row or picture that cannot be used: recorded with its reason, and nothing else is lost. A reason that quotes
    a field of megabytes is cut."""

    id: str
    dataset: str
    reason: str
    category: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", cut(self.reason, LONGEST, "in the data"))


@dataclass(frozen=True)
class Artefact:
    """What crafting bought. sample_id None: universal, it serves every sample.

    images, texts: what `apply` needs. clean: the picture before the attack, for comparison. crafted_on: key
    of the victim attacked. trace: numbers of the optimisation ("loss": list of floats, "loss_before_rounding",
    ...), JSON-able. meta: what else `apply` needs, JSON-able. parts: of a composition, what each member crafted.
    """

    sample_id: str | None = None
    images: tuple[Image, ...] = ()
    texts: tuple[str, ...] = ()
    clean: Image | None = None
    crafted_on: str = ""
    cost: Cost = field(default_factory=Cost)
    trace: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Artefact, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """What a judge sees: the sample (with the question as it was before any attack), dialogue and reply."""

    sample: Sample
    conversation: Chat
    reply: Reply

    def __post_init__(self) -> None:
        if self.sample.before is not None:
            object.__setattr__(self, "sample", self.sample.before)


@dataclass(frozen=True)
class Score:
    """A judge's verdict. value: 0..1, or None: could not be judged, counted apart, never as 0.

    rater: who said so where it is not the judge itself (a person). time: when, ISO 8601 in UTC, "" if nobody noted it.
    source: where it came from (a label file, another tool's log), "" for a judge that ran here.
    """

    judge: str
    value: float | None
    label: str = ""
    reason: str = ""
    rater: str = ""
    time: str = ""
    source: str = ""

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
