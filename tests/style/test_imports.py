"""Imports go down only, and each kind of thing has one owner."""

import re

from tests.style.source import MODULES, PACKAGE, imports, offenders, room

LEAVES = {
    *("v1", "errors", "call", "costs", "chunks", "field_masks", "page_tokens", "validation", "http_answer"),
    *("origins", "version", "telemetry", "concurrency", "refused_fields", "media", "security"),
    "webhooks",
    "method_options",
}
# Each room and what stands directly below it; arrows are transitive, and every room may import the leaves.
BELOW = {
    "__main__": {"cli"},
    "cli": {"server", "supervisor"},
    "server": {"edge", "openai_api", "configuration"},
    "supervisor": {"configuration", "providers", "billing", "store", "access"},
    "configuration": {"settings", "providers", "routing", "billing", "text"},
    "settings": {"providers", "routing", "billing", "symbols"},
    "edge": {"openai_api", "access"},
    "openai_api": {"services"},
    "services": {
        *(
            "sessions",
            "prompts",
            "capabilities",
            "symbols",
            "access",
            "usage",
            "request_log",
            "budgets",
            "runs",
            "schedules",
            "pipelines",
            "retrieval",
        ),
    },
    "schedules": {"runs"},
    "runs": {"inference", "prompts", "capabilities", "pipelines", "retrieval"},
    "retrieval": {"store", "text", "tokens"},
    "pipelines": {"catalog", "text", "store"},
    "sessions": {"inference"},
    "prompts": {"inference", "text"},
    "inference": {"catalog", "delivery", "access", "guardrails"},
    "guardrails": {"privacy"},
    "catalog": {"routing"},
    "delivery": {"routing"},
    "routing": {"providers", "billing", "tokens"},
    "symbols": {"text", "billing"},
    "capabilities": {"text", "json_schema", "privacy"},
    "text": {"tokens", "json_schema"},
    "providers": {"json_schema", "behaviour", "privacy"},
    "privacy": set(),
    "behaviour": set(),
    "usage": {"billing"},
    "budgets": {"usage", "access"},
    "billing": {"store"},
    "access": {"store", "guardrails"},
    "request_log": {"store"},
    **{room: set() for room in ("json_schema", "store", "tokens", *LEAVES)},
}
# What the arrows would allow, and a named rule does not.
BANNED = {("cli", "edge"), ("__main__", "edge"), *((room, "settings") for room in ("__main__",))}
ABOVE_LEAVES = {"errors": {"v1"}, "call": {"v1"}, "version": set()}
GRPC = {"edge", "server", "supervisor", "cli"}


def below(room: str) -> set[str]:
    """Rooms that `room` may import: all that its arrows lead to."""
    reached: set[str] = set()
    waiting = {room}
    while waiting:
        reached |= waiting
        waiting = {lower for upper in waiting for lower in BELOW[upper]} - reached
    return (reached | ABOVE_LEAVES.get(room, LEAVES)) - {lower for upper, lower in BANNED if upper == room}


def rooms_of(path) -> set[str]:
    ours = {
        module.removeprefix("genai_spine.") for module in imports(path) if module.startswith("genai_spine.")
    }
    return {module.split(".")[0] for module in ours}


def test_every_module_stands_in_a_room():
    assert offenders(MODULES, lambda path: room(path) not in BELOW and path.name != "__init__.py") == []


def test_imports_go_down():
    assert offenders(MODULES, lambda path: room(path) and rooms_of(path) - below(room(path))) == []


def test_only_the_store_has_sql():
    drivers = {"sqlalchemy", "asyncpg", "aiosqlite"}
    assert offenders(MODULES, lambda path: room(path) != "store" and _tops(path) & drivers) == []


def test_only_inference_calls_a_provider():
    paid = re.compile(r"provider\.(?:complete|stream|embed|create_images|transcribe|create_speech)\(")
    outside = [path for path in MODULES if room(path) not in ("inference", "providers")]
    assert offenders(outside, lambda path: paid.findall(path.read_text())) == []


def test_only_telemetry_names_span_attributes():
    assert offenders(MODULES, lambda path: "gen_ai." in path.read_text() and room(path) != "telemetry") == []


def test_only_the_edge_and_the_clients_see_grpc():
    assert offenders(MODULES, lambda path: "grpc" in _tops(path) and room(path) not in GRPC) == []


def test_only_the_facade_writes_openai_json():
    outside = [path for path in MODULES if room(path) != "openai_api"]
    assert offenders(outside, lambda path: '"chat.completion' in path.read_text()) == []


def test_no_package_imports_the_underscore_name_of_another():
    def foreign(path):
        return [
            module
            for module in imports(path)
            if module.startswith("genai_spine.")
            and module.rpartition(".")[2].startswith("_")
            and module.split(".")[1] != room(path)
        ]

    assert offenders(MODULES, foreign) == []


def _tops(path) -> set[str]:
    return {module.split(".")[0] for module in imports(path)}


def test_rooms_of_the_tree_are_those_of_the_rules():
    assert {room(path) for path in MODULES if path.parent != PACKAGE} <= set(BELOW)
