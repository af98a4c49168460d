"""Images, speech and transcriptions of any endpoint that offers OpenAI's paths for them.

Wire facts: https://platform.openai.com/docs/api-reference/images and .../audio, and the types of the official
package, 2026-11-28. Costs are per token, image, second of sound or character, so answers carry units beside
usage.
"""

from base64 import b64decode
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from google.protobuf.message import Message
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_spine.call import Call
from genai_spine.errors import InvalidFields
from genai_spine.providers import raw_usage
from genai_spine.providers.base import Option, Provider, Route
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.openai import chat_answer
from genai_spine.providers.openai.sdk import Sdk, Subject
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import usage_pb2

# Our fields to the upstream's.
IMAGE = {"image_count": "n", "size": "size", "quality": "quality", "user": "user"}
TRANSCRIPTION = {"language": "language", "prompt": "prompt", "temperature": "temperature"}
HEARS = {name: Option(upstream) for name, upstream in TRANSCRIPTION.items()} | {
    "segments": Option("timestamp_granularities"),
    "words": Option("timestamp_granularities"),
    "translate": Option("/audio/translations"),
    "smart_format": Option("always"),  # its models write no other way
}
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
    """Images and sound of OpenAI's API, through the official SDK; a part of the OpenAI adapter."""

    TRANSCRIPTION_OPTIONS = HEARS

    sdk: Sdk
    http: HttpClient

    async def create_images(
        self, request: media.CreateImagesRequest, route: Route, call: Call
    ) -> media.CreateImagesResponse:
        fields = _set_fields(request, IMAGE)
        if request.HasField("media_type"):
            fields["output_format"] = request.media_type.removeprefix("image/")
        async with self.sdk.asking(call, Subject("model", route.model)) as client:
            raw = await client.images.with_raw_response.generate(
                prompt=request.prompt, model=route.model, extra_body=_further(request), **fields
            )
        answer = self.http.decode(raw.content, IMAGES)
        if not answer.data:
            raise self.http.unusable("no_images", "the answer has no images")
        response = media.CreateImagesResponse(
            create_time=chat_answer.moment(answer.created),
            model=route.model,
            units={"images": len(answer.data)},
        )
        kind = f"image/{answer.output_format}" if answer.output_format else request.media_type or "image/png"
        for index, image in enumerate(answer.data):
            self._add_image(response.images.add(index=index), image, kind)
        self._add_usage(answer.usage, response.usage)
        return response

    def _add_usage(self, reported: Raw | UnsetType, usage: usage_pb2.Usage) -> None:
        text = b"" if reported is UNSET else bytes(reported)
        if text.startswith(b"{"):
            usage.CopyFrom(usage_of_report(self.http.decode(text, USAGE_REPORT)))
            usage.reported_json = text.decode("utf-8", "replace")

    def _add_image(self, into: media.Image, image: "_Image", media_type: str) -> None:
        """Fills in one image, of bytes or a URL. Raises ProviderError."""
        if image.b64_json is not None:
            try:
                into.data, into.media_type = b64decode(image.b64_json, validate=True), media_type
            except ValueError as error:
                raise self.http.unusable("invalid_base64", f"an image is not base64: {error}") from error
        elif image.url is not None:
            into.url = image.url
        else:
            raise self.http.unusable("no_images", "an image is neither there nor elsewhere")
        if image.revised_prompt is not None:
            into.revised_prompt = image.revised_prompt

    async def transcribe(
        self, request: media.CreateTranscriptionRequest, route: Route, call: Call
    ) -> media.Transcription:
        granularities = [name for name in ("segment", "word") if getattr(request, f"{name}s")]
        fields = _set_fields(request, TRANSCRIPTION) | {
            "response_format": "verbose_json" if granularities else "json"
        }
        fields |= {"model": route.model, **_further(request)}
        path = "/audio/translations" if request.translate else "/audio/transcriptions"
        if request.translate:
            self._check_translation(request)
        elif granularities:
            fields["timestamp_granularities"] = granularities
        async with self.sdk.asking(call, Subject("model", route.model)) as client:
            content = await self.sdk.post_form(client, path, fields, (request.filename, request.data))
        transcript = self.http.decode(content, TRANSCRIPT)
        answer = media.Transcription(text=transcript.text, model=route.model, language=transcript.language)
        _add_counts(answer, transcript, content)
        for raw_segments, into in ((transcript.segments, answer.segments), (transcript.words, answer.words)):
            for raw in raw_segments or ():
                self._add_segment(into.add(), bytes(raw))
        return answer

    def _check_translation(self, request: media.CreateTranscriptionRequest) -> None:
        """Refuses what a translation into English cannot have."""
        for field in ("language", "words"):
            if getattr(request, field):
                self._refuse(field, f"{field} of a translation")

    def _add_segment(self, into: media.Segment, data: bytes) -> None:
        """Fills in one segment or word; fields without a place go to details_json."""
        segment = self.http.decode(data, SEGMENT)
        into.start_ms, into.end_ms = _ms(segment.start), _ms(segment.end)
        into.text = segment.text or segment.word
        fields = self.http.decode(data, FIELDS)
        details = {name: value for name, value in fields.items() if name not in _Segment.__struct_fields__}
        if details:
            into.details_json = msgspec.json.encode(details).decode()

    async def create_speech(
        self, request: media.CreateSpeechRequest, route: Route, call: Call
    ) -> AsyncGenerator[media.SpeechChunk]:
        media_type = request.media_type or "audio/mpeg"
        if media_type not in SOUNDS:
            raise InvalidFields([("media_type", f"must be one of {', '.join(SOUNDS)} for {self.name}")])
        fields = _set_fields(request, SPEECH) | {"response_format": SOUNDS[media_type]}
        parts = self.sdk.stream(
            lambda client: client.audio.speech.with_streaming_response.create(
                input=request.input,
                model=route.model,
                voice=request.voice or VOICE,
                extra_body=_further(request),
                **fields,
            ),
            call,
            Subject("model", route.model),
        )
        begun = False
        async with aclosing(parts):
            async for content_type, data in parts:
                if not data:
                    continue
                chunk = media.SpeechChunk(data=data)
                if not begun:
                    kind = content_type.partition(";")[0]
                    chunk.media_type = kind if kind.startswith("audio/") else media_type
                    begun = True
                yield chunk
        if not begun:
            raise self.http.unusable("no_sound", "the answer has no sound")
        yield media.SpeechChunk(units=usage_pb2.UnitUsage(characters=len(request.input)))


