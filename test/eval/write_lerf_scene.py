# SPDX-License-Identifier: Apache-2.0
"""Simulated tables written in the formats of LERF's dataset and of LERF-OVS, labelled from the renderer's own ids."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import open_clip  # noqa: F401  (with osmesa it must be imported before MuJoCo)

from lerf_ros.sim.camera import RenderedFrame, SceneRenderer
from lerf_ros.sim.scan import Viewpoint
from lerf_ros.sim.scene import Scene, build
from lerf_ros.sim.spec import ObjectSpec, SceneSpec

WIDTH, HEIGHT, FOVY_DEG = 160, 120, 52.0
RENDER = 4
"""How many times larger the camera path says it was rendered than the images that were labelled."""

CAPTURE = [Viewpoint(a, e, 0.5) for a, e in ((180, 60), (150, 50), (120, 50), (-150, 50), (-120, 50), (180, 35))]
NOVEL = [Viewpoint(165, 55, 0.45), Viewpoint(-165, 45, 0.55)]
OBJECTS = {"red mug": (0.36, 0.1), "blue book": (0.48, -0.08), "green bowl": (0.48, 0.1)}
OPTICAL_FROM_GL = np.diag([1.0, -1.0, -1.0, 1.0])
GONE = -1


@contextmanager
def table(objects: Mapping[str, tuple[float, float]] = OBJECTS) -> Iterator[tuple[Scene, SceneRenderer]]:
    """Build a table with the named things ("red mug"), the arm turned away."""
    specs = tuple(
        ObjectSpec(name.replace(" ", "_"), name.split()[1], name.split()[0], at, 0.4, k + 1)
        for k, (name, at) in enumerate(objects.items())
    )
    scene = build(SceneSpec(0, "wooden", "gray", specs))
    scene.data.joint(0).qpos[0] = 2.9
    scene.forward()
    with SceneRenderer(scene, WIDTH, HEIGHT) as renderer:
        yield scene, renderer


def seen(renderer: SceneRenderer, T_world_cam: np.ndarray) -> RenderedFrame:
    return renderer.render_from(T_world_cam, fovy_deg=FOVY_DEG, segmentation=True)


def masks(scene: Scene, frame: RenderedFrame) -> dict[str, np.ndarray]:
    """Return the pixels of each thing that is seen, by phrase."""
    assert frame.geom_id is not None
    owner = np.where(frame.geom_id >= 0, scene.geom_object[frame.geom_id], GONE)
    found = {f"{o.colour} {o.category}": owner == k for k, o in enumerate(scene.spec.objects)}
    return {phrase: mask for phrase, mask in found.items() if mask.sum() >= 20}


def box_of(mask: np.ndarray) -> list[list[float]]:
    v, u = np.nonzero(mask)
    return [[float(u.min()), float(v.min())], [float(u.max()), float(v.max())]]


def write_json(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def write_capture(folder: Path, frames: Sequence[RenderedFrame]) -> None:
    """Write `images/` and `transforms.json` as Polycam's captures have them: intrinsics in every frame."""
    (folder / "images").mkdir(parents=True)
    entries = []
    for k, frame in enumerate(frames):
        name, i = f"images/frame_{k + 1:05}.png", frame.intrinsics
        cv2.imwrite(str(folder / name), frame.rgb[..., ::-1])
        entries.append({"file_path": name, "fl_x": i.f_px, "fl_y": i.f_px, "cx": i.cx_px, "cy": i.cy_px, "w": i.width,
                        "h": i.height, "transform_matrix": (frame.T_world_cam @ OPTICAL_FROM_GL).tolist()})  # fmt: skip
    write_json(folder / "transforms.json", {"camera_model": "OPENCV", "frames": entries})


