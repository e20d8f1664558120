# SPDX-License-Identifier: Apache-2.0
"""The contract of image conversion, for cv_bridge (where it is installed) and our own: pixels worked out by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import UInt8
from sensor_msgs.msg import Image

from lerf_ros.errors import ImageError
from lerf_ros.ros.cameras.bridge import BRIDGED, bridge
from lerf_ros.ros.cameras.colours import COLOUR_ENCODINGS, to_rgb
from lerf_ros.ros.cameras.images import rgb_from_image

MAX = 10_000
Converter = Callable[[Image], UInt8[np.ndarray, "H W 3"]]


def ours(message: Image) -> UInt8[np.ndarray, "H W 3"]:
    layout = COLOUR_ENCODINGS[message.encoding]
    rows = np.frombuffer(message.data, np.uint8).reshape(-1, message.step)
    return to_rgb(rows[:, : message.width * layout.channels * layout.sample_bytes], layout, bool(message.is_bigendian))


def theirs(message: Image) -> UInt8[np.ndarray, "H W 3"]:
    convert = bridge()
    assert convert is not None
    return convert(message)


SIDES = [ours, pytest.param(theirs, marks=pytest.mark.skipif(bridge() is None, reason="no cv_bridge that works here"))]


def image(encoding: str, width: int, height: int, rows: list[list[int]], pad: int = 0, big: bool = False) -> Image:
    """Rows of samples (8 or 16 bits), each followed by `pad` bytes of rubbish."""
    wide = COLOUR_ENCODINGS[encoding].sample_bytes == 2
    kind = (">u2" if big else "<u2") if wide else "u1"
    data = [np.array(row, kind).tobytes() + b"\xab" * pad for row in rows]
    return Image(
        width=width, height=height, encoding=encoding, step=len(data[0]), is_bigendian=int(big), data=b"".join(data)
    )


RED, GREY, DARK = (81, 90, 240), (126, 128, 128), (16, 128, 128)  # Y, U, V: 1.164 (81 - 16) + 1.596 (240 - 128) = 254
RED_RGB, GREY_RGB, DARK_RGB = [254, 0, 0], [128, 128, 128], [0, 0, 0]
CASES = {
    "rgb8": (1, 1, [[10, 20, 30]], [[[10, 20, 30]]]),
    "bgr8": (1, 1, [[30, 20, 10]], [[[10, 20, 30]]]),
    "rgba8": (1, 1, [[10, 20, 30, 99]], [[[10, 20, 30]]]),
    "bgra8": (1, 1, [[30, 20, 10, 99]], [[[10, 20, 30]]]),
    "mono8": (2, 1, [[7, 200]], [[[7] * 3, [200] * 3]]),
    "mono16": (3, 1, [[0, 65535, 25700]], [[[0] * 3, [255] * 3, [100] * 3]]),
    "rgb16": (1, 1, [[257, 514, 65535]], [[[1, 2, 255]]]),
    "bgr16": (1, 1, [[65535, 514, 257]], [[[1, 2, 255]]]),
    "rgba16": (1, 1, [[257, 514, 771, 9]], [[[1, 2, 3]]]),
    "bgra16": (1, 1, [[771, 514, 257, 9]], [[[1, 2, 3]]]),
    "yuv422": (2, 2, [[90, 81, 240, 81], [128, 126, 128, 16]], [[RED_RGB] * 2, [GREY_RGB, DARK_RGB]]),
    "uyvy": (2, 1, [[90, 81, 240, 81]], [[RED_RGB] * 2]),
    "yuv422_yuy2": (2, 2, [[81, 90, 81, 240], [126, 128, 16, 128]], [[RED_RGB] * 2, [GREY_RGB, DARK_RGB]]),
    "yuyv": (2, 1, [[81, 90, 81, 240]], [[RED_RGB] * 2]),
    "nv12": (2, 2, [[81, 81], [81, 81], [90, 240]], [[RED_RGB] * 2] * 2),
    "nv21": (2, 2, [[81, 81], [81, 81], [240, 90]], [[RED_RGB] * 2] * 2),
}  # fmt: skip


@pytest.mark.parametrize("convert", SIDES)
@pytest.mark.parametrize("encoding", CASES)
@pytest.mark.parametrize("pad", [0, 6])
def test_pixels_worked_out_by_hand(encoding: str, convert: Converter, pad: int) -> None:
    if convert is theirs and encoding not in BRIDGED:
        pytest.skip("left to our own conversion")
    width, height, rows, want = CASES[encoding]
    message = image(encoding, width, height, rows, pad)
    got = convert(message)
    np.testing.assert_allclose(got.astype(int), want, atol=1)
    np.testing.assert_array_equal(rgb_from_image(message, MAX), got, "and the way in checks no more than sizes")
    assert got.dtype == np.uint8


@pytest.mark.parametrize("encoding", [name for name in CASES if COLOUR_ENCODINGS[name].sample_bytes == 2])
def test_the_other_order_of_bytes_is_the_same_picture(encoding: str) -> None:
    width, height, rows, want = CASES[encoding]
    np.testing.assert_allclose(rgb_from_image(image(encoding, width, height, rows, 2, big=True), MAX), want, atol=1)


@pytest.mark.parametrize("convert", SIDES)
@pytest.mark.parametrize("bits", ["8", "16"])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_mosaic_of_one_colour_is_that_colour(pattern: str, bits: str, convert: Converter) -> None:
    unit = 257 if bits == "16" else 1
    value = {"r": 200 * unit, "g": 100 * unit, "b": 50 * unit}
    rows = [[value[pattern[2 * (v % 2) + u % 2]] for u in range(6)] for v in range(4)]
    got = convert(image(f"bayer_{pattern}{bits}", 6, 4, rows))
    np.testing.assert_allclose(got.astype(int), np.broadcast_to([200, 100, 50], (4, 6, 3)), atol=1)


@pytest.mark.parametrize("convert", SIDES)
def test_a_mosaic_is_interpolated_from_its_neighbours(convert: Converter) -> None:
    rows = [
        [0, 10, 0, 10, 0, 10],  # r g r g
        [20, 0, 40, 8, 20, 0],  # g b g b
        [0, 10, 90, 50, 0, 10],
        [20, 4, 60, 12, 20, 0],
        [0, 10, 0, 10, 0, 10],
        [20, 0, 40, 0, 20, 0],
    ]
    got = convert(image("bayer_rggb8", 6, 6, rows))
    assert got[2, 2].tolist() == [90, (40 + 10 + 50 + 60) // 4, (0 + 8 + 4 + 12) // 4]  # red is measured there


@pytest.mark.parametrize("encoding", sorted(COLOUR_ENCODINGS))
def test_every_encoding_checks_the_bytes_that_are_there(encoding: str) -> None:
    layout = COLOUR_ENCODINGS[encoding]
    step = 4 * layout.channels * layout.sample_bytes
    whole = Image(width=4, height=4, encoding=encoding, step=step, data=bytes(step * layout.rows(4)))
    assert rgb_from_image(whole, MAX).shape == (4, 4, 3)
    whole.data = bytes(step * layout.rows(4) - 1)
    with pytest.raises(ImageError) as caught:
        rgb_from_image(whole, MAX)
    assert caught.value.cause == "image_bytes"


@pytest.mark.parametrize(("encoding", "width", "height"), [("yuv422", 3, 2), ("yuyv", 1, 2), ("nv12", 4, 3)])
def test_half_a_chroma_sample_is_refused(encoding: str, width: int, height: int) -> None:
    with pytest.raises(ImageError, match="half a pixel") as caught:
        rgb_from_image(Image(width=width, height=height, encoding=encoding, step=16, data=bytes(96)), MAX)
    assert caught.value.cause == "image_bytes"


def test_the_colours_are_no_view_of_the_message() -> None:
    for encoding in ("rgb8", "bgr8"):
        message = image(encoding, 1, 1, [[1, 2, 3]])
        got = rgb_from_image(message, MAX)
        got[:] = 0
        assert bytes(message.data) == b"\x01\x02\x03"