class _Image(Struct):
    """Image of an answer."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


class _InputDetails(Struct):
    """Input tokens by kind, part of input_tokens."""

    image_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens: int | None = None


class _OutputDetails(Struct):
    """Output tokens by kind, part of output_tokens."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class UsageReport(Struct):
    """Usage as OpenAI's younger paths report it: in tokens, or in seconds of sound."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    input_tokens_details: _InputDetails | None = None
    input_token_details: _InputDetails | None = None  # of transcriptions
    output_tokens_details: _OutputDetails | None = None


class _Images(Struct):
    """Answer of /images/generations."""

    data: list[_Image] | None = None
    created: int | float | None = None
    output_format: str | None = None
    usage: Raw | UnsetType = UNSET


class _Transcription(Struct):
    """Answer of /audio/transcriptions and /audio/translations."""

    text: str
    language: str | None = None
    duration: float | None = None  # seconds
    segments: list[Raw] | None = None
    words: list[Raw] | None = None
    usage: UsageReport | None = None


class _Segment(Struct):
    """Segment or word of a transcription; times are seconds."""

    start: float
    end: float
    text: str = ""
    word: str = ""


USAGE_REPORT = msgspec.json.Decoder(UsageReport)
IMAGES = msgspec.json.Decoder(_Images)
TRANSCRIPT = msgspec.json.Decoder(_Transcription)
SEGMENT = msgspec.json.Decoder(_Segment)
FIELDS = msgspec.json.Decoder(dict[str, Raw])


def usage_of_report(usage: UsageReport) -> usage_pb2.Usage:
    """Usage in disjoint buckets, from a report of a younger path."""
    input_details = usage.input_tokens_details or usage.input_token_details or _InputDetails()
    output_details = usage.output_tokens_details or _OutputDetails()
    return chat_answer.usage(
        chat_answer.Usage(
            prompt_tokens=usage.input_tokens,
            completion_tokens=usage.output_tokens,
            prompt_tokens_details=chat_answer.InputDetails(
                cached_tokens=input_details.cached_tokens,
                audio_tokens=input_details.audio_tokens,
                image_tokens=input_details.image_tokens,
            ),
            completion_tokens_details=chat_answer.OutputDetails(
                reasoning_tokens=output_details.reasoning_tokens, audio_tokens=output_details.audio_tokens
            ),
        )
    )


def _set_fields(request: Message, names: Mapping[str, str]) -> dict[str, Any]:
    """Fields that the caller set, by the upstream's names."""
    return {upstream: getattr(request, ours) for ours, upstream in names.items() if request.HasField(ours)}


def _further(
    request: media.CreateImagesRequest | media.CreateTranscriptionRequest | media.CreateSpeechRequest,
) -> dict[str, Any]:
    """Further fields of the caller's, without the model: the route says which one may be used and is paid."""
    options_json = request.provider_options_json
    options = msgspec.json.decode(options_json, type=dict[str, Any]) if options_json else {}
    options.pop("model", None)
    return options


def _add_counts(answer: media.Transcription, transcript: _Transcription, body: bytes) -> None:
    """Adds usage or units, and the length of the sound in milliseconds."""
    usage = transcript.usage or UsageReport()
    duration = usage.seconds if transcript.duration is None else transcript.duration
    if duration is not None:
        answer.audio_ms = _ms(duration)
    if usage.input_tokens is not None:
        answer.usage.CopyFrom(usage_of_report(usage))
        raw_usage.attach(body, answer.usage)
    elif duration is not None:
        answer.units.audio_ms = _ms(duration if usage.seconds is None else usage.seconds)


def _ms(seconds: float) -> int:
    """Milliseconds that the contract can hold."""
    return min(max(0, round(seconds * 1000)), 2**32 - 1)
