# SPDX-License-Identifier: Apache-2.0
"""Compressed images as image_transport's plugins write them; files made here by the letter of their formats."""

import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from jaxtyping import UInt8
from sensor_msgs.msg import CompressedImage

from lerf_ros.errors import DepthError, ImageError
from lerf_ros.ros.cameras.compressed import (
    DEPTH_HEADER,
    compressed_from_depth,
    compressed_from_rgb,
    depth_from_compressed,
    rgb_from_compressed,
)
from lerf_ros.ros.cameras.headers import Claim, claim_of

MAX = 100_000
PIXELS = np.array([[[250, 10, 20], [0, 128, 255]], [[1, 2, 3], [40, 50, 60]]], np.uint8)
BLUE = np.full((16, 24, 3), (20, 30, 200), np.uint8)


def message(kind: str, data: bytes) -> CompressedImage:
    return CompressedImage(format=kind, data=data)


def png(pixels: np.ndarray) -> bytes:
    """A PNG by hand: colour type and samples as they are given (red first)."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    depth = 8 * pixels.itemsize
    rows = pixels.astype(f">u{pixels.itemsize}").reshape(height, -1)
    body = b"".join(b"\x00" + row.tobytes() for row in rows)
    return png_of(width, height, depth, {1: 0, 3: 2, 4: 6}[channels], zlib.compress(body))


def png_of(width: int, height: int, depth: int, kind: int, body: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg(rgb: UInt8[np.ndarray, "H W *C"]) -> bytes:
    return bytes(compressed_from_rgb(rgb, "cam", 0).data)


@pytest.mark.parametrize("kind", ["png", "rgb8; png compressed bgr8", "bgr8; png compressed bgr8", "mono8; png"])
def test_a_png_keeps_its_colours(kind: str) -> None:
    np.testing.assert_array_equal(rgb_from_compressed(message(kind, png(PIXELS)), MAX), PIXELS)


@pytest.mark.parametrize("kind", ["jpeg", "rgb8; jpeg compressed bgr8", "rgba8; jpeg compressed bgr8"])
def test_a_jpeg_of_one_colour_is_that_colour(kind: str) -> None:
    got = rgb_from_compressed(message(kind, jpeg(BLUE)), MAX)
    np.testing.assert_allclose(got.astype(int), BLUE, atol=3)


def test_old_publishers_wrote_red_where_blue_belongs() -> None:
    got = rgb_from_compressed(message("rgb8; png compressed ", png(PIXELS)), MAX)
    np.testing.assert_array_equal(got, PIXELS[..., ::-1])


def test_grey_alpha_and_sixteen_bits() -> None:
    grey = np.array([[3, 200]], np.uint8)
    want = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(rgb_from_compressed(message("mono8; png compressed ", png(grey)), MAX), want)
    wide = grey.astype(np.uint16) * 257
    np.testing.assert_array_equal(rgb_from_compressed(message("mono16; png compressed ", png(wide)), MAX), want)
    seen_through = np.concatenate([PIXELS, np.full((2, 2, 1), 7, np.uint8)], axis=2)
    np.testing.assert_array_equal(
        rgb_from_compressed(message("bgra8; png compressed bgra8", png(seen_through)), MAX), PIXELS
    )


@pytest.mark.parametrize("bits", [8, 16])
def test_a_mosaic_in_a_png_is_interpolated(bits: int) -> None:
    mosaic = np.tile(np.array([[200, 100], [100, 50]], np.uint16), (2, 3))
    data = png(mosaic.astype(np.uint8) if bits == 8 else mosaic * 257)
    got = rgb_from_compressed(message(f"bayer_rggb{bits}; png compressed ", data), MAX)
    np.testing.assert_allclose(got.astype(int), np.broadcast_to([200, 100, 50], (4, 6, 3)), atol=1)


def test_exif_turns_nothing() -> None:
    """The camera info is that of the sensor's rows and columns."""
    data = jpeg(np.repeat(BLUE, 2, axis=1))
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06" + bytes(7)
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    assert rgb_from_compressed(message("jpeg", turned), MAX).shape == (16, 48, 3)


