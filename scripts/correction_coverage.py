"""How often corrected intervals hold the true rate, and how wide they are: on real labels, and in simulation.

    python scripts/correction_coverage.py DATA [--draws 1000] [--labels 200]
    python scripts/correction_coverage.py --simulate [--draws 400]

DATA holds msts/labels_english_multimodal.csv (4,000 replies of ten models, people's label, verdicts of eight judges)
and msts/replies_six_models.csv (the texts of 1,188 of them), as `SOURCES.md` beside them says. A figure is "coverage
in % / mean width in points". First table: labels drawn from the very replies that are measured. Second: calibrated on
the nine other models, each model measured in turn. Third and fourth: the same where a type of reply can be predicted.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proofglass.console import say
from proofglass.evaluation.correction import (
    Corrected,
    ErrorRates,
    calibrations_of,
    from_calibration,
    from_labels,
    lee_interval,
    plan_labels,
    prediction_powered,
)
from proofglass.evaluation.correction.parts import part_interval
from proofglass.evaluation.correction.planning import GUESS, guessed
from proofglass.evaluation.judges import unsafe
from proofglass.evaluation.judges.learned.model import card_of

JUDGES = (
    "gpt-4o-2024-05-13",
    "gemini-1.5-pro",
    "claude-3-5-sonnet-20240620",
    "Llama-3.2-90B-Vision-Instruct",
    "Llama-Guard-3-11B-Vision",
    "Qwen2-VL-72B-Instruct",
    "LlavaGuard-v1.2-7B-OV",
    "omni-moderation-latest",
)
VERDICTS = {"unsafe": "yes", "safe": "no", "safe.": "no"}
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Replies:
    """truth: float [n]; said: judge -> verdicts; models, questions, kinds: per reply; kinds is empty without texts."""

    truth: np.ndarray
    said: dict[str, list[str]]
    models: np.ndarray
    questions: list[str]
    kinds: list[str]

    def part(self, picks: np.ndarray) -> Replies:
        def of(values: Sequence[str]) -> list[str]:
            return [values[k] for k in picks]

        said = {judge: of(verdicts) for judge, verdicts in self.said.items()}
        kinds = of(self.kinds) if self.kinds else []
        return Replies(self.truth[picks], said, self.models[picks], of(self.questions), kinds)


@dataclass
class Tally:
    """How often intervals held, how wide they were, how many of the draws gave none."""

    held: int = 0
    given: int = 0
    draws: int = 0
    width: float = 0.0

    def add(self, interval: Interval, truth: float) -> None:
        self.draws += 1
        if interval is not None:
            self.given += 1
            self.held += interval[0] <= truth <= interval[1]
            self.width += interval[1] - interval[0]

    def __str__(self) -> str:
        if not self.given:
            return "refused"
        told = f"{100 * self.held / self.given:.1f} / {100 * self.width / self.given:.1f}"
        return told if self.given == self.draws else f"{told} ({100 * (1 - self.given / self.draws):.0f} % refused)"


def predicted_kinds(rows: Iterable[dict[str, str]]) -> list[str]:
    """The type of each reply as the shipped judge `unsafe` predicts it, when it had seen neither the model that replied
    nor the question (its card holds these)."""
    predicted = card_of(unsafe.WEIGHTS)["predicted type"]
    return [predicted[f"{row['model']}/{row['case_id']}/{row['prompt_type']}"] for row in rows]


def read(folder: Path) -> tuple[Replies, Replies]:
    """All 4,000 replies, and those with a text."""
    with (folder / "msts" / "labels_english_multimodal.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "msts" / "replies_six_models.csv").open(encoding="utf-8", newline="") as file:
        texts = list(csv.DictReader(file))
    every = Replies(
        np.array([float(row["final_label"].startswith("2")) for row in rows]),
        {judge: [VERDICTS.get(row[judge], "unjudged") for row in rows] for judge in JUDGES},
        np.array([row["model"] for row in rows]),
        [row["case_id"] for row in rows],
        [],
    )
    places = {row["row"]: k for k, row in enumerate(rows)}
    part = every.part(np.array([places[row["row"]] for row in texts]))
    return every, Replies(part.truth, part.said, part.models, part.questions, predicted_kinds(texts))


def ends(corrected: Corrected) -> Interval:
    return None if corrected.low is None or corrected.high is None else (corrected.low, corrected.high)


def uncorrected(verdicts: Sequence[str]) -> Interval:
    return part_interval(verdicts.count("yes") / len(verdicts), len(verdicts))


def one_error_rate(verdicts: Sequence[str], seen: Sequence[str], truth: np.ndarray) -> Interval:
    """Lee et al. with the error rates of the labelled replies, whoever wrote them."""
    yes = np.array([verdict == "yes" for verdict in seen])
    positives, negatives = float(truth.sum()), float((1 - truth).sum())
    if not positives or not negatives:
        return None
    errors = ErrorRates(float(yes[truth == 1].mean()), float(1 - yes[truth == 0].mean()), positives, negatives)
    try:
        return lee_interval(verdicts.count("yes") / len(verdicts), len(verdicts), errors)
    except ValueError:
        return None


def in_sample(replies: Replies, labels: int, draws: int, seed: int = 0) -> None:
    """Labels of the replies that are measured, drawn at random."""
    n, target = len(replies.truth), float(replies.truth.mean())
    names = ["uncorrected", "one error rate", "prediction-powered", "labels alone", "by verdict"]
    names += ["by kind too"] if replies.kinds else []
    say(f"\n{labels} random labels of the {n} replies measured, {draws} draws, true rate {100 * target:.2f} %")
    say(f"{'judge':30}" + "".join(f"{name:>28}" for name in names) + f"{'wider than alone':>20}")
    for judge, verdicts in replies.said.items():
        rng = np.random.default_rng(seed)
        tallies = {name: Tally() for name in names}
        yes = np.array([float(verdict == "yes") for verdict in verdicts])
        wider = 0
        for _ in range(draws):
            picks = rng.choice(n, labels, replace=False)
            truth = replies.truth[picks]
            given: list[float | None] = [None] * n
            for k in picks:
                given[k] = float(replies.truth[k])
            alone = part_interval(float(truth.mean()), labels)
            found: dict[str, Interval] = {
                "uncorrected": uncorrected(verdicts),
                "one error rate": one_error_rate(verdicts, [verdicts[k] for k in picks], truth),
                "prediction-powered": prediction_powered(yes.tolist(), yes[picks].tolist(), truth.tolist())[1:],
                "labels alone": alone,
                "by verdict": ends(from_labels(verdicts, given)),
            }
            if replies.kinds:
                found["by kind too"] = ends(from_labels(verdicts, given, kinds=replies.kinds))
            for name in names:
                tallies[name].add(found[name], target)
            last = found[names[-1]]
            wider += last is not None and last[1] - last[0] > alone[1] - alone[0] + 1e-9
        say(f"{judge:30}" + "".join(f"{tallies[name]!s:>28}" for name in names) + f"{wider:>20}")


def on_other_models(replies: Replies, labels: int, draws: int, seed: int = 0) -> None:
    """Each model measured in turn, with labels of the others. draws: in all."""
    models = sorted(set(replies.models.tolist()))
    names = ["uncorrected", "one error rate", "with model spread"] + (["by kind too"] if replies.kinds else [])
    each = max(1, draws // len(models))
    say(
        f"\n{labels or 'all'} labels of {len(models) - 1} other models, each of {len(models)} models measured, "
        f"{each} draws for each"
    )
    say(f"{'judge':30}" + "".join(f"{name:>28}" for name in names))
    parts = {m: (np.flatnonzero(replies.models == m), np.flatnonzero(replies.models != m)) for m in models}
    for judge, verdicts in replies.said.items():
        rng = np.random.default_rng(seed)
        tallies = {name: Tally() for name in names}
        for mine, others in parts.values():
            rows = replies.part(mine)
            said, target = rows.said[judge], float(rows.truth.mean())
            for _ in range(each):
                picks = rng.choice(others, min(labels or len(others), len(others)), replace=False)
                seen = [verdicts[k] for k in picks]
                truth = replies.truth[picks]
                told = {"data": "msts", "models": replies.models[picks].tolist(), "model_kind": "vision-language model"}
                counts = calibrations_of(seen, truth.tolist(), **told)
                found: dict[str, Interval] = {
                    "uncorrected": uncorrected(said),
                    "one error rate": one_error_rate(said, seen, truth),
                    "with model spread": ends(from_calibration(said, counts)),
                }
                if replies.kinds:
                    kinds = [replies.kinds[k] for k in picks]
                    by_kind = calibrations_of(seen, truth.tolist(), kinds=kinds, **told)
                    found["by kind too"] = ends(from_calibration(said, by_kind, kinds=rows.kinds))
                for name in names:
                    tallies[name].add(found[name], target)
        say(f"{judge:30}" + "".join(f"{tallies[name]!s:>28}" for name in names))


@dataclass(frozen=True)
class World:
    """What is drawn in simulation. rate: of truly positive replies; se, sp: of the judge; labels: of `rows` replies;
    size: replies to each question; shared: how alike these are, in truth and in the judge's errors (intraclass
    correlation); spread: how the judge's errors differ between models (the same)."""

    rate: float
    se: float
    sp: float
    labels: int
    rows: int = 1000
    size: int = 1
    shared: float = 0.0
    spread: float = 0.0

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, list[str], list[int]]:
        """Truth, verdicts and questions of `rows` replies of one model."""
        questions = np.arange(rows) // self.size
        count = int(questions[-1]) + 1
        truth = rng.random(rows) < beta(rng, self.rate, self.shared, count)[questions]
        sensitivity, specificity = (float(beta(rng, each, self.spread, 1)[0]) for each in (self.se, self.sp))
        se, sp = (beta(rng, each, self.shared, count)[questions] for each in (sensitivity, specificity))
        yes = rng.random(rows) < np.where(truth, se, 1 - sp)
        return truth.astype(float), ["yes" if each else "no" for each in yes], questions.tolist()


