"""What proves an answer's thinking, kept wherever an answer is kept: cached, shared, recorded, fallen back;
and the values and media types that SDKs may send.
"""

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from openai.types import ReasoningEffort
from openai.types.chat.chat_completion_content_part_image_param import ImageURL

from genai_spine.providers.base import Endpoint
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.service.conversations import HI, OSLO, SIGNED, WEATHER, ask, calling, results
from tests.service.running import TIMEOUTS, Running, Upstreams, asked, running
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply, ToolCall

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIGNED_CALL = ToolCall("weather", OSLO, extra={"extra_content": SIGNED})
DETAILS = [{"type": "reasoning.encrypted", "data": "e==", "id": "rs_1", "index": 0, "format": "x"}]
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
JPEG = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA=="


def gemini(upstream: OpenAIUpstream) -> dict[str, Endpoint]:
    return {"gemini": Endpoint("gemini", upstream.base_url, "sk-test", timeouts=TIMEOUTS)}


REPLY = Reply(tool_calls=[SIGNED_CALL], message_extra={"reasoning_details": DETAILS})


@pytest.mark.parametrize("first_streamed", [False, True])
async def test_a_cached_answer_has_its_state(
    all_upstreams: Upstreams, upstreams: Upstreams, module_sqlite_url: str, first_streamed: bool
) -> None:
    upstreams.openrouter.default = REPLY
    on: dict[str, Any] = {"cache_enabled": True, "cache_backend": "database"}
    endpoints = gemini(upstreams.openrouter)
    function = message_pb2.FunctionTool(name="weather")
    request = asked(f"Cached? {first_streamed}", model="gemini:gemini-3-pro", cache_max_age_s=60)
    request.tools.add(function=function)
    async with running(all_upstreams, module_sqlite_url, endpoints=endpoints, **on) as service:
        found = []
        for stream in (first_streamed, not first_streamed):
            if stream:
                chunks = [chunk async for chunk in service.completions.StreamCompletion(request)]
                deltas = [delta for chunk in chunks for delta in chunk.choices]
                calls = [call for delta in deltas for call in delta.tool_calls]
                states = [d.reasoning_state_json for d in deltas if d.reasoning_state_json]
            else:
                message = (await service.completions.CreateCompletion(request)).choices[0].message
                calls, states = list(message.tool_calls), [message.reasoning_state_json]
            found.append(([c.provider_state_json for c in calls if c.provider_state_json], states))
    assert len(upstreams.openrouter.bill.calls) == 1
    assert found[0] == found[1]
    [state], [details] = found[0]
    assert (msgspec.json.decode(state), msgspec.json.decode(details)) == (SIGNED, DETAILS)


@STREAMED
async def test_a_recorded_answer_has_its_state_and_is_found_when_it_comes_back(
    all_upstreams: Upstreams, upstreams: Upstreams, module_sqlite_url: str, tmp_path: Path, stream: bool
) -> None:
    upstreams.openrouter.script(REPLY, Reply("Sunny."))
    recorded = gemini(upstreams.openrouter)
    conversation: dict[str, Any] = {"tools": [WEATHER]}
    async with running(all_upstreams, module_sqlite_url, endpoints=recorded, record=tmp_path) as service:
        first = await ask(service, stream, model="gemini:gemini-3-pro", messages=[HI], **conversation)
        messages = [HI, first, *results(first)]
        await ask(service, stream, model="gemini:gemini-3-pro", messages=messages, **conversation)
    replay = {"replay": Endpoint("replay", f"file:{tmp_path}", further={"speed": "0"})}
    async with running(all_upstreams, module_sqlite_url, endpoints=replay) as service:
        model = "replay:gemini/gemini-3-pro"
        again = await ask(service, stream, model=model, messages=[HI], **conversation)
        assert again["tool_calls"] == first["tool_calls"]
        assert again["reasoning_details"] == DETAILS
        again["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": "sig_another"}}
        messages = [HI, again, *results(again)]
        last = await ask(service, stream, model=model, messages=messages, **conversation)
        assert last["content"] == "Sunny."


async def test_a_fallback_to_another_vendor_gets_none_of_it(
    all_upstreams: Upstreams, upstreams: Upstreams, module_sqlite_url: str
) -> None:
    upstreams.openrouter.default = Reply(status=503, body={"error": {"message": "overloaded"}})
    endpoints = gemini(upstreams.openrouter) | {
        "openai": Endpoint("openai", upstreams.openai.base_url, "sk-test", timeouts=TIMEOUTS)
    }
    said = calling(("call_1", OSLO), reasoning_details=DETAILS, reasoning_content="Hm.", extra_content=SIGNED)
    said["tool_calls"][0]["extra_content"] = SIGNED
    chain = {"fallback_chain": ["openai:gpt-4o"], "provider_retries": 0}
    async with running(all_upstreams, module_sqlite_url, endpoints=endpoints, **chain) as service:
        messages = [HI, said, *results(said)]
        answer = await ask(service, False, model="gemini:gemini-3-pro", messages=messages, tools=[WEATHER])
    assert answer["content"]
    assert "sig_A" in json.dumps(upstreams.openrouter.bill.calls[0].body)
    assert not {"extra_content", "reasoning"} & set(
        json.dumps(upstreams.openai.bill.calls[-1].body).split('"')
    )


@pytest.mark.parametrize("effort", get_args(get_args(ReasoningEffort)[0]))
async def test_every_effort_of_the_sdk_is_taken(service: Running, effort: str) -> None:
    posted = await service.chat(model="gpt-6", reasoning_effort=effort)
    assert posted.json["choices"]
    taken = {"minimal": "low"}.get(effort, effort)  # the level that this model lacks, by the behaviour book
    assert service.openai.bill.calls[-1].body["reasoning_effort"] == taken


