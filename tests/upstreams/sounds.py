"""Sound that tests make, and what can be heard in it: each burst of a tone is one thing that is said.

The pitch of a burst is its speaker: two bursts of one pitch are one person.
"""

import io
import math
import struct
import wave
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

RATE = 8000  # samples a second
WINDOW_S = 0.05
LOUD = 1000  # of 32767, mean of a window
PITCH_STEP_HZ = 100


class Burst(NamedTuple):
    """Tone that sounds from a start to an end, in seconds, in one channel."""

    start: float
    end: float
    pitch_hz: int
    channel: int = 0


def wav(bursts: Iterable[Burst], seconds: float, channels: int = 1) -> bytes:
    """WAV file of tones, 16 bits a sample."""
    samples = [[0] * channels for _ in range(int(seconds * RATE))]
    for burst in bursts:
        for at in range(int(burst.start * RATE), min(len(samples), int(burst.end * RATE))):
            samples[at][burst.channel] = int(12_000 * math.sin(2 * math.pi * burst.pitch_hz * at / RATE))
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(2)
        written.setframerate(RATE)
        written.writeframes(b"".join(struct.pack(f"<{channels}h", *sample) for sample in samples))
    return file.getvalue()


class Recording(NamedTuple):
    """What a WAV file holds."""

    seconds: float
    channels: int
    bursts: list[Burst]  # by start


def heard(data: bytes) -> Recording:
    """Bursts of a WAV file. Raises wave.Error, EOFError."""
    with wave.open(io.BytesIO(data)) as file:
        count, rate, frames = file.getnchannels(), file.getframerate(), file.getnframes()
        raw = file.readframes(frames)
    values = struct.unpack(f"<{len(raw) // 2}h", raw)
    found = [burst for channel in range(count) for burst in _bursts(values[channel::count], rate, channel)]
    return Recording(frames / rate, count, sorted(found))


def _bursts(samples: Sequence[int], rate: int, channel: int) -> list[Burst]:
    size = int(WINDOW_S * rate)
    found: list[Burst] = []
    for place in range(0, len(samples), size):
        window = samples[place : place + size]
        if sum(map(abs, window)) / max(1, len(window)) < LOUD:
            continue
        crossings = sum((left < 0) != (right < 0) for left, right in pairwise(window))
        pitch = round(crossings * rate / len(window) / 2 / PITCH_STEP_HZ) * PITCH_STEP_HZ
        start, end = place / rate, (place + len(window)) / rate
        last = found[-1] if found else None
        if last and last.pitch_hz == pitch and abs(last.end - start) < 1e-6:
            found[-1] = last._replace(end=end)
        else:
            found.append(Burst(start, end, pitch, channel))
    return found
