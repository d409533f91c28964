"""How MLLM-Protector is trained: the detector, then the detoxifier, from checkpoints where there are some."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.defenses.learned import write_json
from proofglass.defenses.training.answers import Left, Pair, pairs_of
from proofglass.defenses.training.cards import (
    CARD,
    DETECTOR,
    DETOXIFIER,
    DRAFTS,
    card_of,
    learned_in,
    weights_of,
)
from proofglass.defenses.training.detecting import Learning, read_of
from proofglass.defenses.training.detector import text_of
from proofglass.engine.checkpoints import Slot
from proofglass.engine.learning import Recipe, drawn, fit
from proofglass.engine.progress import Pace, report
from proofglass.errors import ImageError, TooLong, UsageError
from proofglass.interfaces import COST, key_of, learned_from

if TYPE_CHECKING:
    from torch import Tensor

    from proofglass.defenses.training.mllm_protector import MLLMProtector

Losses = Callable[[Sequence[Any]], Iterator["Tensor"]]
"""Rows of a step -> their mean loss, in parts."""


def train(defense: MLLMProtector, folder: Path) -> None:
    """Train both parts of `defense` in `folder`; what is finished there stays, what was stopped goes on.

    Raises UsageError for a folder of another training, data without both kinds of answers, and a loss that is no
    number; the checkpoint before that stays.
    """
    training = key_of(["mllm-protector", replace(defense, threshold=0.5, delivers="rewrite").key])
    if (folder / CARD).is_file():
        if card_of(folder)["training"] != training:
            raise UsageError(f"{folder / CARD}: holds another training than this one; name another folder")
        return
    pairs, left = pairs_of((row for data in defense.data for row in learned_from(data)), defense.refusals)
    _check_kinds(pairs, left)
    folder.mkdir(parents=True, exist_ok=True)
    weights = weights_of(defense.backbone)
    parts: dict[str, dict[str, float]] = {}
    for name, learn in ((DETECTOR, _detector), (DETOXIFIER, _detoxifier)):
        slot = Slot(folder / DRAFTS / f"{name}.safetensors", defense.every, key_of([training, weights, name]))
        parts[name], more = learn(defense, pairs, folder / name, slot)
        left = [*left, *more]
    if left:
        logging.getLogger("proofglass").warning(
            "%s: %d times a row teaches nothing, the first is %s: %s; %s names them all",
            defense.name, len(left), left[0].id, left[0].reason, folder / CARD,
        )  # fmt: skip
    told = {
        "defense": defense.name,
        "training": training,
        "backbone": {"name": defense.backbone.name, "weights": weights},
        "data": [{"name": data.name, "key": data.key} for data in defense.data],
        "rows": len(pairs),
        "steps": sum(part["steps"] for part in parts.values()),
        "seconds": round(sum(part["seconds"] for part in parts.values()), 1),
        **parts,
        "learned": learned_in(folder),
        "left_out": [{"id": row.id, "for": row.part, "reason": row.reason} for row in left],
    }
    write_json(folder / COST, {name: told[name] for name in ("seconds", "rows", "steps")})
    write_json(folder / CARD, told)  # the last: what has a card is finished
    shutil.rmtree(folder / DRAFTS, ignore_errors=True)


def _detector(
    defense: MLLMProtector, pairs: Sequence[Pair], folder: Path, slot: Slot
) -> tuple[dict[str, float], list[Left]]:
    rows, left = read_of(pairs, text_of(defense.backbone, defense.shown, defense.window))
    learning = Learning(defense.backbone, defense.detector_rank, defense.alpha, defense.seed)
    steps, seconds = _fit(
        defense, rows, [row.id for row in rows], lambda some: learning.losses(some, defense.loss, 8), learning, slot
    )
    learning.save(folder)
    harmless = sum(sum(row.harmless) for row in rows)
    answers = sum(len(row.answers) for row in rows)
    return {
        "rows": len(rows), "steps": steps, "seconds": seconds, "harmless": harmless, "harmful": answers - harmless,
    }, left  # fmt: skip


def _detoxifier(
    defense: MLLMProtector, pairs: Sequence[Pair], folder: Path, slot: Slot
) -> tuple[dict[str, float], list[Left]]:
    import torch

    learner = defense.backbone.learner(defense.detoxifier_rank, defense.alpha, defense.seed)
    rows, ids, left = [], [], []
    for pair in (each for each in pairs if each.accepted):
        assert pair.other is not None
        try:
            rows.append(learner.row(defense.to_rewrite(pair.question, pair.other.text), pair.accepted))
        except (ValueError, ImageError, TooLong) as error:
            left.append(Left(pair.id, str(error), DETOXIFIER))
        else:
            ids.append(pair.id)

    def losses(some: Sequence[Any]) -> Iterator[Tensor]:
        tokens = sum(len(learner.answer(row)) for row in some)
        for start in range(0, len(some), learner.micro):
            yield torch.cat(learner.nll(some[start : start + learner.micro])).sum() / tokens

    steps, seconds = _fit(defense, rows, ids, losses, learner, slot)
    learner.save(folder)
    return {"rows": len(rows), "steps": steps, "seconds": seconds}, left


def _fit(
    defense: MLLMProtector, rows: Sequence[Any], ids: Sequence[str], losses: Losses, learning: Any, slot: Slot
) -> tuple[int, float]:
    """Steps and seconds that it took."""
    if not rows:
        raise UsageError(f"{defense.name}: data: expected rows that fit the model, found none that does")
    steps = ceil(defense.epochs * len(rows) / defense.batch)
    recipe = Recipe(steps, defense.batch, defense.rate, warm_up=steps // 20, end=0.0, decay=0.0, betas=(0.9, 0.999))

    def picks(step: int) -> list[int]:
        return drawn(defense.seed, step, defense.batch, len(rows))

    def seen(done: int, loss: float, seconds: float) -> None:
        report(Pace(done, steps, loss, per_second=done / seconds if seconds > 0 else 0.0))

    seconds = fit(
        lambda step: losses([rows[k] for k in picks(step)]),
        recipe,
        [(learning.parameters, 1.0)],
        seen=seen,
        slot=slot,
        named=lambda step: ", ".join(ids[k] for k in picks(step)),
    )
    return steps, round(seconds, 1)


def _check_kinds(pairs: Sequence[Pair], left: Sequence[Left]) -> None:
    kinds = [answer.harmless for pair in pairs for answer in pair.answers]
    if all(kinds) or not any(kinds):
        found = f"{sum(kinds)} harmless and {len(kinds) - sum(kinds)} harmful ones"
        why = f"; {len(left)} rows teach nothing, the first since: {left[0].reason}" if left else ""
        raise UsageError(f"mllm-protector: data: expected harmless and harmful answers, found {found}{why}")
