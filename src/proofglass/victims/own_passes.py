"""Plain passes through a user's own module: greedy decoding, losses and gradients, rows of one length together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from proofglass.victims.hf.decoding import Rules
    from proofglass.victims.hf.packing import Task


def decode(
    net: Any,
    prompts: torch.Tensor,
    features: torch.Tensor | None,
    rules: Rules,
    draws: Sequence[torch.Generator | None],
    over: Callable[[list[int]], bool],
) -> list[list[int]]:
    """New token ids of each row, the end token included. prompts: int64 [R, T]; features: [R, ...]; draws: the random
    stream of each row, None for greedy; over(new): whether a row has ended."""
    import torch

    from proofglass.victims.hf.decoding import choose

    new: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    with torch.no_grad():
        while alive:
            ids = torch.cat([prompts[alive], prompts.new_tensor([new[r] for r in alive])], 1)
            logits = logits_of(net, ids, None if features is None else features[alive])[:, -1]
            for r, token in zip(alive, choose(logits, rules, [draws[r] for r in alive], None).tolist(), strict=True):
                new[r].append(token)
            alive = [r for r in alive if not over(new[r])]
    return new


def step(
    net: Any, x: torch.Tensor, rows: Sequence[Sequence[Task]], batch: int, need_grad: bool
) -> tuple[dict[Task, torch.Tensor], torch.Tensor]:
    """NLL of every target token, and the gradient of all weighted losses to `x` [B, 3, H, W]."""
    import torch

    nll: dict[Task, torch.Tensor] = {}
    leaf = x.clone().requires_grad_(need_grad)
    with torch.set_grad_enabled(need_grad):
        seen = features_of(net, leaf)
        features = seen.detach().requires_grad_(seen.requires_grad)  # a part's graph goes before the next is made
        for part in scored(net, [task for row in rows for task in row], features, batch):
            found = {task: _nll(task, logits) for task, logits in part}
            loss = torch.stack([weighted(tokens, task) for task, tokens in found.items()]).sum()
            if loss.requires_grad:
                loss.backward()
            nll |= {task: tokens.detach() for task, tokens in found.items()}
        if features.grad is not None:
            seen.backward(features.grad)
    return nll, torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def scored(
    net: Any, tasks: Sequence[Task], features: torch.Tensor, batch: int
) -> Iterator[list[tuple[Task, torch.Tensor]]]:
    """Tasks with their logits float32 [T, V] at the target positions; those of one length in one pass."""
    import torch

    alike: dict[tuple[int, bool], list[Task]] = {}
    for task in tasks:
        alike.setdefault((len(task.ids), task.owner < 0), []).append(task)
    for (_, blind), members in alike.items():
        for part in chunks(members, batch):
            ids = torch.tensor([task.ids[:-1] for task in part], device=features.device)
            logits = logits_of(net, ids, None if blind else features[[task.owner for task in part]])
            starts = [task.pair.start - 1 for task in part]  # the token that predicts a target's first one
            yield [
                (task, row[start : start + len(task.weights)])
                for task, row, start in zip(part, logits, starts, strict=True)
            ]


def features_of(net: Any, pixels: torch.Tensor) -> torch.Tensor:
    """What `net` sees in pixels [N, 3, H, W]. Raises ValueError unless there is one row for each picture."""
    found = net.see(pixels)
    if len(found) != len(pixels):
        raise ValueError(f"see: expected features of {len(pixels)} pictures, found shape {list(found.shape)}")
    return found


def logits_of(net: Any, ids: torch.Tensor, features: torch.Tensor | None) -> torch.Tensor:
    """float32 (of float64 weights float64) [R, T, V]. Raises ValueError unless each token has a row of logits."""
    import torch

    found = net(ids, features)
    if found.dim() != 3 or found.shape[:2] != ids.shape:
        raise ValueError(f"forward: expected logits [{len(ids)}, {ids.shape[1]}, V], found shape {list(found.shape)}")
    return found if found.dtype == torch.float64 else found.float()


def weighted(nll: torch.Tensor, task: Task) -> torch.Tensor:
    return (nll * nll.new_tensor(task.weights)).sum()


def _nll(task: Task, logits: torch.Tensor) -> torch.Tensor:
    """Of each target token [T]; against soft labels where the task has a teacher."""
    import torch
    from torch.nn import functional as F

    teacher = task.pair.teacher
    if teacher is None:
        return F.cross_entropy(logits, torch.tensor(task.targets, device=logits.device), reduction="none")
    return F.cross_entropy(logits, teacher[: len(logits)].to(logits.device).softmax(-1), reduction="none")


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
