import random

import pytest

from genai_spine.media import wav
from tests.upstreams.sounds import Burst
from tests.upstreams.sounds import wav as made


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("seconds", [0.0, 0.25, 2.0])
def test_length_and_channels_are_read_off_the_header(seconds: float, channels: int) -> None:
    found = wav.read(made([Burst(0, seconds, 400)], seconds, channels))
    assert found == wav.Wav(int(seconds * 1000), channels)


def test_an_open_length_is_what_is_there() -> None:
    sound = bytearray(made([], 1.0))
    place = sound.index(b"data") + 4
    sound[place : place + 4] = b"\xff\xff\xff\xff"
    assert wav.read(bytes(sound)) == wav.Wav(1000, 1)


def test_other_chunks_before_the_sound_are_passed_over() -> None:
    sound = made([], 1.0)
    place = sound.index(b"data")
    extra = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    assert wav.read(sound[:place] + extra + sound[place:]) == wav.Wav(1000, 1)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"ID3", b"RIFF\0\0\0\0WAVEdata\0\0\0\0"])
def test_what_is_none_is_none(data: bytes) -> None:
    assert wav.read(data) is None


def test_cut_and_random_headers_never_raise() -> None:
    sound, drawn = made([], 0.1), random.Random(7)
    for cut in range(60):
        wav.read(sound[:cut])
    for _ in range(2000):
        bad = bytearray(sound[:80])
        for _ in range(drawn.randint(1, 8)):
            bad[drawn.randrange(12, len(bad))] = drawn.randrange(256)
        found = wav.read(bytes(bad))
        assert found is None or (found.ms >= 0 and 0 < found.channels <= wav.MAX_CHANNELS)
