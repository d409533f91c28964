"""Gates inside a model: what a prompt's last token looks like in some layers decides what happens to its reply.

A `Gated` reads the states of the prompt before a word is said. An open gate steers layers (InferAligner) or withholds
the reply (HiddenDetect). Prompts whose gates agree are answered together, by the model's own batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from proofglass.defenses.acting import Acting, TextPerturbations
from proofglass.engine.seeds import draw_of, drawing
from proofglass.faults import stops_the_run, told
from proofglass.interfaces import LossAndGrad, Weighting, WhiteBoxVictim, checked
from proofglass.types import Ask, Chat, Cost, Decision, Reply

if TYPE_CHECKING:
    import torch

Pattern = tuple[bool, ...]
NOWHERE = "."  # a target that is never scored: states of a prompt come before it


@dataclass(frozen=True)
class Gated(Acting):
    """Gates at the last token of a prompt, frozen for its reply.

    name: of the defense. layers: those that the gates read. margins: (model, states float [n, L, d] of these layers) ->
    [n, G], one for each gate, differentiable; one that is positive opens its gate. vectors: which gates are open ->
    {layer: vector} that is added then; None: nothing is steered. refusal: what the user is told in place of a reply
    where a gate is open; "": it is replied. threshold: of the margins, as decisions record it. named: what the gates
    are called, in order.
    """

    name: str
    layers: tuple[int, ...]
    margins: Callable[[WhiteBoxVictim, torch.Tensor], torch.Tensor]
    vectors: Callable[[Pattern], Mapping[int, torch.Tensor]] | None = None
    refusal: str = ""
    threshold: float = 0.0
    named: tuple[str, ...] = ()

    @property
    def gated(self) -> bool:
        return True

    # ---- replies ----------------------------------------------------------------------------------------------------

    def reply(self, model: WhiteBoxVictim, asks: Sequence[Ask]) -> list[Reply]:
        margins, replies = self._looked_at(model, asks)
        asked: dict[Pattern, list[int]] = {}
        for k, row in margins.items():
            pattern = opened_by(row)
            if self.refusal and any(pattern):
                replies[k] = Reply(self.refusal, "blocked", reason=self._reason(row), cost=Cost())
            else:
                asked.setdefault(pattern, []).append(k)
        for pattern, ks in asked.items():
            with self._steered(model, pattern):
                replies |= zip(ks, model.reply([asks[k] for k in ks]), strict=True)
        return [self._noted(replies[k], margins.get(k)) for k in range(len(asks))]

    def _looked_at(self, model: WhiteBoxVictim, asks: Sequence[Ask]) -> tuple[dict[int, list[float]], dict[int, Reply]]:
        """Ask -> its margins, or the error reply where its prompt cannot be read: never "no gate is open"."""
        try:
            return dict(enumerate(self._margins_of(model, [ask.chat for ask in asks]))), {}
        except Exception as error:
            if stops_the_run(error):
                raise
        margins, failed = {}, {}
        for k, ask in enumerate(asks):
            try:
                (margins[k],) = self._margins_of(model, [ask.chat])
            except Exception as error:
                if stops_the_run(error):
                    raise
                by_ask = isinstance(error, ValueError)
                failed[k] = Reply.unaskable(error) if by_ask else Reply.error(told(error, "victim", model))
        return margins, failed

    def _margins_of(self, model: WhiteBoxVictim, chats: Sequence[Chat]) -> list[list[float]]:
        found: list[list[float]] = self.margins(model, model.hidden_states(chats, self.layers)).tolist()
        if odd := [k for k, row in enumerate(found) if any(value != value for value in row)]:
            raise ValueError(f"{self.name}: the margin of {len(odd)} prompts is not a number; are its vectors finite?")
        return found

    def _noted(self, reply: Reply, margins: Sequence[float] | None) -> Reply:
        """`reply` with what was decided and the pass that it took."""
        if margins is None or reply.outcome == "error":
            return reply
        fired, reason = opened_by(margins), self._reason(margins)
        decision = Decision(self.name, any(fired), max(margins), self.threshold, reason)
        cost = replace(reply.cost, forward=reply.cost.forward + 1)
        return replace(reply, decisions=(*reply.decisions, decision), cost=cost)

    def _reason(self, margins: Sequence[float]) -> str:
        """Which gates are open; "" where none is."""
        names = self.named or tuple(str(layer) for layer in self.layers)
        open_ones = ", ".join(name for name, fires in zip(names, opened_by(margins), strict=True) if fires)
        return open_ones and f"gates open: {open_ones}"

    def _steered(self, model: WhiteBoxVictim, pattern: Pattern) -> AbstractContextManager[None]:
        vectors = self.vectors(pattern) if self.vectors else {}
        return model.steering(vectors) if vectors else nullcontext()

    # ---- logits and layers of dialogues -----------------------------------------------------------------------------

    def next_token_logits(self, model: WhiteBoxVictim, chats: Sequence[Chat]) -> torch.Tensor:
        return self._of_chats(model, chats, model.next_token_logits)

    def hidden_states(self, model: WhiteBoxVictim, chats: Sequence[Chat], layers: Sequence[int] | None) -> torch.Tensor:
        return self._of_chats(model, chats, lambda some: model.hidden_states(some, layers))

    def _of_chats(
        self, model: WhiteBoxVictim, chats: Sequence[Chat], work: Callable[[list[Chat]], torch.Tensor]
    ) -> torch.Tensor:
        import torch

        if self.vectors is None or not chats:
            return work(list(chats))
        patterns = [opened_by(row) for row in self._margins_of(model, chats)]
        found: list[torch.Tensor | None] = [None] * len(chats)
        for pattern in dict.fromkeys(patterns):
            ks = [k for k, each in enumerate(patterns) if each == pattern]
            with self._steered(model, pattern):
                for k, row in zip(ks, work([chats[k] for k in ks]), strict=True):
                    found[k] = row
        return torch.stack([row for row in found if row is not None])

    # ---- losses and gradients ---------------------------------------------------------------------------------------

    def prompt_states(
        self,
        model: WhiteBoxVictim,
        pixels: Any,
        prepared: Any,
        layers: Sequence[int],
        along: torch.Tensor | None,
        text: TextPerturbations,
    ) -> tuple[torch.Tensor, Any]:
        import torch

        found: dict[tuple[int, int], torch.Tensor] = {}
        places = [(b, p) for b, row in enumerate(prepared.places) for p in range(len(row))]
        grads: list[tuple[Sequence[int], Any]] = []
        for part in self._parts(model, pixels, prepared, text):
            own = None if along is None else along[[places.index(place) for place in part.places]]
            with part.at_work(self, model):
                states, grad = model.prompt_states(part.pixels, part.prepared, layers, along=own, text=part.text)
            found |= zip(part.places, states, strict=True)
            grads.append((part.rows, grad))
        return torch.stack([found[place] for place in places]), None if along is None else summed(pixels, grads)

    def loss_and_grad(
        self,
        model: WhiteBoxVictim,
        pixels: Any,
        prepared: Any,
        weighting: Weighting,
        need_grad: bool,
        text: TextPerturbations,
    ) -> LossAndGrad[Any]:
        import torch

        parts = list(self._parts(model, pixels, prepared, text))
        if len(parts) == 1:
            with parts[0].at_work(self, model):
                return model.loss_and_grad(pixels, prepared, weighting=weighting, need_grad=need_grad, text=text)
        rows = [len(row) for row in prepared.places]
        weights = weights_of(prepared, weighting)
        grads: list[tuple[Sequence[int], Any]] = []
        losses: list[list[torch.Tensor]] = [[] for _ in rows]
        nll: dict[tuple[int, int], torch.Tensor] = {}
        slopes: dict[tuple[int, int], torch.Tensor] = {}
        for part in parts:
            given = part.prepared if weights is None else part.prepared.weighted(part.of(weights))
            with part.at_work(self, model):
                seen = model.loss_and_grad(part.pixels, given, weighting="given", need_grad=need_grad, text=part.text)
            grads.append((part.rows, seen.pixels))
            for k, (b, picks) in enumerate(zip(part.rows, part.picks, strict=True)):
                losses[b].append(seen.loss[k])
                for at, p in enumerate(picks):
                    nll[b, p] = seen.nll[k, at]
                    if seen.text is not None:
                        slopes[b, p] = seen.text[k][at]
        nothing = next(iter(nll.values())).new_tensor(float("nan"))
        table = [torch.stack([nll.get((b, p), nothing) for p in range(max(rows))]) for b in range(len(rows))]
        loss = torch.stack([torch.stack(own).sum() for own in losses])
        to_text = None if text is None else tuple(tuple(slopes[b, p] for p in range(n)) for b, n in enumerate(rows))
        return LossAndGrad(torch.stack(table), loss, summed(pixels, grads), to_text)

    def target_logits(self, model: WhiteBoxVictim, pixels: Any, prepared: Any) -> list[list[torch.Tensor]]:
        found: dict[tuple[int, int], torch.Tensor] = {}
        for part in self._parts(model, pixels, prepared, None):
            with part.at_work(self, model):
                logits = model.target_logits(part.pixels, part.prepared)
            found |= zip(part.places, (each for row in logits for each in row), strict=True)
        return [[found[b, p] for p in range(len(row))] for b, row in enumerate(prepared.places)]

    def margin_and_grad(
        self, model: WhiteBoxVictim, pixels: torch.Tensor, chats: Sequence[Chat]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        x = checked(pixels.detach(), "margin_and_grad")
        prepared = model.prepare([[(chat, NOWHERE)] for chat in chats])
        states, _ = model.prompt_states(x, prepared, self.layers)
        leaf = states.detach().requires_grad_()
        with torch.enable_grad():
            margins = self.margins(model, leaf).amax(1)
            (slope,) = torch.autograd.grad(margins.sum(), leaf)
        grad: Any = model.prompt_states(x, prepared, self.layers, along=slope)[1]
        return margins.detach(), grad

    def _parts(self, model: WhiteBoxVictim, pixels: Any, prepared: Any, text: TextPerturbations) -> Iterator[_Part]:
        """The pairs whose gates agree, one part after the other."""
        counts = [len(row) for row in prepared.places]
        places = [(b, p) for b, n in enumerate(counts) for p in range(n)]
        patterns: list[Pattern] = [()] * len(places)
        if self.vectors is not None:
            states, _ = model.prompt_states(pixels, prepared, self.layers, text=text)
            patterns = [opened_by(row) for row in self.margins(model, states).tolist()]
        for pattern in dict.fromkeys(patterns):
            mine = [place for place, own in zip(places, patterns, strict=True) if own == pattern]
            rows = list(dict.fromkeys(b for b, _ in mine))
            picks = [[p for at, p in mine if at == b] for b in rows]
            some = None if text is None else [[text[b][p] for p in own] for b, own in zip(rows, picks, strict=True)]
            yield _Part(pattern, rows, picks, taken(pixels, rows), prepared.rows(rows).select(picks), some, len(counts))


@dataclass(frozen=True)
class _Part:
    """Pairs whose gates agree. rows: their pictures; picks: which pairs of each; all: how many pictures there are."""

    pattern: Pattern
    rows: Sequence[int]
    picks: Sequence[Sequence[int]]
    pixels: Any
    prepared: Any
    text: TextPerturbations
    all: int

    @property
    def places(self) -> list[tuple[int, int]]:
        return [(b, p) for b, picks in zip(self.rows, self.picks, strict=True) for p in picks]

    def of(self, table: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Of a table of all pairs, those of this part."""
        return [[table[b][p] for p in picks] for b, picks in zip(self.rows, self.picks, strict=True)]

    @contextmanager
    def at_work(self, gates: Gated, model: WhiteBoxVictim) -> Iterator[None]:
        """While open, the model is steered as these gates say, and what draws at random draws for these pictures."""
        seeds, step = draw_of(self.all)
        with gates._steered(model, self.pattern), drawing([seeds[b] for b in self.rows], step):
            yield


