"""The six plugs: Dataset, Victim (and WhiteBoxVictim), Attack, Defense, Judge, Model.

A plug is a frozen dataclass whose fields are its configuration, with the paper's defaults, checked in
`__post_init__`. Its `key` names what it is: two plugs with the same key give the same results.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from proofglass.digests import digest_of
from proofglass.errors import ClosedVictim, UsageError
from proofglass.faults import told
from proofglass.flow import Driven, Flow, begun, drive
from proofglass.types import (
    Artefact,
    Ask,
    Attempt,
    BadSample,
    Chat,
    Finding,
    Image,
    Layout,
    Reply,
    Sample,
    Score,
    Unsent,
)

if TYPE_CHECKING:
    import torch

Access = Literal["black", "encoder", "white"]
Weighting = Literal["token", "pair", "sum", "given"]
Layer = Literal["pooled", "patches"]
# A target is a text, or its parts in order: each part is tokenised by itself, so that its tokens are a span.
Target = str | tuple[str, ...]


@dataclass(frozen=True)
class Paper:
    """Where a method comes from. short: as the survey cites it; link: arXiv number or address."""

    short: str
    title: str
    link: str


@dataclass(frozen=True)
class Calibration:
    """What a judge said about replies that people labelled, counted for one model and one kind of reply.

    data: label set; model: who replied; model_kind: the kind of model to which these counts may be carried over (a
    world, "vision-language model" or "language model"); kind: the reply type as the judge predicts it (`Score.label`),
    not its verdict under another name, "" for all together. tp, fn: judged yes, no where people said yes; fp, tn: where
    they said no; unjudged_yes, unjudged_no: not judged, by what people said. clusters: different questions among these
    replies, 0 if all differ.
    """

    data: str
    model_kind: str
    model: str
    kind: str
    tp: int
    fn: int
    fp: int
    tn: int
    unjudged_yes: int = 0
    unjudged_no: int = 0
    clusters: int = 0

    @property
    def positives(self) -> int:
        return self.tp + self.fn + self.unjudged_yes

    @property
    def negatives(self) -> int:
        return self.fp + self.tn + self.unjudged_no

    def complement(self) -> Calibration:
        """That of the judge that says the opposite, held against the opposite labels."""
        return dataclasses.replace(
            self, tp=self.tn, fn=self.fp, fp=self.fn, tn=self.tp,
            unjudged_yes=self.unjudged_no, unjudged_no=self.unjudged_yes,
        )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """How far a judge agrees with people. agreement: in words, with its figures; data: on which replies, with n;
    source: of the human labels, and the command that counts again; calibration: the same as counts, by which a rate
    can be corrected (`evaluation.correction.from_calibration`); trained_on: label sets from which the judge has
    learned, so that its verdicts there measure nothing."""

    agreement: str
    data: str
    source: str
    calibration: tuple[Calibration, ...] = ()
    trained_on: tuple[str, ...] = ()


def key_of(value: Any) -> str:
    """16 hex digits that name a value: plugs by class, version and fields, images by pixels, the rest as JSON."""
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Plug):
        return value.key
    if isinstance(value, Image):
        return value.sha256
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (set, frozenset)):  # in one order, whatever the hashes of this process are
        return sorted((_plain(v) for v in value), key=lambda each: json.dumps(each, sort_keys=True))
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"no key for a {type(value).__name__}: plugs take plain values, images and other plugs")


class Plug:
    """What the six share: a registered name, a version (raised when results change) and a key.

    not_in_key: fields that change no result (how fast, where a log goes), so the key leaves them out.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    paper: ClassVar[Paper | None] = None
    not_in_key: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **named: Any) -> None:
        """A field that is a path takes a string, however the plug is built: before its own `__post_init__` looks."""
        super().__init_subclass__(**named)
        if own := cls.__dict__.get("__post_init__"):

            @functools.wraps(own)
            def checked(self: Plug, *given: Any) -> None:
                _take_paths(self)
                own(self, *given)

            cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Called by the constructor of a dataclass."""
        _take_paths(self)

    @property
    def key(self) -> str:
        """Hash of name, version, configuration and the content of the files in `reads`. Override where a run or
        something else belongs to the identity. Raises UsageError for a file that cannot be read."""
        told = [type(self).__name__, self.name, self.version, self._named()]
        try:
            contents = [digest_of(path) for path in self.reads()]
        except UsageError as error:
            raise UsageError(f"{self.name or type(self).__name__}: {error}") from error
        return key_of([*told, contents] if contents else told)

    def reads(self) -> Iterable[Path]:
        """Files and folders whose content decides the results: another content is another key. Default: every path
        among the fields outside `not_in_key`, a folder with all that lies below it. Override to name fewer (the one
        table of a large folder), or what is found in another way (a field that is a name or a path)."""
        return _paths(self._deciding())

    def _named(self) -> dict[str, Any]:
        """The fields that decide, as a key holds them. Raises UsageError, which names the field, for a value of a kind
        that no key can hold."""
        found = {}
        for field, value in self._deciding().items():
            try:
                found[field] = _plain(value)
            except TypeError as error:
                raise UsageError(f"{self.name or type(self).__name__}.{field}: {error}") from error
        return found

    def _deciding(self) -> dict[str, Any]:
        return {name: value for name, value in self.settings().items() if name not in self.not_in_key}

    def settings(self) -> dict[str, Any]:
        """The configuration, field by field: what a record needs to build this plug again."""
        if not dataclasses.is_dataclass(self):
            return {}
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}


def _take_paths(plug: Plug) -> None:
    """Make paths of the strings in fields that are paths, `~` written out. A field of `str | Path` takes names too and
    tells them apart by itself.

    Raises ValueError, which names the field, for what is no path.
    """
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(plug) if dataclasses.is_dataclass(plug) else ()
    for field in fields:
        words = set(re.findall(r"\w+", field.type if isinstance(field.type, str) else str(field.type)))
        if "Path" not in words or "str" in words:
            continue
        value = getattr(plug, field.name)
        if words & {"tuple", "list", "Sequence"} and isinstance(value, (list, tuple)):
            taken: Any = tuple(_path(field.name, each) for each in value)
        else:
            taken = value if value is None else _path(field.name, value)
        if taken != value:
            object.__setattr__(plug, field.name, taken)


def _path(field: str, value: Any) -> Path:
    if isinstance(value, (str, os.PathLike)) and str(value):
        return Path(value).expanduser()
    raise ValueError(f"{field}: expected a path, found {value!r}")


def _paths(value: Any) -> Iterator[Path]:
    """Every path in a value; those of a plug are in its own key."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _paths(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _paths(each)
    elif isinstance(value, (set, frozenset)):
        yield from sorted(each for each in value if isinstance(each, Path))


