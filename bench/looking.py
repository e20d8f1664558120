# SPDX-License-Identifier: Apache-2.0
"""One simulated table that a wrist camera looks at, view by view, as some policy chooses them."""

from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import numpy as np
import open_clip  # noqa: F401  (before mujoco: the other order crashes under osmesa)
from jaxtyping import Float64
from scipy.spatial import cKDTree

from lerf_ros.core.encoders import load_encoder
from lerf_ros.core.field_view import FieldView
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.next_views import candidates, rank_views
from lerf_ros.core.uncertainty import uncertain_surface
from lerf_ros.eval.mapping import node_config, posed_image, turn_arm_away
from lerf_ros.eval.scenes import scene_spec
from lerf_ros.sim.camera import SceneRenderer
from lerf_ros.sim.kinematics import Kinematics
from lerf_ros.sim.scan import VIEWPOINTS
from lerf_ros.sim.scene import HOME_JOINTS_RAD, build
from lerf_ros.sim.truth import surface_points

CLOSE_M: Final = 0.008
"""A point of the truth counts as seen when the map has one this near."""

ABOVE_TABLE_M: Final = 0.004
OFFERED: Final = 40
TRUTH_POINTS: Final = 1500
Pose = Float64[np.ndarray, "4 4"]


class Table:
    """A scene of the evaluation with its truth. Use it as a context manager.

    Args:
        index: of the scene.
        steps: training steps after each view.
    """

    def __init__(self, index: int, steps: int) -> None:
        self._index, self._steps = index, steps
        self._config = node_config()
        self._encoder = load_encoder(self._config.encoder)
        self._scene = build(scene_spec(0, index))
        things = range(len(self._scene.spec.objects))
        truth = [surface_points(self._scene, i, TRUTH_POINTS) for i in things]
        self._truth = [points[points[:, 2] > ABOVE_TABLE_M] for points in truth]
        self._kinematics = Kinematics(self._scene)
        turn_arm_away(self._scene)
        self._renderer = SceneRenderer(self._scene)

    def __enter__(self) -> Self:
        self._renderer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._renderer.__exit__(kind, error, at)

    def look(self, policy: str, budget: int) -> list[float]:
        """Return the share of the objects' surface that is seen after 1, 2, ... `budget` views.

        Args:
            policy: "next" (what the map asks for), "random" (any of its candidates) or "scan" (some of the scripted).
            budget: views.
        """
        mapper = LerfMapper(self._config, self._encoder)
        mapper.set_threads(1)
        seen: list[float] = []
        for k, pose in enumerate(self._poses(policy, mapper, budget)):
            frame = self._renderer.render_from(pose, depth=True)
            keyframe = mapper.prepare(posed_image(frame, (k + 1) * 10**9, self._config.input.depth_max_m))
            if keyframe is not None:
                mapper.add(keyframe)
                for _ in range(self._steps):
                    mapper.step()
            seen.append(self._share(mapper))
        mapper.close()
        return seen

    def _poses(self, policy: str, mapper: LerfMapper, budget: int) -> Iterator[Pose]:
        if policy == "scan":
            yield from (VIEWPOINTS[k * len(VIEWPOINTS) // budget].pose() for k in range(budget))
            return
        rng = np.random.default_rng(self._index)
        joints = np.array(HOME_JOINTS_RAD)
        yield VIEWPOINTS[0].pose()
        for _ in range(budget - 1):
            for pose in self._wanted(mapper, None if policy == "next" else rng):
                reached = self._kinematics.solve_camera(pose, joints)
                if reached is not None:
                    joints = reached
                    yield pose
                    break

    def _wanted(self, mapper: LerfMapper, rng: np.random.Generator | None) -> list[Pose]:
        """Return poses in the order they are tried: ranked, or shuffled."""
        snapshot = mapper.publish()
        assert snapshot is not None
        view = FieldView(snapshot.weights, self._config)
        uncertain = uncertain_surface(snapshot, view, self._encoder, self._config)
        if rng is not None:
            return list(rng.permutation(candidates(uncertain, snapshot.surface, self._config)))
        taken = [view.camera(k)[1] for k in range(view.views)]
        ranked = rank_views(uncertain, snapshot.surface, view.camera(0)[0], self._config, OFFERED, taken)
        return [each.T_world_cam for each in ranked]

    def _share(self, mapper: LerfMapper) -> float:
        snapshot = mapper.publish()
        assert snapshot is not None
        tree = cKDTree(snapshot.surface.points)
        return float(np.mean([(tree.query(points)[0] <= CLOSE_M).mean() for points in self._truth]))
