"""A template of one's own: how most jailbreak prompts are passed around (Shen et al. 2024 collected 1,405 of them).

No template ships: the user names the file. What a record holds of it is its sha256.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from proofglass.attacks.crafting import templates
from proofglass.interfaces import Attack, Paper, Victim
from proofglass.interfaces.wording import sha256
from proofglass.types import Artefact, Budget, Chat, Sample


@dataclass(frozen=True)
class TextTemplate(Attack):
    """Puts the question into the text of a file, at its slot {question}.

    Other slots are filled from the sample's meta by their name ({instruction} on the testbed); a sample that lacks one
    fails and says so. Pictures and earlier turns stay; one ask is made.

    file: a UTF-8 text with {question} in it at least once. Braces around anything but a lower-case name are text.
    """

    name = "text-template"
    paper = Paper(
        "Shen et al. 2024",
        '"Do Anything Now": Characterizing and Evaluating In-The-Wild Jailbreak Prompts on Large Language Models',
        "arXiv:2308.03825",
    )
    reports = "text models under collected prompts; no figure on a multimodal model"
    threat, changes, scope = "user", ("text",), "universal"

    file: Path

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        """One universal artefact: the template. Costs nothing. Raises UsageError for a file that is none."""
        text = templates.read(self.file, f"{self.name}.file", (templates.QUESTION,))
        yield Artefact(texts=(text,), meta={"template_sha256": sha256(text)})

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        question = templates.goal_of(sample, self.name)
        return sample.chat.with_text(templates.filled(artefact.texts[0], {templates.QUESTION: question}, sample))
