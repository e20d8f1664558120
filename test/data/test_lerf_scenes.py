# SPDX-License-Identifier: Apache-2.0
"""The reader of LERF's scenes on files written by hand, in every documented variant, good and bad."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lerf_ros.data.labels import LabelledScene
from lerf_ros.data.layouts import scene_folders
from lerf_ros.data.lerf_scenes import read_lerf_scene
from lerf_ros.errors import DatasetError

Document = dict[str, Any]

UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""An OpenGL camera that looks along world y: its x is world x, its y is world z."""


def pose(rotation: np.ndarray, *position: float) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation, position
    return T


CAPTURE = [pose(UPRIGHT, 0, 0, 0), pose(UPRIGHT, 4, 0, 0)]
"""Up is z already: nerfstudio only moves the middle (2, 0, 0) to the origin, and halves."""

KEYFRAME = pose(UPRIGHT, 0, 1, 0)
"""In nerfstudio's frame; in the capture's it stands at 2 (0, 1, 0) + (2, 0, 0) = (2, 2, 0)."""


def write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document))


def read(path: Path) -> Document:
    document: Document = json.loads(path.read_text())
    return document


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene with capture and labels in one folder."""
    folder = tmp_path / "kitchen"
    (folder / "images").mkdir(parents=True)
    frames = []
    for k, T in enumerate(CAPTURE):
        cv2.imwrite(str(folder / f"images/{k}.png"), np.zeros((6, 8, 3), np.uint8))
        frames.append({"file_path": f"images/{k}.png", "fl_x": 5.0, "fl_y": 5.0, "cx": 3.5, "cy": 2.5, "w": 8, "h": 6,
                       "transform_matrix": T.tolist()})  # fmt: skip
    write(folder / "transforms.json", {"camera_model": "OPENCV", "frames": frames})
    keyframe = {"matrix": json.dumps(KEYFRAME.T.ravel().tolist()), "fov": 90.0, "aspect": 16 / 9}
    write(folder / "keyframes.json", {"keyframes": [keyframe], "camera_type": "perspective", "render_height": 1080,
                                      "render_width": 1920, "camera_path": []})  # fmt: skip
    shapes = [
        {"label": " red mug ", "points": [[100, 80], [40, 20]], "shape_type": "rectangle"},
        {"label": "spoon", "points": [[0, 0], [480, 270]], "shape_type": "rectangle"},
        {"label": "red mug", "points": [[200, 100.5], [220, 110]]},
    ]
    write(folder / "0_rgb.json", {"shapes": shapes, "imageHeight": 270, "imageWidth": 480, "imagePath": "0_rgb.png"})
    return folder


def read_scene(folder: Path) -> LabelledScene:
    (home,) = scene_folders(folder)
    found = read_lerf_scene(folder, home)
    assert found is not None
    return found


def position(folder: Path) -> list[float]:
    T = read_scene(folder).views[0].T_world_cam
    # The camera looks along world y; optical axes: x right, y down, z forward.
    np.testing.assert_allclose(T[:3, :3], np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]), atol=1e-9)
    return T[:3, 3].round(9).tolist()


def test_boxes_poses_and_intrinsics(scene: Path) -> None:
    found = read_scene(scene)
    assert (found.name, len(found.frames)) == ("kitchen", 2)
    (view,) = found.views
    assert view.boxes["red mug"].tolist() == [[40, 20, 100, 80], [200, 100.5, 220, 110]]
    assert view.boxes["spoon"].tolist() == [[0, 0, 480, 270]]
    assert not view.masks
    k = view.intrinsics
    assert (k.width, k.height, k.cx, k.cy) == (480, 270, 239.5, 134.5)
    assert (k.fx, k.fy) == pytest.approx((135.0, 135.0))  # 90 degrees: half the height
    assert position(scene) == [2, 2, 0]


def as_rows(entry: Document) -> None:
    entry["matrix"] = KEYFRAME.ravel().tolist()


def as_nested_rows(entry: Document) -> None:
    entry["matrix"] = KEYFRAME.tolist()


def fov_in_properties(entry: Document) -> None:
    entry["properties"] = json.dumps([["FOV", entry.pop("fov")], ["NAME", "Camera 0"]])


@pytest.mark.parametrize("change", [as_rows, as_nested_rows, fov_in_properties])
def test_both_generations_of_viewers(scene: Path, change: Callable[[Document], None]) -> None:
    document = read(scene / "keyframes.json")
    change(document["keyframes"][0])
    write(scene / "keyframes.json", document)
    assert position(scene) == [2, 2, 0]
    assert read_scene(scene).views[0].intrinsics.fy == pytest.approx(135.0)


def test_a_camera_path_without_keyframes(scene: Path) -> None:
    document = read(scene / "keyframes.json")
    del document["keyframes"]
    document["default_fov"] = 2 * math.degrees(math.atan(0.5))
    document["camera_path"] = [{"camera_to_world": KEYFRAME.ravel().tolist()}]
    write(scene / "keyframes.json", document)
    assert position(scene) == [2, 2, 0]
    assert read_scene(scene).views[0].intrinsics.fy == pytest.approx(270.0)


def test_a_saved_normalisation_counts_from_before_the_applied_transform(scene: Path) -> None:
    capture = read(scene / "transforms.json")
    capture["applied_transform"] = [[1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0]]
    write(scene / "transforms.json", capture)
    # From the original frame x is +5 - 7 = -2: from the capture's, -7.
    saved = {"transform": [[1, 0, 0, -2], [0, 1, 0, 0], [0, 0, 1, 0]], "scale": 0.25}
    write(scene / "dataparser_transforms.json", saved)
    assert position(scene) == [7, 4, 0]


def test_no_orientation_where_the_capture_says_so(scene: Path) -> None:
    capture = read(scene / "transforms.json")
    roll = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for entry, T in zip(capture["frames"], CAPTURE, strict=True):
        entry["transform_matrix"] = (T @ pose(roll, 0, 0, 0)).tolist()
    capture["orientation_override"] = "none"
    write(scene / "transforms.json", capture)
    assert position(scene) == [2, 2, 0]


def test_the_published_folders(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "LERF Datasets").mkdir()
    labels = tmp_path / "Localization_eval_dataset" / "kitchen"
    labels.mkdir(parents=True)
    for name in ("keyframes.json", "0_rgb.json"):
        (scene / name).rename(labels / name)
    assert read_lerf_scene(tmp_path, scene) is not None
    scene.rename(tmp_path / "LERF Datasets" / "kitchen")
    assert position(tmp_path) == [2, 2, 0]
    assert read_lerf_scene(tmp_path / "LERF Datasets", tmp_path / "LERF Datasets" / "kitchen") is None


def test_a_capture_without_labels_is_no_labelled_scene(scene: Path) -> None:
    (scene / "keyframes.json").unlink()
    (scene / "0_rgb.json").unlink()
    assert read_lerf_scene(scene, scene) is None


def _change(file: str, change: Callable[[Document], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        document = read(folder / file)
        change(document)
        write(folder / file, document)

    return apply


def _path(change: Callable[[Document], object]) -> Callable[[Path], None]:
    return _change("keyframes.json", change)


def _keyframe(**values: object) -> Callable[[Path], None]:
    return _path(lambda d: d["keyframes"][0].update(values))


def _label(change: Callable[[Document], object]) -> Callable[[Path], None]:
    return _change("0_rgb.json", change)


def _shape(**values: object) -> Callable[[Path], None]:
    return _label(lambda d: d["shapes"][0].update(values))


HUGE = 10**400
"""A number in JSON, and none that a float can hold."""

FAR = [*[1.0, 0, 0, 1e308], *[0, 1.0, 0, 0], *[0, 0, 1.0, 0], *[0, 0, 0, 1.0]]


def nested(depth: int) -> str:
    """Return JSON that Python's reader still takes, in an object."""
    return '{"keyframes": ' + "[" * depth + "]" * depth + "}"


