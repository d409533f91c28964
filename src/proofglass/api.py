"""The Python API: the words of the command line, for a notebook or a script.

Exported by `proofglass` itself: `import proofglass as pg; pg.measure(pg.victim("testbed-linear"), ...)`.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import NothingMeasured, UsageError
from proofglass.interfaces import Attack, Dataset, Defense, Judge, Plug, Victim
from proofglass.registry import Kind, build
from proofglass.types import Budget, Settings

if TYPE_CHECKING:
    import polars as pl

    from proofglass.evaluation.leak import Leak
    from proofglass.evaluation.metrics.success import Rate
    from proofglass.evaluation.preferences import Written
    from proofglass.records.store import Store
    from proofglass.studies import Study
    from proofglass.studies.labelling import Sheet
    from proofglass.studies.sheet import Added
    from proofglass.studies.study import Item


def attack(name: str, **parameters: Any) -> Attack:
    """The attack `name`, configured. Raises UnknownName, ValueError or TypeError naming the field at fault."""
    found: Attack = build("attacks", name, **parameters)
    return found


def dataset(name: str, **parameters: Any) -> Dataset:
    """The data set `name`, configured. Raises as `attack` does."""
    found: Dataset = build("datasets", name, **parameters)
    return found


def defense(name: str, **parameters: Any) -> Defense:
    """The defense `name`, configured. Raises as `attack` does."""
    found: Defense = build("defenses", name, **parameters)
    return found


def judge(name: str, **parameters: Any) -> Judge:
    """The judge `name`, configured. Raises as `attack` does."""
    found: Judge = build("judges", name, **parameters)
    return found


def victim(name: str, **parameters: Any) -> Victim:
    """The victim `name`, configured; its weights are loaded on first use. Raises as `attack` does."""
    found: Victim = build("victims", name, **parameters)
    return found


@dataclass(frozen=True)
class Run:
    """A run folder. Everything is read from its files when it is asked for."""

    folder: Path

    @property
    def store(self) -> Store:
        """The records. Raises StoreError if the folder holds no run."""
        from proofglass.records.store import Store

        return Store(self.folder)

    def frame(self) -> pl.DataFrame:
        """One row per cell and sample: question, attacked text and images, reply, outcome, cost."""
        return self.store.frame()

    def rates(self) -> list[dict[str, Any]]:
        """One dict per victim, attack, defense, data set, expected answer and judge: value, low, high, n, and what was
        left out."""
        from proofglass.evaluation.metrics.rows import refusal_judges, thought_judges
        from proofglass.evaluation.metrics.success import rates
        from proofglass.records.scores import agreed

        store = self.store
        told = store.manifest()
        scores = agreed(store.scores())
        return rates(store.frame(), scores, told["judges"], thought_judges(told), refusal_judges(told))

    def corrected(self) -> list[dict[str, Any]]:
        """Rates corrected for judge error, one dict per cell and judge that may err there (`report.corrected`)."""
        from proofglass.report.run import ReportedRun

        return ReportedRun(self.store).corrected

    def metrics(self) -> list[dict[str, Any]]:
        """What the study's metrics say, one dict per metric and group: the columns of `report.measures.COLUMNS`."""
        from proofglass.report.measures import measures
        from proofglass.report.run import ReportedRun

        return measures(ReportedRun(self.store))

    def differences(self) -> list[dict[str, Any]]:
        """What made a difference: attacks, defenses and victims compared on the same samples, one dict per comparison
        (the fields of `evaluation.metrics.compare.Comparison`, `found`, `lost`, `few_clusters`)."""
        from proofglass.report.differences import differences
        from proofglass.report.run import ReportedRun

        return differences(ReportedRun(self.store)).rows

    def report(self, out: Path | str | None = None) -> Path:
        """Write the report (default: the folder `report` of the run); returns the path of its index.html."""
        from proofglass.report import write

        return write(self.store, Path(out) if out else None)

    def summary(self) -> Any:
        """Headline and tables, for `rich.print`."""
        from proofglass.report import terminal

        return terminal(self.store)


def run(
    study: Study | Path | str,
    out: Path | str | None = None,
    limit: int | None = None,
    *,
    progress: bool = True,
) -> Run:
    """Run a study (a YAML file, the name of a shipped one, or a loaded `Study`), or go on with a stopped run.

    out: run folder, default runs/<name of the study>. limit: only the first samples of each data set; their run is the
    folder `limit-<n>` in it, beside the run of all samples.
    Raises UsageError for a fault in the study, StoreError for a folder that cannot be used, EnvironmentFault if the
    machine fails (the same call goes on), NothingMeasured (after everything ran; the folder is whole) if a cell
    measured nothing or a judge broke.
    """
    from proofglass.studies import run_study

    loaded = _loaded(study)
    run_study(loaded, folder_of(loaded, out), limit=limit, progress=progress)
    return Run(folder_of(loaded, out, limit))


