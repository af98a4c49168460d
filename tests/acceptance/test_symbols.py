"""Symbol documentation as existing callers use it: plain JSON through real Envoy, on both listeners."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_spine.v1 import symbol_service_pb2 as pb
from genai_spine.v1.symbol_service_pb2_grpc import SymbolServiceStub
from tests.acceptance.http import session
from tests.acceptance.stack import Stack, up
from tests.acceptance.test_rest import Client
from tests.upstreams import openai_errors
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply, Usage

SUMMARY = json.dumps({"summary": "It reads the file."})
GOOD = Reply(text=SUMMARY, usage=Usage(prompt_tokens=1000, completion_tokens=500))
MODEL = "gpt-4o-mini"


def symbol(number: int, **context: Any) -> dict[str, Any]:
    facts = {"symbol_id": f"s{number}", "name": "read", "kind": "function", "language": "python"}
    facts |= {"file_path": "a.py", "signature": "def read()", "centrality": 0.5, **context}
    return {"symbol_id": f"s{number}", "context": facts}


def batch(count: int, **fields: Any) -> dict[str, Any]:
    return {"job_id": "nightly 7", "symbols": [symbol(number) for number in range(count)], **fields}


@pytest.fixture(scope="module")
def own_stack(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """With the listener of its own, set up by the older names of the variables."""
    folder = tmp_path_factory.mktemp("symbols")
    older = {"PORT": "0", "HOST": "127.0.0.1", "MODEL_NAME": MODEL, "RETRY_MIN_WAIT": "0.01"}
    yield from up(folder, settings | older, f"sqlite:///{folder}/spine.db")


@pytest.fixture(scope="module")
def keyless_stack(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("keyless")
    without = {name: value for name, value in settings.items() if not name.startswith("GENAI_OPENAI_")}
    without |= {"GENAI_PORT": "0", "GENAI_MODEL_ALIASES": ""}
    yield from up(folder, without, f"sqlite:///{folder}/spine.db")


@pytest.fixture(autouse=True)
def forgotten(openai_upstream: UpstreamProcess) -> Iterator[None]:
    """Other tests share the simulator and want its own answers."""
    yield
    openai_upstream.reset()


@pytest.fixture
async def own(own_stack: Stack, openai_upstream: UpstreamProcess) -> AsyncIterator[Client]:
    """A client of the listener for symbols."""
    openai_upstream.script(default=GOOD)
    assert own_stack.symbols_url
    async with session(own_stack.symbols_url) as http:
        yield Client(http)


@pytest.fixture
async def public(own_stack: Stack, openai_upstream: UpstreamProcess) -> AsyncIterator[Client]:
    openai_upstream.script(default=GOOD)
    async with session(own_stack.url) as http:
        yield Client(http)


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_health_calls_no_provider(own: Client, openai_upstream: UpstreamProcess, prefix: str) -> None:
    answer = await own.get(f"{prefix}/health")
    assert (answer.status, answer.json) == (200, {"status": "healthy", "model": MODEL, "ready": True})
    assert openai_upstream.bill() == []


async def test_generate_documents_a_batch(own: Client, openai_upstream: UpstreamProcess) -> None:
    answer = await own.post("/generate", batch(3), x_request_id="gen-1")
    assert answer.status == 200
    said = answer.json
    assert all(entry.pop("execution_id") for entry in said["documented_symbols"])
    assert said["documented_symbols"] == [
        {"symbol_id": f"s{n}", "summary": "It reads the file.", "tokens_used": 1500} for n in range(3)
    ]
    assert (said["total_tokens"], said["warnings"]) == (4500, [])
    assert said["total_cost"] == pytest.approx(3 * 0.00045, abs=1e-12)
    assert said["total_cost_ticks"] == str(3 * 4_500_000)
    assert (said["job_id"], said["request_id"]) == ("nightly 7", "gen-1")
    assert answer.headers["x-request-id"] == "gen-1"
    assert len(openai_upstream.bill()) == 3


@pytest.mark.parametrize("path", ["/generate", "/v1/document-symbols"])
async def test_the_public_port_has_it_too(public: Client, path: str) -> None:
    answer = await public.post(path, batch(1))
    assert answer.status == 200
    assert answer.json["documented_symbols"][0]["summary"] == "It reads the file."


async def test_a_failed_symbol_is_an_entry_of_a_good_answer(
    own: Client, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(openai_errors.error(400, "no such thing"))
    answer = await own.post("/generate", batch(4))
    assert answer.status == 200
    (failed,) = [entry for entry in answer.json["documented_symbols"] if "error" in entry]
    assert (failed["summary"], failed["tokens_used"]) == ("", 0)
    assert failed["error"]["code"] == "VALIDATION_ERROR"
    (warning,) = answer.json["warnings"]
    assert failed["symbol_id"] in warning
    assert "no such thing" in warning
    assert answer.json["total_tokens"] == 3 * 1500


async def test_a_batch_of_which_nothing_was_documented_is_200(
    own: Client, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(default=openai_errors.rate_limited(0.01))
    answer = await own.post("/generate", batch(2))
    assert answer.status == 200
    assert [entry["error"]["code"] for entry in answer.json["documented_symbols"]] == ["RATE_LIMITED"] * 2
    assert len(openai_upstream.bill()) == 6  # three attempts each


async def test_an_empty_batch_costs_nothing(own: Client) -> None:
    answer = await own.post("/generate", {"job_id": "j", "symbols": []})
    assert answer.status == 200
    assert (answer.json["documented_symbols"], answer.json["total_cost"]) == ([], 0)


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"symbols": []}, ["body", "job_id"]),
        ({"job_id": "", "symbols": []}, ["body", "job_id"]),
        ({"job_id": "j", "symbols": [{"symbol_id": "s"}]}, ["body", "symbols[0]", "context"]),
        (
            {"job_id": "j", "symbols": [symbol(0, centrality=1.5)]},
            ["body", "symbols[0]", "context", "centrality"],
        ),
        (
            {"job_id": "j", "symbols": [symbol(0, signature=None)]},
            ["body", "symbols[0]", "context", "signature"],
        ),
    ],
)
async def test_a_request_that_breaks_the_schema_is_422(
    own: Client, openai_upstream: UpstreamProcess, body: Any, loc: list[str]
) -> None:
    answer = await own.post("/generate", body)
    assert answer.status == 422
    assert answer.json["error"]["code"] == "UNPROCESSABLE_ENTITY"
    assert answer.json["detail"][0]["loc"] == loc
    assert openai_upstream.bill() == []


@pytest.mark.parametrize("body", [b"{", b'{"job_id": 1, "symbols": 2}'])
async def test_broken_json_and_wrong_types_are_400(own: Client, body: bytes) -> None:
    answer = await own.post("/generate", body)
    assert answer.status == 400
    assert answer.json["error"]["message"] == answer.json["detail"]


@pytest.mark.parametrize("path", ["/", "/v1/models", "/v1/chat/completions", "/generate/x", "/docs"])
async def test_the_own_port_has_these_two_paths_only(own: Client, path: str) -> None:
    answer = await own.get(path)
    assert answer.status == 404
    assert answer.json["error"]["code"] == "NOT_FOUND"
    assert "GET /health and POST /generate" in answer.json["detail"]


async def test_a_page_of_this_machine_may_call_it(own: Client) -> None:
    answer = await own.post("/generate", batch(1), origin="http://localhost:3000")
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"


@pytest.mark.parametrize("path", ["/generate", "/v1/models"])
@pytest.mark.parametrize("header", [{"origin": "https://page.example"}, {"host": "page.example:8003"}])
async def test_other_pages_and_names_are_refused_before_a_provider_is_called(
    own: Client, openai_upstream: UpstreamProcess, path: str, header: dict[str, str]
) -> None:
    answer = await own.post(path, batch(1), **header)
    assert (answer.status, answer.json["error"]["code"]) == (403, "FORBIDDEN")
    assert "access-control-allow-origin" not in answer.headers
    assert openai_upstream.bill() == []


async def test_events_are_server_sent_events(public: Client) -> None:
    answer = await public.post("/v1/document-symbols:stream", batch(2, event_context={"git_ref": "main"}))
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.events
    assert [event["type"] for event in events] == [
        "generation.started.v1",
        *["generation.symbol_documented.v1"] * 2,
        "generation.completed.v1",
    ]
    assert [event["sequence"] for event in events] == [0, 1, 2, 3]
    assert all(event["envelope_version"] == "1.0" for event in events)
    assert all(event["timestamp"].endswith("Z") for event in events)
    assert all(event["context"] == {"git_ref": "main"} for event in events)
    assert ["status" in event for event in events] == [False, False, False, True]
    assert len({event["job_id"] for event in events}) == 1
    assert events[0]["job_id"].startswith("job_nightly7")
    last = events[-1]
    assert (last["status"], last["payload"]["warnings"], last["payload"]["total_tokens"]) == (
        "success",
        [],
        3000,
    )
    assert last["result"]["job_id"] == "nightly 7"
    assert [entry["symbol_id"] for entry in last["result"]["documented_symbols"]] == ["s0", "s1"]


async def test_an_estimate_calls_no_provider(public: Client, openai_upstream: UpstreamProcess) -> None:
    answer = await public.post("/v1/document-symbols:estimate", batch(2))
    assert answer.status == 200
    assert (answer.json["symbol_count"], answer.json["price_known"]) == (2, True)
    assert 0 < answer.json["max_cost"] < 0.001
    assert openai_upstream.bill() == []


async def test_grpc_clients_reach_it_on_the_public_port(
    own_stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(default=GOOD)
    async with grpc.aio.insecure_channel(own_stack.address) as channel:
        health = await SymbolServiceStub(channel).GetSymbolHealth(pb.GetSymbolHealthRequest())
    assert (health.status, health.ready) == ("healthy", True)


async def test_without_a_key_health_is_degraded_and_generate_is_503(keyless_stack: Stack) -> None:
    assert keyless_stack.symbols_url
    async with session(keyless_stack.symbols_url) as http:
        client = Client(http)
        health = await client.get("/health")
        assert (health.status, health.json) == (
            200,
            {"status": "degraded", "model": "gpt-5-nano", "ready": False},
        )
        refused = await client.post("/generate", batch(0))
        assert refused.status == 503
        assert refused.json["error"]["code"] == "SERVICE_UNAVAILABLE"
        assert "GENAI_OPENAI_API_KEY" in refused.json["detail"]
        assert (await client.post("/generate", {})).status == 422


async def test_without_its_port_there_is_no_listener(stack: Stack) -> None:
    assert stack.symbols_url is None


async def test_a_default_setup_asks_the_default_model(
    stack: Stack, openai_upstream: UpstreamProcess, tmp_path: Path
) -> None:
    """The real API refuses a temperature with this model, and so does the simulator."""
    openai_upstream.script(default=GOOD)
    async with session(stack.url) as http:
        answer = await Client(http).post("/generate", batch(1))
    assert "error" not in answer.json["documented_symbols"][0]
    assert openai_upstream.bill()[0].model == "gpt-5-nano"
