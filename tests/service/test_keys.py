"""Keys, tenants and the audit log through the channel, on both databases."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from time import monotonic
from typing import Any

import grpc
import pytest
import pytest_asyncio
import sqlalchemy as sa
from google.protobuf.field_mask_pb2 import FieldMask

from genai_spine.access import authentication
from genai_spine.v1 import audit_service_pb2 as audit
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import key_service_pb2 as pb
from genai_spine.v1 import media_service_pb2, provider_batch_service_pb2, provider_file_service_pb2
from genai_spine.v1 import tenant_service_pb2 as tenants
from tests.databases import BOTH
from tests.service.keyed import Keyed, bearer, keyed
from tests.service.running import Upstreams, asked, running

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(autouse=True)
def _reset(upstreams: Upstreams) -> None:
    """Nothing scripted."""


ALIASES = {"fast": "openai:gpt-4o-mini|builtin:extractive", "smart": "openai:gpt-4o"}
GROUPS = {"cheap": ("gpt-4o-mini", "extractive")}
Refused = grpc.aio.AioRpcError


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def server(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Keyed]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    async with keyed(all_upstreams, url, model_aliases=ALIASES, access_groups=GROUPS) as found:
        yield found


async def _code(call: Any) -> tuple[grpc.StatusCode, str]:
    """Code and text that a call ends with."""
    try:
        await call
    except Refused as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


async def _complete(server: Keyed, secret: str, **fields: Any) -> tuple[grpc.StatusCode, str]:
    request = asked(**fields)
    return await _code(server.service.completions.CreateCompletion(request, metadata=bearer(secret)))


class TestSecrets:
    async def test_a_secret_is_shown_once_and_its_digest_is_stored(self, server: Keyed):
        made = await server.key("completions:read")
        assert made.secret.startswith("gs_live_")
        assert len(made.secret) == len("gs_live_") + 43
        assert made.secret.startswith(made.key.prefix)
        request = pb.GetKeyRequest(key_id=made.key.id)
        assert await server.keys.GetKey(request, metadata=bearer(server.admin)) == made.key
        async with server.service.database.connect() as connection:
            rows = (await connection.execute(sa.text("SELECT * FROM api_keys"))).all()
        assert made.secret[12:] not in repr(rows)
        assert authentication.digest_of(made.secret) in repr(rows)

    async def test_prefixes_say_what_a_key_is_for(self, server: Keyed):
        assert (await server.key(test=True)).secret.startswith("gs_test_")
        assert (await server.key(service_name="indexer")).secret.startswith("gs_service_")

    async def test_an_older_clients_scope_is_enough_to_complete(self, server: Keyed):
        made = await server.key()
        assert list(made.key.scopes) == ["completions:read"]
        assert await _complete(server, made.secret) == (grpc.StatusCode.OK, "")

    async def test_both_headers_of_sdks_are_taken(self, server: Keyed):
        made = await server.key("keys:admin")
        for metadata in (bearer(made.secret), [("x-api-key", made.secret)]):
            assert await _code(server.keys.ListKeys(pb.ListKeysRequest(), metadata=metadata)) == (
                grpc.StatusCode.OK,
                "",
            )
        # Of a proxy in front, which has a password of its own.
        both = [("authorization", "Basic dXNlcjpwYXNz"), ("x-api-key", made.secret)]
        assert (await _code(server.keys.ListKeys(pb.ListKeysRequest(), metadata=both)))[0].name == "OK"

    async def test_a_rotated_key_has_two_secrets_for_its_overlap(self, server: Keyed):
        made = await server.key()
        first = made.secret
        request = pb.RotateKeyRequest(key_id=made.key.id, overlap_s=60)
        second = await server.keys.RotateKey(request, metadata=bearer(server.admin))
        assert second.key.id == made.key.id
        assert second.key.previous_prefix == made.key.prefix
        assert [(await _complete(server, one))[0].name for one in (first, second.secret)] == ["OK", "OK"]
        request = pb.RotateKeyRequest(key_id=made.key.id, overlap_s=0)
        third = await server.keys.RotateKey(request, metadata=bearer(server.admin))
        states = [(await _complete(server, one))[0].name for one in (first, second.secret, third.secret)]
        assert states == ["UNAUTHENTICATED", "UNAUTHENTICATED", "OK"]

    async def test_an_overlap_ends(self, server: Keyed):
        made = await server.key()
        request = pb.RotateKeyRequest(key_id=made.key.id, overlap_s=1)
        await server.keys.RotateKey(request, metadata=bearer(server.admin))
        assert (await _complete(server, made.secret))[0] == grpc.StatusCode.OK
        await asyncio.sleep(1 + authentication.STALE_S)
        assert (await _complete(server, made.secret))[0] == grpc.StatusCode.UNAUTHENTICATED

    async def test_a_revoked_key_ends_at_once_here_and_soon_elsewhere(
        self, server: Keyed, all_upstreams: Upstreams
    ):
        made = await server.key()
        url = server.service.database_url
        async with running(all_upstreams, url, auth="on", secret_key="ab" * 32) as other:
            both = (server.service, other)
            for service in both:
                await service.completions.CreateCompletion(asked(), metadata=bearer(made.secret))
            request = pb.RevokeKeyRequest(key_id=made.key.id)
            revoked = await server.keys.RevokeKey(request, metadata=bearer(server.admin))
            assert revoked.HasField("revoke_time")
            assert (await _complete(server, made.secret))[0] == grpc.StatusCode.UNAUTHENTICATED
            begun = monotonic()
            metadata = bearer(made.secret)
            # A caller that never pauses keeps what is known of its key busy.
            while (await _code(other.completions.CreateCompletion(asked(), metadata=metadata)))[
                0
            ].name == "OK":
                assert monotonic() - begun < 2.5
                await asyncio.sleep(0.02)
        again = pb.RotateKeyRequest(key_id=made.key.id)
        code, text = await _code(server.keys.RotateKey(again, metadata=bearer(server.admin)))
        assert (code, text) == (grpc.StatusCode.ALREADY_EXISTS, "key_id: the key is revoked")

    async def test_the_last_use_is_written(self, server: Keyed):
        made = await server.key()
        assert not made.key.HasField("last_use_time")
        await _complete(server, made.secret)
        authenticator = server.service.server.lifecycle.authenticator
        assert authenticator is not None
        await authenticator._write_uses()
        request = pb.GetKeyRequest(key_id=made.key.id)
        found = await server.keys.GetKey(request, metadata=bearer(server.admin))
        assert found.HasField("last_use_time")

    async def test_many_calls_with_a_cold_key_ask_the_database_once(
        self, server: Keyed, monkeypatch: pytest.MonkeyPatch
    ):
        made = await server.key("keys:admin")
        authenticator: Any = server.service.server.lifecycle.authenticator
        read, count = authenticator._lookups._by_digests, 0

        async def counted(digests: Sequence[str]) -> Any:
            nonlocal count
            count += 1
            await asyncio.sleep(0.3)  # all that is asked for at once has arrived
            return await read(digests)

        monkeypatch.setattr(authenticator._lookups, "_by_digests", counted)
        key = bearer(made.secret)
        await asyncio.gather(*(server.keys.ListKeys(pb.ListKeysRequest(), metadata=key) for _ in range(50)))
        assert count == 1
        key = bearer("gs_live_" + "B" * 43)
        wrong = [_code(server.keys.ListKeys(pb.ListKeysRequest(), metadata=key)) for _ in range(50)]
        assert {code.name for code, _ in await asyncio.gather(*wrong)} == {"UNAUTHENTICATED"}
        assert count == 2
        flood = [f"gs_live_{number:043}" for number in range(200)]
        wrong = [_code(server.keys.ListKeys(pb.ListKeysRequest(), metadata=bearer(one))) for one in flood]
        honest = server.keys.ListKeys(pb.ListKeysRequest(), metadata=bearer(server.admin))
        assert {code.name for code, _ in await asyncio.gather(*wrong)} == {"UNAUTHENTICATED"}
        assert (await _code(honest))[0].name == "OK"
        assert count < 2 + len(flood) / 2


class TestPermissions:
    @pytest.mark.parametrize(
        ("permissions", "model", "told"),
        [
            ({"allowed_models": ["gpt-4o-mini"]}, "gpt-4o", "the key may not use model gpt-4o"),
            ({"allowed_models": ["gpt-4o*"]}, "gpt-4o", ""),
            ({"allowed_models": ["openai:gpt-4o"]}, "gpt-4o", ""),
            ({"allowed_models": ["GPT-4O"]}, "gpt-4o", ""),
            ({"allowed_models": ["gpt-4.*"]}, "gpt-4o", "the key may not use model gpt-4o"),
            ({"denied_models": ["*4o*"]}, "gpt-4o", "the key may not use model gpt-4o"),
            (
                {"denied_models": ["*4o*"], "allowed_models": ["gpt-4o"]},
                "gpt-4o",
                "the key may not use model gpt-4o",
            ),
            ({"allowed_models": ["smart"]}, "smart", ""),
            ({"allowed_models": ["smart"]}, "gpt-4o", "the key may not use model gpt-4o"),
            ({"denied_models": ["gpt-4o"]}, "smart", "the key may not use model smart"),
            ({"allowed_models": ["@cheap"]}, "gpt-4o-mini", ""),
            ({"allowed_models": ["@cheap"]}, "gpt-4o", "the key may not use model gpt-4o"),
            ({"allowed_models": ["@gone"]}, "gpt-4o", "the key may not use model gpt-4o"),
            ({"denied_models": ["@gone"]}, "gpt-4o", "the key may not use model gpt-4o"),
            ({"denied_providers": ["openai"]}, "gpt-4o", "the key may not use provider openai"),
            ({"allowed_providers": ["builtin"]}, "gpt-4o", "the key may not use provider openai"),
            ({"allowed_lanes": ["batch"]}, "gpt-4o", "the key may not use lane cpu"),
            ({"denied_lanes": ["cpu"]}, "gpt-4o", "the key may not use lane cpu"),
            ({"allowed_lanes": ["cpu"]}, "gpt-4o", ""),
        ],
    )
    async def test_a_key_uses_what_it_may(
        self, server: Keyed, permissions: dict[str, list[str]], model: str, told: str
    ):
        made = await server.key(permissions=pb.KeyPermissions(**permissions))
        code, text = await _complete(server, made.secret, model=model)
        expected = grpc.StatusCode.PERMISSION_DENIED if told else grpc.StatusCode.OK
        assert (code, text) == (expected, told)

    async def test_an_alias_is_left_with_its_models_that_may_be_used(self, server: Keyed):
        made = await server.key(permissions=pb.KeyPermissions(denied_providers=["openai"]))
        answer = await server.service.completions.CreateCompletion(
            asked(model="fast"), metadata=bearer(made.secret)
        )
        assert answer.provider == "builtin"

    async def test_a_fallback_is_no_way_round(self, server: Keyed, upstreams: Upstreams):
        """What is allowed by the name of the request is not what the request falls back to."""
        made = await server.key(permissions=pb.KeyPermissions(allowed_models=["smart", "gpt-4o"]))
        upstreams.openai.unknown_models.add("gpt-4o")
        for model in ("smart", "gpt-4o"):
            request = asked(model=model)
            request.routing.fallback_models.append("builtin:extractive")
            code, _ = await _code(
                server.service.completions.CreateCompletion(request, metadata=bearer(made.secret))
            )
            assert code == grpc.StatusCode.NOT_FOUND

    async def test_vectors_images_and_files_ask_too(self, server: Keyed):
        only = await server.key(
            "completions:write",
            "files:read",
            "runs:write",
            permissions=pb.KeyPermissions(allowed_models=["gpt-4o"]),
        )
        other = await server.key("files:read", permissions=pb.KeyPermissions(denied_providers=["openai"]))
        embeddings = completions.CreateEmbeddingsRequest(
            inputs=[{"text": "a"}], model="text-embedding-3-small"
        )
        call = server.service.completions.CreateEmbeddings(embeddings, metadata=bearer(only.secret))
        assert (await _code(call))[0] == grpc.StatusCode.PERMISSION_DENIED
        image = media_service_pb2.CreateImagesRequest(prompt="a", model="gpt-image-1")
        call = server.service.media.CreateImages(image, metadata=bearer(only.secret))
        assert (await _code(call))[0] == grpc.StatusCode.PERMISSION_DENIED
        files = provider_file_service_pb2.ListFilesRequest(provider="openai")
        call = server.service.files.ListFiles(files, metadata=bearer(other.secret))
        assert await _code(call) == (grpc.StatusCode.PERMISSION_DENIED, "the key may not use provider openai")
        batch = provider_batch_service_pb2.CreateBatchRequest(
            provider="openai", input_file_id="file-1", endpoint="/v1/chat/completions"
        )
        call = server.service.batches.CreateBatch(batch, metadata=bearer(only.secret))
        assert (await _code(call))[0] == grpc.StatusCode.PERMISSION_DENIED


class TestAdministration:
    async def test_nobody_gives_what_it_does_not_have(self, server: Keyed):
        clerk = await server.key("keys:admin", "prompts:read")
        code, text = await _code(server.key("admin", by=clerk.secret))
        assert code == grpc.StatusCode.PERMISSION_DENIED
        assert text.startswith("the key lacks the scope")
        assert (await _code(server.key("prompts:*", by=clerk.secret)))[
            1
        ] == "the key lacks the scope prompts:write"
        assert (await server.key("prompts:read", by=clerk.secret)).secret
        mightier = await server.key("admin")
        for call in (
            server.keys.RotateKey(pb.RotateKeyRequest(key_id=mightier.key.id), metadata=bearer(clerk.secret)),
            server.keys.RevokeKey(pb.RevokeKeyRequest(key_id=mightier.key.id), metadata=bearer(clerk.secret)),
            server.keys.UpdateKey(
                pb.UpdateKeyRequest(key_id=clerk.key.id, key=pb.ApiKey(scopes=["admin"])),
                metadata=bearer(clerk.secret),
            ),
            server.keys.UpdateKey(
                pb.UpdateKeyRequest(key_id=mightier.key.id, key=pb.ApiKey(name="mine")),
                metadata=bearer(clerk.secret),
            ),
        ):
            assert (await _code(call))[0] == grpc.StatusCode.PERMISSION_DENIED

    async def test_a_limited_key_makes_no_unlimited_one(self, server: Keyed):
        limits = pb.KeyPermissions(allowed_models=["gpt-4o-mini"])
        clerk = await server.key("keys:admin", permissions=limits)
        assert (await _code(server.key("keys:admin", by=clerk.secret)))[
            0
        ] == grpc.StatusCode.PERMISSION_DENIED
        assert (await server.key("keys:admin", by=clerk.secret, permissions=limits)).secret

    async def test_keys_of_another_tenant_are_not_there(self, server: Keyed):
        await server.tenant("acme")
        theirs = await server.key("keys:admin", tenant="acme")
        assert theirs.key.tenant_id == "acme"
        ours = await server.key()
        for request, method in (
            (pb.GetKeyRequest(key_id=ours.key.id), server.keys.GetKey),
            (pb.RotateKeyRequest(key_id=ours.key.id), server.keys.RotateKey),
            (pb.RevokeKeyRequest(key_id=ours.key.id), server.keys.RevokeKey),
            (pb.UpdateKeyRequest(key_id=ours.key.id, key=pb.ApiKey(name="x")), server.keys.UpdateKey),
        ):
            code, text = await _code(method(request, metadata=bearer(theirs.secret)))
            assert (code, text) == (grpc.StatusCode.NOT_FOUND, f"no key '{ours.key.id}'")
        listed = await server.keys.ListKeys(pb.ListKeysRequest(), metadata=bearer(theirs.secret))
        assert [key.id for key in listed.keys] == [theirs.key.id]

    async def test_projects_and_changes_of_another_tenant_are_not_there(self, server: Keyed):
        for tenant in ("initech", "umbrella"):
            await server.tenant(tenant)
        ours, theirs = [
            bearer((await server.key("keys:admin", tenant=tenant)).secret)
            for tenant in ("initech", "umbrella")
        ]
        request = tenants.CreateProjectRequest(project=tenants.Project(id="secret"))
        await server.tenants.CreateProject(request, metadata=ours)
        renamed = tenants.UpdateProjectRequest(project_id="secret", project=tenants.Project(name="x"))
        for call in (
            server.tenants.GetProject(tenants.GetProjectRequest(project_id="secret"), metadata=theirs),
            server.tenants.UpdateProject(renamed, metadata=theirs),
        ):
            assert await _code(call) == (grpc.StatusCode.NOT_FOUND, "no project 'secret'")
        listed = await server.tenants.ListProjects(tenants.ListProjectsRequest(), metadata=theirs)
        assert list(listed.projects) == []
        await server.tenants.CreateProject(request, metadata=theirs)  # the same name, and no conflict
        entries = await server.audit.ListAuditEntries(audit.ListAuditEntriesRequest(), metadata=theirs)
        assert [entry.tenant_id for entry in entries.entries] == ["umbrella"] * 2
        parts = server.audit.ExportAuditEntries(audit.ListAuditEntriesRequest(), metadata=theirs)
        assert b"initech" not in b"".join([part.data async for part in parts])
        # Tenants are the operator's alone.
        for call in (
            server.tenants.ListTenants(tenants.ListTenantsRequest(), metadata=theirs),
            server.tenants.GetTenant(tenants.GetTenantRequest(tenant_id="umbrella"), metadata=theirs),
        ):
            assert (await _code(call))[0] == grpc.StatusCode.PERMISSION_DENIED

    async def test_another_tenant_is_acted_for_only_with_the_scope(self, server: Keyed):
        await server.tenant("globex")
        plain = await server.key("keys:admin")
        service = await server.key("keys:admin", "tenants:act", service_name="backend")
        metadata = [*bearer(plain.secret), ("x-tenant-id", "globex")]
        code, text = await _code(server.keys.ListKeys(pb.ListKeysRequest(), metadata=metadata))
        assert code == grpc.StatusCode.PERMISSION_DENIED
        assert text == "the key is not of tenant 'globex', and has no scope tenants:act"
        own = [*bearer(plain.secret), ("x-tenant-id", "default-tenant")]
        assert (await _code(server.keys.ListKeys(pb.ListKeysRequest(), metadata=own)))[0].name == "OK"
        token = [("x-service-name", "backend"), ("x-service-token", service.secret)]
        acting = [*token, ("x-tenant-id", "globex")]
        listed = await server.keys.ListKeys(pb.ListKeysRequest(), metadata=acting)
        assert list(listed.keys) == []
        nowhere = [*token, ("x-tenant-id", "nowhere")]
        assert await _code(server.keys.ListKeys(pb.ListKeysRequest(), metadata=nowhere)) == (
            grpc.StatusCode.NOT_FOUND,
            "no tenant 'nowhere'",
        )

    async def test_two_editors_do_not_overwrite_each_other(self, server: Keyed):
        made = await server.key()
        metadata = bearer(server.admin)
        first = pb.UpdateKeyRequest(key_id=made.key.id, key=pb.ApiKey(name="first", etag=made.key.etag))
        changed = await server.keys.UpdateKey(first, metadata=metadata)
        assert changed.name == "first"
        second = pb.UpdateKeyRequest(key_id=made.key.id, key=pb.ApiKey(name="second", etag=made.key.etag))
        assert (await _code(server.keys.UpdateKey(second, metadata=metadata)))[0] == grpc.StatusCode.ABORTED

    async def test_a_change_keeps_what_its_mask_does_not_name(self, server: Keyed):
        limits = pb.KeyPermissions(allowed_models=["gpt-4o"])
        made = await server.key("completions:read", "files:read", permissions=limits)
        request = pb.UpdateKeyRequest(
            key_id=made.key.id, key=pb.ApiKey(), update_mask=FieldMask(paths=["permissions"])
        )
        changed = await server.keys.UpdateKey(request, metadata=bearer(server.admin))
        assert not changed.HasField("permissions")
        assert list(changed.scopes) == ["completions:read", "files:read"]
        assert changed.name == made.key.name
        # What cannot be changed says so.
        request = pb.UpdateKeyRequest(
            key_id=made.key.id, key=pb.ApiKey(test=True), update_mask=FieldMask(paths=["test"])
        )
        code, _ = await _code(server.keys.UpdateKey(request, metadata=bearer(server.admin)))
        assert code == grpc.StatusCode.INVALID_ARGUMENT

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"name": ""}, "key.name"),
            ({"scopes": ["everything"]}, "key.scopes[0]"),
            ({"scopes": ["*"]}, "key.scopes[0]"),
            ({"project_id": "NO"}, "key.project_id"),
            ({"service_name": "a b"}, "key.service_name"),
        ],
    )
    async def test_what_cannot_be_is_named(self, server: Keyed, fields: dict[str, Any], field: str):
        request = pb.CreateKeyRequest(key=pb.ApiKey(**{"name": "x", **fields}))
        code, text = await _code(server.keys.CreateKey(request, metadata=bearer(server.admin)))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert text.startswith(f"{field}: ")

    async def test_lists_have_pages(self, server: Keyed):
        await server.tenant("pages")
        made = [await server.key(tenant="pages") for _ in range(5)]
        metadata = [*bearer(server.admin), ("x-tenant-id", "pages")]
        found, token = [], None
        while token != "":
            request = pb.ListKeysRequest(page_size=2, page_token=token)
            page = await server.keys.ListKeys(request, metadata=metadata)
            assert len(page.keys) <= 2
            found += [key.id for key in page.keys]
            token = page.next_page_token
        assert found == [one.key.id for one in reversed(made)]

    async def test_a_project_is_of_its_tenant_and_can_be_disabled(self, server: Keyed):
        metadata = bearer(server.admin)
        request = tenants.CreateProjectRequest(project=tenants.Project(id="search"))
        project = await server.tenants.CreateProject(request, metadata=metadata)
        assert (project.tenant_id, project.name) == ("default-tenant", "search")
        assert (await _code(server.tenants.CreateProject(request, metadata=metadata)))[
            0
        ].name == "ALREADY_EXISTS"
        code, text = await _code(server.key(project_id="absent"))
        assert (code, text) == (grpc.StatusCode.NOT_FOUND, "no project 'absent'")
        made = await server.key(project_id="search")
        assert (await _complete(server, made.secret))[0].name == "OK"
        disabling = tenants.UpdateProjectRequest(project_id="search", project=tenants.Project(disabled=True))
        await server.tenants.UpdateProject(disabling, metadata=metadata)
        assert (await _complete(server, made.secret))[0].name == "UNAUTHENTICATED"

    async def test_who_disables_its_own_tenant_is_refused(self, server: Keyed):
        request = tenants.UpdateTenantRequest(
            tenant_id="default-tenant", tenant=tenants.Tenant(disabled=True)
        )
        code, _ = await _code(server.tenants.UpdateTenant(request, metadata=bearer(server.admin)))
        assert code == grpc.StatusCode.ALREADY_EXISTS


class TestAudit:
    async def test_every_change_is_written_with_its_actor(self, server: Keyed):
        clerk = await server.key("keys:admin", "completions:read")
        made = await server.key(by=clerk.secret)
        metadata = bearer(clerk.secret)
        await server.keys.RotateKey(pb.RotateKeyRequest(key_id=made.key.id), metadata=metadata)
        await server.keys.RevokeKey(pb.RevokeKeyRequest(key_id=made.key.id), metadata=metadata)
        request = audit.ListAuditEntriesRequest(target=f"key:{made.key.id}")
        listed = await server.audit.ListAuditEntries(request, metadata=metadata)
        assert [entry.action for entry in listed.entries] == ["keys.revoke", "keys.rotate", "keys.create"]
        assert {entry.actor for entry in listed.entries} == {f"key:{clerk.key.id}"}
        assert all(entry.intact and entry.request_id for entry in listed.entries)
        assert made.secret not in str(listed)
        of_keys = audit.ListAuditEntriesRequest(action="keys.", actor="command-line")
        first = await server.audit.ListAuditEntries(of_keys, metadata=metadata)
        assert [entry.action for entry in first.entries] == ["keys.bootstrap"]

    async def test_a_change_in_the_database_shows(self, server: Keyed):
        made = await server.key()
        statement = "UPDATE audit_log SET actor = 'nobody' WHERE target = :target"
        async with server.service.database.begin() as connection:
            await connection.execute(sa.text(statement), {"target": f"key:{made.key.id}"})
        request = audit.ListAuditEntriesRequest(target=f"key:{made.key.id}")
        [entry] = (await server.audit.ListAuditEntries(request, metadata=bearer(server.admin))).entries
        assert not entry.intact

    async def test_all_of_it_is_exported_as_lines(self, server: Keyed):
        for _ in range(11):
            await server.key()
        request = audit.ListAuditEntriesRequest(action="keys.create")
        listed, token = [], None
        while token != "":
            page = audit.ListAuditEntriesRequest(action="keys.create", page_size=3, page_token=token)
            answer = await server.audit.ListAuditEntries(page, metadata=bearer(server.admin))
            listed += [entry.id for entry in answer.entries]
            token = answer.next_page_token
        parts = [
            part async for part in server.audit.ExportAuditEntries(request, metadata=bearer(server.admin))
        ]
        assert parts[0].content_type == "application/x-ndjson"
        lines = b"".join(part.data for part in parts).splitlines()
        assert [json.loads(line)["id"] for line in lines] == listed
        assert len(listed) == len(set(listed)) > 10


async def test_no_key_is_in_the_log(server: Keyed, capfd: pytest.CaptureFixture[str]):
    made = await server.key()
    await _complete(server, made.secret)
    await _complete(server, "gs_live_" + "C" * 43)
    await _complete(server, made.secret, model="nobody:has-it")
    await server.service.idle()
    out, err = capfd.readouterr()
    assert made.key.id in out + err
    for secret in (made.secret, server.admin, "C" * 43, "ab" * 32):
        assert secret not in out + err


async def test_a_key_is_ignored_while_nobody_is_asked(all_upstreams: Upstreams, sqlite_url: str):
    async with running(all_upstreams, sqlite_url) as service:
        for value in ("Bearer gs_live_" + "A" * 43, "Bearer sk-of-somebody-else", "' OR 1=1"):
            await service.completions.CreateCompletion(asked(), metadata=[("authorization", value)])
        await service.completions.CreateCompletion(asked(), metadata=[("x-api-key", "x")])