class Dataset(Plug, ABC):
    """A source of samples. `splits`: names of its disjoint splits; attacks are crafted on "craft".

    Judged samples are in the key of every cell, with their pixels; what else is read (the crafting split) is known by
    `reads` only. A loader of a large folder may therefore leave pictures of judged samples out of it.
    """

    licence: ClassVar[str] = ""

    @abstractmethod
    def __iter__(self) -> Iterator[Sample | BadSample]:
        """Samples in a fixed order; a bad row is a BadSample and costs itself only. Ids are unique."""

    def crafting(self) -> Iterator[Sample]:
        """Samples that attacks may optimise on: disjoint from those of `__iter__`. Default: none."""
        return iter(())


class Victim(Plug, ABC):
    """A model under test. `layout`: the pictures of text that it reads, None if unknown (paper defaults apply).

    `image_size`: width and height in pixels of the picture that it takes, None if any.
    `context_window`: tokens of prompt (pictures and system prompt included) and reply together, None: unknown, or no
    limit. Asking for it never loads weights.
    `world`: name of the closed world whose language is all that it speaks (the testbed's Vale), "" for any other model:
    some judges can be right about a closed world only (`Judge.valid_in`).
    """

    layout: Layout | None = None
    image_size: tuple[int, int] | None = None
    sees_images: bool = True
    context_window: int | None = None
    world: str = ""

    @abstractmethod
    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        """One reply per ask, in order. Never raises for one ask: that ask gets `Reply.error(reason)`, or
        `Reply.refused(error)` where the ask itself is to blame (`errors.TooLong`, a picture too many)."""

    def look_ahead(self, image: Image) -> None:
        """`image` will be shown: what takes long with it (decoding, resizing) may be done now and kept. Changes no
        reply; any thread may call it while another one asks. May raise what an ask with it would be told. Default:
        nothing."""

    def fidelity(self, samples: Sequence[Sample]) -> Iterable[Finding]:
        """Checks that our own code around this victim adds nothing to it and loses nothing, on samples with targets;
        each as it is made, since some take long. Default: none."""
        return ()

    def card(self) -> dict[str, Any]:
        """What the report states about this victim (sizes, training, versions); JSON-able."""
        return {}

    def in_run(self, folder: Path, run: str) -> Victim:
        """This victim for the run `run` in `folder`: the same id whenever that run goes on. Called before any key is
        taken. Default: itself. A victim whose answers belong to one run (an API) keeps what it must there, and its
        key holds `run`."""
        return self


