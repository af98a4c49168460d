"""The library's rules, on SQLite and on a real PostgreSQL."""

import asyncio
from collections import Counter

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_spine.call import DEFAULT_TENANT
from genai_spine.errors import Conflict, EtagMismatch, InvalidFields, PromptNotFound, PromptProtected
from genai_spine.prompts import default_prompts, yaml_format
from genai_spine.prompts.editor import VERSIONED, PromptEditor
from genai_spine.prompts.library import PromptLibrary
from genai_spine.services import rest_aliases
from genai_spine.store.database import Database
from genai_spine.store.prompts import PromptRows
from genai_spine.v1 import message_pb2
from genai_spine.v1 import prompt_service_pb2 as pb
from genai_spine.v1.prompt_service_pb2 import (
    DeletePromptLabelRequest,
    DeletePromptRequest,
    ListPromptsRequest,
    Prompt,
    PromptVariable,
    RollbackPromptRequest,
    SetPromptLabelRequest,
)


@pytest.fixture
async def prompts(database: Database):
    library = PromptLibrary(PromptRows(database))
    yield library
    await library.close()


@pytest.fixture
def editor(prompts) -> PromptEditor:
    return PromptEditor(prompts)


def draft(slug: str = "greet", **fields) -> Prompt:
    given = {"name": "Greet", "user_prompt_template": "Hello {name}", "tags": ["a", "b"]}
    given |= {"variables": [PromptVariable(name="name")], "slug": slug}
    return Prompt(**given | fields)


async def update(editor: PromptEditor, mask: str = "", **fields) -> Prompt:
    request = pb.UpdatePromptRequest(prompt_id="greet", prompt=Prompt(**fields))
    request.update_mask.paths.extend(mask.split(",") if mask else [])
    rest_aliases.read(request)  # as of a caller over REST
    return await editor.update(request, DEFAULT_TENANT)


async def test_a_new_prompt_is_read_back_by_slug_and_by_id_as_it_was_written(prompts, editor):
    prompt = await editor.create(
        draft(temperature=0.0, max_tokens=7, preferred_model="m"), DEFAULT_TENANT, "a client"
    )
    assert await prompts.prompt("greet", DEFAULT_TENANT) == prompt
    assert await prompts.prompt(prompt.id.upper(), DEFAULT_TENANT) == prompt
    assert (prompt.version, dict(prompt.labels), prompt.created_by) == (1, {"latest": 1}, "a client")
    assert (prompt.category, prompt.is_public, prompt.is_active) == ("custom", False, True)


async def test_messages_are_the_filled_templates(prompts, editor):
    await editor.create(draft(system_prompt="Be {name}."), DEFAULT_TENANT, None)
    resolved = await prompts.version("greet", DEFAULT_TENANT)
    system, user = await prompts.messages(resolved, {"name": "{name} {{ name }}"})
    assert (system.role, user.role) == (message_pb2.ROLE_SYSTEM, message_pb2.ROLE_USER)
    assert system.content[0].text == "Be {name} {{ name }}."
    assert user.content[0].text == "Hello {name} {{ name }}"


async def test_two_active_prompts_cannot_have_one_slug(editor):
    await editor.create(draft(), DEFAULT_TENANT, None)
    await editor.create(draft("other"), DEFAULT_TENANT, None)
    with pytest.raises(Conflict):
        await editor.create(draft(), DEFAULT_TENANT, None)
    request = pb.UpdatePromptRequest(prompt_id="other", prompt=Prompt(slug="greet"))
    with pytest.raises(Conflict):
        await editor.update(request, DEFAULT_TENANT)


