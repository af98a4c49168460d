"""A server with a genai.yaml: keys that never mix, pools, names, defaults, and a reload in the middle."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from genai_spine.configuration import loader
from genai_spine.errors import InvalidRequest
from genai_spine.settings import Settings
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import (
    model_service_pb2,
    provider_service_pb2,
    provider_service_pb2_grpc,
    routing_pb2,
)
from tests.service.running import Running, Upstreams, asked, failure, running, text_of
from tests.style.source import ROOT
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Settings]:
    """Settings of a text; the working directory is the test's own."""
    monkeypatch.chdir(tmp_path)

    def read(text: str) -> Settings:
        (tmp_path / "genai.yaml").write_text(text)
        return loader.load().settings

    return read


@pytest.fixture
def start(configured: Callable[[str], Settings], upstreams: Upstreams, module_sqlite_url: str) -> Start:
    """Server of a text."""

    @asynccontextmanager
    async def started(text: str, **further: Any) -> AsyncIterator[Running]:
        given = settings_of(configured(text)) | further
        async with running(upstreams, module_sqlite_url, **given) as found:
            yield found

    return started


def settings_of(settings: Settings) -> dict[str, Any]:
    """All that a reload takes, for a server of the tests."""
    names = loader.RELOADED - {"circuit_failures"}
    return {name: getattr(settings, name) for name in names}


async def reload(service: Running, new: Settings) -> None:
    """Reload as the server does it on SIGHUP; the circuit stays as tests have it."""
    taken, _ = loader.reloaded(service.server.settings, new.model_copy(update={"circuit_failures": 0}))
    await service.server.reload(taken)


async def test_two_providers_of_one_protocol_never_mix_their_keys(start: Start, upstreams: Upstreams) -> None:
    url = upstreams.openai.base_url
    names = ("red", "green", "blue")
    text = "providers:\n" + "".join(
        f"  {name}: {{protocol: openai, base_url: '{url}', api_keys: [k-{name}-1, k-{name}-2],"
        f" headers: {{x-team: {name}}}, models: [m-{name}]}}\n"
        for name in names
    )
    async with start(text) as service:

        async def call(number: int) -> str:
            name = names[number % len(names)]
            request = asked(f"{name} {number}", model=f"m-{name}")
            if number % 2:
                return text_of([chunk async for chunk in service.completions.StreamCompletion(request)])
            completion = await service.completions.CreateCompletion(request)
            assert completion.provider == name
            return str(completion.choices[0].message.content[0].text)

        answers = await asyncio.gather(*(call(number) for number in range(150)))
    assert all(answer.endswith(f"{names[n % 3]} {n}") for n, answer in enumerate(answers))
    calls = upstreams.openai.bill.calls
    assert len(calls) == 150
    for entry in calls:
        name = entry.model.removeprefix("m-")
        assert entry.headers["authorization"] in (f"Bearer k-{name}-1", f"Bearer k-{name}-2")
        assert entry.headers["x-team"] == name
    assert len({entry.headers["authorization"] for entry in calls}) == 6


