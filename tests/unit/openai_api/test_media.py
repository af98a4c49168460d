"""Forms of a transcription: what is read from a request, and what is written."""

import json
from typing import Any

import pytest

from genai_spine.errors import InvalidRequest
from genai_spine.openai_api import multipart
from genai_spine.openai_api.media import transcription_request
from genai_spine.openai_api.media_responses import TRANSCRIPTIONS, images
from genai_spine.v1 import media_service_pb2 as pb

HEARD = pb.Transcription(
    text="One. Two.",
    language="english",
    audio_ms=4250,
    segments=[
        pb.Segment(start_ms=0, end_ms=1750, text=" One. ", details_json='{"seek":0}'),
        pb.Segment(start_ms=3_725_004, end_ms=36_000_999, text="a --> b"),
    ],
)


def form(**texts: Any) -> multipart.Form:
    lists = {name: text if isinstance(text, list) else [text] for name, text in texts.items()}
    return multipart.Form(texts=lists, files={"file": multipart.FormFile("a.wav", b"x")})


def written(kind: str, answer: pb.Transcription = HEARD) -> str:
    return TRANSCRIPTIONS[kind].write(answer, "transcribe").decode()


def test_captions_have_hours_and_no_arrow_of_their_own() -> None:
    assert written("srt") == (
        "1\n00:00:00,000 --> 00:00:01,750\nOne.\n\n2\n01:02:05,004 --> 10:00:00,999\na -> b\n"
    )
    assert written("vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.750\nOne.\n\n01:02:05.004 --> 10:00:00.999\na -> b\n"
    )


def test_silence_is_captions_without_a_cue() -> None:
    assert written("srt", pb.Transcription()) == ""
    assert written("vtt", pb.Transcription()) == "WEBVTT\n"
    assert written("text", pb.Transcription()) == "\n"


def test_verbose_form_has_the_details_of_each_segment() -> None:
    body = json.loads(written("verbose_json"))
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "english", 4.25)
    assert body["segments"][0] == {"id": 0, "start": 0.0, "end": 1.75, "text": " One. ", "seek": 0}
    assert "words" not in body


def test_usage_is_that_by_which_it_is_billed() -> None:
    assert "usage" not in json.loads(written("json"))
    by_time = pb.Transcription(text="x", units={"audio_ms": 5000})
    assert json.loads(written("json", by_time))["usage"] == {"type": "duration", "seconds": 5.0}
    counts = {"input_tokens": 43, "audio_input_tokens": 40, "output_tokens": 5, "total_tokens": 48}
    by_tokens = json.loads(written("json", pb.Transcription(text="x", usage=counts)))["usage"]
    assert (by_tokens["type"], by_tokens["input_token_details"]) == (
        "tokens",
        {"audio_tokens": 40, "text_tokens": 3},
    )


def test_times_are_asked_for_where_the_form_needs_them() -> None:
    assert not transcription_request(form(), timed=False).segments
    assert transcription_request(form(), timed=True).segments
    words = transcription_request(form(**{"timestamp_granularities[]": ["word"]}), timed=True)
    assert (words.segments, words.words) == (False, True)
    with pytest.raises(InvalidRequest, match="needs response_format verbose_json"):
        transcription_request(form(**{"timestamp_granularities[]": ["word"]}), timed=False)


def test_further_fields_of_a_form_go_to_the_provider() -> None:
    request = transcription_request(
        form(**{"include[]": ["logprobs"], "chunking_strategy": "auto", "model": "m"}), timed=False
    )
    assert json.loads(request.provider_options_json) == {"include": ["logprobs"], "chunking_strategy": "auto"}
    assert request.model == "m"


def test_images_without_tokens_have_no_usage() -> None:
    body = json.loads(images(pb.CreateImagesResponse(created=1, images=[pb.Image(url="https://x/1")])))
    assert body["data"] == [{"url": "https://x/1"}]
    assert "usage" not in body
    assert "output_format" not in body