@dataclass(frozen=True)
class LossAndGrad:
    """nll: float [B, P], mean negative log-likelihood per token of each pair; loss: float [B], what was
    differentiated; pixels: gradient of `loss.sum()`, float32 [B, 3, H, W]; text: its gradient with respect to the
    text perturbations, shaped as they were given, None where none were."""

    nll: torch.Tensor
    loss: torch.Tensor
    pixels: torch.Tensor
    text: tuple[tuple[torch.Tensor, ...], ...] | None = None


class Prepared(Protocol):
    """B pictures x P tokenised pairs: what a victim needs to score targets again and again.

    spans[b][p]: number of tokens of each part of the target (one part for a plain text; the end token, where asked
    for, belongs to the last part). text_tokens[b][p]: number of prompt tokens that are text (the template included,
    place holders of pictures and the target not).
    """

    @property
    def spans(self) -> tuple[tuple[tuple[int, ...], ...], ...]: ...

    @property
    def text_tokens(self) -> tuple[tuple[int, ...], ...]: ...

    def rows(self, picks: Sequence[int]) -> Self:
        """These pictures, in this order; repeats are allowed."""

    def select(self, picks: Sequence[Sequence[int]]) -> Self:
        """picks[b]: which pairs of picture b, without tokenising anew."""

    def weighted(self, weights: Sequence[Sequence[Sequence[float]]]) -> Self:
        """weights[b][p]: one weight per target token, for `weighting="given"`: loss = sum of weight x NLL.
        Trailing zeros cost nothing: those tokens are not run."""

    def taught(self, teachers: Sequence[Sequence[torch.Tensor]]) -> Self:
        """teachers[b][p]: logits float32 [T, V] of a teacher at the target positions. The NLL of a token becomes the
        cross-entropy against softmax(teacher) (soft labels)."""


