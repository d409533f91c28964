"""Attacked pictures held against clean ones: read from the files of a run, each pair once, and what is left out."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from evaluation.metrics.scored import table
from proofglass import images
from proofglass.evaluation.metrics.pictures import PictureChange
from proofglass.evaluation.metrics.rows import scored_rows
from proofglass.evaluation.similarity.pictures import psnr, ssim
from proofglass.records.schema import record_schema
from proofglass.registry import build
from proofglass.report import write
from proofglass.report.measures import measures
from proofglass.report.run import ReportedRun
from proofglass.types import Image
from report import fake_run
from report.test_metrics import with_metrics


def noise(seed, height=16, width=16):
    return np.random.default_rng(seed).integers(20, 236, (height, width, 3), np.uint8)


def written(folder, name, pixels):
    images.write(Image.from_array(pixels), folder / f"{name}.png")
    return str(folder / f"{name}.png")


def rows_of(*pairs, **more):
    """(clean file, attacked file) of each row."""
    told = [{"clean_file": clean, "attacked_files": [shown] if shown else [], **more} for clean, shown in pairs]
    return table(*told).with_columns(pl.col("attacked_files").cast(pl.List(pl.String)), pl.col("clean_file").cast(str))


def only(metric, rows):
    ((_, found),) = metric.over_groups(rows)
    return found


@pytest.fixture
def files(tmp_path):
    """name -> file; "a2" is "a" with one channel of one pixel 12 levels higher, "b8" is "b" 8 levels higher."""
    a, b = noise(1), noise(2)
    nudged = a.copy()
    nudged[3, 4, 1] += 12
    pictures = {"a": a, "a2": nudged, "b": b, "b8": b + 8, "wide": noise(3, 16, 20), "small": noise(4, 8, 8)}
    pictures |= {"small2": noise(5, 8, 8)}
    return {name: written(tmp_path, name, pixels) for name, pixels in pictures.items()} | {"gone": "gone.png"}


def test_the_figures_are_means_over_rows(files):
    rows = rows_of((files["a"], files["a2"]), (files["b"], files["b8"]), (files["b"], files["b8"]))
    a, nudged, b, raised = (images.read(files[name]).array() for name in ("a", "a2", "b", "b8"))
    expected = {
        "linf": (12 + 8 + 8) / 3,
        "ssim": (ssim(a, nudged) + 2 * ssim(b, raised)) / 3,
        "psnr": (psnr(a, nudged) + 2 * psnr(b, raised)) / 3,
    }
    found = {name: only(build("metrics", name), rows) for name in expected}
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected)
    universal = only(PictureChange(), rows_of(*[(files["b"], files["b8"])] * 12))
    assert (universal.value, universal.low) == (pytest.approx(ssim(b, raised)), None)
    assert all(one.n == 3 and one.low <= one.value <= one.high and not one.reason for one in found.values())
    other = only(PictureChange("ssim", "default"), rows).value
    assert other == pytest.approx((ssim(a, nudged, "default") + 2 * ssim(b, raised, "default")) / 3)


def test_a_pair_that_stands_in_many_rows_is_compared_once(files, monkeypatch):
    read = []
    real = images.read
    monkeypatch.setattr(images, "read", lambda path: read.append(path) or real(path))
    rows = pl.concat([rows_of((files["a"], files["a2"]))] * 50 + [rows_of((files["b"], files["b8"]))])
    assert only(PictureChange("linf"), rows).value == pytest.approx((50 * 12 + 8) / 51)
    assert len(read) == 4


def test_what_cannot_be_compared_is_left_out_and_counted(files):
    good = (files["a"], files["a2"])
    rows = rows_of(good, (files["a"], files["wide"]), (files["a"], files["wide"]), (files["a"], files["gone"]),
                   (None, files["a"]), (files["a"], None))  # fmt: skip
    found = only(PictureChange("linf"), rows)
    assert (found.value, found.n) == (12, 1)
    for told in ("2 rows: the pictures differ in size", "1 row: a picture cannot be read", "1 row: no clean picture",
                 "1 row: no attacked picture"):  # fmt: skip
        assert told in found.reason
    none = only(PictureChange("linf"), rows_of((files["a"], files["wide"])))
    assert (none.value, none.reason) == (None, "no pair: the pictures differ in size")


def test_a_picture_below_the_window_has_no_ssim_and_a_broken_file_costs_its_rows(files, tmp_path):
    small = (files["small"], files["small2"])
    assert only(PictureChange(), rows_of(small)).reason == "no pair: the pictures are smaller than the window"
    assert only(PictureChange("ssim", "default"), rows_of(small)).value is not None
    (tmp_path / "torn.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    rows = rows_of((files["a"], str(tmp_path / "torn.png")), (files["a"], files["a2"]))
    assert "1 row: a picture cannot be read" in only(PictureChange(), rows).reason


def test_equal_pictures_have_no_finite_ratio(files):
    same, other = (files["a"], files["a"]), (files["b"], files["b8"])
    found = only(PictureChange("psnr"), rows_of(same, other))
    assert (found.value, found.n) == (pytest.approx(20 * math.log10(255 / 8)), 1)
    assert found.reason == "left out: 1 row: the pictures are equal, their ratio infinite"
    assert only(PictureChange("psnr"), rows_of(same)).value is None
    assert (only(PictureChange(), rows_of(same)).value, only(PictureChange("linf"), rows_of(same)).value) == (1, 0)


def test_cells_without_an_attack_have_no_row_and_ranges_are_those_of_the_figures(files):
    assert list(PictureChange().over_groups(rows_of((files["a"], files["a"]), attack="no-attack"))) == []
    assert [PictureChange(figure).range for figure in ("ssim", "psnr", "linf")] == [(-1, 1), (0, None), (0, 255)]


def test_rows_hold_the_files_of_a_run_and_the_report_compares_them(tmp_path):
    store = fake_run.FakeStore(tmp_path)
    clean, attacked = (Image.from_array(pixels) for pixels in (noise(7), noise(7) + 8))
    for picture in (clean, attacked):
        path = store.image_path(store.keep(picture))
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(picture, path)
    shown = {"clean_image": clean.sha256, "attacked_images": [attacked.sha256]}
    store.add([{"hit": 1.0, **shown}, {"hit": 0.0, **shown}, {"hit": 0.0}], attack="qi2023")
    rows = scored_rows(store.frame(), store.scores(), {}, picture=store.image_path)
    assert rows["clean_file"].to_list() == [str(store.image_path(clean.sha256))] * 2 + [None]
    assert rows["attacked_files"].to_list() == [[str(store.image_path(attacked.sha256))]] * 2 + [[]]
    (row,) = measures(ReportedRun(with_metrics(store, linf="linf")))
    assert (row["value"], row["n"], row["most"]) == (8, 2, 255)
    assert row["reason"] == "left out: 1 row: no clean picture"
    assert "left out: 1 row: no clean picture" in write(store, tmp_path / "report").read_text()


def test_files_are_those_of_each_picture_in_order_and_each_is_looked_up_once(tmp_path):
    looked = []
    told = [
        {"clean_image": None, "attacked_images": []}, {"clean_image": "a", "attacked_images": ["b", "a", "b"]},
        {"clean_image": "", "attacked_images": None}, {"clean_image": "a", "attacked_images": ["", "a"]},
    ]  # fmt: skip
    schema = {"clean_image": pl.String, "attacked_images": pl.List(pl.String)}
    frame = table(*({**row, "defense": "none"} for row in told)).drop("unattacked", "undefended")
    frame = frame.drop("clean_image", "attacked_images").hstack(pl.DataFrame(told, schema=schema))
    frame = frame.with_columns(finish=pl.lit("stop"))
    rows = scored_rows(frame, frame, {}, picture=lambda sha: looked.append(sha) or tmp_path / sha)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert rows["clean_file"].to_list() == [None, a, None, a]
    assert rows["attacked_files"].to_list() == [[], [b, a, b], [], [a]]
    assert sorted(looked) == ["a", "b"]


def test_rows_without_a_place_for_pictures_have_none():
    frame = pl.DataFrame(schema=record_schema())
    rows = scored_rows(frame, pl.DataFrame(schema={"cell": pl.String}), {})
    assert (rows["clean_file"].dtype, rows["attacked_files"].dtype) == (pl.String, pl.List(pl.String))
    assert scored_rows(frame, frame, {}, picture=lambda sha: None).height == 0
