"""Public bug reports about lists, embeddings, Ollama, sessions, prompts and capabilities, each as a test."""

import json
import struct
from base64 import b64decode
from typing import Any
from unicodedata import normalize
from uuid import uuid4

import pytest

from genai_spine.v1 import capability_service_pb2 as capabilities
from genai_spine.v1 import model_service_pb2
from genai_spine.v1 import prompt_service_pb2 as prompts
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub
from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceStub
from tests.service.chats import begun
from tests.service.public_reports import Read, check, read, reported
from tests.service.running import Running
from tests.upstreams.reply import Reply
from tests.upstreams.samples import vector

pytestmark = pytest.mark.asyncio(loop_scope="session")
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
LLAMA = "ollama:llama3.2:latest"
ODD = "a\r\nb\rc\n\ufeffd\u2028e \U0001f469\u200d\U0001f680 { } {{ x }} {% y %}"


@reported("N1", "BerriAI/litellm#37271, ollama/ollama#10139")
async def test_a_models_name_may_have_slashes(service: Running, report: str) -> None:
    name = f"{report.partition('#')[0]}:7b"
    service.openai.models = [*service.openai.models, name]
    try:
        request = model_service_pb2.GetModelRequest(model=f"vllm:{name}")
        assert (await service.models.GetModel(request)).id.endswith(name)
    finally:
        service.openai.models = service.openai.models[:-1]


