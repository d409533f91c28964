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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.cache_utils import DynamicCache

from proofglass.interfaces import LossAndGrad, Pixels, Weighting, by_slot, checked, in_form_of
from proofglass.types import Image
from proofglass.victims.hf.families.base import Family, Picture
from proofglass.victims.hf.filling import Filling, Full, KeysValues
from proofglass.victims.hf.packing import Group, Rows, grouped, packed, padded
from proofglass.victims.hf.paths import PathChoice
from proofglass.victims.hf.pictures import Pictures
from proofglass.victims.shared.prepared import Prepared
from proofglass.victims.shared.tasks import Task, chunks, perturbations, tasks_of

LOGITS = 1 << 25  # logits held at once: 128 MiB in float32
TEXTS = 4  # texts before a picture whose keys and values are kept


@dataclass
class GradientPass:
    """What `loss_and_grad` does on one model. micro: pairs per packed row; images_per_pass: pictures in memory at once.

    No such limit changes a result: weights are those of the whole step. The peak is one prefix and one row.
    """

    model: Any
    family: Family
    pictures: Pictures
    device: torch.device
    pad: int = 0
    micro: int = 8
    images_per_pass: int = 32
    _texts: dict[tuple[int, ...], KeysValues] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.choice = PathChoice(self.model, self.family, self.run)

    def forget(self) -> None:
        """Drop what was kept or checked on the model as it was: it computes something else from now on."""
        self._texts.clear()
        self.choice = PathChoice(self.model, self.family, self.run)

    def __call__(
        self,
        pixels: Pixels,
        prepared: Prepared,
        weighting: Weighting,
        need_grad: bool,
        text: Sequence[Sequence[Tensor]] | None = None,
    ) -> LossAndGrad[Pixels]:
        x = self.checked(pixels, prepared, "loss_and_grad")
        if x and need_grad and text is None and not self.family.sees_images:
            raise ValueError("pixels: a text-only model has no gradient to them; ask with need_grad=False or text")
        added = None
        if text is not None:
            width = self.model.get_input_embeddings().weight.shape[1]
            added = perturbations(text, prepared, width, self.device, need_grad)
        nll: list[list[Tensor]] = []
        weights: list[list[tuple[float, ...]]] = []
        grads: dict[str, list[Tensor]] = {slot: [] for slot in x}
        at_once = max(1, self.images_per_pass // max(1, len(x)))
        for these in chunks(range(len(prepared)), at_once):
            rows = tasks_of(prepared.rows(these), weighting, None if added is None else [added[b] for b in these])
            part = {slot: each[these[0] : these[-1] + 1] for slot, each in x.items()}
            found, grad = self.run(self.choice(part, rows), part, rows, need_grad)
            nll += found
            weights += [[task.weights for task in row] for row in rows]
            for slot in x:
                grads[slot].append(grad[slot])
        return LossAndGrad(
            _table([[tokens.mean() for tokens in row] for row in nll]),
            torch.stack([weighted_sum(row, of_row) for row, of_row in zip(nll, weights, strict=True)]),
            in_form_of(pixels, {slot: torch.cat(each) for slot, each in grads.items()}),
            None if added is None else tuple(tuple(map(_grad, row)) for row in added),
        )

    @torch.no_grad()
    def target_logits(self, pixels: Any, prepared: Prepared) -> list[list[Tensor]]:
        x = self.checked(pixels, prepared, "target_logits")
        found: list[list[Tensor]] = []
        for b, row in enumerate(tasks_of(prepared, "sum")):
            tasks = [dataclasses.replace(task, owner=min(task.owner, 0)) for task in row]
            _, seen = self.see(row_of(x, b), tasks)
            found.append([])
            for part in self.chunks(tasks, self.micro):
                logits = self.family.head(self.padded(part, seen)).float()
                found[-1] += logits.split([len(task.weights) for task in part])
        return found

    # ---- what is asked ----------------------------------------------------------------------------------------

    def checked(self, pixels: Any, prepared: Prepared, port: str) -> dict[str, Tensor]:
        """`pixels` by slot, ready for the model; raises ValueError where they are not what `prepared` is of."""
        x = by_slot(pixels, prepared.slots, port)
        if not all(prepared.pairs):
            raise ValueError("prepared: a picture has no pairs; give every picture at least one")
        for slot, each in x.items():
            checked(each, port)
            if len(each) != len(prepared):
                raise ValueError(f"pixels: {len(each)} pictures for {len(prepared)} prepared rows")
            shown = [own for row in prepared.pairs for pair in row for own in pair.slots if own.name == slot]
            sizes = {own.size for own in shown if own.size is not None}
            if sizes - {tuple(each.shape[-2:])}:
                raise ValueError(
                    f"pixels: prepared for pictures of height x width {sorted(sizes)}, found {tuple(each.shape[-2:])}; "
                    "put a picture of that size into the chat before `prepare`"
                )
        wide = torch.float64 if self.family.dtype == torch.float64 else torch.float32
        return {slot: each.detach().to(self.device, wide) for slot, each in x.items()}

    # ---- the step ---------------------------------------------------------------------------------------------

    def run(
        self, path: str, x: Mapping[str, Tensor], rows: list[list[Task]], need_grad: bool
    ) -> tuple[list[list[Tensor]], dict[str, Tensor]]:
        """NLL of every target token, and the gradient of all weighted losses to each slot's x [B, 3, H, W]."""
        leaves = {slot: each.detach().requires_grad_(need_grad) for slot, each in x.items()}
        with torch.set_grad_enabled(need_grad):
            if path == "plain":
                alone = [
                    [
                        self._pass("vision", row_of(leaves, b), [dataclasses.replace(t, owner=min(t.owner, 0))])[0]
                        for t in row
                    ]
                    for b, row in enumerate(rows)
                ]
                return alone, {slot: _grad(leaf) for slot, leaf in leaves.items()}
            found = iter(self._pass(path, leaves, [task for row in rows for task in row]))
        nll = [[next(found) for _ in row] for row in rows]
        return nll, {slot: _grad(leaf) for slot, leaf in leaves.items()}

    def see(self, x: Mapping[str, Tensor], tasks: Sequence[Task]) -> tuple[list[tuple[Tensor, Tensor]], Seen]:
        """The features of each slot's pictures [N, n, d], on their graph and cut off it, in each way that the tasks see
        them, and all pictures that the tasks show."""
        seen = Seen([], {}, {}, self.pictures.twofold)
        cuts = []
        for slot, several in sorted({each for task in tasks for each in seen.free(task)}):
            values = self.pictures.values(x[slot], several)
            features = self.family.encode(values)
            cuts.append((features, _leaf(features)))
            seen.own[slot, several] = len(seen.pictures)
            grid = self.family.grid(values)
            seen.pictures.extend(Picture(each, grid) for each in cuts[-1][1].unbind(0))
        for image, several in dict.fromkeys(each for task in tasks for each in seen.fixed(task)):
            seen.others[image, several] = len(seen.pictures)
            seen.pictures.append(self.pictures.fixed(image, several))
        return cuts, seen

    def _pass(self, path: str, x: Mapping[str, Tensor], tasks: list[Task]) -> list[Tensor]:
        """Token NLL of each task; gradients gather in the leaves behind `x` and in the text perturbations."""
        cuts, seen = self.see(x, tasks)
        groups, alone = ([], tasks) if path == "vision" else grouped(tasks, self.family.share)
        nll: dict[Task, Tensor] = {}
        for group in groups:
            nll |= self.shared(path, group, seen)
        for part in self.chunks(alone, max(self.micro, _count(x))):
            nll |= self.score(self.padded(part, seen), part)
        for features, leaf in cuts:
            if leaf.grad is not None:
                features.backward(leaf.grad)
        return [nll[task] for task in tasks]

    def shared(self, path: str, group: Group, seen: Seen) -> dict[Task, Tensor]:
        """Token NLL of the tasks of a group, which begin alike."""
        shown = seen.of(group.tasks[0])
        before = self.text_keys(group.text)
        past = len(group.text)
        if path != "packed":
            before, past = self.fill(group.shared, before, seen, shown), group.past
        cut = [(_leaf(k), _leaf(v)) for k, v in before]
        nll: dict[Task, Tensor] = {}
        for part in chunks(group.tasks, self.micro):
            if path == "expanded":
                rows = padded(part, past, self.device, self.pad)
                leaves = [(k.expand(len(part), -1, -1, -1), v.expand(len(part), -1, -1, -1)) for k, v in cut]
            else:
                rows, leaves = packed(part, past, self.device, self.additive(), group.echo), cut
            nll |= self.score(self.behind(leaves, past, rows, seen, shown), part)
        pairs = [(t, leaf) for kv, of_kv in zip(before, cut, strict=True) for t, leaf in zip(kv, of_kv, strict=True)]
        pairs = [(t, leaf) for t, leaf in pairs if leaf.grad is not None]
        if pairs:
            torch.autograd.backward([t for t, _ in pairs], [leaf.grad for _, leaf in pairs])
        return nll

    def text_keys(self, ids: tuple[int, ...]) -> KeysValues:
        """Keys and values of the text before a picture: the same at every step of an attack, so they are kept."""
        if not ids:
            return []
        found = self._texts.pop(ids, None)
        if found is None:
            with torch.no_grad():
                found = self.fill(ids, [], Seen(), ())
        self._texts[ids] = found  # last used, last out
        if len(self._texts) > TEXTS:
            self._texts.pop(next(iter(self._texts)))
        return found

    def fill(self, ids: tuple[int, ...], before: KeysValues, seen: Seen, shown: tuple[int, ...]) -> KeysValues:
        cache = Filling(before, self.model.config.get_text_config().num_hidden_layers)
        with contextlib.suppress(Full):
            past = len(before[0][0][0, 0]) if before else 0
            row = torch.tensor([ids], device=self.device)
            positions = torch.arange(past, past + len(ids), device=self.device)[None]
            self.family.hidden(row, None, seen.pictures, [shown], positions=positions, cache=cache)
        return [(keys, values) for keys, values, _ in cache]

    def behind(self, before: KeysValues, past: int, rows: Rows, seen: Seen, shown: tuple[int, ...]) -> Tensor:
        """Hidden states [n, d] at the wanted places of rows behind a prefix. The call appends to its own cache."""
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(before):
            cache.update(keys, values, layer)
        if cache.get_seq_length() != past:
            raise RuntimeError(f"cache: expected {past} tokens before the suffixes, found {cache.get_seq_length()}")
        each = [shown] * len(rows.ids)
        with self.family.spoken_at(rows.wanted):
            hidden = self.family.hidden(rows.ids, rows.mask, seen.pictures, each, positions=rows.positions, cache=cache)
        return hidden.flatten(0, 1)[rows.wanted]

    def chunks(self, tasks: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
        return chunks(tasks, size, [len(task.ids) for task in tasks], self.family.switch)

    def padded(self, tasks: Sequence[Task], seen: Seen) -> Tensor:
        """Hidden states [n, d] that predict the targets of whole, right-padded sequences."""
        rows = padded(tasks, 0, self.device, self.pad)
        return self._whole(tasks, seen, rows).flatten(0, 1)[rows.wanted]

    def _whole(self, tasks: Sequence[Task], seen: Seen, rows: Rows) -> Tensor:
        added = None
        if any(task.added is not None for task in tasks):
            width = self.model.get_input_embeddings().weight.shape[1]
            added = torch.zeros(*rows.ids.shape, width, device=self.device)
            for r, task in enumerate(tasks):
                if task.added is not None:
                    added[r, list(task.pair.text_places)] = task.added
        shown, starts = [seen.of(task) for task in tasks], [task.pair.start for task in tasks]
        with self.family.spoken_at(rows.wanted):
            return self.family.hidden(rows.ids, rows.mask, seen.pictures, shown, added=added, starts=starts)

    def ends(self, tasks: Sequence[Task], seen: Seen) -> tuple[list[int], list[int]]:
        """Run prompts alone: (row, place) of the last token of each in what every layer makes of them."""
        rows = padded(tasks, 0, self.device, self.pad)
        last = [task.pair.start - 1 for task in tasks]
        wide = rows.ids.shape[1]
        wanted = torch.tensor([r * wide + place for r, place in enumerate(last)], device=self.device)
        self._whole(tasks, seen, dataclasses.replace(rows, wanted=wanted))
        return list(range(len(tasks))), last

    def score(self, hidden: Tensor, tasks: Sequence[Task]) -> dict[Task, Tensor]:
        """Token NLL of each task, from hidden states [n, d] in their order; backward at once, through the hidden
        states last, so that no more than `LOGITS` logits exist at a time."""
        targets = torch.tensor([token for task in tasks for token in task.targets], device=self.device)
        weights = torch.tensor([w for task in tasks for w in task.weights], device=self.device)
        teachers = [task.pair.teacher[: len(task.weights)] for task in tasks if task.pair.teacher is not None]
        soft = torch.cat(teachers).to(self.device) if teachers else None
        ways = [task.pair.direction[: len(task.weights)] for task in tasks if task.pair.direction is not None]
        way = torch.cat(ways).to(self.device) if ways else None
        leaf = _leaf(hidden)
        found = []
        for part in chunks(range(len(targets)), max(1, LOGITS // self.model.config.get_text_config().vocab_size)):
            place = slice(part[0], part[-1] + 1)
            logits = _wide(self.family.head(leaf[place]))
            if way is not None:
                nll = (logits * way[place]).sum(-1)
            else:
                labels = targets[place] if soft is None else soft[place].softmax(-1).to(logits.dtype)
                nll = F.cross_entropy(logits, labels, reduction="none")
            if nll.requires_grad:
                (nll * weights[place]).sum().backward()
            found.append(nll.detach())
        if leaf.grad is not None:
            hidden.backward(leaf.grad)
        tokens = torch.cat(found).split([len(task.weights) for task in tasks])
        return dict(zip(tasks, tokens, strict=True))

    def additive(self) -> torch.dtype | None:
        """Eager attention adds its mask: True would become + 1."""
        text = self.model.config.get_text_config()
        return self.family.dtype if text._attn_implementation == "eager" else None


@dataclass(frozen=True)
class Seen:
    """The pictures of one pass. own: where those of a slot begin, as chats see them that show no other picture (False)
    or several (True); others: which of them a fixed picture is. twofold: whether the two ways differ."""

    pictures: list[Picture] = field(default_factory=list)
    own: dict[tuple[str, bool], int] = field(default_factory=dict)
    others: dict[tuple[Image, bool], int] = field(default_factory=dict)
    twofold: bool = False

    def free(self, task: Task) -> list[tuple[str, bool]]:
        """The slots that `task` shows, and how."""
        return [(slot.name, self._several(task)) for slot in task.pair.free]

    def fixed(self, task: Task) -> list[tuple[Image, bool]]:
        """The fixed pictures that `task` shows, and how."""
        return [(image, self._several(task)) for image in task.pair.fixed]

    def of(self, task: Task) -> tuple[int, ...]:
        """Which pictures `task` shows, in the order of its text."""
        several = self._several(task)
        return tuple(
            self.own[each, several] + task.owner if isinstance(each, str) else self.others[each, several]
            for each in task.pair.shown
        )

    def _several(self, task: Task) -> bool:
        return self.twofold and len(task.pair.slots) > 1


def _leaf(t: Tensor) -> Tensor:
    """`t` cut off its graph; takes a gradient if `t` does."""
    return t.detach().requires_grad_(t.requires_grad)


def row_of(x: Mapping[str, Tensor], b: int) -> dict[str, Tensor]:
    return {slot: each[b : b + 1] for slot, each in x.items()}


def _count(x: Mapping[str, Tensor]) -> int:
    return max(map(len, x.values()), default=0)


def _grad(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _wide(logits: Tensor) -> Tensor:
    """Softmax in float32 at least, whatever the weights' dtype, as transformers does."""
    return logits if logits.dtype == torch.float64 else logits.float()


def weighted_sum(nll: Sequence[Tensor], weights: Sequence[tuple[float, ...]]) -> Tensor:
    return torch.stack([(n * n.new_tensor(w)).sum() for n, w in zip(nll, weights, strict=True)]).sum()


def _table(rows: list[list[Tensor]]) -> Tensor:
    """[B, P]; pictures with fewer pairs are padded with NaN."""
    width = max(map(len, rows))
    return torch.stack([F.pad(torch.stack(row), (0, width - len(row)), value=float("nan")) for row in rows])
