"""Rows of a data set as Inspect's samples, and back from the state of a task.

What Inspect has no field for stands in the metadata under its own name, so that a sample comes back as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inspect_ai.dataset import MemoryDataset
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.solver import TaskState

from proofglass.errors import ImageError, is_environment
from proofglass.inspect_ext.messages import chat_of, inspect_id, messages_of
from proofglass.records.schema import plain
from proofglass.types import BadSample, Sample

_KEPT = ("dataset", "split", "cluster", "category", "expected", "target", "references", "meta")


def inspect_dataset(rows: Iterable[Sample | BadSample], name: str) -> MemoryDataset:
    """`rows` as a data set of Inspect, pictures as data URIs."""
    return MemoryDataset([inspect_sample(row) for row in rows], name=name)


def inspect_sample(row: Sample | BadSample) -> InspectSample:
    """`row` as Inspect's. One that cannot be used keeps its place and says why: it becomes an error of that sample."""
    if isinstance(row, BadSample):
        return _bad(row.id, row.reason, row.category)
    try:
        messages = messages_of(row.chat)
    except ImageError as error:
        if is_environment(error):
            raise
        return _bad(row.id, str(error), row.category)
    metadata = {"sample_id": row.id, **{name: plain(getattr(row, name)) for name in _KEPT}}
    return InspectSample(id=inspect_id(row.id), input=messages, target=row.expected, metadata=metadata)


def _bad(name: str, reason: str, category: str) -> InspectSample:
    metadata = {"sample_id": name, "cannot_be_used": reason, "category": category}
    return InspectSample(id=inspect_id(name), input="", metadata=metadata)


def sample_of(state: TaskState) -> Sample:
    """The sample of `state`. Of another data set than ours, what Inspect knows of it: its target, and all of them as
    references; of an exported log, what a record holds, which is neither. Raises ValueError for a bad row."""
    metadata: dict[str, Any] = state.metadata or {}
    if "cannot_be_used" in metadata:
        raise ValueError(metadata["cannot_be_used"])
    known = {name: metadata[name] for name in _KEPT if name in metadata}
    if "expected" not in metadata:
        known = {"dataset": "inspect", "target": state.target.text, "references": list(state.target)}
    references = tuple(known.pop("references", ()))
    name = str(metadata.get("sample_id", state.sample_id))
    return Sample(id=name, chat=chat_of(state.input), references=references, **known)