@reported("M1", "getzep/graphiti#1732, pydantic/pydantic-ai#7284, norrietaylor/distillery#601")
async def test_vectors_that_come_out_of_order_are_put_in_order(service: Running, report: str) -> None:
    data = [{"object": "embedding", "index": index, "embedding": [float(index), 0.5]} for index in (2, 0, 1)]
    service.openai.script(
        Reply(body={"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 3}})
    )
    body = {"model": "text-embedding-3-small", "input": [report, "b", "c"], "encoding_format": "float"}
    answer = (await service.post("/v1/embeddings", body)).json
    assert [each["index"] for each in answer["data"]] == [0, 1, 2]
    assert [each["embedding"][0] for each in answer["data"]] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("given", "count"),
    [([1, 2, 3], 1), ([[1, 2], [3]], 2), (["x"] * 2048, 2048), ("", None)],
    ids=["ids", "lists of ids", "2048 texts", "empty"],
)
@reported("M2", "danny-avila/rag_api#115, veniceai/api-docs#423")
async def test_inputs_of_embeddings_in_every_form(
    service: Running, report: str, given: Any, count: int | None
) -> None:
    body = {"model": "text-embedding-3-small", "input": given, "user": report}
    posted = await service.post("/v1/embeddings", body)
    if count is None:
        assert posted.problem["status"] == 400
        return
    assert len(posted.json["data"]) == count
    sent = service.openai.bill.calls[-1].body["input"]
    assert sent in (given, [given])


@reported("M2", "danny-avila/rag_api#115")
async def test_base64_is_what_the_sdk_unpacks(service: Running, report: str) -> None:
    body = {"model": "text-embedding-3-small", "input": [report], "encoding_format": "base64"}
    [data] = (await service.post("/v1/embeddings", body)).json["data"]
    packed = b64decode(data["embedding"])
    wanted = vector(report, len(packed) // 4)
    assert struct.unpack(f"<{len(packed) // 4}f", packed) == pytest.approx(wanted)


@reported("M2", "token ids at Ollama")
async def test_token_ids_are_refused_by_ollama_with_a_word(service: Running, report: str) -> None:
    body = {"model": "ollama:nomic-embed-text:latest", "input": [1, 2], "user": report}
    problem = (await service.post("/v1/embeddings", body)).problem
    assert problem["status"] == 400
    assert "token" in problem["message"]


LINE = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": "Hi"}}
FAILED = {"error": "model runner has unexpectedly stopped"}


@pytest.mark.parametrize(
    ("lines", "error"),
    [([LINE | {"done": False}, FAILED], "unexpectedly stopped"), ([LINE | {"done": False}], ""), ([], "")],
    ids=["error line", "early end", "empty"],
)
@reported("O1", "pepperoni21/ollama-rs#357, langchain-ai/langchain#34922, maruakshay/miii-cli#71")
async def test_a_stream_of_ollama_that_failed_is_an_error(
    service: Running, report: str, lines: list[Any], error: str
) -> None:
    body = "".join(f"{json.dumps(line)}\n" for line in lines)
    service.ollama.script(Reply(body=body, content_type="application/x-ndjson"))
    messages = [{"role": "user", "content": report}]
    check(read(await service.chat(stream=True, model=LLAMA, messages=messages), True), Read(error=error))


@STREAMED
@reported("O4", "Ollama's own fields")
async def test_ollamas_own_fields_reach_it(service: Running, report: str, streamed: bool) -> None:
    fields = {
        "keep_alive": "5m",
        "options": {"num_ctx": 8192},
        "messages": [{"role": "user", "content": report}],
    }
    assert read(await service.chat(stream=streamed, model=LLAMA, **fields), streamed).finish == "stop"
    sent = service.ollama.bill.calls[-1].body
    assert (sent["keep_alive"], sent["options"]["num_ctx"]) == ("5m", 8192)


@STREAMED
@reported("O4", "done_reason load")
async def test_an_answer_that_only_loads_the_model_is_stop(
    service: Running, report: str, streamed: bool
) -> None:
    loaded = {**LINE, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "load"}
    service.ollama.script(Reply(body=json.dumps(loaded) + "\n", content_type="application/x-ndjson"))
    posted = await service.chat(stream=streamed, model=LLAMA, messages=[{"role": "user", "content": report}])
    check(read(posted, streamed), Read(text="", finish="stop"))


@reported(
    "K1", "BerriAI/litellm#21290, open-webui/open-webui#15616, EratoLab/erato#145, opensanctions/poliloom#138"
)
async def test_a_session_keeps_characters_of_every_kind(booked: Running, report: str) -> None:
    chat = await begun(booked)
    booked.openai.script(Reply(f"{ODD}\0{report}"))
    await chat.send(f"{ODD}\0{report}")
    found = [message.content for message in await chat.messages()]
    assert found == [f"{ODD}\ufffd{report}"] * 2


async def _rendered(service: Running, template: str, model: str = "gpt-4o", **values: str) -> str:
    """User message that the provider gets for a prompt."""
    stub: Any = PromptServiceStub(service.channel)
    given: dict[str, Any] = {"name": "P", "slug": f"p-{uuid4().hex[:12]}", "preferred_model": model}
    given["variables"] = [prompts.PromptVariable(name=name) for name in values]
    prompt = prompts.Prompt(user_prompt_template=template, **given)
    made = await stub.CreatePrompt(prompts.CreatePromptRequest(prompt=prompt))
    request = prompts.ExecutePromptRequest(prompt_id=made.id)
    request.variables.update(values)
    await stub.ExecutePrompt(request)
    text: str = service.openai.bill.calls[-1].body["messages"][-1]["content"]
    return text


@pytest.mark.parametrize("template", ["{a} and {b}", "{{ a }} and {{ b }}"])
@pytest.mark.parametrize("value", ["{b}", "{{ b }}", "{{{ b }}}", "{% raw %}", "$b ${b} %s", "\\n{"])
@reported("K2", "BaseIntelligence/bounty-challenge#8919, actions/ai-inference#117, langflow-ai/langflow#9876")
async def test_a_value_is_never_read_as_a_template(
    service: Running, report: str, value: str, template: str
) -> None:
    assert await _rendered(service, template, a=value, b=report) == f"{value} and {report}"


@pytest.mark.parametrize("form", ["{a}", "{{ a }}"])
@reported("K3", "langgenius/dify#462")
async def test_a_template_keeps_its_bytes(service: Running, report: str, form: str) -> None:
    literal = 'x\r\ny\rz\n\U0001f600 größe {"k": [1, {"n": null}]}\r\n'
    text = await _rendered(service, f"{literal}{form}{literal}", a=f"{report}\r\n")
    assert text == f"{literal}{report}\r\n{literal}"


@reported("K3", "a value of 1 MB")
async def test_a_value_of_1_mb_is_rendered(service: Running, report: str) -> None:
    large = f"{report} {{x}}\r\n" * 60_000
    assert await _rendered(service, "{a}!", "vllm:any", a=large) == f"{large}!"


PLACES = [
    ("\U0001f469\u200d\U0001f680\U0001f1f3\U0001f1f4 Ana met Bo", "Ana"),
    ("e\u0301te\u0301 in Oslo", "Oslo"),
    ("a\r\nb\tAna\r\n", "Ana"),
    ("Ana, Ana", "Ana"),
]


@pytest.mark.parametrize(("content", "text"), PLACES)
@reported("K4", "google/langextract#334, HumanSignal/label-studio#539")
async def test_places_are_those_of_the_text(service: Running, report: str, content: str, text: str) -> None:
    listed = [{"text": text, "type": "PERSON", "start": 999}] * content.count(text) or [
        {"text": text, "type": "PERSON"}
    ]
    service.openai.script(Reply(json.dumps({"entities": listed})))
    request = capabilities.ExtractRequest(content=content, model="gpt-4o", entity_types=["PERSON"])
    found = (await CapabilityServiceStub(service.channel).Extract(request)).entities
    assert len(found) == len(listed), report
    assert len({entity.start for entity in found}) == len(found)
    for entity in found:
        assert content[entity.start : entity.end] == entity.text == text


@pytest.mark.parametrize("forms", [("NFD", "NFC"), ("NFC", "NFD")], ids="-".join)
@reported("K4", "google/langextract#334")
async def test_another_form_of_unicode_has_its_place(
    service: Running, report: str, forms: tuple[Any, Any]
) -> None:
    content, text = (normalize(form, each) for form, each in zip(forms, ("in Köln", "Köln"), strict=True))
    service.openai.script(Reply(json.dumps({"entities": [{"text": text, "type": "PERSON", "start": 0}]})))
    request = capabilities.ExtractRequest(content=content, model="gpt-4o", entity_types=["PERSON"])
    [found] = (await CapabilityServiceStub(service.channel).Extract(request)).entities
    assert (found.start, found.end) == (3, len(content)), report
    assert found.text == content[3:]


THOUGHT = '<think>{"entities": [{"text": "no"}]} or {this}? </think>\n'


@reported("K6", "admonstrator/zettelrobbe#74, langchain-ai/langchain#35530, igmarin/rs-nightshift#98")
async def test_thinking_aloud_is_no_answer(service: Running, report: str) -> None:
    stub: Any = CapabilityServiceStub(service.channel)
    service.openai.script(
        Reply(f'{THOUGHT}```json\n{{"entities": [{{"text": "Oslo", "type": "LOCATION"}}]}}\n```'),
        Reply(f'{THOUGHT}{{"category": "politics", "confidence": 0.9}}'),
    )
    extract = capabilities.ExtractRequest(content=f"Oslo {report}", model="gpt-4o")
    assert [each.text for each in (await stub.Extract(extract)).entities] == ["Oslo"]
    classify = capabilities.ClassifyRequest(content=report, categories=["sport", "politics"], model="gpt-4o")
    assert (await stub.Classify(classify)).primary_category == "politics"