def checked(pixels: torch.Tensor, port: str, device: Any = None) -> torch.Tensor:
    """`pixels` on `device`, as every port of a victim or model that takes some begins. port: its name, for the error.

    Raises ValueError unless they are floats [B, 3, H, W] in [0, 1], none of them NaN: pixels normalised twice would
    give numbers that look right.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
        raise ValueError(f"{port}: pixels: expected [B, 3, H, W], found {list(pixels.shape)}")
    if not pixels.is_floating_point():
        raise ValueError(f"{port}: pixels: expected floats in [0, 1], found {pixels.dtype}; divide levels by 255")
    low, high = (end.item() for end in pixels.detach().aminmax())  # one look at them; NaN stays NaN
    if not (low >= 0 and high <= 1):
        raise ValueError(f"{port}: pixels: expected values in [0, 1], found [{low:.4g}, {high:.4g}]; normalised?")
    return pixels if device is None else pixels.to(device)


class WhiteBoxVictim(Victim):
    """A victim that also gives gradients with respect to pixels, float32 in [0, 1], [B, 3, H, W]."""

    @abstractmethod
    def pixels(self, image: Image) -> torch.Tensor:
        """`image` as this model takes it: float32 [1, 3, H, W] in [0, 1], at the tower's own size."""

    @abstractmethod
    def prepare(self, pairs: Sequence[Sequence[tuple[Chat, Target]]], *, append_eos: bool = False) -> Any:
        """B pictures x P pairs of (chat, target), tokenised once (a `Prepared`). The chat's picture is a place
        holder. append_eos: the end token belongs to the target (papers differ)."""

    @abstractmethod
    def loss_and_grad(
        self,
        pixels: torch.Tensor,
        prepared: Any,
        *,
        weighting: Weighting = "token",
        need_grad: bool = True,
        text: Sequence[Sequence[torch.Tensor]] | None = None,
    ) -> LossAndGrad:
        """Teacher-forced cross-entropy of the targets, and its gradient.

        pixels: float32 [B, 3, H, W] in [0, 1]; raises ValueError outside (catches double normalisation).
        weighting: "token" = mean over all target tokens of a row (Hugging Face's labels loss), "pair" = mean
        over pairs of per-pair means, "sum" = sum over tokens, "given" = `prepared`'s own weights. Rows are
        independent: each row's gradient equals the one of its own run.
        text[b][p]: float32 [text_tokens[b][p], width], added to the embeddings of the prompt's text tokens.
        """

    def target_logits(self, pixels: torch.Tensor, prepared: Any) -> list[list[torch.Tensor]]:
        """Per picture and pair: logits float32 [T, V] at the target positions, without gradient. Raises ClosedVictim
        (the default) if the victim gives none."""
        raise ClosedVictim(f"victim {self.name!r}: gives no logits; override `target_logits`, or take another victim")

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        """What the vision tower makes of `pixels`, differentiable: "pooled" [B, d] or "patches" [B, n, d], the
        patch tokens that the rest of the model reads (paper by paper: the penultimate layer in LLaVA). Raises
        ClosedVictim (the default) if the tower is closed."""
        raise ClosedVictim(
            f"victim {self.name!r}: does not open its vision tower; override `features`, or name an encoder"
        )

    def features_and_grad(
        self, pixels: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor], layer: Layer = "pooled"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(float [B], float32 [B, 3, H, W]): `loss` of the features of each picture, and its gradient to `pixels`.

        loss: features of B pictures -> float [B], rows independent. For objectives on the tower alone.
        """
        import torch

        leaf = checked(pixels.detach(), "features_and_grad").requires_grad_()
        with torch.enable_grad():
            values = loss(self.features(leaf, layer))
            if values.shape != pixels.shape[:1]:
                raise ValueError(f"loss: expected one value per picture, [{len(pixels)}], found {list(values.shape)}")
            (grad,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach(), grad

    def next_token_logits(self, chats: Sequence[Chat]) -> torch.Tensor:
        """float32 [n, V]: logits of the first token of each reply, without gradient. Raises ClosedVictim (the default)
        if the victim gives none."""
        raise ClosedVictim(f"victim {self.name!r}: gives no logits; override `next_token_logits`, or take another one")

    def hidden_states(self, chats: Sequence[Chat], layers: Sequence[int] | None = None) -> torch.Tensor:
        """float32 [n, L, d]: what decoder layers (None: all, from 0) make of each prompt's last token, without
        gradient. Raises ClosedVictim (the default) if the layers are closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its layers; override `hidden_states`, or take another")

    def steering(self, vectors: Mapping[int, torch.Tensor]) -> AbstractContextManager[None]:
        """While the context is open, vectors[layer] (float [d]) is added to what that decoder layer makes of every
        token, in replies, losses and gradients. Raises ClosedVictim (the default) if the layers are closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its layers; override `steering`, or take another one")

    @property
    def embedding_width(self) -> int:
        """Width of the language model's token embeddings. Raises ClosedVictim (the default) if they are closed."""
        raise ClosedVictim(
            f"victim {self.name!r}: does not open its embeddings; override `embedding_width`, or take another victim"
        )

    def gradient_path(self) -> str:
        """How `loss_and_grad` computes on this model and why: noted in traces and reports. Empty: nothing to say."""
        return ""


class Attack(Plug, ABC):
    """Spend once (`craft`), then apply cheaply. Class attributes say what it is; lists and docs come from them.

    access: black, encoder or white. threat: "user" or "third party". changes: "image", "text".
    scope: "universal" crafts on the crafting split and serves all samples, "sample" crafts per judged sample.
    reports: what its paper reports, one line with victim, data and figure; "" where nothing could be verified.
    reads_loss: a black box that returns scores: it takes the target's loss from the victim, never a gradient.
    """

    access: ClassVar[Access] = "black"
    threat: ClassVar[str] = "user"
    changes: ClassVar[tuple[str, ...]] = ()
    scope: ClassVar[Literal["universal", "sample"]] = "universal"
    reports: ClassVar[str] = ""
    reads_loss: ClassVar[bool] = False

    @property
    def opens_victim(self) -> bool:
        """Whether crafting looks inside the victim (a `WhiteBoxVictim`). An encoder attack that is given an encoder of
        its own does not: what it makes is shown to any victim."""
        return self.access in ("encoder", "white") or self.reads_loss

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: float | None = None
    ) -> Iterator[Artefact]:
        """Artefacts for `samples` against `victim`. Default: one empty universal artefact (nothing to buy).

        budget: cap per picture on forward equivalents (forward + 2 x backward passes + queries), or
        `types.Seconds`; None for the attack's own steps.
        """
        yield Artefact(crafted_on="", meta={"seed": seed})

    @abstractmethod
    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        """The attacked chat. Pure and cheap; never changes `sample`."""

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        """The dialogue with the victim. Default: one ask of `apply`. Returns the final chat and reply."""
        chat = self.apply(artefact, sample)
        reply = yield ask.on(chat)
        return chat, reply


