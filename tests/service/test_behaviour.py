"""One request with every option on many models: nothing is a 400, and each answer says what was adapted."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from genai_spine.providers.base import Endpoint
from genai_spine.v1 import execution_service_pb2, model_behaviour_pb2, model_service_pb2
from genai_spine.v1.execution_service_pb2_grpc import ExecutionServiceStub
from genai_spine.v1.option_warning_pb2 import OptionWarning
from tests.service.running import TIMEOUTS, Running, asked, failure, running
from tests.upstreams import aws_wire
from tests.upstreams.anthropic import AnthropicUpstream
from tests.upstreams.bedrock import BedrockUpstream
from tests.upstreams.gemini import GeminiUpstream
from tests.upstreams.mistral import MistralUpstream
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply
from tests.upstreams.server import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="session")
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PENALTIES = {"presence_penalty", "frequency_penalty"}
NOT_SAMPLED = {"temperature", "top_p", "top_k"}
REASONING = {*NOT_SAMPLED, *PENALTIES, "stop_sequences"}  # what OpenAI's reasoning models do not take
EFFORT = {"reasoning_effort"}  # which no model below has as high as it is asked for
OPENAIS_OWN = {"prompt_cache_retention", "safety_identifier", "service_tier", "verbosity"}
STORED = {"prompt_cache_key", "prediction"}
CLAUDES = {*PENALTIES, *OPENAIS_OWN, *STORED, "seed"}
ON_BEDROCK = {*CLAUDES, "parallel_tool_calls"}
ON_OLLAMA = {*OPENAIS_OWN, *STORED, *EFFORT, "parallel_tool_calls", "tool_choice"}
OF_GEMINI = {*CLAUDES, *EFFORT, "parallel_tool_calls", "top_k", "user"}
OF_MISTRAL = {*OPENAIS_OWN, *EFFORT, "top_k", "user"}
# Warnings of the request below, by provider and model.
EXPECTED: dict[str, set[str]] = {
    "openai:gpt-4o-mini": {*EFFORT, "top_k", "verbosity"},
    "openai:o3": {*REASONING, *EFFORT, "parallel_tool_calls", "verbosity"},
    "openai:o4-mini": {*REASONING, *EFFORT, "parallel_tool_calls", "verbosity"},
    "openai:gpt-5-mini": {*REASONING, *EFFORT},
    "openai:gpt-5.2": {*REASONING, *EFFORT},
    "openai:gpt-6-sol": REASONING,
    "openai:o3-pro": {
        *(*REASONING, *EFFORT, "parallel_tool_calls", "verbosity", "seed", "prediction"),
        "prompt_cache_retention",
    },
    "anthropic:claude-3-5-haiku-latest": {*CLAUDES, *EFFORT},
    "anthropic:claude-sonnet-4-20250514": {*CLAUDES, *EFFORT},
    "anthropic:claude-sonnet-4-5": {*CLAUDES, *EFFORT, "top_p"},
    "anthropic:claude-sonnet-4-6": {*CLAUDES, *EFFORT},
    "anthropic:claude-opus-4-7": {*CLAUDES, *NOT_SAMPLED},
    "anthropic:claude-opus-5-5": {*CLAUDES, *NOT_SAMPLED, "tool_choice"},
    "bedrock:amazon.nova-lite-v1:0": {*ON_BEDROCK, *EFFORT},
    f"bedrock:{CLAUDE}": {*ON_BEDROCK, *EFFORT},
    "bedrock:anthropic.claude-opus-4-7": {*ON_BEDROCK, *EFFORT, *NOT_SAMPLED},
    "bedrock:openai.gpt-oss-20b-1:0": {*ON_BEDROCK, *EFFORT, "top_k"},
    "ollama:llama3.2:latest": ON_OLLAMA,
    "ollama:qwen3:8b": ON_OLLAMA,
    "ollama:gpt-oss:20b": ON_OLLAMA,
    "gemini:gemini-2.5-flash": OF_GEMINI,
    "gemini:gemini-3-pro-preview": OF_GEMINI,
    "gemini:gemini-3.5-flash": OF_GEMINI,
    "mistral:mistral-large-latest": OF_MISTRAL,
    "mistral:mistral-small-latest": OF_MISTRAL,
}
TOOL = {"type": "function", "function": {"name": "note", "parameters": {"type": "object", "properties": {}}}}
EVERY_OPTION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Say hello."}],
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 40,
    "max_tokens": 3000,
    "n": 2,
    "stop": ["END"],
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "seed": 7,
    "tools": [TOOL],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "response_format": {"type": "text"},
    "reasoning_effort": "max",
    "user": "ann",
    "store": True,
    "metadata": {"team": "search"},
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "service_tier": "flex",
    "verbosity": "low",
    "modalities": ["text"],
    "prediction": {"type": "content", "content": "x"},
}
OVERRIDE = """
rows:
  - {name: our own, provider: openai, model: gpt-4o-mini, options: {temperature: dropped}}
