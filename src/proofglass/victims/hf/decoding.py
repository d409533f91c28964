"""Replies: many prompts decoded together, what they share run once.

Prompts that begin alike (system prompt, picture) are run up to there once; their keys and values are copied to each
row, where padding in between does no harm (`Family.takes_gaps`). Rows are padded on the left and leave the batch when
they end. Greedy decoding gives the tokens of transformers' own `generate`; a drawn reply has a random stream of its
own, whatever else is in its batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.cache_utils import DynamicCache

from proofglass.victims.hf.cascade import Lost, Roomy, behind, cascading
from proofglass.victims.hf.families.base import Family, Picture
from proofglass.victims.hf.packing import common
from proofglass.victims.shared.choosing import Rules, choose

if TYPE_CHECKING:
    from proofglass.interfaces import Rescored
    from proofglass.victims.shared.choosing import Rescore

SAVES = 16  # tokens that sharing must save before a pass of its own pays


@dataclass(frozen=True)
class Row:
    """One prompt. shown: its pictures, as indices into those of the call; behind: where its last picture ends, 0
    without one. seed: of its random stream, None for greedy decoding. said: the end of `ids` that is part of the reply.
    """

    ids: tuple[int, ...]
    shown: tuple[int, ...] = ()
    behind: int = 0
    seed: int | None = None
    said: tuple[int, ...] = ()


@dataclass
class Other:
    """Who else chooses the tokens of the rows. rescored: of their logits; numbers: which ask each row is. second: the
    pictures and rows of dialogues that are read beside, None for none."""

    rescored: Rescored
    numbers: Sequence[int]
    second: tuple[Sequence[Picture], Sequence[Row]] | None = None
    batch: _Batch | None = None
    hidden: Tensor | None = None

    def begin(self, family: Family, device: torch.device, pad: int, more: int) -> None:
        if self.second is not None:
            pictures, rows = self.second
            self.batch, self.hidden = _begun(family, rows, pictures, device, pad, more)

    def choose(self, family: Family, alive: Sequence[int], new: Sequence[Sequence[int]], logits: Tensor) -> Tensor:
        """The logits by which the next tokens of the rows that still run are chosen."""
        beside = None if self.hidden is None else family.head(self.hidden[:, -1:])[:, 0].float()
        found = self.rescored([(self.numbers[r], tuple(new[r])) for r in alive], logits, beside)
        if found.shape != logits.shape or bool(found.isnan().any()):
            raise ValueError(f"rescored: expected numbers {list(logits.shape)}, found {list(found.shape)} or NaN")
        return found

    def go_on(self, chosen: Tensor, going: Sequence[int], all_go: bool) -> None:
        if self.batch is not None:
            if not all_go:
                self.batch.keep(going)
            self.hidden = self.batch.step(chosen)


@torch.no_grad()
def decode(
    family: Family,
    rows: Sequence[Row],
    pictures: Sequence[Picture],
    rules: Rules,
    device: torch.device,
    pad: int,
    other: Other | None = None,
) -> list[list[int]]:
    """New token ids of each row, the end token included. other: takes part in choosing them, in a model without a
    `Family.switch`."""
    short = [r for r, row in enumerate(rows) if len(row.ids) <= family.switch]
    if not short or other is not None:
        return _decode(family, rows, pictures, rules, device, pad, other)
    new = dict(zip(short, _decode(family, [rows[r] for r in short], pictures, rules, device, pad), strict=True))
    # The others, and those that have grown beyond the switch: these begin anew, with the frequencies of longer ones.
    long = {r: row for r, row in enumerate(rows) if r not in new}
    for r, tokens in new.items():
        if not rules.over(tokens):
            long[r] = replace(rows[r], ids=(*rows[r].ids, *tokens), said=tuple(tokens))
    if long:
        new |= zip(long, _decode(family, list(long.values()), pictures, rules, device, pad), strict=True)
    return [new[r] for r in range(len(rows))]


def _decode(
    family: Family,
    rows: Sequence[Row],
    pictures: Sequence[Picture],
    rules: Rules,
    device: torch.device,
    pad: int,
    other: Other | None = None,
) -> list[list[int]]:
    """Of rows that are all shorter or all longer than `Family.switch`; the shorter ones up to it."""
    batch, hidden = _begun(family, rows, pictures, device, pad, rules.max_new_tokens)
    if other is not None:
        other.begin(family, device, pad, rules.max_new_tokens)
    new = [list(row.said) for row in rows]
    most = [family.switch - len(row.ids) if len(row.ids) <= family.switch else rules.max_new_tokens for row in rows]
    draws = [None if row.seed is None else torch.Generator().manual_seed(row.seed + len(row.said)) for row in rows]
    used = _used(rows, device, batch, rules)
    while True:
        logits = family.head(hidden[:, -1:])[:, 0].float()
        if other is not None:
            logits = other.choose(family, batch.alive, new, logits)
        if rules.scores is not None:
            logits = torch.stack([_wanted(rules.scores, rows[r], new[r], logits[k]) for k, r in enumerate(batch.alive)])
        chosen = choose(logits, rules, [draws[r] for r in batch.alive], used)
        going = []
        for place, (r, token) in enumerate(zip(batch.alive, chosen.tolist(), strict=True)):
            new[r].append(token)
            if len(new[r]) <= most[r] and not rules.over(new[r]):
                going.append(place)
        if not going:
            return new
        if used is not None:
            used[torch.arange(len(used), device=device), chosen] = True
        count = len(chosen)
        if len(going) < count:
            kept = torch.tensor(going, device=device)
            chosen, used = chosen[kept], None if used is None else used[kept]
            batch.keep(going)
        if other is not None:
            other.go_on(chosen, going, all_go=len(going) == count)
        hidden = batch.step(chosen)


@torch.no_grad()
def prefill(family: Family, rows: Sequence[Row], pictures: Sequence[Picture], device: torch.device, pad: int) -> Tensor:
    """Hidden states [R, T, d] of the prompts, behind what they share; a row's last one belongs to its last token."""
    return _begun(family, rows, pictures, device, pad)[1]


