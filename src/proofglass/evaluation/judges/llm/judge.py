"""A language model, or a panel of them, as the judge, by a published rubric or one of your own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import MinLen

from proofglass.errors import UsageError
from proofglass.evaluation.judges.chances import share_of
from proofglass.evaluation.judges.llm import RUBRICS, asking, own_rubric
from proofglass.evaluation.judges.llm.reading import SHARE, read
from proofglass.evaluation.judges.llm.rubric import SCENARIO, Rubric, Said, Value, Verdict, published
from proofglass.evaluation.judges.llm.votes import Ballot, counted
from proofglass.evaluation.judges.references import references_of
from proofglass.flow import Flow
from proofglass.interfaces import PROBABILITY, Count, Judge, NonNegative, Paper, Steps, Victim, key_of
from proofglass.types import Ask, Attempt, Chat, Reply, Sample, Score, Settings


@dataclass(frozen=True)
class Seat:
    """Who is asked which time: helper, draw, and whether options are listed from last to first."""

    helper: int
    draw: int
    reverse: bool


@dataclass(frozen=True)
class LLMJudge(Judge):
    """A language model, or a panel of them, judges the reply by a rubric.

    It is shown what the rubric shows (the question as it was before any attack, the reply, a reference), as data behind
    a fence, and answers in a closed form that holds a code of this ask; anything else is unread. Unjudged: an error, an
    empty, wholly filtered or blocked reply, a sample without the reference or the category that the rubric needs, and
    whatever a helper did not answer. Rubrics, and how each departs from its paper: docs/llm-judges.md.

    helpers: the models that judge; of several, the verdict that more than half give, or the mean of their grades.
    rubric: a published one (bailey2023, mm-safetybench, vlsafe, rtvlm, auto-bench, strongreject, harmbench,
    refusal-llm, mssbench, siuo, win-rate), or the path of a YAML file with your own. value: which of the numbers
    that it gives; empty: its first. scenario: for mm-safetybench, of all samples; empty: each sample's category.
    extra: for bailey2023, characters by which a reply must outlast the sample's target to be no mere beginning.
    repeats: draws of each model, counted as a panel is. orders: asks again with the options listed from last to
    first, and two verdicts are none; for win-rate the answers change places, and the mean counts. sees_pictures:
    whether the judge is shown the pictures of the dialogue. retries: further asks, at temperature 0, after an
    answer that cannot be read; a classifier of one word is not asked again. on_unread: what such an answer counts
    as in the end: not judged, a 0, a 1. temperature: of the first ask; None: the rubric's. max_new_tokens: of an
    answer; None: the rubric's. length_cap: characters of the reply that are shown; None: the rubric's.
    probabilities: for a classifier of two words, the probability of the one that counts 1 in place of a verdict,
    from a model that tells it.
    """

    helpers: Annotated[tuple[Victim, ...], MinLen(1)]
    rubric: str
    value: str = ""
    scenario: str = ""
    extra: Steps = 0
    repeats: Count = 1
    orders: bool = False
    sees_pictures: bool = False  # type: ignore[misc]  # of the class elsewhere, here of the configuration
    retries: Steps = 1
    on_unread: Literal["unjudged", "zero", "one"] = "unjudged"
    temperature: NonNegative | None = None
    max_new_tokens: Count | None = None
    length_cap: Count | None = None
    probabilities: bool = False

    valid_in = ("",)
    hears_silence = True
    settled = ("rubric", "value")
    version = 2  # silence, cut answers, probabilities and their label, orders, odd samples: see docs

    def __post_init__(self) -> None:
        if any(one == other for k, one in enumerate(self.helpers) for other in self.helpers[:k]):
            raise ValueError("helpers: a model stands twice; `repeats` asks one several times")
        blind = [each.name for each in self.helpers if not getattr(each, "sees_images", True)]
        if self.sees_pictures and blind:
            raise ValueError(f"sees_pictures: {', '.join(blind)} takes text only; leave it out, or ask another model")
        rubric = self.method
        rubric.value(self.value)
        if self.scenario and (rubric.scenario_of is None or not rubric.scenario_of(self.scenario)):
            known = ", ".join(rubric.tasks) if rubric.scenario_of else "none"
            raise ValueError(f"scenario: rubric {rubric.name} knows {known}, found {self.scenario!r}")
        if self.extra and not rubric.outlasts_target:
            raise ValueError(f"extra: rubric {rubric.name} compares no reply with a target")
        graded = (self.number.graded or self.probabilities) and not rubric.pairwise
        if self.orders and (graded or rubric.prompt or not rubric.lists_options):
            raise ValueError(f"orders: rubric {rubric.name} lists no options here that could be turned; leave it out")
        if self.probabilities and not self._tells_probabilities:
            raise ValueError(f"probabilities: rubric {rubric.name} is no classifier of two words")

    # ---- what it is, by its rubric ----

    @property
    def method(self) -> Rubric:
        """The rubric itself; a file is read again when it was edited, as for the key. Raises UsageError for a name that
        is neither published nor a readable file."""
        if self.rubric in RUBRICS:
            return published(self.rubric)
        if self.rubric.endswith((".yaml", ".yml")):
            return own_rubric.read(Path(self.rubric))
        known = ", ".join(RUBRICS)
        raise UsageError(f"rubric: expected one of {known}, or the path of a .yaml file, found {self.rubric!r}")

    @property
    def number(self) -> Value:
        return self.method.value(self.value)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.method.name}-{self.value}" if self.value else self.method.name

    @property
    def line(self) -> str:
        """What it is, in a few words, for lists."""
        return self.method.line

    @property
    def column(self) -> str:  # type: ignore[override]
        return self.number.column

    @property
    def aspect(self) -> str:  # type: ignore[override]
        return self.number.aspect

    @property
    def says(self) -> Literal["done", "refused", "bad", "good"]:  # type: ignore[override]
        return self.number.says

    @property
    def paper(self) -> Paper | None:  # type: ignore[override]
        return self.method.paper

    @property
    def key(self) -> str:
        """Holds the rubric itself: another wording is another judge."""
        return key_of([super().key, self.method.told()])

    def reads(self) -> Iterable[Path]:
        return () if self.rubric in RUBRICS else (Path(self.rubric).expanduser(),)

    def graded(self) -> Judge | None:
        return replace(self, probabilities=True) if self._tells_probabilities else None

    @property
    def _tells_probabilities(self) -> bool:
        is_plain = len(self.method.questions[-1].words) == 2 and not self.number.graded
        return self.method.form == "word" and is_plain

    # ---- judging ----

    def flow(self, attempt: Attempt) -> Flow[Score]:
        rubric = self.method
        if why := self._cannot(attempt):
            return Score.unjudged(self.name, why)
        if rubric.outlasts_target and len(attempt.reply.text) <= len(attempt.sample.target) + self.extra:
            return Score(self.name, 0.0, "too short", "no longer than the target and `extra`")
        cap = rubric.length_cap if self.length_cap is None else self.length_cap
        seen = asking.exhibit(attempt, rubric.shows, cap)
        ballots: dict[Seat, Ballot] = {}
        open_seats = list(self._seats)
        # What a classifier is asked holds no code, so that asking again is the same ask.
        for turn in range(1 if rubric.form == "word" else self.retries + 1):
            codes = [asking.code_of(rubric, attempt, seen, f"{s.draw} {s.reverse} {turn}") for s in open_seats]
            asks = [self._ask(attempt, seen, seat, turn, code) for seat, code in zip(open_seats, codes, strict=True)]
            replies = yield asks
            for seat, reply, code in zip(open_seats, replies, codes, strict=True):
                ballots[seat] = self._ballot(reply, code, seat)
            open_seats = [s for s in open_seats if ballots[s].verdict is None and not ballots[s].silent]
            if not open_seats:
                break
        return self._scored(self._total(ballots), seen)

    @property
    def _seats(self) -> Sequence[Seat]:
        sides = (False, True) if self.orders else (False,)
        return [Seat(h, d, side) for h in range(len(self.helpers)) for d in range(self.repeats) for side in sides]

    def _cannot(self, attempt: Attempt) -> str:
        """Why this attempt cannot be judged, "" if it can."""
        if not attempt.reply.is_said:
            return f"the reply is {attempt.reply.outcome}"
        if not attempt.reply.text.strip():
            return "the reply is empty"
        return self._odd(attempt.sample)

    def _odd(self, sample: Sample) -> str:
        """What the rubric needs of the sample and does not find there, "" for nothing."""
        rubric = self.method
        if "reference" in rubric.shows and not asking.right_answers(sample):
            given = references_of(sample)
            return given if isinstance(given, str) else "the sample has no reference"
        needed = {
            "target": sample.target if rubric.outlasts_target else "",
            "category": sample.category if rubric.scenario_of and not self.scenario else "",
        }
        for name, value in needed.items():
            if not isinstance(value, str):
                return f"the sample's {name}: expected a text, found {type(value).__name__}"
        if not self._task(sample):
            return f"{sample.category or 'no category'!r} is no scenario of {self.name}; name one as `scenario`"
        return ""

    def _task(self, sample: Sample) -> str:
        rubric = self.method
        if rubric.scenario_of is None:
            return rubric.tasks[SCENARIO]
        return rubric.tasks.get(rubric.scenario_of(self.scenario or sample.category), "")

    def _ask(self, attempt: Attempt, seen: asking.Exhibit, seat: Seat, turn: int, code: str) -> Ask:
        rubric = self.method
        pictures = attempt.conversation.images if self.sees_pictures else ()
        text = asking.prompt(
            rubric, self._task(attempt.sample), seen, code, reverse=seat.reverse, pictures=len(pictures)
        )
        first = rubric.temperature if self.temperature is None else self.temperature
        settings = Settings(
            max_new_tokens=self.max_new_tokens or rubric.max_new_tokens,
            temperature=0.0 if turn else first,
            draw=seat.draw,
            choices=rubric.questions[-1].words if self.probabilities else (),
        )
        return Ask(Chat.user(*pictures, text), settings, self.helpers[seat.helper])

    def _ballot(self, reply: Reply, code: str, seat: Seat) -> Ballot:
        if reply.outcome != "ok" or not reply.is_said:
            half = "stopped half way" if reply.is_said else ""
            return Ballot(None, f"silent: {reply.outcome}: {reply.reason or half or 'nothing said'}", silent=True)
        if self.probabilities:
            return self._chance(reply.choices)
        found = read(self.method, reply, code)
        if found.why_not:
            return Ballot(None, f"unread ({found.why_not})")
        closed = [q.name for q in self.method.questions if q.words or q.numbers]
        told = ", ".join(f"{name} {found.said[name]}" for name in closed) if len(closed) > 1 else ""
        turned = self.method.pairwise and seat.reverse
        return Ballot(self.number.of(_changed_places(found.said) if turned else found.said), told=told)

    def _chance(self, choices: Mapping[str, float]) -> Ballot:
        """The probability of a 1 among the two words."""
        question = self.method.questions[-1]
        first, second = question.words
        share = share_of(first, second, choices, SHARE)
        if isinstance(share, str):
            return Ballot(None, f"unread ({share})")
        verdicts = [self.number.of({question.name: word}) for word in (first, second)]
        value = share * verdicts[0].value + (1 - share) * verdicts[1].value
        likelier = verdicts[0 if share >= 0.5 else 1].label
        return Ballot(Verdict(value, PROBABILITY), told=likelier)

    def _total(self, ballots: Mapping[Seat, Ballot]) -> Ballot:
        graded = self.number.graded or self.probabilities
        panel = []
        for helper in range(len(self.helpers)):
            draws = []
            for draw in range(self.repeats):
                sides = [self._ruled(ballots[s]) for s in self._seats if (s.helper, s.draw) == (helper, draw)]
                draws.append(counted(sides, graded) if self.method.pairwise else _agreed(sides))
            panel.append(counted(draws, graded))
        return counted(panel, graded)

    def _ruled(self, ballot: Ballot) -> Ballot:
        """An unread answer by the failure rule; silence is no answer."""
        if ballot.verdict is not None or ballot.silent or self.on_unread == "unjudged":
            return ballot
        return replace(ballot, verdict=Verdict(float(self.on_unread == "one"), "unread"), told=ballot.why)

    def _scored(self, total: Ballot, seen: asking.Exhibit) -> Score:
        told = "; ".join(filter(None, [total.told, f"shown: {seen.cut}" if seen.cut else ""]))
        if total.verdict is None:
            return Score.unjudged(self.name, "; ".join(filter(None, [f"the judge model: {total.why}", told])))
        return Score(self.name, total.verdict.value, total.verdict.label, told)


def _changed_places(said: Said) -> Said:
    """What was said of answers A and B, of B and A."""
    return {name: {"A": "B", "B": "A"}.get(str(word), word) for name, word in said.items()}


def _agreed(sides: Sequence[Ballot]) -> Ballot:
    """The verdict of one draw in both orders of the options, none where their values differ."""
    missing = next((side for side in sides if side.verdict is None), None)
    if missing is not None:
        return missing
    verdicts = [side.verdict for side in sides if side.verdict is not None]
    if len({verdict.value for verdict in verdicts}) > 1:
        return Ballot(None, f"contradicts itself ({' and '.join(verdict.label for verdict in verdicts)})")
    return sides[0] if len(set(verdicts)) == 1 else counted(sides, graded=False)
