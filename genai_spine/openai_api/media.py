"""Images and Audio API of OpenAI: JSON or multipart forms in, JSON, text or sound out.

Shapes: https://platform.openai.com/docs/api-reference/images and .../audio, 2026-11-28.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from genai_spine.call import Call
from genai_spine.errors import InvalidRequest
from genai_spine.inference.inference import Inference
from genai_spine.openai_api import media_responses, multipart, requests
from genai_spine.openai_api.admission import admit
from genai_spine.openai_api.headers import JSON, set_headers
from genai_spine.openai_api.schemas import Image, Speech, Voice
from genai_spine.v1 import media_service_pb2 as pb

SOUNDS = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
# Fields of the form that the contract has; the provider gets the others as they are.
KNOWN = {
    *("file", "model", "provider", "language", "prompt", "response_format", "temperature", "stream", "user"),
    *("timestamp_granularities", "timestamp_granularities[]", "idempotency_key"),
}
TIMED = ("srt", "vtt", "verbose_json")  # forms that say when something was spoken


@dataclass(frozen=True, slots=True)
class MediaFacade:
    """Handlers of images, transcription, translation and speech."""

    inference: Inference

    async def image(self, body: bytes, call: Call) -> bytes:
        """Image generation. Errors: InvalidRequest naming the field."""
        request = image_request(body)
        admit(request, call)
        response = await self.inference.create_images(request, call)
        set_headers(call, JSON, response)
        return media_responses.images(response)

    async def transcription(self, body: bytes, content_type: str, call: Call) -> bytes:
        """Transcription of a sound file, in its own language."""
        return await self._heard(multipart.parse(body, content_type), call)

    async def translation(self, body: bytes, content_type: str, call: Call) -> bytes:
        """Transcription of a sound file in English."""
        return await self._heard(multipart.parse(body, content_type), call, translate=True)

    async def _heard(self, form: multipart.Form, call: Call, *, translate: bool = False) -> bytes:
        """Transcription or translation in the response format of the form."""
        wanted = form.text("response_format") or "json"
        if wanted not in media_responses.TRANSCRIPTIONS:
            known = ", ".join(media_responses.TRANSCRIPTIONS)
            raise InvalidRequest(field="response_format", problem=f"must be one of {known}")
        request = transcription_request(form, timed=wanted in TIMED)
        if translate:
            request.translate = True
        admit(request, call)
        answer = await self.inference.transcribe(request, call)
        form_of_answer = media_responses.TRANSCRIPTIONS[wanted]
        set_headers(call, form_of_answer.content_type, answer)
        return form_of_answer.write(answer, "translate" if translate else "transcribe")

    async def speech(self, body: bytes, call: Call) -> AsyncGenerator[bytes]:
        """Text to speech: bytes of sound as they come."""
        request = speech_request(body)
        admit(request, call)
        async with aclosing(self.inference.create_speech(request, call)) as chunks:
            async for chunk in chunks:
                if chunk.media_type:
                    set_headers(call, chunk.media_type, chunk, whole=False)
                if chunk.data:
                    yield chunk.data


def image_request(body: bytes) -> pb.CreateImagesRequest:
    """Typed request of a body. Errors: InvalidRequest naming the field."""
    image = requests.decode(body, Image)
    if image.stream:
        raise InvalidRequest(field="stream", problem="images are not streamed here")
    request = pb.CreateImagesRequest(
        provider=image.provider,
        model=image.model,
        prompt=image.prompt,
        size=image.size,
        quality=image.quality,
        user=image.user,
        cost_labels=image.cost_labels,
        media_type=f"image/{image.output_format}" if image.output_format else None,
        provider_options_json=requests.extras(requests.fields(body), Image),
    )
    if image.n is not None:
        request.image_count = requests.count("n", image.n)
    return request


def speech_request(body: bytes) -> pb.CreateSpeechRequest:
    """Typed request of a body. Errors: InvalidRequest naming the field."""
    speech = requests.decode(body, Speech)
    if speech.stream_format == "sse":
        raise InvalidRequest(field="stream_format", problem="sound is streamed as it is: audio")
    voice = speech.voice
    own = {"voice": {"id": voice.id}} if isinstance(voice, Voice) else {}
    return pb.CreateSpeechRequest(
        provider=speech.provider,
        model=speech.model,
        input=speech.input,
        voice=None if isinstance(voice, Voice) else voice,
        media_type=SOUNDS[speech.response_format or "mp3"],
        speed=speech.speed,
        instructions=speech.instructions,
        user=speech.user,
        cost_labels=speech.cost_labels,
        provider_options_json=requests.extras(requests.fields(body), Speech, **own),
    )


def transcription_request(form: multipart.Form, *, timed: bool) -> pb.CreateTranscriptionRequest:
    """Typed request of a form. timed: the format has timestamps. Errors: InvalidRequest naming the field."""
    if form.text("stream") not in (None, "false", "False"):
        raise InvalidRequest(field="stream", problem="transcriptions are not streamed here")
    file = form.file("file")
    request = pb.CreateTranscriptionRequest(
        provider=form.text("provider"),
        model=form.text("model"),
        data=file.data,
        filename=file.name,
        language=form.text("language"),
        prompt=form.text("prompt"),
        user=form.text("user"),
        cost_labels=form.entries("cost_labels"),
    )
    if temperature := form.text("temperature"):
        request.temperature = _number("temperature", temperature)
    for granularity in _granularities(form, timed):
        setattr(request, f"{granularity}s", True)
    further = {
        name.removesuffix("[]"): texts if name.endswith("[]") else texts[-1]
        for name, texts in form.texts.items()
        if name not in KNOWN and not name.startswith("cost_labels[")
    }
    if further:
        request.provider_options_json = msgspec.json.encode(further).decode()
    return request


def _granularities(form: multipart.Form, timed: bool) -> list[str]:
    """Timestamp granularities of a form. Errors: InvalidRequest."""
    names = ("timestamp_granularities[]", "timestamp_granularities")
    granularities = [text for name in names for text in form.texts.get(name, ())]
    if wrong := [text for text in granularities if text not in ("segment", "word")]:
        problem = f"must be segment or word, got {wrong[0][:50]!r}"
        raise InvalidRequest(field="timestamp_granularities", problem=problem)
    if granularities and not timed:
        raise InvalidRequest(field="timestamp_granularities", problem="needs response_format verbose_json")
    return granularities or (["segment"] if timed else [])


def _number(field: str, text: str) -> float:
    """Number of a form field. Errors: InvalidRequest."""
    try:
        return float(text)
    except ValueError:
        raise InvalidRequest(field=field, problem=f"must be a number, got {text[:50]!r}") from None