def _saved(scale: object = 1, applied_scale: object = 1) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        _change("transforms.json", lambda d: d.update(applied_scale=applied_scale))(folder)
        write(folder / "dataparser_transforms.json", {"transform": np.eye(4)[:3].tolist(), "scale": scale})

    return apply


NAN = [*[1.0, 0, 0, 0] * 3, float("nan"), 0, 0, 1]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "keyframes.json").write_text("{"), r"keyframes\.json is not JSON"),
        (lambda f: (f / "keyframes.json").write_text("[]"), r"keyframes\.json holds a JSON list"),
        (lambda f: (f / "keyframes.json").write_bytes(b"\xff\xfe\x00"), r"keyframes\.json is not JSON"),
        (lambda f: (f / "keyframes.json").write_text("[" * 100_000), r"keyframes\.json is not JSON .* more than 64"),
        (lambda f: (f / "keyframes.json").write_text(nested(800)), r"keyframes\.json is not JSON .* more than 64"),
        (lambda f: (f / "keyframes.json").unlink(), r"labels \(\*_rgb\.json\) but no keyframes\.json"),
        (lambda f: (f / "0_rgb.json").unlink(), r"has keyframes\.json but no labels: expected 0_rgb\.json"),
        (lambda f: (f / "0_rgb.json").rename(f / "7_rgb.json"), r"7_rgb\.json has no keyframe: .* keyframe 0"),
        (lambda f: (f / "0_rgb.json").rename(f / "first_rgb.json"), "named after its keyframe, as 0_rgb.json"),
        (lambda f: (f / "images/1.png").unlink(), "frame 1.*'images/1.png' does not exist"),
        (_path(lambda d: d.update(keyframes=[])), "no list 'keyframes' or 'camera_path'"),
        (_path(lambda d: d.update(keyframes=[7])), "keyframes 0 is not an object"),
        (_path(lambda d: d.update(camera_type="fisheye")), "camera_type 'fisheye' is not supported"),
        (_path(lambda d: d.pop("render_width")), "render_width and render_height must be a number, not None"),
        (_path(lambda d: d.update(render_width=HUGE)), "render_width and render_height must be a number"),
        (_path(lambda d: d.update(render_width=10**9)), "at most 8294400 pixels, not 1e\\+09 x 1080"),
        (_path(lambda d: d.update(render_height=0)), "must be whole numbers of pixels"),
        (_path(lambda d: d["keyframes"][0].pop("matrix")), "neither 'matrix' nor 'camera_to_world'"),
        (_keyframe(matrix=NAN), "keyframes 0: matrix holds NaN"),
        (_keyframe(matrix=json.dumps(NAN)), "keyframes 0: matrix holds NaN"),
        (_keyframe(matrix=[1, 2, 3]), "16 numbers or four rows of four"),
        (_keyframe(matrix=[[1], [2, 3]]), "must be 16 numbers"),
        (_keyframe(matrix={"a": 1}), "matrix must be a list"),
        (_keyframe(matrix="[" * 100_000), "keyframes 0: matrix is a string that is not JSON .* more than 64"),
        (_keyframe(matrix=[HUGE] * 16), "keyframes 0: matrix must be 16 numbers: .*too large"),
        (_keyframe(matrix=FAR), "by nerfstudio's scale, keyframe 0 of keyframes.json is at no finite place"),
        (_keyframe(matrix="__import__('os')"), "a string that is not JSON"),
        (_keyframe(matrix=(2 * np.eye(4)).ravel().tolist()), "not a rigid transform"),
        (_keyframe(matrix=np.ones(16).tolist()), "not a rigid transform"),
        (_keyframe(fov=None), r"fov \(degrees\) must be a number, not None"),
        (_keyframe(fov=None, properties="[[1"), "properties is a string that is not JSON"),
        (_keyframe(fov=None, properties=[1, [2]]), r"fov \(degrees\) must be a number, not None"),
        (_keyframe(fov=1e-320), "fov must lie between 0 and 180"),
        (_keyframe(fov=180), "fov must lie between 0 and 180"),
        (_label(lambda d: d.pop("imageWidth")), "imageWidth and imageHeight must be a number, not None"),
        (_label(lambda d: d.update(imageWidth=480 * 10**6, imageHeight=270 * 10**6)), "at most 8294400 pixels"),
        (_label(lambda d: d.update(imageWidth=300)), "300 x 270 is no resized render of 1920 x 1080"),
        (_label(lambda d: d.update(shapes=[])), "labels nothing"),
        (_label(lambda d: d.update(shapes=[3])), "shape 0 is not an object"),
        (_shape(label=""), "shape 0: label must be a phrase"),
        (_shape(label=None), "label must be a phrase, not None"),
        (_shape(shape_type="circle"), r"shape 0 \('red mug'\): shape_type must be 'rectangle'"),
        (_shape(points=[[1, 2]]), "at least 2 points"),
        (_shape(points=[[1, 2], [3, 4], [5, 6]]), "two points, not 3"),
        (_shape(points=[[1, 2], [3, "4"]]), "points must be a number, not '4'"),
        (_shape(points=[[1, 2], [3, HUGE]]), "points must be a number, not 1000"),
        (_shape(points=[[1, 2], [3, float("inf")]]), "points must be a number, not inf"),
        (_shape(points=[[10, 20], [490, 30]]), "box 10, 20 to 490, 30 reaches out of the image of 480 x 270"),
        (_shape(points=[[-9, 20], [30, 30]]), "reaches out of the image"),
        (_shape(points=[[10, 20], [10, 30]]), "has no area"),
        (_change("transforms.json", lambda d: d.update(orientation_override="pca")), "'pca' is not supported"),
        (_change("transforms.json", lambda d: d["frames"][1].update(d["frames"][0])), "all cameras are in one place"),
        (
            _change("transforms.json", lambda d: d["frames"][0].update(file_path="../../../etc/hostname")),
            "leads out of",
        ),
        (lambda f: write(f / "dataparser_transforms.json", {"transform": [[1]], "scale": 1}), "rigid 3 x 4 matrix"),
        (_saved(scale=0), "scale must be above 0, not 0"),
        (_saved(scale=-1), "scale must be above 0, not -1"),
        (_saved(scale=float("inf")), "scale must be a number, not inf"),
        (_saved(scale=HUGE), "scale must be a number, not 1000"),
        (_saved(applied_scale=0), "the capture's applied_scale must be above 0, not 0"),
        (_saved(applied_scale=float("inf")), "applied_scale must be a number, not inf"),
        (_saved(scale=1e-300, applied_scale=1e300), "scale / applied_scale is 0"),
        (_saved(scale=1e300, applied_scale=1e-300), "scale / applied_scale is inf"),
    ],
)
def test_what_is_wrong_is_named(scene: Path, spoil: Callable[[Path], object], says: str) -> None:
    spoil(scene)
    with pytest.raises(DatasetError, match=says):
        read_lerf_scene(scene, scene)


