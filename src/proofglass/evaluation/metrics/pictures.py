"""How visible an attack is: each attacked picture held against the clean one, read back from their PNG files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.errors import is_environment
from proofglass.evaluation.metrics.estimates import of_sums, without
from proofglass.evaluation.similarity.pictures import Variant
from proofglass.interfaces import Group, Measure, Metric, Paper

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Figure = Literal["ssim", "psnr", "linf"]
_COLUMNS: dict[Figure, str] = {
    "ssim": "SSIM to the clean picture",
    "psnr": "PSNR to the clean picture (dB)",
    "linf": "largest change of a pixel (of 255)",
}
_RANGES: dict[Figure, tuple[float | None, float | None]] = {
    "ssim": (-1.0, 1.0),
    "psnr": (0.0, None),
    "linf": (0.0, 255.0),
}


@dataclass(frozen=True)
class PictureChange(Metric):
    """Mean over the attacked rows of how far the first picture that the victim was shown is from the clean one.

    figure: "ssim" (structural similarity; 1: equal), "psnr" (in decibels), "linf" (largest change of any channel, in
    levels of 255). variant: of SSIM, "wang" (Gaussian window) or "default" (scikit-image's uniform window).

    Both pictures as they lie in the run, 8-bit, at the size in which they were kept; a pair that stands in many rows is
    compared once. Left out, and counted: rows without a clean or an attacked picture, those whose pictures differ in
    size (an attack that draws a new picture is no change of the old one) or are smaller than the window, files that
    cannot be read, and for PSNR equal pictures, whose ratio is infinite. Cells without an attack have no row. A
    universal picture has one value and no interval.
    """

    name = "picture-change"
    settled = ("figure",)
    paper = Paper(
        "Wang et al. 2004", "Image Quality Assessment: From Error Visibility to Structural Similarity",
        "https://doi.org/10.1109/TIP.2003.819861",
    )  # fmt: skip

    figure: Figure = "ssim"
    variant: Variant = "wang"

    @property
    def column(self) -> str:  # type: ignore[override]
        return _COLUMNS[self.figure]

    @property
    def range(self) -> tuple[float | None, float | None]:  # type: ignore[override]
        return _RANGES[self.figure]

    def over_groups(self, rows: pl.DataFrame) -> Iterator[tuple[Group, Measure]]:
        import polars as pl

        first = pl.col("attacked_files").list.get(0, null_on_oob=True)
        attacked = rows.filter(~pl.col("unattacked")).with_columns(attacked_file=first)
        pairs = attacked.select("clean_file", "attacked_file").unique(maintain_order=True).rows()
        compared = {pair: self._compared(*pair) for pair in pairs}
        for group, mine in attacked.group_by(self.by, maintain_order=True):
            yield tuple(str(name) for name in group), self._mean(mine, compared)

    def _mean(self, rows: pl.DataFrame, compared: Mapping[tuple[str, str], float | str]) -> Measure:
        import polars as pl

        found = [compared[pair] for pair in rows.select("clean_file", "attacked_file").rows()]
        values = [None if isinstance(one, str) else one for one in found]
        told = rows.with_columns(pl.Series("value", values, pl.Float64), one=pl.lit(1.0))
        reasons = [one for one in found if isinstance(one, str)]
        why = max(sorted(set(reasons)), key=reasons.count, default="")
        measure = of_sums(told.filter(pl.col("value").is_not_null()), ("value", "one"), _mean, f"no pair: {why}")
        for each in sorted(set(reasons)) if measure.value is not None else ():
            measure = without(measure, reasons.count(each), f"row: {each}")
        return measure

    def _compared(self, clean: str | None, attacked: str | None) -> float | str:
        """The figure of one pair, or why there is none."""
        from proofglass import images
        from proofglass.evaluation.similarity import pictures

        if not clean or not attacked:
            return "no clean picture" if not clean else "no attacked picture"
        figures: dict[Figure, Callable[[np.ndarray, np.ndarray], float]] = {
            "ssim": lambda one, other: pictures.ssim(one, other, self.variant),
            "psnr": pictures.psnr,
            "linf": pictures.linf,
        }
        try:
            one, other = images.read(clean).array(), images.read(attacked).array()
        except Exception as error:
            if is_environment(error):
                raise
            return "a picture cannot be read"
        if one.shape != other.shape:
            return "the pictures differ in size"
        if self.figure == "ssim" and min(one.shape[:2]) < pictures.WINDOWS[self.variant]:
            return "the pictures are smaller than the window"
        value = figures[self.figure](one, other)
        return value if math.isfinite(value) else "the pictures are equal, their ratio infinite"


def _mean(sums: np.ndarray) -> np.ndarray:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan)
    return found
