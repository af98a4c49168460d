"""Prompts over REST, as existing clients use them, through real Envoy: fields, defaults, statuses."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from yarl import URL

from tests.acceptance.http import session
from tests.acceptance.prompt_client import EXECUTE, PROMPTS, Rest
from tests.acceptance.stack import Stack

TIMES = ("created_at", "updated_at")


@pytest.fixture
async def rest(stack: Stack) -> AsyncIterator[Rest]:
    async with session(stack.url) as http:
        yield Rest(http)


# --- Create and read


async def test_create_answers_201_with_every_field_and_the_defaults(rest: Rest) -> None:
    prompt = await rest.made()
    given = {name: prompt[name] for name in ("name", "slug", "user_prompt_template")}
    assert given == {"name": "Greet", "slug": rest.slug(), "user_prompt_template": "Hello {name}"}
    assert prompt["template"] == "Hello {name}"
    assert (prompt["category"], prompt["tags"], prompt["temperature"]) == ("custom", [], 0.7)
    assert prompt["default_temperature"] == 0.7
    assert (prompt["is_public"], prompt["is_system"], prompt["is_active"]) == (False, False, True)
    assert prompt["variables"] == [{"name": "name", "type": "string", "required": True, "options": []}]
    assert (prompt["version"], prompt["labels"]) == (1, {"latest": 1})
    assert all(prompt[time].endswith("Z") for time in TIMES)
    assert prompt["description"] == prompt["system_prompt"] == prompt["preferred_model"] == ""


async def test_every_field_is_kept(rest: Rest) -> None:
    fields = {
        "description": "d",
        "category": "a category of ours",
        "tags": ["x", "y"],
        "system_prompt": "Be {name}",
        "variables": [
            {"name": "name", "description": "who", "type": "enum", "options": ["a", "b"], "default": "a"},
            {"name": "list", "type": "array", "required": False},
        ],
        "preferred_provider": "openai",
        "preferred_model": "gpt-4o",
        "temperature": 0,
        "max_tokens": 7,
        "output_schema": {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}},
        "is_public": True,
    }
    prompt = await rest.made(**fields)
    read = await rest.get(f"{PROMPTS}/{prompt['id']}")
    assert read == prompt
    assert read["default_model"] == "gpt-4o"
    first = read.pop("variables")[0]
    assert first == {**fields.pop("variables")[0], "required": True}  # type: ignore[index,attr-defined]
    assert {name: read[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [
        ("template", "user_prompt_template", "Bye {name}"),
        ("default_model", "preferred_model", "gpt-4o"),
        ("default_temperature", "temperature", 0.2),
    ],
)
async def test_aliases_are_accepted_and_returned(rest: Rest, alias: str, name: str, value: Any) -> None:
    draft = rest.draft()
    draft.pop(name, None)
    prompt = await rest.post(PROMPTS, {**draft, alias: value}, 201)
    assert prompt[alias] == prompt[name] == value
    both = {**rest.draft("other"), alias: value, name: "differs" if isinstance(value, str) else 1}
    message = await rest.refused("POST", PROMPTS, both, 422, "UNPROCESSABLE_ENTITY")
    assert name in message


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"slug": "Not A Slug"}, "slug"),
        ({"slug": ""}, "slug"),
        ({"slug": "x" * 256}, "slug"),
        ({"user_prompt_template": ""}, "user_prompt_template"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"variables": [{"name": "name", "type": "date"}]}, "variables[0].type"),
        ({"variables": [{"name": "a b"}]}, "variables[0].name"),
        ({"variables": [{"name": "name"}, {"name": "name"}]}, "variables[1].name"),
        ({"variables": [{"name": "name", "type": "integer", "default": "x"}]}, "variables[0].default"),
        ({"variables": [{"name": "name", "type": "enum"}]}, "variables[0].options"),
        ({"user_prompt_template": "{{ nobody }}"}, "user_prompt_template"),
        ({"user_prompt_template": "{% if name %}"}, "user_prompt_template"),
        ({"user_prompt_template": "{{ name | shout }}"}, "user_prompt_template"),
        ({"system_prompt": "one\n{{ ''.__class__ }}"}, "line 2"),
    ],
)
async def test_a_bad_prompt_is_refused_and_not_stored(rest: Rest, fields: Any, named: str) -> None:
    message = await rest.refused("POST", PROMPTS, rest.draft(**fields), 422, "UNPROCESSABLE_ENTITY")
    assert named in message
    await rest.get(f"{PROMPTS}/{rest.slug()}", 404)


@pytest.mark.parametrize("missing", ["name", "slug", "user_prompt_template"])
async def test_required_fields_are_required(rest: Rest, missing: str) -> None:
    draft = rest.draft()
    del draft[missing]
    assert missing in await rest.refused("POST", PROMPTS, draft, 422, "UNPROCESSABLE_ENTITY")


@pytest.mark.parametrize(
    "body", [{"name": 5.5, "slug": []}, {"temperature": "warm"}, [1], {"output_schema": 5}]
)
async def test_wrong_json_types_are_400(rest: Rest, body: Any) -> None:
    await rest.refused("POST", PROMPTS, body, 400, "VALIDATION_ERROR")


async def test_is_system_cannot_be_set(rest: Rest) -> None:
    assert (await rest.made(is_system=True, id=str(uuid4()), version=9))["is_system"] is False


async def test_duplicate_slug_is_409(rest: Rest) -> None:
    await rest.made()
    await rest.refused("POST", PROMPTS, rest.draft(), 409, "CONFLICT")


async def test_a_prompt_is_found_by_id_and_by_slug_on_all_paths(rest: Rest) -> None:
    prompt = await rest.made()
    paths = [prompt["id"], prompt["id"].upper(), prompt["slug"]]
    paths += [f"slug/{prompt['slug']}", f"by-slug/{prompt['slug']}"]
    for path in paths:
        for prefix in ("", "/api"):
            assert await rest.get(f"{prefix}{PROMPTS}/{path}") == prompt


@pytest.mark.parametrize(
    "path", ["nobody", "slug/nobody", "by-slug/nobody", "3149c72a-8099-43a6-87d9-8e8e8b285cab", "Not%20One"]
)
async def test_unknown_prompt_is_404(rest: Rest, path: str) -> None:
    await rest.refused("GET", f"{PROMPTS}/{path}", None, 404, "PROMPT_NOT_FOUND")


# --- List


async def test_list_filters_pages_and_sorts(rest: Rest) -> None:
    for name in ("a", "b", "c"):
        await rest.made(name, tags=[rest.tag, name], category=rest.tag, description=f"Über {name}")
    listed = await rest.get(f"{PROMPTS}?category={rest.tag}")
    assert (listed["total"], listed["limit"], listed["offset"]) == (3, 50, 0)
    assert [prompt["slug"] for prompt in listed["prompts"]] == [rest.slug(name) for name in "cba"]
    await rest.put(f"{PROMPTS}/{rest.slug('a')}", {"name": "Changed"})
    page = await rest.get(f"{PROMPTS}?category={rest.tag}&limit=1&offset=0")
    assert ([prompt["name"] for prompt in page["prompts"]], page["total"], page["limit"]) == (
        ["Changed"],
        3,
        1,
    )
    page = await rest.get(f"{PROMPTS}?category={rest.tag}&limit=2&offset=2")
    assert ([prompt["slug"] for prompt in page["prompts"]], page["offset"]) == ([rest.slug("b")], 2)
    for query, count in (
        ("tags=a&tags=b", 2),
        ("tag=a&tag=c", 2),
        ("tag=a&tags=b", 2),
        ("tag=nothing", 0),
        ("search=%C3%BCBER%20B", 1),
        ("search=CHANGED", 1),
        ("search=%25", 0),
        ("is_system=true", 0),
        ("is_system=false", 3),
        ("is_public=false", 3),
        ("is_public=true", 0),
    ):
        assert (await rest.get(f"{PROMPTS}?category={rest.tag}&{query}"))["total"] == count, query


@pytest.mark.parametrize("query", ["limit=0", "limit=201"])
async def test_limits_of_a_page_are_422(rest: Rest, query: str) -> None:
    await rest.refused("GET", f"{PROMPTS}?{query}", None, 422, "UNPROCESSABLE_ENTITY")
    await rest.refused("GET", f"{PROMPTS}/summarizer/versions?{query}", None, 422, "UNPROCESSABLE_ENTITY")


async def test_negative_offset_is_refused(rest: Rest) -> None:
    message = await rest.refused("GET", f"{PROMPTS}?offset=-1", None, 422, "UNPROCESSABLE_ENTITY")
    assert "offset" in message


# --- Change, versions, rollback, diff, labels


async def test_put_takes_what_is_set_and_makes_versions_of_content_only(rest: Rest) -> None:
    prompt = await rest.made(description="d")
    path = f"{PROMPTS}/{prompt['slug']}"
    for fields in (
        {"name": "N"},
        {"description": "e"},
        {"category": "c"},
        {"tags": ["t"]},
        {"is_public": True},
    ):
        changed = await rest.put(path, fields)
        assert changed["version"] == 1
        assert {name: changed[name] for name in fields} == fields
    for number, fields in enumerate(
        (
            {"system_prompt": "s"},
            {"template": "Bye {name}"},
            {"variables": [{"name": "name", "required": False}]},
            {"default_temperature": 0.1},
            {"max_tokens": 5},
            {"output_schema": {"type": "object"}},
            {"preferred_provider": "openai"},
            {"default_model": "m"},
        ),
        2,
    ):
        assert (await rest.put(path, {**fields, "change_notes": f"n{number}"}))["version"] == number
        assert (await rest.put(path, fields))["version"] == number
    versions = await rest.get(f"{path}/versions")
    assert [version["version"] for version in versions] == list(range(9, 0, -1))
    assert [version["change_notes"] for version in versions] == [*(f"n{n}" for n in range(9, 1, -1)), None]


async def test_versions_are_a_bare_array_with_every_name(rest: Rest) -> None:
    prompt = await rest.made()
    await rest.put(f"{PROMPTS}/{prompt['id']}", {"temperature": 0, "system_prompt": "s"})
    for key in (prompt["id"], prompt["slug"]):
        newest, first = await rest.get(f"{PROMPTS}/{key}/versions")
    assert set(first) >= {
        *("id", "prompt_id", "version", "system_prompt", "user_prompt_template", "variables"),
        *("preferred_provider", "preferred_model", "temperature", "max_tokens", "change_notes", "created_at"),
    }
    assert (newest["temperature"], newest["system_prompt"]) == (0, "s")
    assert (first["system_prompt"], first["max_tokens"], first["temperature"]) == (None, None, 0.7)
    assert first["variables"] == [{"name": "name", "type": "string", "required": True, "options": []}]
    assert first["prompt_id"] == prompt["id"]
    assert len(await rest.get(f"{PROMPTS}/{prompt['id']}/versions?limit=1")) == 1
    one = await rest.get(f"{PROMPTS}/{prompt['slug']}/versions/1")
    assert (one["version"], one["user_prompt_template"]) == (1, "Hello {name}")
    await rest.refused("GET", f"{PROMPTS}/{prompt['id']}/versions/3", None, 404, "PROMPT_NOT_FOUND")
    with_them = await rest.get(f"{PROMPTS}/{prompt['id']}?include_versions=true")
    assert [version["version"] for version in with_them["versions"]] == [2, 1]


@pytest.mark.parametrize("by_body", [True, False])
async def test_rollback_makes_a_new_version_of_the_old_content(rest: Rest, by_body: bool) -> None:
    prompt = await rest.made()
    path = f"{PROMPTS}/{prompt['slug']}"
    await rest.put(path, {"template": "Bye {name}", "name": "Other"})

    async def back(version: int, status: int = 200) -> Any:
        if by_body:
            return await rest.post(f"{path}/rollback", {"version": version}, status)
        answer = await rest.call("POST", f"{path}/rollback/{version}")
        assert answer.status == status
        return answer.json

    rolled = await back(1)
    assert (rolled["version"], rolled["template"], rolled["name"]) == (3, "Hello {name}", "Other")
    assert "version 1" in (await rest.get(f"{path}/versions"))[0]["change_notes"]
    assert (await back(1))["version"] == 3
    await back(9, 404)


async def test_patch_with_a_mask_clears_what_is_unset(rest: Rest) -> None:
    prompt = await rest.made(description="d", system_prompt="s", max_tokens=4, tags=["a"])
    path = f"{PROMPTS}/{prompt['slug']}"
    answer = await rest.call(
        "PATCH", f"{path}?update_mask=max_tokens,tags,template", {"template": "Bye {name}"}
    )
    assert answer.status == 200, answer.body
    changed = answer.json
    assert (changed["tags"], changed["template"], changed["description"]) == ([], "Bye {name}", "d")
    assert "max_tokens" not in changed
    await rest.refused("PATCH", f"{path}?update_mask=version", {}, 422, "UNPROCESSABLE_ENTITY")
    await rest.refused("PATCH", f"{path}?update_mask=name", {}, 422, "UNPROCESSABLE_ENTITY")


async def test_an_old_etag_is_a_conflict(rest: Rest) -> None:
    prompt = await rest.made()
    path = f"{PROMPTS}/{prompt['slug']}"
    second = await rest.put(path, {"name": "A", "etag": prompt["etag"]})
    assert second["etag"] != prompt["etag"]
    await rest.refused("PUT", path, {"name": "B", "etag": prompt["etag"]}, 409, "CONFLICT")
    assert (await rest.get(path))["name"] == "A"


async def test_diff_names_the_fields_that_differ(rest: Rest) -> None:
    prompt = await rest.made(template="a\nb {name}", user_prompt_template="a\nb {name}")
    path = f"{PROMPTS}/{prompt['slug']}"
    await rest.put(path, {"template": "a\nc {name}", "max_tokens": 3})
    diff = await rest.get(f"{path}/diff")
    found = {field["field"]: field for field in diff["fields"]}
    assert (diff["from_version"], diff["to_version"]) == (1, 2)
    assert set(found) == {"user_prompt_template", "max_tokens"}
    assert "-b {name}\n+c {name}" in found["user_prompt_template"]["unified"]
    assert (found["max_tokens"].get("before"), found["max_tokens"]["after"]) == (None, "3")
    assert (await rest.get(f"{path}/diff?from=2&to=2"))["fields"] == []


async def test_labels_point_at_versions(rest: Rest) -> None:
    prompt = await rest.made()
    path = f"{PROMPTS}/{prompt['slug']}"
    await rest.put(path, {"template": "Bye {name}"})
    assert (await rest.put(f"{path}/labels/production", {"version": 1}))["labels"] == {
        "latest": 2,
        "production": 1,
    }
    rendered = await rest.post(f"{path}/render", {"variables": {"name": "Ann"}})
    assert (rendered["user_prompt"], rendered["version"]) == ("Hello Ann", 1)
    rendered = await rest.post(f"{path}/render", {"variables": {"name": "Ann"}, "version": "latest"})
    assert rendered["user_prompt"] == "Bye Ann"
    assert (await rest.get(f"{path}/versions/production"))["version"] == 1
    await rest.refused("PUT", f"{path}/labels/latest", {"version": 1}, 422, "UNPROCESSABLE_ENTITY")
    await rest.refused("PUT", f"{path}/labels/staging", {"version": 7}, 404, "PROMPT_NOT_FOUND")
    answer = await rest.call("DELETE", f"{path}/labels/production")
    assert (answer.status, answer.body) == (204, b"")
    await rest.refused("DELETE", f"{path}/labels/production", None, 404, "PROMPT_NOT_FOUND")


# --- Delete


async def test_soft_delete_frees_the_slug_and_leaves_the_prompt_readable_by_id(rest: Rest) -> None:
    prompt = await rest.made()
    answer = await rest.call("DELETE", f"{PROMPTS}/{prompt['slug']}")
    assert (answer.status, answer.body) == (204, b"")
    await rest.refused("GET", f"{PROMPTS}/{prompt['slug']}", None, 404, "PROMPT_NOT_FOUND")
    assert (await rest.get(f"{PROMPTS}/{prompt['id']}"))["is_active"] is False
    await rest.refused("PUT", f"{PROMPTS}/{prompt['id']}", {"name": "x"}, 404, "PROMPT_NOT_FOUND")
    execute = {"prompt_id": prompt["id"], "variables": {"name": "x"}}
    await rest.refused("POST", EXECUTE, execute, 404, "PROMPT_NOT_FOUND")
    again = await rest.made(category=rest.tag)
    assert again["id"] != prompt["id"]
    listed = await rest.get(f"{PROMPTS}?search={prompt['slug']}")
    assert [found["id"] for found in listed["prompts"]] == [again["id"]]
    listed = await rest.get(f"{PROMPTS}?search={prompt['slug']}&include_inactive=true")
    assert listed["total"] == 2


async def test_hard_delete_leaves_nothing(rest: Rest) -> None:
    prompt = await rest.made()
    assert (await rest.call("DELETE", f"{PROMPTS}/{prompt['id']}?hard=true")).status == 204
    await rest.get(f"{PROMPTS}/{prompt['id']}", 404)
    await rest.get(f"{PROMPTS}/{prompt['id']}/versions", 404)
    await rest.refused("DELETE", f"{PROMPTS}/{prompt['id']}", None, 404, "PROMPT_NOT_FOUND")


async def test_lists_page_by_token_and_an_array_has_its_token_in_a_header(rest: Rest) -> None:
    prompt = await rest.made(category=rest.tag)
    await rest.made("other", category=rest.tag)
    path = f"{PROMPTS}/{prompt['slug']}"
    await rest.put(path, {"temperature": 0})
    first = await rest.call("GET", f"{path}/versions?page_size=1")
    token = first.headers["x-next-page-token"]
    second = await rest.call("GET", f"{path}/versions?limit=1&page_token={token}")
    assert [answer.json[0]["version"] for answer in (first, second)] == [2, 1]
    assert "x-next-page-token" not in second.headers
    listed = await rest.get(f"{PROMPTS}?category={rest.tag}&page_size=1")
    token = listed["next_page_token"]
    rest_of_it = await rest.get(f"{PROMPTS}?category={rest.tag}&page_token={token}")
    assert [one["slug"] for page in (listed, rest_of_it) for one in page["prompts"]] == [
        prompt["slug"],
        rest.slug("other"),
    ]
    query = f"category={rest.tag}&offset=1&page_token={token}"
    assert "offset" in await rest.refused("GET", f"{PROMPTS}?{query}", None, 422, "UNPROCESSABLE_ENTITY")
    message = await rest.refused("GET", f"{PROMPTS}?page_token={token}", None, 422, "UNPROCESSABLE_ENTITY")
    assert "page_token" in message


async def test_paths_of_today_and_older_ones_are_the_same_calls(rest: Rest) -> None:
    prompt = await rest.made()
    path = f"{PROMPTS}/{prompt['slug']}"
    body = {"variables": {"name": "Ann"}}
    assert await rest.post(f"{path}:render", body) == await rest.post(f"{path}/render", body)
    await rest.put(path, {"temperature": 0})
    assert (await rest.post(f"{path}:rollback", {"version": 1}))["version"] == 3
    slug = {"prompt_slug": prompt["slug"], "options": {"provider": "builtin"}, **body}
    for execute in (f"{PROMPTS}:execute", "/v1/execute-prompt"):
        assert (await rest.post(execute, slug))["prompt_slug"] == prompt["slug"]
    estimate = {"model": "gpt-4o", "input_tokens": 1, "output_tokens": 1}
    assert await rest.post("/v1/costs:estimate", estimate) == await rest.post("/v1/estimate-cost", estimate)
    summary = {"content": "A tram line opens. It is long.", "provider": "builtin"}
    for summarize in ("/v1/summaries:create", "/v1/summarize"):
        assert (await rest.post(summarize, summary))["summary"]


async def test_model_whose_tag_is_a_verb_is_asked_for_with_an_escape(rest: Rest) -> None:
    async with rest.http.get(URL("/v1/models/x%3Arender", encoded=True)) as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["code"], "x:render" in error["message"]) == (404, "model_not_found", True)


async def test_times_have_their_older_names_over_rest(rest: Rest) -> None:
    prompt = await rest.made()
    assert prompt["created_at"] == prompt["create_time"]
    assert prompt["updated_at"] == prompt["update_time"]
    [version] = await rest.get(f"{PROMPTS}/{prompt['id']}/versions")
    assert version["created_at"] == version["create_time"]
