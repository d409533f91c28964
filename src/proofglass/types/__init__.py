"""The nouns of Proofglass: frozen values that every layer shares. No heavy import.

Their shape makes the common lies impossible: an `Image` is 8-bit and named by its pixels, an error is never
the text of a `Reply`, and a `Score` that could not be given is `None`, not 0.
"""

from __future__ import annotations

from proofglass.types.budget import Budget
from proofglass.types.chats import Chat, Message, Part, Role, slot_number
from proofglass.types.images import Image, pixel_hash
from proofglass.types.replies import Ask, AskFault, Cost, Decision, Finish, Helper, Outcome, Reply, Settings, Unsent
from proofglass.types.samples import Artefact, Attempt, BadSample, Expected, Finding, Layout, Sample, Score

__all__ = [
    "Artefact",
    "Ask",
    "AskFault",
    "Attempt",
    "BadSample",
    "Budget",
    "Chat",
    "Cost",
    "Decision",
    "Expected",
    "Finding",
    "Finish",
    "Helper",
    "Image",
    "Layout",
    "Message",
    "Outcome",
    "Part",
    "Reply",
    "Role",
    "Sample",
    "Score",
    "Settings",
    "Unsent",
    "pixel_hash",
    "slot_number",
]