@pytest_asyncio.fixture(loop_scope="session")
async def hosts() -> AsyncIterator[list[OpenAIUpstream]]:
    """Three equal hosts."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(OpenAIUpstream(strict=False)) for _ in range(3)]


def pool(hosts: list[OpenAIUpstream], *, more: str = "") -> str:
    urls = ", ".join(f"'{host.base_url}'" for host in hosts)
    return (
        f"providers: {{gpu: {{provider: vllm, base_urls: [{urls}], models: [m], health_check_s: 0.2{more}}}}}"
    )


async def test_calls_of_a_pool_go_to_the_host_with_the_fewest(
    start: Start, hosts: list[OpenAIUpstream]
) -> None:
    for host in hosts:
        host.default = Reply(headers_delay_s=0.3)
    async with start(pool(hosts)) as service:
        request = asked(model="m")
        await asyncio.gather(*(service.completions.CreateCompletion(request) for _ in range(30)))
    assert [len(host.bill.calls) for host in hosts] == [10, 10, 10]


async def test_a_dead_host_leaves_the_pool_without_a_failed_call_and_returns(
    start: Start, hosts: list[OpenAIUpstream]
) -> None:
    async with start(pool(hosts)) as service:
        request = asked(model="m")
        upstream = service.server.upstreams["gpu"]
        await hosts[1].__aexit__()
        for _ in range(12):  # with provider_retries 0
            await service.completions.CreateCompletion(request)
        assert [host.is_down for host in upstream.pool.hosts] == [False, True, False]
        before = [len(host.bill.calls) for host in hosts]
        assert sum(before) == 12
        listed = await service.models.ListModels(model_service_pb2.ListModelsRequest(provider="gpu"))
        assert "m" in {model.name for model in listed.data}
        await hosts[1].__aenter__()
        await until(lambda: not upstream.pool.hosts[1].is_down)
        for _ in range(12):
            await service.completions.CreateCompletion(request)
        assert len(hosts[1].bill.calls) > before[1]


async def test_while_no_host_answers_the_error_is_that_of_a_call(
    start: Start, hosts: list[OpenAIUpstream]
) -> None:
    async with start(pool(hosts)) as service:
        for host in hosts:
            await host.__aexit__()
        found = await failure(service.completions.CreateCompletion(asked(model="m")))
        assert found.reason == "PROVIDER_UNAVAILABLE"
        await hosts[2].__aenter__()
        await until(lambda: not service.server.upstreams["gpu"].pool.hosts[2].is_down)
        await service.completions.CreateCompletion(asked(model="m"))


NAMES = """
settings: {{default_provider: b}}
providers:
  a:
    protocol: openai
    base_url: {url}
    models:
      one: {{aliases: [uno], options: {{temperature: 0.25, stop_sequences: [END], max_tokens: 77}}}}
      two: {{capabilities: [tools], context_length: 5000}}
  b: {{protocol: openai, base_url: {url}, models: [shared, one-of-b]}}
  c: {{protocol: openai, base_url: {url}, models: [shared]}}
aliases: {{b: "a:one", best: c}}
fallbacks: {{down: [best]}}
"""


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("b", "a:one"),  # an alias before a provider
        ("c", "c:shared"),  # a provider alone: its default model
        ("best", "c:shared"),
        ("uno", "a:one"),
        ("two", "a:two"),
        ("shared", "b:shared"),  # the first that names it
        ("c:one", "c:one"),  # what is named need not be listed
        ("", "b:shared"),
        ("builtin", "builtin:extractive"),
        ("unheard-of", "b:unheard-of"),
    ],
)
async def test_names_are_aliases_then_providers_then_models(
    start: Start, upstreams: Upstreams, name: str, route: str
) -> None:
    async with start(NAMES.format(url=upstreams.openrouter.base_url)) as service:
        answer = await service.completions.CreateCompletion(asked(model=name))
        assert f"{answer.provider}:{answer.model}" == route


async def test_default_options_fill_what_a_request_leaves_open(start: Start, upstreams: Upstreams) -> None:
    async with start(NAMES.format(url=upstreams.openrouter.base_url)) as service:
        request = asked(model="uno")
        await service.completions.CreateCompletion(request)
        await service.completions.CreateCompletion(
            asked(model="uno", temperature=0.0, stop_sequences=["X", "Y"])
        )
        await service.completions.CreateCompletion(asked(model="two"))
    first, second, other = (call.body for call in upstreams.openrouter.bill.calls)
    assert (first["temperature"], first["stop"], first["max_tokens"]) == (0.25, ["END"], 77)
    assert (second["temperature"], second["stop"], second["max_tokens"]) == (0, ["X", "Y"], 77)
    assert not {"temperature", "stop", "max_tokens"} & set(other)


async def test_default_options_are_adapted_to_the_model_and_never_refused(
    start: Start, upstreams: Upstreams
) -> None:
    config = """
providers:
  openai:
    base_url: {url}
    api_key: sk-test
    models: {{o3: {{options: {{temperature: 0.25, reasoning_effort: low}}}}}}
