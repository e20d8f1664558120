# SPDX-License-Identifier: Apache-2.0
"""What a map costs as keyframes come in: resident memory and CPU time of a training step, from ten keyframes to many.

    python -m bench.growth                   640 x 480 RGB-D, 10 to 1,000 keyframes, one line each
    python -m bench.growth --real 200        the bundled encoder, 200 keyframes

Without `--real` an encoder that draws embeddings at random stands in: pyramids have the size and number of real ones.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8

from lerf_ros.config import Config, from_flat
from lerf_ros.core.calibration import Calibration
from lerf_ros.core.encoders import ImageTextEncoder, load_encoder
from lerf_ros.core.geometry import Intrinsics
from lerf_ros.core.keyframes import PosedImage
from lerf_ros.core.mapper import LerfMapper

COUNTS: Final = (10, 50, 100, 200, 500, 1000)
CAMERA: Final = Intrinsics(640, 480, 560.0, 560.0, 319.5, 239.5)
TABLE: Final = {"workspace.min_m": (-0.4, -0.4, -0.05), "workspace.max_m": (0.4, 0.4, 0.4)}
WARM_UP: Final = 40
STATUS: Final = Path("/proc/self/status")


class RandomEncoder:
    """Unit vectors at random, as wide as the bundled encoder's."""

    name, sha256, embed_dim, image_size, calibration = "random", "", 128, 64, Calibration()

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def encode_images(self, crops: UInt8[np.ndarray, "N H W 3"]) -> Float32[np.ndarray, "N D"]:
        """Return one a crop."""
        drawn = self._rng.standard_normal((len(crops), self.embed_dim), dtype=np.float32)
        return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)

    def encode_texts(self, phrases: Sequence[str]) -> Float32[np.ndarray, "P D"]:
        """Return one a phrase."""
        return self.encode_images(np.empty((len(phrases), 1, 1, 3), np.uint8))


@dataclass(frozen=True)
class Growth:
    """A map of so many keyframes.

    Attributes:
        resident_mb, peak_mb: of the process, MiB, after and during all that came before.
        step_ms: median CPU time of a training step (one thread), and its inter-quartile range.
        add_ms: mean CPU time of taking a keyframe into the map, without embedding it.
    """

    keyframes: int
    resident_mb: float
    peak_mb: float
    step_ms: float
    spread_ms: float
    add_ms: float


def images(count: int, camera: Intrinsics = CAMERA) -> Iterator[PosedImage]:
    """Yield noisy images of a spotted table from above, each from a place of its own."""
    rng = np.random.default_rng(0)
    size = (camera.width, camera.height)
    for k in range(count):
        spots = rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)
        rgb = np.asarray(cv2.resize(spots, size, interpolation=cv2.INTER_CUBIC))
        depth = (0.5 + 0.001 * rng.standard_normal((camera.height, camera.width), np.float32)).astype(np.float32)
        pose = np.diag([1.0, -1.0, -1.0, 1.0])
        pose[:3, 3] = 0.06 * (k % 5) - 0.12, 0.06 * (k // 5 % 5) - 0.12, 0.5 + 0.001 * (k // 25)
        yield PosedImage(k * 10**9, rgb, depth, camera, pose)


def growth(
    counts: Sequence[int] = COUNTS, encoder: ImageTextEncoder | None = None, camera: Intrinsics = CAMERA,
    steps: int = 60, config: Config | None = None,
) -> Iterator[Growth]:  # fmt: skip
    """Yield what the map costs at each of `counts`, ascending. One thread, so that CPU time is comparable."""
    base = config or from_flat(TABLE)
    mapper = LerfMapper(from_flat({"keyframes.max_count": max(counts)}, base), encoder or RandomEncoder())
    torch.set_num_threads(1)
    mapper.set_threads(1)
    source, done, spent = images(max(counts), camera), 0, 0.0
    try:
        for count in counts:
            before, spent = done, 0.0
            while done < count:
                keyframe = mapper.prepare(next(source))
                done += 1
                assert keyframe is not None  # the places are further apart than the motion gate asks for
                begin = time.thread_time()
                mapper.add(keyframe)
                spent += time.thread_time() - begin
            times = _step_times(mapper, steps)
            mapper.publish()
            low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
            yield Growth(
                count, resident_mb(), resident_mb("VmHWM"), middle, high - low, 1e3 * spent / max(count - before, 1)
            )
    finally:
        mapper.close()


def _step_times(mapper: LerfMapper, steps: int) -> list[float]:
    """Return the CPU time of each of `steps` steps, ms."""
    for _ in range(WARM_UP):
        mapper.step()
    out = []
    for _ in range(steps):
        begin = time.thread_time()
        mapper.step()
        out.append(1e3 * (time.thread_time() - begin))
    return out


def resident_mb(what: str = "VmRSS") -> float:
    """Return the resident memory of this process (`VmHWM`: its largest so far), MiB; NaN where /proc has none."""
    if not STATUS.exists():
        return float("nan")
    (line,) = (line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--real", type=int, default=0, metavar="N", help="embed N keyframes with the bundled encoder")
    parser.add_argument("--steps", type=int, default=60)
    chosen = parser.parse_args()
    encoder = load_encoder(Config().encoder) if chosen.real else None
    counts = sorted({min(50, chosen.real), chosen.real}) if chosen.real else COUNTS
    rows: list[Growth] = []
    sys.stdout.write("keyframes  resident MB   peak MB   MB a keyframe  step ms (iqr)    add ms\n")
    for row in growth(counts, encoder, steps=chosen.steps):
        each = (row.resident_mb - rows[-1].resident_mb) / (row.keyframes - rows[-1].keyframes) if rows else float("nan")
        rows.append(row)
        sys.stdout.write(f"{row.keyframes:9d}  {row.resident_mb:11.0f} {row.peak_mb:9.0f} {each:15.2f}"
                         f"  {row.step_ms:7.2f} ({row.spread_ms:.2f}) {row.add_ms:9.2f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
