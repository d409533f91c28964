"""What the report reads: a run folder, or whatever offers the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from proofglass.records.labels import Labels
    from proofglass.types import Image, Score


class Source(Protocol):
    """What the report needs of a run folder; `records.store.Store` is one."""

    def scan(self) -> pl.LazyFrame: ...
    def scores(self) -> pl.DataFrame: ...
    def cells(self) -> list[dict[str, Any]]: ...
    def manifest(self) -> dict[str, Any]: ...
    def labels(self, aspect: str) -> Labels | None: ...
    def scores_of(self, cell: str, judge_key: str) -> Mapping[str, Score]: ...
    def image(self, sha: str) -> Image: ...
    def image_path(self, sha: str) -> Path: ...
