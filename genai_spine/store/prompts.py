"""Prompts, versions and labels: all their SQL, and the only mapping of a row to a message.

A tenant sees its own prompts, and those that come with the service, which are the default tenant's. Where
both have a slug, its own one is meant.

A change is one transaction that first locks the prompt's row by counting its revision up, then reads it,
so two changes at once come one after the other on both databases, and neither overwrites the other.
"""

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from google.protobuf.json_format import MessageToDict, ParseDict
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.call import DEFAULT_TENANT
from genai_spine.errors import Conflict, EtagMismatch, PromptNotFound
from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd, behind
from genai_spine.store.tables import prompt_labels, prompt_versions, prompts
from genai_spine.v1.prompt_service_pb2 import ListPromptsRequest, Prompt, PromptVersion

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
SLUG = re.compile(r"[a-z0-9-]{1,255}")
LATEST = "latest"  # the label that nobody sets
# Fields of a version besides variables and output_schema, which are JSON columns.
CONTENT = (
    *("system_prompt", "user_prompt_template"),
    *("preferred_provider", "preferred_model", "temperature", "max_tokens"),
)
_TEXTS = ("name", "slug", "description", "category", "created_by")
_FLAGS = ("is_system", "is_public", "is_active")
INSERT_VERSION = sa.insert(prompt_versions)


class PromptRows:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: str, tenant: str) -> Prompt | None:
        """Prompt by id, active or not, or by the slug of an active one. None: the tenant sees none."""
        if (found := _found(key, tenant)) is None:
            return None
        query = sa.select(prompts).where(prompts.c.id == found)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                return None
            prompt = _prompt(row)
            await _add_labels(connection, [prompt])
        return prompt

    async def page(
        self, request: ListPromptsRequest, tenant: str, size: int, after: PageEnd | None = None
    ) -> tuple[list[Prompt], int]:
        """Page of matching prompts that a tenant sees, behind a place if one is given, and the total."""
        found = [*_seen_by(tenant), *_filters(request)]
        query = sa.select(prompts).where(*found, *behind(after, prompts.c.updated_at, prompts.c.id))
        query = query.order_by(prompts.c.updated_at.desc(), prompts.c.id.desc())
        counted = sa.select(sa.func.count()).select_from(prompts).where(*found)
        async with self._database.connect() as connection:
            total = (await connection.execute(counted)).scalar_one()
            rows = (await connection.execute(query.limit(size).offset(request.offset))).mappings()
            page = [_prompt(row) for row in rows]
            await _add_labels(connection, page)
        return page, total

    async def versions(
        self, prompt_id: str, size: int, *, offset: int = 0, before: int | None = None
    ) -> list[PromptVersion]:
        """Versions of a prompt, newest first; with `before`, those older than this number."""
        query = sa.select(prompt_versions).where(prompt_versions.c.prompt_id == prompt_id)
        if before is not None:
            query = query.where(prompt_versions.c.version < before)
        query = query.order_by(prompt_versions.c.version.desc()).limit(size).offset(offset)
        async with self._database.connect() as connection:
            return [_version(row) for row in (await connection.execute(query)).mappings()]

    async def version(self, prompt_id: str, number: int) -> PromptVersion | None:
        async with self._database.connect() as connection:
            return await _one_version(connection, prompt_id, number)

    @asynccontextmanager
    async def changing(self, tenant: str, *, keep: bool = True) -> AsyncIterator["Changes"]:
        """Transaction of a tenant's changes, rolled back at its end unless keep.

        Raises Conflict when it would give two active prompts one slug.
        """
        try:
            async with self._database.begin() as connection:
                yield Changes(connection, tenant)
                if not keep:
                    await connection.rollback()
        except IntegrityError as error:
            raise _taken() from error


