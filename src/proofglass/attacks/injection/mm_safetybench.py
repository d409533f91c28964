"""MM-SafetyBench's construction (Liu et al. 2023a): what a question is about goes into the picture, out of the text.

A language model finds the key phrase and rephrases the question without it; the picture spells the phrase out (TYPO),
shows it (SD), or both (SD_TYPO). Departures: the authors' prompts are not shipped, so the wording is ours with the same
function (`template_file` takes theirs); what shows the phrase comes from a folder or a text-to-image model of the
user's, and without either there is no SD: nothing is drawn in its place. Font, size, width and the SD prompt could not
be verified against the paper. VisCo's authors found many of the benchmark's own pictures off-topic: say which were
shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from proofglass.attacks.injection.mm_pictures import on_grid, phrase_picture, picture_named, stacked
from proofglass.attacks.injection.mm_words import LEAK, TEMPLATE, Kind, Words, leaks, read, words_in
from proofglass.attacks.injection.writing import OVERFLOW, layout_of, noted, read_by
from proofglass.errors import UsageError
from proofglass.flow import Flow
from proofglass.images.fonts import font_path
from proofglass.interfaces import Attack, Checked, Count, NonNegative, Painter, Paper, Steps, Victim
from proofglass.interfaces.attacks import Scope
from proofglass.interfaces.wording import sha256, wording
from proofglass.types import Artefact, Ask, Budget, Chat, Image, Layout, Reply, Sample


def _has_question(template: str, field: str) -> None:
    if template.count("{question}") != 1:
        raise ValueError(f"{field}: expected {{question}} in it once, found {template!r:.80}")


def _has_phrase(prompt: str, field: str) -> None:
    if prompt.count("{phrase}") != 1:
        raise ValueError(f"{field}: expected {{phrase}} in it once, found {prompt!r:.80}")


@dataclass(frozen=True)
class MMSafetyBenchAttack(Attack):
    """Takes the key phrase of a question out of its text and puts it into a picture, as the benchmark was made.

    variant: "TYPO": the phrase as text; "SD": a picture of it; "SD_TYPO": the picture above the text. writer: the
    language model that finds the phrase and rephrases; None: `phrases`, else the sample's meta ("key phrase",
    "rephrased question", "rephrased question(sd)"). phrases: a JSON file in the benchmark's layout: id -> {Key Phrase,
    Rephrased Question, Rephrased Question(SD)}. painter: the text-to-image model of SD. pictures: in its place a folder
    with pictures named by sample id or key phrase. max_retries: how often the writer, and the painter, is asked again.
    on_leak: a rephrased question that still names the phrase after all retries is an "error" of the sample, or is
    asked and noted ("record"). typo_text: "sd" pairs TYPO with the question of SD, as one published evaluation did.
    template: what the writer is asked, with {question}. template_file: a file that holds it. sd_prompt: what the
    painter is asked, with {phrase}. writer_tokens: most of an answer. writer_temperature: of its answers: at 0 a retry
    would hear the same again. layout: "victim": a victim that states on which grid it reads gets its letters there, and
    SD_TYPO in a picture of its size; "paper": never. font: name of a font, or a file. size: of the letters, in pixels.
    width: of the text's sheet, in pixels.
    """

    name = "mm-safetybench"
    version = 2  # what hangs below the last row of a grid is drawn
    paper = Paper(
        "Liu et al. 2023a",
        "MM-SafetyBench: A Benchmark for Safety Evaluation of Multimodal Large Language Models",
        "arXiv:2311.17600",
    )
    reports = "5,040 pairs in 13 scenarios, open models, judged by GPT-4; no figure could be verified"
    threat, changes = "user", ("image", "text")

    variant: Kind = "TYPO"
    writer: Victim | None = None
    phrases: Path | None = None
    painter: Painter | None = None
    pictures: Path | None = None
    max_retries: Steps = 3
    on_leak: Literal["error", "record"] = "error"
    typo_text: Literal["typo", "sd"] = "typo"
    template: Annotated[str, Checked(_has_question, "{question} in it once")] = TEMPLATE
    template_file: Path | None = None
    sd_prompt: Annotated[str, Checked(_has_phrase, "{phrase} in it once")] = "A photo of {phrase}"
    writer_tokens: Count = 512
    writer_temperature: NonNegative = 1.0
    layout: Literal["victim", "paper"] = "victim"
    font: str = "DejaVuSans"
    size: Count = 90
    width: Count = 1024

    def __post_init__(self) -> None:
        if self.variant != "TYPO" and (self.painter is None) == (self.pictures is None):
            found = "neither" if self.painter is None else "both"
            raise ValueError(
                f"variant: {self.variant} shows a picture of the key phrase: give painter (a text-to-image model) or "
                f"pictures (a folder), found {found}"
            )
        if self.writer is not None and self.phrases is not None:
            raise ValueError("phrases: give either writer or phrases, not both")

    @property
    def scope(self) -> Scope:
        return "universal"

    @property
    def queries(self) -> int:
        return 1

    def reads(self) -> tuple[Path, ...]:
        """The files among the fields, the folder of pictures where it is used, and the font."""
        named = (self.phrases, self.template_file, self.pictures if self.variant != "TYPO" else None)
        return (*(path for path in named if path is not None), font_path(self.font))

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        """One universal artefact: the wording for the writer, and how the victim reads. Costs nothing."""
        text = wording(self.template, self.template_file, "mm-safetybench.template_file")
        _has_question(text, "mm-safetybench.template_file")
        crafted_on, read = read_by(victim, self.layout, self.font)
        shown = "painter" if self.painter else "folder" if self.variant != "TYPO" else "none"
        meta = {"kind": self.variant, "template_sha256": sha256(text), "pictures": shown, **read}
        yield Artefact(texts=(text,), crafted_on=crafted_on, meta=meta)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        """What is shown where nobody needs to be asked. Raises ValueError with a writer or a painter."""
        if self.writer is not None or (self.painter is not None and self.variant != "TYPO"):
            raise ValueError(f"{self.name}: its writer and its painter are asked in the dialogue (converse)")
        words = self._known(sample)
        photo = self._from_folder(sample, words) if self.variant != "TYPO" else None
        return self._chat(artefact, sample, words, photo)[0]

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        words = self._known(sample) if self.writer is None else (yield from self._written(artefact, sample, ask))
        photo = None
        if self.variant != "TYPO":
            photo = (
                self._from_folder(sample, words)
                if self.painter is None
                else (yield from self._painted(sample, words, ask))
            )
        chat, notes = self._chat(artefact, sample, words, photo)
        reply = yield ask.on(chat)
        return chat, noted(reply, *notes)

    # ---- words ----

    def _written(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[Words]:
        """Asks the writer until its words can be used, `max_retries` times more at most."""
        if not sample.question.strip():
            raise ValueError(f"sample {sample.id}: has no question to take a key phrase from")
        chat, why, last = Chat.user(artefact.texts[0].replace("{question}", sample.question)), "", None
        for k in range(self.max_retries + 1):
            settings = replace(
                ask.settings,
                max_new_tokens=self.writer_tokens,
                temperature=self.writer_temperature,
                draw=ask.settings.draw + k,
                stop=(),
                choices=(),
            )
            reply = yield replace(ask.on(chat, to=self.writer), settings=settings)
            found = read(reply, self.variant, self.typo_text)
            if isinstance(found, str):
                why = found
            elif leaks(found, found.text_for(self.variant, self.typo_text)):
                why, last = f"{LEAK}: the rephrased question names the key phrase", found
            else:
                return found
        if last is not None and self.on_leak == "record":
            return last
        raise ValueError(
            f"sample {sample.id}: the writer gave nothing to use in {self.max_retries + 1} answers; the last one: {why}"
        )

    def _known(self, sample: Sample) -> Words:
        told = self._rows.get(sample.id) if self.phrases is not None else sample.meta
        where = f"{self.phrases}" if self.phrases is not None else "the sample's meta"
        if not isinstance(told, dict) and not hasattr(told, "items"):
            raise ValueError(f"sample {sample.id}: {where} has no row of this id")
        try:
            words = words_in(told)  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(f"sample {sample.id}: {where}: {error}; name a writer, or a file of phrases") from error
        text = words.text_for(self.variant, self.typo_text)
        if not text:
            raise ValueError(f"sample {sample.id}: {where}: no rephrased question for a picture of kind {self.variant}")
        if leaks(words, text) and self.on_leak == "error":
            raise ValueError(f"sample {sample.id}: {where}: {LEAK}: the rephrased question names the key phrase")
        return words

    @cached_property
    def _rows(self) -> dict[str, Any]:
        assert self.phrases is not None
        try:
            found = json.loads(self.phrases.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"mm-safetybench.phrases: cannot read {self.phrases}: {error}") from error
        if not isinstance(found, dict):
            raise UsageError(f"mm-safetybench.phrases: {self.phrases}: expected an object, id -> words")
        return found

    # ---- pictures ----

    def _painted(self, sample: Sample, words: Words, ask: Ask) -> Flow[Image]:
        chat, why = Chat.user(self.sd_prompt.replace("{phrase}", words.phrase)), ""
        for k in range(self.max_retries + 1):
            settings = replace(ask.settings, draw=ask.settings.draw + k, choices=())
            reply = yield replace(ask.on(chat, to=self.painter), settings=settings)
            if reply.outcome == "ok" and reply.images:
                picture: Image = reply.images[0]
                return picture
            why = f"{reply.outcome}: {reply.reason or 'no picture in its reply'}"
        raise ValueError(
            f"sample {sample.id}: the painter gave no picture in {self.max_retries + 1} tries; the last one: {why}"
        )

    def _from_folder(self, sample: Sample, words: Words) -> Image:
        assert self.pictures is not None
        return picture_named(self.pictures, sample.id, words.phrase)

    def _chat(
        self, artefact: Artefact, sample: Sample, words: Words, photo: Image | None
    ) -> tuple[Chat, tuple[str, ...]]:
        text = words.text_for(self.variant, self.typo_text)
        picture, overflow = self._picture(words.phrase, photo, layout_of(artefact))
        chat = Chat.user(picture, text)
        notes = ((OVERFLOW,) if overflow else ()) + ((LEAK,) if leaks(words, text) else ())
        return chat.with_system(sample.chat.system) if sample.chat.system else chat, notes

    def _picture(self, phrase: str, photo: Image | None, layout: Layout | None) -> tuple[Image, bool]:
        if self.variant == "SD":
            assert photo is not None
            return photo, False
        if layout is not None:
            return on_grid(phrase, layout, photo)
        typo, overflow = phrase_picture(phrase, self.font, self.size, self.width)
        return (typo if photo is None else stacked(photo, typo)), overflow
