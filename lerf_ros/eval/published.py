# SPDX-License-Identifier: Apache-2.0
"""Figures that papers print for the datasets we evaluate on, as they stand beside ours.

A figure is *verified* where it was read in the paper that measured it, or follows exactly from figures that were; the
others were seen in another paper's copy of the table, or elsewhere, and are printed with a question mark.
"""

from collections.abc import Mapping
from dataclasses import dataclass

OVERALL = "overall"


@dataclass(frozen=True)
class Figure:
    """One cell of a table."""

    value: float
    verified: bool

    def __str__(self) -> str:
        return f"{self.value:.1f}" + ("" if self.verified else " ?")


@dataclass(frozen=True)
class Row:
    """What one method reached. `cells` has a figure for a scene or for `OVERALL` where one is known."""

    method: str
    source: str
    cells: Mapping[str, Figure]


@dataclass(frozen=True)
class Table:
    """One published comparison; all figures in percent.

    Attributes:
        measure: what is counted.
        scenes: its columns, in the paper's order.
        overall: how the column `OVERALL` is formed.
    """

    name: str
    measure: str
    scenes: tuple[str, ...]
    overall: str
    rows: tuple[Row, ...]


def _row(method: str, source: str, columns: tuple[str, ...], written: str) -> Row:
    """Read `written`: a value a column, then the overall one; `-` is unknown, a trailing `?` unverified."""
    cells = {
        column: Figure(float(text.rstrip("?")), not text.endswith("?"))
        for column, text in zip((*columns, OVERALL), written.split(), strict=True)
        if text != "-"
    }
    return Row(method, source, cells)


LERF_PAPER = "Kerr et al., LERF, ICCV 2023 (arXiv 2303.09553), Table 1"
LANGSPLAT_1 = "Qin et al., LangSplat, CVPR 2024 (arXiv 2312.16084), Table 1"
LANGSPLAT_2 = "Qin et al., LangSplat, CVPR 2024 (arXiv 2312.16084), Table 2"
COPIED = "copied from another paper's table"

LERF_SCENES = ("waldo_kitchen", "bouquet", "ramen", "teatime", "figurines")
OVS_SCENES = ("ramen", "figurines", "teatime", "waldo_kitchen")

LERF_TABLE_1 = Table(
    "LERF, Table 1",
    "localisation accuracy: the most relevant pixel of a novel view lies in a box of the phrase",
    LERF_SCENES,
    "aggregate over scenes; not the mean of the scenes, which is 81.8 for LERF",
    (
        _row("LSeg (3D)", LERF_PAPER, LERF_SCENES, "13.0 50.0 15.0 28.1 8.9? 18.0?"),
        _row("OWL-ViT", LERF_PAPER, LERF_SCENES, "42.6 66.7 92.5 75.0 38.5? 54.8?"),
        _row("LERF", LERF_PAPER, LERF_SCENES, "81.5 91.7 62.5 93.8 79.5? 80.3?"),
    ),
)

OVS_LOCALISATION = Table(
    "LERF-OVS, localisation",
    "localisation accuracy: the most relevant pixel of a training view, after a 30 x 30 mean, lies in a box",
    OVS_SCENES,
    "mean of the scenes",
    (
        _row("LSeg (3D)", LANGSPLAT_1, OVS_SCENES, "14.1 8.9 33.9 27.3 21.1"),
        _row("LERF", LANGSPLAT_1, OVS_SCENES, "62.0 75.0 84.8 72.7 73.6"),
        _row("LangSplat", LANGSPLAT_1, OVS_SCENES, "73.2 80.4 88.1 95.5 84.3"),
        _row("GOI", COPIED, OVS_SCENES, "56.3? 44.6? 67.8? 68.2? 59.2?"),
        _row("GAGS", COPIED, OVS_SCENES, "69.0? 78.6? 88.1? 90.9? 81.7?"),
        _row("OccamLGS", COPIED, OVS_SCENES, "74.7? 80.4? 93.2? 81.8? 82.5?"),
        _row("LangSplatV2", COPIED, OVS_SCENES, "74.7? 82.1? 93.2? 86.4? 84.1?"),
    ),
)

OVS_MIOU = Table(
    "LERF-OVS, rendered masks",
    "mean IoU of masks cut from the relevancy of training views",
    OVS_SCENES,
    "mean of the scenes",
    (
        _row("LSeg (3D)", LANGSPLAT_2, OVS_SCENES, "7.0 7.6 21.7 29.9 16.6"),
        _row("LERF", LANGSPLAT_2, OVS_SCENES, "28.2 38.6 45.0 37.9 37.4"),
        _row("LangSplat", LANGSPLAT_2, OVS_SCENES, "51.2 44.7 65.1 44.5 51.4"),
        _row("GOI", COPIED, OVS_SCENES, "33.7? 23.9? 55.8? 54.5? 42.0?"),
        _row("GAGS", COPIED, OVS_SCENES, "46.8? 53.6? 60.3? 55.8? 54.1?"),
        _row("LangSplatV2", COPIED, OVS_SCENES, "51.8? 56.4? 72.2? 59.1? 59.9?"),
        _row("OccamLGS", COPIED, OVS_SCENES, "51.0? 58.6? 70.2? 65.3? 61.3?"),
    ),
)
