"""MM-SafetyBench (Liu et al. 2023a): 1,680 questions in 13 scenarios, each asked with three kinds of pictures.

Official layout (github.com/isXinLiu/MM-SafetyBench): `data/processed_questions/<scenario>.json`, id -> {Question,
Changed Question, Key Phrase, Phrase Type, Rephrased Question, Rephrased Question(SD), ...}; pictures
`data/imgs/<scenario>/{SD,SD_TYPO,TYPO}/<id>.jpg`; `TinyVersion_ID_List.json`, a list of {Scenario, Sampled_ID_List}.
The copy on the hub: `data/<scenario without its number>/{SD,SD_TYPO,TYPO,Text_only}.parquet` with id, question, image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import MinLen

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.pictures import InFolder, picture_of
from proofglass.evaluation.datasets.reading import picture_in
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Sample

Variant = Literal["SD", "SD_TYPO", "TYPO"]
Kept = frozenset[str] | None  # ids of a scenario, None for all
# Which question belongs to which kind of picture: SD shows the key phrase, so its question says "the picture"; TYPO and
# SD_TYPO spell it out. "": without a picture.
QUESTIONS: Mapping[str, str] = {
    "SD": "Rephrased Question(SD)",
    "SD_TYPO": "Rephrased Question",
    "TYPO": "Rephrased Question",
    "": "Changed Question",
}
COUNTS = {  # the misspellings are the authors'
    "": 1680, "01-Illegal_Activitiy": 97, "02-HateSpeech": 163, "03-Malware_Generation": 44, "04-Physical_Harm": 144,
    "05-EconomicHarm": 122, "06-Fraud": 154, "07-Sex": 109, "08-Political_Lobbying": 153, "09-Privacy_Violence": 139,
    "10-Legal_Opinion": 130, "11-Financial_Advice": 167, "12-Health_Consultation": 109, "13-Gov_Decision": 149,
}  # fmt: skip
SCENARIOS = tuple(COUNTS)[1:]
# Where the official "unsafe" is "did not refuse, or did not say that it is no expert", harmless though it may be.
DISCLAIMED = SCENARIOS[7:8] + SCENARIOS[9:]


@dataclass(frozen=True)
class MMSafetyBench(Dataset):
    """Questions that a safe model refuses, with each of their pictures; the three of one question are one cluster.

    root: the clone of the repository, its folder `data`, or a copy of the hub's repository. variants: kinds of
    pictures: "SD" (drawn by a model), "TYPO" (the key phrase as text), "SD_TYPO" (both). scenarios: these only, with or
    without their number; (): all 13, which must be there. tiny: the 168 questions of the authors' list. pictures:
    "shown", or "left out": the question spelled out, once, as the text-only baseline (that the authors ask it in this
    wording was not verified).

    meta: question (as it was before its key phrase was taken out; not in the hub's copy), key phrase, phrase type,
    variant, number, disclaimer (of scenarios 8 and 10 to 13, where a reply may be "unsafe" for want of a disclaimer alone:
    count them apart). Official judge: `mm-safetybench`, a language model that sees the reply only; it needs a model.
    """

    name = "mm-safetybench"
    paper = Paper(
        "Liu et al. 2023a",
        "MM-SafetyBench: A Benchmark for Safety Evaluation of Multimodal Large Language Models",
        "arXiv:2311.17600",
    )
    licence = "CC BY-NC 4.0, for research only"
    origin = Source(
        "https://github.com/isXinLiu/MM-SafetyBench",
        hub="PKU-Alignment/MM-SafetyBench",
        files=("data/**", "TinyVersion_ID_List.json"),
        pictures="a zip file that the repository's page links to; the hub's tables hold them",
    )
    published = COUNTS
    failure_rule = (
        "Official: the script stops at a verdict that is neither safe nor unsafe. Ours: such a reply is unjudged and "
        "counted apart."
    )
    judges = ("unsafe",)
    metrics = ("rate",)

    root: Path
    variants: Annotated[tuple[Variant, ...], MinLen(1)] = ("SD", "SD_TYPO", "TYPO")
    scenarios: tuple[str, ...] = ()
    tiny: bool = False
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The tables. Pictures are in the key of each cell, by their pixels."""
        if self._is_from_hub:
            tables = [self._parquet(scenario, variant) for scenario in self._chosen() for variant in self._shown()]
        else:
            tables = [self._json(scenario) for scenario in self._chosen()]
        return (*tables, *([self._list()] if self.tiny else []))

    def __iter__(self) -> Iterator[Sample | BadSample]:
        tiny = self._tiny() if self.tiny else None
        for scenario in self._chosen():
            kept = None if tiny is None else tiny.get(scenario, frozenset())
            yield from self._of_hub(scenario, kept) if self._is_from_hub else self._of_repository(scenario, kept)

    def _of_repository(self, scenario: str, kept: Kept) -> Iterator[Sample | BadSample]:
        for row in _only(rows_of(self._json(scenario), dataset=self.name, key="id"), kept):
            for variant in self._shown() if isinstance(row, Row) else [""]:
                prefix = f"{self.name}/{scenario}" + (f"/{variant}" if variant else "")
                yield from sampled([row], partial(self._asked, scenario, variant), self.name, prefix)

    def _asked(self, scenario: str, variant: str, row: Row) -> Sample:
        told = {
            "question": row.text("Question"),
            "key phrase": row.text("Key Phrase", empty=True),
            "phrase type": row.text("Phrase Type", empty=True),
        }
        question = row.text(QUESTIONS[variant])
        number = row.number("id")
        shown = [picture_in(self._data() / "imgs" / scenario / variant, f"{number}.jpg")] if variant else []
        return self._sample(scenario, variant, number, Chat.user(*shown, question), told)

    def _of_hub(self, scenario: str, kept: Kept) -> Iterator[Sample | BadSample]:
        for variant in self._shown():
            rows = rows_of(self._parquet(scenario, variant), ("id", "question", "image"), dataset=self.name)
            prefix = f"{self.name}/{scenario}" + (f"/{variant}" if variant else "")
            yield from sampled(_only(rows, kept), partial(self._held, scenario, variant), self.name, prefix)

    def _held(self, scenario: str, variant: str, row: Row) -> Sample:
        number, question = row.number("id"), row.text("question")
        place = f"{scenario}/{variant}/{number}"
        shown = [picture_of(row.values["image"], InFolder(self.root), place)] if variant else []
        return self._sample(scenario, variant, number, Chat.user(*shown, question), {})

    def _sample(self, scenario: str, variant: str, number: int, chat: Chat, told: Mapping[str, str]) -> Sample:
        question = f"{self.name}/{scenario}/{number:03d}"
        return Sample(
            id=f"{question}/{variant}" if variant else question,
            dataset=self.name,
            chat=chat,
            cluster=question,
            category=scenario,
            meta={**told, "variant": variant, "number": number, "disclaimer": scenario in DISCLAIMED},
        )

    def _shown(self) -> tuple[str, ...]:
        return self.variants if self.pictures == "shown" else ("",)

    def _chosen(self) -> tuple[str, ...]:
        try:
            return _numbered(self.scenarios) or SCENARIOS
        except ValueError as error:
            raise UsageError(f"mm-safetybench.scenarios: {error}") from error

    @property
    def _is_from_hub(self) -> bool:
        return not (self._data() / "processed_questions").is_dir() and any(self._data().glob("*/*.parquet"))

    def _data(self) -> Path:
        below = self.root / "data"
        return below if below.is_dir() else self.root

    def _json(self, scenario: str) -> Path:
        return self._data() / "processed_questions" / f"{scenario}.json"

    def _parquet(self, scenario: str, variant: str) -> Path:
        return self._data() / scenario.partition("-")[2] / f"{variant or 'Text_only'}.parquet"

    def _list(self) -> Path:
        beside = self._data().parent / "TinyVersion_ID_List.json"
        return beside if beside.is_file() else self._data() / beside.name

    def _tiny(self) -> Mapping[str, frozenset[str]]:
        """Scenario -> the ids of the authors' list. Raises UsageError for a list that cannot be read: which questions
        it meant is unknown then."""
        kept: dict[str, frozenset[str]] = {}
        for row in rows_of(self._list(), ("Scenario", "Sampled_ID_List")):
            if isinstance(row, BadSample):
                raise UsageError(f"{self._list()}: {row.reason}")
            try:
                (scenario,) = _numbered([row.text("Scenario")])
                kept[scenario] = frozenset(row.texts("Sampled_ID_List"))
            except ValueError as error:
                raise UsageError(f"{self._list()}: {row.place}: {error}") from error
        return kept


def _only(rows: Iterable[Row | BadSample], kept: Kept) -> Iterator[Row | BadSample]:
    return (row for row in rows if kept is None or isinstance(row, BadSample) or str(row.values.get("id")) in kept)


def _numbered(scenarios: Iterable[str]) -> tuple[str, ...]:
    """Scenarios with their numbers. Raises ValueError for one that there is not."""
    short = {scenario.partition("-")[2]: scenario for scenario in SCENARIOS}
    found = tuple(short.get(name, name) for name in scenarios)
    if unknown := [name for name in found if name not in SCENARIOS]:
        raise ValueError(f"no scenario {unknown[0][:80]!r}; expected some of {', '.join(SCENARIOS)}")
    return found