async def test_a_deleted_slug_is_free_and_the_deleted_prompt_is_found_by_id_only(prompts, editor):
    first = await editor.create(draft(), DEFAULT_TENANT, None)
    await editor.delete(pb.DeletePromptRequest(prompt_id="greet"), DEFAULT_TENANT)
    for name in ("greet", first.id):
        with pytest.raises(PromptNotFound):
            await prompts.version(name, DEFAULT_TENANT)
    assert not (await prompts.prompt(first.id, DEFAULT_TENANT)).is_active
    second = await editor.create(draft(), DEFAULT_TENANT, None)
    assert (await prompts.prompt("greet", DEFAULT_TENANT)).id == second.id
    with pytest.raises(PromptNotFound):
        await editor.update(
            pb.UpdatePromptRequest(prompt_id=first.id, prompt=Prompt(name="x")), DEFAULT_TENANT
        )
    await editor.delete(pb.DeletePromptRequest(prompt_id=first.id, hard=True), DEFAULT_TENANT)
    with pytest.raises(PromptNotFound):
        await prompts.prompt(first.id, DEFAULT_TENANT)
    assert await prompts.rows.versions(first.id, 9) == []


async def append(prompts: PromptLibrary, word: str, etag: str | None = None) -> None:
    async with prompts.changing(DEFAULT_TENANT) as changes:
        prompt = await changes.locked("greet", etag)
        prompt.user_prompt_template += f" {word}"
        await changes.save(prompt, new_version=True)


async def test_50_parallel_editors_lose_no_change(prompts, editor):
    await editor.create(draft(), DEFAULT_TENANT, None)
    await asyncio.gather(*(append(prompts, f"w{number}") for number in range(50)))
    prompt = await prompts.prompt("greet", DEFAULT_TENANT)
    assert sorted(prompt.user_prompt_template.split()[2:]) == sorted(f"w{number}" for number in range(50))
    versions = await prompts.rows.versions(prompt.id, 200)
    assert [version.version for version in versions] == list(range(51, 0, -1))


async def test_each_of_50_parallel_updates_without_etag_is_a_version(prompts, editor):
    prompt = await editor.create(draft(), DEFAULT_TENANT, None)
    await asyncio.gather(*(update(editor, system_prompt=f"s{number}") for number in range(50)))
    versions = await prompts.rows.versions(prompt.id, 200)
    assert Counter(version.system_prompt for version in versions[:-1]) == Counter(f"s{n}" for n in range(50))
    assert (await prompts.prompt("greet", DEFAULT_TENANT)).version == 51


async def test_of_50_parallel_editors_with_one_etag_one_wins(prompts, editor):
    prompt = await editor.create(draft(), DEFAULT_TENANT, None)
    edits = (update(editor, system_prompt=f"s{number}", etag=prompt.etag) for number in range(50))
    results = await asyncio.gather(*edits, return_exceptions=True)
    assert Counter(type(result) for result in results) == {EtagMismatch: 49, Prompt: 1}
    [won] = [result for result in results if isinstance(result, Prompt)]
    assert await prompts.prompt("greet", DEFAULT_TENANT) == won
    assert won.version == 2


@pytest.mark.parametrize("written", ["", " ", "x", '"{}"', 'W/"{}"', "*", "0{}", "+{}", "{}\0", "-1"])
async def test_nothing_but_the_etag_itself_changes_or_removes_a_prompt(prompts, editor, written):
    prompt = await editor.create(draft(), DEFAULT_TENANT, None)
    etag = written.replace("{}", prompt.etag)
    for attempt in (
        update(editor, system_prompt="s", etag=etag),
        editor.delete(DeletePromptRequest(prompt_id="greet", etag=etag), DEFAULT_TENANT),
        editor.rollback(RollbackPromptRequest(prompt_id="greet", version=1, etag=etag), DEFAULT_TENANT),
        editor.set_label(
            SetPromptLabelRequest(prompt_id="greet", label="a", version=1, etag=etag), DEFAULT_TENANT
        ),
        editor.delete_label(
            DeletePromptLabelRequest(prompt_id="greet", label="a", etag=etag), DEFAULT_TENANT
        ),
    ):
        with pytest.raises(EtagMismatch):
            await attempt
    assert await prompts.prompt("greet", DEFAULT_TENANT) == prompt


