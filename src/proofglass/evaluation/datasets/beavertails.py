"""BeaverTails (Ji et al. 2023): prompts with replies, and what of 14 harms people saw in each pair. Text only.

Official layout (hub PKU-Alignment/BeaverTails): `round0/330k/{train,test}.jsonl.xz` and
`round0/30k/{train,test}.jsonl.gz`, rows {prompt, response, category: {name: true or false, 14 of them}, is_safe}.
Unpacked ones are read, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Sample

CATEGORIES: Mapping[str, str] = {
    "animal_abuse": "animal abuse",
    "child_abuse": "child abuse",
    "controversial_topics,politics": "controversial topics, politics",
    "discrimination,stereotype,injustice": "discrimination, stereotype, injustice",
    "drug_abuse,weapons,banned_substance": "drug abuse, weapons, banned substance",
    "financial_crime,property_crime,theft": "financial crime, property crime, theft",
    "hate_speech,offensive_language": "hate speech, offensive language",
    "misinformation_regarding_ethics,laws_and_safety": "misinformation regarding ethics, laws and safety",
    "non_violent_unethical_behavior": "non-violent unethical behaviour",
    "privacy_violation": "privacy violation",
    "self_harm": "self-harm",
    "sexually_explicit,adult_content": "sexually explicit, adult content",
    "terrorism,organized_crime": "terrorism, organised crime",
    "violence,aiding_and_abetting,incitement": "violence, aiding and abetting, incitement",
}
"""Key of the files (with commas in it: never split) -> its name in words, in the order of the files."""

FIELDS = ("prompt", "response", "category", "is_safe")
PLACES = {"330k": ".jsonl.xz", "30k": ".jsonl.gz"}
ENDINGS = (".jsonl.xz", ".jsonl.gz", ".jsonl", ".parquet")


@dataclass(frozen=True)
class BeaverTails(Dataset):
    """Prompts to which some reply was called unsafe, each asked once.

    The labels are of pairs, so they say of a prompt what it can lead to, and of a row that is safe nothing about its
    prompt: those are left out unless they are asked for. A pair may fall into several categories: `category` is the
    first in the order of the files, meta holds them all.

    root: the files of the hub, its folder `round0`, or one table. split: which of the four. each: "prompt" (once, with
    the categories of all its unsafe replies), or "pair" (every row, with its own). safe_too: also rows whose reply is
    safe; they are expected to be refused as the others, since all prompts were written to draw out harm.

    meta: categories, and of a pair the reply and whether it is safe.
    """

    name = "beavertails"
    paper = Paper(
        "Ji et al. 2023",
        "BeaverTails: Towards Improved Safety Alignment of LLM via a Human-Preference Dataset",
        "arXiv:2307.04657",
    )
    licence = "CC BY-NC 4.0"
    origin = Source(
        "https://huggingface.co/datasets/PKU-Alignment/BeaverTails",
        hub="PKU-Alignment/BeaverTails",
        files=("round0/**/*.jsonl.*",),
    )
    failure_rule = (
        "Official: people label pairs, and a classifier of theirs flags new ones. Ours: what the judge of refusals "
        "cannot read is unjudged."
    )
    judges = ("not-refused",)
    metrics = ("rate",)

    root: Path
    split: Literal["330k_train", "330k_test", "30k_train", "30k_test"] = "30k_test"
    each: Literal["prompt", "pair"] = "prompt"
    safe_too: bool = False

    def reads(self) -> tuple[Path, ...]:
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        if self.each == "pair":
            yield from sampled(self._rows(), self._pair, self.name, f"beavertails/{self.split}")
            return
        harms = self._harms()
        yield from sampled(self._rows(), lambda row: self._prompt(harms, row), self.name, f"beavertails/{self.split}")

    def _rows(self) -> Iterator[Row | BadSample]:
        return rows_of(self._table(), FIELDS, dataset=self.name)

    def _harms(self) -> dict[bytes, int]:
        """Prompt, by its digest -> the categories of all its replies, as bits. A first pass: 330,000 rows hold few
        prompts, and this keeps 50 bytes of each."""
        found: dict[bytes, int] = {}
        for row in self._rows():
            if isinstance(row, Row):
                try:
                    prompt, flags, safe = _read(row)
                except ValueError:
                    continue  # the second pass says so
                if self.safe_too or not safe:
                    bits = sum(1 << list(CATEGORIES).index(name) for name in flags)
                    found[_digest(prompt)] = found.get(_digest(prompt), 0) | bits
        return found

    def _prompt(self, harms: dict[bytes, int], row: Row) -> list[Sample]:
        """The sample of a prompt where it stands first, else none. Takes it out of `harms`."""
        prompt, _, safe = _read(row)
        if (safe and not self.safe_too) or (bits := harms.pop(_digest(prompt), None)) is None:
            return []
        flags = tuple(name for k, name in enumerate(CATEGORIES) if bits >> k & 1)
        return [self._sample(row, prompt, flags, {})]

    def _pair(self, row: Row) -> list[Sample]:
        prompt, flags, safe = _read(row)
        if safe and not self.safe_too:
            return []
        return [self._sample(row, prompt, flags, {"reply": row.text("response", empty=True), "safe": safe})]

    def _sample(self, row: Row, prompt: str, flags: tuple[str, ...], meta: dict[str, object]) -> Sample:
        return Sample(
            id=f"beavertails/{self.split}/{int(row.place.rpartition(' ')[2]):06d}",
            dataset=self.name,
            chat=Chat.user(prompt),
            cluster=f"beavertails/{_digest(prompt).hex()}",
            category=flags[0] if flags else "",
            meta={"categories": list(flags), **meta},
        )

    def _table(self) -> Path:
        if self.root.is_file():
            return self.root
        size, part = self.split.split("_")
        below = self.root / "round0" if (self.root / "round0").is_dir() else self.root
        there = (below / size / f"{part}{end}" for end in ENDINGS)
        return next((path for path in there if path.is_file()), below / size / f"{part}{PLACES[size]}")


def _read(row: Row) -> tuple[str, tuple[str, ...], bool]:
    """Prompt, categories in their order, and whether the pair is safe. Raises ValueError for anything else."""
    flags, safe = row.values["category"], row.values["is_safe"]
    if not isinstance(flags, Mapping) or not all(isinstance(value, bool) for value in flags.values()):
        raise ValueError(f"category: expected an object of true and false, found {flags!r:.80}")
    if odd := [name for name in flags if name not in CATEGORIES]:
        raise ValueError(f"category: expected the 14 of BeaverTails, found {odd[0]!r:.80}")
    if not isinstance(safe, bool):
        raise ValueError(f"is_safe: expected true or false, found {safe!r:.80}")
    return row.text("prompt"), tuple(name for name in CATEGORIES if flags.get(name)), safe


def _digest(prompt: str) -> bytes:
    return hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=16).digest()
