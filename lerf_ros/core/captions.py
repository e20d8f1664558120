# SPDX-License-Identifier: Apache-2.0
"""A line of text and the scale of the heat, written over the top of a picture."""

from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from lerf_ros.core.heat_image import colours

INK: Final = (245, 245, 245)
SHADE: Final = 0.35
"""Of what is under the text is left."""


def captioned(picture: UInt8[np.ndarray, "H W 3"], text: str) -> UInt8[np.ndarray, "H W 3"]:
    """Return the picture, of the same size, with text at its top left and a bar of heat (0 to 1) at its top right."""
    height, width = picture.shape[:2]
    size = int(np.clip(height / 26, 9, 28))
    band = min(round(1.7 * size), height)
    out = picture.copy()
    out[:band] = (SHADE * out[:band]).astype(np.uint8)
    bar, pad = min(6 * size, width // 4), size // 2
    if bar > 2 * size:
        rows = slice(round(0.55 * size), round(1.15 * size))
        out[rows, width - bar - 2 * pad : width - 2 * pad] = colours(np.linspace(0, 1, bar, dtype=np.float32)[None])
    image = Image.fromarray(out)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    if bar > 2 * size:
        draw.text((width - bar - 2 * pad - 4, band // 2), "0", fill=INK, font=font, anchor="rm")
        draw.text((width - 4, band // 2), "1", fill=INK, font=font, anchor="rm")
    draw.text((pad, band // 2), _fitting(text, font, width - bar - 5 * pad), fill=INK, font=font, anchor="lm")
    return np.asarray(image)


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return the text, cut off where it does not fit."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