async def test_two_processes_lose_no_change(database_url):
    """Each with connections, caches and locks of its own."""
    databases = [Database(database_url) for _ in range(2)]
    libraries = [PromptLibrary(PromptRows(database)) for database in databases]
    await PromptEditor(libraries[0]).create(draft(), DEFAULT_TENANT, None)
    await asyncio.gather(*(append(libraries[number % 2], f"w{number}") for number in range(20)))
    prompt = await libraries[0].prompt("greet", DEFAULT_TENANT)
    assert len(prompt.user_prompt_template.split()) == 22
    assert prompt.version == 21
    for database in databases:
        await database.close()


CONTENT = {
    "system_prompt": ["s", "t"],
    "user_prompt_template": ["Hello {name}", "Bye {name}"],
    "temperature": [0.0, 0.7],
    "max_tokens": [1, 2],
    "preferred_provider": ["openai", "ollama"],
    "preferred_model": ["m", "n"],
}
OTHER = {
    "name": ["A", "B"],
    "description": ["d", "e"],
    "category": ["c", "custom"],
    "is_public": [True, False],
}
CHANGES = st.dictionaries(st.sampled_from([*CONTENT, *OTHER]), st.sampled_from([0, 1]), max_size=3)


@given(st.lists(CHANGES, max_size=5))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_a_version_is_made_if_and_only_if_content_changes(editor, changes):
    prompt = await editor.create(draft(f"p{id(changes)}"), DEFAULT_TENANT, None)
    for chosen in changes:
        before = Prompt()
        before.CopyFrom(prompt)
        fields = {name: (CONTENT | OTHER)[name][index] for name, index in chosen.items()}
        prompt = await editor.update(
            pb.UpdatePromptRequest(prompt_id=prompt.id, prompt=Prompt(**fields)), DEFAULT_TENANT
        )
        changed = any(getattr(before, name) != getattr(prompt, name) for name in VERSIONED)
        assert all(getattr(prompt, name) == value for name, value in fields.items())
        assert prompt.version == before.version + changed
        differs = any(getattr(before, name) != value for name, value in fields.items())
        assert (prompt.etag != before.etag) == differs
    versions = await editor.prompts.rows.versions(prompt.id, 200)
    assert [version.version for version in versions] == list(range(prompt.version, 0, -1))
    await editor.delete(pb.DeletePromptRequest(prompt_id=prompt.id, hard=True), DEFAULT_TENANT)


async def test_a_mask_clears_and_takes_nothing_else(editor):
    await editor.create(draft(description="d", system_prompt="s", max_tokens=3), DEFAULT_TENANT, None)
    changed = await update(editor, "max_tokens,tags,default_model", system_prompt="t", default_model="m")
    assert not changed.HasField("max_tokens")
    assert (list(changed.tags), changed.system_prompt, changed.preferred_model) == ([], "s", "m")
    for mask in ("version", "name", "nothing"):
        with pytest.raises(InvalidFields):
            await update(editor, mask)


async def test_rollback_takes_the_content_of_the_old_version_only(prompts, editor):
    await editor.create(draft(max_tokens=5), DEFAULT_TENANT, None)
    await update(editor, "max_tokens,user_prompt_template,name", user_prompt_template="Bye", name="N")
    rolled = await editor.rollback(pb.RollbackPromptRequest(prompt_id="greet", version=1), DEFAULT_TENANT)
    assert (rolled.version, rolled.max_tokens, rolled.name) == (3, 5, "N")
    again = await editor.rollback(pb.RollbackPromptRequest(prompt_id="greet", version=1), DEFAULT_TENANT)
    assert (again.version, again.etag) == (3, rolled.etag)
    newest, _, first = await prompts.rows.versions(rolled.id, 9)
    assert newest.change_notes == "Rolled back to version 1."
    assert [getattr(newest, name) for name in VERSIONED] == [getattr(first, name) for name in VERSIONED]


