"""T-PGD (Yuan et al. 2023, Findings of ACL): PGD on the hidden states of a local masked language model, read as words.

From the authors' code (`Phantivia/T-PGD`): a perturbation goes into the self-attention of one layer, begins uniform in
+- `init` over its number of values, and climbs by steps of fixed length (`lr` x tokens / 20; theirs over the data set's
average) on the task loss - .001 x the loss of decoding the original; after each step the hidden states of another layer
are decoded through the masked-LM head; a text that was not seen before and is similar enough is put to the victim; too
far: the segment starts anew, with another token covered.

Departures: the task is the victim's reply and a judge of it, where theirs is a classifier's label; `classifier` gives
the loss of one (its own first verdict is the label), and without it the distance of the mean last hidden state from the
clean one is climbed; the covered token becomes the mask (theirs: an unused one); special tokens are never decoded
(theirs get a logit of 0); similarity is BERTScore F1 by the same model, without weights or baseline; their check for
antonyms and their stop lists are left out. BERT and RoBERTa by their folders; checked on tiny models only,
by format: no figure of the paper was reproduced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from proofglass.attacks.crafting import templates
from proofglass.attacks.crafting.loop import Search
from proofglass.flow import Flow
from proofglass.interfaces import Attack, Count, Judge, NonNegative, Paper, Positive, Share, Steps
from proofglass.registry import build
from proofglass.types import Artefact, Ask, Chat, Reply, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proofglass.attacks.text.masked_lm import MaskedLM


@dataclass(frozen=True)
class TPGD(Attack):
    """Searches texts near the question by a local masked language model, until the judge sees a success.

    At most `asks` asks of the victim, `segments` x `steps` passes of the local model. A question longer than the local
    model takes fails its sample. The reason of the reply tells tries and first success.

    model: folder of the masked language model (BERT or RoBERTa, safetensors). classifier: folder of a classifier with
    the same encoder, whose loss is climbed; None: the distance of hidden states. judge: of success, in the loop.
    threshold: score from which a try counts as success. lower: similarity below which a segment starts anew. upper:
    similarity above which a text is too near to be worth an ask. segments: restarts. steps: of a segment. asks: of the
    victim at most. lr: length of a step for a text of 20 tokens. init: size of the first perturbation. decode_weight:
    of the loss of decoding the original. perturb_layer: into whose attention the perturbation goes, from 0.
    decode_layer: whose hidden states are decoded, 0 the embeddings; None: the 6th, or the last of a smaller model.
    cover: whether a random token is masked. device: where the local model runs.
    """

    name = "t-pgd"
    paper = Paper(
        "Yuan et al. 2023",
        "Bridge the Gap Between CV and NLP! A Gradient-based Textual Adversarial Attack Framework",
        "arXiv:2110.15317",
    )
    threat, changes = "user", ("text",)
    reports = (
        "text classifiers (SST-2, MNLI, AG's News): figures not verified; VLSafe builds on it against vision models"
    )
    not_in_key = ("device",)

    model: Path
    classifier: Path | None = None
    judge: Judge = field(default_factory=lambda: build("judges", "not-refused"))
    threshold: Share = 0.5
    lower: Share = 0.0
    upper: Share = 1.0
    segments: Count = 10
    steps: Steps = 100
    asks: Count = 100
    lr: Positive = 3.0
    init: NonNegative = 1.0
    decode_weight: NonNegative = 0.001
    perturb_layer: Steps = 0
    decode_layer: Steps | None = None
    cover: bool = True
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.lower > self.upper:
            raise ValueError(f"lower: expected at most upper ({self.upper:g}), found {self.lower:g}")

    @property
    def looks_through(self) -> str:
        return "gradients of its local masked language model"

    @property
    def queries(self) -> int:
        return self.asks

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        """The question as it is: what is asked in the end comes out of the search."""
        return sample.chat

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        question = templates.goal_of(sample, self.name)
        search, asked = Search(sample, self.judge, self.threshold), 0
        for text in self._texts(question, f"{artefact.meta.get('seed', 0)}:{sample.id}"):
            yield from search.ask(ask.on(sample.chat.with_text(text)))
            asked += 1
            if search.succeeded or search.gave_up or asked == self.asks:
                break
        if not asked:
            search.notes.append(f"no text between similarity {self.lower:g} and {self.upper:g} was found")
        return search.end()

    def _texts(self, question: str, seed: str) -> Iterator[str]:
        """Texts near the question that are worth an ask, each once."""
        local = self.local
        text = local.encoded(question)
        seen = {question.strip()}
        for segment in range(self.segments):
            run = local.begin(text, f"{seed}:{segment}", init=self.init, cover=self.cover)
            for _ in range(self.steps + 1):
                found = run.decoded()
                if found not in seen:
                    seen.add(found)
                    near = local.similarity(question, found)
                    if near < self.lower:
                        break
                    if near <= self.upper and found.strip():
                        yield found
                run.step(self.lr, self.decode_weight)

    @cached_property
    def local(self) -> MaskedLM:
        """The local model, loaded on first use."""
        from proofglass.attacks.text.masked_lm import MaskedLM

        return MaskedLM(self.model, self.classifier, self.perturb_layer, self.decode_layer, self.device)
