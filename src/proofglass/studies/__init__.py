"""Studies: read one, run it, judge it anew. `load(...)`, `run_study(...)` and `judge_study(...)` are all of it."""

from __future__ import annotations

from pathlib import Path

from proofglass.records.store import Store
from proofglass.studies.study import Study, load, shipped

__all__ = ["Study", "judge_study", "load", "run_study", "shipped"]


def run_study(study: Study, out: Path | str, limit: int | None = None, progress: bool = True) -> Store:
    """Run `study` into the folder `out`, or go on with a run that was stopped there.

    limit: only the first samples of each data set. Returns the store, for reading. Raises NothingMeasured after
    everything ran if some cell could not be measured, UsageError and StoreError if it cannot start or write,
    KeyboardInterrupt after Ctrl-C: what was answered stays, the same call goes on.
    """
    from proofglass.studies.plan import expand, manifest
    from proofglass.studies.progress import watcher
    from proofglass.studies.runners import local

    plan = expand(study, limit)
    with Store.create(out, manifest(plan)) as store:
        watching = watcher(progress)
        try:
            local.run(plan, store, watching)
        except KeyboardInterrupt:
            name = study.source if Path(study.source).parent != _shipped() else study.name
            command = f"proofglass run {name} --out {out}" + (f" --limit {limit}" if limit else "")
            watching.say(f"Stopped. Every answer is kept; go on with: {command}")
            raise
        finally:
            watching.close()
    return Store(out)


def judge_study(study: Study, out: Path | str) -> Store:
    """Score the run in `out` with the judges that `study` names now; asks no victim.

    Returns the store, for reading. Raises StoreError if `out` holds no run of this study.
    """
    from proofglass.studies.plan import expand
    from proofglass.studies.runners import local

    with Store(out).locked() as store:
        plan = expand(study, store.manifest()["limit"])
        local.judge_anew(plan, store)
    return Store(out)


def _shipped() -> Path:
    from proofglass.studies.study import SHIPPED

    return SHIPPED
