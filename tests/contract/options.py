"""For each field of CreateCompletionRequest a value, and what the upstream must be asked because of it.

Fields and kinds of parts as the adapters' `options` tables name them.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from genai_spine.providers.anthropic.request import JSON_SCHEMA
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.upstreams.bill import Entry

SCHEMA = '{"type":"object","properties":{"z":{"type":"integer"},"a":{"type":"string"}}}'
FORMAT = pb.ResponseFormat(json_schema=pb.JsonSchema(name="person", schema_json=SCHEMA, strict=False))
FUNCTION = message_pb2.FunctionTool(name="weather", description="says it", parameters_json=SCHEMA)
PNG = b"\x89PNG\r\n\x1a\n\x00\xff"
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
WAV = b"RIFF\x00\xff"

Request = pb.CreateCompletionRequest


def said(*parts: message_pb2.ContentPart) -> message_pb2.Message:
    return message_pb2.Message(
        role=message_pb2.ROLE_USER, content=parts or [message_pb2.ContentPart(text="Hello, json")]
    )


@dataclass(frozen=True, slots=True)
class Sample:
    fields: dict[str, Any]  # of the request, that field and what it needs
    sent: Any  # what stands under the upstream's name of it
    ollama: Any = None  # where Ollama's own form differs
    responses: Any = None  # where that of the Responses API differs
    ask: Callable[[dict[str, Any]], Any] | None = None  # where it does not stand at the top of the body


def _part(body: dict[str, Any]) -> Any:
    return body["messages"][0]["content"][0]


FUNCTION_JSON = {
    "type": "function",
    "function": {"name": "weather", "description": "says it", "parameters": {}},
}
FUNCTION_JSON["function"]["parameters"] = {  # type: ignore[index]
    "type": "object",
    "properties": {"z": {"type": "integer"}, "a": {"type": "string"}},
}

SAMPLES: dict[str, Sample] = {
    "temperature": Sample({"temperature": 0.25}, 0.25),
    "top_p": Sample({"top_p": 0.5}, 0.5),
    "top_k": Sample({"top_k": 40}, 40),
    "max_tokens": Sample({"max_tokens": 16}, 16),
    "choice_count": Sample({"choice_count": 2}, 2),
    "stop_sequences": Sample({"stop_sequences": ["stop", "é"]}, ["stop", "é"]),
    "presence_penalty": Sample({"presence_penalty": 0.5}, 0.5),
    "frequency_penalty": Sample({"frequency_penalty": -0.5}, -0.5),
    "seed": Sample({"seed": 2**53 + 1}, 2**53 + 1),
    "tools": Sample(
        {"tools": [message_pb2.Tool(function=FUNCTION)]},
        [FUNCTION_JSON],
        responses=[{"type": "function", **FUNCTION_JSON["function"], "strict": False}],  # type: ignore[dict-item]
    ),
    "tool_choice": Sample(
        {
            "tools": [message_pb2.Tool(function=FUNCTION)],
            "tool_choice": message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED),
        },
        "required",
    ),
    "parallel_tool_calls": Sample(
        {"tools": [message_pb2.Tool(function=FUNCTION)], "parallel_tool_calls": False}, False
    ),
    "response_format": Sample(
        {"response_format": FORMAT},
        {
            "type": "json_schema",
            "json_schema": {
                "name": "person",
                "schema": FUNCTION_JSON["function"]["parameters"],  # type: ignore[index]
                "strict": False,
            },
        },
        ollama=FUNCTION_JSON["function"]["parameters"],  # type: ignore[index]
        responses={
            "format": {
                "type": "json_schema",
                "name": "person",
                "schema": FUNCTION_JSON["function"]["parameters"],  # type: ignore[index]
                "strict": False,
            }
        },
    ),
    "logprobs": Sample(
        {"logprobs": True},
        True,
        responses=["message.output_text.logprobs", "reasoning.encrypted_content"],
    ),
    "top_logprobs": Sample({"logprobs": True, "top_logprobs": 2}, 2),
    "logit_bias": Sample({"logit_bias": {50256: -100.0, 7: 0.5}}, {"50256": -100, "7": 0.5}),
    "reasoning_effort": Sample(
        {"reasoning_effort": pb.REASONING_EFFORT_HIGH}, "high", responses={"effort": "high"}
    ),
    "reasoning_max_tokens": Sample({"reasoning_max_tokens": 2048}, 2048),
    "messages.image": Sample(
        {
            "messages": [
                said(
                    message_pb2.ContentPart(
                        image=message_pb2.ImagePart(
                            data=PNG, media_type="image/png", detail="IMAGE_DETAIL_LOW"
                        )
                    )
                )
            ]
        },
        {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "low"}},
        ollama=[PNG_URL.partition(",")[2]],
        responses={"type": "input_image", "image_url": PNG_URL, "detail": "low"},
        ask=_part,
    ),
    "messages.audio": Sample(
        {"messages": [said(message_pb2.ContentPart(audio=message_pb2.AudioPart(data=WAV, format="wav")))]},
        {
            "type": "input_audio",
            "input_audio": {"data": base64.b64encode(WAV).decode(), "format": "wav"},
        },
        ask=_part,
    ),
    "messages.file": Sample(
        {
            "messages": [
                said(message_pb2.ContentPart(file=message_pb2.FilePart(file_id="file-1", filename="a.pdf")))
            ]
        },
        {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
        responses={"type": "input_file", "file_id": "file-1"},
        ask=_part,
    ),
    "tools.custom": Sample(
        {
            "tools": [
                message_pb2.Tool(custom=message_pb2.CustomTool(name="write", format_json='{"type": "text"}'))
            ]
        },
        [{"type": "custom", "custom": {"name": "write", "format": {"type": "text"}}}],
        responses=[{"type": "custom", "name": "write", "format": {"type": "text"}}],
        ask=lambda body: body["tools"],
    ),
    "prompt.tokens": Sample(
        {"messages": [], "prompt": pb.TextPrompt(tokens=pb.TokenList(tokens=[1, 2, 3]))},
        [1, 2, 3],
        ask=lambda body: body["prompt"],
    ),
}


def request(name: str, model: str) -> Request:
    """Request for a field; of OpenAI's models only those that reason take an effort."""
    sample = SAMPLES[name]
    if name == "reasoning_effort" and model == "gpt-4o":
        model = "gpt-5.4"
    return Request(**({"model": model, "messages": [said()]} | sample.fields))