def in_nerfstudio(T_world_gl: np.ndarray, capture_gl: np.ndarray) -> np.ndarray:
    """Return a pose as nerfstudio's viewer knows it: up turned to z by Rodrigues, centred, scaled into a unit cube."""
    up = capture_gl[:, :3, 1].mean(axis=0)
    up /= np.linalg.norm(up)
    axis = np.cross(up, [0, 0, 1])
    angle = np.arctan2(np.linalg.norm(axis), up[2])
    turn = cv2.Rodrigues(axis / np.linalg.norm(axis) * angle)[0]
    centre = capture_gl[:, :3, 3].mean(axis=0)
    scale = 1 / np.abs((capture_gl[:, :3, 3] - centre) @ turn.T).max()
    out = np.eye(4)
    out[:3, :3] = turn @ T_world_gl[:3, :3]
    out[:3, 3] = scale * (turn @ (T_world_gl[:3, 3] - centre))
    return out


def keyframe(T: np.ndarray) -> dict[str, Any]:
    """Return an entry as nerfstudio's first viewer wrote it: a string of columns."""
    return {"matrix": json.dumps(T.T.ravel().tolist()), "fov": FOVY_DEG, "aspect": WIDTH / HEIGHT,
            "properties": json.dumps([["FOV", FOVY_DEG], ["NAME", "Camera"], ["TIME", 0]])}  # fmt: skip


def camera_path(keyframes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"keyframes": list(keyframes), "camera_type": "perspective", "render_height": RENDER * HEIGHT,
            "render_width": RENDER * WIDTH, "camera_path": [], "fps": 24, "seconds": 4, "is_cycle": False}  # fmt: skip


def labelme(found: Mapping[str, np.ndarray], index: int) -> dict[str, Any]:
    """Return labelme's document; every second rectangle is drawn from its lower right corner."""
    shapes = [
        {"label": phrase, "points": box_of(mask)[:: 1 if k % 2 else -1], "group_id": None, "shape_type": "rectangle",
         "flags": {}}
        for k, (phrase, mask) in enumerate(found.items())
    ]  # fmt: skip
    return {"version": "5.2.1", "flags": {}, "shapes": shapes, "imagePath": f"{index}_rgb.png", "imageData": None,
            "imageHeight": HEIGHT, "imageWidth": WIDTH}  # fmt: skip


def write_lerf(folder: Path, name: str = "table") -> None:
    """Write a scene as LERF's dataset is laid out: a capture, and labels of two novel views."""
    with table() as (scene, renderer):
        capture = [seen(renderer, view.pose()) for view in CAPTURE]
        write_capture(folder / "LERF Datasets" / name, capture)
        poses = np.stack([f.T_world_cam @ OPTICAL_FROM_GL for f in capture])
        labels = folder / "Localization eval dataset" / name
        novel = [view.pose() for view in NOVEL]
        entries = [keyframe(in_nerfstudio(T @ OPTICAL_FROM_GL, poses)) for T in novel]
        write_json(labels / "keyframes.json", camera_path(entries))
        for k, pose in enumerate(novel):
            write_json(labels / f"{k}_rgb.json", labelme(masks(scene, seen(renderer, pose)), k))


def write_ovs(folder: Path, name: str = "table") -> None:
    """Write a scene as LERF-OVS is laid out: labels of two images of the capture."""
    with table() as (scene, renderer):
        capture = [seen(renderer, view.pose()) for view in CAPTURE]
        write_capture(folder / name, capture)
        for k in (1, 3):
            objects = []
            for phrase, mask in masks(scene, capture[k]).items():
                outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                largest = max(outlines, key=len)[:, 0].tolist()
                low, high = box_of(mask)
                objects.append({"category": phrase, "group": 1, "segmentation": largest, "bbox": [*low, *high]})
            stem = f"frame_{k + 1:05}"
            info = {"name": f"{stem}.jpg", "width": WIDTH, "height": HEIGHT, "depth": 3, "note": ""}
            write_json(folder / "label" / name / f"{stem}.json", {"info": info, "objects": objects})
