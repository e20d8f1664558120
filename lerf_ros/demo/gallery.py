# SPDX-License-Identifier: Apache-2.0
"""Writes what the demonstration saw: pictures, and one cloud a phrase."""

from pathlib import Path

import cv2
import numpy as np

from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.ply import write_ply
from lerf_ros.demo.judge import STATUS_NAMES
from lerf_ros.demo.pictures import Heat, Image, captioned, cloud_from_above, grid, heat_over
from lerf_ros.demo.session import Session
from lerf_ros.msg import QueryResult
from lerf_ros.ros.answers import cloud_arrays

SHOWN = 5


def write_pictures(session: Session, out: Path) -> None:
    """Write `camera.png`, `heat.png` (some phrases over the camera's view) and `cloud.png`."""
    rgb = session.client.rgb()
    _write(out / "camera.png", rgb)
    heats = [heat_over(rgb, _intrinsics(session), heat) for heat in _heats(session)]
    _write(out / "heat.png", grid([captioned(rgb, "what the wrist camera sees"), *heats], 3))
    _write(out / "cloud.png", captioned(_cloud(session), "cut out by name, as the node sees it in 3D"))


def write_clouds(session: Session, out: Path) -> None:
    """Write `clouds/<phrase>.ply` for everything found: points, colours, relevancy."""
    folder = out / "clouds"
    folder.mkdir(exist_ok=True)
    for phrase, result in session.results.items():
        points, colours, relevancy = cloud_arrays(result.cloud)
        if len(points):
            write_ply(folder / f"{phrase.replace(' ', '_')}.ply", points, colours, relevancy=relevancy)


def _heats(session: Session) -> list[Heat]:
    """Ask some phrases again, in the frame of the camera as it stands now; one that is not there last."""
    rows = session.story.phrases
    present = [r.phrase for r in rows if r.right and r.kind == "colour+category"][: SHOWN - 1]
    absent = [r.phrase for r in rows if r.right and r.expected == "NOT_FOUND"][: SHOWN - len(present)]
    frame = session.client.image.header.frame_id if session.client.image else ""
    phrases = present + absent
    if not phrases:
        return []
    answer = session.client.ask(phrases, target_frame=frame, max_points=20000)
    return [_heat(result) for result in answer.results]


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
