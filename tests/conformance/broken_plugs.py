"""A sound plug of each kind, and the ways in which one can break its contract, one class per way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from proofglass import images
from proofglass.errors import ImageError
from proofglass.evaluation.datasets.reading import picture_in
from proofglass.flow import Flow
from proofglass.interfaces import (
    Attack,
    Dataset,
    Defense,
    Encoder,
    Judge,
    LossAndGrad,
    Paper,
    Victim,
    WhiteBoxVictim,
    checked,
    key_of,
)
from proofglass.testing.material import Scripted
from proofglass.types import Artefact, Ask, Attempt, BadSample, Chat, Image, Reply, Sample, Score, Settings
from proofglass.victims.own import OwnModule

PAPER = Paper("Nobody 2024", "A Method", "arXiv:0000.00000")


def grey(level: int = 128) -> Image:
    return Image.from_array(np.full((4, 4, 3), level, np.uint8))


def float_image() -> Image:
    """What `Image.from_array` refuses, made by hand."""
    return Image("f" * 64, 4, 4, lambda: np.zeros((4, 4, 3), np.float32))


# ---------------------------------------------------------------- victims


class Reversed(Scripted):
    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return super().reply(asks)[::-1]


class Short(Scripted):
    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return super().reply(asks)[:1]


class Blind(Scripted):
    def one(self, ask: Ask) -> Reply:
        return super().one(ask.on(Chat.user(ask.chat.last_text)))


class Raising(Scripted):
    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        for ask in asks:
            for image in ask.chat.images:
                image.array()
        return super().reply(asks)


class Spoiling(Scripted):
    """A bad ask spoils the whole batch."""

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        replies = super().reply(asks)
        return [Reply.error("batch lost")] * len(asks) if any(r.outcome == "error" for r in replies) else replies


@dataclass(frozen=True)
class Moody(Scripted):
    calls: list[int] = field(default_factory=lambda: [0])

    def one(self, ask: Ask) -> Reply:
        self.calls[0] += 1
        return replace(super().one(ask), text=f"call {self.calls[0]}")

    def settings(self) -> dict[str, Any]:
        return {"prefix": self.prefix}


class Endless(Scripted):
    def one(self, ask: Ask) -> Reply:
        return super().one(replace(ask, settings=Settings(max_new_tokens=500)))


class CutsInSilence(Scripted):
    def one(self, ask: Ask) -> Reply:
        return replace(super().one(ask), finish="stop")


class Uncounted(Scripted):
    def one(self, ask: Ask) -> Reply:
        found = super().one(ask)
        return replace(found, cost=replace(found.cost, queries=0))


class NoCard(Scripted):
    def card(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class OpensText(OwnModule):
    """A module whose tokens and embeddings are open. `fault` names what is wrong with it."""

    module: Any = "toy_module:Open"
    fault: str = ""

    def prepare(self, pairs: Any, *, append_eos: bool = False, slots: Any = ("image",), mark: Any = "") -> Any:
        if self.fault == "any slot":
            slots = slots[:1]
        if self.fault == "fixed is grey" and not slots:
            grey = Image.from_array(np.full((8, 8, 3), 128, np.uint8))
            pairs = [[(chat.with_image(grey), target) for chat, target in row] for row in pairs]
        found = super().prepare(pairs, append_eos=append_eos, slots=slots, mark=mark)
        if self.fault == "marks too much":
            wider = [[replace(p, mark=(p.mark[0] - 3, p.mark[1])) for p in row] for row in found.pairs]
            return replace(found, pairs=tuple(map(tuple, wider)))
        return found

    def loss_and_grad(self, pixels: Any, prepared: Any, **named: Any) -> Any:
        found = super().loss_and_grad(pixels, prepared, **named)
        if self.fault == "one form" and isinstance(found.pixels, dict):
            return replace(found, pixels={"picture": found.pixels["image"]})
        if found.text is not None and self.fault in ("text uphill", "no text gradient"):
            sign = -1 if self.fault == "text uphill" else 0
            return replace(found, text=tuple(tuple(sign * grad for grad in row) for row in found.text))
        return found

    def losses_of(self, pixels: Any, prepared: Any, candidates: Any, **named: Any) -> Any:
        found = super().losses_of(pixels, prepared, candidates, **named)
        if self.fault == "mixes candidates":
            return found.flip(1)
        return found.mean().expand_as(found) if self.fault == "one loss" else found

    def decode(self, ids: Sequence[int]) -> str:
        return super().decode(ids).upper() if self.fault == "reads otherwise" else super().decode(ids)

    def embeddings(self) -> Any:
        found = super().embeddings()
        return found.repeat(1, 2) if self.fault == "wide embeddings" else found

    def writable(self) -> Any:
        return super().writable() & (self.fault != "nothing writable")


@dataclass(frozen=True)
class White(WhiteBoxVictim):
    """Loss of a picture: its mean, per row. `fault` names what is wrong with it."""

    name = "white"
    fault: str = ""

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return Scripted().reply(asks)

    def pixels(self, image: Image) -> Any:
        import torch

        return torch.from_numpy(image.array().copy()).permute(2, 0, 1)[None].float() / 255

    def prepare(self, pairs: Sequence[Sequence[tuple[Chat, Any]]], *, append_eos: bool = False) -> Any:
        return pairs

    def loss_and_grad(
        self, pixels: Any, prepared: Any, *, weighting: Any = "token", need_grad: bool = True, text: Any = None
    ) -> LossAndGrad:
        import torch

        if self.fault != "takes anything" and (pixels.min() < 0 or pixels.max() > 1):
            raise ValueError("pixels: outside [0, 1]")
        loss = pixels.mean((1, 2, 3))
        grad = torch.full_like(pixels, 1 / pixels[0].numel())
        if self.fault == "uphill":
            grad = -grad
        if self.fault == "zero":
            grad = torch.zeros_like(grad)
        if self.fault == "mixes rows":
            grad = grad / len(pixels)
        if self.fault == "wrong shape":
            grad = grad[:, :1]
        return LossAndGrad(loss[:, None], loss, grad)

    def features(self, pixels: Any, layer: Any = "pooled") -> Any:
        return pixels.mean((2, 3)) if self.fault == "looks at anything" else checked(pixels, "features").mean((2, 3))


@dataclass(frozen=True)
class Sees(Encoder):
    """The mean of each colour. `fault` names what is wrong with it."""

    name = "sees"
    fault: str = ""

    def features(self, pixels: Any, layer: Any = "pooled") -> Any:
        if self.fault != "takes anything" and (pixels.min() < 0 or pixels.max() > 1):
            raise ValueError("pixels: outside [0, 1]")
        found = pixels.mean((2, 3))
        if self.fault == "mixes rows":
            found = found - found.mean(0)
        if self.fault == "blind":
            found = 0 * found + 0.5
        if self.fault == "cuts the gradient":
            found = found.detach().round(decimals=6) + 0 * found
        if self.fault == "not a number":
            found = found / 0
        return found if self.fault != "loses the batch" else found[0]


# ---------------------------------------------------------------- attacks


@dataclass(frozen=True)
class Suffix(Attack):
    """Adds words to the question."""

    name = "suffix"
    paper = PAPER
    changes = ("text",)
    words: str = "please"

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_text(f"{sample.chat.last_text} {self.words}")


class Counts(Suffix):
    """Another chat at every call."""

    calls = [0]  # noqa: RUF012

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        self.calls[0] += 1
        return sample.chat.with_text(str(self.calls[0]))


class WritesToTheSample(Suffix):
    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        sample.meta["seen"] = True  # type: ignore[index]
        return super().apply(artefact, sample)


class HidesAPicture(Suffix):
    """Changes the picture and says it changes text."""

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(grey())


class PromisesText(Suffix):
    """Says that it changes text, and changes nothing: neither at once nor in its dialogue."""

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat


class WordsItLater(PromisesText):
    """Leaves the text to its dialogue."""

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        chat = sample.chat.with_text(f"{sample.chat.last_text} now")
        reply = yield ask.on(chat)
        return chat, reply


class ShowsItLater(WordsItLater):
    """Shows a picture in its dialogue, and says that it changes text alone."""

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        chat = sample.chat.with_image(grey()).with_text("look")
        reply = yield ask.on(chat)
        return chat, reply


class FloatPicture(Suffix):
    changes = ("image",)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(float_image())


class Rolls(Suffix):
    """Crafts by a die that knows no seed."""

    die = [0]  # noqa: RUF012

    def craft(self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Any = None) -> Iterator[Artefact]:
        self.die[0] += 1
        yield Artefact(texts=(str(self.die[0]),))


class PerSampleButUniversal(Suffix):
    def craft(self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Any = None) -> Iterator[Artefact]:
        for sample in samples:
            yield Artefact(sample.id)


class UniversalButPerSample(Suffix):
    scope = "sample"


class CraftedElsewhere(Suffix):
    def craft(self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Any = None) -> Iterator[Artefact]:
        yield Artefact(crafted_on="another victim")


class NothingToCraft(CraftedElsewhere):
    scope = "none"


class FreeScores(Suffix):
    opens = "scores"


class FreeGradients(Suffix):
    opens = "gradients"

    def craft(self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Any = None) -> Iterator[Artefact]:
        yield Artefact(crafted_on=victim.key)


class NeedsItsTuple(Suffix):
    """Compares with a tuple that comes back from JSON as a list."""

    def craft(self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Any = None) -> Iterator[Artefact]:
        yield Artefact(meta={"colour": (1, 2, 3)})

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_text("same" if artefact.meta["colour"] == (1, 2, 3) else "other")


class OwnSettings(Suffix):
    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        reply = yield Ask(sample.chat, Settings(max_new_tokens=999))
        return sample.chat, reply


class AnswersItself(Suffix):
    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        yield ask
        return sample.chat, Reply("an answer")


# ---------------------------------------------------------------- defenses


@dataclass(frozen=True)
class Polite(Defense):
    """Says please, unless it is switched off."""

    name = "polite"
    paper = PAPER
    on: bool = True

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield ask.on(ask.chat.with_system("please")) if self.on else ask
        return reply


class NeverOff(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield ask.on(ask.chat.with_system("please"))
        return reply


class RewritesWhenOff(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield ask
        return replace(reply, text=reply.text.upper())


class WritesToTheAsk(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        object.__setattr__(ask, "chat", ask.chat.with_system("please"))
        reply = yield ask
        return reply


class Chatty(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield replace(ask, settings=Settings(max_new_tokens=999))
        return reply


class SafeOnError(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield ask
        return Reply("no", outcome="blocked") if reply.outcome == "error" else reply


class ForgetsTheSecondError(Polite):
    def flow(self, ask: Ask) -> Flow[Reply]:
        first = yield ask
        yield ask
        return first


class SameKey(Polite):
    def __call__(self, victim: Victim) -> Victim:
        return victim


@dataclass(frozen=True)
class Skips(Polite):
    """A wrapper of its own that loses the cost of a second ask."""

    def __call__(self, victim: Victim) -> Victim:
        from proofglass.interfaces import Defended

        class Cheap(Defended):
            def reply(self, asks: Sequence[Ask]) -> list[Reply]:
                self.victim.reply(asks)
                return self.victim.reply(asks)

        return Cheap(victim, self)


# ---------------------------------------------------------------- judges


@dataclass(frozen=True)
class Long(Judge):
    """1 if the reply has more than two words."""

    name = "long"
    column = "long"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [self.one(a) for a in attempts]

    def one(self, attempt: Attempt) -> Score:
        if attempt.reply.outcome != "ok":
            return Score.unjudged(self.name, attempt.reply.outcome)
        return Score(self.name, float(len(attempt.reply.text.split()) > 2))


class JudgesErrors(Long):
    def one(self, attempt: Attempt) -> Score:
        return Score(self.name, 0.0)


class LosesOne(Long):
    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return super().score(attempts)[1:]


class Relative(Long):
    """The first is always right."""

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score(self.name, float(k == 0)) for k in range(len(attempts))]


class OtherName(Long):
    def one(self, attempt: Attempt) -> Score:
        return Score("another", 1.0)


class NoColumn(Long):
    column = ""


# ---------------------------------------------------------------- data sets


@dataclass(frozen=True)
class Three(Dataset):
    """Three questions and one to craft on. `fault` names what is wrong with it."""

    name = "three"
    licence = "CC0"
    fault: str = ""
    calls: list[int] = field(default_factory=lambda: [0], compare=False)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        self.calls[0] += 1
        for k in range(3):
            yield Sample(
                id="same" if self.fault == "same id" else str(k),
                dataset="other" if self.fault == "other name" else self.name,
                chat=self._chat(k),
            )

    def _chat(self, k: int) -> Chat:
        if self.fault == "changes":
            return Chat.user(f"{k} {self.calls[0]}?")
        if self.fault == "float picture":
            return Chat.user(float_image(), f"{k}?")
        return Chat.user("" if self.fault == "asks nothing" else f"{k}?")

    def crafting(self) -> Iterator[Sample]:
        question = "1?" if self.fault == "leaks a question" else "craft?"
        name = "1" if self.fault == "leaks an id" else "craft"
        split = "test" if self.fault == "unmarked split" else "craft"
        yield Sample(name, self.name, Chat.user(question), split=split)


class Unlicensed(Three):
    licence = ""


# ---------------------------------------------------------------- files


def files_in(folder: Path) -> Path:
    """A folder with rules, a table of two rows (one of them with a picture) and a crafting split."""
    images.write(grey(90), folder / "a.png")
    (folder / "rules.txt").write_text("no way")
    (folder / "table.txt").write_text("a.png\n")
    (folder / "craft.txt").write_text("how is tea made?")
    return folder


@dataclass(frozen=True)
class Reading(Judge):
    """Reads its rules in a file, a text and a list of files."""

    name = "reading"
    column = "read"
    not_in_key = ("log",)
    folder: Path
    file: Path | None = None
    text: str = ""
    files: tuple[Path, ...] = ()
    log: Path | None = None

    def __post_init__(self) -> None:
        rules = self.folder / "rules.txt"
        for name, value in (("file", rules), ("text", str(rules)), ("files", (self.folder / "craft.txt", rules))):
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        object.__setattr__(self, "log", self.folder / "table.txt")

    def reads(self) -> list[Path]:
        return [self.folder, self.file, Path(self.text), *self.files]  # type: ignore[list-item]

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score(self.name, 1.0) for _ in attempts]


class ReadingByName(Reading):
    def reads(self) -> list[Path]:
        return []


class ReadingOnce(Reading):
    """Keeps the first content that it saw of a file, whatever becomes of it."""

    seen: ClassVar[dict[Path, str]] = {}

    @property
    def key(self) -> str:
        place = Path(self.text)
        return key_of([super().key, self.seen.setdefault(place, "")])

    def reads(self) -> list[Path]:
        return [self.folder, *self.files]


class ReadingText(Reading):
    def reads(self) -> list[Path]:
        return [self.folder, self.file, *self.files]  # type: ignore[list-item]


class ReadingTheFirst(Reading):
    def reads(self) -> list[Path]:
        return [self.folder, self.file, Path(self.text), self.files[0]]  # type: ignore[list-item]


class Misspelt(Reading):
    not_in_key = ("lag",)


@dataclass(frozen=True)
class Album(Dataset):
    """Pictures that a table names, and a crafting split in a file of its own."""

    name = "album"
    licence = "CC0"
    root: Path

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for line in (self.root / "table.txt").read_text().splitlines():
            try:
                yield Sample(line, self.name, Chat.user(self.picture(line), "what is it?"))
            except ImageError as error:
                yield BadSample(line, self.name, str(error))

    def picture(self, named: str) -> Image:
        return picture_in(self.root, named)

    def crafting(self) -> Iterator[Sample]:
        yield Sample("c", self.name, Chat.user((self.root / "craft.txt").read_text()), split="craft")


class AlbumByName(Album):
    def reads(self) -> list[Path]:
        return []


class AlbumByTable(Album):
    def reads(self) -> list[Path]:
        return [self.root / "table.txt"]


class AlbumThroughLinks(Album):
    def picture(self, named: str) -> Image:
        if ".." in named:
            raise ImageError(f"{named}: leads out")
        return images.read(self.root / named)


class AlbumOfAnyName(Album):
    def picture(self, named: str) -> Image:
        if (self.root / named).is_symlink():
            raise ImageError(f"{named}: is a link")
        return images.read(self.root / named)


# ---------------------------------------------------------------- any plug


@dataclass
class Soft(Defense):
    """Not frozen."""

    name = "soft"


@dataclass(frozen=True)
class Rules(Defense):
    """Reads its words in a file."""

    name = "rules"
    file: Path | None = None
    files: tuple[Path, ...] = ()


class PathsAreText(Rules):
    def __post_init__(self) -> None:
        object.__setattr__(self, "file", str(self.file))


@dataclass(frozen=True)
class Undocumented(Defense):
    name = "undocumented"
    paper = PAPER


@dataclass(frozen=True)
class Nameless(Defense):
    """A defense without a name."""

    paper = PAPER


@dataclass(frozen=True)
class Paperless(Defense):
    """A method that says not where it comes from."""

    name = "paperless"


@dataclass(frozen=True)
class Unlinked(Defense):
    """A method whose paper cannot be found."""

    name = "unlinked"
    paper = Paper("Nobody 2024", "A Method", "")


@dataclass(frozen=True)
class NewKeys(Defense):
    """A key that tells the time."""

    name = "new-keys"
    ticks = [0]  # noqa: RUF012

    @property
    def key(self) -> str:
        self.ticks[0] += 1
        return key_of(self.ticks[0])


@dataclass(frozen=True)
class ForgetfulKey(Defense):
    """A key without the parameter."""

    name = "forgetful-key"
    strength: float = 0.5

    @property
    def key(self) -> str:
        return key_of("forgetful")


@dataclass(frozen=True)
class Lossy(Defense):
    """Settings that do not build it again."""

    name = "lossy"
    strength: float = 0.5

    def settings(self) -> dict[str, Any]:
        return {}