def test_what_we_publish_comes_back() -> None:
    sent = compressed_from_rgb(BLUE, "cam", 1_500_000_000)
    assert (sent.format, sent.header.stamp.sec, sent.header.frame_id) == ("rgb8; jpeg compressed bgr8", 1, "cam")
    np.testing.assert_allclose(rgb_from_compressed(sent, MAX).astype(int), BLUE, atol=3)
    depth_m = np.array([[0.5, 0.0, 1.234]], np.float32)
    back = depth_from_compressed(compressed_from_depth(depth_m, "cam", 0), MAX, 0.1, 5.0)
    np.testing.assert_allclose(back, depth_m, atol=1e-6)


def test_claims_are_read_without_decoding() -> None:
    assert claim_of(png(PIXELS)) == Claim("png", 2, 2)
    assert claim_of(jpeg(BLUE)) == Claim("jpeg", 24, 16)
    progressive = cv2.imencode(".jpg", BLUE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert claim_of(progressive) == Claim("jpeg", 24, 16)


def big_jpeg() -> bytes:
    data = bytearray(jpeg(BLUE))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)


BOMB = png_of(60_000, 60_000, 8, 2, zlib.compress(bytes(1000)))
BROKEN = png(PIXELS)[:40] + b"\x00\x01\x02\x03" + png(PIXELS)[44:]


@pytest.mark.parametrize(
    ("data", "cause", "text"),
    [
        (BOMB, "image_too_large", "60000 x 60000 exceeds input.max_pixels"),
        (big_jpeg(), "image_too_large", "65500 x 65500"),
        (png_of(0, 5, 8, 2, b""), "image_no_pixels", "0 x 5"),
        (b"", "image_format", "begin with nothing"),
        (b"GIF89a" + bytes(50), "image_format", "neither JPEG nor PNG"),
        (jpeg(BLUE)[:-40], "image_format", "cut off"),
        (png(PIXELS)[:-12], "image_format", "cut off"),
        (b"\xff\xd8\xff\xd9", "image_format", "no frame header"),
        (b"\xff\xd8\xff\xe0\xff\xff" + bytes(9), "image_format", "no frame header"),
        (b"\xff\xd8\x00\x00\x00\x00", "image_format", "marker should be"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "image_format", "no IHDR"),
        (BROKEN, "image_format", "damaged"),
    ],
)
def test_a_bad_file_is_refused_by_name(data: bytes, cause: str, text: str) -> None:
    with pytest.raises(ImageError, match=text) as caught:
        rgb_from_compressed(message("jpeg", data), MAX)
    assert caught.value.cause == cause


def test_a_bomb_allocates_nothing() -> None:
    rgb_from_compressed(message("png", png(PIXELS)), MAX)
    tracemalloc.start()
    for data in (BOMB, big_jpeg()):
        with pytest.raises(ImageError):
            rgb_from_compressed(message("png", data), MAX)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


MM = np.array([[0, 500, 1250], [65535, 99, 100]], np.uint16)


def depth_message(kind: str, raw: np.ndarray, a: float = 0.0, b: float = 0.0) -> CompressedImage:
    body = rvl_by_the_book(raw) if kind.endswith("rvl") else png(raw)
    return message(kind, DEPTH_HEADER.pack(0, a, b) + body)


def rvl_by_the_book(raw: np.ndarray) -> bytes:
    """Wilson's encoder, a nibble at a time."""
    nibbles: list[int] = []

    def put(number: int) -> None:
        while True:
            low, number = number & 7, number >> 3
            nibbles.append(low | (8 if number else 0))
            if not number:
                return

    values, at, last = raw.ravel().tolist(), 0, 0
    while at < len(values):
        start = at
        while at < len(values) and values[at] == 0:
            at += 1
        put(at - start)
        end = at
        while end < len(values) and values[end] != 0:
            end += 1
        put(end - at)
        for value in values[at:end]:
            delta = value - last
            put((delta << 1) ^ (delta >> 31) & 0x1FFFF if delta >= 0 else ((-delta) << 1) - 1)
            last = value
        at = end
    nibbles += [0] * (-len(nibbles) % 8)
    words = [sum(n << (28 - 4 * k) for k, n in enumerate(nibbles[i : i + 8])) for i in range(0, len(nibbles), 8)]
    return struct.pack("<II", raw.shape[1], raw.shape[0]) + struct.pack(f"<{len(words)}I", *words)