"""
    async with start(config.format(url=upstreams.openai.base_url)) as service:
        answers = [
            await service.completions.CreateCompletion(asked(model="o3", strict_options=strict))
            for strict in (False, True)
        ]
        for answer in answers:
            assert [warning.option for warning in answer.warnings] == ["temperature"]
        refused = await failure(
            service.completions.CreateCompletion(asked(model="o3", strict_options=True, temperature=0.25))
        )
        assert refused.reason == "UNSUPPORTED_OPTION"
    for call in upstreams.openai.bill.calls:
        assert call.body["reasoning_effort"] == "low"
        assert "temperature" not in call.body


async def test_what_a_model_cannot_by_the_configuration_is_refused_by_name(
    start: Start, upstreams: Upstreams
) -> None:
    form = pb.ResponseFormat(kind=pb.ResponseFormat.KIND_JSON_OBJECT)
    async with start(NAMES.format(url=upstreams.openrouter.base_url)) as service:
        found = await failure(service.completions.CreateCompletion(asked(model="two", response_format=form)))
        assert found.reason == "UNSUPPORTED_OPTION"
        assert "structured_output" in found.message
        routing = routing_pb2.Routing(fallback_models=["one"])
        answer = await service.completions.CreateCompletion(
            asked('{"a": 1}', model="two", response_format=form, routing=routing)
        )
        assert answer.model == "one"


async def test_a_context_of_the_configuration_bounds_the_input(start: Start, upstreams: Upstreams) -> None:
    async with start(NAMES.format(url=upstreams.openrouter.base_url)) as service:
        found = await failure(service.completions.CreateCompletion(asked("word " * 40_000, model="two")))
        assert found.reason == "CONTEXT_LENGTH_EXCEEDED"
        listed = await service.models.ListModels(model_service_pb2.ListModelsRequest(provider="a"))
        lengths = {model.name: model.context_length for model in listed.data}
        assert lengths["two"] == 5000


async def test_fallbacks_of_one_model_are_its_own(start: Start, upstreams: Upstreams) -> None:
    upstreams.openrouter.unknown_models.update({"down", "up"})
    async with start(NAMES.format(url=upstreams.openrouter.base_url)) as service:
        answer = await service.completions.CreateCompletion(asked(model="down"))
        assert (answer.provider, answer.model) == ("c", "shared")
        found = await failure(service.completions.CreateCompletion(asked(model="up")))
        assert found.reason == "MODEL_NOT_FOUND"


async def test_prices_of_the_file_are_those_of_its_provider_alone(start: Start, upstreams: Upstreams) -> None:
    url = upstreams.openrouter.base_url
    text = f"""
providers:
  dear: {{protocol: openai, base_url: {url}, models: {{m: {{price: {{input: 1000, output: 2000}}}}}}}}
  cheap: {{protocol: openai, base_url: {url}, models: {{m: {{price: {{free: true}}}}}}}}
  second: {{provider: openai, base_url: {url}, api_key: k}}
"""
    async with start(text) as service:
        costs = {}
        for model in ("dear:m", "cheap:m", "second:gpt-4o"):
            answer = await service.completions.CreateCompletion(asked(model=model))
            usage, costs[model] = answer.usage, answer.cost
        assert costs["cheap:m"].is_free
        assert costs["dear:m"].cost_ticks == usage.input_tokens * 10**7 + usage.output_tokens * 2 * 10**7
        assert costs["second:gpt-4o"].price_known
        assert costs["second:gpt-4o"].cost_ticks > 0


PLACES = """
providers:
  us: {{protocol: openai, base_url: {url}, residency: us, retention_days: 30, models: [m]}}
  eu: {{protocol: openai, base_url: {url}, residency: eu, retention_days: 0, models: [m]}}
  nowhere: {{protocol: openai, base_url: {url}, models: [m]}}
