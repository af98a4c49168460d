"""Clients in three languages, generated from the protos, and the tools for gRPC, through real Envoy."""

import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest
from genai_spine_client import ContentPart, ImagePart, SpineError, errors
from genai_spine_client import Spine as PythonClient
from genai_spine_client.gen.genai_spine.v1 import (
    ErrorReason,
    FinishReason,
    FunctionTool,
    GetHealthRequest,
    HealthServiceStub,
    Tool,
)
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, message_pb2, usage_pb2
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from tests.acceptance import node
from tests.acceptance.stack import ROOT, Stack, finished, genai_spine
from tests.acceptance.upstream_stop import seconds_until_upstream_stops
from tests.upstreams import openai_errors
from tests.upstreams.clients import ECHO, HELLO, drain
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply, ToolCall
from tests.waiting import until

MODEL = "gpt-4o"
LONG = Reply(text=["tok "] * 100, interval_s=0.05)
BUF = str(Path(sys.executable).parent / "buf")
SERVICE = "genai_spine.v1.CompletionService"
PART = {"role": "ROLE_USER", "content": [{"text": "Hello"}]}


# --- TypeScript: gRPC and gRPC-Web


@pytest.fixture(scope="module")
def node_results(stack: Stack, openai_process: UpstreamProcess, typescript_client: object) -> dict[str, str]:
    return node.results("spine_client.mjs", SPINE_URL=stack.url, OPENAI_UPSTREAM_URL=openai_process.url)


@pytest.mark.parametrize("name", node.names("spine_client.mjs"))
def test_typescript_client(node_results: dict[str, str], name: str) -> None:
    assert node_results[name] == ""


# --- Python: betterproto2 and grpclib


@pytest.fixture
async def spine(stack: Stack) -> AsyncIterator[PythonClient]:
    async with PythonClient(port=stack.port, timeout_s=10) as client:
        yield client


async def test_complete_takes_a_text_and_returns_content_usage_and_cost(
    spine: PythonClient, openai_upstream: UpstreamProcess
) -> None:
    answer = await spine.complete("Hello", MODEL, request_id="python-1", temperature=0.5)
    assert answer.content == ECHO
    assert answer.request_id == "python-1"
    assert (answer.model, answer.provider, answer.finish_reason) == (MODEL, "openai", FinishReason.STOP)
    (entry,) = openai_upstream.bill()
    assert answer.usage.total_tokens == entry.prompt_tokens + entry.completion_tokens
    assert answer.usage.cost is not None
    assert answer.usage.cost > 0
    assert entry.body["temperature"] == 0.5


async def test_complete_takes_turns_with_parts_and_tools(
    spine: PythonClient, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(tool_calls=[ToolCall("look", '{"at":1}')]))
    image = ContentPart(image=ImagePart(url="https://example.org/a.png"))
    question = {"role": "user", "content": [ContentPart(text="What is this?"), image]}
    tool = Tool(function=FunctionTool(name="look", parameters_json='{"type":"object"}'))
    answer = await spine.complete([{"role": "system", "content": "Be brief."}, question], MODEL, tools=[tool])
    assert answer.tool_calls[0].function
    assert answer.tool_calls[0].function.arguments == '{"at":1}'
    (entry,) = openai_upstream.bill()
    assert [turn["role"] for turn in entry.body["messages"]] == ["system", "user"]
    assert entry.body["messages"][1]["content"][1]["image_url"]["url"] == "https://example.org/a.png"


async def test_stream_yields_the_answer_in_pieces_and_usage_in_the_last(
    spine: PythonClient, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text=["a", "b", "c", "d"], interval_s=0.05))
    pieces = [piece async for piece in spine.stream(HELLO, MODEL)]
    said = [piece.content for piece in pieces if piece.content]
    assert "".join(said) == "abcd"
    assert len(said) > 1
    assert pieces[-1].usage
    assert pieces[-1].usage.total_tokens > 0
    assert all(piece.usage is None for piece in pieces[:-1])


async def test_errors_are_classes_with_reason_metadata_and_request_id(spine: PythonClient) -> None:
    with pytest.raises(errors.NotFound) as unknown:
        await spine.complete("Hello", "claude-3", request_id="python-2")
    assert (unknown.value.reason, unknown.value.request_id) == (ErrorReason.MODEL_NOT_FOUND, "python-2")
    assert unknown.value.metadata["model"] == "claude-3"
    with pytest.raises(errors.InvalidRequest, match="temperature: must be at most 2") as wrong:
        await spine.complete("Hello", MODEL, temperature=3)
    assert wrong.value.metadata["field"] == "temperature"


def test_every_reason_has_a_class() -> None:
    assert set(errors.CLASSES) == set(ErrorReason) - {ErrorReason.UNSPECIFIED}


