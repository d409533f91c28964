"""The files for machines: report.json and tables/*.csv. The same run gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proofglass.console import cut
from proofglass.records.files import write_whole
from proofglass.records.schema import VOLATILE
from proofglass.records.spreadsheets import csv_cell
from proofglass.report.differences import sentences
from proofglass.report.findings import cautions, headline
from proofglass.report.gallery import RULE as GALLERY_RULE
from proofglass.report.gallery import gallery
from proofglass.report.health import health
from proofglass.report.reasons import gathered
from proofglass.report.run import ReportedRun
from proofglass.report.sanity import sanity
from proofglass.report.tables import RULE, Table, scalar

NAME, TEXT = 200, 20_000  # characters of a key and of a text in report.json; the run folder holds all of them
FORMAT = "proofglass-report/2"


def document(run: ReportedRun, tables: list[Table]) -> dict[str, Any]:
    """Everything that the page states, JSON-able; what may differ between equal runs is under "volatile"."""
    stable = {k: v for k, v in run.manifest.items() if k not in VOLATILE}
    return {
        "format": FORMAT,
        "name": run.manifest["name"],
        "headline": headline(run),
        "cautions": cautions(run),
        "differences": sentences(run),
        "victims": health(run),
        "counting_rule": RULE,
        "gallery_rule": GALLERY_RULE,
        "caveats": run.caveats,
        "sanity": sanity(run),
        "counts": run.counts,
        "broken_judges": run.broken_judges,
        "reasons": gathered(run.reasons),
        "tables": {t.name: _table(t) for t in tables if not t.volatile},
        "gallery": gallery(run),
        "manifest": stable,
        "volatile": {
            "manifest": {k: v for k, v in run.manifest.items() if k in VOLATILE},
            "tables": {t.name: _table(t) for t in tables if t.volatile},
        },
    }


def json_bytes(run: ReportedRun, tables: list[Table]) -> bytes:
    # ASCII only: no control, bidi or escape character of a reply reaches whoever prints the file.
    text = json.dumps(_strict(document(run, tables)), indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return text.encode() + b"\n"


def csv_bytes(table: Table) -> bytes:
    """Header and rows, UTF-8; rates in 0..1 with all digits; settings as JSON; see `visible.csv_cell` for text."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([csv_cell(_flat(row.get(column))) for column in table.columns])
    return buffer.getvalue().encode()


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write each file whole. The page comes last: where it stands, its neighbours stand."""
    for name in sorted(files, key=lambda name: (name == "index.html", name)):
        write_whole(folder / name, files[name])


def _table(table: Table) -> dict[str, Any]:
    return {"title": table.title, "columns": list(table.columns), "rows": table.rows}


def _flat(value: Any) -> Any:
    return json.dumps(_strict(value), sort_keys=True) if isinstance(value, (dict, list, tuple)) else value


def _strict(value: Any) -> Any:
    """Numbers that are not finite become null: strict JSON has none. Long texts are cut, with a note."""
    if isinstance(value, Mapping):
        return {cut(str(k), NAME): _strict(v) for k, v in value.items()}
    if isinstance(value, str):
        return cut(value, TEXT)
    if isinstance(value, (list, tuple)):
        return [_strict(v) for v in value]
    return scalar(value) if isinstance(value, float) else value
