"""Owners of objects at providers: who is told of an object, and who is told that there is none."""

import json
from collections.abc import Collection
from typing import Any

import pytest

from genai_spine.access import provider_objects
from genai_spine.access.object_references import Reference, references
from genai_spine.access.provider_objects import ObjectOwners, sees_unowned
from genai_spine.call import ANONYMOUS, DEFAULT_TENANT, Call, Principal
from genai_spine.errors import InvalidFields, ProviderObjectNotFound
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.provider_objects import ListPlace, ProviderObject, ProviderObjects
from genai_spine.v1.execution_pb2 import Execution, ExecutionState
from genai_spine.v1.operation_pb2 import Operation

ACME = Call(principal=Principal("key:1", "acme", "p", "1", frozenset({"files:read"})))
RIVAL = Call(principal=Principal("key:2", "rival", None, "2", frozenset({"files:read"})))
KEY_OF_DEFAULT = Call(principal=Principal("key:3", DEFAULT_TENANT, None, "3", frozenset({"files:read"})))
CHOSEN = Call(principal=Principal(tenant_id="acme"))
NOBODY_ASKED = Call()


@pytest.fixture
def owners(database: Database) -> ObjectOwners:
    return ObjectOwners(ProviderObjects(database))


@pytest.mark.parametrize(
    ("principal", "sees"),
    [
        (ANONYMOUS, True),
        (CHOSEN.principal, False),
        (KEY_OF_DEFAULT.principal, False),
        (ACME.principal, False),
    ],
)
def test_sees_unowned_is_for_the_default_tenant_without_authentication(
    principal: Principal, sees: bool
) -> None:
    assert sees_unowned(principal) is sees


@pytest.mark.parametrize("call", [RIVAL, KEY_OF_DEFAULT, NOBODY_ASKED])
async def test_object_of_another_tenant_is_as_one_that_is_not_there(owners: ObjectOwners, call: Call) -> None:
    assert await owners.add("openai", "file", "file-1", ACME)
    await owners.check("openai", "file", "file-1", ACME)
    await owners.check("openai", "file", "file-1", CHOSEN)
    with pytest.raises(ProviderObjectNotFound) as raised:
        await owners.check("openai", "file", "file-1", call)
    assert str(raised.value) == "provider openai has no file 'file-1'"
    with pytest.raises(ProviderObjectNotFound):
        await owners.check_files("openai", ["file-1"], call)
    assert await owners.own("openai", ["file-1"], call) == set()
    assert await owners.own("openai", ["file-1", "file-2"], ACME) == {"file-1"}


@pytest.mark.parametrize(
    ("call", "may"), [(NOBODY_ASKED, True), (KEY_OF_DEFAULT, False), (ACME, False), (CHOSEN, False)]
)
async def test_object_without_an_owner_is_the_default_tenants_or_nobodys(
    owners: ObjectOwners, call: Call, may: bool
) -> None:
    if may:
        await owners.check("openai", "file", "old", call)
        return
    with pytest.raises(ProviderObjectNotFound):
        await owners.check("openai", "file", "old", call)


async def test_first_owner_of_an_object_stays(owners: ObjectOwners) -> None:
    await owners.add("openai", "file", "file-1", ACME)
    await owners.add("openai", "file", "file-1", RIVAL)
    await owners.add_files("openai", ["file-1", ""], RIVAL)
    assert await owners.objects.tenants("openai", ["file-1"]) == {"file-1": "acme"}
    assert await owners.objects.get("openai", "file-1") == ProviderObject(
        "openai", "file", "file-1", Principal("key:1", "acme", "p", "1")
    )
    assert await owners.objects.get("azure", "file-1") is None


class Failing(ProviderObjects):
    async def add(self, made: ProviderObject) -> None:
        raise OSError("gone")


