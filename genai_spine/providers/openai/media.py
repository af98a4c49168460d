"""Images, speech and transcriptions of any endpoint that offers OpenAI's paths for them.

Wire facts: https://platform.openai.com/docs/api-reference/images and .../audio, and the types of the
official package, 2026-11-28.
"""

from base64 import b64decode
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from google.protobuf.message import Message
from msgspec import Raw, Struct

from genai_spine.call import Call
from genai_spine.errors import InvalidFields
from genai_spine.providers.base import Provider
from genai_spine.providers.http.client import Wire
from genai_spine.providers.openai import chat as wire_json
from genai_spine.providers.openai.sdk import Sdk, Subject
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import usage_pb2

# Our fields to the upstream's.
IMAGE = {"image_count": "n", "size": "size", "quality": "quality", "user": "user"}
TRANSCRIPTION = {"language": "language", "prompt": "prompt", "temperature": "temperature"}
SPEECH = {"speed": "speed", "instructions": "instructions"}
VOICE = "alloy"
SOUNDS = {
    "audio/mpeg": "mp3",
    "audio/ogg": "opus",
    "audio/opus": "opus",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/pcm": "pcm",
}


class Media(Provider):
    sdk: Sdk
    wire: Wire

    async def draw(self, request: media.CreateImagesRequest, call: Call) -> media.CreateImagesResponse:
        asked = _given(request, IMAGE)
        if request.HasField("media_type"):
            asked["output_format"] = request.media_type.removeprefix("image/")
        async with self.sdk.asking(call, Subject("model", request.model)) as client:
            raw = await client.images.with_raw_response.generate(
                prompt=request.prompt, model=request.model, extra_body=_further(request), **asked
            )
        answer = self.wire.decode(raw.content, IMAGES)
        if not answer.data:
            raise self.wire.unusable("no_images", "the answer has no images")
        response = media.CreateImagesResponse(
            create_time=wire_json.moment(answer.created),
            model=request.model,
            units={"images": len(answer.data)},
        )
        kind = f"image/{answer.output_format}" if answer.output_format else request.media_type or "image/png"
        for index, image in enumerate(answer.data):
            self._add_image(response.images.add(index=index), image, kind)
        if answer.usage:
            response.usage.CopyFrom(counted(answer.usage))
        return response

    def _add_image(self, into: media.Image, image: "_Image", media_type: str) -> None:
        if image.b64_json is not None:
            try:
                into.data, into.media_type = b64decode(image.b64_json, validate=True), media_type
            except ValueError as error:
                raise self.wire.unusable("invalid_base64", f"an image is not base64: {error}") from error
        elif image.url is not None:
            into.url = image.url
        else:
            raise self.wire.unusable("no_images", "an image is neither there nor elsewhere")
        if image.revised_prompt is not None:
            into.revised_prompt = image.revised_prompt

    async def transcribe(self, request: media.CreateTranscriptionRequest, call: Call) -> media.Transcription:
        wanted = [name for name in ("segment", "word") if getattr(request, f"{name}s")]
        asked = _given(request, TRANSCRIPTION) | {"response_format": "verbose_json" if wanted else "json"}
        asked |= {"model": request.model, **_further(request)}
        path = "/audio/translations" if request.translate else "/audio/transcriptions"
        if request.translate:
            self._check_translation(request)
        elif wanted:
            asked["timestamp_granularities"] = wanted
        async with self.sdk.asking(call, Subject("model", request.model)) as client:
            content = await self.sdk.post_form(client, path, asked, (request.filename, request.data))
        heard = self.wire.decode(content, HEARD)
        answer = media.Transcription(text=heard.text, model=request.model, language=heard.language)
        _add_counts(answer, heard)
        for given, into in ((heard.segments, answer.segments), (heard.words, answer.words)):
            for piece in given or ():
                self._add_piece(into.add(), bytes(piece))
        return answer

    def _check_translation(self, request: media.CreateTranscriptionRequest) -> None:
        for field in ("language", "words"):
            if getattr(request, field):
                self._refuse(field, f"{field} of a translation")

    def _add_piece(self, into: media.Segment, data: bytes) -> None:
        piece = self.wire.decode(data, PIECE)
        into.start_ms, into.end_ms, into.text = _ms(piece.start), _ms(piece.end), piece.text or piece.word
        fields = self.wire.decode(data, FIELDS)
        details = {name: value for name, value in fields.items() if name not in _Piece.__struct_fields__}
        if details:
            into.details_json = msgspec.json.encode(details).decode()

    async def speak(
        self, request: media.CreateSpeechRequest, call: Call
    ) -> AsyncGenerator[media.SpeechChunk]:
        wanted = request.media_type or "audio/mpeg"
        if wanted not in SOUNDS:
            raise InvalidFields([("media_type", f"must be one of {', '.join(SOUNDS)} for {self.name}")])
        asked = _given(request, SPEECH) | {"response_format": SOUNDS[wanted]}
        pieces = self.sdk.stream(
            lambda client: client.audio.speech.with_streaming_response.create(
                input=request.input,
                model=request.model,
                voice=request.voice or VOICE,
                extra_body=_further(request),
                **asked,
            ),
            call,
            Subject("model", request.model),
        )
        begun = False
        async with aclosing(pieces):
            async for said, data in pieces:
                if not data:
                    continue
                chunk = media.SpeechChunk(data=data)
                if not begun:
                    kind = said.partition(";")[0]
                    chunk.media_type = kind if kind.startswith("audio/") else wanted
                    begun = True
                yield chunk
        if not begun:
            raise self.wire.unusable("no_sound", "the answer has no sound")
        yield media.SpeechChunk(units=usage_pb2.UnitUsage(characters=len(request.input)))


