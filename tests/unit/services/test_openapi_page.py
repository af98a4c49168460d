"""The OpenAPI document as a person reads it on the page, and as a program that makes a client of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genai_spine.services import openapi

DOCUMENT = openapi.document("1.2.3")
OPERATIONS = {
    operation["operationId"]: operation for item in DOCUMENT["paths"].values() for operation in item.values()
}
SERVICES = Path(openapi.__file__).parent


def nodes(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every object of a JSON value, with the path to it."""
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from nodes(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from nodes(inner, f"{path}/{place}")


def test_no_key_of_a_schema_is_null() -> None:
    """An unquoted comma in the YAML makes a key of the rest of a description."""
    examples = re.compile(r"/examples?/|/default$|/const$")
    found = [
        f"{path}/{key}"
        for path, node in nodes(DOCUMENT)
        if not examples.search(f"{path}/")
        for key, value in node.items()
        if value is None and key not in ("default", "const", "example")
    ]
    assert found == []


def test_groups_are_all_services_with_paths_and_begin_with_what_is_used_first() -> None:
    names = [tag["name"] for tag in DOCUMENT["tags"]]
    assert names[:3] == ["OpenAI", "Completions", "Capabilities"]
    assert names[-1] == "This document"
    assert {operation["tags"][0] for operation in OPERATIONS.values()} == set(names)
    assert not [name for name in names if name.endswith("Service")]


def test_summaries_say_something() -> None:
    found = {name: one["summary"] for name, one in OPERATIONS.items()}
    bad = re.compile(r"^(?:Is |Takes the body|Answers (?:GET|POST|DELETE))|/v1/|^.{0,9}$|^.{111,}$")
    assert {name: text for name, text in found.items() if bad.search(text)} == {}
    today = [one["summary"] for one in OPERATIONS.values() if not one.get("deprecated")]
    assert len(today) - len(set(today)) <= 8  # the same, in OpenAI's JSON and in our own


def test_headers_that_a_caller_may_send_are_parameters() -> None:
    for name, operation in OPERATIONS.items():
        sent = {one["$ref"].rpartition("/")[2] for one in operation["parameters"] if "$ref" in one}
        assert sent >= {"Lane", "RequestId", "Timeout", "Tenant", "CorrelationId", "RequestLog", "Pii"}, name
        about_files = name.startswith("OpenAIService_") and ("File" in name or "Batch" in name)
        assert ("Provider" in sent) == about_files, name
    named = {one["name"] for one in DOCUMENT["components"]["parameters"].values()}
    keyed = {"Prefer", "Idempotency-Key", "x-genai-on-lost", "x-genai-resume-after"}
    ours = {"x-genai-lane", "x-genai-provider", "x-request-id", "x-request-timeout"}
    ours |= {"x-tenant-id", "x-correlation-id", "x-genai-request-log", "x-genai-pii"}
    assert named - keyed == ours


def test_status_of_each_answer_is_the_one_that_its_method_sets() -> None:
    statuses = {}
    for file in (
        "prompt",
        "session",
        "stored_completion",
        "key",
        "tenant",
        "budget",
        "run",
        "schedule",
        "pipeline",
    ):
        tree = ast.parse((SERVICES / f"{file}.py").read_text())
        for method in (node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)):
            for node in ast.walk(method):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "http_answer.answered":
                    service = file.title().replace("_", "")
                    statuses[f"{service}Service_{method.name}"] = ast.unparse(node.args[1])
    assert set(statuses.values()) == {"201", "202", "204"}
    for name, operation in OPERATIONS.items():
        given = [status for status in operation["responses"] if status[0] == "2"]
        assert given == [statuses.get(re.sub(r"_\d+$", "", name), "200")], name
        assert ("content" in operation["responses"][given[0]]) == (given[0] != "204"), name