class Changes:
    """Operations of a tenant's transaction. Prompts that it locks stay locked until its end."""

    def __init__(self, connection: AsyncConnection, tenant: str) -> None:
        self._connection = connection
        self.tenant = tenant

    async def locked(self, key: str, etag: str | None = None) -> Prompt:
        """The prompt, with the etag that it has after this change.

        Raises PromptNotFound, or EtagMismatch when its etag until now was another one.
        """
        found = _found(key, self.tenant)
        lock = sa.update(prompts).values(revision=prompts.c.revision + 1).returning(prompts)
        row = None
        if found is not None:
            # The key's condition once more: the row may have changed before it was locked.
            lock = lock.where(prompts.c.id == found, _has_key(key))
            row = (await self._connection.execute(lock)).mappings().one_or_none()
        if row is None:
            raise PromptNotFound(prompt=key)
        if etag is not None and etag != str(row["revision"] - 1):
            raise EtagMismatch(resource=f"prompt '{row['slug']}'", etag=row["revision"] - 1)
        prompt = _prompt(row)
        await _add_labels(self._connection, [prompt])
        return prompt

    async def unlocked(self, prompt: Prompt) -> Prompt:
        """Prompt that was not changed after all, with the etag that it had."""
        prompt.etag = str(int(prompt.etag) - 1)
        await self._connection.execute(
            sa.update(prompts).where(prompts.c.id == prompt.id).values(revision=int(prompt.etag))
        )
        return prompt

    async def insert(self, prompt: Prompt, *, or_leave: bool = False) -> bool:
        """Adds a prompt and its version 1; sets id (unless it has one), version, etag, times and labels.

        or_leave: False, and nothing done, where its id or slug is taken; otherwise that is a Conflict.
        """
        prompt.id = prompt.id or str(uuid4())
        prompt.version, prompt.is_active, prompt.etag = 1, True, "1"
        now = _now()
        prompt.create_time.FromDatetime(now)
        prompt.update_time.FromDatetime(now)
        if not prompt.is_system:
            await self._refuse_shadow(prompt)
        row = _row(prompt) | {"id": prompt.id, "created_at": now, "updated_at": now}
        row["tenant_id"] = self.tenant
        statement = _insert(self._connection.dialect.name, or_leave)
        added = (await self._connection.execute(statement, row)).first() is not None
        if added:
            await self._add_version(prompt, now)
            prompt.labels[LATEST] = 1
        return added

    async def save(self, prompt: Prompt, *, new_version: bool) -> None:
        """Writes a locked prompt; sets version, time and labels."""
        now = _now()
        if not prompt.is_system:
            await self._refuse_shadow(prompt)
        if new_version:
            prompt.version += 1
            prompt.labels[LATEST] = prompt.version
            await self._add_version(prompt, now)
        prompt.update_time.FromDatetime(now)
        row = _row(prompt) | {"updated_at": now}
        await self._connection.execute(sa.update(prompts).where(prompts.c.id == prompt.id).values(row))

    async def remove(self, prompt: Prompt) -> None:
        """Deletion for good, with versions and labels."""
        await self._connection.execute(sa.delete(prompts).where(prompts.c.id == prompt.id))

    async def version(self, prompt_id: str, number: int) -> PromptVersion | None:
        return await _one_version(self._connection, prompt_id, number)

    async def set_label(self, prompt: Prompt, label: str, version: int) -> None:
        await self.remove_label(prompt, label)
        row = {"prompt_id": prompt.id, "label": label, "version": version}
        await self._connection.execute(sa.insert(prompt_labels).values(row))
        prompt.labels[label] = version

    async def remove_label(self, prompt: Prompt, label: str) -> None:
        of_it = (prompt_labels.c.prompt_id == prompt.id) & (prompt_labels.c.label == label)
        await self._connection.execute(sa.delete(prompt_labels).where(of_it))
        prompt.labels.pop(label, None)

    async def _refuse_shadow(self, prompt: Prompt) -> None:
        """Raises Conflict where a prompt of the service has the slug: a tenant gives it to no other one."""
        if self.tenant == DEFAULT_TENANT:
            return  # there the index sees to it
        theirs = sa.select(prompts.c.id).where(
            prompts.c.tenant_id == DEFAULT_TENANT,
            prompts.c.slug == prompt.slug,
            prompts.c.is_active,
            prompts.c.is_system,
        )
        if (await self._connection.execute(theirs)).first() is not None:
            raise _taken()

    async def _add_version(self, prompt: Prompt, now: datetime) -> None:
        row = _content(prompt) | {
            "id": str(uuid4()),
            "prompt_id": prompt.id,
            "version": prompt.version,
            "change_notes": prompt.change_notes or None,
            "created_at": now,
        }
        await self._connection.execute(INSERT_VERSION, row)


def same_content(one: Prompt | PromptVersion, other: Prompt | PromptVersion) -> bool:
    """Whether two prompts or versions have the same content."""
    return _content(one) == _content(other)


def _now() -> datetime:
    return datetime.now(UTC)


@lru_cache
def _insert(dialect: str, or_leave: bool) -> Any:
    """Statement that gives the id of what it inserted; made once, as dozens of prompts are when a server
    starts with a new database.
    """
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = insert(prompts)
    return (statement.on_conflict_do_nothing() if or_leave else statement).returning(prompts.c.id)


def _taken() -> Conflict:
    return Conflict(field="slug", problem="another active prompt has it")


def _found(key: str, tenant: str) -> Any:
    """Query of the id of the prompt that a tenant means by a key; None: it can be nobody's id or slug."""
    if not (UUID.fullmatch(key) or SLUG.fullmatch(key)):
        return None
    query = sa.select(prompts.c.id).where(_has_key(key), *_seen_by(tenant))
    return query.order_by(prompts.c.is_system).limit(1).scalar_subquery()


