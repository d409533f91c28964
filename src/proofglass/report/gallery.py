"""The gallery: which samples are shown, and the pictures beside them. The choice is a rule, not a taste."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from proofglass.console import cut
from proofglass.evaluation.metrics.kinds import GUARDED
from proofglass.report.run import ReportedRun
from proofglass.types import Image

if TYPE_CHECKING:
    import polars as pl

LIMIT = 24
NAME, TEXT = 120, 4000  # characters shown of an id, a label or a verdict's reason, and of a question or reply
AMPLIFY = 8
SHOWN_SIDE = 384  # px; larger pictures are shown smaller, the store holds the originals
SMALL_PERTURBATION = 64  # grey levels; a larger change is another picture, which may hold the attacked text
RULE = (
    "For each victim and attack, in the order of sample ids, the first sample on which the attack succeeded (for a "
    "victim without a success rate: that was not refused) and the first on which it did not, before any defense; at "
    f"most {LIMIT} in all."
)


def chosen(run: ReportedRun) -> list[dict[str, Any]]:
    """The samples shown, by `RULE`: victim, attack, dataset, sample_id, and what the undefended victim did: hit (the
    judge of the cell says 1), broken (which is bad there)."""
    import polars as pl

    first_defense = (run.undefended or run.defenses)[0]
    picked = run.frame.filter((pl.col("defense") == first_defense) & (pl.col("outcome") == "ok"))
    guarded = picked.filter(pl.col("expected").is_in(GUARDED))
    picked = (guarded if guarded.height else picked).select(
        "victim", "attack", "dataset", "sample_id", "cell", "expected"
    )
    cells = {(cell.key, cell.expected): cell for cell in run.cells}
    mine = [cells[row] for row in picked.select("cell", "expected").iter_rows()]
    picked = picked.with_columns(
        judge=pl.Series([cell.judge for cell in mine], dtype=pl.String),
        bad=pl.Series([cell.is_bad for cell in mine], dtype=pl.Boolean),
    )
    same = ["cell", "sample_id", "judge"]
    verdicts = run.scores.select(*same, "value").unique(subset=same, keep="last")
    judged = picked.join(verdicts, on=same, maintain_order="left").filter(pl.col("value").is_not_null())
    judged = judged.with_columns(hit=pl.col("value") >= 0.5)
    judged = judged.with_columns(broken=pl.col("hit") == pl.col("bad"))
    first = judged.sort("sample_id", maintain_order=True).unique(
        subset=["victim", "attack", "broken"], keep="first", maintain_order=True
    )
    place = {(v, a): (i, j) for i, v in enumerate(run.victims) for j, a in enumerate(run.attacks)}
    found = first.select("victim", "attack", "dataset", "sample_id", "broken", "hit").to_dicts()
    found.sort(key=lambda item: place[item["victim"], item["attack"]])
    kept = sorted(found, key=lambda item: not item["broken"])[:LIMIT]
    return sorted(kept, key=lambda item: (place[item["victim"], item["attack"]], not item["broken"]))


def gallery(run: ReportedRun) -> list[dict[str, Any]]:
    """The chosen samples with texts, verdicts and the replies under each defense. No pixels: hashes of pictures."""
    items = []
    # A universal picture replaces the sample's own: it is compared with the one that it was made from.
    crafts = {cell["cell"]: cell.get("craft") or {} for cell in run.plan}
    starts = {cell: {craft["image"]: craft.get("clean")} for cell, craft in crafts.items() if craft.get("image")}
    for item in chosen(run):
        same = run.frame
        for name in ("victim", "attack", "dataset", "sample_id"):
            same = same.filter(same[name] == item[name])
        rows = {row["defense"]: row for row in same.to_dicts()}
        scores = run.scores.filter(run.scores["sample_id"] == item["sample_id"])
        first = rows[(run.undefended or run.defenses)[0]]
        items.append(
            {
                **item,
                "sample_id": cut(item["sample_id"], NAME),
                "expected": first["expected"],
                "clean_image": first["clean_image"],
                "category": cut(first["category"], NAME),
                **{k: _text(first, k) for k in ("question", "attacked_text")},
                "attacked_images": list(first["attacked_images"] or []),
                "start_image": starts.get(first["cell"], {}).get(next(iter(first["attacked_images"] or []), "")),
                "replies": [
                    {
                        "defense": defense,
                        **{k: rows[defense][k] for k in ("outcome", "finish")},
                        **{k: _text(rows[defense], k) for k in ("reply", "reason")},
                        "other_picture": list(rows[defense]["attacked_images"] or []) != list(first["attacked_images"]),
                        "verdicts": _verdicts(run, rows[defense], scores),
                    }
                    for defense in run.defenses
                    if defense in rows
                ],
            }
        )
    return items


def _text(row: dict[str, Any], column: str) -> str:
    """A text of a record, cut to what a page can show."""
    return cut(row[column], TEXT, f"column {column} of cell {row['cell']} in the records")


def _verdicts(run: ReportedRun, row: dict[str, Any], scores: pl.DataFrame) -> list[dict[str, Any]]:
    """scores: those of the samples of this id."""
    given = {score["judge"]: score for score in scores.filter(scores["cell"] == row["cell"]).to_dicts()}
    judges = dict.fromkeys([run.success, run.not_refused, *run.judges])
    return [
        {"judge": judge, "value": given[judge]["value"]} | {k: cut(given[judge][k], NAME) for k in ("label", "reason")}
        for judge in judges
        if judge in given
    ]


def pictures(run: ReportedRun, item: dict[str, Any]) -> list[dict[str, Any]]:
    """Clean picture, attacked pictures and their amplified difference, as PNG data for the page.

    Each: kind, uri, width, height (px shown), size (px stored), note, new (another picture, may hold text).
    """
    before = item["start_image"] or item["clean_image"]
    clean = run.store.image(before) if before else None
    attacked = [run.store.image(sha) for sha in item["attacked_images"]]
    shown = [_shown("clean", clean)] if clean else []
    if item["start_image"] and item["start_image"] != item["clean_image"]:
        shown[0]["note"] = "what the universal picture was made from"
    for image in attacked:
        if image == clean:
            shown.append({**_shown("attacked", image), "note": "unchanged"})
            continue
        largest = _largest_change(clean, image)
        new = largest is None or largest > SMALL_PERTURBATION
        shown.append({**_shown("attacked", image), "new": new, "note": "new picture" if new else ""})
        if clean is not None and not new:  # amplified, another picture would only saturate
            note = f"× {AMPLIFY} around mid-grey; largest change {largest}/255"
            shown.append({**_shown("difference", _difference(clean, image)), "note": note})
    return shown


def _largest_change(clean: Image | None, image: Image) -> int | None:
    """Largest change of a value, in grey levels; None if there is nothing of the same size to compare."""
    import numpy as np

    if clean is None or (clean.width, clean.height) != (image.width, image.height):
        return None
    return int(np.abs(clean.array().astype(np.int16) - image.array()).max())


def _difference(clean: Image, image: Image) -> Image:
    import numpy as np

    change = image.array().astype(np.int16) - clean.array()
    return Image.from_array(np.clip(128 + AMPLIFY * change, 0, 255).astype(np.uint8))


def _shown(kind: str, image: Image) -> dict[str, Any]:
    import numpy as np
    from PIL import Image as Pillow

    from proofglass import images

    small = image
    if max(image.width, image.height) > SHOWN_SIDE:
        scaled = Pillow.fromarray(image.array())
        scaled.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Pillow.Resampling.LANCZOS)
        small = Image.from_array(np.array(scaled))
    uri = "data:image/png;base64," + base64.b64encode(images.encode(small)).decode()
    size = f"{image.width} × {image.height} px"
    return {
        "kind": kind,
        "uri": uri,
        "width": small.width,
        "height": small.height,
        "size": size,
        "note": "",
        "new": False,
    }
