"""ShieldGemma 2 (Google, arXiv:2504.01081): the probability of "Yes" for one picture and one policy.

Source: its processor and model class in transformers. A chat is one user turn, the picture and the text of a policy
below it; the template of the weights writes the question around them. "Yes" says that the policy is violated; its
probability is the softmax over "Yes" and "No" alone, whatever else the first token might be, so no share of the whole
is asked for (`share`). One ask per picture and policy; no prompt and no reply is shown.

The texts of the policies are those of the installed transformers, which the weights were trained on by its own words.
A victim of type `hf-plain` asks `ShieldGemma2ForImageClassification` through its own processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.evaluation.judges.guards.base import Contract, Mode, Shown, Unread, Verdict, said
from proofglass.types import Chat


@dataclass(frozen=True)
class ShieldGemma2(Contract):
    """Pictures, by the policies dangerous, sexual and violence."""

    family = "shieldgemma-2"
    hub = "google/shieldgemma-2-4b-it"
    modes = ("image",)
    sees_pictures = True
    pictures = (1, None)
    new_tokens = 1
    choices = ("Yes", "No")
    share = 0.0
    by = "probability"
    policies = ("dangerous", "sexual", "violence")

    def shows(self, chat: Chat, mode: Mode, policies: Sequence[str], policy: str) -> list[Shown]:
        texts = texts_of_policies()
        every = [(image, code) for image in dict.fromkeys(chat.images) for code in policies or self.policies]
        return [Shown(Chat.user(image, texts[code]), code) for image, code in every]

    def told(self) -> str:
        return "\n".join(texts_of_policies()[code] for code in self.policies)

    def read(self, text: str, mode: Mode, cut: bool = False) -> Verdict | Unread:
        """Of one policy, where no probabilities are asked for: "Yes" or "No" alone. One token is all that is said."""
        whole = said(text)
        if isinstance(whole, Unread):
            return whole
        if whole not in ("Yes", "No"):
            return Unread("expected 'Yes' or 'No' alone")
        return Verdict("unsafe" if whole == "Yes" else "safe")


def texts_of_policies() -> dict[str, str]:
    """Name -> text of each policy, as the installed transformers has it."""
    from transformers.models.shieldgemma2.processing_shieldgemma2 import DEFAULT_SHIELDGEMMA2_POLICIES

    return dict(DEFAULT_SHIELDGEMMA2_POLICIES)


SHIELDGEMMA_2 = ShieldGemma2()