def curve(
    study: Study | Path | str,
    budgets: Sequence[Budget | float | str],
    out: Path | str | None = None,
    limit: int | None = None,
    *,
    progress: bool = True,
) -> Path:
    """Success against budget: run `study` once per budget and draw both; returns the page.

    budgets: per picture, increasing: 60 (forward equivalents), "500 queries", "60 s", ..., in one unit. out: default
    runs/<name of the study>-curve, which gets a run folder per budget, index.html and curve.csv; with a limit these two
    go to its folder `limit-<n>`. Raises as `run`.
    """
    from proofglass.report import curves
    from proofglass.studies import curve_study, limited

    loaded = _loaded(study)
    folder = Path(out) if out else Path("runs") / f"{loaded.name}-curve"
    stores = curve_study(loaded, folder, budgets, limit, progress)
    return curves.write(stores, limited.folder_of(folder, limit))


def judge_study(study: Study | Path | str, out: Path | str | None = None) -> Run:
    """Score a finished run anew with the judges that `study` names now; no victim is asked. Raises as `run`."""
    from proofglass import studies

    loaded = _loaded(study)
    folder = folder_of(loaded, out)
    studies.judge_study(loaded, folder)
    return Run(folder)


def write_report(run: Run | Path | str, out: Path | str | None = None) -> Path:
    """Write the report of a run; returns the path of its index.html."""
    return (run if isinstance(run, Run) else Run(Path(run))).report(out)


def plan_labels(
    run: Run | Path | str,
    judge: str = "",
    budget: int = 300,
    *,
    cells: Sequence[str] = (),
    victims: Sequence[str] = (),
    pilot: bool = True,
    seed: int = 0,
    out: Path | str | None = None,
) -> Sheet:
    """Draw replies of a run for people to label, and write the sheet to fill in; see `studies.labelling.plan`.

    judge: whose rates are to be corrected; "" for the judge of success.
    """
    from proofglass.studies import labelling

    store = (run if isinstance(run, Run) else Run(Path(run))).store
    file = Path(out) if out else None
    judge = judge or store.manifest()["success"]
    return labelling.plan(store, judge, budget, cells=cells, victims=victims, pilot=pilot, seed=seed, out=file)


def add_labels(run: Run | Path | str, file: Path | str) -> Added:
    """Take the labels of a sheet that was filled in; see `studies.sheet.add`."""
    from proofglass.studies import sheet

    return sheet.add((run if isinstance(run, Run) else Run(Path(run))).store, Path(file))


def write_preferences(run: Run | Path | str, out: Path | str, judge: str = "") -> Written:
    """Write pairs of judged replies of a run, to learn from; see `evaluation.preferences.write`."""
    from proofglass.evaluation import preferences

    return preferences.write((run if isinstance(run, Run) else Run(Path(run))).store, Path(out), judge)


def folder_of(study: Study | Path | str, out: Path | str | None = None, limit: int | None = None) -> Path:
    """Where a run of `study` goes: `out`, else runs/<name of the study>; with a limit, the folder `limit-<n>` in it."""
    from proofglass.studies import limited

    return limited.folder_of(Path(out) if out else Path("runs") / _loaded(study).name, limit)


def measure(
    victim: Victim | str,
    attack: Attack | str,
    dataset: Dataset | str,
    defense: Defense | str = "none",
    judges: Sequence[Judge | str] | None = None,
    *,
    seed: int = 0,
    settings: Settings | None = None,
    chunk: int = 100,
    limit: int | None = None,
    out: Path | str | None = None,
    adaptive: bool = True,
) -> dict[str, Rate]:
    """One cell: the rate of every judge, "not-refused" always among them; of a data set that expects several answers
    one for each, as "unsafe (refuse)".

    Plugs are objects, registered or not, or names. The first judge decides whether the cell measured anything;
    None: the one that the data set names for such a victim (`Dataset.judges`), else `not-refused`.
    out: run folder to keep (and to go on with); None: a temporary one, removed at the end. adaptive: the attack is
    crafted through the defense if that opens itself; False: on the bare victim. A victim that is
    already loaded is used as it is. What a judge says about a victim for which it is not valid (`Judge.valid_in`) is no
    success rate: a UserWarning says so. Raises UsageError, StoreError, NothingMeasured as `run`.
    """
    from proofglass.studies import run_study
    from proofglass.studies.study import default_judges

    if judges is None:
        judges = default_judges([_item("victims", victim, Victim).plug], [_item("datasets", dataset, Dataset).plug])
    study = cell_study(victim, attack, dataset, defense, judges, seed, settings or Settings(), chunk, adaptive)
    if out is not None:
        return _rates_of(Run(run_study(study, out, limit=limit, progress=False).path))
    with tempfile.TemporaryDirectory(prefix="proofglass-") as folder:
        return _rates_of(Run(run_study(study, Path(folder) / "run", limit=limit, progress=False).path))


