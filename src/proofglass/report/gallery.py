"""The gallery: which samples are shown, and the pictures beside them. The choice is a rule, not a taste."""

from __future__ import annotations

import base64
from typing import Any

from proofglass.console import cut
from proofglass.report.run import Run
from proofglass.types import Image

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


def chosen(run: Run) -> list[dict[str, Any]]:
    """The samples shown, by `RULE`: victim, attack, dataset, sample_id and what the undefended victim did."""
    judge_of = {cell.key: cell.judge for cell in run.cells}
    verdict = {
        (row["cell"], row["sample_id"]): row["value"]
        for row in run.scores.filter(run.scores["judge"].is_in([run.success, run.not_refused]))
        .select("cell", "sample_id", "judge", "value")
        .iter_rows(named=True)
        if row["judge"] == judge_of.get(row["cell"], run.success)
    }
    first_defense = (run.undefended or run.defenses)[0]
    wins: list[dict[str, Any]] = []
    losses: list[dict[str, Any]] = []
    picked = run.frame.filter((run.frame["defense"] == first_defense) & (run.frame["outcome"] == "ok"))
    if "refuse" in picked["expected"]:
        picked = picked.filter(picked["expected"] == "refuse")
    names = ("victim", "attack", "dataset", "sample_id", "cell")
    rows = picked.select(names).sort("sample_id", maintain_order=True).to_dicts()
    for victim in run.victims:
        for attack in run.attacks:
            mine = [row for row in rows if (row["victim"], row["attack"]) == (victim, attack)]
            for broken, kind in ((True, wins), (False, losses)):
                for row in mine:
                    value = verdict.get((row["cell"], row["sample_id"]))
                    if value is not None and (value >= 0.5) == broken:
                        kind.append({**{k: row[k] for k in names[:4]}, "broken": broken})
                        break
    kept = [*wins, *losses][:LIMIT]
    place = {(v, a): (i, j) for i, v in enumerate(run.victims) for j, a in enumerate(run.attacks)}
    return sorted(kept, key=lambda item: (place[item["victim"], item["attack"]], not item["broken"]))


def gallery(run: Run) -> list[dict[str, Any]]:
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
                        "verdicts": _verdicts(run, rows[defense]),
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


def _verdicts(run: Run, row: dict[str, Any]) -> list[dict[str, Any]]:
    scores = run.scores.filter((run.scores["cell"] == row["cell"]) & (run.scores["sample_id"] == row["sample_id"]))
    given = {score["judge"]: score for score in scores.to_dicts()}
    judges = dict.fromkeys([run.success, run.not_refused, *run.judges])
    return [
        {"judge": judge, "value": given[judge]["value"]} | {k: cut(given[judge][k], NAME) for k in ("label", "reason")}
        for judge in judges
        if judge in given
    ]


def pictures(run: Run, item: dict[str, Any]) -> list[dict[str, Any]]:
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
