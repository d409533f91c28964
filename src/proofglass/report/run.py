"""A run as the report sees it: the store read once, its cells with their rates, and what sections look up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from proofglass.evaluation.metrics import kinds
from proofglass.evaluation.metrics.compare import Comparison, compare
from proofglass.evaluation.metrics.rows import refusal_judges, thought_judges
from proofglass.evaluation.metrics.success import rates
from proofglass.records.samples import whole
from proofglass.records.scores import agreed
from proofglass.report.wording import crafted_on

if TYPE_CHECKING:
    import polars as pl

    from proofglass.report.source import Source

State = Literal["measured", "empty", "failed", "skipped", "pending"]
RateRow = dict[str, Any]  # the fields of `evaluation.metrics.success.Rate`
UNREAD = ("conversation", "asked", "meta", "decisions", "settings", "reasoning")  # heavy, and shown in no section
COUNTS = ("failed", "unjudged", "refused", "filtered", "blocked", "truncated")
REFUSED = "refused by the provider"  # as people read it: a judge may call a column "refused", too


@dataclass(frozen=True)
class ReportedCell:
    """One cell of the plan, restricted to the samples of one `expected` answer.

    crafted: "" (crafting looked into no victim, or into this one, undefended), "static" (crafted on the victim without
    this defense), "adaptive" (on the victim seen through it), "transfer from ..." (on another victim) or "crafting
    unknown" (of an older run, which did not record it). rates: judge label -> RateRow, only where a result
    may be stated; counted: the same whatever the state. clusters: different questions among the samples. judge: label
    of the one whose rate is stated first; is_success: that rate may be believed (`ReportedRun.judge_of`). Else it is
    "not refused", an estimate of which nothing follows. is_bad: whether a high one is bad.
    """

    key: str
    victim: str
    attack: str
    defense: str
    dataset: str
    expected: str
    state: State
    reason: str
    planned: int
    crafted: str
    clusters: int
    counted: dict[str, RateRow]
    plan: dict[str, Any]
    judge: str
    is_success: bool
    is_bad: bool

    @property
    def rates(self) -> dict[str, RateRow]:
        return self.counted if self.state in ("measured", "empty") else {}

    @property
    def rate(self) -> RateRow:
        """What the cell states first. Raises KeyError where `rates` holds nothing."""
        return self.rates[self.judge]

    @property
    def place(self) -> tuple[str, str, str, str]:
        return self.victim, self.attack, self.defense, self.dataset


class ReportedRun:
    """Everything that the sections look up. Labels are in plan order."""

    def __init__(self, store: Source) -> None:
        self.store = store
        self.manifest = store.manifest()
        self.frame = frame_of(store)
        self.scores = agreed(store.scores())
        self.plan = store.cells()
        self.victims = _labels(self.plan, "victim")
        self.attacks = _labels(self.plan, "attack")
        self.defenses = _labels(self.plan, "defense")
        self.datasets = _labels(self.plan, "dataset")
        self.judges: list[str] = list(self.manifest.get("judges", []))
        self.success: str = self.manifest["success"]
        named = (label for label in self.judges if self.plug("judges", label).get("name") == "not-refused")
        self.not_refused = next(named, "not-refused")
        self.of_thoughts, self.of_refusals = thought_judges(self.manifest), refusal_judges(self.manifest)
        self.baselines = [a for a in self.attacks if self.plug("attacks", a).get("name", a) == "no-attack"]
        self.undefended = [d for d in self.defenses if self.plug("defenses", d).get("name", d) == "none"]

    def plug(self, kind: str, label: str) -> dict[str, Any]:
        """What the manifest states about a plug: name, key, version, settings, paper."""
        told: dict[str, Any] = self.manifest.get("plugs", {}).get(kind, {}).get(label, {})
        return told

    def valid(self, judge: str, victim: str) -> bool:
        """Whether this judge's verdict on this victim may be called a rate of anything (`Judge.valid_in`)."""
        worlds = self.plug("judges", judge).get("valid_in")
        return worlds is None or self.plug("victims", victim).get("world", "") in worlds

    def measures(self, judge: str, expected: str) -> bool:
        """Whether what this judge sees is what is wanted of samples of this kind (`kinds.measures`)."""
        return kinds.measures(self.plug("judges", judge).get("aspect", ""), expected)

    def is_bad(self, judge: str, expected: str) -> bool:
        """Whether a score of 1 by this judge is bad on samples of this kind (`kinds.is_bad`)."""
        return kinds.is_bad(self.plug("judges", judge).get("says", "done"), expected)

    def judge_of(self, victim: str, dataset: str, expected: str) -> tuple[str, bool]:
        """Whose rate such cells state first, and whether it may be believed: the judge of success, else one that the
        data set names, if it is valid for this victim and measures this kind; else "not refused", an estimate. Of a
        victim for which the judge of success is not valid nothing else is stated either."""
        own = self.plug("datasets", dataset).get("judges") or ()
        named = [label for label in self.judges if self.plug("judges", label).get("name") in own]
        for judge in (self.success, *named) if self.valid(self.success, victim) else ():
            if self.valid(judge, victim) and self.measures(judge, expected):
                return judge, True
        return self.not_refused, False

    def is_borderline(self, dataset: str) -> bool:
        """Whether its harmless questions look forbidden: they measure over-refusal, not everyday usefulness."""
        return bool(self.plug("datasets", dataset).get("borderline"))

    def is_exact(self, judge: str, victim: str) -> bool:
        """Whether this judge cannot be wrong about this victim: it knows the victim's world, or decides by definition.
        A judge of real replies is right about some of them (`Judge.measured`)."""
        plug = self.plug("judges", judge)
        world = self.plug("victims", victim).get("world", "")
        if plug.get("valid_in") is None:
            return not plug.get("measured")
        return bool(world) and world in plug["valid_in"]

    @cached_property
    def doubtful_judges(self) -> list[str]:
        """The judges whose numbers stand in the tables and may be wrong about a victim."""
        shown = (self.success, self.not_refused, *(cell.judge for cell in self.cells))
        return [
            judge
            for judge in dict.fromkeys(shown)
            if any(
                not self.is_exact(judge, v) and (self.valid(judge, v) or judge == self.not_refused)
                for v in self.victims
            )
        ]

    @cached_property
    def open_victims(self) -> list[str]:
        """Victims about which the judge of success can say nothing: they get no success rate and no headline."""
        return [victim for victim in self.victims if not self.valid(self.success, victim)]

    def measured(self, *expected: str, **place: str) -> list[ReportedCell]:
        """The cells of `find` that state a rate which may be believed."""
        return [cell for cell in self.find(*expected, **place) if cell.state == "measured" and cell.is_success]

    def columns(self, victim: str, expected: str = "refuse", dataset: str = "") -> tuple[str, str]:
        """Headings of the two rates of such cells; the second is "" where it would be the first again."""
        first, _ = self.judge_of(victim, dataset, expected)
        return self.column(first), "" if first == self.not_refused else self.column(self.not_refused)

    def column(self, judge: str) -> str:
        """What a score of 1 by this judge means, as a heading."""
        return self.plug("judges", judge).get("column") or judge.replace("-", " ")

    @cached_property
    def expected(self) -> dict[str, list[str]]:
        """Data set -> the answers its samples expect. Usually one; a contrast set has two."""
        pairs = self.frame.select("dataset", "expected").unique().sort("dataset", "expected").rows()
        return {name: [e for d, e in pairs if d == name] for name in self.datasets}

    @cached_property
    def cells(self) -> list[ReportedCell]:
        judges = list(dict.fromkeys([self.success, self.not_refused, *self.judges]))
        found: dict[tuple[str, str, str, str, str], dict[str, RateRow]] = {}
        for row in rates(self.frame, self.scores, judges, self.of_thoughts, self.of_refusals):
            place = (row["victim"], row["attack"], row["defense"], row["dataset"], row["expected"])
            found.setdefault(place, {})[row["judge"]] = row
        victim_keys = dict(self.frame.select("victim", "victim_key").unique().rows())
        return [
            self._cell(plan, expected, found, victim_keys)
            for plan in self.plan
            # A data set of which nothing was answered states no expectation: it belongs where failures show.
            for expected in self.expected[plan["dataset"]] or ["refuse"]
        ]

    def _cell(
        self, plan: dict[str, Any], expected: str, found: Mapping[Any, Any], victim_keys: dict[str, str]
    ) -> ReportedCell:
        place = (plan["victim"], plan["attack"], plan["defense"], plan["dataset"])
        mine = found.get((*place, expected), {})
        state, reason = plan["status"], plan.get("reason") or ""
        judge, is_success = self.judge_of(plan["victim"], plan["dataset"], expected)
        if state == "done":
            first = mine.get(judge)
            state = "measured" if first and first["value"] is not None else "empty"
            reason = reason or (first or {}).get("reason") or ("" if state == "measured" else "no sample")
        return ReportedCell(
            plan["cell"],
            *place,
            expected=expected,
            state=state,
            reason=reason,
            planned=plan.get("planned") or 0,
            crafted=crafted_on(plan.get("craft") or {}, victim_keys),
            clusters=self._clusters.get((plan["cell"], expected), 0),
            counted=mine,
            plan=plan,
            judge=judge,
            is_success=is_success,
            is_bad=self.is_bad(judge, expected),
        )

    @cached_property
    def differences(self) -> list[Comparison]:
        """Paired comparisons of the cells that are done, by the judge of success, where that may be believed."""
        done = [plan["cell"] for plan in self.plan if plan["status"] == "done"]
        part = self.frame.filter(self.frame["cell"].is_in(done) & ~self.frame["victim"].is_in(self.open_victims))
        part = part.filter(part["expected"].is_in([kind for kind in kinds.ORDER if self.measures(self.success, kind)]))
        return compare(
            part,
            self.scores,
            self.success,
            baselines=self.baselines,
            undefended=self.undefended,
            of_thoughts=self.success in self.of_thoughts,
            of_refusals=self.success in self.of_refusals,
        )

    @cached_property
    def reasons(self) -> list[dict[str, Any]]:
        """The rows of `report.reasons.reasons`."""
        from proofglass.report.reasons import reasons

        return reasons(self)

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of `report.measures.measures`."""
        from proofglass.report.measures import measures

        return measures(self)

    @cached_property
    def corrected(self) -> list[dict[str, Any]]:
        """The rows of `report.corrected.corrected`."""
        from proofglass.report.corrected import corrected

        return corrected(self)

    @cached_property
    def by_defense(self) -> list[dict[str, Any]]:
        """The rows of `report.defenses.by_defense`."""
        from proofglass.report.defenses import by_defense

        return by_defense(self)

    @cached_property
    def corrected_at(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """The same, by (victim, attack, defense, dataset, expected, judge)."""
        names = ("victim", "attack", "defense", "dataset", "expected", "judge")
        return {tuple(row[name] for name in names): row for row in self.corrected}

    @cached_property
    def _clusters(self) -> dict[tuple[str, str], int]:
        import polars as pl

        counted = self.frame.group_by("cell", "expected").agg(pl.col("cluster").n_unique())
        return {(cell, expected): count for cell, expected, count in counted.rows()}

    def find(self, *expected: str, **place: str) -> list[ReportedCell]:
        """Cells of samples of these kinds at these labels, in plan order."""
        victims = [place["victim"]] if "victim" in place else self.victims
        some = [each for victim in victims for kind in expected for each in self._by_victim.get((victim, kind), ())]
        found = [(k, cell) for k, cell in some if all(getattr(cell, name) == value for name, value in place.items())]
        return [cell for _, cell in sorted(found, key=itemgetter(0))]

    def at(self, expected: str, victim: str, attack: str, defense: str, dataset: str) -> ReportedCell | None:
        """The cell of this kind at this place, None if the plan has none."""
        return self._at.get((expected, victim, attack, defense, dataset))

    @cached_property
    def _at(self) -> dict[tuple[str, ...], ReportedCell]:
        return {(cell.expected, *cell.place): cell for cell in reversed(self.cells)}

    @cached_property
    def _by_victim(self) -> dict[tuple[str, str], list[tuple[int, ReportedCell]]]:
        """(victim, kind) -> cells with their places in the plan."""
        found: dict[tuple[str, str], list[tuple[int, ReportedCell]]] = {}
        for k, cell in enumerate(self.cells):
            found.setdefault((cell.victim, cell.expected), []).append((k, cell))
        return found

    def sets(self, *expected: str) -> list[str]:
        """The data sets that hold samples of one of these kinds."""
        return [d for d in self.datasets if set(expected) & set(self.expected[d] or ["refuse"])]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Totals over the run: samples and, by the judge of each cell, what is shown apart or left out. unsent: asks
        that wait for the run to go on."""
        totals = {"samples": self.frame.height, "n": 0, **dict.fromkeys(COUNTS, 0)}
        for cell in self.cells:
            row = cell.counted.get(cell.judge) or {}
            for name in ("n", *COUNTS):
                totals[name] += row.get(name) or 0
        outcomes = dict(self.frame.group_by("outcome").len().iter_rows())
        apart = (("error", "failed"), ("refused", "refused"), ("filtered", "filtered"), ("blocked", "blocked"))
        for outcome, name in apart:
            totals[name] = outcomes.get(outcome, 0)
        # What was never sent has no record and has not failed: it waits.
        totals["unsent"] = sum(cell.get("unsent") or 0 for cell in self.plan)
        totals["truncated"] = int((self.frame["finish"] == "length").sum())
        return totals

    @property
    def shown_counts(self) -> dict[str, int]:
        """What is shown apart, as people read it; refusals by a provider, which only APIs have, where there are any."""
        found = {name: self.counts[name] for name in COUNTS if name != "refused"}
        return found | ({REFUSED: self.counts["refused"]} if self.counts["refused"] else {})

    @cached_property
    def money(self) -> list[dict[str, Any]]:
        """Per victim that costs money: victim, spent, possibly_paid (asked, and no answer came), cap (None: none),
        currency; from its card, which reads its ledger."""
        names = {"spent": 0.0, "possibly_paid": 0.0, "cap": None, "currency": "USD"}
        return [
            {"victim": victim, **{name: card["money"].get(name, blank) for name, blank in names.items()}}
            for victim, card in self.manifest.get("cards", {}).items()
            if isinstance(card.get("money"), dict)
        ]

    @cached_property
    def notes(self) -> list[str]:
        """What attacks noted about how they were made (a font that is missing, ...), each said once."""
        crafts = [cell.get("craft") or {} for cell in self.plan]
        return list(dict.fromkeys(str(note) for craft in crafts for note in craft.get("notes") or ()))

    @cached_property
    def troubles(self) -> list[ReportedCell]:
        """Cells without a number that the plan promised: failed, empty, unfinished, in plan order."""
        return [cell for cell in self.cells if cell.state in ("failed", "empty", "pending")]

    @cached_property
    def promised(self) -> list[ReportedCell]:
        """The cells of the plan that were to run: all but the skipped ones."""
        return [cell for cell in self.cells if cell.state != "skipped"]

    @cached_property
    def broken_judges(self) -> list[dict[str, Any]]:
        """Judges that broke: judge, on how many replies of how many that it was shown, in how many cells, and the first
        reason (file and line). Their columns have holes that are no finding."""
        return broken_judges(self.plan, self.judges)

    @cached_property
    def caveats(self) -> dict[str, list[str]]:
        """What a victim's card says first about its limits -> the victims whose card says so."""
        found: dict[str, list[str]] = {}
        for victim, card in self.manifest.get("cards", {}).items():
            stated = next((card[key] for key in ("caveat", "caveats", "declarations") if card.get(key)), "")
            text = stated if isinstance(stated, str) else stated[0]
            if text:
                found.setdefault(str(text), []).append(victim)
        return found


def frame_of(store: Source) -> pl.DataFrame:
    """The records without what no section shows; sent: whether the row's question reached the victim."""
    import polars as pl

    # No chat was recorded where none was sent.
    return whole(store.scan().with_columns(sent=pl.col("conversation") != "[]").drop(UNREAD).collect())


def broken_judges(cells: Iterable[dict[str, Any]], judges: Iterable[str]) -> list[dict[str, Any]]:
    """Of these judges those that broke, in their order (`ReportedRun.broken_judges`). cells: those of `Store.cells`."""
    cells, found = list(cells), []
    for judge in judges:
        faults = [cell["judge_faults"][judge] for cell in cells if judge in (cell.get("judge_faults") or {})]
        if faults:
            sums = {name: sum(fault[name] for fault in faults) for name in ("replies", "of")}
            found.append({"judge": judge, **sums, "cells": len(faults), "reason": faults[0]["reason"]})
    return found


def _labels(plan: Iterable[dict[str, Any]], kind: str) -> list[str]:
    return list(dict.fromkeys(cell[kind] for cell in plan))
