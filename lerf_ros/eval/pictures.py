# SPDX-License-Identifier: Apache-2.0
"""Pictures of wrong answers: the scan's first view with the right box and where it answered, beside the heat."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from jaxtyping import Float32, Int64, UInt8

from lerf_ros.core.geometry import Intrinsics, invert
from lerf_ros.core.snapshot import FieldSnapshot
from lerf_ros.eval.records import Answered, Outcome, SceneRecord
from lerf_ros.eval.rules import Found
from lerf_ros.eval.views2d import novel_view, splat
from lerf_ros.sim.camera import RenderedFrame

if TYPE_CHECKING:
    from lerf_ros.eval.exam import SceneExam

PICTURED: Final = ("default", "paper")
WORST: Final = 12
RIGHT: Final = (80, 220, 80)
WRONG: Final = (230, 40, 40)


def write_failures(
    folder: Path, exam: "SceneExam", record: SceneRecord, found: dict[str, list[Found]], snapshot: FieldSnapshot
) -> None:
    """Write a picture of each question that was answered with a wrong place, into `folder`."""
    if record.configuration not in PICTURED:
        return
    rule = next(iter(found))
    view = novel_view(exam.scene, exam.frames[0])
    seen = splat(
        snapshot.surface.points, np.ones(len(snapshot.surface), bool), snapshot.surface.voxel_m, view.intrinsics,
        view.frame.T_world_cam,
    )  # fmt: skip
    for k, asked in enumerate(record.answered):
        outcome = asked.outcomes[rule]
        if outcome.hit is not False:
            continue
        everywhere = found.get("top", found[rule])[k]  # the map's own answer is warm on its thing alone
        values = np.where(seen >= 0, everywhere.values[seen], 0).astype(np.float32)
        boxes = view.boxes(asked.objects).astype(np.int64)
        image = side_by_side(view.frame, values, boxes, outcome, caption(asked, outcome))
        path = folder / picture_name(record, k)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image[..., ::-1])


def caption(asked: Answered, outcome: Outcome) -> str:
    """Return what was asked and how the answer was wrong."""
    error = 0.0 if outcome.error_m is None else 100 * outcome.error_m
    return f"{asked.phrase}: {error:.1f} cm off, p {outcome.probability:.2f}, {asked.type}"


def side_by_side(
    frame: RenderedFrame, values: Float32[np.ndarray, "h w"], boxes: Int64[np.ndarray, "B 4"], outcome: Outcome,
    text: str,
) -> UInt8[np.ndarray, "H W 3"]:  # fmt: skip
    """Return the frame with boxes (green, of the half-size image) and the answered point (red), and its heat."""
    height, width = frame.rgb.shape[:2]
    picture = frame.rgb.copy()
    for x1, y1, x2, y2 in 2 * boxes:
        cv2.rectangle(picture, (int(x1), int(y1)), (int(x2), int(y2)), RIGHT, 2)
    large = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)
    levels = np.clip(255 * large, 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[..., ::-1]
    heat = np.where((large > 0)[..., None], (0.35 * picture + 0.65 * colours).astype(np.uint8), picture // 2)
    x, y = pixel_of(frame, np.array(outcome.point))
    for image in (picture, heat):
        cv2.drawMarker(image, (x, y), WRONG, cv2.MARKER_TILTED_CROSS, 26, 3)
    both = np.hstack([picture, heat])
    cv2.rectangle(both, (0, 0), (2 * width, 26), (0, 0, 0), -1)
    cv2.putText(both, text, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return both


def pixel_of(frame: RenderedFrame, point: np.ndarray) -> tuple[int, int]:
    """Return the pixel (x, y) of a world point."""
    k = frame.intrinsics
    camera = Intrinsics(k.width, k.height, k.f_px, k.f_px, k.cx_px, k.cy_px)
    T_cam_world = invert(frame.T_world_cam)
    u, v, _ = camera.project((point @ T_cam_world[:3, :3].T + T_cam_world[:3, 3])[None])
    return round(float(u[0])), round(float(v[0]))


def picture_name(record: SceneRecord, question: int) -> str:
    """Return the file name of a wrong answer's picture."""
    return f"{record.configuration}/scene_{record.scene:03d}_{question:02d}.jpg"


def copy_worst(work: Path, folder: Path, records: Sequence[SceneRecord], rule: str) -> list[tuple[str, str]]:
    """Copy the pictures of the worst failures (surest first) and return their names and captions, worst first."""
    wrong = [
        (a.outcomes[rule].probability, record, k, a)
        for record in records
        for k, a in enumerate(record.answered)
        if a.outcomes[rule].hit is False
    ]
    wrong.sort(key=lambda w: (-w[0], w[1].scene, w[2]))
    out = []
    for _, record, k, asked in wrong[:WORST]:
        source = work / "pictures" / picture_name(record, k)
        if not source.is_file():
            continue
        name = picture_name(record, k).replace("/", "_")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
        out.append((name, f"{record.configuration}, scene {record.scene}: {caption(asked, asked.outcomes[rule])}"))
    return out
