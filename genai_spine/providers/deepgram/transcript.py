"""Transcriptions from Deepgram's answers: text, pieces with speakers and channels, and what is billed."""

import math
from collections.abc import Iterator

import msgspec

from genai_spine.media.transcripts import dialogue, in_order, speakers
from genai_spine.providers.deepgram.wire_types import (
    Alternative,
    Heard,
    HeardChannel,
    Results,
    Utterance,
    Word,
)
from genai_spine.v1 import media_service_pb2 as media

MAX_MS = 2**32 - 1  # that the contract can hold
NOTHING = Alternative()


def transcription(heard: Heard, request: media.CreateTranscriptionRequest) -> media.Transcription:
    """Transcription of an answer that has channels, without model and provider."""
    results = heard.results or Results()
    channels = results.channels or []
    best = [_best(channel) for channel in channels]
    answer = media.Transcription()
    segments = [_segment(one, request) for one in results.utterances or () if one.transcript]
    words = [
        _word(word, request, index) for index, one in enumerate(best) for word in one.words or () if word.word
    ]
    _add_text(answer, channels, segments)
    answer.dialogue = dialogue(segments)
    answer.speakers.extend(speakers(segments or words))
    if request.multichannel:
        answer.channels.extend(_channel(index, one) for index, one in enumerate(channels))
    if request.segments:
        answer.segments.extend(in_order(segments))
    if request.words:
        answer.words.extend(in_order(words))
    _add_amounts(answer, heard, len(channels) if request.multichannel else 1)
    return answer


def _best(channel: HeardChannel) -> Alternative:
    return channel.alternatives[0] if channel.alternatives else NOTHING


def _add_text(
    answer: media.Transcription, channels: list[HeardChannel], segments: list[media.Segment]
) -> None:
    """Adds text, language and confidence; channels that were heard by themselves are read as they spoke."""
    best = [_best(channel) for channel in channels]
    if len(channels) > 1 and segments:
        answer.text = " ".join(one.text for one in in_order(segments))
    else:
        answer.text = "\n".join(one.transcript for one in best if one.transcript)
    if language := next((found for one in channels if (found := _language(one))), None):
        answer.language = language
    sure = [share for one in best if (share := _share(one.confidence)) is not None]
    if sure:
        answer.confidence = sum(sure) / len(sure)


def _language(channel: HeardChannel) -> str | None:
    return channel.detected_language or next(iter(_best(channel).languages or ()), None)


def _channel(index: int, heard: HeardChannel) -> media.Channel:
    best = _best(heard)
    return media.Channel(
        index=index,
        text=best.transcript or "",
        language=_language(heard),
        confidence=_share(best.confidence),
    )


def _segment(heard: Utterance, request: media.CreateTranscriptionRequest) -> media.Segment:
    segment = media.Segment(
        start_ms=_ms(heard.start),
        end_ms=_ms(heard.end),
        text=heard.transcript,
        confidence=_share(heard.confidence),
    )
    _add_place(segment, heard.speaker, heard.channel if request.multichannel else None)
    return segment


def _word(heard: Word, request: media.CreateTranscriptionRequest, channel: int) -> media.Segment:
    word = media.Segment(
        start_ms=_ms(heard.start),
        end_ms=_ms(heard.end),
        text=heard.punctuated_word or heard.word,
        confidence=_share(heard.confidence),
    )
    _add_place(word, heard.speaker, channel if request.multichannel else None)
    details = dict(_details(heard))
    if details:
        word.details_json = msgspec.json.encode(details).decode()
    return word


def _details(heard: Word) -> Iterator[tuple[str, object]]:
    """What the contract has no field for."""
    if heard.punctuated_word and heard.punctuated_word != heard.word:
        yield "word", heard.word
    for name in ("speaker_confidence", "language"):
        if (value := getattr(heard, name)) is not None:
            yield name, value


def _add_place(segment: media.Segment, speaker: int | str | None, channel: int | None) -> None:
    if speaker is not None:
        segment.speaker = str(speaker)
    if channel is not None and 0 <= channel <= MAX_MS:
        segment.channel = channel


def _add_amounts(answer: media.Transcription, heard: Heard, heard_channels: int) -> None:
    """Adds the id, the length, and what is billed: the length once for each channel heard by itself.

    https://deepgram.com/pricing, 2026-11-28. Without a length nobody knows what it costs.
    """
    if heard.metadata is None:
        return
    if heard.metadata.request_id:
        answer.provider_response_id = heard.metadata.request_id
    if heard.metadata.duration is not None and math.isfinite(heard.metadata.duration):
        answer.audio_ms = _ms(heard.metadata.duration)
        answer.units.audio_ms = min(MAX_MS, answer.audio_ms * max(1, heard_channels))


def _share(given: float | None) -> float | None:
    """Confidence from 0 to 1; None: there is none."""
    return None if given is None or not math.isfinite(given) else min(1.0, max(0.0, given))


def _ms(seconds: float) -> int:
    """Milliseconds that the contract can hold."""
    return min(max(0, round(seconds * 1000)), MAX_MS) if math.isfinite(seconds) else 0