"""


@pytest.mark.parametrize(
    ("routing", "provider"),
    [
        ({}, "us"),
        ({"residencies": ["eu", "ch"]}, "eu"),
        ({"max_retention_days": 0}, "eu"),
        ({"max_retention_days": 30}, "us"),
        ({"residencies": ["us"], "max_retention_days": 7}, None),
        ({"residencies": ["mars"]}, None),
    ],
)
async def test_a_request_can_say_where_its_data_may_be_and_for_how_long(
    start: Start, upstreams: Upstreams, routing: dict[str, Any], provider: str | None
) -> None:
    async with start(PLACES.format(url=upstreams.openrouter.base_url)) as service:
        request = asked(model="m", routing=routing_pb2.Routing(**routing))
        if provider is None:
            found = await failure(service.completions.CreateCompletion(request))
            assert found.reason == "NO_CANDIDATES"
            assert "nowhere:m " in found.message
        else:
            assert (await service.completions.CreateCompletion(request)).provider == provider


async def test_the_list_of_providers_says_where_and_how_many(
    start: Start, upstreams: Upstreams, hosts: list[OpenAIUpstream]
) -> None:
    text = pool(hosts, more=", api_keys: [a, b], residency: eu, retention_days: 0")
    async with start(text) as service:
        stub: Any = provider_service_pb2_grpc.ProviderServiceStub(service.channel)
        await hosts[0].__aexit__()
        gpu = service.server.upstreams["gpu"]
        await until(lambda: gpu.pool.hosts[0].is_down)
        listed = await stub.ListProviders(provider_service_pb2.ListProvidersRequest())
        infos = {info.provider_name: info for info in listed.providers}
        shown = infos["gpu"]
        assert (shown.residency, shown.retention_days, shown.HasField("retention_days")) == ("eu", 0, True)
        assert (shown.host_count, shown.live_host_count, shown.key_count) == (3, 2, 2)
        assert not infos["builtin"].HasField("residency")
        assert infos["builtin"].host_count == 1


async def test_a_provider_of_another_lane_says_which(start: Start) -> None:
    async with start("providers: {big: {provider: vllm, base_url: 'http://x:1', lane: gpu}}") as service:
        for request in (asked(model="big"), asked(model="big:m"), asked(provider="big")):
            found = await failure(service.completions.CreateCompletion(request))
            assert "it is on lane gpu: send the header x-genai-lane: gpu" in found.message


async def test_a_reload_changes_new_calls_and_leaves_running_ones(
    start: Start, configured: Callable[[str], Settings], hosts: list[OpenAIUpstream]
) -> None:
    words = [f"w{number} " for number in range(40)]
    hosts[0].default = Reply(text=words, interval_s=0.02)
    text = "providers: {{x: {{protocol: openai, base_url: '{url}', api_key: {key}, models: [m]}}}}"
    async with start(text.format(url=hosts[0].base_url, key="old")) as service:
        stream = aiter(service.completions.StreamCompletion(asked(model="m")))
        first = await anext(stream)
        old = service.server.upstreams["x"]
        new = configured(text.format(url=hosts[1].base_url, key="new"))
        await reload(service, new)
        answer = await service.completions.CreateCompletion(asked(model="m"))
        assert (answer.provider, len(hosts[1].bill.calls)) == ("x", 1)
        assert hosts[1].bill.calls[0].headers["authorization"] == "Bearer new"
        rest = [chunk async for chunk in stream]
        assert text_of([first, *rest]) == "".join(words)
        assert rest[-1].usage.output_tokens > 0
        assert service.server.upstreams["x"] is not old
        await until(lambda: not service.server.replaced)
    assert len(hosts[0].bill.calls) == 1


async def test_a_reload_keeps_the_circuits_of_what_has_not_changed(
    start: Start, configured: Callable[[str], Settings], hosts: list[OpenAIUpstream]
) -> None:
    text = "providers: {{x: {{protocol: openai, base_url: '{url}'}}, y: {{protocol: openai, base_url: 'http://y:{port}'}}}}"
    async with start(text.format(url=hosts[0].base_url, port=1)) as service:
        x, y = (service.server.upstreams[name] for name in "xy")
        new = configured(text.format(url=hosts[0].base_url, port=2))
        await reload(service, new)
        assert service.server.upstreams["x"] is x
        assert service.server.upstreams["y"] is not y
        listed = await service.completions.CreateCompletion(asked(model="x:m"))
        assert listed.provider == "x"


async def test_a_provider_that_was_pointed_elsewhere_answers_with_nothing_of_before(
    start: Start, configured: Callable[[str], Settings], upstreams: Upstreams
) -> None:
    text = "providers: {{a: {{protocol: openai, base_url: '{url}', models: [m]}}}}\n"
    request = asked("Hello", model="a:m", cache_max_age_s=600)
    async with (
        OpenAIUpstream() as other,
        start(f"{text.format(url=upstreams.openai.base_url)}", cache_enabled=True) as service,
    ):
        upstreams.openai.script(Reply("before"))
        for status in (pb.CACHE_STATUS_MISS, pb.CACHE_STATUS_HIT):
            answer = await service.completions.CreateCompletion(request)
            assert (answer.choices[0].message.content[0].text, answer.cache_status) == ("before", status)
        await reload(service, configured(text.format(url=other.base_url)))
        other.script(Reply("after"))
        for status in (pb.CACHE_STATUS_MISS, pb.CACHE_STATUS_HIT):
            answer = await service.completions.CreateCompletion(request)
            assert (answer.choices[0].message.content[0].text, answer.cache_status) == ("after", status)


async def test_a_provider_that_is_gone_is_gone_for_new_calls(
    start: Start, configured: Callable[[str], Settings], hosts: list[OpenAIUpstream]
) -> None:
    async with start(f"providers: {{x: {{protocol: openai, base_url: '{hosts[0].base_url}'}}}}") as service:
        await service.completions.CreateCompletion(asked(model="x:m"))
        new = configured("aliases: {y: builtin}")
        await reload(service, new)
        found = await failure(service.completions.CreateCompletion(asked(provider="x", model="m")))
        assert "unknown provider 'x'" in found.message
        answer = await service.completions.CreateCompletion(asked("A. B. C.", model="y"))
        assert answer.provider == "builtin"


async def test_a_reload_changes_the_budgets_of_the_settings(
    start: Start, configured: Callable[[str], Settings], upstreams: Upstreams
) -> None:
    provider = f"protocol: openai, base_url: '{upstreams.openrouter.base_url}'"
    text = f"providers: {{x: {{{provider}, models: {{m: {{price: {{input: 1, output: 1}}}}}}}}}}"
    limit = "budget_daily: 0.0000000001, budget_policy: hard_block"
    webhook = "budget_webhook_url: 'https://1.1.1.1/x', budget_webhook_format: slack"
    async with start(text) as service:
        budgets = service.server.foundation.budgets
        await service.completions.CreateCompletion(asked(model="m"))
        await reload(service, configured(f"settings: {{{limit}, {webhook}}}\n{text}"))
        found = await failure(service.completions.CreateCompletion(asked(model="m")))
        assert (found.reason, found.metadata["limit_usd"]) == ("BUDGET_EXCEEDED", "0.0000000001")
        assert budgets.alerts.webhook is not None
        await reload(service, configured(f"settings: {{{limit}}}\n{text}".replace("hard_block", "warn")))
        await service.completions.CreateCompletion(asked(model="m"))
        wrong = configured(f"settings: {{budget_webhook_url: 'http://1.1.1.1/x'}}\n{text}")
        with pytest.raises(InvalidRequest):
            await reload(service, wrong)
        assert [budget.limit_ticks for budget in await budgets.rows.find()] == [1]
        await reload(service, configured(text))
        assert (await budgets.rows.find(), budgets.alerts.webhook) == ([], None)


async def test_the_example_of_the_documents_runs(start: Start, upstreams: Upstreams) -> None:
    text = (ROOT / "docs" / "genai.yaml").read_text()
    openai, ollama = upstreams.openrouter.base_url, upstreams.ollama.url
    for address, simulator in {
        "http://gpu-1:8000/v1": openai,
        "http://gpu-2:8000/v1": openai.replace("127.0.0.1", "localhost"),
        "https://eu.api.openai.com/v1": openai,
        "https://llm.example.com/v1": openai,
        "http://localhost:11434": ollama,
        "http://desk:11434": ollama,
        "http://lab:11434": ollama,
    }.items():
        assert address in text
        text = text.replace(address, simulator)
    async with start(text) as service:
        for model, answers in {
            "house": "gpu",
            "": "gpu",
            "smart": "openai-eu",
            "gateway": "gateway",
            "gemma3:4b": "ollama-desk",
            "gpt-oss:20b": "ollama-lab",  # in the house, whatever its name begins with
        }.items():
            answer = await service.completions.CreateCompletion(asked(model=model))
            assert answer.provider == answers, model
    assert {
        call.body["temperature"] for call in upstreams.openrouter.bill.calls if call.model == "qwen3-32b"
    } == {0.3}