class _Image(Struct):
    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


class _Given(Struct):
    image_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens: int | None = None


class _Made(Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class Counted(Struct):
    """Usage as OpenAI's younger paths report it: in tokens, or in seconds of sound."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    input_tokens_details: _Given | None = None
    input_token_details: _Given | None = None  # of transcriptions
    output_tokens_details: _Made | None = None


class _Images(Struct):
    data: list[_Image] | None = None
    created: int | float | None = None
    output_format: str | None = None
    usage: Counted | None = None


class _Heard(Struct):
    text: str
    language: str | None = None
    duration: float | None = None  # seconds
    segments: list[Raw] | None = None
    words: list[Raw] | None = None
    usage: Counted | None = None


class _Piece(Struct):
    start: float
    end: float
    text: str = ""
    word: str = ""


IMAGES = msgspec.json.Decoder(_Images)
HEARD = msgspec.json.Decoder(_Heard)
PIECE = msgspec.json.Decoder(_Piece)
FIELDS = msgspec.json.Decoder(dict[str, Raw])


def counted(usage: Counted) -> usage_pb2.Usage:
    """Disjoint buckets of the tokens."""
    given = usage.input_tokens_details or usage.input_token_details or _Given()
    made = usage.output_tokens_details or _Made()
    return wire_json.usage(
        wire_json.Usage(
            prompt_tokens=usage.input_tokens,
            completion_tokens=usage.output_tokens,
            prompt_tokens_details=wire_json.InputDetails(
                cached_tokens=given.cached_tokens,
                audio_tokens=given.audio_tokens,
                image_tokens=given.image_tokens,
            ),
            completion_tokens_details=wire_json.OutputDetails(
                reasoning_tokens=made.reasoning_tokens, audio_tokens=made.audio_tokens
            ),
        )
    )


def _given(request: Message, names: Mapping[str, str]) -> dict[str, Any]:
    return {upstream: getattr(request, ours) for ours, upstream in names.items() if request.HasField(ours)}


def _further(
    request: media.CreateImagesRequest | media.CreateTranscriptionRequest | media.CreateSpeechRequest,
) -> dict[str, Any]:
    given = request.provider_options_json
    return msgspec.json.decode(given, type=dict[str, Any]) if given else {}


def _add_counts(answer: media.Transcription, heard: _Heard) -> None:
    usage = heard.usage or Counted()
    duration = usage.seconds if heard.duration is None else heard.duration
    if duration is not None:
        answer.audio_ms = _ms(duration)
    if usage.input_tokens is not None:
        answer.usage.CopyFrom(counted(usage))
    elif duration is not None:
        answer.units.audio_ms = _ms(duration if usage.seconds is None else usage.seconds)


def _ms(seconds: float) -> int:
    return min(max(0, round(seconds * 1000)), 2**32 - 1)
