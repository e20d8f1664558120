# SPDX-License-Identifier: Apache-2.0
"""Rendered views of a field whose surface and language are known everywhere."""

import dataclasses

import numpy as np
import pytest
import torch
from analytic import look_at, render
from colour_encoder import ColourEncoder
from known_field import embedding, known_config, known_weights

from lerf_ros.config import Config, from_flat
from lerf_ros.core import field_view, rendering
from lerf_ros.core.contraction import SceneBox
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.hashgrid.workers import Workers
from lerf_ros.core.language import LanguageTrainer
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.radiance import RadianceTrainer
from lerf_ros.core.rays import image_rays
from lerf_ros.errors import MapFileError

LEFT, RIGHT, UP, OTHER = np.eye(6, dtype=np.float32)[:4]
CONFIG = known_config(from_flat({"workspace.min_m": (-0.3, -0.3, -0.1), "workspace.max_m": (0.3, 0.3, 0.3)}))
BOX = SceneBox.of(CONFIG.workspace)
CAMERA = Intrinsics(48, 36, 36.0, 36.0, 23.5, 17.5)
DOWN = look_at((0.02, -0.05, 0.35), (0.0, 0.0, 0.0))
LEVEL = look_at((0.0, -0.28, 0.05), (0.0, 0.0, 0.05))
SCALES = np.float32([0.05, 0.3])
WEIGHTS = known_weights(CONFIG, LEFT, RIGHT, UP, CAMERA, [DOWN, LEVEL])


@pytest.fixture(scope="module")
def view() -> FieldView:
    return FieldView(WEIGHTS, CONFIG, len(LEFT), samples=64)


def embeddings(view: FieldView, T: np.ndarray) -> np.ndarray:
    """Return what relevancy is computed from, S H W D: against no negative, a phrase along an axis tells a coordinate.

    With phrases of length 0.1 relevancy is sigmoid(10 x 0.1 x coordinate), far from where it saturates; 0 is an empty
    ray.
    """
    axes = 0.1 * np.eye(len(LEFT), dtype=np.float32)
    found = view.relevancy(CAMERA, T, axes, np.zeros((1, len(LEFT)), np.float32), SCALES).astype(np.float64)
    empty = found == 0
    assert (empty == empty[0]).all()
    known = np.where(empty, 0.5, found)
    return np.moveaxis(np.log(known / (1 - known)), 0, -1)


