"""Image and audio responses in OpenAI's formats: JSON, verbose JSON, text, SubRip, WebVTT.

Shapes: the types of the official package, 2026-11-28. Beside OpenAI's fields stand provider, request_id,
execution_id and cost_usd, which its SDKs pass through.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from genai_spine.openai_api.headers import JSON
from genai_spine.v1 import media_service_pb2 as pb

PLAIN = "text/plain; charset=utf-8"

encode = msgspec.json.encode


def images(response: pb.CreateImagesResponse) -> bytes:
    """JSON of an image response."""
    body: dict[str, Any] = {"created": response.created, "data": [_image(one) for one in response.images]}
    kinds = {one.media_type.removeprefix("image/") for one in response.images if one.media_type}
    if kinds:
        body["output_format"] = kinds.pop()
    if response.usage.total_tokens:
        counts = response.usage
        body["usage"] = {
            "input_tokens": counts.input_tokens,
            "output_tokens": counts.output_tokens,
            "total_tokens": counts.total_tokens,
            "input_tokens_details": {
                "image_tokens": counts.image_input_tokens,
                "text_tokens": counts.input_tokens - counts.image_input_tokens,
            },
        }
    return encode(body | _provenance(response))


def _image(image: pb.Image) -> dict[str, Any]:
    fields = (
        {"url": image.url} if image.HasField("url") else {"b64_json": base64.b64encode(image.data).decode()}
    )
    return fields | ({"revised_prompt": image.revised_prompt} if image.HasField("revised_prompt") else {})


def _json(answer: pb.Transcription, task: str) -> bytes:
    """JSON with the text alone."""
    return encode({"text": answer.text, **_usage(answer), **_provenance(answer)})


def _verbose(answer: pb.Transcription, task: str) -> bytes:
    """Verbose JSON: language, duration, segments and words with timestamps (seconds)."""
    body: dict[str, Any] = {
        "task": task,
        "language": answer.language,
        "duration": answer.audio_ms / 1000,
        "text": answer.text,
    }
    if answer.segments:
        body["segments"] = [
            {"id": number, **_segment(segment, "text")} for number, segment in enumerate(answer.segments)
        ]
    if answer.words:
        body["words"] = [_segment(word, "word") for word in answer.words]
    return encode({**body, **_usage(answer), **_provenance(answer)})


def _segment(segment: pb.Segment, name: str) -> dict[str, Any]:
    """Segment or word with its start and end in seconds."""
    details: dict[str, Any] = msgspec.json.decode(segment.details_json) if segment.details_json else {}
    return {"start": segment.start_ms / 1000, "end": segment.end_ms / 1000, name: segment.text, **details}


def _text(answer: pb.Transcription, task: str) -> bytes:
    """Plain text."""
    return f"{answer.text}\n".encode()


def _srt(answer: pb.Transcription, task: str) -> bytes:
    """SubRip, as whisper writes it (https://github.com/openai/whisper, whisper/utils.py, 2026-11-28)."""
    cues = [
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n{_cue(cue)}\n"
        for number, cue in enumerate(answer.segments, 1)
    ]
    return "\n".join(cues).encode()


def _vtt(answer: pb.Transcription, task: str) -> bytes:
    """WebVTT (https://www.w3.org/TR/webvtt1)."""
    cues = [
        f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{_cue(cue)}\n" for cue in answer.segments
    ]
    return "\n".join(["WEBVTT\n", *cues]).encode()


def _cue(segment: pb.Segment) -> str:
    return segment.text.strip().replace("-->", "->")


def _clock(ms: int, point: str) -> str:
    """Timestamp HH:MM:SS and milliseconds, behind a point or comma."""
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{ms:03}"


def _usage(answer: pb.Transcription) -> dict[str, Any]:
    """Usage of a transcription: tokens, or seconds of sound."""
    counts = answer.usage
    if counts.total_tokens:
        details = {
            "audio_tokens": counts.audio_input_tokens,
            "text_tokens": counts.input_tokens - counts.audio_input_tokens,
        }
        tokens = {
            "type": "tokens",
            "input_tokens": counts.input_tokens,
            "input_token_details": details,
            "output_tokens": counts.output_tokens,
            "total_tokens": counts.total_tokens,
        }
        return {"usage": tokens}
    if answer.units.audio_ms:
        return {"usage": {"type": "duration", "seconds": answer.units.audio_ms / 1000}}
    return {}


def _provenance(answer: pb.CreateImagesResponse | pb.Transcription) -> dict[str, Any]:
    """Fields of ours beside OpenAI's: provider, ids, cost."""
    return {
        "provider": answer.provider,
        "request_id": answer.request_id,
        "execution_id": answer.execution_id,
        "cost_usd": answer.cost.cost_usd,
    }


@dataclass(frozen=True, slots=True)
class TranscriptFormat:
    """Response format of a transcription: content type and writer."""

    content_type: str
    write: Callable[[pb.Transcription, str], bytes]  # of the answer, and what was done: the task


# By response_format.
TRANSCRIPTIONS = {
    "json": TranscriptFormat(JSON, _json),
    "text": TranscriptFormat(PLAIN, _text),
    "srt": TranscriptFormat(PLAIN, _srt),
    "verbose_json": TranscriptFormat(JSON, _verbose),
    "vtt": TranscriptFormat(PLAIN, _vtt),
}