def measure_leak(
    dataset: Dataset | str,
    victims: Sequence[Victim | str],
    *,
    judge: Judge | str | None = None,
    caption: str = "description",
    words: str = "",
    seed: int = 0,
    max_new_tokens: int = 64,
    limit: int | None = None,
    out: Path | str = "runs/leak",
    progress: bool = True,
) -> tuple[list[Leak], dict[str, str]]:
    """Which part of `dataset` carries the risk: what `victims` do with the whole input, and with less of it.

    judge: None: the one that the data set names for these victims. caption, words: fields of `meta` that say what the
    picture shows, and which words stand in it. out: run folder; a run that was stopped goes on there. Returns one
    `Leak` per victim and way of showing, and the ways in which the data set cannot be shown, with the reason. Raises
    UsageError, StoreError, NothingMeasured as `run`.
    """
    from dataclasses import replace

    from proofglass.studies import run_study
    from proofglass.studies.leak import leaks_in, shown_study
    from proofglass.studies.study import default_judges

    models = [_item("victims", each, Victim) for each in victims]
    known = _item("datasets", dataset, Dataset).plug
    judges = default_judges([item.plug for item in models], [known]) if judge is None else [judge]
    settings = Settings(max_new_tokens=max_new_tokens)
    study = cell_study(models[0].plug, "no-attack", known, "none", judges, seed, settings, 100)
    study, left_out = shown_study(replace(study, name="leak", victims=tuple(models)), caption=caption, words=words)
    if len(study.datasets) == 1:
        why = next(iter(left_out.values()))
        raise UsageError(f"data set {known.name}: can be shown in no other way than whole: {why}")
    return leaks_in(run_study(study, Path(out), limit=limit, progress=progress)), left_out


def cell_study(
    victim: Victim | str,
    attack: Attack | str,
    dataset: Dataset | str,
    defense: Defense | str,
    judges: Sequence[Judge | str],
    seed: int,
    settings: Settings,
    chunk: int,
    adaptive: bool = True,
) -> Study:
    """The study of one cell; plugs and `judges` as in `measure`. Raises UsageError."""
    from proofglass.studies import Study
    from proofglass.studies.study import ALWAYS

    if not judges:
        raise UsageError("judges: expected at least one, found none")
    scored = [_item("judges", each, Judge) for each in judges]
    success = scored[0].label
    if all(item.name != ALWAYS for item in scored):
        scored.insert(0, _item("judges", ALWAYS, Judge))
    return Study(
        name="measure",
        source="measure(...)",
        text="",
        seed=seed,
        settings=settings,
        chunk=chunk,
        budget=None,
        victims=(_item("victims", victim, Victim),),
        attacks=(_item("attacks", attack, Attack),),
        defenses=(_item("defenses", defense, Defense),),
        datasets=(_item("datasets", dataset, Dataset),),
        judges=tuple(scored),
        success=success,
        adaptive=adaptive,
    )


def _item(kind: Kind, given: Plug | str, base: type) -> Item[Any]:
    from proofglass.studies.study import Item

    plug: Plug = build(kind, given) if isinstance(given, str) else given
    if not isinstance(plug, base):
        raise UsageError(f"{kind}: expected {base.__name__} or a name, found {type(plug).__name__}")
    name = given if isinstance(given, str) else plug.name or type(plug).__name__
    # `make` gives back the object itself: a victim that the caller loaded is not loaded twice.
    return Item(name, name, plug, lambda: plug, {})


def _rates_of(run: Run) -> dict[str, Rate]:
    from proofglass.evaluation.metrics.success import Rate

    names = [field.name for field in fields(Rate)]
    rows = run.rates()
    several = len({row["expected"] for row in rows}) > 1
    found = {
        f"{row['judge']} ({row['expected']})" if several else row["judge"]: Rate(**{name: row[name] for name in names})
        for row in rows
    }
    if not found:
        raise NothingMeasured("the cell holds no sample")
    for said in _invalid(run):
        warnings.warn(said, stacklevel=3)
    return found


def _invalid(run: Run) -> Iterator[str]:
    """Which judges' rates are none about the victim that was measured, and what is known about their error."""
    from proofglass.report.findings import judge_error, worlds_of
    from proofglass.report.run import ReportedRun

    told = ReportedRun(run.store)
    for judge in told.judges:
        for victim in told.victims:
            if not told.valid(judge, victim):
                error = f". {judge_error(told, judge)}" if judge == told.not_refused else ""
                worlds = worlds_of(told, judge)
                yield f"measure: {judge} is valid for {worlds} only: about {victim} it gives no success rate{error}"


def _loaded(study: Study | Path | str) -> Study:
    from proofglass.studies import load

    return load(study) if isinstance(study, (str, Path)) else study