def ground(T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each pixel's ray meets z = 0, and which of these places lie well inside the cube."""
    rays = image_rays(CAMERA, T)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(rays.directions[:, 2] < 0, -rays.origins[:, 2] / rays.directions[:, 2], np.nan)
    points = rays.origins + t[:, None] * rays.directions
    return points, (np.abs(points - BOX.centre) < BOX.half_m - 0.02).all(axis=1)


def test_depth_is_where_the_surface_is(view: FieldView) -> None:
    seen = view.colour(CAMERA, DOWN)
    points, inside = ground(DOWN)
    z = (points - DOWN[:3, 3]) @ DOWN[:3, 2]
    assert np.median(np.abs(seen.depth_m.ravel() - z)[inside]) < 0.01
    np.testing.assert_allclose(seen.rgb, 0.5, atol=0.01)


def test_embeddings_are_those_of_the_surface_at_each_scale(view: FieldView) -> None:
    points, inside = ground(DOWN)
    assert inside.mean() > 0.5
    images = embeddings(view, DOWN)
    assert len(images) == len(SCALES)
    for image, scale in zip(images, SCALES, strict=True):
        expected = embedding(points, float(scale), BOX, LEFT, RIGHT, UP)[inside]
        found = image.reshape(-1, len(LEFT))[inside]
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        assert (found * expected).sum(axis=1).min() > 0.998


def test_embeddings_agree_with_what_is_published_for_the_surface(view: FieldView) -> None:
    trainer = LanguageTrainer(CONFIG, len(LEFT), RadianceTrainer(CONFIG, Workers(1)), Workers(1))
    state = {k.removeprefix("language."): torch.from_numpy(v) for k, v in WEIGHTS.items() if k.startswith("language.")}
    trainer.field.load_state_dict(state)
    rays = image_rays(CAMERA, DOWN)
    points = rays.points((view.colour(CAMERA, DOWN).depth_m.ravel() / rays.z_per_t)[:, None])[:, 0]
    inside = (np.abs(points - BOX.centre) < BOX.half_m - 0.02).all(axis=1)
    assert inside.mean() > 0.5
    for image, published in zip(embeddings(view, DOWN), trainer.evaluate(points[inside], SCALES), strict=True):
        known = published.float().numpy()
        known /= np.linalg.norm(known, axis=1, keepdims=True)  # they are kept as bfloat16
        assert (image.reshape(-1, len(LEFT))[inside] * known).sum(axis=1).min() > 0.998


def test_relevancy_is_the_sigmoid_of_ten_times_the_margin(view: FieldView) -> None:
    found = view.relevancy(CAMERA, DOWN, np.stack([LEFT, OTHER]), np.stack([RIGHT]), SCALES)
    assert found.shape == (2, 2, CAMERA.height, CAMERA.width)
    points, inside = ground(DOWN)
    for s, scale in enumerate(SCALES):
        e = embedding(points, float(scale), BOX, LEFT, RIGHT, UP)[inside]
        for p, query in enumerate((LEFT, OTHER)):
            expected = 1 / (1 + np.exp(-10 * (e @ query - e @ RIGHT)))
            assert np.abs(found[p, s].ravel()[inside] - expected).max() < 0.08
            assert np.abs(found[p, s].ravel()[inside] - expected).mean() < 0.01


def test_rays_that_meet_nothing_in_the_workspace_have_no_relevancy(view: FieldView) -> None:
    sky = (image_rays(CAMERA, LEVEL).directions[:, 2] > 0.02).reshape(CAMERA.height, CAMERA.width)
    assert sky.mean() > 0.3
    found = view.relevancy(CAMERA, LEVEL, LEFT[None], RIGHT[None], SCALES)
    assert (found[:, :, sky] == 0).all()
    assert (found[:, :, -3:] > 0).all()  # the ground before the camera


def test_every_sample_looked_up_gives_the_same(view: FieldView) -> None:
    """The slow twin: LERF's top-k, every one of them looked up, on rays that the surface is sharp or grazing for."""
    rays = image_rays(CAMERA, LEVEL)
    t, every = view._radiance.distances(rays, 64)
    weights, index = rendering.top_samples(every, view._top)
    points = torch.from_numpy(rays.points(t.gather(-1, index).numpy()))
    keep = torch.from_numpy((np.abs(points.numpy() - BOX.centre) <= BOX.half_m).all(-1))
    assert view._language is not None
    with torch.no_grad():
        each = view._language(points.reshape(-1, 3), torch.full((weights.numel(),), float(SCALES[1])))
    summed = rendering.composite(weights * keep, each.view(*weights.shape, -1))
    full = (weights * keep).sum(-1) >= field_view.MIN_WEIGHT
    slow = torch.nn.functional.normalize(summed, dim=-1)[full].numpy()
    fast = embeddings(view, LEVEL)[1].reshape(-1, len(LEFT))
    assert ((fast != 0).any(axis=1) == full.numpy()).all()
    assert (fast[full.numpy()] * slow).sum(axis=1).min() > 0.999


def test_chunks_do_not_show(view: FieldView, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = view.relevancy(CAMERA, DOWN, LEFT[None], RIGHT[None], SCALES)
    monkeypatch.setattr(field_view, "RAYS", 101)
    np.testing.assert_allclose(view.relevancy(CAMERA, DOWN, LEFT[None], RIGHT[None], SCALES), whole, atol=2e-3)


def test_cameras_of_keyframes(view: FieldView) -> None:
    camera, pose = view.camera(1)
    assert camera == CAMERA
    np.testing.assert_array_equal(pose, LEVEL)
    for index in (-1, 2):
        with pytest.raises(MapFileError, match=f"no view {index}: the map has views 0 to 1"):
            view.camera(index)
    old = {k: v for k, v in WEIGHTS.items() if k != "keyframes.intrinsics"}
    with pytest.raises(MapFileError, match=r"without the intrinsics.*map anew"):
        FieldView(old, CONFIG).camera(0)


def test_a_mapper_writes_the_cameras_of_its_keyframes() -> None:
    mapper = LerfMapper(CONFIG, ColourEncoder())
    keyframe = mapper.prepare(render((), DOWN, camera=CAMERA))
    assert keyframe is not None
    mapper.add(keyframe)
    weights = mapper.weights()
    mapper.close()
    camera, pose = FieldView(weights, CONFIG, ColourEncoder.embed_dim).camera(0)
    assert camera == CAMERA
    np.testing.assert_allclose(pose, DOWN, atol=1e-12)


def test_two_language_grids_are_built_as_configured() -> None:
    config: Config = dataclasses.replace(
        CONFIG, field=dataclasses.replace(CONFIG.field, language_grids=2, language_split_resolution=32)
    )
    with pytest.raises(MapFileError, match="fine_grid"):
        FieldView(WEIGHTS, config, len(LEFT))
    view = FieldView(known_weights_of_two_grids(config), config, len(LEFT))
    lengths = np.linalg.norm(embeddings(view, DOWN), axis=-1).reshape(len(SCALES), -1)
    np.testing.assert_allclose(lengths[:, ground(DOWN)[1]], 1, atol=1e-5)


def known_weights_of_two_grids(config: Config) -> dict[str, np.ndarray]:
    trainer = LanguageTrainer(config, len(LEFT), RadianceTrainer(config, Workers(1)), Workers(1))
    rest = {k: v for k, v in WEIGHTS.items() if not k.startswith("language.")}
    return rest | {f"language.{k}": v.numpy() for k, v in trainer.field.state_dict().items()}


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MapFileError, match="encoder of width 9"):
        FieldView(WEIGHTS, CONFIG, 9)
    with pytest.raises(MapFileError, match="do not fit its configuration"):
        FieldView({k: v for k, v in WEIGHTS.items() if k != "density_grid"}, CONFIG)
    with pytest.raises(MapFileError, match="do not fit its configuration"):
        FieldView(WEIGHTS, from_flat({"field.hidden": 16}, CONFIG))
    with pytest.raises(MapFileError, match="made without an encoder"):
        FieldView({k: v for k, v in WEIGHTS.items() if not k.startswith("language.")}, CONFIG, 6)
    with pytest.raises(MapFileError, match="colour and depth only"):
        FieldView(WEIGHTS, CONFIG).relevancy(CAMERA, DOWN, LEFT[None], RIGHT[None], SCALES)
