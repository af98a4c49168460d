"""Wire types of Deepgram's answers: only what is read, all of it optional.

Shapes: the types of the official package (deepgram-sdk 7.17.0) and
https://developers.deepgram.com/reference/speech-to-text/listen-pre-recorded, 2026-11-30.
"""

import msgspec
from msgspec import Struct


class Metadata(Struct):
    """Facts of the call. duration: in seconds."""

    request_id: str | None = None
    duration: float | None = None
    channels: int | None = None


class Word(Struct):
    """Word of a channel or utterance; times are seconds."""

    word: str = ""
    start: float = 0.0
    end: float = 0.0
    confidence: float | None = None
    speaker: int | str | None = None
    speaker_confidence: float | None = None
    punctuated_word: str | None = None
    language: str | None = None


class Alternative(Struct):
    """Reading of a channel."""

    transcript: str | None = None
    confidence: float | None = None
    words: list[Word] | None = None
    languages: list[str] | None = None


class HeardChannel(Struct):
    """Channel with its readings, the likeliest one first."""

    alternatives: list[Alternative] | None = None
    detected_language: str | None = None


class Utterance(Struct):
    """Speech of one speaker in one go; times are seconds."""

    transcript: str = ""
    start: float = 0.0
    end: float = 0.0
    confidence: float | None = None
    channel: int | None = None
    speaker: int | str | None = None


class Results(Struct):
    """Channels, and their speech in pieces."""

    channels: list[HeardChannel] | None = None
    utterances: list[Utterance] | None = None


class Heard(Struct):
    """Answer of /listen."""

    metadata: Metadata | None = None
    results: Results | None = None


class ListedModel(Struct):
    """Model of a list. batch: it takes recordings."""

    canonical_name: str | None = None
    name: str | None = None
    batch: bool = True


class ModelList(Struct):
    """Answer of /models."""

    stt: list[ListedModel] | None = None


HEARD = msgspec.json.Decoder(Heard)
MODEL_LIST = msgspec.json.Decoder(ModelList)