class Defense(Plug, ABC):
    """A wrapper: a defended victim is a victim. Most defenses write `flow` only."""

    def __call__(self, victim: Victim) -> Victim:
        return Defended(victim, self)

    def flow(self, ask: Ask) -> Flow[Reply]:
        """What happens between the user's ask and the reply. Default: the identity."""
        reply = yield ask
        return reply


@dataclass(frozen=True)
class Defended(Victim):
    """`victim` behind `defense`. Its key holds the stack; its white box is the innermost victim."""

    victim: Victim
    defense: Defense
    name: ClassVar[str] = "defended"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", self.victim.layout)
        object.__setattr__(self, "image_size", self.victim.image_size)
        object.__setattr__(self, "sees_images", self.victim.sees_images)
        object.__setattr__(self, "world", self.victim.world)

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        ends = drive([begun(partial(self.defense.flow, ask)) for ask in asks], self.victim.reply)
        return [self._reply(end) for end in ends]

    def _reply(self, end: Driven[Reply]) -> Reply:
        """An aux failure is an error of that sample, never an answer and never "safe". What was not sent stays so."""
        if isinstance(end.value, Reply):
            return dataclasses.replace(end.value, cost=end.cost)
        if end.unsent:
            return Unsent.because(end.unsent)
        reason = f"its dialogue returned a {type(end.value).__name__}, expected a Reply"
        if end.error is not None:
            reason = told(end.error, "defense", self.defense)
        return Reply.error(f"defense {self.defense.name}: {reason}", end.cost)

    @property
    def context_window(self) -> int | None:  # type: ignore[override]
        return self.victim.context_window

    def look_ahead(self, image: Image) -> None:
        self.victim.look_ahead(image)

    def card(self) -> dict[str, Any]:
        return self.victim.card()

    def in_run(self, folder: Path, run: str) -> Victim:
        return Defended(self.victim.in_run(folder, run), self.defense)


def innermost(victim: Victim) -> Victim:
    """The model itself, without the defenses around it: what a white-box attack differentiates."""
    while isinstance(victim, Defended):
        victim = victim.victim
    return victim


class Judge(Plug, ABC):
    """Scores attempts. `column`: what a score of 1 means, as a table heading. `aspect`: the same as one of the things
    that people label replies with ("refusal", "unsafe"; "not refusal": the complement), "" if it is none of them;
    `proofglass judges check` compares such a judge with labelled replies.

    `valid_in`: the worlds (`Victim.world`) in which its verdict may be called a success rate; None: any, since it
    decides by definition (the target string stands in the reply, or not). About a victim of another world the report
    shows what it found beside `measured`, its error on labelled replies, and calls it neither success nor safety.
    """

    column: ClassVar[str] = ""
    aspect: ClassVar[str] = ""
    valid_in: ClassVar[tuple[str, ...] | None] = None
    measured: Measured | None = None

    @abstractmethod
    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        """One score per attempt, in order. `Score.unjudged` where nothing can be said."""


class Model(Plug, ABC):
    """A helper of a method (encoder, detector, guard, language model), passed in by name."""


class Encoder(Model):
    """An image encoder, perhaps with a text tower in the same space: a surrogate, or a source of trigger embeddings."""

    @abstractmethod
    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        """float [B, d] or [B, n, d] of float32 [B, 3, H, W] in [0, 1], differentiable; other sizes than the
        encoder's own are resized inside, normalisation happens inside."""

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """float [n, d] in the space of the pooled features, no gradient. Raises UsageError without a text tower."""
        raise UsageError(f"{self.name}: has no text tower; name an encoder that has one")


class Detector(Model):
    """A differentiable detector (faces, forbidden content). threshold: score from which it fires."""

    threshold: float = 0.5

    @abstractmethod
    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        """float [B, anchors] in (0, 1) of float32 [B, 3, H, W] in [0, 1], differentiable; a classifier has one."""
