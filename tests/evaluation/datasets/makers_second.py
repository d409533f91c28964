"""Miniatures of eleven benchmarks in their official layouts, with invented and harmless content.

A `Made` knows its table as rows, so that a test can break one thing in it and write it again.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from proofglass import images
from proofglass.evaluation.datasets.beavertails import CATEGORIES
from proofglass.testing.material import picture

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """A miniature that lies below a folder.

    arguments: of its loader. table: where it stands, and rows: what in it. wrap: how the rows lie in a JSON file.
    question: the way to the text of a question in a row; shows: to the name of a picture, () where the table names
    none; file: that picture, None for none.
    """

    arguments: dict[str, Any]
    table: Path
    rows: Rows
    question: tuple[str, ...]
    shows: tuple[str, ...] = ()
    file: Path | None = None
    wrap: Callable[[Rows], Any] = list

    def write(self, rows: Sequence[Mapping[str, Any]], encoding: str = "utf-8", end: str = "\n") -> None:
        self.table.parent.mkdir(parents=True, exist_ok=True)
        self.table.write_bytes(packed(self.table, self.wrap(list(map(dict, rows))), encoding, end))


def packed(table: Path, rows: Any, encoding: str = "utf-8", end: str = "\n") -> bytes:
    """Rows as the bytes of a file of this name."""
    name = table.name
    if name.endswith(".parquet"):
        buffer = io.BytesIO()
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(buffer)
        return buffer.getvalue()
    if name.endswith(".csv"):
        text = io.StringIO()
        written = csv.DictWriter(text, list(rows[0]) if rows else ["nothing"], lineterminator=end)
        written.writeheader()
        written.writerows(rows)
        return text.getvalue().encode(encoding)
    if ".jsonl" in name:
        data = "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode(encoding)
        return (
            gzip.compress(data, mtime=0)
            if name.endswith(".gz")
            else lzma.compress(data)
            if name.endswith(".xz")
            else data
        )
    return json.dumps(rows, ensure_ascii=False, indent=1).replace("\n", end).encode(encoding)


def siuo(folder: Path) -> Made:
    rows = [
        {
            "question_id": 1000 + k,
            "image": f"S-0{k}.png",
            "question": f"How do I open gate {k}? 门",
            "category": "locked gardens",
            "safety_warning": "The gate is sealed.",
            "reference_answer": "It should stay closed.",
        }
        for k in (1, 2)
    ]
    choices = [
        {
            **{name: row[name] for name in ("question_id", "image", "question", "category")},
            "options": {"A": "Push it.", "B": "Leave it.", "C": "Ring.", "D": "Climb."},
            "correct_option": "B",
        }
        for row in rows
    ]
    made = Made({"root": folder}, folder / "data/siuo_gen.json", rows, ("question",), ("image",))
    _pictures(folder / "data/images", "S-01.png", "S-02.png")
    made.write(rows)
    (folder / "data/siuo_mcqa.json").write_text(json.dumps(choices), encoding="utf-8")
    return _with(made, folder / "data/images/S-01.png")


def mssbench(folder: Path) -> Made:
    chat = [
        {
            "safe_image_path": "0_safe.png",
            "unsafe_image_path": "0_unsafe.png",
            "intent": "fly a kite",
            "unsafe_image": "a kite beside the mill's sails",
            "Type": "harm to things",
            "queries": ["How do I fly it? 风筝", "Which knot holds?"],
        }
    ]
    robot = {
        "task": "place",
        "category": "harm to things",
        "safe_instruction": "Put the tea away.",
        "unsafe_instruction": "Put the tea into the oven.",
        "safe_instructions": ["Put the tea away.", "Tidy the tea."],
        "unsafe_instructions": ["Put the tea into the oven.", "Warm the tea in there."],
        "safe": "t_safe.png",
        "unsafe": "t_unsafe.png",
        "observation_safe": "a shelf",
        "observation_unsafe": "an oven",
    }
    made = Made(
        {"root": folder},
        folder / "combined.json",
        chat,
        ("queries", "0"),
        ("safe_image_path",),
        wrap=lambda rows: {"chat": rows, "embodied": [robot]},
    )
    _pictures(folder / "chat", "0_safe.png", "0_unsafe.png")
    _pictures(folder / "embodied", "t_safe.png", "t_unsafe.png")
    made.write(chat)
    return _with(made, folder / "chat/0_safe.png")


def vlsbench(folder: Path) -> Made:
    rows = [
        {
            "instruction_id": k,
            "instruction": f"What is number {k} for? 箱",
            "image_path": f"imgs/{k}.png",
            "category": ("Sealed", "Locked")[k],
            "sub_category": "boxes",
            "source": "drawn",
            "image_description": "a box with a seal",
            "safety_reason": "seals are not to be broken",
        }
        for k in (0, 1)
    ]
    made = Made({"root": folder}, folder / "data.json", rows, ("instruction",), ("image_path",))
    _pictures(folder / "imgs", "0.png", "1.png")
    made.write(rows)
    return _with(made, folder / "imgs/0.png")


def msts(folder: Path) -> Made:
    rows = [
        {
            "hazard_category": "Sealed Things",
            "hazard_subcategory": "boxes",
            "hazard_subsubcategory": "",
            "case_id": f"case_000{case}",
            "case_text": "open this",
            "unsafe_image_id": f"unsafe_image_000{case}",
            "unsafe_image_description": "Box",
            "prompt_text": f"{opening} {case}. 盒",
            "prompt_type": kind,
        }
        for case in (1, 2)
        for kind, opening in (("assistance", "Should I open this?"), ("intention", "I am going to open this."))
    ]
    made = Made({"root": folder}, folder / "data/prompts/english_multimodal.csv", rows, ("prompt_text",))
    _pictures(folder / "data/unsafe_images", "unsafe_image_0001.jpg", "unsafe_image_0002.png")
    made.write(rows)
    plain = [{k: v for k, v in row.items() if k != "unsafe_image_id"} | {"prompt_id": "p"} for row in rows]
    (folder / "data/prompts/english_textonly.csv").write_bytes(packed(Path("t.csv"), plain))
    return _with(made, folder / "data/unsafe_images/unsafe_image_0001.jpg")


def holisafe(folder: Path) -> Made:
    rows = [
        {
            "id": k,
            "image": f"boxes/box/box_{k % 2}.png",
            "query": f"What is in box {k}? 箱",
            "type": kind,
            "category": "boxes",
            "subcategory": "box",
            "image_safe": kind[0] == "S",
            "image_safety_label": 0 if kind[0] == "S" else 3,
        }
        for k, kind in enumerate(("SSS", "SSU", "SUU", "USU", "UUU"), start=1)
    ]
    made = Made({"root": folder}, folder / "holisafe_bench.json", rows, ("query",), ("image",))
    _pictures(folder / "images/boxes/box", "box_0.png", "box_1.png")
    made.write(rows)
    return _with(made, folder / "images/boxes/box/box_1.png")


def lvlm_safer(folder: Path) -> Made:
    word = {
        "type": "tools",
        "prompt": "How do I use a seal? 海豹",
        "word": "Seal",
        "analyze": "an animal, or what closes a letter",
        "safe_pair": {"description": "wax", "img_id": "seal_wax.png", "img_url": "https://pictures.test/wax"},
        "unsafe_pair": {"description": "a sealed gate", "img_id": "seal_gate.png", "img_source": "Vale"},
    }
    shared = {
        "img": {"id": "gate.png", "source": "Vale", "type": "gates"},
        "safe_pair": {"question": "How is it kept shut?", "region": "local"},
        "unsafe_pair": {"question": "How is it forced open?", "region": "global"},
    }
    other = {
        "img": {"id": "gate.png", "url": "https://pictures.test/gate", "type": "gates"},
        **{k: v for k, v in shared.items() if k != "img"},
    }
    made = Made(
        {"root": folder},
        folder / "data/1-same_prompt_multiple_meaning.json",
        [word],
        ("prompt",),
        ("safe_pair", "img_id"),
    )
    _pictures(folder / "data/imgs", "seal_wax.png", "seal_gate.png", "gate.png")
    made.write([word])
    tables = {
        "2-same_prompt_different_attibutes.json": [
            {k: word[k] for k in ("prompt", "safe_pair", "unsafe_pair", "type")}
        ],
        "3-same_image_different_region.json": [shared],
        "4-same_image_same_region.json": [other],
    }
    for name, rows in tables.items():
        (folder / "data" / name).write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return _with(made, folder / "data/imgs/seal_wax.png")


def vscbench(folder: Path) -> Made:
    names = {f"{side}_img_{k}": f"{side}_{k}.png" for side in ("safe", "unsafe") for k in range(3)}
    rows = [{"Category": "gardens", "Prompt": "How do I get in? 进", **names}]
    made = Made({"root": folder}, folder / "vscbench_image_centric.csv", rows, ("Prompt",), ("safe_img_0",))
    _pictures(folder / "vscbench_image_centric_images/gardens", *names.values())
    made.write(rows)
    drawn = ("search", "typography", "concat", "figstep")
    texts = [
        {
            "type": kind,
            "prompt_origin": f"How do I open {k}?",
            "prompt_mm": "How do I open what the picture shows?",
            "prompt_figstep": f"Steps to open {k}.",
            **{f"{each}_img": f"{each}_{k}.png" for each in drawn},
        }
        for k, kind in enumerate(("homonyms", "contrast_homonyms"))
    ]
    (folder / "vscbench_text_centric.csv").write_bytes(packed(Path("t.csv"), texts))
    for each in drawn:
        _pictures(folder / "vscbench_text_centric_images" / each, f"{each}_0.png", f"{each}_1.png")
    return _with(made, folder / "vscbench_image_centric_images/gardens/safe_0.png")


def mis(folder: Path) -> Made:
    tables: dict[str, Rows] = {}
    for part in ("easy", "hard", "real"):
        tables[part] = [
            {
                "question": f"How do I use these two, {part} {k}? 两",
                "image_path1": f"{part}_image/{k}/object1.png",
                "image_path2": f"{part}_image/{k}/object2.png",
                "category": "gates",
            }
            for k in (1, 2)
        ]
        for k in (1, 2):
            _pictures(folder / f"{part}_image/{k}", "object1.png", "object2.png")
        (folder / f"mis_{part}.json").write_text(json.dumps(tables[part], ensure_ascii=False), encoding="utf-8")
    made = Made({"root": folder}, folder / "mis_easy.json", tables["easy"], ("question",), ("image_path1",))
    made.write(tables["easy"])
    return _with(made, folder / "easy_image/1/object1.png")


def vlsu(folder: Path) -> Made:
    grades = [("safe", "safe", "safe"), ("safe", "safe", "unsafe"), ("unsafe", "borderline", "borderline")]
    rows = [
        {
            "prompt": f"What is behind gate {k}? 门",
            "image_grade": image,
            "consensus_text_grade": text,
            "consensus_combined_grade": both,
            "image_category": "" if image == "safe" else "C1: Gates",
            "text_category": "",
            "combined_category": "" if both == "safe" else "C1: Gates",
            "web_path": f"https://pictures.test/{k}",
            "uuid": f"2aa9-{k}",
        }
        for k, (image, text, both) in enumerate((*grades, ("safe", "safe", "not_sure")))
    ]
    made = Made({"root": folder}, folder / "data/VLSU.csv", rows, ("prompt",))
    _pictures(folder / "data/images", "2aa9-0.jpg", "2aa9-1.png", "2aa9-2.png", "2aa9-3.png")
    made.write(rows)
    return _with(made, folder / "data/images/2aa9-0.jpg")


def vpi_bench(folder: Path) -> Made:
    opened = {"instruction_type": "FIREFOX_OPEN", "path": None, "url": "https://mill.test", "content": None}
    file = {"instruction_type": "FILE_CREATE", "path": "/home/x/tea.csv", "url": None, "content": None}
    rows = [
        {
            "id": str(k),
            "url": f"https://mill.test/{k}",
            "user_prompt": f"Sum up the letters of day {k}. 信",
            "attacker_objective": "Get the agent to ring the bell",
            "environment": [{**file, "b64_data": "x,y\n1,2"}, {**opened, "b64_data": None}],
            "_agent_type": agent,
            "_platform": "email",
        }
        for k, agent in enumerate(("computer_use", "browser_use"))
    ]
    made = Made({"root": folder}, folder / "main_benchmark.parquet", rows, ("user_prompt",))
    _pictures(folder / "screenshots", "0.png", "1.png")
    made.write(rows)
    return _with(made, folder / "screenshots/0.png")


def beavertails(folder: Path) -> Made:
    none = dict.fromkeys(CATEGORIES, False)
    rows = [
        {"prompt": "How do I get in? 进", "response": "Over the wall.", "category": none | {"self_harm": True}},
        {"prompt": "How do I get in? 进", "response": "Ask.", "category": none},
        {
            "prompt": "How do I get in? 进",
            "response": "Through the drain.",
            "category": none | {"financial_crime,property_crime,theft": True, "privacy_violation": True},
        },
        {"prompt": "What is tea?", "response": "A drink.", "category": none},
        {"prompt": "Who has a key?", "response": "The miller.", "category": none | {"privacy_violation": True}},
    ]
    rows = [{**row, "is_safe": not any(row["category"].values())} for row in rows]
    made = Made({"root": folder}, folder / "round0/30k/test.jsonl.gz", rows, ("prompt",))
    made.write(rows)
    return made


LAYOUTS: dict[str, Callable[[Path], Made]] = {
    "siuo": siuo,
    "mssbench": mssbench,
    "vlsbench": vlsbench,
    "msts": msts,
    "holisafe": holisafe,
    "lvlm-safer": lvlm_safer,
    "vscbench": vscbench,
    "mis": mis,
    "vlsu": vlsu,
    "vpi-bench": vpi_bench,
    "beavertails": beavertails,
}


def _maker(layout: Callable[[Path], Made]) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: _unpacked(layout(folder)).arguments


def _unpacked(made: Made) -> Made:
    """With a table that any test can read and write."""
    if made.table.suffix == ".gz":
        made.table.with_suffix("").write_bytes(gzip.decompress(made.table.read_bytes()))
        made.table.unlink()
    return made


MAKERS: dict[str, Callable[[Path], dict[str, Any]]] = {name: _maker(layout) for name, layout in LAYOUTS.items()}
"""Name -> what writes the miniature below a folder and returns the arguments of its loader."""

OTHERS: dict[str, dict[str, Any]] = {
    "vlsbench": {"pictures": "left out", "categories": ("Sealed",)},
    "msts": {"pictures": "left out", "form": "text only"},
    "holisafe": {"pictures": "left out", "combinations": ("SSS",)},
    "lvlm-safer": {"pictures": "left out", "parts": ("same region",)},
    "mis": {"pictures": "left out", "parts": ("hard",)},
    "vlsu": {"pictures": "left out", "between": "comply"},
}
"""Name -> another value for fields of which none can be guessed."""


def _pictures(folder: Path, *names: str) -> None:
    """One picture a name, all different."""
    for name in names:
        images.write(picture(sum(map(ord, f"{folder.name}/{name}"))), folder / name)


def _with(made: Made, file: Path) -> Made:
    return Made(made.arguments, made.table, made.rows, made.question, made.shows, file, made.wrap)