def opened_by(margins: Sequence[float]) -> Pattern:
    """Which gates are open: a margin of exactly 0 opens none."""
    return tuple(margin > 0 for margin in margins)


def weights_of(prepared: Any, weighting: Weighting) -> list[list[list[float]]] | None:
    """The weights of `weighting` as numbers, token by token; None where they are given."""
    if weighting == "given":
        return None
    found = []
    for row in prepared.spans:
        tokens = [sum(spans) for spans in row]
        share = {"token": [1 / sum(tokens)] * len(row), "pair": [1 / (len(row) * n) for n in tokens]}
        each = share.get(weighting, [1.0] * len(row))
        found.append([[weight] * n for weight, n in zip(each, tokens, strict=True)])
    return found


def taken(pixels: Any, rows: Sequence[int]) -> Any:
    """Of the pictures in any form those of `rows`."""
    if pixels is None:
        return None
    return {slot: x[rows] for slot, x in pixels.items()} if isinstance(pixels, Mapping) else pixels[list(rows)]


def summed(pixels: Any, grads: Sequence[tuple[Sequence[int], Any]]) -> Any:
    """Gradients of some pictures each, added up in the form of `pixels`."""
    import torch

    if pixels is None:
        return None
    if isinstance(pixels, Mapping):
        return {slot: summed(x, [(rows, grad[slot]) for rows, grad in grads]) for slot, x in pixels.items()}
    total = torch.zeros_like(pixels)
    for rows, grad in grads:
        total[list(rows)] += grad.to(total)
    return total
