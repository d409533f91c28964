"""The loss of targets under a chat in which a text is being searched, token by token; and what of it can be written."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.engine.seeds import stream
from proofglass.engine.swaps import Ids
from proofglass.errors import is_environment
from proofglass.interfaces import Weighting, WhiteBoxVictim
from proofglass.types import Chat

if TYPE_CHECKING:
    import torch

# Words that stand where the searched text will; the first that the chat does not hold.
PROBES = ("placeholder", "somewhere", "xylophone", "qwerty", "zzyzx")
LEFT, RIGHT = 6, 3  # tokens beside the mark that are read again with it


@dataclass(frozen=True)
class Written:
    """A chat with room for a text: its last user turn says `before` + text + `after`."""

    chat: Chat
    before: str = ""
    after: str = ""

    def says(self, text: str) -> Chat:
        before = self.before.removesuffix(" ") if text.startswith(" ") else self.before
        return self.chat.with_text(before + text + self.after)


@dataclass(frozen=True)
class Row:
    """A mark and the pairs that share it. says[p]: the chat of pair p; lead: what stands between the words before the
    mark and its first token (a space that is a token of its own, or ""); window: the tokens beside the mark, left and
    right, that read back as themselves together with it, None where there are none."""

    says: tuple[Written, ...]
    targets: tuple[str, ...]
    lead: str
    window: tuple[Ids, Ids] | None


@dataclass(frozen=True)
class MarkedNLL:
    """Cross-entropy of each row's targets, as a function of the tokens of its mark. Pictures are shown as they are.

    prepared: what `victim.prepare` made of the rows, marks included. per_step: so many pairs of a row are drawn for
    each step, without replacement; None: all. seeds: of the rows.
    """

    victim: WhiteBoxVictim
    prepared: Any
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    per_step: int | None = None
    weighting: Weighting = "pair"

    @property
    def fixed(self) -> bool:
        """Whether the losses of two steps can be compared."""
        return all(self.per_step is None or self.per_step >= len(row.says) for row in self.rows)

    def width(self, b: int) -> int:
        """How many pairs of row b one look takes: so many passes."""
        pairs = len(self.rows[b].says)
        return pairs if self.per_step is None else min(pairs, self.per_step)

    def gradient(self, b: int, fillings: Sequence[Ids], step: int) -> tuple[float, torch.Tensor]:
        """Mean loss of row b with these marks, and its mean gradient to the embeddings of their tokens, [L, d]."""
        import torch

        prepared = self._of(b, step)
        losses, grads = self.victim.mark_gradient(
            None, prepared.rows([0] * len(fillings)).filled(fillings), weighting=self.weighting
        )
        return float(losses.mean()), torch.stack(list(grads)).mean(0)

    def losses(self, b: int, current: Ids, candidates: Sequence[Ids], step: int) -> torch.Tensor:
        """The loss of row b with each of these marks, float [C] on the CPU. current: of which they are variants."""
        prepared = self._of(b, step).filled([current])
        found = self.victim.losses_of(None, prepared, [candidates], weighting=self.weighting)
        return found[0].detach().float().cpu()

    def _of(self, b: int, step: int) -> Any:
        import torch

        row, prepared = self.rows[b], self.prepared.rows([b])
        if self.per_step is None or self.per_step >= len(row.says):
            return prepared
        drawn = torch.randperm(len(row.says), generator=stream(self.seeds[b], "targets", step))
        return prepared.select([drawn[: self.per_step].tolist()])

    # ---- what can be written --------------------------------------------------------------------------------------

    def text(self, b: int, ids: Ids) -> str:
        """What row b's mark says with these ids, the space before it included."""
        before = self._before(b)
        whole, head = self.victim.decode([*before, *ids]), self.victim.decode(before)
        said = whole[len(head) :] if whole.startswith(head) else self.victim.decode(ids)
        return self.rows[b].lead + said

    def readable(self, b: int, candidates: Sequence[Ids]) -> list[bool]:
        """Which of these the tokenizer reads back as the same tokens, beside the words that stand next to them. A
        first look: `reads` is the exact one."""
        window = self.rows[b].window
        if window is None:
            return [True] * len(candidates)
        left, right = window
        return self.victim.reads_back([(*left, *ids, *right) for ids in candidates])

    def reads(self, b: int, ids: Ids) -> bool:
        """Whether every chat of row b, written with these ids as text, is exactly these tokens to the victim."""
        text, row = self.text(b, ids), self.rows[b]
        wanted = self.prepared.rows([b]).filled([ids]).places[0]
        pairs = [(each.says(text), target) for each, target in zip(row.says, row.targets, strict=True)]
        try:
            found = self.victim.prepare([pairs], slots=()).places[0]
        except Exception as error:
            if is_environment(error):
                raise
            return False  # such as a text that is no longer one
        return all(one.ids == other.ids for one, other in zip(found, wanted, strict=True))

    def _before(self, b: int) -> Ids:
        places = self.prepared.places[b][0]
        end = max((last for _, last in places.pictures if last <= places.mark[0]), default=0)
        return tuple(places.ids[end : places.mark[0]])


