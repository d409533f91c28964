"""Which replies of a run people should label, as a sheet to fill in (`studies.sheet`).

The budget is split evenly over the cells, then over the verdicts of a judge (`evaluation.correction.plan_labels`); a
pilot comes first, because the best split depends on what the labels say. Within a verdict replies are drawn at random.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError
from proofglass.evaluation.correction.planning import GUESS, LabelPlan, guessed, plan_labels
from proofglass.evaluation.correction.result import WITHHELD
from proofglass.evaluation.correction.rows import Rows, rows_of
from proofglass.evaluation.metrics.kinds import HARM
from proofglass.records.files import write_whole
from proofglass.records.labels import Labels, Place
from proofglass.report.corrected import aspect_of, calibration_of, in_its_sense
from proofglass.studies.sheet import check_added, csv_bytes

if TYPE_CHECKING:
    from proofglass.records.store import Store

PILOT = 0.25  # of the budget
PILOT_LEAST = 20  # labels of a pilot per cell


@dataclass(frozen=True)
class CellPlan:
    """One cell: key and place; sizes: verdict -> replies; full: its share of the budget; now: what this sheet asks for;
    labels: those that are there, by verdict."""

    key: str
    place: str
    sizes: dict[str, int]
    full: LabelPlan
    now: LabelPlan
    labels: dict[str, int]


@dataclass(frozen=True)
class Sheet:
    """What `plan` wrote. aspect: column to fill in; meaning: of a 1 there; rows: to label now; pilot: whether the
    rest of the budget waits for these labels; rates: where the shares behind the split come from, in words."""

    file: Path
    aspect: str
    meaning: str
    judge: str
    rows: int
    pilot: bool
    rates: str
    cells: tuple[CellPlan, ...]


def plan(
    store: Store,
    judge: str,
    budget: int,
    *,
    cells: Sequence[str] = (),
    victims: Sequence[str] = (),
    pilot: bool = True,
    seed: int = 0,
    out: Path | None = None,
) -> Sheet:
    """Draw replies for people to label and write them to `out` (default: RUN/labels/<aspect>.csv).

    budget: labels in all, those that are there included. cells: keys, or their beginnings; victims: labels; none of
    both: every measured cell. pilot: ask first for a quarter of it. Raises UsageError for a judge or cell that the run
    does not have, a budget too small, and a sheet whose labels were not added; StoreError if nothing can be written.
    """
    with store.locked():
        told = store.manifest()
        if judge not in told["judges"]:
            raise UsageError(f"--judge: {judge!r} judged nothing in {store.path}; it has {', '.join(told['judges'])}")
        plug = told["plugs"]["judges"][judge]
        if plug.get("reads_reasoning"):
            raise UsageError(f"--judge: {judge} judges what a model thought, and a sheet shows what it answered")
        aspect = aspect_of(plug)
        labels = store.labels(aspect) or Labels(aspect, judge, plug["key"])
        if labels.judge_key != plug["key"]:
            raise UsageError(
                f"--judge: replies were drawn for {aspect!r} by the verdicts of {labels.judge} ({labels.judge_key}), "
                f"not of {judge} ({plug['key']}): mixed, neither would be a sample. Go on with the former, or move "
                f"{store.path / 'labels' / (aspect + '.json')} away to begin anew."
            )
        file = out or store.path / "labels" / f"{aspect}.csv"
        check_added(file, labels)
        chosen = _chosen(store, cells, victims, aspect)
        if budget < PILOT_LEAST * len(chosen):
            raise UsageError(
                f"--budget: {budget} labels for {len(chosen)} cells are {budget // len(chosen)} for each, which buys "
                f"nothing; give at least {PILOT_LEAST * len(chosen)}, or name fewer cells with --cell or --victim"
            )
        scored = [_scored(store, cell, plug["key"]) for cell in chosen]
        rates, source = _rates(labels, scored, plug)
        have = sum(len(cell.given(labels)) for cell in scored)
        share = budget // len(chosen)
        waits = pilot and have < PILOT_LEAST * len(chosen) and share > PILOT_LEAST
        planned = [_cell_plan(cell, labels, rates, share, waits) for cell in scored]
        for cell, told_of in zip(scored, planned, strict=True):
            labels = _drawn(labels, cell, told_of, seed)
        store.put_labels(labels)
        asked = {cell.attempts[s] for cell in scored for s in labels.samples(cell.place) if s in cell.attempts}
        open_ = sorted(asked - set(labels.given))
        write_whole(file, csv_bytes(store, labels, open_))
    meaning = aspect if plug.get("aspect") else plug.get("column") or judge
    return Sheet(file, aspect, meaning, judge, len(open_), waits, source, tuple(planned))


def _chosen(store: Store, cells: Sequence[str], victims: Sequence[str], aspect: str) -> list[dict[str, Any]]:
    """The measured cells that were asked for; of a judge of harm, unless they are named, only those with questions that
    should be refused: nothing is corrected in the others."""
    every = [cell for cell in store.cells() if store.done(cell["cell"])]
    for key in cells:
        if not any(cell["cell"].startswith(key) for cell in every):
            raise UsageError(f"--cell: no measured cell begins with {key!r}; the keys are in cells/ and report.json")
    for victim in victims:
        if not any(cell["victim"] == victim for cell in every):
            known = ", ".join(dict.fromkeys(cell["victim"] for cell in every)) or "none"
            raise UsageError(f"--victim: no measured cell of {victim!r}; measured: {known}")
    found = [
        cell
        for cell in every
        if (not cells or any(cell["cell"].startswith(key) for key in cells))
        and (not victims or cell["victim"] in victims)
    ]
    if aspect == HARM and not cells:
        wanted = set(store.scan().select("cell", "expected").unique().filter(expected="refuse").collect()["cell"])
        found = [cell for cell in found if cell["cell"] in wanted] or found
    if not found:
        raise UsageError(f"{store.path}: no measured cell to label")
    return found


@dataclass(frozen=True)
class _Scored:
    """A measured cell as labels see it: its rows with their verdicts, and sample id -> its attempt."""

    key: str
    place: Place
    rows: Rows
    attempts: Mapping[str, str]

    def given(self, labels: Labels) -> dict[str, float]:
        """Sample id -> label, of those that were drawn here."""
        return labels.of(self.place, self.attempts)


def _scored(store: Store, cell: Mapping[str, Any], judge_key: str) -> _Scored:
    key = cell["cell"]
    scores = store.scores_of(key, judge_key) if store.has_scores(key, judge_key) else {}
    frame = store.scan(key).select("sample_id", "outcome", "reply", "cluster", "attempt").collect()
    rows = rows_of(frame.iter_rows(named=True), {sample: (s.value, s.label) for sample, s in scores.items()})
    place = (cell["victim"], cell["attack"], cell["defense"], cell["dataset"])
    return _Scored(key, place, rows, dict(frame.select("sample_id", "attempt").iter_rows()))


def _rates(labels: Labels, scored: Sequence[_Scored], plug: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """What share of each verdict is thought positive: by the labels that are there, over what the judge's card says,
    over a plain guess. And which of these it was."""
    counts = calibration_of(plug)
    told = {
        "yes": [(c.tp, c.tp + c.fp) for c in counts],
        "no": [(c.fn, c.fn + c.tn) for c in counts],
        "unjudged": [(c.unjudged_yes, c.unjudged_yes + c.unjudged_no) for c in counts],
    }
    start = {verdict: guessed(told[verdict], guess) for verdict, guess in GUESS.items()}
    pairs: dict[str, list[tuple[float, float]]] = {verdict: [] for verdict in GUESS}
    for cell in scored:
        mine = cell.given(labels)
        for sample, verdict in zip(cell.rows.ids, cell.rows.verdicts, strict=True):
            if sample in mine and verdict != WITHHELD:
                pairs[verdict].append((in_its_sense(plug, mine[sample]), 1))
    known = sum(len(each) for each in pairs.values())
    source = f"{known} labels" if known else "the judge's card" if counts else "a guess, since nothing is known yet"
    shown = {verdict: guessed(pairs[verdict], start[verdict]) for verdict in GUESS}
    return shown, source


def _cell_plan(cell: _Scored, labels: Labels, rates: Mapping[str, float], share: int, waits: bool) -> CellPlan:
    sizes = dict(Counter(map(str, cell.rows.verdicts)))
    verdict = dict(zip(cell.rows.ids, cell.rows.verdicts, strict=True))
    asked: Counter[str] = Counter(verdict[sample] for sample in labels.samples(cell.place) if sample in verdict)
    have: Counter[str] = Counter(verdict[sample] for sample in cell.given(labels) if sample in verdict)
    first = max(PILOT_LEAST, round(PILOT * share)) if waits else share
    full, now = (plan_labels(sizes, rates, most, done=asked) for most in (share, first))
    return CellPlan(cell.key, " · ".join(cell.place), sizes, full, now, dict(have))


def _drawn(labels: Labels, cell: _Scored, planned: CellPlan, seed: int) -> Labels:
    """`labels` with the replies of this plan: of each verdict the first by a hash of seed, place and sample. Those
    drawn before are among them as they read now."""
    drawn = labels.samples(cell.place)
    for verdict, wanted in planned.now.labels.items():
        mine = [sample for sample, said in zip(cell.rows.ids, cell.rows.verdicts, strict=True) if said == verdict]
        rest = [sample for sample in mine if sample not in drawn]
        rest.sort(key=lambda sample: hashlib.sha256("\0".join([str(seed), *cell.place, sample]).encode()).digest())
        drawn |= set(rest[: max(0, wanted - len(mine) + len(rest))])
    told = {key: list(every) for key, every in labels.drawn.items()}
    for sample in sorted(drawn & set(cell.rows.ids)):
        every = told.setdefault(cell.attempts[sample], [])
        if (*cell.place, sample) not in every:
            every.append((*cell.place, sample))
    return replace(labels, drawn={key: tuple(every) for key, every in told.items()})
