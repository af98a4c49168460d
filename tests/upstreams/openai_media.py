"""Answers of OpenAI's paths of images and sound.

Shapes: https://platform.openai.com/docs/api-reference/images and .../audio (2026-11-28).
"""

import base64
import json
import math
from typing import Any

from tests.upstreams import forms
from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.openai_errors import error
from tests.upstreams.reply import Reply
from tests.upstreams.samples import count_tokens
from tests.upstreams.server import Refused

PNG = b"\x89PNG\r\n\x1a\n\x00\xff\xfe picture "
SOUND = [bytes((number, 255 - number, 0, 13, 10)) * 50 for number in range(8)]
SOUND_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
HEARD = ["Hé llo", "wörld, 日本."]
DURATION_S = 4.25
IMAGE_TOKENS = 272
MOST_SPOKEN = 4096  # characters

REQUIRED_SPEECH = ("model", "input", "voice")


def check_image(body: dict[str, Any]) -> None:
    _require(body, "prompt")
    if str(body.get("model")).startswith("dall-e") and "output_format" in body:
        raise Refused(
            error(400, "Unknown parameter: 'output_format'.", param="output_format", code="unknown_parameter")
        )


def image_answer(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    old = str(body.get("model")).startswith("dall-e")
    data = [
        _image(body, number, as_url=old and body.get("response_format") != "b64_json")
        for number in range(body.get("n") or 1)
    ]
    whole: dict[str, Any] = {"created": reply.created or 1763683200, "data": data}
    given = count_tokens(body["prompt"]) if reply.usage.prompt_tokens is None else reply.usage.prompt_tokens
    made = IMAGE_TOKENS * len(data)
    if not old:
        whole |= {"output_format": body.get("output_format") or "png", "size": "1024x1024", "quality": "low"}
        if not reply.omit_usage:
            whole["usage"] = {
                "input_tokens": given,
                "output_tokens": made,
                "total_tokens": given + made,
                "input_tokens_details": {"text_tokens": given, "image_tokens": 0},
            }
    return _whole(whole | reply.extra, given, made)


def _image(body: dict[str, Any], number: int, *, as_url: bool) -> dict[str, Any]:
    if as_url:
        return {"url": f"https://images.example/{number}.png", "revised_prompt": f"better {body['prompt']}"}
    return {"b64_json": base64.b64encode(PNG + bytes([number])).decode()}


def check_sound(body: dict[str, Any]) -> None:
    """Of transcriptions and translations."""
    _require(body, "model")
    if not isinstance(body.get("file"), dict):
        raise Refused(error(400, "Missing required parameter: 'file'.", param="file"))
    if not forms.data_of(body["file"]):
        raise Refused(
            error(400, "Audio file might be corrupted or unsupported", param="file", code="invalid_value")
        )
    form = body.get("response_format", "json")
    if not str(body["model"]).startswith("whisper") and form not in ("json", "text"):
        words = f"is not compatible with model '{body['model']}'. Use 'json' or 'text' instead."
        message = f"response_format '{form}' {words}"
        raise Refused(error(400, message, param="response_format", code="unsupported_value"))


def transcription_answer(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    return _heard("transcribe", body, reply)


def translation_answer(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    return _heard("translate", body, reply)


def _heard(task: str, body: dict[str, Any], reply: Reply) -> Answer:
    pieces = HEARD if reply.text is None else [reply.text] if isinstance(reply.text, str) else reply.text
    text, form = " ".join(pieces), body.get("response_format") or "json"
    whole: dict[str, Any] = {"text": text}
    given, made = 0, 0
    if str(body["model"]).startswith("whisper"):
        usage: dict[str, Any] = {"type": "duration", "seconds": math.ceil(DURATION_S)}
    else:
        given, made = (
            43 if reply.usage.prompt_tokens is None else reply.usage.prompt_tokens,
            count_tokens(text),
        )
        usage = {"type": "tokens", "input_tokens": given, "output_tokens": made, "total_tokens": given + made}
        usage["input_token_details"] = {"text_tokens": 3, "audio_tokens": given - 3}
    if form in ("text", "srt", "vtt"):
        return Answer([Event(_written(form, pieces).encode())], "text/plain; charset=utf-8", None, given)
    if form == "verbose_json":
        whole = {"task": task, "language": "english", "duration": DURATION_S, "text": text}
        wanted = body.get("timestamp_granularities[]") or ["segment"]
        if "segment" in wanted:
            whole["segments"] = [_segment(number, piece) for number, piece in enumerate(pieces)]
        if "word" in wanted:
            whole["words"] = [
                {"word": word, "start": number * 0.5, "end": number * 0.5 + 0.25}
                for number, word in enumerate(text.split())
            ]
    if not reply.omit_usage:
        whole["usage"] = usage
    return _whole(whole | reply.extra, given, made)


def _segment(number: int, text: str) -> dict[str, Any]:
    return {
        "id": number,
        "seek": 0,
        "start": number * 2.5,
        "end": number * 2.5 + 1.75,
        "text": text,
        "tokens": [50364, 2425 + number],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 1.5,
        "no_speech_prob": 0.0625,
    }


def _written(form: str, pieces: list[str]) -> str:
    if form == "text":
        return " ".join(pieces) + "\n"
    point = "," if form == "srt" else "."
    cues = []
    for number, piece in enumerate(pieces):
        start, end = number * 2.5, number * 2.5 + 1.75
        times = " --> ".join(f"00:00:{at:06.3f}".replace(".", point) for at in (start, end))
        cues.append((f"{number + 1}\n" if form == "srt" else "") + f"{times}\n{piece}\n")
    return "\n".join(cues if form == "srt" else ["WEBVTT\n", *cues])


def check_speech(body: dict[str, Any]) -> None:
    for name in REQUIRED_SPEECH:
        _require(body, name)
    if len(body["input"]) > MOST_SPOKEN:
        message = f"Invalid 'input': string too long. Expected a string with maximum length {MOST_SPOKEN}."
        raise Refused(error(400, message, param="input", code="string_above_max_length"))


def speech_answer(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    if isinstance(reply.text, list):
        pieces = [piece.encode() for piece in reply.text]
    else:
        pieces = SOUND if reply.text is None else [reply.text.encode()]
    events = [Event(piece, 0, number) for number, piece in enumerate(pieces, 1)]
    kind = SOUND_TYPES[body.get("response_format") or "mp3"]
    return Answer(events, kind, frame=lambda value: json.dumps(value).encode())


def _require(body: dict[str, Any], name: str) -> None:
    if not body.get(name):
        message = f"Missing required parameter: '{name}'."
        raise Refused(error(400, message, param=name, code="missing_required_parameter"))


def _whole(value: dict[str, Any], given: int, made: int) -> Answer:
    return Answer([Event(json.dumps(value, ensure_ascii=False).encode(), made)], prompt_tokens=given)