"""


class Fleet:
    """Simulators of seven providers, each as strict as its vendor, and the endpoints that lead to them."""

    def __init__(self) -> None:
        self.upstreams: dict[str, Upstream] = {
            "openai": OpenAIUpstream(),
            "anthropic": AnthropicUpstream(),
            "bedrock": BedrockUpstream(),
            "ollama": OllamaUpstream(),
            "gemini": GeminiUpstream(),
            "mistral": MistralUpstream(),
        }

    def endpoints(self) -> dict[str, Endpoint]:
        defaults = {"openai": "gpt-4o-mini"}
        return {
            name: Endpoint(
                name,
                upstream.base_url if isinstance(upstream, OpenAIUpstream) else upstream.url,
                aws_wire.BEARER if name == "bedrock" else "sk-test",
                defaults.get(name),
                timeouts=TIMEOUTS,
                further={"control_url": upstream.url} if name == "bedrock" else {},
            )
            for name, upstream in self.upstreams.items()
        }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def every_fleet() -> AsyncIterator[Fleet]:
    found = Fleet()
    async with AsyncExitStack() as stack:
        for upstream in found.upstreams.values():
            await stack.enter_async_context(upstream)
        yield found


@pytest.fixture
def fleet(every_fleet: Fleet) -> Fleet:
    for upstream in every_fleet.upstreams.values():
        upstream.reset()
    return every_fleet


@asynccontextmanager
async def serving(fleet: Fleet, url: str, **settings: Any) -> AsyncIterator[Running]:
    given: dict[str, Any] = {"endpoints": fleet.endpoints(), "default_provider": "openai"} | settings
    async with running(SimpleNamespace(endpoints=dict, openai=None, ollama=None), url, **given) as found:  # type: ignore[arg-type]
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server_of_fleet(every_fleet: Fleet, module_sqlite_url: str) -> AsyncIterator[Running]:
    async with serving(every_fleet, module_sqlite_url) as found:
        yield found


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", EXPECTED)
async def test_one_request_runs_on_every_model(
    server_of_fleet: Running, fleet: Fleet, model: str, streamed: bool
) -> None:
    body = {**EVERY_OPTION, "model": model, "stream": streamed, "stream_options": {"include_usage": True}}
    posted = await server_of_fleet.post("/v1/chat/completions", body)
    assert posted.error is None, posted.problem
    answer = posted.events[-2] if streamed else posted.json
    warnings = {warning["option"]: warning for warning in answer["warnings"]}
    calls = list(fleet.upstreams[model.partition(":")[0]].bill.calls)
    assert {entry.status for entry in calls} == {200}
    assert set(warnings) == EXPECTED[model]
    assert all(warning["reason"] for warning in warnings.values())
    listed = {entry.partition(";")[0] for entry in posted.headers["x-genai-warnings"].split(", ")}
    assert listed <= set(warnings)
    assert "temperature;action=dropped" in posted.headers["x-genai-warnings"] or "temperature" not in warnings


class TestWarnings:
    async def test_native_answers_their_last_chunk_and_the_ledger_have_them(
        self, server_of_fleet: Running, fleet: Fleet
    ) -> None:
        request = asked(model="openai:o3", temperature=0.5, reasoning_effort="REASONING_EFFORT_MAX")
        completion = await server_of_fleet.completions.CreateCompletion(request)
        temperature, effort = sorted(completion.warnings, key=lambda one: one.option, reverse=True)
        assert (temperature.option, temperature.action) == ("temperature", OptionWarning.ACTION_DROPPED)
        assert (effort.action, effort.value_used) == (OptionWarning.ACTION_MAPPED, "high")
        assert "https://" in effort.reason
        chunks = [chunk async for chunk in server_of_fleet.completions.StreamCompletion(request)]
        assert [len(chunk.warnings) for chunk in chunks[:-1]] == [0] * (len(chunks) - 1)
        assert list(chunks[-1].warnings) == list(completion.warnings)
        stub: Any = ExecutionServiceStub(server_of_fleet.channel)
        found = execution_service_pb2.GetExecutionRequest(execution_id=completion.execution_id)
        assert list((await stub.GetExecution(found)).warnings) == list(completion.warnings)
        assert fleet.upstreams["openai"].bill[0].body["reasoning_effort"] == "high"

    async def test_there_are_none_where_no_rule_is_about_the_request(
        self, server_of_fleet: Running, fleet: Fleet
    ) -> None:
        posted = await server_of_fleet.chat(model="openai:gpt-4o-mini", temperature=0.5, seed=1)
        assert "warnings" not in posted.json
        assert "x-genai-warnings" not in posted.headers

    @pytest.mark.parametrize("value", [{"temperature": 1}, {"presence_penalty": 0}, {"verbosity": "medium"}])
    async def test_values_that_ask_for_nothing_are_dropped_without_a_word(
        self, server_of_fleet: Running, fleet: Fleet, value: dict[str, Any]
    ) -> None:
        posted = await server_of_fleet.chat(model="anthropic:claude-opus-5-5", **value)
        assert "warnings" not in posted.json

    async def test_strict_requests_are_refused_by_the_options_name(
        self, server_of_fleet: Running, fleet: Fleet
    ) -> None:
        posted = await server_of_fleet.chat(model="openai:o3", temperature=0.5, strict_options=True)
        assert (posted.problem["status"], posted.problem["param"]) == (400, "temperature")
        request = asked(model="openai:o3", temperature=0.5, strict_options=True)
        found = await failure(server_of_fleet.completions.CreateCompletion(request))
        assert (found.reason, found.metadata["field"]) == ("UNSUPPORTED_OPTION", "temperature")
        assert not fleet.upstreams["openai"].bill.calls

    async def test_a_strict_server_refuses_and_a_request_may_say_otherwise(
        self, fleet: Fleet, module_sqlite_url: str
    ) -> None:
        async with serving(fleet, module_sqlite_url, strict_options=True) as strict:
            refused = await strict.chat(model="openai:o3", temperature=0.5)
            assert refused.problem["param"] == "temperature"
            taken = await strict.chat(model="openai:o3", temperature=0.5, strict_options=False)
            assert taken.json["warnings"]

    async def test_what_would_change_the_meaning_is_refused(
        self, server_of_fleet: Running, fleet: Fleet
    ) -> None:
        posted = await server_of_fleet.chat(
            model="anthropic:claude-opus-4-7", modalities=["text", "audio"], audio={"voice": "a"}
        )
        assert posted.problem["status"] == 400
        assert posted.problem["param"] in ("modalities", "audio")

    async def test_fields_that_nobody_knows_go_on(self, server_of_fleet: Running, fleet: Fleet) -> None:
        await server_of_fleet.chat(model="ollama:llama3.2:latest", store=True, keep_alive="5m")
        body = fleet.upstreams["ollama"].bill[0].body
        assert (body["keep_alive"], "store" in body) == ("5m", False)


class TestForms:
    async def test_version_and_credentials_of_the_anthropic_api_are_those_of_the_models_row(
        self, server_of_fleet: Running, fleet: Fleet
    ) -> None:
        await server_of_fleet.chat(model="anthropic:claude-opus-5-5")
        await server_of_fleet.chat(model="anthropic:claude-sonnet-4-6")
        newer, older = (entry.headers for entry in fleet.upstreams["anthropic"].bill)
        assert (newer["anthropic-version"], newer["authorization"]) == ("2026-10-21", "Bearer sk-test")
        assert "x-api-key" not in newer
        assert (older["anthropic-version"], older["x-api-key"]) == ("2023-06-01", "sk-test")

    @pytest.mark.parametrize(
        ("model", "effort", "think"),
        [
            ("gpt-oss:20b", "xhigh", "high"),
            ("gpt-oss:20b", "none", "low"),
            ("qwen3:8b", "high", True),
            ("qwen3:8b", "none", False),
            ("llama3.2:latest", "high", None),
        ],
    )
    async def test_thinking_on_ollama_has_levels_or_a_switch(
        self, server_of_fleet: Running, fleet: Fleet, model: str, effort: str, think: object
    ) -> None:
        posted = await server_of_fleet.chat(model=f"ollama:{model}", reasoning_effort=effort)
        assert posted.error is None
        assert fleet.upstreams["ollama"].bill[0].body.get("think") == think

    async def test_a_forced_call_is_asked_for_in_words_where_it_cannot_be_forced(
        self, server_of_fleet: Running, fleet: Fleet
    ) -> None:
        choice = {"type": "function", "function": {"name": "note"}}
        await server_of_fleet.chat(model="anthropic:claude-opus-5-5", tools=[TOOL], tool_choice=choice)
        body = fleet.upstreams["anthropic"].bill[0].body
        assert "tool_choice" not in body
        assert "calling the tool note" in str(body["system"])

    async def test_a_schema_is_followed_natively_where_tools_cannot_be_forced(
        self, server_of_fleet: Running, fleet: Fleet
    ) -> None:
        fleet.upstreams["anthropic"].script(Reply('{"word":"ok"}'))
        schema = {"type": "object", "properties": {"word": {"type": "string"}}}
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        posted = await server_of_fleet.chat(model="anthropic:claude-opus-5-5", response_format=form)
        assert json.loads(posted.json["choices"][0]["message"]["content"]) == {"word": "ok"}
        assert fleet.upstreams["anthropic"].bill[0].body["output_config"]["format"]["type"] == "json_schema"

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_an_answer_is_cut_at_stop_sequences_that_the_model_does_not_take(
        self, server_of_fleet: Running, fleet: Fleet, streamed: bool
    ) -> None:
        fleet.upstreams["openai"].script(Reply(["one E", "N", "E", "N", "D two"]))
        posted = await server_of_fleet.chat(model="openai:o3", stop=["END"], stream=streamed)
        if streamed:
            deltas = [choice["delta"] for event in posted.events[:-1] for choice in event["choices"]]
            text = "".join(delta.get("content") or "" for delta in deltas)
        else:
            text = posted.json["choices"][0]["message"]["content"]
        assert text == "one EN"
        assert "stop" not in fleet.upstreams["openai"].bill[0].body


class TestBook:
    async def test_a_model_is_explained_with_its_rows_their_sources_and_age(
        self, server_of_fleet: Running, fleet: Fleet
    ) -> None:
        request = model_service_pb2.ExplainModelRequest(model="anthropic:claude-opus-5-5")
        found = await server_of_fleet.models.ExplainModel(request)
        assert (found.provider, found.model) == ("anthropic", "claude-opus-5-5")
        assert list(found.effort_levels) == ["low", "medium", "high", "xhigh", "max"]
        actions = {option.option: option.action for option in found.options}
        assert actions["temperature"] == model_behaviour_pb2.OPTION_ACTION_DROPPED
        assert actions["tool_choice.forced"] == model_behaviour_pb2.OPTION_ACTION_MAPPED
        assert found.rows[-1].source.startswith("https://platform.claude.com/")
        assert (found.rows[-1].evidence, found.rows[-1].checked_on) == ("page", "2026-11-29")

    async def test_the_book_is_listed_by_provider(self, server_of_fleet: Running, fleet: Fleet) -> None:
        listed = await server_of_fleet.models.ListBehaviour(
            model_service_pb2.ListBehaviourRequest(provider="mistral")
        )
        assert {row.provider for row in listed.rows} == {"mistral"}
        assert listed.book_version


class TestDrift:
    @pytest.mark.parametrize("provider", ["openai", "anthropic", "bedrock", "ollama", "gemini", "mistral"])
    async def test_the_book_holds_for_the_simulators(
        self, server_of_fleet: Running, fleet: Fleet, provider: str
    ) -> None:
        request = model_service_pb2.DetectDriftRequest(provider=provider)
        found = await server_of_fleet.models.DetectDrift(request)
        assert [f"{one.model} {one.option}: {one.observed}" for one in found.drifts] == []
        assert found.models
        assert not found.unavailable_models

    async def test_a_rule_that_changed_is_found_and_mended_by_a_row_alone(
        self, server_of_fleet: Running, fleet: Fleet, module_sqlite_url: str, tmp_path: Path
    ) -> None:
        fleet.upstreams["openai"].refuses["gpt-4o-mini"] = {"temperature"}
        request = model_service_pb2.DetectDriftRequest(provider="openai", models=["gpt-4o-mini"])
        (drift,) = (await server_of_fleet.models.DetectDrift(request)).drifts
        assert (drift.model, drift.option) == ("gpt-4o-mini", "temperature")
        assert drift.expected == model_behaviour_pb2.OPTION_ACTION_ACCEPTED
        assert drift.observed.startswith("refused:")
        refused = await server_of_fleet.chat(model="openai:gpt-4o-mini", temperature=0.5)
        assert refused.problem["status"] == 400
        rules = tmp_path / "rules.yaml"
        rules.write_text(OVERRIDE)
        async with serving(fleet, module_sqlite_url, behaviour=rules) as mended:
            assert not (await mended.models.DetectDrift(request)).drifts
            posted = await mended.chat(model="openai:gpt-4o-mini", temperature=0.5)
            assert [warning["option"] for warning in posted.json["warnings"]] == ["temperature"]

    async def test_a_rule_that_is_no_longer_needed_is_found(
        self, server_of_fleet: Running, fleet: Fleet
    ) -> None:
        fleet.upstreams["openai"].strict = False
        try:
            request = model_service_pb2.DetectDriftRequest(provider="openai", models=["o3"])
            found = await server_of_fleet.models.DetectDrift(request)
        finally:
            fleet.upstreams["openai"].strict = True
        drifts = {drift.option: drift for drift in found.drifts}
        assert drifts["temperature"].observed == "accepted"
        assert drifts["temperature"].row == "OpenAI's reasoning models"
        assert "reasoning_effort xhigh" in drifts

    async def test_probes_are_rows_of_the_ledger(self, server_of_fleet: Running, fleet: Fleet) -> None:
        request = model_service_pb2.DetectDriftRequest(provider="openai", models=["gpt-4o-mini"])
        await server_of_fleet.models.DetectDrift(request)
        stub: Any = ExecutionServiceStub(server_of_fleet.channel)
        listed = await stub.ListExecutions(
            execution_service_pb2.ListExecutionsRequest(labels=["purpose=drift"], page_size=1)
        )
        assert listed.executions[0].model == "gpt-4o-mini"

    async def test_an_unknown_provider_is_an_invalid_request(
        self, server_of_fleet: Running, fleet: Fleet
    ) -> None:
        request = model_service_pb2.DetectDriftRequest(provider="nobody")
        assert (await failure(server_of_fleet.models.DetectDrift(request))).reason == "INVALID_REQUEST"
