"""What the scripts that try a defense share: the rate of a victim's replies, as a judge counts them."""

from __future__ import annotations

from collections.abc import Sequence

from proofglass.evaluation.statistics.rates import wilson
from proofglass.interfaces import Victim
from proofglass.registry import build
from proofglass.types import Ask, Attempt, Chat, Reply, Sample, Settings


def counted(
    victim: Victim, samples: Sequence[Sample], chats: Sequence[Chat], judge: str, tokens: int
) -> tuple[str, list[Reply]]:
    """The share of replies that `judge` gives 1, with Wilson's 95 % interval, and the replies. What failed or could not
    be judged is in no count: where there is such, the rate says of how many it is."""
    replies = victim.reply([Ask(chat, Settings(max_new_tokens=tokens)) for chat in chats])
    attempts = [
        Attempt(sample, chat, reply)
        for sample, chat, reply in zip(samples, chats, replies, strict=True)
        if reply.outcome != "error"
    ]
    values = [score.value for score in build("judges", judge).score(attempts) if score.value is not None]
    if not values:
        return "not measured", replies
    low, high = wilson(sum(values), len(values))
    of = "" if len(values) == len(chats) else f" of {len(values)}"
    return f"{100 * sum(values) / len(values):.0f} % [{100 * low:.0f}, {100 * high:.0f}]{of}", replies
