# SPDX-License-Identifier: Apache-2.0
"""Writes what the demonstration saw: pictures, and one cloud a phrase."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.ply import write_ply
from lerf_ros.demo.judge import STATUS_NAMES
from lerf_ros.demo.pictures import GOOD, Heat, Image, captioned, cloud_from_above, grid, heat_over
from lerf_ros.demo.session import Session
from lerf_ros.msg import QueryResult
from lerf_ros.ros.outputs.clouds import cloud_arrays

HEATS = 5
IN_OVERVIEW = 3


def write_pictures(session: Session, out: Path) -> list[Image]:
    """Write `camera.png`, `heat.png` (some phrases over the camera's view) and `cloud.png`; return the best of them."""
    rgb = session.client.rgb()
    _write(out / "camera.png", rgb)
    view = captioned(rgb, "what the wrist camera sees")
    heats = [heat_over(rgb, _intrinsics(session), heat) for heat in _heats(session)]
    _write(out / "heat.png", grid([view, *heats], 3))
    cloud = captioned(_cloud(session), "cut out by name, in 3D")
    _write(out / "cloud.png", cloud)
    return [view, *heats[: IN_OVERVIEW - 1], *heats[-1:], cloud]


def write_overview(pictures: list[Image], session: Session, out: Path) -> None:
    """Write `grasp.png` and `demo.png`: the story in six pictures."""
    joints, row = session.client.joints, next(iter(session.story.grasps[::-1]), None)
    session.judge.place(session.client.objects)
    if joints is not None:
        session.judge.place_arm(joints.name, joints.position)
    photo = session.judge.photograph(out / "grasp.png")
    caption = "no grasp" if row is None else f'"{row.phrase}"'
    note = "" if row is None else f"lifted {100 * row.held_m:.0f} cm" if row.lifted else "not lifted"
    _write(out / "demo.png", grid([*pictures, captioned(photo, caption, note, GOOD)], 3))


def write_clouds(session: Session, out: Path) -> None:
    """Write `clouds/<phrase>.ply` for everything found: points, colours, relevancy."""
    folder = out / "clouds"
    folder.mkdir(exist_ok=True)
    for phrase, result in session.results.items():
        points, colours, relevancy = cloud_arrays(result.cloud)
        if len(points):
            write_ply(folder / f"{phrase.replace(' ', '_')}.ply", points, colours, relevancy=relevancy)


def _heats(session: Session) -> list[Heat]:
    """Ask again, in the frame of the camera as it stands now; return what lies in its view, and last what is absent."""
    rows = session.story.phrases
    phrases = [r.phrase for r in rows if r.right and r.kind in ("colour+category", "wrong colour", "absent category")]
    frame = session.client.image.header.frame_id if session.client.image else ""
    if not phrases:
        return []
    results = session.client.ask(phrases, target_frame=frame, max_points=20000).results
    heats = [_heat(result) for result in results]
    intrinsics = _intrinsics(session)
    seen = [heat for heat in heats if heat.argmax_cam is not None and _in_view(heat.argmax_cam, intrinsics)]
    return seen[: HEATS - 1] + [heat for heat in heats if heat.argmax_cam is None][:1]


def _in_view(point_cam: Float32[np.ndarray, " 3"], intrinsics: Intrinsics) -> bool:
    u, v, z = intrinsics.project(point_cam[None].astype(np.float64))
    return bool(z[0] > 0 and 0 <= u[0] < intrinsics.width and 0 <= v[0] < intrinsics.height)


def _heat(result: QueryResult) -> Heat:
    points, _, relevancy = cloud_arrays(result.cloud)
    best = np.array([result.argmax.x, result.argmax.y, result.argmax.z], np.float32)
    found = result.status in (QueryResult.FOUND, QueryResult.AMBIGUOUS)
    status, probability = STATUS_NAMES[result.status], float(result.probability)
    return Heat(result.prompt, status, probability, points, relevancy, best if found else None)


def _intrinsics(session: Session) -> Intrinsics:
    info = session.client.info
    if info is None:
        raise RuntimeError("no CameraInfo has come yet")
    return Intrinsics(info.width, info.height, info.k[0], info.k[4], info.k[2], info.k[5])


def _cloud(session: Session) -> Image:
    clouds, labels = [], []
    for row in session.story.phrases:
        result = session.results[row.phrase]
        if row.kind == "colour+category" and row.status == "FOUND":
            points, colours, _ = cloud_arrays(result.cloud)
            clouds.append((points, colours))
            if len(points):
                labels.append((row.phrase, points.mean(0)))
    if not clouds:
        return cloud_from_above(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), [])
    return cloud_from_above(np.concatenate([p for p, _ in clouds]), np.concatenate([c for _, c in clouds]), labels)


def _write(path: Path, rgb: Image) -> None:
    cv2.imwrite(str(path), rgb[..., ::-1])
