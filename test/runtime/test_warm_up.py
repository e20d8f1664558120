# SPDX-License-Identifier: Apache-2.0
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from colour_encoder import ColourEncoder

from lerf_ros.config import from_flat
from lerf_ros.runtime import warm_up as module
from lerf_ros.runtime.warm_up import warm_up

SMALL = {"field.levels": 4, "field.log2_table": 12, "field.language_log2_table": 10, "train.rays": 64}
COMPILES = """
import gc, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from colour_encoder import ColourEncoder
from numba.core.dispatcher import Dispatcher
from lerf_ros.config import from_flat
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.mapper import LerfMapper
from lerf_ros.core.registration import register_depth
from lerf_ros.core.sentry import Sentry
from lerf_ros.core.visibility import in_view, splat_depth
from lerf_ros.runtime.warm_up import warm_up
config = from_flat({})

def kernels():
    ours = [o for o in gc.get_objects() if isinstance(o, Dispatcher) and o.py_func.__module__.startswith("lerf_ros")]
    return {(o.py_func.__module__, o.py_func.__name__, str(s)) for o in ours for s in o.signatures}

warm_up(config, ColourEncoder())
before = kernels()
mapper = LerfMapper(config, ColourEncoder())
rgb = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
for n in range(3):
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    T[:3, 3] = 0.3, 0.07 * n, 0.6
    camera = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)
    mapper.add(mapper.prepare(PosedImage(n, rgb, np.full((240, 320), 0.5, np.float32), camera, T)))
for _ in range(2):
    mapper.step()
snapshot = mapper.publish()
sentry, farther = Sentry(config.change, 1), np.full((240, 320), 0.55, np.float32)
for n in range(3):
    image = PosedImage(10**10 * (n + 1), rgb, farther, camera, T)  # the whole table has sunk: a change
    sentry.wants(image, snapshot.surface)
    T = T.copy()
    T[0, 3] += 0.1
    moved = mapper.prepare(PosedImage(10**10 * (n + 1), rgb, farther, camera, T))
    mapper.add(moved)
    mapper.step()
    mapper.publish()
in_view(snapshot.surface.points, splat_depth(snapshot.surface.points, 0.005, camera, T), 0.01, camera, T)
register_depth(farther, camera, np.eye(4), camera)
mapper.close()
print("kernels:", len(before), "compiled later:", sorted(kernels() - before))
"""


def test_after_it_a_map_compiles_nothing() -> None:
    """In a process of its own: kernels that a test before has used would hide what is missing."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILES, str(Path(__file__).parents[1])],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "kernels: 0" not in done.stdout
    assert "compiled later: []" in done.stdout, done.stdout


@pytest.mark.parametrize("options", [{}, {"input.use_depth": False}, {"pyramid.border": "padded"}])
def test_it_goes_all_the_way(options: dict[str, object], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        warm_up(from_flat({**SMALL, **options}), ColourEncoder())
    assert "failed" not in caplog.text


def test_what_goes_wrong_in_it_is_said_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(module, "LerfMapper", explode)
    warm_up(from_flat({}), ColourEncoder())
    assert "the warm-up failed" in caplog.text
    assert "oops" in caplog.text