def asked_of_openai(entry: Entry, name: str, upstream_name: str) -> Any:
    ask = SAMPLES[name].ask
    return ask(entry.body) if ask else entry.body[upstream_name]


def asked_of_ollama(entry: Entry, name: str, upstream_name: str) -> Any:
    body = entry.body
    if name == "messages.image":
        return body["messages"][0][upstream_name]
    return body[upstream_name] if upstream_name in body else body["options"][upstream_name]


# What Anthropic is asked, where its form differs.
ANTHROPIC: dict[str, Any] = {
    "tools": [{"name": "weather", "description": "says it", "input_schema": msgspec.json.decode(SCHEMA)}],
    "tool_choice": {"type": "any"},
    "parallel_tool_calls": True,  # disable_parallel_tool_use
    # The default model is one of those that are told in words.
    "response_format": [{"type": "text", "text": f"{JSON_SCHEMA}{SCHEMA}"}],
    "reasoning_effort": {"type": "enabled", "budget_tokens": 16384},
    "reasoning_max_tokens": {"type": "enabled", "budget_tokens": 2048},
    "messages.image": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PNG_URL.partition(",")[2]},
    },
    "messages.file": {
        "type": "document",
        "source": {"type": "file", "file_id": "file-1"},
        "title": "a.pdf",
    },
}


def asked_of_anthropic(entry: Entry, name: str, upstream_name: str) -> Any:
    body = entry.body
    if name.startswith("messages."):
        return _part(body)
    if name == "response_format":
        return body["system"]
    return body[upstream_name] if upstream_name in body else body["tool_choice"][upstream_name]


def asked_of_responses(entry: Entry, name: str, upstream_name: str) -> Any:
    part = name.startswith("messages.")
    return entry.body["input"][0]["content"][0] if part else entry.body[upstream_name]