@pytest.mark.parametrize(("call", "found_again"), [(NOBODY_ASKED, True), (ACME, False)])
async def test_add_says_whether_the_maker_will_find_it(
    database: Database, monkeypatch: pytest.MonkeyPatch, call: Call, found_again: bool
) -> None:
    monkeypatch.setattr(provider_objects, "PAUSES_S", (0.0, 0.0))
    assert await ObjectOwners(Failing(database)).add("openai", "file", "1", call) is found_again


def place(**fields: Any) -> ListPlace:
    return ListPlace(**({"provider": "openai", "kind": "file", "tenant": "acme", "size": 2} | fields))


async def test_pages_hold_each_object_of_the_tenant_once(owners: ObjectOwners) -> None:
    for number in range(5):
        await owners.add("openai", "file", f"file-{number}", ACME)
        await owners.add("openai", "file", f"other-{number}", RIVAL)
        await owners.add("openai", "batch", f"batch-{number}", ACME)
        await owners.add("azure", "file", f"azure-{number}", ACME)
    gone: Collection[str] = {"file-2"}

    async def get(id: str) -> str:
        if id in gone:
            raise ProviderObjectNotFound(provider="openai", kind="file", id=id)
        return id

    for oldest_first in (True, False):
        found, after = [], ""
        while True:
            page = await owners.page(place(after=after, oldest_first=oldest_first), get)
            found += page.objects
            after = page.end
            if not after:
                break
        assert sorted(found) == ["file-0", "file-1", "file-3", "file-4"]
        assert (found[0] < found[-1]) is oldest_first


async def test_page_goes_on_behind_an_object_that_is_gone(owners: ObjectOwners) -> None:
    for number in range(3):
        await owners.add("openai", "file", f"file-{number}", ACME)
    await owners.objects.remove("openai", "file-1")

    async def get(id: str) -> str:
        return id

    page = await owners.page(place(after="file-1", oldest_first=True), get)
    assert page.objects == ["file-2"]


@pytest.mark.parametrize("after", ["nobodys", "other-1", "a\0b"])
async def test_page_behind_what_the_tenant_does_not_have_is_refused(owners: ObjectOwners, after: str) -> None:
    await owners.add("openai", "file", "other-1", RIVAL)

    async def get(id: str) -> str:
        return id

    with pytest.raises(InvalidFields, match="page_token"):
        await owners.page(place(after=after), get)


def named(options: dict[str, Any]) -> set[Reference]:
    return references(json.dumps(options))


async def test_options_name_objects_that_are_the_callers_own(database: Database) -> None:
    owners = ObjectOwners(ProviderObjects(database), ["vs_handbook", "cachedContents/*"])
    await owners.add("openai", "file", "file-1", ACME)
    row = Execution(id="1", request_id="1", attempt=1, provider="openai", model="m", tenant_id="acme")
    row.operation, row.state = Operation.OPERATION_COMPLETION, ExecutionState.EXECUTION_STATE_SUCCEEDED
    row.provider_response_id = "resp_1"
    row.create_time.GetCurrentTime()
    await Executions(database).save([row])
    for options in ({"file_ids": ["file-1"]}, {"previous_response_id": "resp_1"}):
        await owners.check_references("openai", named(options), ACME)
        for call, provider in ((RIVAL, "openai"), (KEY_OF_DEFAULT, "openai"), (ACME, "azure")):
            with pytest.raises(ProviderObjectNotFound):
                await owners.check_references(provider, named(options), call)


async def test_options_name_objects_that_are_everybodys(database: Database) -> None:
    owners = ObjectOwners(ProviderObjects(database), ["vs_handbook", "cachedContents/*"])
    shared = {"vector_store_ids": ["vs_handbook"], "cached_content": "cachedContents/1"}
    await owners.check_references("openai", named(shared), RIVAL)
    for id in ("vs_handbook2", "xvs_handbook", "cachedContents"):
        with pytest.raises(ProviderObjectNotFound) as raised:
            await owners.check_references("openai", named({"vector_store_ids": [id]}), RIVAL)
        assert str(raised.value) == f"provider openai has no vector store '{id}'"
    await ObjectOwners(ProviderObjects(database)).check_references("x", named(shared), NOBODY_ASKED)