def _begun(
    family: Family, rows: Sequence[Row], pictures: Sequence[Picture], device: torch.device, pad: int, more: int = 0
) -> tuple[_Batch, Tensor]:
    """more: how many tokens will follow at most."""
    batch = _Batch(family, rows, pictures, device, pad, more)
    try:
        return batch, batch.prefill()
    except Lost:
        family.cascades = False  # from now on, for this model
        batch = _Batch(family, rows, pictures, device, pad, more)
        return batch, batch.prefill()


def _wanted(scores: Rescore, row: Row, new: list[int], logits: Tensor) -> Tensor:
    prompt = len(row.ids) - len(row.said)
    return scores([*row.ids[:prompt], *new], prompt, logits)


def _used(rows: Sequence[Row], device: torch.device, batch: _Batch, rules: Rules) -> Tensor | None:
    """Which tokens a row has seen, [R, V], for the repetition penalty."""
    if rules.penalty == 1 or rules.scores is not None:
        return None
    used = torch.zeros(len(rows), batch.family.vocabulary, dtype=torch.bool, device=device)
    for r, row in enumerate(rows):
        used[r, torch.tensor([token for token in row.ids if token < used.shape[1]], device=device)] = True
    return used


def _same(found: Sequence[Any]) -> bool:
    return found[0] is not None and all(each is found[0] for each in found)


