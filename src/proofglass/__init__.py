"""Proofglass: measure, attack and harden multimodal large language models.

The public names stand in `__init__.pyi`, which type checkers read; each is loaded on its first use, so that
`import proofglass` stays light.
"""

from __future__ import annotations

import lazy_loader

from proofglass import threads

threads.wait_asleep()

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
