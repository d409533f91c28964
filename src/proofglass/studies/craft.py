"""Crafting: what an attack spends before it meets a judged sample. Bought once, kept, reused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from proofglass.engine.checkpoints import kept_in
from proofglass.errors import UsageError
from proofglass.interfaces import Attack, Victim, key_of
from proofglass.meter import Meter
from proofglass.records.crafts import Crafted
from proofglass.records.schema import plain
from proofglass.records.store import Store
from proofglass.studies.plan import rows_key
from proofglass.types import Artefact, Sample


def craft(
    attack: Attack, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: float | None, store: Store
) -> Crafted:
    """Artefacts of `attack` against `victim` (the model itself), from the store if they were bought before.

    Pictures come back as read from their PNG files: what is judged is what a file can hold. An attack that does
    not override `craft` has nothing to buy and leaves no artefact. Its optimisations keep checkpoints in the store
    until it is done: a killed craft goes on where it stood and makes the same picture.
    """
    if not buys(attack):
        return Crafted("", tuple(attack.craft(victim, samples, seed=seed, budget=budget)))
    origin = {
        "attack": attack.key,
        "victim": victim.key,
        "seed": seed,
        "budget": budget,
        "samples": rows_key(samples),
    }
    key = key_of(origin)
    known = store.crafted(key)
    if known is None:
        with Meter() as meter, kept_in(store.drafts(key)):
            found = tuple(attack.craft(victim, samples, seed=seed, budget=budget))
            if odd := next((type(a).__name__ for a in found if not isinstance(a, Artefact)), ""):
                raise TypeError(f"craft yielded a {odd}, expected an Artefact")
        store.put_crafted(Crafted(key, found, meter.seconds, meter.peak_bytes), origin)
        store.drop_drafts(key)
        known = store.crafted(key)
        assert known is not None
    return known


def buys(attack: Attack) -> bool:
    """Whether `attack` has anything to craft, and so to spend."""
    return type(attack).craft is not Attack.craft


def check_apart(crafting: Sequence[Sample], judged: Sequence[Sample]) -> None:
    """Raises UsageError if a crafting sample is also judged: success on it would be training success.

    Samples are the same if their ids are, or what they ask: the text, case and space folded; together with the
    pictures where one text stands under several pictures ("do what the picture says" is no question by itself).
    """
    under = [Counter(text for text, _ in {(_text(s), _pictures(s)) for s in samples}) for samples in (crafting, judged)]

    def question(sample: Sample) -> tuple[str, ...]:
        text = _text(sample)
        return (text, *_pictures(sample)) if max(count[text] for count in under) > 1 else (text,)

    ids = {sample.id for sample in crafting}
    questions = {question(sample) for sample in crafting}
    for sample in judged:
        if sample.id in ids or question(sample) in questions:
            raise UsageError(
                f"sample {sample.id!r}: is in the crafting split and is judged too. "
                f"The data set {sample.dataset!r} must keep them apart."
            )


def _text(sample: Sample) -> str:
    return " ".join(sample.chat.last_text.casefold().split())


def _pictures(sample: Sample) -> tuple[str, ...]:
    return tuple(image.sha256 for image in sample.chat.images)


def summary(attack: Attack, bought: Sequence[Crafted]) -> dict | None:
    """What the report says about the crafting of a cell (one purchase, or one per chunk); None if nothing was bought.

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
        "forward": sum(a.cost.forward for a in artefacts),
        "backward": sum(a.cost.backward for a in artefacts),
        "queries": sum(a.cost.queries for a in artefacts),
        "seconds": sum(crafted.seconds for crafted in bought),
        "peak_bytes": max(crafted.peak_bytes for crafted in bought),
        "trace": _mean_trace(artefacts),
        **{name: _largest(artefacts, name) for name in ("linf_levels", "l2")},
        "settings": plain(attack.settings()),
        "access": attack.access,
        "scope": attack.scope,
        "image": universal.images[0].sha256 if universal and universal.images else None,
        "clean": universal.clean.sha256 if universal and universal.clean else None,
        "notes": sorted({str(note) for artefact in artefacts for note in artefact.meta.get("notes", ())}),
    }


def _largest(artefacts: Sequence[Artefact], name: str) -> float | None:
    known = [a.trace[name] for a in artefacts if a.trace.get(name) is not None]
    return max(known) if known else None


def _mean_trace(artefacts: Sequence[Artefact]) -> dict:
    """Numbers averaged over artefacts, yes and no as the share of yes, lists step by step over those that got so far;
    texts that differ are counted, e.g. "12 x budget spent"."""

    def mean(values: Sequence) -> object:
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