class _Batch:
    """The rows that still run: their cache, their mask [R, T], the index of their next token."""

    def __init__(
        self,
        family: Family,
        rows: Sequence[Row],
        pictures: Sequence[Picture],
        device: torch.device,
        pad: int,
        more: int,
    ) -> None:
        self.family, self.rows, self.pictures, self.device, self.pad = family, rows, pictures, device, pad
        self.longest = max(len(row.ids) for row in rows) + more
        self.alive = list(range(len(rows)))
        self.cache = DynamicCache()
        self.cache.layer_class_to_replicate = Roomy
        self.one_prefix = False
        self.mask = torch.zeros(len(rows), 0, dtype=torch.long, device=device)
        self.next = torch.tensor([[len(row.ids)] for row in rows], device=device)

    @property
    def shown(self) -> list[tuple[int, ...]]:
        return [self.rows[r].shown for r in self.alive]

    def prefill(self) -> Tensor:
        """Hidden states whose last one predicts each row's first token."""
        pasts = self._share()
        longest = max(len(row.ids) - past for row, past in zip(self.rows, pasts, strict=True))
        ids = [[self.pad] * (longest - len(row.ids) + past) + list(row.ids[past:]) for row, past in self._with(pasts)]
        own = [[0] * (longest - len(row.ids) + past) + [1] * (len(row.ids) - past) for row, past in self._with(pasts)]
        self.mask = torch.cat([self.mask, torch.tensor(own, device=self.device)], 1)
        positions = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -longest:]
        return self._run(torch.tensor(ids, device=self.device), positions)

    def _run(self, ids: Tensor, positions: Tensor) -> Tensor:
        mask = self.mask if bool((self.mask == 0).any()) else None
        wide = ids.shape[1]
        said = [1 + len(self.rows[r].said) if wide > 1 else 1 for r in self.alive]
        spoken = [k * wide + t for k, own in enumerate(said) for t in range(max(0, wide - own), wide)]
        with (
            cascading(self.family.body.config) if self.one_prefix else contextlib.nullcontext(),
            self.family.spoken_at(torch.tensor(spoken, device=self.device)),
        ):
            return self.family.hidden(ids, mask, self.pictures, self.shown, positions=positions, cache=self.cache)

    def _with(self, pasts: Sequence[int]) -> list[tuple[Row, int]]:
        return list(zip(self.rows, pasts, strict=True))

    def step(self, tokens: Tensor) -> Tensor:
        self.mask = F.pad(self.mask, (0, 1), value=1)
        hidden = self._run(tokens[:, None], self.next)
        self.next = self.next + 1
        return hidden

    def keep(self, places: Sequence[int]) -> None:
        kept = torch.tensor(places, device=self.device)
        self.cache.batch_select_indices(kept)
        self.mask, self.next = self.mask[kept], self.next[kept]
        self.alive = [self.alive[k] for k in places]

    def _share(self) -> list[int]:
        """Run what rows share, and lay it out on the left of each row. Returns how many tokens of each that are."""
        pasts = [0] * len(self.rows)
        found: list[Any] = [None] * len(self.rows)
        for members in self._alike():
            first = self.rows[members[0]]
            length = common([self.rows[r].ids[:-1] for r in members])
            beside = sum(len(self.pictures[k].features) for k in first.shown) if self.family.crossed else 0
            if length < first.behind or len(first.ids) > self.family.switch >= length:
                continue
            if (length + beside) * (len(members) - 1) < SAVES:
                continue
            cache = DynamicCache()
            positions = torch.arange(length, device=self.device)[None]
            ids = torch.tensor([first.ids[:length]], device=self.device)
            self.family.hidden(ids, None, self.pictures, [first.shown], positions=positions, cache=cache)
            for r in members:
                pasts[r], found[r] = length, cache
        if self._shares_one(found):
            self.one_prefix = True
            self.cache = behind(found[0])
            self.mask = self.mask.new_ones(len(self.rows), pasts[0])
        elif any(pasts):
            self._lay(pasts, found)
        return pasts

    def _shares_one(self, found: Sequence[Any]) -> bool:
        """Whether all rows stand behind one prefix, in a model whose attention can share it."""
        able = self.family.cascades and not self.family.crossed
        return able and self.family.body.config._attn_implementation == "sdpa" and _same(found)

    def _alike(self) -> list[list[int]]:
        """Rows that show the same pictures behind the same text, at least two of them."""
        if self.family.share == "prompt" or not self.family.takes_gaps(self.longest):
            return []
        groups: dict[Any, list[int]] = {}
        for r, row in enumerate(self.rows):
            groups.setdefault((row.shown, row.ids[: row.behind]), []).append(r)
        return [members for members in groups.values() if len(members) > 1]

    def _lay(self, pasts: Sequence[int], found: Sequence[Any]) -> None:
        longest = max(pasts)
        layers = next(len(cache.layers) for cache in found if cache is not None)
        for layer in range(layers):
            if layer in self.family.crossed:
                self._lay_pictures(layer, found)
                continue
            some = next(cache.layers[layer] for cache in found if cache is not None)
            if some.keys is None:
                continue
            keys, values = (self._column(pasts, found, layer, what, longest) for what in ("keys", "values"))
            self.cache.update(keys, values, layer)
        begins = longest - torch.tensor(pasts, device=self.device)[:, None]
        self.mask = (torch.arange(longest, device=self.device)[None] >= begins).long()

    def _lay_pictures(self, layer: int, found: Sequence[Any]) -> None:
        """Keys and values of pictures, zeros behind fewer of them. If a row has none yet, the next call makes all."""
        if any(cache is None for cache in found):
            return
        own = [cache.layers[layer] for cache in found]
        some = max((each for each in own if each.keys is not None), key=lambda each: each.keys.shape[-2], default=None)
        if some is not None:
            none, most = some.keys[:, :, :0], some.keys.shape[-2]
            keys = [none if each.keys is None else each.keys for each in own]
            values = [none if each.keys is None else each.values for each in own]
            laid = [torch.cat([F.pad(t, (0, 0, 0, most - t.shape[-2])) for t in part]) for part in (keys, values)]
            self.cache.update(laid[0], laid[1], layer)

    def _column(self, pasts: Sequence[int], found: Sequence[Any], layer: int, what: str, longest: int) -> Tensor:
        some = next(getattr(cache.layers[layer], what) for cache in found if cache is not None)
        rows = []
        for past, cache in zip(pasts, found, strict=True):
            own = some[0, :, :0] if cache is None else getattr(cache.layers[layer], what)[0]
            rows.append(F.pad(own, (0, 0, longest - past, 0)))
        return torch.stack(rows)
