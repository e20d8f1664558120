# SPDX-License-Identifier: Apache-2.0
"""Colours with jitter and textures drawn in memory (no image files)."""

import colorsys
import io
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from PIL import Image, ImageDraw, ImageFont

from lerf_ros.sim.catalog import COLOURS, Rgb

_TEXTURE_PX = 256
_PRINT_PX = 128
_CLEARLY_OTHER = 0.3


def jittered(rng: np.random.Generator, colour: str, spread: float = 0.045) -> Rgb:
    """A shade of the named colour: brightness x0.85..1.1, each channel +-`spread`."""
    base = np.array(COLOURS[colour]) * rng.uniform(0.85, 1.1)
    r, g, b = np.clip(base + rng.uniform(-spread, spread, 3), 0.0, 1.0)
    return float(r), float(g), float(b)


def any_hue(rng: np.random.Generator, avoid: Sequence[str] = ()) -> Rgb:
    """A colour from the whole hue circle, for objects that carry no colour word; far from the colours to avoid."""
    while True:
        rgb = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.25, 1.0), rng.uniform(0.25, 1.0))
        if all(math.dist(_chroma(rgb), _chroma(COLOURS[c])) > _CLEARLY_OTHER for c in avoid):
            return rgb


def _chroma(rgb: Rgb) -> tuple[float, float, float]:
    """Lightness, weighted less, and the two opponent colour axes: distances here follow what looks alike."""
    r, g, b = rgb
    return 0.5 * (r + g + b) / 3, r - g, b - (r + g) / 2


def _grain(rng: np.random.Generator, size: int) -> tuple[Float64[np.ndarray, "H H"], Float64[np.ndarray, "3"]]:
    """Wood: bands bent by slow waves, brown to yellowish base."""
    y, x = np.mgrid[0:size, 0:size] / size
    red = rng.uniform(0.45, 0.8)
    base = np.array([red, red * rng.uniform(0.62, 0.75), red * rng.uniform(0.3, 0.5)])
    bend = rng.uniform(0.2, 1.2) * np.sin(2 * np.pi * (x * rng.uniform(1, 2) + rng.uniform()))
    bands = np.sin(2 * np.pi * (rng.uniform(6, 20) * y + bend + 0.3 * np.sin(2 * np.pi * (3 * x + 2 * y))))
    return 1 + 0.12 * bands + 0.04 * rng.standard_normal((size, size)), base


def _veins(rng: np.random.Generator, size: int) -> tuple[Float64[np.ndarray, "H H"], Float64[np.ndarray, "3"]]:
    """Marble: thin dark veins on a light base."""
    y, x = np.mgrid[0:size, 0:size] / size
    wave = 6 * np.sin(3 * np.pi * x + rng.uniform() * 6) + 3 * np.sin(7 * np.pi * y)
    shade = 1 - 0.35 * np.abs(np.sin(4 * np.pi * (x + y) + wave)) ** 12 + 0.02 * rng.standard_normal((size, size))
    return shade, np.full(3, rng.uniform(0.75, 0.92))


def surface_texture(rng: np.random.Generator, kind: str) -> Image.Image:
    """Texture of a table or floor: "wooden", "checkered", "marble" or a colour word."""
    size = _TEXTURE_PX
    if kind == "checkered":
        y, x = np.mgrid[0:size, 0:size] / size
        n = rng.integers(8, 20)
        odd = ((x * n).astype(int) + (y * n).astype(int)) % 2 > 0
        first, second = (np.array(jittered(rng, str(k))) for k in rng.choice(list(COLOURS), 2, replace=False))
        return Image.fromarray((255 * np.where(odd[..., None], first, second)).astype(np.uint8))
    if kind == "wooden":
        shade, base = _grain(rng, size)
    elif kind == "marble":
        shade, base = _veins(rng, size)
    else:
        shade, base = 1 + 0.03 * rng.standard_normal((size, size)), np.array(jittered(rng, kind, 0.03))
    return Image.fromarray((255 * np.clip(base * shade[..., None], 0, 1)).astype(np.uint8))


def printed_texture(word: str, rgb: Rgb) -> Image.Image:
    """A face of a box with a printed word, dark on light or light on dark."""
    image = Image.new("RGB", (_PRINT_PX, _PRINT_PX), tuple(int(255 * v) for v in rgb))
    draw = ImageDraw.Draw(image)
    ink = (15, 15, 15) if float(np.dot(rgb, (0.3, 0.6, 0.1))) > 0.45 else (245, 245, 245)
    font = ImageFont.load_default(size=24 if len(word) > 5 else 44)
    left, top, right, bottom = draw.textbbox((0, 0), word, font=font)
    draw.text((_PRINT_PX / 2 - (left + right) / 2, _PRINT_PX / 2 - (top + bottom) / 2), word, fill=ink, font=font)
    return image


def png_bytes(image: Image.Image) -> bytes:
    """PNG file content, lightly compressed: it only travels to MuJoCo's asset dictionary."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