DETAIL_LEVELS = get_args(get_type_hints(ImageURL)["detail"])


@pytest.mark.parametrize("detail", DETAIL_LEVELS)
async def test_every_detail_of_the_sdk_is_taken(service: Running, detail: str) -> None:
    image = {"url": f"data:image/png;base64,{PNG}", "detail": detail}
    content = [{"type": "image_url", "image_url": image}]
    await service.chat(messages=[{"role": "user", "content": content}])
    assert service.openai.bill.calls[-1].body["messages"][0]["content"][0]["image_url"] == image


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("service_tier", "fast"),
        ("service_tier", "scale"),
        ("verbosity", "high"),
        ("prompt_cache_retention", "in_memory"),
        ("modalities", ["text"]),
        ("prediction", {"type": "content", "content": "x"}),
        ("web_search_options", {"search_context_size": "low"}),
        ("moderation", {"policy": "x"}),
        ("store", False),
    ],
)
async def test_other_parameters_of_the_sdk_reach_openai(service: Running, field: str, value: Any) -> None:
    model = "gpt-5.5" if field == "verbosity" else "gpt-4o"  # which has one level of it
    assert (await service.chat(model=model, **{field: value})).json["choices"]
    assert service.openai.bill.calls[-1].body[field] == value


async def test_an_earlier_answer_in_sound_is_refused_by_its_field(service: Running) -> None:
    earlier = {"role": "assistant", "audio": {"id": "audio_1"}}
    posted = await service.chat(messages=[HI, earlier, HI])
    assert (posted.problem["status"], posted.problem["param"]) == (400, "messages[1].audio")


IMAGES = [
    (f"data:image/jpg;base64,{JPEG}", "image/jpeg", JPEG),
    (f"data:image/png;charset=utf-8;name=a.png;base64,{PNG}", "image/png", PNG),
    (f"DATA:IMAGE/PNG;BASE64,{PNG}", "image/png", PNG),
    (f"data:;base64,{JPEG}", "image/jpeg", JPEG),
    (f"data:image/png;base64,{PNG[:40]}\r\n{PNG[40:]}\n", "image/png", PNG),
    (f"data:image/png;base64,{PNG.replace('+', '-').replace('/', '_').rstrip('=')}", "image/png", PNG),
    (PNG, "image/png", PNG),
]


@pytest.mark.parametrize(("url", "media_type", "data"), IMAGES)
async def test_images_have_one_form_at_every_provider(
    all_upstreams: Upstreams,
    upstreams: Upstreams,
    module_sqlite_url: str,
    url: str,
    media_type: str,
    data: str,
) -> None:
    endpoints = upstreams.one_of_each()
    models = {
        "anthropic": "claude-sonnet-4-5",
        "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "ollama": "llama3.2:latest",
        "openrouter": "google/gemini-3-pro",
        "openai": "gpt-4o",
    }
    content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]
    async with running(all_upstreams, module_sqlite_url, endpoints=endpoints) as service:
        for name, model in models.items():
            await ask(
                service, False, model=f"{name}:{model}", messages=[{"role": "user", "content": content}]
            )
            body = json.dumps(getattr(upstreams, name).bill.calls[-1].body)
            assert data in body
            if name in ("openai", "openrouter"):
                assert f"data:{media_type};base64,{data}" in body
            if name == "anthropic":
                assert f'"media_type": "{media_type}"' in body
            if name == "bedrock":
                assert f'"format": "{media_type.removeprefix("image/")}"' in body
        await ask(service, False, model="openai:o3-pro", messages=[{"role": "user", "content": content}])
        assert f"data:{media_type};base64,{data}" in json.dumps(upstreams.openai.bill.calls[-1].body)


async def test_an_image_natively_needs_no_type_where_its_bytes_tell(service: Running) -> None:
    request = asked("What?")
    request.messages[0].content.add().image.data = msgspec.json.decode(f'"{PNG}"', type=bytes)
    assert (await service.completions.CreateCompletion(request)).choices
    url = service.openai.bill.calls[-1].body["messages"][0]["content"][1]["image_url"]["url"]
    assert url == f"data:image/png;base64,{PNG}"


@pytest.mark.parametrize(
    ("data", "declared", "form"),
    [
        ("UklGRgAAAABXQVZFZm10IA==", "wav", "wav"),
        ("UklGRgAAAABXQVZFZm10IA==", None, "wav"),
        ("data:audio/mpeg;base64,SUQzBAAA", None, "mp3"),
        ("SUQz\nBAAA", "audio/mpeg", "mp3"),
        ("SUQzBAAA", "MP3", "mp3"),
    ],
)
async def test_sound_has_one_form(service: Running, data: str, declared: str | None, form: str) -> None:
    audio = {"data": data} | ({"format": declared} if declared else {})
    await service.chat(
        messages=[{"role": "user", "content": [{"type": "input_audio", "input_audio": audio}]}]
    )
    sent = service.openai.bill.calls[-1].body["messages"][0]["content"][0]["input_audio"]
    assert sent == {"data": data.rpartition(",")[2].replace("\n", ""), "format": form}


async def test_efforts_of_the_contract_are_those_of_the_sdk() -> None:
    values = pb.ReasoningEffort.DESCRIPTOR.values
    names = {value.name.removeprefix("REASONING_EFFORT_").lower() for value in values}
    assert names - {"unspecified"} == set(get_args(get_args(ReasoningEffort)[0]))