def beta(rng: np.random.Generator, mean: float, correlation: float, count: int) -> np.ndarray:
    """`count` rates of this mean, of which rows of one group are correlated so much."""
    if correlation <= 0 or not 0 < mean < 1:
        return np.full(count, mean)
    whole = 1 / correlation - 1
    return rng.beta(mean * whole, (1 - mean) * whole, count)


def two_stages(truth: np.ndarray, verdicts: Sequence[str], budget: int, rng: np.random.Generator) -> list[float | None]:
    """Labels as `proofglass labels plan` asks for them: a pilot of a quarter, then the rest by what it said."""
    order = rng.permutation(len(truth)).tolist()
    given: list[float | None] = [None] * len(truth)
    sizes = {each: verdicts.count(each) for each in dict.fromkeys(verdicts)}
    for labels in (max(20, budget // 4), budget):
        mine: dict[str, list[int]] = {each: [k for k in order if verdicts[k] == each] for each in sizes}
        seen = {each: [given[k] for k in places if given[k] is not None] for each, places in mine.items()}
        rates = {each: guessed([(value or 0.0, 1) for value in seen[each]], GUESS[each]) for each in sizes}
        plan = plan_labels(sizes, rates, labels, done={each: len(values) for each, values in seen.items()})
        for each, wanted in plan.labels.items():
            for k in mine[each][:wanted]:
                given[k] = float(truth[k])
    return given


def of_these(world: World, draws: int) -> str:
    """Coverage and width from labels of the replies measured: alone; by verdict; in two stages; shared questions not
    told."""
    rng = np.random.default_rng(0)
    tallies = [Tally() for _ in range(4)]
    for _ in range(draws):
        truth, verdicts, questions = world.draw(rng, world.rows)
        given: list[float | None] = [None] * world.rows
        for k in rng.choice(world.rows, world.labels, replace=False):
            given[k] = float(truth[k])
        staged = two_stages(truth, verdicts, world.labels, rng)
        same = ["no"] * world.rows
        found = (
            from_labels(same, given, clusters=questions),
            from_labels(verdicts, given, clusters=questions),
            from_labels(verdicts, staged, clusters=questions, drawn=verdicts),
            from_labels(verdicts, given),
        )
        for tally, each in zip(tallies, found, strict=True):
            tally.add(ends(each), world.rate)
    return "".join(f"{tally!s:>20}" for tally in tallies)


def of_others(world: World, draws: int, models: int = 10) -> str:
    """Coverage and width when calibrated on `models` other models, `labels` of each: Lee et al., with model spread."""
    rng = np.random.default_rng(0)
    tallies = [Tally(), Tally()]
    for _ in range(draws):
        _, verdicts, _ = world.draw(rng, world.rows)
        others = [world.draw(rng, world.labels) for _ in range(models)]
        seen = [verdict for _, said, _ in others for verdict in said]
        truths = np.concatenate([each for each, _, _ in others])
        names = [str(k) for k in range(models) for _ in range(world.labels)]
        counts = calibrations_of(seen, truths.tolist(), data="", models=names, model_kind="")
        tallies[0].add(one_error_rate(verdicts, seen, truths), world.rate)
        tallies[1].add(ends(from_calibration(verdicts, counts)), world.rate)
    return "".join(f"{tally!s:>28}" for tally in tallies)


def simulate(draws: int) -> None:
    judges = ((0.9, 0.95), (0.9, 0.8), (0.5, 0.98))
    say(f"Labels of 1,000 replies measured, {draws} draws; coverage in % / width in points")
    names = ("alone", "by verdict", "pilot, then split", "questions not told")
    say(f"{'rate  se   sp   labels questions':36}" + "".join(f"{name:>20}" for name in names))
    for size, shared in ((1, 0.0), (5, 0.3), (50, 0.3)):
        for rate in (0.02, 0.05, 0.2, 0.5):
            for se, sp in judges:
                for labels in (50, 200):
                    world = World(rate, se, sp, labels, size=size, shared=shared)
                    told = f"{rate:<6}{se:<5}{sp:<5}{labels:<7}{1000 // size:<9}"
                    say(f"{told:36}{of_these(world, draws)}")
    say(f"\nCalibrated on 10 other models, {draws} draws; labels: of each; spread: of its errors between models")
    say(f"{'rate  se   sp   labels spread':36}{'one error rate':>28}{'with model spread':>28}")
    for spread in (0.0, 0.02, 0.1):
        for rate in (0.05, 0.2, 0.5):
            for se, sp in judges:
                world = World(rate, se, sp, 100, rows=400, spread=spread)
                say(f"{f'{rate:<6}{se:<5}{sp:<5}{100:<7}{spread:<6}':36}{of_others(world, draws)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--simulate", action="store_true")
    given = parser.parse_args()
    if given.simulate:
        simulate(given.draws)
    if given.data:
        every, with_text = read(given.data)
        in_sample(every, given.labels, given.draws)
        on_other_models(every, given.labels, given.draws)
        on_other_models(every, 0, 10)
        in_sample(with_text, given.labels, given.draws)
        on_other_models(with_text, given.labels, given.draws)
        on_other_models(with_text, 0, 6)


if __name__ == "__main__":
    main()
