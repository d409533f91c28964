"""What Inspect AI finds through the entry point group `inspect_ai`: importing this registers it."""

from __future__ import annotations

from proofglass.inspect_ext.provider import VictimAPI, proofglass
from proofglass.inspect_ext.scorers import SCORERS, interval, judged
from proofglass.inspect_ext.tasks import attacked, proofglass_task

__all__ = ["SCORERS", "VictimAPI", "attacked", "interval", "judged", "proofglass", "proofglass_task"]
