"""Imports go down only, and each kind of thing has one owner."""

import re

import pytest

from tests.style.source import MODULES, PACKAGE, imports, name

# What a module may import of the package, by its place; the first prefix that fits counts. Leaves,
# which everyone may import: v1, errors, call, telemetry.
LEAVES = ("genai_spine.v1", "genai_spine.errors", "genai_spine.call", "genai_spine.telemetry.logs")
PROVIDERS = (*LEAVES, "genai_spine.providers")
INFERENCE = (
    *PROVIDERS,
    "genai_spine.json_schema.validator",
    "genai_spine.inference.inference",
    "genai_spine.inference.attempt",
    "genai_spine.inference.choices",
    "genai_spine.routing.circuit_breaker",
    "genai_spine.inference.hedging",
    "genai_spine.routing.candidates",
    "genai_spine.inference.failover",
    "genai_spine.inference.schema_repair",
    "genai_spine.routing.router",
    "genai_spine.routing.router.strategies",
    "genai_spine.routing.quality_tiers",
    "genai_spine.routing.router.upstream",
    "genai_spine.json_schema.answers",
    "genai_spine.billing.price_book",
    "genai_spine.billing.ledger",
    "genai_spine.tokens.counts",
    "genai_spine.tokens.counts.tokenizer",
    "genai_spine.tokens.context_window",
    "genai_spine.delivery.delivery.cache_key",
    "genai_spine.delivery.response_cache",
    "genai_spine.delivery.shared_call",
    "genai_spine.delivery.restamp",
    "genai_spine.delivery.background_completions",
    "genai_spine.delivery.delivery",
)
ROUTING = (
    *PROVIDERS,
    "genai_spine.routing.circuit_breaker",
    "genai_spine.billing.price_book",
    "genai_spine.routing.router",
    "genai_spine.routing.router.strategies",
    "genai_spine.routing.quality_tiers",
    "genai_spine.tokens.counts",
    "genai_spine.routing.router.upstream",
)
PROMPTS = (
    *LEAVES,
    "genai_spine.prompts.library",
    "genai_spine.prompts.sandbox",
    "genai_spine.store",
    "genai_spine.prompts.library.templates",
    "genai_spine.prompts.library.variables",
)
EDITING = (
    *PROMPTS,
    "genai_spine.json_schema.validator",
    "genai_spine.validation",
    "genai_spine.prompts.library.plain_yaml",
    "genai_spine.prompts.library.editor",
    "genai_spine.prompts.library.yaml_format",
)
SESSIONS = (
    *INFERENCE,
    "genai_spine.validation",
    "genai_spine.sessions.sessions",
    "genai_spine.sessions.sessions.history",
    "genai_spine.sessions.sessions.send",
    "genai_spine.sessions.sessions.export",
    "genai_spine.store",
)
CAPABILITIES = (
    *LEAVES,
    "genai_spine.json_schema.validator",
    "genai_spine.capabilities",
    "genai_spine.validation",
    "genai_spine.tokens.counts.tokenizer",
    "genai_spine.json_schema.describe",
    "genai_spine.json_schema.answers",
    "genai_spine.tokens.context_window",
)
SERVICES = (
    *EDITING,
    *SESSIONS,
    "genai_spine.prompts.library.diff",
    "genai_spine.prompts.library.execution",
    "genai_spine.inference.batch_settlement",
    "genai_spine.services",
    "genai_spine.capabilities",
    "genai_spine.capabilities.listing",
    "genai_spine.catalog.models",
    "genai_spine.inference.count_tokens",
    "genai_spine.catalog.models.prices",
    "genai_spine.tokens.counts.encodings",
    "genai_spine.symbols",
    "genai_spine.http_answer",
    "genai_spine.validation",
    "genai_spine.services.openapi",
    "genai_spine.catalog.models.providers",
    "genai_spine.store",
    "genai_spine.version",
)
ALLOWED = {
    "genai_spine/errors.py": ("genai_spine.v1",),
    "genai_spine/call.py": ("genai_spine.v1",),
    "genai_spine/providers/": PROVIDERS,
    "genai_spine/store/": (*LEAVES, "genai_spine.store"),
    "genai_spine/billing/ledger.py": (*LEAVES, "genai_spine.store"),
    "genai_spine/tokens/encodings.py": (),
    "genai_spine/tokens/tokenizer.py": ("genai_spine.tokens.counts.encodings",),
    "genai_spine/tokens/images.py": LEAVES,
    "genai_spine/tokens/counts.py": (
        *LEAVES,
        "genai_spine.tokens.counts.tokenizer",
        "genai_spine.tokens.counts.images",
    ),
    "genai_spine/tokens/context_window.py": (
        *LEAVES,
        "genai_spine.tokens.counts.encodings",
        "genai_spine.tokens.counts.tokenizer",
        "genai_spine.tokens.counts",
    ),
    "genai_spine/billing/price.py": LEAVES,
    "genai_spine/billing/price_sources.py": (*LEAVES, "genai_spine.billing.price"),
    "genai_spine/billing/price_book.py": (*LEAVES, "genai_spine.billing.price"),
    "genai_spine/catalog/prices.py": (*INFERENCE, "genai_spine.catalog.models", "genai_spine.billing.price"),
    "genai_spine/billing/rerating.py": (*LEAVES, "genai_spine.billing.price_book", "genai_spine.store"),
    "genai_spine/delivery/cache_key.py": PROVIDERS,
    "genai_spine/delivery/shared_call.py": PROVIDERS,
    "genai_spine/delivery/restamp.py": LEAVES,
    "genai_spine/delivery/response_cache.py": (*LEAVES, "genai_spine.store"),
    "genai_spine/delivery/background_completions.py": (
        *LEAVES,
        "genai_spine.store",
        "genai_spine.delivery.restamp",
    ),
    "genai_spine/store/sweeper.py": (*LEAVES, "genai_spine.store"),
    "genai_spine/session": SESSIONS,
    "genai_spine/validation.py": LEAVES,
    "genai_spine/http_answer.py": LEAVES,
    "genai_spine/routing/router.py": (*PROVIDERS, "genai_spine.routing.router"),
    "genai_spine/routing/circuit_breaker.py": LEAVES,
    "genai_spine/routing/quality_tiers.py": LEAVES,
    "genai_spine/routing/upstream.py": (*PROVIDERS, "genai_spine.routing.circuit_breaker"),
    "genai_spine/routing/strategies.py": ROUTING,
    "genai_spine/routing/candidates.py": ROUTING,
    "genai_spine/inference/failover.py": ROUTING,
    "genai_spine/json_schema/validator.py": PROVIDERS,
    "genai_spine/json_schema/answers.py": (*PROVIDERS, "genai_spine.json_schema.validator"),
    "genai_spine/delivery/delivery.py": INFERENCE,
    "genai_spine/inference/attempt.py": INFERENCE,
    "genai_spine/inference/choices.py": INFERENCE,
    "genai_spine/inference/hedging.py": INFERENCE,
    "genai_spine/inference/schema_repair.py": INFERENCE,
    "genai_spine/inference/inference.py": INFERENCE,
    "genai_spine/catalog/models.py": INFERENCE,
    "genai_spine/inference/batch_settlement.py": (*INFERENCE, "genai_spine.store"),
    "genai_spine/catalog/providers.py": ROUTING,
    "genai_spine/capabilities/": CAPABILITIES,
    "genai_spine/symbols/": (
        *LEAVES,
        "genai_spine.capabilities",
        "genai_spine.billing.ledger",
        "genai_spine.tokens.counts.tokenizer",
        "genai_spine.symbols",
    ),
    "genai_spine/capabilities/listing.py": (
        *LEAVES,
        "genai_spine.capabilities",
        "genai_spine.json_schema.from_proto",
    ),
    "genai_spine/inference/count_tokens.py": (*INFERENCE, "genai_spine.catalog.models"),
    "genai_spine/prompts/sandbox.py": (),
    "genai_spine/prompts/plain_yaml.py": ("genai_spine.prompts.sandbox",),
    "genai_spine/prompts/sandbox_process.py": (
        "genai_spine.prompts.sandbox",
        "genai_spine.prompts.library.plain_yaml",
    ),
    "genai_spine/prompts/variables.py": (*LEAVES, "genai_spine.prompts.sandbox"),
    "genai_spine/prompts/templates.py": (
        *LEAVES,
        "genai_spine.prompts.sandbox",
        "genai_spine.prompts.library.sandbox_process",
        "genai_spine.prompts.library.variables",
    ),
    "genai_spine/prompts/library.py": PROMPTS,
    "genai_spine/prompts/editor.py": EDITING,
    "genai_spine/prompts/diff.py": EDITING,
    "genai_spine/prompts/yaml_format.py": EDITING,
    "genai_spine/prompts/default_prompts.py": EDITING,
    "genai_spine/prompts/execution.py": (*INFERENCE, *PROMPTS),
    "genai_spine/services/": SERVICES,
    "genai_spine/edge/interceptor.py": (
        *LEAVES,
        "genai_spine.http_answer",
        "genai_spine.validation",
        "genai_spine.http_answer.stream_end",
    ),
    "genai_spine/edge/stream_end.py": (*LEAVES, "genai_spine.http_answer"),
}
SETTINGS_READERS = {"settings.py", "cli.py", "server.py", "up.py", "doctor.py", "__main__.py"}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_down(path):
    place = next((place for place in ALLOWED if name(path).startswith(place)), None)
    if place is None:
        return  # the top: cli, server and what they start
    ours = {module for module in imports(path) if module.startswith("genai_spine.")}
    assert not {module for module in ours if not module.startswith(ALLOWED[place])}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_settings_are_read_at_the_top_only(path):
    reads = any(module.startswith("genai_spine.settings") for module in imports(path))
    assert not reads or path.name in SETTINGS_READERS


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_inference_calls_a_provider(path):
    if path.parent.name == "providers":
        return
    calls = re.findall(r"provider\.(?:complete|stream|embed|draw|transcribe|speak)\(", path.read_text())
    assert not calls or path.name == "inference.py"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_store_has_sql(path):
    if path.is_relative_to(PACKAGE / "store"):
        return
    assert not any(module.split(".")[0] in ("sqlalchemy", "asyncpg", "aiosqlite") for module in imports(path))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_telemetry_names_span_attributes(path):
    assert "gen_ai." not in path.read_text() or path.name == "telemetry.py"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_grpc_stays_at_the_door(path):
    door = {"interceptors.py", "server.py", "client.py", "terminal.py"}
    assert "grpc" not in {module.split(".")[0] for module in imports(path)} or path.name in door


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_facade_writes_openai_json(path):
    speaks = '"chat.completion' in path.read_text()
    assert not speaks or (path.name.startswith("openai") and path.parent.name == "services")
