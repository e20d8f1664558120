# SPDX-License-Identifier: Apache-2.0
"""What a JPEG or PNG file says of its size, read without decoding it: a few bytes may claim a terabyte of pixels."""

import struct
from dataclasses import dataclass

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"
ALONE = {0x01, *range(0xD0, 0xD9)}  # JPEG markers without a segment
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 ... SOF15
SCAN, END = 0xDA, 0xD9
TAIL_BYTES = 64  # some cameras pad what they send


@dataclass(frozen=True)
class Claim:
    """What a compressed image says it is: "jpeg" or "png", and its size in pixels."""

    kind: str
    width: int
    height: int


def claim_of(data: bytes) -> Claim:
    """Return what the file claims.

    Raises:
        ValueError: it is neither JPEG nor PNG, its header is damaged, or its end is missing.
    """
    if data.startswith(JPEG_START):
        return _jpeg(data)
    if data.startswith(PNG_START):
        return _png(data)
    raise ValueError(f"{len(data)} bytes that begin with {data[:8].hex(' ') or 'nothing'} are neither JPEG nor PNG")


def _png(data: bytes) -> Claim:
    """PNG specification (third edition), 5.2 and 11.2.1: IHDR comes first."""
    if len(data) < 33 or data[8:16] != b"\x00\x00\x00\rIHDR":
        raise ValueError("the PNG has no IHDR")
    if PNG_END not in data[-TAIL_BYTES:]:
        raise ValueError("the PNG ends before its IEND: it was cut off")
    width, height = struct.unpack(">II", data[16:24])
    return Claim("png", width, height)


def _jpeg(data: bytes) -> Claim:
    """ITU-T T.81, B.1 and B.2.2: segments up to the first frame header."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError(f"the JPEG has {data[at]:#04x} where a marker should be, at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
        elif marker in ALONE:
            at += 2
        elif marker in (SCAN, END):
            break
        else:
            (length,) = struct.unpack(">H", data[at + 2 : at + 4])
            if marker in FRAMES and length >= 8 and at + 9 <= len(data):
                return _frame(data, at)
            at += 2 + max(length, 2)
    raise ValueError("the JPEG has no frame header")


def _frame(data: bytes, at: int) -> Claim:
    height, width = struct.unpack(">HH", data[at + 5 : at + 9])
    if data.rfind(JPEG_END, at) < 0:
        raise ValueError("the JPEG ends before its last marker: it was cut off")
    return Claim("jpeg", width, height)