async def test_rate_limit_says_how_long_to_wait(
    spine: PythonClient, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(openai_errors.rate_limited(7.5))
    with pytest.raises(errors.RateLimited) as caught:
        await spine.complete("Hello", MODEL)
    assert caught.value.retry_after_s == 7.5


async def test_error_within_a_stream_is_raised_after_the_pieces_before_it(
    spine: PythonClient, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text=["a", "b", "c"], interval_s=0.02, fault="close", after=3))
    seen: list[Any] = []
    with pytest.raises(errors.ProviderFailed):
        await drain(spine.stream("Hello", MODEL), seen)
    assert "".join(piece.content for piece in seen) == "ab"


async def test_call_that_takes_too_long_is_timed_out(
    spine: PythonClient, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(headers_delay_s=5))
    with pytest.raises(errors.TimedOut):
        await spine.complete("Hello", MODEL, timeout_s=0.1)


async def test_server_that_is_not_there_is_unavailable() -> None:
    async with PythonClient(port=1) as nobody:
        with pytest.raises(errors.Unavailable):
            await nobody.complete("Hello")


async def test_closed_stream_stops_the_upstream_within_100_ms(
    spine: PythonClient, openai_upstream: UpstreamProcess
) -> None:
    async def leave() -> float:
        async with aclosing(spine.stream("Hello", MODEL)) as pieces:
            async for piece in pieces:
                if piece.content:
                    break
            return time.monotonic()

    assert await seconds_until_upstream_stops(openai_upstream, LONG, leave) < 0.1


async def test_embed_returns_a_vector_for_each_text(spine: PythonClient) -> None:
    answer = await spine.embed(["a", "b"], "openai:text-embedding-3-small", dimensions=8)
    assert [len(vector) for vector in answer.vectors] == [8, 8]
    again = await spine.embed("b", "openai:text-embedding-3-small", dimensions=8)
    assert again.vectors[0] == answer.vectors[1]
    assert answer.usage.cost


async def test_models_are_listed_and_found(spine: PythonClient) -> None:
    assert {"llama3.2:latest", MODEL} <= {model.id for model in await spine.models.list()}
    assert {model.provider for model in await spine.models.list("ollama")} == {"ollama"}
    assert (await spine.models.get("org/model")).id == MODEL
    with pytest.raises(errors.NotFound):
        await spine.models.get("ollama:nothing")


async def test_channel_carries_the_stubs_of_other_services(spine: PythonClient) -> None:
    health = await HealthServiceStub(spine.channel).get_health(GetHealthRequest())
    assert health.status == "healthy"


# --- Python: grpcio


@pytest.fixture
async def stub(any_stack: Stack) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(any_stack.address) as channel:
        yield CompletionServiceStub(channel)


def asked(model: str = MODEL, **fields: Any) -> pb.CreateCompletionRequest:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hello")])
    return pb.CreateCompletionRequest(model=model, messages=[message], **fields)


