import math

import pytest

from genai_spine.providers.deepgram.transcript import transcription
from genai_spine.providers.deepgram.wire_types import (
    Alternative,
    Heard,
    HeardChannel,
    Metadata,
    Results,
    Utterance,
)
from genai_spine.v1.media_service_pb2 import CreateTranscriptionRequest

APART = CreateTranscriptionRequest(multichannel=True, segments=True)


def heard(*texts: str, **fields: object) -> Heard:
    channels = [HeardChannel([Alternative(transcript=text)]) for text in texts]
    return Heard(Metadata(duration=1.5), Results(channels=channels, **fields))  # type: ignore[arg-type]  # any


@pytest.mark.parametrize("duration", [math.inf, -math.inf, math.nan, None])
def test_a_length_that_is_none_leaves_the_cost_unknown(duration: float | None) -> None:
    answer = heard("a")
    answer.metadata = Metadata(duration=duration)
    assert not transcription(answer, APART).HasField("units")


def test_times_beyond_the_contract_are_cut() -> None:
    answer = heard("a", utterances=[Utterance("a", -3.0, 1e12)])
    (segment,) = transcription(answer, APART).segments
    assert (segment.start_ms, segment.end_ms) == (0, 2**32 - 1)


def test_channels_without_pieces_stand_line_by_line() -> None:
    found = transcription(heard("a", "b"), APART)
    assert (found.text, found.dialogue) == ("a\nb", "")
    assert found.units.audio_ms == 3000


def test_an_absurd_number_of_channels_costs_what_the_contract_can_hold() -> None:
    answer = heard(*("a" for _ in range(3000)))
    answer.metadata = Metadata(duration=4_000_000.0)
    assert transcription(answer, APART).units.audio_ms == 2**32 - 1


def test_channels_without_a_reading_are_silent() -> None:
    answer = Heard(None, Results(channels=[HeardChannel(), HeardChannel([])]))
    found = transcription(answer, APART)
    assert (found.text, [one.text for one in found.channels]) == ("", ["", ""])
