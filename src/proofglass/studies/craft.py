"""Crafting: what an attack spends before it meets a judged sample. Bought once, kept, reused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from proofglass.engine.checkpoints import kept_in
from proofglass.interfaces import Attack, Victim, key_of
from proofglass.meter import Meter
from proofglass.records.crafts import Crafted
from proofglass.records.schema import plain
from proofglass.studies.rows import rows_key
from proofglass.studies.sink import Sink
from proofglass.types import Artefact, Budget, Sample


def craft(
    attack: Attack, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None, sink: Sink
) -> Crafted:
    """Artefacts of `attack` against `victim` (no journal before it), from `sink` if they were bought before.

    Pictures come back as the sink has them, a store from their PNG files: what is judged is what a file can hold. An
    attack of scope "none" has nothing to buy and leaves no artefact. Its optimisations keep checkpoints in the sink
    until it is done: a killed craft goes on where it stood and makes the same picture.
    """
    if attack.scope == "none":
        return Crafted("", tuple(attack.craft(victim, samples, seed=seed, budget=budget)))
    origin = {
        "attack": attack.key,
        "victim": victim.key,
        "seed": seed,
        "budget": budget and budget.plain,
        "samples": rows_key(samples),
    }
    key = key_of(origin)
    known = sink.crafted(key)
    if known is None:
        drafts = sink.drafts(key)
        with Meter() as meter, kept_in(drafts) if drafts else nullcontext():
            found = tuple(attack.craft(victim, samples, seed=seed, budget=budget))
            if odd := next((type(a).__name__ for a in found if not isinstance(a, Artefact)), ""):
                raise TypeError(f"craft yielded a {odd}, expected an Artefact")
        sink.put_crafted(Crafted(key, found, meter.seconds, meter.peak_bytes), origin)
        sink.drop_drafts(key)
        known = sink.crafted(key)
        assert known is not None
    return known


def summary(attack: Attack, bought: Sequence[Crafted], crafting: str) -> dict[str, Any] | None:
    """What the report says about the crafting of a cell (one purchase, or one per chunk); None if nothing was bought.

    crafting: what its records say it was crafted on (`studies.execute.Crafting`).
    Costs are sums; a trace of several artefacts is their mean, step by step. linf_levels, l2: distance of the picture
    that went farthest from its clean one, None where no clean one is known.
    """
    bought = [crafted for crafted in bought if crafted.key]
    artefacts = [artefact for crafted in bought for artefact in crafted.artefacts]
    if not artefacts:
        return None
    universal = next((a for a in artefacts if a.sample_id is None), None)
    return {
        "artefact": bought[0].key,
        "artefacts": len(artefacts),
        "crafted_on": artefacts[0].crafted_on,
        "crafting": crafting,
        "forward": sum(a.cost.forward for a in artefacts),
        "backward": sum(a.cost.backward for a in artefacts),
        "queries": sum(a.cost.queries for a in artefacts),
        "seconds": sum(crafted.seconds for crafted in bought),
        "peak_bytes": max(crafted.peak_bytes for crafted in bought),
        "trace": _mean_trace(artefacts),
        **{name: _largest(artefacts, name) for name in ("linf_levels", "l2")},
        "settings": plain(attack.settings()),
        "opens": attack.opens,
        "scope": attack.scope,
        "image": universal.images[0].sha256 if universal and universal.images else None,
        "clean": universal.clean.sha256 if universal and universal.clean else None,
        "notes": sorted({str(note) for artefact in artefacts for note in artefact.meta.get("notes", ())}),
    }


def _largest(artefacts: Sequence[Artefact], name: str) -> float | None:
    known = [a.trace[name] for a in artefacts if a.trace.get(name) is not None]
    return max(known) if known else None


def _mean_trace(artefacts: Sequence[Artefact]) -> dict[str, Any]:
    """Numbers averaged over artefacts, yes and no as the share of yes, lists step by step over those that got so far;
    texts that differ are counted, e.g. "12 x budget spent"."""

    def mean(values: Sequence[Any]) -> object:
        if all(isinstance(v, list) for v in values):
            steps = range(max(len(v) for v in values))
            return [mean([v[k] for v in values if k < len(v)]) for k in steps]
        if all(isinstance(v, (int, float)) for v in values):
            return sum(values) / len(values)
        if len(set(map(str, values))) == 1:
            return values[0]
        return ", ".join(f"{n} x {v}" for v, n in Counter(map(str, values)).most_common() if v)

    first = artefacts[0].trace
    if len(artefacts) == 1:
        return dict(first)
    told = {name: mean([a.trace.get(name) for a in artefacts]) for name in first}
    if known := [a.trace["loss_plain_from"] for a in artefacts if "loss_plain_from" in a.trace]:
        told["loss_plain_from"] = min(known)  # from there on, some of the averaged losses are whole ones
    return told
