"""A sequence classifier of transformers, from a folder with safetensors: texts -> probabilities of its labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from proofglass.errors import UsageError, is_environment
from proofglass.faults import first_line
from proofglass.interfaces.devices import placed
from proofglass.weights import described, readable

Pieces = tuple[int, ...]
"""Token ids of a text, or of a part of it that fits."""

# A sentence ends behind its mark and at a line end; only what is between them is looked at, once.
_SENTENCES = re.compile(r"[^.!?。！？\n]*[.!?。！？\n]*")


class Classifier:
    """Weights and tokenizer of one folder, loaded when first asked.

    Raises UsageError for a folder without a sequence classifier, with weights that cannot be read, or that lack a part.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self.folder, self.device = folder, device

    @cached_property
    def labels(self) -> list[str]:
        """Names of the labels, in the order of the head."""
        named = self._model.config.id2label
        return [str(named[k]) for k in range(len(named))]

    @cached_property
    def sigmoid(self) -> bool:
        """Whether labels are independent, by the rule of transformers' text classification pipeline."""
        config = self._model.config
        if config.problem_type in ("multi_label_classification", "single_label_classification"):
            return bool(config.problem_type == "multi_label_classification")
        if stated := getattr(config, "function_to_apply", None):
            return bool(stated == "sigmoid")
        return len(self.labels) == 1

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForSequenceClassification

        on = placed(self.device)
        stated = described(self.folder / "config.json").get("architectures") or [""]
        if not str(stated[0]).endswith("ForSequenceClassification"):
            raise UsageError(
                f"{self.folder / 'config.json'}: architectures: expected a ...ForSequenceClassification, found "
                f"{stated[0]!r}: its head would be random"
            )
        try:
            model, found = AutoModelForSequenceClassification.from_pretrained(
                self.folder,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                dtype=torch.float32,
            )
        except Exception as error:  # a stranger's files can make a class fail in any way
            if is_environment(error):
                raise
            raise UsageError(
                f"{self.folder}: weights that cannot be read ({first_line(error)}); get them again"
            ) from error
        if absent := sorted(found["missing_keys"]):
            raise UsageError(f"{self.folder}: the weights lack {len(absent)} tensors, the first is {absent[0]}")
        return model.to(on).eval().requires_grad_(False)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with readable(self.folder, "tokenizer", "tokenizer.json and tokenizer_config.json"):
            return AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)

    @cached_property
    def room(self) -> int:
        """Tokens of a text that fit: of the tokenizer's limit and the model's positions the smaller one, less what is
        written around a text."""
        config = self._model.config
        positions = getattr(config, "max_position_embeddings", None)
        if isinstance(positions, int) and config.model_type in ("roberta", "xlm-roberta", "camembert"):
            positions -= config.pad_token_id + 1  # their positions begin behind the padding token
        limits = [n for n in (self._tokenizer.model_max_length, positions) if isinstance(n, int) and 0 < n < 10**9]
        return max(1, min(limits, default=512) - sum(map(len, self._frame)))

    @cached_property
    def _frame(self) -> tuple[list[int], list[int]]:
        """What the tokenizer writes in front of a text and behind it."""
        alone, whole = (list(self._tokenizer("x", add_special_tokens=adds)["input_ids"]) for adds in (False, True))
        first = next((k for k in range(len(whole)) if whole[k : k + len(alone)] == alone), 0)
        return whole[:first], whole[first + len(alone) :]

    def pieces(self, text: str) -> Iterator[Pieces]:
        """`text` whole if it fits, else its sentences, as many together as fit; a longer sentence in parts."""
        whole = self._ids(text)
        if len(whole) <= self.room:
            yield whole
            return
        held: Pieces = ()
        for sentence in (found for found in _SENTENCES.findall(text) if found.strip()):
            ids = self._ids(sentence)
            if held and len(held) + len(ids) > self.room:
                yield held
                held = ()
            for start in range(0, len(ids) - self.room, self.room):
                yield ids[start : start + self.room]
                held = ids[start + self.room :]
            held = (*held, *ids) if len(ids) <= self.room else held
        if held:
            yield held

    def _ids(self, text: str) -> Pieces:
        # Half a character, which a model may write, has no bytes.
        sound = text.encode("utf-8", "replace").decode("utf-8")
        encoded = self._tokenizer(sound, add_special_tokens=False, truncation=False, verbose=False)
        return tuple(encoded["input_ids"])

    def chances(self, pieces: Sequence[Pieces], batch: int, sigmoid: bool) -> Iterator[list[float]]:
        """Probability of each label, in order of the pieces. Alike in length they go together."""
        import torch

        order = sorted(range(len(pieces)), key=lambda k: len(pieces[k]))
        rows: dict[int, list[float]] = {}
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            given = self._given([pieces[k] for k in places])
            with torch.no_grad():
                logits = self._model(**given).logits.float()
            found = logits.sigmoid() if sigmoid else logits.softmax(-1)
            rows |= zip(places, found.tolist(), strict=True)
        return (rows[k] for k in range(len(pieces)))

    def _given(self, pieces: Sequence[Pieces]) -> dict[str, Any]:
        """A padded batch with what the tokenizer writes around each text."""
        before, behind = self._frame
        whole = [{"input_ids": [*before, *ids, *behind]} for ids in pieces]
        found = self._tokenizer.pad(whole, padding=True, return_tensors="pt")
        return {name: value.to(self._model.device) for name, value in found.items()}