def test_a_box_may_overhang_by_a_pixel_and_is_cut(scene: Path) -> None:
    _shape(points=[[-0.6, 20], [480.9, 30]])(scene)
    assert read_scene(scene).views[0].boxes["red mug"][0].tolist() == [0, 20, 480, 30]


def test_wrong_folders_are_named(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing is not a folder"):
        scene_folders(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="has no scene 'ramen'; it has kitchen"):
        scene_folders(tmp_path, ["ramen"])
    (scene / "transforms.json").unlink()
    with pytest.raises(DatasetError, match=r"holds no capture: expected <scene>/transforms\.json"):
        scene_folders(tmp_path)
    (scene / "sparse").mkdir()
    with pytest.raises(DatasetError, match=r"COLMAP's poses .*ns-process-data"):
        scene_folders(tmp_path)


def test_links_out_of_the_dataset_are_refused(scene: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "kitchen").symlink_to(scene)
    with pytest.raises(DatasetError, match="leads out of"):
        scene_folders(dataset)
    (dataset / "kitchen").unlink()
    scene.rename(dataset / "kitchen")
    (tmp_path / "elsewhere").mkdir()
    (dataset / "label").mkdir()
    (dataset / "label" / "kitchen").symlink_to(tmp_path / "elsewhere")
    for name in ("keyframes.json", "0_rgb.json"):
        (dataset / "kitchen" / name).unlink()
    with pytest.raises(DatasetError, match="leads out of"):
        read_lerf_scene(dataset, dataset / "kitchen")
