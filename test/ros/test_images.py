# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from sensor_msgs.msg import Image

from lerf_ros.errors import DepthError, ImageError
from lerf_ros.ros.cameras.images import depth_from_image, image_from_depth, image_from_rgb, rgb_from_image

MAX = 10_000
RGB = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def message(array: np.ndarray, encoding: str, pad: int = 0, big: bool = False) -> Image:
    """Rows of `array`, each followed by `pad` bytes of rubbish."""
    height, width = array.shape[:2]
    rows = (
        np.frombuffer(array.tobytes(), np.uint8).reshape(height, -1) if array.size else np.empty((height, 0), np.uint8)
    )
    data = np.concatenate([rows, np.full((height, pad), 0xAB, np.uint8)], axis=1)
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=data.shape[1],
        data=data.tobytes(),
        is_bigendian=int(big),
    )


@pytest.mark.parametrize("pad", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", RGB),
        ("bgr8", RGB[..., ::-1]),
        ("rgba8", np.concatenate([RGB, np.full((2, 3, 1), 9, np.uint8)], axis=2)),
        ("bgra8", np.concatenate([RGB[..., ::-1], np.full((2, 3, 1), 9, np.uint8)], axis=2)),
    ],
)
def test_colour_encodings_give_red_first(encoding: str, pixels: np.ndarray, pad: int) -> None:
    got = rgb_from_image(message(pixels, encoding, pad), MAX)
    np.testing.assert_array_equal(got, RGB)
    assert got.flags.c_contiguous
    assert got.flags.writeable, "an array of its own, not a view of the message"


def test_mono_is_grey() -> None:
    grey = np.array([[1, 2], [3, 4], [5, 6]], np.uint8)
    np.testing.assert_array_equal(rgb_from_image(message(grey, "mono8", 3), MAX), np.stack([grey] * 3, axis=-1))


def test_rgb_round_trip() -> None:
    sent = image_from_rgb(RGB, "cam", 1_500_000_000)
    np.testing.assert_array_equal(rgb_from_image(sent, MAX), RGB)
    assert (sent.header.stamp.sec, sent.header.stamp.nanosec, sent.header.frame_id) == (1, 500_000_000, "cam")


@pytest.mark.parametrize("big", [False, True])
def test_millimetres_become_metres(big: bool) -> None:
    raw = np.array([[0, 500, 1000], [99, 5000, 5001]], ">u2" if big else "<u2")
    got = depth_from_image(message(raw, "16UC1", 4, big), MAX, 0.1, 5.0)
    np.testing.assert_allclose(got, [[0, 0.5, 1.0], [0, 5.0, 0]], rtol=1e-6)
    assert got.dtype == np.float32


@pytest.mark.parametrize("big", [False, True])
def test_metres_lose_what_is_no_measurement(big: bool) -> None:
    raw = np.array([[np.nan, np.inf, 1.25], [-np.inf, -1.0, 0.05]], ">f4" if big else "<f4")
    np.testing.assert_array_equal(
        depth_from_image(message(raw, "32FC1", 2, big), MAX, 0.1, 5.0), np.array([[0, 0, 1.25], [0, 0, 0]], np.float32)
    )


def test_depth_round_trip_to_the_millimetre() -> None:
    depth_m = np.array([[0.5004, 0.0, 70.0], [1.2346, np.nan, 65.535]], np.float32)
    got = depth_from_image(image_from_depth(depth_m, "cam", 0), MAX, 0.1, 100.0)
    np.testing.assert_allclose(got, [[0.5, 0.0, 0.0], [1.235, 0.0, 65.535]], atol=1e-6)


def bad(**changes: object) -> Image:
    made = message(RGB, "rgb8")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("image", "cause", "text"),
    [
        (bad(encoding="nv24"), "image_encoding", "nv24.*rgb8, rgb16, bgr8"),
        (bad(encoding=""), "image_encoding", "''"),
        (bad(width=0), "image_no_pixels", "0 x 2"),
        (bad(height=0), "image_no_pixels", "3 x 0"),
        (bad(width=60_000, height=60_000, step=180_000), "image_too_large", "max_pixels"),
        (bad(step=8), "image_bytes", "step of 8"),
        (bad(data=b"123"), "image_bytes", "3 bytes, not the 18"),
        (bad(height=3), "image_bytes", "18 bytes, not the 27"),
    ],
)
def test_a_bad_image_is_refused_by_name(image: Image, cause: str, text: str) -> None:
    with pytest.raises(ImageError, match=text) as caught:
        rgb_from_image(image, MAX)
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("image", "cause"),
    [
        (message(np.zeros((2, 2), np.uint16), "16UC1"), "depth_empty"),
        (message(np.full((2, 2), np.nan, np.float32), "32FC1"), "depth_empty"),
        (message(np.zeros((2, 2), np.uint8), "8UC1"), "depth_encoding"),
        (message(np.zeros((0, 2), np.uint16), "16UC1"), "depth_no_pixels"),
    ],
)
def test_a_bad_depth_image_is_refused_by_name(image: Image, cause: str) -> None:
    with pytest.raises(DepthError) as caught:
        depth_from_image(image, MAX, 0.1, 5.0)
    assert caught.value.cause == cause


def test_a_claimed_size_is_refused_before_anything_is_allocated() -> None:
    import tracemalloc

    bomb = bad(width=2**16 - 1, height=2**16 - 1, step=3 * (2**16 - 1))
    tracemalloc.start()
    with pytest.raises(ImageError):
        rgb_from_image(bomb, 2**33)  # even with the limit off: the bytes are not there
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
