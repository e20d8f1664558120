# SPDX-License-Identifier: Apache-2.0
"""JSON documents that others wrote, and the checks that every value taken from them goes through."""

import json
import math
from pathlib import Path
from typing import Any

from lerf_ros.config import InputConfig
from lerf_ros.errors import DatasetError

MAX_PIXELS = InputConfig().max_pixels
"""Larger images are refused: one pixel takes tens of bytes in a mask or a rendering."""

MAX_NESTING = 64
"""Lists and objects in one another, at most. No format read here has ten; some hundreds exhaust Python's stack."""


def parse(where: str, text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        DatasetError: it is not JSON, or nested too deeply.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise DatasetError(_too_deep(where)) from error
    except ValueError as error:
        raise DatasetError(f"{where} is not JSON: {error}") from error
    level = [document]
    for _ in range(MAX_NESTING):
        level = [child for node in level if isinstance(node, (list, dict))
                 for child in (node.values() if isinstance(node, dict) else node)]  # fmt: skip
        if not level:
            return document
    raise DatasetError(_too_deep(where))


def _too_deep(where: str) -> str:
    return f"{where} is not JSON as expected: it holds more than {MAX_NESTING} lists or objects in one another"


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        DatasetError: it cannot be read, is not JSON, or no object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    document = parse(str(path), text)
    if not isinstance(document, dict):
        raise DatasetError(f"{path} holds a JSON {type(document).__name__}, not an object")
    return document


def number(where: str, value: object, what: str) -> float:
    """Return a finite number.

    Raises:
        DatasetError: it is none, or an integer too large for one.
    """
    if not isinstance(value, bool) and isinstance(value, (int, float)):
        try:
            out = float(value)
        except OverflowError:
            out = math.inf
        if math.isfinite(out):
            return out
    raise DatasetError(f"{where}: {what} must be a number, not {value!r:.80}")


def positive(where: str, value: object, what: str) -> float:
    """Return a finite number above 0.

    Raises:
        DatasetError: it is none.
    """
    out = number(where, value, what)
    if out <= 0:
        raise DatasetError(f"{where}: {what} must be above 0, not {out:g}")
    return out


def image_size(where: str, width: object, height: object, names: str) -> tuple[int, int]:
    """Return the width and height of an image.

    Raises:
        DatasetError: they are not whole numbers above 0, or make more than `MAX_PIXELS` pixels.
    """
    size = (number(where, width, names), number(where, height, names))
    if any(side < 1 or side != int(side) for side in size):
        raise DatasetError(f"{where}: {names} must be whole numbers of pixels, not {width!r:.80} and {height!r:.80}")
    if size[0] * size[1] > MAX_PIXELS:
        raise DatasetError(f"{where}: {names} must make at most {MAX_PIXELS} pixels, not {size[0]:g} x {size[1]:g}")
    return int(size[0]), int(size[1])
