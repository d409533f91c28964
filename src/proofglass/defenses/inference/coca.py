"""CoCA (Gao et al. 2024): every token is chosen by logits that go beyond what a safety principle already changes.

The formula is that of a public re-implementation and alpha its default; the paper's own code was not read. Departure:
the principle is our own wording, a parameter; it stands in the system prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

from proofglass.defenses.acting import opens_layers
from proofglass.defenses.contrasted import Contrasted
from proofglass.defenses.opened import Lens, Opened
from proofglass.interfaces import Defense, NonNegative, Paper, Victim, WhiteBoxVictim, rebased
from proofglass.types import Chat

PORTS = ("reply_by", "next_token_logits", "target_logits")
PRINCIPLE = (
    "Before you answer, look at the picture and the text together. If what they ask for would harm anyone or break the "
    "law, say so and do not help; otherwise answer fully."
)


@dataclass(frozen=True)
class CoCA(Defense):
    """Decodes by z_s + alpha (z_s - z_0), z_s the logits under a safety principle, z_0 those without it.

    Two passes a token, no call more. In a stack it acts inside the model, wherever it stands. The cost of a reply
    counts the second dialogue as a pass, not its tokens.

    principle: put into the system prompt, behind one that is there; an empty one is the identity. alpha: how far beyond
    the principle; 0 is the principle alone.
    """

    name = "coca"
    paper = Paper(
        "Gao et al. 2024",
        "CoCA: Regaining Safety-awareness of Multimodal Large Language Models with Constitutional Calibration",
        "arXiv:2409.11365",
    )
    needs_model = "logits"
    adaptive = "PGD, qi2023 on the combined logits"

    principle: str = PRINCIPLE
    alpha: NonNegative = 4.0

    def __call__(self, victim: Victim) -> Victim:
        return rebased(victim, lambda model: self.opened(opens_layers(self, model, *PORTS)))

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        if not self.principle:
            return Opened(opens_layers(self, model, *PORTS), self)
        acting = Contrasted(self.name, self.placed, self.alpha)
        return Opened(opens_layers(self, model, *PORTS), self, Lens(acting=acting))

    def placed(self, chat: Chat) -> Chat:
        """`chat` under the principle."""
        return chat.with_system("\n".join(filter(None, (chat.system, self.principle))))
