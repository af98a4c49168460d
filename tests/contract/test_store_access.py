"""Keys, tenants and the audit log on both databases, without a server."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from genai_spine.access import secrets
from genai_spine.access.audit import AuditLog
from genai_spine.access.authentication import Authenticator, digest_of
from genai_spine.access.keys import KeyLibrary
from genai_spine.call import Call
from genai_spine.errors import Conflict, ServiceUnavailable, TenantNotFound, Unauthenticated
from genai_spine.store.access.audit import AuditRows
from genai_spine.store.access.keys import KeyRows, TakenKey
from genai_spine.store.access.tenants import ProjectRows, TenantRows
from genai_spine.store.database import Database
from genai_spine.v1 import audit_service_pb2, tenant_service_pb2
from genai_spine.v1 import key_service_pb2 as pb
from genai_spine.v1.rate_limits_pb2 import RateLimits

ROOT = secrets.parsed("ab" * 32)


def library(database: Database, root: secrets.RootSecret | None = ROOT) -> KeyLibrary:
    audit = AuditLog(AuditRows(database), root)
    return KeyLibrary(KeyRows(database), ProjectRows(database), audit)


async def test_of_several_bootstraps_at_once_one_makes_the_first_key(database_url: str):
    databases = [Database(database_url) for _ in range(4)]
    made = await asyncio.gather(*(library(database).bootstrap() for database in databases))
    assert sum(one is not None for one in made) == 1
    assert await library(databases[0]).bootstrap() is None
    async with databases[0].connect() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM api_keys"))).scalar_one() == 1
    for database in databases:
        await database.close()


async def test_a_revoked_key_is_no_reason_for_another_first_one(database: Database):
    keys = library(database)
    made = await keys.bootstrap()
    assert made is not None
    await keys.revoke(pb.RevokeKeyRequest(key_id=made.key.id), Call())
    assert await keys.bootstrap() is None


async def test_a_key_is_found_by_its_digest_until_it_ends(database: Database):
    keys = library(database)
    key = pb.ApiKey(name="x", scopes=["files:read"])
    key.expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=1))
    made = await keys.create(pb.CreateKeyRequest(key=key), Call())
    right, wrong = digest_of(made.secret), digest_of(made.secret + "A")
    taken = TakenKey(made.key, RateLimits())
    assert await keys.rows.by_digests([right]) == {right: taken}
    assert await keys.rows.by_digests([wrong]) == {}
    assert await keys.rows.by_digests([wrong, right, *map(str, range(300))]) == {right: taken}
    await asyncio.sleep(1.2)
    assert await keys.rows.by_digests([right]) == {}


async def test_both_secrets_of_a_rotated_key_are_found_while_they_overlap(database: Database):
    keys = library(database)
    first = await keys.create(pb.CreateKeyRequest(key=pb.ApiKey(name="x")), Call())
    others = [await keys.create(pb.CreateKeyRequest(key=pb.ApiKey(name="y")), Call()) for _ in range(2)]
    second = await keys.rotate(pb.RotateKeyRequest(key_id=first.key.id, overlap_s=1), Call())
    old, new, *more = (digest_of(made.secret) for made in (first, second, *others))
    found = await keys.rows.by_digests([old, new, *more])
    assert {digest: taken.key.id for digest, taken in found.items()} == {
        old: first.key.id,
        new: first.key.id,
        **{digest: made.key.id for digest, made in zip(more, others, strict=True)},
    }
    await asyncio.sleep(1.2)
    assert {*await keys.rows.by_digests([old, new])} == {new}


async def test_what_is_of_a_tenant_that_is_not_there_says_so(database: Database):
    call = Call()
    call.principal = type(call.principal)(tenant_id="nowhere")
    with pytest.raises(TenantNotFound):
        await library(database).create(pb.CreateKeyRequest(key=pb.ApiKey(name="x")), call)
    entry = library(database).audit.entry(call, "projects.create", "project:a", {})
    project = tenant_service_pb2.Project(id="a", tenant_id="nowhere")
    with pytest.raises(TenantNotFound):
        await ProjectRows(database).add(project, entry)
    ours = tenant_service_pb2.Project(id="a", tenant_id="default-tenant")
    await ProjectRows(database).add(ours, entry)
    with pytest.raises(Conflict):
        await ProjectRows(database).add(ours, entry)


async def test_a_change_that_fails_leaves_no_entry(database: Database):
    call = Call()
    entry = library(database).audit.entry(call, "tenants.create", "tenant:default-tenant", {})
    with pytest.raises(Conflict):
        await TenantRows(database).add(tenant_service_pb2.Tenant(id="default-tenant"), entry)
    listed = await library(database).audit.page(call, audit_service_pb2.ListAuditEntriesRequest())
    assert list(listed.entries) == []


async def test_seals_survive_a_rotation_of_the_root_secret_and_show_its_loss(database: Database):
    call, nothing = Call(), audit_service_pb2.ListAuditEntriesRequest()
    await library(database).audit.record(call, "budgets.set", "budget:1", {"limit_usd": 10.25, "to": "\0 é"})

    async def is_intact(root: secrets.RootSecret | None) -> bool:
        [entry] = (await AuditLog(AuditRows(database), root).page(call, nothing)).entries
        return bool(entry.intact)

    rotated = secrets.parsed("cd" * 32 + "," + "ab" * 32)
    assert [await is_intact(root) for root in (ROOT, rotated)] == [True, True]
    assert [await is_intact(root) for root in (secrets.parsed("cd" * 32), None)] == [False, False]


async def test_old_entries_are_swept_and_others_stay(database: Database):
    call = Call()
    log = library(database).audit
    for _ in range(2):
        await log.record(call, "keys.create", "key:1", {})
    async with database.begin() as connection:
        one = sa.text("SELECT id FROM audit_log LIMIT 1")
        id = (await connection.execute(one)).scalar_one()
        long_ago = sa.text("UPDATE audit_log SET expires_at = created_at WHERE id = :id")
        await connection.execute(long_ago, {"id": id})
    await asyncio.sleep(0.01)
    assert await AuditRows(database).sweep() == 1
    listed = await log.page(call, audit_service_pb2.ListAuditEntriesRequest())
    assert len(listed.entries) == 1


async def test_a_database_that_is_away_is_no_wrong_key(database: Database, monkeypatch: pytest.MonkeyPatch):
    keys = library(database)
    made = await keys.create(pb.CreateKeyRequest(key=pb.ApiKey(name="x")), Call())
    authenticator = Authenticator(KeyRows(database), TenantRows(database))
    given = {"x-api-key": made.secret}

    async def away(digests: Sequence[str]) -> None:
        raise ServiceUnavailable(cause="its database does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(authenticator._lookups, "_by_digests", away)
        with pytest.raises(ServiceUnavailable):
            await authenticator.principal(given)
    assert (await authenticator.principal(given)).key_id == made.key.id  # it was not remembered as wrong
    with pytest.raises(Unauthenticated):
        await authenticator.principal({"x-api-key": made.secret[:-1] + "_"})
    await authenticator.stop()