async def test_production_goes_before_latest_where_it_is_set(prompts, editor):
    await editor.create(draft(), DEFAULT_TENANT, None)
    await update(editor, system_prompt="s")
    assert (await prompts.version("greet", DEFAULT_TENANT)).version.version == 2
    await editor.set_label(
        pb.SetPromptLabelRequest(prompt_id="greet", label="production", version=1), DEFAULT_TENANT
    )
    assert (await prompts.version("greet", DEFAULT_TENANT)).version.version == 1
    assert (await prompts.version("greet", DEFAULT_TENANT, "latest")).version.version == 2
    assert (await prompts.version("greet", DEFAULT_TENANT, 1)).version.version == 1
    await editor.delete_label(
        pb.DeletePromptLabelRequest(prompt_id="greet", label="production"), DEFAULT_TENANT
    )
    assert (await prompts.version("greet", DEFAULT_TENANT)).version.version == 2


@pytest.mark.parametrize(("tags", "count"), [(["a"], 2), (["a", "z"], 3), (['q"'], 1), (["A"], 0), ([], 3)])
async def test_tags_filter_is_any_of(prompts, editor, tags, count):
    await editor.create(draft("one", tags=["a", "b"]), DEFAULT_TENANT, None)
    await editor.create(draft("two", tags=["a", 'q"', "x, y"]), DEFAULT_TENANT, None)
    await editor.create(draft("three", tags=["z", "ä"]), DEFAULT_TENANT, None)
    found, total = await prompts.rows.page(ListPromptsRequest(tags=tags), DEFAULT_TENANT, 50)
    assert (len(found), total) == (count, count)