async def test_grpcio_completes_and_streams(
    stub: Any, any_stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    whole: pb.Completion = await stub.CreateCompletion(asked())
    assert whole.choices[0].message.content[0].text == ECHO
    chunks = [chunk async for chunk in stub.StreamCompletion(asked())]
    assert "".join(delta.content for chunk in chunks for delta in chunk.choices) == ECHO
    assert chunks[-1].usage == whole.usage
    for answer in (whole, chunks[-1]):
        (row,) = await any_stack.executions(answer.request_id)
        assert (row.id, row.usage, row.cost) == (answer.execution_id, answer.usage, answer.cost)


async def test_grpcio_error_is_a_status_with_details(stub: Any) -> None:
    for refused in (stub.CreateCompletion(asked(temperature=3)), stub.StreamCompletion(asked(temperature=3))):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (refused.read() if hasattr(refused, "read") else refused)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        assert status.details[0].Unpack(info)
        assert (info.reason, info.domain) == ("INVALID_FIELDS", "genai-spine.internal")
        assert status.details[2].Unpack(bad)
        assert bad.field_violations[0].field == "temperature"


async def test_cancelled_grpcio_stream_stops_the_upstream_within_100_ms(
    stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    async with grpc.aio.insecure_channel(stack.address) as channel:

        async def leave() -> float:
            stream: Any = CompletionServiceStub(channel).StreamCompletion(asked())
            await stream.read()
            left = time.monotonic()
            stream.cancel()
            return left

        assert await seconds_until_upstream_stops(openai_upstream, LONG, leave) < 0.1


async def test_what_a_cancelled_stream_used_is_in_the_ledger(
    any_stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(LONG)
    async with grpc.aio.insecure_channel(any_stack.address) as channel:
        stream: Any = CompletionServiceStub(channel).StreamCompletion(asked())
        first = await stream.read()
        while not (await stream.read()).choices[0].content:
            pass
        stream.cancel()

    async def settled() -> bool:
        (row,) = await any_stack.executions(first.request_id)
        return row.state != execution_pb2.EXECUTION_STATE_PENDING

    await until(settled)
    (row,) = await any_stack.executions(first.request_id)
    assert row.state == execution_pb2.EXECUTION_STATE_CANCELLED
    assert row.error == "the caller went away"
    assert row.usage.output_provenance == usage_pb2.PROVENANCE_PARTIAL_STREAM
    assert row.usage.output_tokens > 0
    assert row.cost.cost_ticks > 0


# --- Tools: buf curl, grpcurl, health probes


def buf_curl(stack: Stack, path: str, *arguments: str) -> Any:
    command = (BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments)
    return finished(*command, f"{stack.url}{path}")


def messages_of(output: str) -> list[Any]:
    """JSON values that stand one after the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(output.rstrip()):
        value, at = decoder.raw_decode(output, at)
        found.append(value)
        at += len(output[at:]) - len(output[at:].lstrip())
    return found


REQUEST = json.dumps({"model": MODEL, "messages": [PART]})
UNKNOWN = json.dumps({"model": "claude-3", "messages": [PART]})


def test_buf_curl_lists_the_methods_by_reflection(stack: Stack) -> None:
    listed = buf_curl(stack, "", "--list-methods").stdout.split()
    assert {f"{SERVICE}/CreateCompletion", "grpc.health.v1.Health/Check"} <= set(listed)


def test_buf_curl_completes_and_streams(stack: Stack, openai_upstream: UpstreamProcess) -> None:
    (whole,) = messages_of(buf_curl(stack, f"/{SERVICE}/CreateCompletion", "-d", REQUEST).stdout)
    assert whole["choices"][0]["message"]["content"] == [{"text": ECHO}]
    chunks = messages_of(buf_curl(stack, f"/{SERVICE}/StreamCompletion", "-d", REQUEST).stdout)
    deltas = [delta for chunk in chunks for delta in chunk.get("choices", [])]
    assert "".join(delta.get("content", "") for delta in deltas) == ECHO
    assert chunks[-1]["usage"] == whole["usage"]


def test_buf_curl_shows_the_code_and_details_of_an_error(stack: Stack) -> None:
    done = buf_curl(stack, f"/{SERVICE}/CreateCompletion", "-d", UNKNOWN)
    assert done.returncode != 0
    shown = json.loads(done.stderr)
    assert shown["code"] == "not_found"
    assert shown["details"][0]["type"] == "google.rpc.ErrorInfo"


def test_grpcurl_describes_completes_streams_and_shows_errors(
    stack: Stack, grpcurl: str, openai_upstream: UpstreamProcess
) -> None:
    def curl(*arguments: str) -> Any:
        return finished(grpcurl, "-plaintext", *arguments)

    assert SERVICE in curl(stack.address, "list").stdout.split()
    assert "rpc StreamCompletion" in curl(stack.address, "describe", SERVICE).stdout
    (whole,) = messages_of(curl("-d", REQUEST, stack.address, f"{SERVICE}/CreateCompletion").stdout)
    assert whole["choices"][0]["message"]["content"] == [{"text": ECHO}]
    chunks = messages_of(curl("-d", REQUEST, stack.address, f"{SERVICE}/StreamCompletion").stdout)
    assert chunks[-1]["usage"] == whole["usage"]
    refused = curl("-d", UNKNOWN, stack.address, f"{SERVICE}/CreateCompletion")
    assert refused.returncode != 0
    assert "MODEL_NOT_FOUND" in refused.stderr


def test_health_command_is_a_probe(stack: Stack) -> None:
    def probe(*arguments: str) -> tuple[int, str]:
        done = genai_spine("health", *arguments)
        return done.returncode, done.stdout.strip()

    assert probe("--address", stack.address, "--service", SERVICE, "--json") == (0, '{"status": "SERVING"}')
    assert probe("--address", stack.address, "--service", "nobody.Knows") == (1, "")
    assert probe("--address", "127.0.0.1:1") == (1, "")


# --- The READMEs


def readme(folder: str, language: str, stack: Stack) -> str:
    """The README's first example in a language, pointed at the stack."""
    text = (ROOT / "clients" / folder / "README.md").read_text()
    example = text.partition(f"```{language}\n")[2].partition("```")[0]
    assert "8100" in example
    return example.replace("8100", str(stack.port))


def test_typescript_readmes_example_compiles_and_runs(stack: Stack, typescript_client: Path) -> None:
    script = typescript_client / "dist" / "readme.ts"  # in the package, so that it can import it by name
    script.write_text(readme("typescript", "ts", stack))
    compiler = typescript_client / "node_modules" / "typescript" / "bin" / "tsc"
    options = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2023", "--skipLibCheck")
    try:
        checked = node.node(compiler, *options, script)
        assert checked.returncode == 0, checked.stdout
        done = node.node(script)
    finally:
        script.unlink()
    assert done.returncode == 0, done.stderr
    assert "You said: " in done.stdout
    assert "MODEL_NOT_FOUND" in done.stdout


def test_python_readmes_example_runs(stack: Stack, tmp_path: Path) -> None:
    script = tmp_path / "readme.py"
    script.write_text(readme("python", "python", stack))
    done = finished(sys.executable, "-W", "error", str(script), PYTHONPATH=str(ROOT / "clients" / "python"))
    assert done.returncode == 0, done.stderr
    assert "You said: " in done.stdout
    assert "MODEL_NOT_FOUND" in done.stdout


def test_client_kits_errors_are_spine_errors() -> None:
    assert all(issubclass(found, SpineError) for found in errors.CLASSES.values())
