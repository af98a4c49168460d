"""Shipped prompts, rendering, execution and YAML over REST, through real Envoy."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import yaml

from genai_spine.v1.execution_pb2 import EXECUTION_STATE_SUCCEEDED
from tests.acceptance.http import session
from tests.acceptance.prompt_client import EXECUTE, PROMPTS, Rest
from tests.acceptance.stack import Stack
from tests.upstreams.process import UpstreamProcess

# rest-v1.md, section 9: slug -> variables (* required, = default), temperature.
SHIPPED = {
    "rewrite-clean": ({"content": ...}, 0.3),
    "rewrite-format": ({"content": ...}, 0.3),
    "rewrite-organize": ({"content": ...}, 0.3),
    "rewrite-professional": ({"content": ...}, 0.4),
    "rewrite-casual": ({"content": ...}, 0.6),
    "summarize-article": ({"content": ..., "max_sentences": 3, "focus": None}, 0.3),
    "summarize-bullet": ({"content": ..., "max_bullets": 5}, 0.3),
    "extract-entities": ({"content": ..., "entity_types": "PERSON, ORG, LOCATION"}, 0.1),
    "extract-keywords": ({"content": ..., "max_keywords": 10}, 0.1),
    "classify-content": ({"content": ..., "categories": ...}, 0.1),
    "classify-sentiment": ({"content": ...}, 0.1),
    "generate-title": ({"content": ..., "max_words": 10}, 0.5),
    "summarizer": ({"text": ..., "format": "bullets", "max_length": None}, 0.3),
    "message-enricher": ({"content": ..., "mode": "clean"}, 0.3),
    "rewrite-summarize": ({"content": ...}, 0.2),
    "rewrite-technical": ({"content": ...}, 0.3),
}
WELCOME = (
    *("rewriter", "extractor", "classifier", "translator", "content-rewriter", "entity-extractor"),
    *("summarize-document", "extract-key-points", "rag-answer", "rag-summarize", "story-clustering"),
    "quality-explanation",
)


@pytest.fixture
async def rest(stack: Stack) -> AsyncIterator[Rest]:
    async with session(stack.url) as http:
        yield Rest(http)


# --- The shipped library


async def test_shipped_prompts_have_the_variables_and_temperatures_that_clients_know(rest: Rest) -> None:
    for slug, (variables, temperature) in SHIPPED.items():
        prompt = await rest.get(f"{PROMPTS}/{slug}")
        found = {
            variable["name"]: ... if variable["required"] else variable.get("default")
            for variable in prompt["variables"]
        }
        assert (slug, found, prompt["temperature"]) == (slug, variables, temperature)
        assert (prompt["is_system"], prompt["is_public"]) == (True, True)
    for slug in WELCOME:
        assert (await rest.get(f"{PROMPTS}/slug/{slug}"))["is_system"] is True


async def test_shipped_prompts_have_the_output_schemas_that_clients_know(rest: Rest) -> None:
    schemas = {slug: (await rest.get(f"{PROMPTS}/{slug}")).get("output_schema") for slug in SHIPPED}
    assert set(schemas["extract-entities"]["items"]["properties"]) == {"text", "type"}
    assert schemas["extract-keywords"]["items"] == {"type": "string"}
    assert set(schemas["classify-content"]["properties"]) == {"category", "confidence"}
    sentiment = schemas["classify-sentiment"]["properties"]
    assert set(sentiment) == {"sentiment", "confidence", "explanation"}
    assert sentiment["sentiment"]["enum"] == ["positive", "negative", "neutral"]
    plain = set(SHIPPED) - {"extract-entities", "extract-keywords", "classify-content", "classify-sentiment"}
    assert not any(schemas[slug] for slug in plain)


async def test_a_system_prompt_cannot_be_changed(rest: Rest) -> None:
    path = f"{PROMPTS}/summarizer"
    for method, at, body in (
        ("PUT", path, {"name": "x"}),
        ("PATCH", f"{path}?update_mask=name", {"name": "x"}),
        ("DELETE", path, None),
        ("DELETE", f"{path}?hard=true", None),
        ("POST", f"{path}/rollback/1", None),
        ("POST", f"{path}/rollback", {"version": 1}),
    ):
        await rest.refused(method, at, body, 403, "FORBIDDEN")


# --- Render


async def test_render_says_what_was_used(rest: Rest) -> None:
    prompt = await rest.made(
        system_prompt='Answer {"like": {"this": 1}}',
        template="{name} {{ name | upper }} {mood} {n} [{rest}]",
        user_prompt_template="{name} {{ name | upper }} {mood} {n} [{rest}]",
        variables=[
            {"name": "name"},
            {"name": "mood", "default": "glad"},
            {"name": "n", "type": "integer", "required": False, "default": 3},
            {"name": "rest", "required": False},
        ],
    )
    rendered = await rest.post(f"{PROMPTS}/{prompt['id']}/render", {"variables": {"name": "Ann", "x": 1}})
    assert rendered == {
        "system_prompt": 'Answer {"like": {"this": 1}}',
        "user_prompt": "Ann ANN glad 3 []",
        "variables_used": {"name": "Ann", "mood": "glad", "n": 3, "rest": ""},
        "variables_defaulted": ["mood", "n"],
        "version": 1,
    }


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ({"type": "string"}, ["a"]),
        ({"type": "text"}, True),
        ({"type": "integer"}, 1.5),
        ({"type": "integer"}, "1"),
        ({"type": "number"}, "1"),
        ({"type": "boolean"}, "true"),
        ({"type": "array"}, "a"),
        ({"type": "enum", "options": ["a", "b"]}, "c"),
        ({"type": "string"}, None),
    ],
)
async def test_missing_and_mistyped_variables_are_400(rest: Rest, kind: Any, wrong: Any) -> None:
    prompt = await rest.made(variables=[{"name": "name", **kind}])
    for path, body in (
        (f"{PROMPTS}/{prompt['slug']}/render", {}),
        (EXECUTE, {"prompt_slug": prompt["slug"]}),
    ):
        given = {**body, "variables": {"name": wrong}}
        message = await rest.refused("POST", path, given, 400, "INVALID_PROMPT_VARIABLES")
        assert "variables.name" in message


async def test_a_hostile_template_is_stopped(rest: Rest) -> None:
    loop = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    prompt = await rest.made(user_prompt_template=loop)
    render = rest.refused(
        "POST",
        f"{PROMPTS}/{prompt['slug']}/render",
        {"variables": {"name": "x"}},
        422,
        "UNPROCESSABLE_ENTITY",
    )
    async with asyncio.timeout(30):
        assert "takes more than 2 s" in await render


# --- Execute


async def test_execute_answers_with_every_field_and_books_the_prompt(rest: Rest, stack: Stack) -> None:
    prompt = await rest.made(system_prompt="Be kind.", preferred_model="gpt-4o")
    body = {
        "prompt_slug": prompt["slug"],
        "variables": {"name": "Ann"},
        "metadata": {"ticket": 7},
        "user": "u1",
    }
    said = await rest.post(EXECUTE, body)
    assert said["output"] == said["content"] == "You said: Hello Ann"
    assert said["id"].startswith("exec_")
    assert (said["prompt_id"], said["prompt_slug"]) == (prompt["id"], prompt["slug"])
    assert (said["prompt_name"], said["prompt_version"]) == ("Greet", 1)
    assert said["variables_used"] == {"name": "Ann"}
    assert (said["provider"], said["model"]) == ("openai", "gpt-4o")
    assert said["usage"]["total_tokens"] == said["input_tokens"] + said["output_tokens"] > 0
    assert said["usage"]["cost"] == said["cost_usd"] > 0
    assert type(said["latency_ms"]) is int
    [row] = await stack.executions(said["request_id"])
    assert (row.id, row.state) == (said["execution_id"], EXECUTION_STATE_SUCCEEDED)
    assert (row.prompt_id, row.prompt_version, row.end_user) == (prompt["id"], 1, "u1")
    assert json.loads(row.metadata_json) == {"ticket": 7}
    assert len(row.variables_hash) == 64


@pytest.mark.parametrize(
    "options", [{"options": {"model": "gpt-4o", "temperature": 0}}, {"model": "gpt-4o", "temperature": 0}]
)
async def test_options_go_before_the_prompts_own(
    rest: Rest, openai_upstream: UpstreamProcess, options: Any
) -> None:
    prompt = await rest.made(
        preferred_provider="ollama", preferred_model="llama3.2:latest", max_tokens=9, temperature=1
    )
    body = {"prompt_id": prompt["id"], "variables": {"name": "Ann"}, **options}
    said = await rest.post(EXECUTE, body)
    assert (said["provider"], said["model"]) == ("openai", "gpt-4o")
    [asked] = [entry.body for entry in openai_upstream.bill() if entry.is_call]
    assert (asked["temperature"], asked["max_completion_tokens"]) == (0, 9)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "prompt_slug or prompt_id"),
        ({"prompt_slug": "summarizer", "prompt_id": str(uuid4())}, "not both"),
        (
            {"prompt_slug": "summarizer", "variables": {"text": "x"}, "options": {"provider": "nobody"}},
            "nobody",
        ),
    ],
)
async def test_unusable_executions_are_400(rest: Rest, body: Any, words: str) -> None:
    assert words in await rest.refused("POST", EXECUTE, body, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("name", [{"prompt_slug": "nobody"}, {"prompt_id": str(uuid4())}])
async def test_executing_an_unknown_prompt_is_404(rest: Rest, name: Any) -> None:
    await rest.refused("POST", EXECUTE, name, 404, "PROMPT_NOT_FOUND")


async def test_wait_true_answers_with_the_result(rest: Rest) -> None:
    body = {"variables": {"content": "One. Two."}, "wait": True, "options": {"model": "builtin:extractive"}}
    said = await rest.post(f"{PROMPTS}/summarize-article/execute", body)
    assert said["prompt_slug"] == "summarize-article"
    assert said["variables_used"] == {"content": "One. Two.", "max_sentences": 3, "focus": ""}


async def test_execution_streams_text_and_ends_with_the_result(rest: Rest) -> None:
    prompt = await rest.made(preferred_model="gpt-4o")
    body = {"prompt_slug": prompt["slug"], "variables": {"name": "Ann"}}
    answer = await rest.call("POST", f"{EXECUTE}:stream", body)
    assert answer.headers["content-type"] == "text/event-stream"
    *texts, last = answer.events
    assert "".join(event["text"] for event in texts) == last["result"]["output"] == "You said: Hello Ann"
    assert last["result"]["usage"]["total_tokens"] > 0


# --- YAML


async def test_export_and_import_are_each_others_reverse(rest: Rest) -> None:
    prompt = await rest.made(template="a\nb {name}", user_prompt_template="a\nb {name}", tags=["t"])
    exported = await rest.get(f"{PROMPTS}:export?prompt_ids={prompt['slug']}")
    assert exported["prompt_count"] == 1
    [entry] = yaml.safe_load(exported["yaml"])
    assert (entry["slug"], entry["user_prompt_template"]) == (prompt["slug"], "a\nb {name}")
    assert (await rest.post(f"{PROMPTS}:import", {"yaml": exported["yaml"]}))["unchanged"] == [prompt["slug"]]
    changed = (
        exported["yaml"].replace("b {name}", "c {name}")
        + f"- {{slug: {rest.slug('n')}, name: N, template: x}}\n"
    )
    dry = await rest.post(f"{PROMPTS}:import", {"yaml": changed, "dry_run": True})
    assert (dry["created"], dry["updated"]) == ([rest.slug("n")], [prompt["slug"]])
    await rest.get(f"{PROMPTS}/{rest.slug('n')}", 404)
    assert await rest.post(f"{PROMPTS}:import", {"yaml": changed}) == dry
    assert (await rest.get(f"{PROMPTS}/{prompt['slug']}"))["version"] == 2


async def test_an_import_with_one_bad_prompt_changes_nothing(rest: Rest) -> None:
    good = {"slug": rest.slug("a"), "name": "A", "template": "x"}
    text = json.dumps([good, {**good, "slug": rest.slug("b"), "template": "{{ y }}"}])
    await rest.refused("POST", f"{PROMPTS}:import", {"yaml": text}, 422, "UNPROCESSABLE_ENTITY")
    await rest.get(f"{PROMPTS}/{rest.slug('a')}", 404)