@given(st.lists(st.text('a", []\\ä', min_size=1, max_size=4), min_size=1, max_size=3), st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_a_tag_is_found_whole_only(editor, tags, data):
    tag = data.draw(st.sampled_from(tags) | st.text('a", []\\ä', min_size=1, max_size=4))
    prompt = await editor.create(draft("tagged", tags=tags), DEFAULT_TENANT, None)
    _, total = await editor.prompts.rows.page(ListPromptsRequest(tag=[tag]), DEFAULT_TENANT, 50)
    await editor.delete(pb.DeletePromptRequest(prompt_id=prompt.id, hard=True), DEFAULT_TENANT)
    assert total == (tag in tags)


@pytest.mark.parametrize(
    ("search", "count"),
    [("STRASSE", 1), ("straße", 1), ("GREET", 2), ("100%", 1), ("_", 0), ("x\0", 0), ("", 2)],
)
async def test_search_takes_upper_and_lower_case_alike_and_every_sign_as_itself(
    prompts, editor, search, count
):
    await editor.create(draft("one", description="Große Straße"), DEFAULT_TENANT, None)
    await editor.create(draft("two", description="100% sure"), DEFAULT_TENANT, None)
    assert (await prompts.rows.page(ListPromptsRequest(search=search), DEFAULT_TENANT, 50))[1] == count


async def test_what_does_not_exist_is_not_found(prompts, editor):
    await editor.create(draft(), DEFAULT_TENANT, None)
    for name, which in (("nobody", None), ("greet", "9"), ("greet", "staging"), ("x\0y", None), ("G", None)):
        with pytest.raises(PromptNotFound):
            await prompts.version(name, DEFAULT_TENANT, which)


async def test_text_that_postgresql_cannot_hold_is_refused(editor):
    for field in ("name", "system_prompt", "user_prompt_template"):
        with pytest.raises(InvalidFields, match=field):
            await editor.create(draft(**{field: "a\0b"}), DEFAULT_TENANT, None)


async def test_a_change_of_this_process_is_seen_at_once(prompts, editor):
    await editor.create(draft(), DEFAULT_TENANT, None)
    assert (await prompts.version("greet", DEFAULT_TENANT)).version.version == 1
    await update(editor, system_prompt="s")
    assert (await prompts.version("greet", DEFAULT_TENANT)).version.version == 2


# --- The shipped library


def test_every_shipped_prompt_passes_the_checks_of_any_other(editor):
    for text in default_prompts.texts():
        for prompt in yaml_format.read(text):
            editor.drafted(prompt)


async def test_servers_that_start_together_ship_every_prompt_once(database_url):
    databases = [Database(database_url) for _ in range(3)]
    libraries = [PromptLibrary(PromptRows(database)) for database in databases]
    await asyncio.gather(*(default_prompts.seed(library) for library in libraries))
    page, total = await libraries[0].rows.page(ListPromptsRequest(), DEFAULT_TENANT, 200)
    assert total == len(default_prompts.drafts()) > 30
    assert {(prompt.version, prompt.is_system, prompt.is_public) for prompt in page} == {(1, True, True)}
    before = {prompt.id: prompt.etag for prompt in page}
    await default_prompts.seed(libraries[1])
    page, _ = await libraries[0].rows.page(ListPromptsRequest(), DEFAULT_TENANT, 200)
    assert {prompt.id: prompt.etag for prompt in page} == before
    for database in databases:
        await database.close()


async def test_a_changed_file_is_a_new_version(prompts, monkeypatch):
    await default_prompts.seed(prompts)
    changed = [text.replace("Summarize this.", "Condense this.") for text in default_prompts.texts()]
    monkeypatch.setattr(default_prompts, "texts", lambda: changed)
    await default_prompts.seed(prompts)
    prompt = await prompts.prompt("summarizer", DEFAULT_TENANT)
    assert prompt.version == 2
    newest, first = await prompts.rows.versions(prompt.id, 9)
    assert "Condense" in newest.user_prompt_template
    assert (newest.change_notes, first.change_notes) == (default_prompts.NOTES, "")
    assert (await prompts.prompt("translator", DEFAULT_TENANT)).version == 1


async def test_a_prompt_of_somebody_else_stays_when_a_shipped_one_has_its_slug(prompts, editor):
    own = await editor.create(draft("summarizer"), DEFAULT_TENANT, None)
    with structlog.testing.capture_logs() as logs:
        await default_prompts.seed(prompts)
    assert await prompts.prompt("summarizer", DEFAULT_TENANT) == own
    assert [log["slug"] for log in logs] == ["summarizer"]
    await editor.delete(pb.DeletePromptRequest(prompt_id="summarizer"), DEFAULT_TENANT)
    await default_prompts.seed(prompts)
    assert (await prompts.prompt("summarizer", DEFAULT_TENANT)).is_system


async def test_a_shipped_prompt_is_protected_and_may_have_labels(prompts, editor):
    await default_prompts.seed(prompts)
    for change in (
        editor.update(
            pb.UpdatePromptRequest(prompt_id="summarizer", prompt=Prompt(name="x")), DEFAULT_TENANT
        ),
        editor.delete(pb.DeletePromptRequest(prompt_id="summarizer", hard=True), DEFAULT_TENANT),
        editor.rollback(pb.RollbackPromptRequest(prompt_id="summarizer", version=1), DEFAULT_TENANT),
    ):
        with pytest.raises(PromptProtected):
            await change
    label = pb.SetPromptLabelRequest(prompt_id="summarizer", label="production", version=1)
    assert (await editor.set_label(label, DEFAULT_TENANT)).labels["production"] == 1


async def test_every_shipped_prompt_says_something_with_what_it_requires(prompts):
    await default_prompts.seed(prompts)
    page, _ = await prompts.rows.page(ListPromptsRequest(), DEFAULT_TENANT, 200)
    for prompt in page:
        resolved = await prompts.version(prompt.slug, DEFAULT_TENANT)
        required = [variable for variable in prompt.variables if variable.required]
        values = {variable.name: 3 if variable.type == "integer" else "Words." for variable in required}
        filled = await prompts.fill(resolved, values)
        assert "Words." in filled.user_prompt
        assert filled.system_prompt
        assert "{{" not in filled.user_prompt + filled.system_prompt