def marked(
    victim: WhiteBoxVictim,
    rows: Sequence[Sequence[tuple[Written, str]]],
    *,
    seeds: Sequence[int],
    per_step: int | None = None,
    weighting: Weighting = "pair",
) -> MarkedNLL:
    """The objective of rows of (chat with room for a text, target). Raises ValueError where a mark has no place of its
    own, or where chat and target are longer than the victim takes."""
    probes = [_probe(row) for row in rows]
    pairs = [
        [(each.says(_spaced(each, probe)), target) for each, target in row]
        for row, probe in zip(rows, probes, strict=True)
    ]
    prepared = victim.prepare(pairs, slots=(), mark=probes)
    made = []
    for b, row in enumerate(rows):
        places = prepared.places[b][0]
        head = victim.decode(places.ids[: places.mark[0]])
        lead = " " if _spaced(row[0][0], "") and head.endswith(" ") else ""
        made.append(Row(tuple(each for each, _ in row), tuple(target for _, target in row), lead, None))
        longest = max(len(each.ids) for each in prepared.places[b])
        if victim.context_window is not None and longest > victim.context_window:
            raise ValueError(
                f"target: chat and target are {longest} tokens, more than the {victim.context_window} that this victim "
                "takes; shorten one of them"
            )
    return MarkedNLL(victim, prepared, tuple(made), tuple(seeds), per_step, weighting)


def begun(objective: MarkedNLL, b: int, text: str) -> Ids:
    """The tokens of `text` in the place of row b's mark. Raises ValueError where it shares a token with the words
    beside it."""
    row, places = objective.rows[b], objective.prepared.places[b][0]
    said = _spaced(row.says[0], text)
    (found,) = objective.victim.prepare([[(row.says[0].says(said), row.targets[0])]], slots=()).places[0]
    first, beside = places.mark[0], len(places.ids) - sum(last - begin for begin, last in places.marks)
    ids = tuple(found.ids[first : first + (len(found.ids) - beside) // len(places.marks)])
    if not ids or objective.prepared.rows([b]).filled([ids]).places[0][0].ids != tuple(found.ids):
        raise ValueError(f"start: {text!r} shares tokens with the text beside it; take another one")
    return ids


def windowed(objective: MarkedNLL, marks: Sequence[Ids]) -> MarkedNLL:
    """`objective`, knowing for each row which tokens beside its mark read back together with it."""
    rows = [
        dataclasses.replace(row, window=_window(objective, b, ids))
        for b, (row, ids) in enumerate(zip(objective.rows, marks, strict=True))
    ]
    return dataclasses.replace(objective, rows=tuple(rows))


def _window(objective: MarkedNLL, b: int, ids: Ids) -> tuple[Ids, Ids] | None:
    places = objective.prepared.places[b][0]
    before, after = objective._before(b), tuple(places.ids[places.mark[1] : places.target[0]])
    sides = [
        (before[len(before) - left :], after[:right])
        for left in range(min(LEFT, len(before)), -1, -1)
        for right in range(min(RIGHT, len(after)), -1, -1)
    ]
    fits = objective.victim.reads_back([(*left, *ids, *right) for left, right in sides])
    return next((side for side, fit in zip(sides, fits, strict=True) if fit), None)


def _probe(row: Sequence[tuple[Written, str]]) -> str:
    said = " ".join(message.text for each, _ in row for message in each.says("").messages)
    found = next((word for word in PROBES if word not in said), None)
    if found is None:
        raise ValueError(f"chat: holds every one of {', '.join(PROBES)}, with which the place of the text is found")
    return found


def _spaced(each: Written, text: str) -> str:
    """`text` with a space in front, where words stand there."""
    return f" {text}" if each.before and not each.before[-1].isspace() else text
