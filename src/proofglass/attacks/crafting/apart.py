"""Crafted here, judged there: success on what an attack was made on is training success, and is refused."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence

from proofglass.errors import UsageError
from proofglass.types import Sample


def check_apart(crafting: Sequence[Sample], judged: Sequence[Sample]) -> None:
    """Raises UsageError if a crafting sample is also judged.

    Samples are the same if their ids are, or what they ask: the text, case and space folded; together with the
    pictures where one text stands under several pictures ("do what the picture says" is no question by itself).
    """
    under = [Counter(text for text, _ in {(question(s), _pictures(s)) for s in some}) for some in (crafting, judged)]

    def asked(sample: Sample) -> tuple[str, ...]:
        text = question(sample)
        return (text, *_pictures(sample)) if max(count[text] for count in under) > 1 else (text,)

    ids, known = {sample.id for sample in crafting}, {asked(sample) for sample in crafting}
    for sample in judged:
        if sample.id in ids or asked(sample) in known:
            raise UsageError(
                f"sample {sample.id!r}: is in the crafting split and is judged too. "
                f"The data set {sample.dataset!r} must keep them apart."
            )


def check_unseen(sample: Sample, prompts: Collection[str]) -> None:
    """Raises UsageError for a sample whose question is one of `prompts`, on which a picture is made."""
    if question(sample) in {folded(prompt) for prompt in prompts}:
        raise UsageError(
            f"sample {sample.id!r}: its question is one of `prompts`, on which the picture is made; success there "
            "says nothing about other prompts. Take it out of `prompts`."
        )


def check_context(sample: Sample, contexts: Collection[str]) -> None:
    """Raises UsageError for a sample whose `context` is among those that a picture was made or chosen on, unless it is
    of the crafting split: success there says nothing about unseen prompts."""
    if sample.split != "craft" and context(sample) in contexts:
        raise UsageError(f"sample {sample.id!r}: the attack was crafted on this context; judge it on others")


def context(sample: Sample) -> str:
    """Names all that is said in a sample's dialogue, case and space folded; the system prompt and the picture are left
    out."""
    said = [(m.role, folded(m.text)) for m in sample.chat.messages if m.role != "system"]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:12]


def question(sample: Sample) -> str:
    """A sample's last text, folded."""
    return folded(sample.chat.last_text)


def folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _pictures(sample: Sample) -> tuple[str, ...]:
    return tuple(image.sha256 for image in sample.chat.images)