@pytest.mark.parametrize("kind", ["16UC1; compressedDepth png", "16UC1; compressedDepth rvl", "16UC1; compressedDepth"])
def test_compressed_millimetres(kind: str) -> None:
    got = depth_from_compressed(depth_message(kind, MM), MAX, 0.1, 5.0)
    np.testing.assert_allclose(got, [[0, 0.5, 1.25], [0, 0, 0.1]], rtol=1e-6)
    assert got.dtype == np.float32


def test_a_long_run_length_image_comes_back() -> None:
    rng = np.random.default_rng(0)
    raw = rng.integers(1, 65536, (50, 70), dtype=np.uint16)
    raw[rng.random((50, 70)) < 0.4] = 0
    got = depth_from_compressed(depth_message("16UC1; compressedDepth rvl", raw), MAX, 0.001, 100.0)
    np.testing.assert_allclose(got, raw / 1000, rtol=1e-6)


@pytest.mark.parametrize("how", ["png", "rvl"])
def test_quantised_metres(how: str) -> None:
    """codec.cpp: A = q (q + 1), B = 1 - A / max; code = A / z + B; z = A / (code - B)."""
    quantum, most = 100.0, 10.0
    a = quantum * (quantum + 1)
    b = 1 - a / most
    depth = np.array([[0.5, 1.0, 2.5], [9.9, 0.2, 4.0]])
    code = (a / depth + b).astype(np.uint16)
    code[0, 0] = 0
    got = depth_from_compressed(depth_message(f"32FC1; compressedDepth {how}", code, a, b), MAX, 0.1, 12.0)
    depth[0, 0] = 0
    np.testing.assert_allclose(got, depth, atol=0.011)  # one code is z^2 / A
    assert got[0, 0] == 0


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (message("8UC1; compressedDepth png", bytes(50)), "depth_encoding"),
        (message("16UC1; compressedDepth zstd", bytes(50)), "depth_format"),
        (message("16UC1; compressedDepth png", bytes(12)), "depth_format"),
        (message("16UC1; compressedDepth png", bytes(12) + BOMB), "depth_too_large"),
        (message("16UC1; compressedDepth png", bytes(12) + png(PIXELS)), "depth_format"),
        (message("16UC1; compressedDepth rvl", bytes(14)), "depth_format"),
        (message("16UC1; compressedDepth rvl", bytes(12) + struct.pack("<II", 65535, 65535)), "depth_too_large"),
        (message("16UC1; compressedDepth rvl", bytes(12) + struct.pack("<II", 30, 30) + b"\xff" * 40), "depth_format"),
        (message("16UC1; compressedDepth rvl", bytes(12) + struct.pack("<II", 30, 30) + bytes(40)), "depth_format"),
        (depth_message("32FC1; compressedDepth png", MM, float("nan"), 1.0), "depth_format"),
        (depth_message("32FC1; compressedDepth png", MM, 0.0, 1.0), "depth_format"),
        (depth_message("16UC1; compressedDepth png", MM * 0), "depth_empty"),
    ],
)
def test_bad_compressed_depth_is_refused_by_name(bad: CompressedImage, cause: str) -> None:
    with pytest.raises(DepthError) as caught:
        depth_from_compressed(bad, MAX, 0.1, 5.0)
    assert caught.value.cause == cause


def test_cut_off_run_lengths_are_refused() -> None:
    whole = depth_message("16UC1; compressedDepth rvl", np.full((20, 20), 900, np.uint16))
    whole.data = bytes(whole.data)[:-8]
    with pytest.raises(DepthError, match="cut off") as caught:
        depth_from_compressed(whole, MAX, 0.1, 5.0)
    assert caught.value.cause == "depth_format"