def _has_key(key: str) -> "sa.ColumnElement[bool]":
    """Condition of a key, which is an id or a slug."""
    if UUID.fullmatch(key):
        return prompts.c.id == key.lower()
    return sa.and_(prompts.c.slug == key, prompts.c.is_active)


def _seen_by(tenant: str) -> list["sa.ColumnElement[bool]"]:
    """Conditions of the prompts that a tenant sees. The first one is for the index."""
    owner = prompts.c.tenant_id
    return [owner.in_({tenant, DEFAULT_TENANT}), sa.or_(owner == tenant, prompts.c.is_system)]


def _filters(request: ListPromptsRequest) -> Sequence["sa.ColumnElement[bool]"]:
    conditions: list[Any] = []
    if not request.include_inactive:
        conditions.append(prompts.c.is_active)
    if request.HasField("category"):
        conditions.append(prompts.c.category == _clean(request.category))
    for flag in ("is_system", "is_public"):
        if request.HasField(flag):
            conditions.append(prompts.c[flag] == getattr(request, flag))
    tags = {*request.tags, *request.tag}
    if tags:
        conditions.append(sa.or_(*(_has_tag(tag) for tag in sorted(tags))))
    if request.search:
        conditions.append(prompts.c.search_text.contains(_clean(request.search.casefold()), autoescape=True))
    return conditions


def _has_tag(tag: str) -> "sa.ColumnElement[bool]":
    """tags is the JSON of a list, in which `["` and `, "` stand only where an entry begins: within one, a
    quote has a backslash before it."""
    text = json.dumps(tag)
    return sa.or_(
        *(sa.func.replace(prompts.c.tags, f"{start}{text}", "") != prompts.c.tags for start in "[ ")
    )


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd")  # PostgreSQL has no NUL; nothing that is stored has it


def _row(prompt: Prompt) -> dict[str, Any]:
    """Columns of a prompt except id and times."""
    row = {name: getattr(prompt, name) if prompt.HasField(name) else None for name in _TEXTS}
    row |= {name: getattr(prompt, name) for name in _FLAGS}
    words = "\n".join((prompt.name, prompt.slug, prompt.description))
    return {
        **row,
        **_content(prompt),
        "tags": json.dumps(list(prompt.tags)),
        "version": prompt.version,
        "revision": int(prompt.etag),
        "search_text": words.casefold(),
    }


def _content(message: Prompt | PromptVersion) -> dict[str, Any]:
    """The columns that make a version."""
    row: dict[str, Any] = {}
    for name in CONTENT:
        known = name == "user_prompt_template" or message.HasField(name)
        row[name] = getattr(message, name) if known else None
    listed = [MessageToDict(variable, preserving_proto_field_name=True) for variable in message.variables]
    row["variables"] = json.dumps(listed, sort_keys=True)
    schema = message.output_schema
    row["output_schema"] = (
        json.dumps(MessageToDict(schema), sort_keys=True) if message.HasField("output_schema") else None
    )
    return row


def _fill(row: Any, message: Any, names: Sequence[str]) -> None:
    for name in names:
        if row[name] is not None:
            setattr(message, name, row[name])
    for variable in json.loads(row["variables"]):
        ParseDict(variable, message.variables.add(), ignore_unknown_fields=True)
    if row["output_schema"] is not None:
        message.output_schema.update(json.loads(row["output_schema"]))


def _prompt(row: Any) -> Prompt:
    prompt = Prompt(id=row["id"], etag=str(row["revision"]), tags=json.loads(row["tags"]))
    _fill(row, prompt, (*_TEXTS, *_FLAGS, *CONTENT, "version"))
    prompt.create_time.FromDatetime(row["created_at"])
    prompt.update_time.FromDatetime(row["updated_at"])
    return prompt


def _version(row: Any) -> PromptVersion:
    version = PromptVersion(id=row["id"], prompt_id=row["prompt_id"])
    _fill(row, version, (*CONTENT, "version", "change_notes"))
    version.create_time.FromDatetime(row["created_at"])
    return version


async def _one_version(connection: AsyncConnection, prompt_id: str, number: int) -> PromptVersion | None:
    of_it = (prompt_versions.c.prompt_id == prompt_id) & (prompt_versions.c.version == number)
    row = (await connection.execute(sa.select(prompt_versions).where(of_it))).mappings().one_or_none()
    return None if row is None else _version(row)


async def _add_labels(connection: AsyncConnection, found: Sequence[Prompt]) -> None:
    by_id = {prompt.id: prompt for prompt in found}
    for prompt in found:
        prompt.labels[LATEST] = prompt.version
    if by_id:
        query = sa.select(prompt_labels).where(prompt_labels.c.prompt_id.in_(by_id))
        for row in await connection.execute(query):
            by_id[row.prompt_id].labels[row.label] = row.version
