"""WAV files: how long one lasts and how many channels it has, read off its header.

RIFF chunks: https://learn.microsoft.com/windows/win32/xaudio2/resource-interchange-file-format--riff-,
2026-11-30.
"""

import struct
from typing import NamedTuple

HEADER_BYTES = 12  # RIFF, size, WAVE
MAX_CHUNKS = 64  # before the sound
MAX_CHANNELS = 64


class Wav(NamedTuple):
    """Length in milliseconds, and channels, of a WAV file."""

    ms: int
    channels: int


def read(data: bytes) -> Wav | None:
    """Length and channels; None: it is no WAV file, or its header makes no sense."""
    if data[:4] != b"RIFF" or data[8:HEADER_BYTES] != b"WAVE":
        return None
    place, channels, bytes_per_s = HEADER_BYTES, 0, 0
    for _ in range(MAX_CHUNKS):
        if len(data) < place + 8:
            return None
        name, size = data[place : place + 4], struct.unpack_from("<I", data, place + 4)[0]
        if name == b"data":
            # A recorder that streams leaves the size open: what is there counts.
            there = len(data) - place - 8
            return _wav(there, channels, bytes_per_s)
        if name == b"fmt " and len(data) >= place + 20:
            channels, _, bytes_per_s = struct.unpack_from("<HII", data, place + 10)
        place += 8 + size + size % 2
    return None


def _wav(size: int, channels: int, bytes_per_s: int) -> Wav | None:
    if not 0 < channels <= MAX_CHANNELS or not bytes_per_s:
        return None
    return Wav(size * 1000 // bytes_per_s, channels)
