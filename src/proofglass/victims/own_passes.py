"""Plain passes through a user's own module: greedy decoding, losses and gradients, rows of one length together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proofglass.types import Chat, Image, Reply
from proofglass.victims.shared.choosing import Rules, choose, first_tokens
from proofglass.victims.shared.tasks import Task, chunks

if TYPE_CHECKING:
    import torch

    Look = Callable[[Image], torch.Tensor]


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

    new: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    with torch.no_grad():
        while alive:
            ids = torch.cat([prompts[alive], prompts.new_tensor([new[r] for r in alive])], 1)
            logits = logits_of(net, ids, None if features is None else features[alive])[:, -1]
            for r, token in zip(alive, choose(logits, rules, [draws[r] for r in alive]).tolist(), strict=True):
                new[r].append(token)
            alive = [r for r in alive if not over(new[r])]
    return new


def with_chances(victim: Any, replies: list[Reply], chats: Sequence[Chat], choices: Sequence[str]) -> list[Reply]:
    """With the probability that each reply begins with the first token of each choice (`first_tokens`); one more pass
    for each."""
    first = first_tokens(choices, victim.encode)
    if not first:
        return replies
    chances = victim.next_token_logits(chats).softmax(-1)[:, list(first.values())].tolist()
    told = []
    for reply, row in zip(replies, chances, strict=True):
        cost = replace(reply.cost, forward=reply.cost.forward + 1)
        told.append(replace(reply, choices=dict(zip(first, row, strict=True)), cost=cost))
    return told


def step(
    net: Any, x: torch.Tensor, rows: Sequence[Sequence[Task]], batch: int, need_grad: bool, look: Look
) -> tuple[dict[Task, torch.Tensor], torch.Tensor]:
    """NLL of every target token, and the gradient of all weighted losses to `x` [B, 3, H, W]; gradients to text gather
    in what the tasks have `added`. look: a fixed picture -> its pixels."""
    import torch

    nll: dict[Task, torch.Tensor] = {}
    tasks = [task for row in rows for task in row]
    leaf = x.clone().requires_grad_(need_grad)
    with torch.set_grad_enabled(need_grad):
        seen, places = see(net, leaf, tasks, look)
        features = None if seen is None else seen.detach().requires_grad_(seen.requires_grad)
        for part in scored(net, tasks, features, places, batch):  # a part's graph goes before the next is made
            found = {task: _nll(task, logits) for task, logits in part}
            loss = torch.stack([weighted(tokens, task) for task, tokens in found.items()]).sum()
            if loss.requires_grad:
                loss.backward()
            nll |= {task: tokens.detach() for task, tokens in found.items()}
        if seen is not None and features is not None and features.grad is not None:
            seen.backward(features.grad)
    return nll, grad_of(leaf)


def see(
    net: Any, x: torch.Tensor, tasks: Sequence[Task], look: Look
) -> tuple[torch.Tensor | None, dict[Task, int | None]]:
    """Features of `x` and of the tasks' fixed pictures, and which of them each task sees, None for none."""
    import torch

    fixed = list(
        dict.fromkeys(slot.image for task in tasks for slot in task.pair.slots if not slot.name and slot.image)
    )
    pixels = torch.cat([x, *map(look, fixed)])
    places: dict[Task, int | None] = {}
    for task in tasks:
        (own,) = task.pair.shown or (None,)
        places[task] = task.owner if isinstance(own, str) else None if own is None else len(x) + fixed.index(own)
    return (features_of(net, pixels) if len(pixels) else None), places


def scored(
    net: Any,
    tasks: Sequence[Task],
    features: torch.Tensor | None,
    places: Mapping[Task, int | None],
    batch: int,
) -> Iterator[list[tuple[Task, torch.Tensor]]]:
    """Tasks with their logits float32 [T, V] at the target positions; those of one length in one pass. places: which
    features each of them sees."""
    import torch

    alike: dict[tuple[int, bool], list[Task]] = {}
    for task in tasks:
        alike.setdefault((len(task.ids), places[task] is None), []).append(task)
    for (_, blind), members in alike.items():
        for part in chunks(members, batch):
            ids = torch.tensor([task.ids[:-1] for task in part], device=device_of(net))
            shown = None if blind or features is None else features[[places[task] for task in part]]
            with perturbed(net, part, ids):
                logits = logits_of(net, ids, shown)
            starts = [task.pair.start - 1 for task in part]  # the token that predicts a target's first one
            yield [
                (task, row[start : start + len(task.weights)])
                for task, row, start in zip(part, logits, starts, strict=True)
            ]


@contextlib.contextmanager
def perturbed(net: Any, tasks: Sequence[Task], ids: torch.Tensor) -> Iterator[None]:
    """While open, what the tasks have `added` to their text is added to what `net.embedding` gives for `ids` [R, T]."""
    import torch

    if all(task.added is None for task in tasks):
        yield
        return

    def add(_module: Any, _given: Any, found: torch.Tensor) -> torch.Tensor:
        if found.shape[:2] != ids.shape:
            raise ValueError(f"embedding: expected to be asked for ids {list(ids.shape)}, found {list(found.shape)}")
        whole = torch.zeros_like(found)
        for r, task in enumerate(tasks):
            if task.added is not None:
                whole[r, : len(task.added)] = task.added.to(found)
        return found + whole

    handle = net.embedding.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def device_of(net: Any) -> torch.device:
    """Where its parameters are."""
    import torch

    first = next(net.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def features_of(net: Any, pixels: torch.Tensor) -> torch.Tensor:
    """What `net` sees in pixels [N, 3, H, W]. Raises ValueError unless there is one row for each picture."""
    found: torch.Tensor = net.see(pixels)
    if len(found) != len(pixels):
        raise ValueError(f"see: expected features of {len(pixels)} pictures, found shape {list(found.shape)}")
    return found


def logits_of(net: Any, ids: torch.Tensor, features: torch.Tensor | None) -> torch.Tensor:
    """float32 (of float64 weights float64) [R, T, V]. Raises ValueError unless each token has a row of logits."""
    import torch

    found: torch.Tensor = net(ids, features)
    if found.dim() != 3 or found.shape[:2] != ids.shape:
        raise ValueError(f"forward: expected logits [{len(ids)}, {ids.shape[1]}, V], found shape {list(found.shape)}")
    return found if found.dtype == torch.float64 else found.float()


def weighted(nll: torch.Tensor, task: Task) -> torch.Tensor:
    return (nll * nll.new_tensor(task.weights)).sum()


def _nll(task: Task, logits: torch.Tensor) -> torch.Tensor:
    """Of each target token [T]; against soft labels where the task has a teacher, along its direction if it has one."""
    import torch
    from torch.nn import functional as F

    teacher, direction = task.pair.teacher, task.pair.direction
    if direction is not None:
        return (logits * direction[: len(logits)].to(logits)).sum(-1)
    if teacher is None:
        return F.cross_entropy(logits, torch.tensor(task.targets, device=logits.device), reduction="none")
    return F.cross_entropy(logits, teacher[: len(logits)].to(logits.device).softmax(-1), reduction="none")


def grad_of(leaf: torch.Tensor) -> torch.Tensor:
    """What has gathered in it, zeros for nothing."""
    import torch

    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
