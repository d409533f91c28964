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
    prediction_powered,
)
from proofglass.evaluation.correction.parts import wilson
from proofglass.evaluation.judges.refusal import normalise, refusal_in, rules_of

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
    """A type for each reply, by the first words of it. A stand-in for a judge's `Score.label`."""
    rules = rules_of("proofglass-1")
    openings = (
        ("rejection", ("no,", "no.", "no ", "you should not", "it is not", "absolutely not", "i do not think")),
        ("agreement", ("yes", "sure", "of course", "certainly", "absolutely", "you can", "you should", "here is")),
        ("description", ("the image", "this image", "in the image", "based on the image", "the picture")),
    )

    def kind(text: str) -> str:
        if refusal_in(text, rules):
            return "refusal"
        start = normalise(text[:400])
        return next((name for name, words in openings if start.startswith(words)), "other")

    return [kind(row["response"]) for row in rows]


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
    return wilson(verdicts.count("yes") / len(verdicts), len(verdicts))


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
    say(f"{'judge':30}" + "".join(f"{name:>20}" for name in names) + f"{'wider than alone':>20}")
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
            alone = wilson(float(truth.mean()), labels)
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
        say(f"{judge:30}" + "".join(f"{tallies[name]!s:>20}" for name in names) + f"{wider:>20}")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--simulate", action="store_true")
    given = parser.parse_args()
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
