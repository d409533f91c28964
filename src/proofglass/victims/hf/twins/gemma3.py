"""Gemma 3: one size for every picture."""

from __future__ import annotations

from typing import Any

from proofglass.errors import UsageError
from proofglass.victims.hf.twins.fixed import Fixed


class Gemma3(Fixed):
    """Without pan-and-scan, whose crops would change the text around a picture: the processor of text and pictures
    turns it off at every call, whatever the folder says.

    Raises UsageError where it is on nevertheless: the folder names no such processor.
    """

    def __init__(self, processor: Any) -> None:
        if processor.do_pan_and_scan:
            raise UsageError(
                "preprocessor_config.json: do_pan_and_scan: expected false or null, found true; pan-and-scan crops are "
                "not supported, set it to false"
            )
        super().__init__(processor)
