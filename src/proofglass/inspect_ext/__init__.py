"""Between Proofglass and Inspect AI (extra `inspect`): runs as its logs, our plugs inside its tasks.

export.py      a run folder -> one `.eval` log per cell; cell.py: what such a log says
registered.py  what Inspect finds through the entry point group `inspect_ai`:
  tasks.py     the task `proofglass/cell` and the solver `proofglass/attacked`; dialogue.py: the model as a victim
  scorers.py   every judge as the scorer `proofglass/<judge>`, and our interval as a metric
  provider.py  every victim as the model `proofglass/<victim>`
messages.py, samples.py, plugs.py: our nouns as Inspect's, and back; plugs by name
"""

from __future__ import annotations

from proofglass.errors import MissingExtra


def require() -> None:
    """Raises MissingExtra if Inspect AI is not installed. Imports nothing: it takes a second to load."""
    from importlib.util import find_spec

    if find_spec("inspect_ai") is None:
        raise MissingExtra("inspect: inspect-ai is not installed. Run: pip install inspect-ai")
