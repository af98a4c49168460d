"""Cost labels of a request: every call of a provider that it makes has them in its row of the ledger."""

from typing import Any

import grpc
import msgspec
import pytest
from google.api.httpbody_pb2 import HttpBody

from genai_spine.v1 import capability_service_pb2 as capabilities
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_service_pb2 as executions
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import prompt_service_pb2 as prompts
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub
from genai_spine.v1.execution_service_pb2_grpc import ExecutionServiceStub
from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceStub
from tests.service.chats import begun
from tests.service.running import Running, asked, failure

pytestmark = pytest.mark.asyncio(loop_scope="session")

LABELS = {"team": "search", "feature": 'a "quoted" ü'}


def completion(**fields: Any) -> pb.CreateCompletionRequest:
    return asked(cost_labels=LABELS, **fields)


async def labelled(service: Running, request_id: str) -> list[dict[str, str]]:
    return [dict(row.cost_labels) for row in await service.rows(request_id)]


async def test_rows_of_completions_have_the_labels(booked: Running) -> None:
    whole = await booked.completions.CreateCompletion(completion())
    assert await labelled(booked, whole.request_id) == [LABELS]
    chunks = [chunk async for chunk in booked.completions.StreamCompletion(completion(choice_count=2))]
    rows = await labelled(booked, chunks[-1].request_id)
    assert rows == [LABELS] * len(rows)


async def test_rows_of_embeddings_and_media_have_the_labels(service: Running) -> None:
    inputs = [pb.EmbeddingInput(text="a")]
    embedded = await service.completions.CreateEmbeddings(
        pb.CreateEmbeddingsRequest(model="text-embedding-3-small", inputs=inputs, cost_labels=LABELS)
    )
    drawn = await service.media.CreateImages(
        media.CreateImagesRequest(model="gpt-image-1", prompt="a cat", cost_labels=LABELS)
    )
    for request_id in (embedded.request_id, drawn.request_id):
        assert await labelled(service, request_id) == [LABELS]


async def test_rows_of_capabilities_have_the_labels_also_from_options(service: Running) -> None:
    stub: Any = CapabilityServiceStub(service.channel)
    request = capabilities.SummarizeRequest(content="A tram.", cost_labels=LABELS)
    named = await stub.Summarize(request)
    assert await labelled(service, named.result.request_id) == [LABELS]
    events = [e async for e in stub.StreamCapability(capabilities.StreamCapabilityRequest(summarize=request))]
    assert await labelled(service, events[-1].summarize.result.request_id) == [LABELS]
    optional = capabilities.SummarizeRequest(content="A tram.")
    optional.options.update({"cost_labels": {"team": "x"}})
    assert await labelled(service, (await stub.Summarize(optional)).result.request_id) == [{"team": "x"}]


async def test_rows_of_prompts_and_messages_have_the_labels(service: Running) -> None:
    stub: Any = PromptServiceStub(service.channel)
    request = prompts.ExecutePromptRequest(prompt_slug="rewrite-clean", cost_labels=LABELS)
    request.variables.update({"content": "A tram."})
    request.options.model = "gpt-4o"
    done = await stub.ExecutePrompt(request)
    assert await labelled(service, done.result.request_id) == [LABELS]
    chat = await begun(service)
    answer = await chat.send(cost_labels=LABELS)
    assert await labelled(service, answer.request_id) == [LABELS]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "stream": True}),
        ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": ["a", "b"]}),
        ("/v1/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "a"}),
    ],
)
async def test_rows_of_openais_api_have_the_labels(service: Running, path: str, body: Any) -> None:
    posted = await service.post(path, {"model": "gpt-4o", **body, "cost_labels": LABELS})
    rows = await labelled(service, posted.headers["x-request-id"])
    assert posted.data
    assert rows == [LABELS] * len(rows)
    assert all("cost_labels" not in str(call.body) for call in service.openai.bill.calls)


async def test_rows_of_openais_media_have_the_labels(service: Running) -> None:
    image = {"model": "gpt-image-1", "prompt": "a cat", "cost_labels": LABELS}
    drawn = await service.raw("CreateImage", "/v1/images/generations", msgspec.json.encode(image))
    assert await labelled(service, drawn.headers["x-request-id"]) == [LABELS]
    fields = {'model"': "whisper-1", 'cost_labels[team]"': "search", 'file"; filename="a.wav"': "RIFF"}
    parts = [
        f'--X\r\nContent-Disposition: form-data; name="{name}\r\n\r\n{text}' for name, text in fields.items()
    ]
    form = HttpBody(
        data="\r\n".join([*parts, "--X--"]).encode(), content_type="multipart/form-data; boundary=X"
    )
    speech = {"model": "tts-1", "input": "a", "voice": "alloy", "cost_labels": {"team": "search"}}
    heard = service.facade.CreateTranscription(form)
    assert (await heard).data
    spoken = service.facade.CreateSpeech(HttpBody(data=msgspec.json.encode(speech)))
    assert [part async for part in spoken]
    for call in (heard, spoken):
        trailers = dict(await call.trailing_metadata())
        assert await labelled(service, str(trailers["x-request-id"])) == [{"team": "search"}]
    assert all("cost_labels" not in str(call.body) for call in service.openai.bill.calls)


@pytest.mark.parametrize(
    ("labels", "field"),
    [
        ({"Team": "x"}, "cost_labels[Team]"),
        ({"team": 5}, "cost_labels[...]"),
        ({f"l{number}": "" for number in range(17)}, "cost_labels"),
        (["team"], "cost_labels"),
    ],
)
async def test_labels_of_openais_api_that_break_the_rules_are_refused(
    service: Running, labels: Any, field: str
) -> None:
    posted = await service.chat(cost_labels=labels)
    assert (posted.problem["status"], posted.problem["param"]) == (400, field)
    assert len(service.openai.bill) == 0


async def test_rows_are_found_by_a_label(booked: Running) -> None:
    answer = await booked.completions.CreateCompletion(completion())
    await booked.rows(answer.request_id)
    stub: Any = ExecutionServiceStub(booked.channel)
    found = [
        [row.id for row in (await stub.ListExecutions(request)).executions]
        for request in (
            executions.ListExecutionsRequest(request_id=answer.request_id, labels=["team=search"]),
            executions.ListExecutionsRequest(request_id=answer.request_id, labels=["team=other"]),
        )
    ]
    assert found == [[answer.execution_id], []]


async def test_labels_do_not_reach_the_provider(service: Running) -> None:
    await service.completions.CreateCompletion(completion())
    assert "search" not in str(service.openai.bill.calls[-1].body)


async def test_label_that_breaks_the_rules_is_refused_by_its_key(service: Running) -> None:
    request = completion()
    request.cost_labels["Not Allowed"] = "x"
    refused = await failure(service.completions.CreateCompletion(request))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields == ["cost_labels[Not Allowed]"]
