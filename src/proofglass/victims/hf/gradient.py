"""Loss and gradient of many targets for one picture, with the work that they share done once.

The pairs of a picture begin alike: [text before] [picture]. Along the path "prefix"
1. the text before the picture, constant over an attack, is run once and its keys and values are kept;
2. the picture (and what the prompts have in common) is run once per step, with gradient;
3. its keys and values are cut off the graph, as leaves;
4. the suffixes run behind them, `micro` to a packed row, each row backward at once: its gradient gathers in the leaves;
5. one backward pass leads from the leaves through picture tokens and tower to the pixels.
The chain rule makes this exact. Other paths share less: "packed" (1 and 4: for a picture that takes no tokens of its
own), "expanded" (keys and values repeated, padded rows), "vision" (the tower alone), "plain" (nothing: every pair by
itself). `paths.py` chooses and checks.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.cache_utils import DynamicCache

from proofglass.interfaces import LossAndGrad, Weighting, checked
from proofglass.types import Image
from proofglass.victims.hf.families.base import Family, Picture
from proofglass.victims.hf.packing import Group, Rows, Task, chunks, grouped, packed, padded, tasks_of
from proofglass.victims.hf.paths import PathChoice
from proofglass.victims.hf.prepared import Prepared

KeysValues = list[tuple[Tensor, Tensor]]
LOGITS = 1 << 25  # logits held at once: 128 MiB in float32
TEXTS = 4  # texts before a picture whose keys and values are kept


@dataclass
class GradientStep:
    """What `loss_and_grad` does on one model. micro: pairs per packed row; images_per_pass: pictures in memory at once.
    values: pixels -> what the model takes (`Twin.values`). constant: a picture that stays as it is, encoded, as one of
    several. twofold: a chat's picture is seen in another way if it is one of several (`Twin.several`).

    No such limit changes a result: weights are those of the whole step. The peak is one prefix and one row.
    """

    model: Any
    family: Family
    values: Callable[[Tensor, bool], dict[str, Tensor]]
    constant: Callable[[Image], Picture]
    device: torch.device
    pad: int = 0
    micro: int = 8
    images_per_pass: int = 32
    twofold: bool = False
    _texts: dict[tuple[int, ...], KeysValues] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.choice = PathChoice(self.model, self.family, self.run)

    def forget(self) -> None:
        """Drop what was kept or checked on the model as it was: it computes something else from now on."""
        self._texts.clear()
        self.choice = PathChoice(self.model, self.family, self.run)

    def __call__(
        self,
        pixels: Tensor,
        prepared: Prepared,
        weighting: Weighting,
        need_grad: bool,
        text: Sequence[Sequence[Tensor]] | None = None,
    ) -> LossAndGrad:
        x = self._checked(pixels, prepared, "loss_and_grad")
        if need_grad and text is None and not self.family.sees_images:
            raise ValueError("pixels: a text-only model has no gradient to them; ask with need_grad=False or text")
        added = None if text is None else self._perturbations(text, prepared, need_grad)
        nll: list[list[Tensor]] = []
        weights: list[list[tuple[float, ...]]] = []
        grads: list[Tensor] = []
        for at in range(0, len(x), self.images_per_pass):
            these = range(at, min(at + self.images_per_pass, len(x)))
            rows = tasks_of(prepared.rows(these), weighting, None if added is None else [added[b] for b in these])
            part = x[at : at + len(these)]
            found, grad = self.run(self.choice(part, rows), part, rows, need_grad)
            nll += found
            weights += [[task.weights for task in row] for row in rows]
            grads.append(grad)
        return LossAndGrad(
            _table([[tokens.mean() for tokens in row] for row in nll]),
            torch.stack([_weighted(row, of_row) for row, of_row in zip(nll, weights, strict=True)]),
            torch.cat(grads),
            None if added is None else tuple(tuple(map(_grad, row)) for row in added),
        )

    @torch.no_grad()
    def target_logits(self, pixels: Tensor, prepared: Prepared) -> list[list[Tensor]]:
        x = self._checked(pixels, prepared, "target_logits")
        found: list[list[Tensor]] = []
        for b, row in enumerate(tasks_of(prepared, "sum")):
            tasks = [dataclasses.replace(task, owner=min(task.owner, 0)) for task in row]
            _, seen = self._see(x[b : b + 1], tasks)
            found.append([])
            for part in self._chunks(tasks, self.micro):
                logits = self.family.head(self._padded(part, seen)).float()
                found[-1] += logits.split([len(task.weights) for task in part])
        return found

    # ---- what is asked ----------------------------------------------------------------------------------------

    def _checked(self, pixels: Tensor, prepared: Prepared, port: str) -> Tensor:
        checked(pixels, port)
        if len(pixels) != len(prepared):
            raise ValueError(f"pixels: {len(pixels)} pictures for {len(prepared)} prepared rows")
        if not all(prepared.pairs):
            raise ValueError("prepared: a picture has no pairs; give every picture at least one")
        sizes = {pair.size for row in prepared.pairs for pair in row if pair.size is not None}
        if sizes - {tuple(pixels.shape[-2:])}:
            raise ValueError(
                f"pixels: prepared for pictures of height x width {sorted(sizes)}, found {tuple(pixels.shape[-2:])}; "
                "put a picture of that size into the chat before `prepare`"
            )
        return pixels.detach().to(self.device, torch.float64 if self.family.dtype == torch.float64 else torch.float32)

    def _perturbations(
        self, text: Sequence[Sequence[Tensor]], prepared: Prepared, need_grad: bool
    ) -> list[list[Tensor]]:
        width = self.model.get_input_embeddings().weight.shape[1]
        expected = [[(n, width) for n in row] for row in prepared.text_tokens]
        found = [[tuple(t.shape) for t in row] for row in text]
        if found != expected:
            raise ValueError(f"text: expected shapes {expected}, found {found}")
        return [
            [t.detach().to(self.device, torch.float32, copy=True).requires_grad_(need_grad) for t in row]
            for row in text
        ]

    # ---- the step ---------------------------------------------------------------------------------------------

    def run(self, path: str, x: Tensor, rows: list[list[Task]], need_grad: bool) -> tuple[list[list[Tensor]], Tensor]:
        """NLL of every target token, and the gradient of all weighted losses to x [B, 3, H, W]."""
        leaf = x.detach().requires_grad_(need_grad)
        with torch.set_grad_enabled(need_grad):
            if path == "plain":
                alone = [
                    [
                        self._pass("vision", leaf[b : b + 1], [dataclasses.replace(t, owner=min(t.owner, 0))])[0]
                        for t in row
                    ]
                    for b, row in enumerate(rows)
                ]
                return alone, _grad(leaf)
            found = iter(self._pass(path, leaf, [task for row in rows for task in row]))
        return [[next(found) for _ in row] for row in rows], _grad(leaf)

    def _see(self, x: Tensor, tasks: Sequence[Task]) -> tuple[list[tuple[Tensor, Tensor]], Seen]:
        """The features of `x` [N, n, d], on their graph and cut off it, in each way that the tasks see them, and all
        pictures that the tasks show."""
        seen = Seen([], {}, {})
        cuts = []
        for several in sorted({bool(task.pair.others) for task in tasks if task.owner >= 0}):
            if seen.own and not self.twofold:
                seen.own[several] = 0
                continue
            values = self.values(x, several)
            features = self.family.encode(values)
            cuts.append((features, _leaf(features)))
            seen.own[several] = len(seen.pictures)
            grid = self.family.grid(values)
            seen.pictures.extend(Picture(each, grid) for each in cuts[-1][1].unbind(0))
        for image in dict.fromkeys(slot.image for task in tasks for slot in task.pair.others):
            seen.others[image] = len(seen.pictures)
            seen.pictures.append(self.constant(image))
        return cuts, seen

    def _pass(self, path: str, x: Tensor, tasks: list[Task]) -> list[Tensor]:
        """Token NLL of each task; gradients gather in the leaves behind `x` and in the text perturbations."""
        cuts, seen = self._see(x, tasks)
        groups, alone = ([], tasks) if path == "vision" else grouped(tasks, self.family.share)
        nll: dict[Task, Tensor] = {}
        for group in groups:
            nll |= self._shared(path, group, seen)
        for part in self._chunks(alone, max(self.micro, len(x))):
            nll |= self._score(self._padded(part, seen), part)
        for features, leaf in cuts:
            if leaf.grad is not None:
                features.backward(leaf.grad)
        return [nll[task] for task in tasks]

    def _shared(self, path: str, group: Group, seen: Seen) -> dict[Task, Tensor]:
        shown = seen.of(group.tasks[0])
        before = self._text(group.text)
        past = len(group.text)
        if path != "packed":
            before, past = self._fill(group.shared, before, seen, shown), group.past
        cut = [(_leaf(k), _leaf(v)) for k, v in before]
        nll: dict[Task, Tensor] = {}
        for part in chunks(group.tasks, self.micro):
            if path == "expanded":
                rows = padded(part, past, self.device, self.pad)
                leaves = [(k.expand(len(part), -1, -1, -1), v.expand(len(part), -1, -1, -1)) for k, v in cut]
            else:
                rows, leaves = packed(part, past, self.device, self._additive(), group.echo), cut
            nll |= self._score(self._behind(leaves, past, rows, seen, shown), part)
        pairs = [(t, leaf) for kv, of_kv in zip(before, cut, strict=True) for t, leaf in zip(kv, of_kv, strict=True)]
        pairs = [(t, leaf) for t, leaf in pairs if leaf.grad is not None]
        if pairs:
            torch.autograd.backward([t for t, _ in pairs], [leaf.grad for _, leaf in pairs])
        return nll

    def _text(self, ids: tuple[int, ...]) -> KeysValues:
        """Keys and values of the text before a picture: the same at every step of an attack, so they are kept."""
        if not ids:
            return []
        found = self._texts.pop(ids, None)
        if found is None:
            with torch.no_grad():
                found = self._fill(ids, [], Seen([], {}, {}), ())
        self._texts[ids] = found  # last used, last out
        if len(self._texts) > TEXTS:
            self._texts.pop(next(iter(self._texts)))
        return found

    def _fill(self, ids: tuple[int, ...], before: KeysValues, seen: Seen, shown: tuple[int, ...]) -> KeysValues:
        cache = _Filling(before, self.model.config.get_text_config().num_hidden_layers)
        with contextlib.suppress(_Full):
            past = len(before[0][0][0, 0]) if before else 0
            row = torch.tensor([ids], device=self.device)
            positions = torch.arange(past, past + len(ids), device=self.device)[None]
            self.family.hidden(row, None, seen.pictures, [shown], positions=positions, cache=cache)
        return [(keys, values) for keys, values, _ in cache]

    def _behind(self, before: KeysValues, past: int, rows: Rows, seen: Seen, shown: tuple[int, ...]) -> Tensor:
        """Hidden states [n, d] at the wanted places of rows behind a prefix. The call appends to its own cache."""
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(before):
            cache.update(keys, values, layer)
        if cache.get_seq_length() != past:
            raise RuntimeError(f"cache: expected {past} tokens before the suffixes, found {cache.get_seq_length()}")
        each = [shown] * len(rows.ids)
        hidden = self.family.hidden(rows.ids, rows.mask, seen.pictures, each, positions=rows.positions, cache=cache)
        return hidden.flatten(0, 1)[rows.wanted]

    def _chunks(self, tasks: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
        return chunks(tasks, size, [len(task.ids) for task in tasks], self.family.switch)

    def _padded(self, tasks: Sequence[Task], seen: Seen) -> Tensor:
        """Hidden states [n, d] that predict the targets of whole, right-padded sequences."""
        rows = padded(tasks, 0, self.device, self.pad)
        added = None
        if any(task.added is not None for task in tasks):
            width = self.model.get_input_embeddings().weight.shape[1]
            added = torch.zeros(*rows.ids.shape, width, device=self.device)
            for r, task in enumerate(tasks):
                if task.added is not None:
                    added[r, list(task.pair.text_places)] = task.added
        shown, starts = [seen.of(task) for task in tasks], [task.pair.start for task in tasks]
        hidden = self.family.hidden(rows.ids, rows.mask, seen.pictures, shown, added=added, starts=starts)
        return hidden.flatten(0, 1)[rows.wanted]

    def _score(self, hidden: Tensor, tasks: Sequence[Task]) -> dict[Task, Tensor]:
        """Token NLL of each task, from hidden states [n, d] in their order; backward at once, through the hidden
        states last, so that no more than `LOGITS` logits exist at a time."""
        targets = torch.tensor([token for task in tasks for token in task.targets], device=self.device)
        weights = torch.tensor([w for task in tasks for w in task.weights], device=self.device)
        teachers = [task.pair.teacher[: len(task.weights)] for task in tasks if task.pair.teacher is not None]
        soft = torch.cat(teachers).to(self.device) if teachers else None
        leaf = _leaf(hidden)
        found = []
        for part in chunks(range(len(targets)), max(1, LOGITS // self.model.config.get_text_config().vocab_size)):
            place = slice(part[0], part[-1] + 1)
            logits = _wide(self.family.head(leaf[place]))
            labels = targets[place] if soft is None else soft[place].softmax(-1).to(logits.dtype)
            nll = F.cross_entropy(logits, labels, reduction="none")
            if nll.requires_grad:
                (nll * weights[place]).sum().backward()
            found.append(nll.detach())
        if leaf.grad is not None:
            hidden.backward(leaf.grad)
        tokens = torch.cat(found).split([len(task.weights) for task in tasks])
        return dict(zip(tasks, tokens, strict=True))

    def _additive(self) -> torch.dtype | None:
        """Eager attention adds its mask: True would become + 1."""
        text = self.model.config.get_text_config()
        return self.family.dtype if text._attn_implementation == "eager" else None


@dataclass(frozen=True)
class Seen:
    """The pictures of one pass. own: where those under attack begin, as chats see them that show no other picture
    (False) or several (True); others: which of them a fixed picture is."""

    pictures: list[Picture]
    own: dict[bool, int]
    others: dict[Image, int]

    def of(self, task: Task) -> tuple[int, ...]:
        """Which pictures `task` shows, in the order of its text."""
        own = () if task.owner < 0 else (self.own[bool(task.pair.others)] + task.owner,)
        return (*own, *(self.others[slot.image] for slot in task.pair.others))


class _Full(Exception):
    """The last layer's keys and values are there."""


class _Filling(DynamicCache):
    """Ends a forward pass once its last layer's keys and values exist: nobody reads that pass's hidden states."""

    def __init__(self, before: KeysValues, layers: int) -> None:
        super().__init__()
        self.last = -1
        for layer, (keys, values) in enumerate(before):
            self.update(keys, values, layer)
        self.last = layers - 1

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        found = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        if layer_idx == self.last:
            raise _Full
        return found


def _leaf(t: Tensor) -> Tensor:
    """`t` cut off its graph; takes a gradient if `t` does."""
    return t.detach().requires_grad_(t.requires_grad)


def _grad(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _wide(logits: Tensor) -> Tensor:
    """Softmax in float32 at least, whatever the weights' dtype, as transformers does."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _weighted(nll: Sequence[Tensor], weights: Sequence[tuple[float, ...]]) -> Tensor:
    return torch.stack([(n * n.new_tensor(w)).sum() for n, w in zip(nll, weights, strict=True)]).sum()


def _table(rows: list[list[Tensor]]) -> Tensor:
    """[B, P]; pictures with fewer pairs are padded with NaN."""
    width = max(map(len, rows))
    return torch.stack([F.pad(torch.stack(row), (0, width - len(row)), value=float("nan")) for row in rows])
