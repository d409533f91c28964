"""How likely a reply begins with each of some texts, as far as an API lists the chances of its first token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect_ai.model import ChatCompletionChoice

LISTED = 20  # of the likeliest tokens: the most that OpenAI gives, and vLLM by default


def asked_for(choices: Sequence[str]) -> dict[str, Any]:
    """The fields of Inspect's `GenerateConfig` that ask for chances; nothing where nobody asks for any."""
    return {"logprobs": True, "top_logprobs": LISTED} if choices else {}


def chances_in(choice: ChatCompletionChoice, choices: Sequence[str]) -> dict[str, float]:
    """Choice -> probability, of those that stand, letter by letter, among the listed first tokens.

    An API names tokens by their text and keeps its tokeniser to itself: a choice of several tokens is not found, and
    one that is less likely than all that are listed is not either. Empty where the provider lists nothing.
    """
    content = choice.logprobs.content if choice.logprobs else []
    if not content or not choices:
        return {}
    first = content[0]
    listed = {(each.token, each.logprob) for each in (*(first.top_logprobs or ()), first)}
    found: dict[str, float] = {}
    for token, logprob in sorted(listed):
        if token in choices and not math.isnan(logprob):
            found[token] = max(found.get(token, 0.0), math.exp(min(logprob, 0.0)))
    return {text: found[text] for text in choices if text in found}
