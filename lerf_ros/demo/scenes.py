# SPDX-License-Identifier: Apache-2.0
"""From the user's seed to a scene worth showing: enough things on the table, some of which the gripper can take."""

from lerf_ros.sim.spec import SceneSpec, sample_spec

OBJECTS = 8
MIN_OBJECTS = 6
MIN_EASY = 2
EASY = frozenset({"can", "box", "apple", "ball", "bottle", "duck"})
TRIES = 100


def demo_scene(seed: int) -> SceneSpec:
    """Return the first scene of the seed's hundred with at least 6 objects that fit, 2 of them easy to take.

    Which phrases the node will find plays no part in the choice. `SceneSpec.seed` is what the robot is started with.
    """
    for k in range(TRIES):
        spec = sample_spec(seed * TRIES + k, n_objects=OBJECTS)
        if len(spec.objects) >= MIN_OBJECTS and sum(o.category in EASY for o in spec.objects) >= MIN_EASY:
            return spec
    raise RuntimeError(f"no scene of seed {seed} has {MIN_OBJECTS} objects, {MIN_EASY} of them easy to take")
