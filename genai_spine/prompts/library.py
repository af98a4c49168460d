"""The library of prompts: what services and capabilities read prompts from, and change them with.

pinned = await prompts.version("summarize-article", call.principal.tenant_id)
filled = await prompts.fill(pinned, {"content": text})
call = replace(call, attribution=filled.purpose)
completion = await inference.complete(filled.request(model="gpt-4o"), call)
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache

from genai_spine.errors import InvalidPromptVariables, PromptNotFound
from genai_spine.prompts.templates import Templates
from genai_spine.prompts.variables import completed, digest
from genai_spine.store.prompts import LATEST, Changes, PromptRows
from genai_spine.v1 import completion_service_pb2, message_pb2, prompt_service_pb2
from genai_spine.v1.execution_pb2 import Execution

PRODUCTION_LABEL = "production"  # the label that is used, where it is set, when a caller names no version
CACHE_TTL_S = 2.0  # for so long another process's change may go unseen here
MAX_CACHED_VERSIONS = 2000  # versions


@dataclass(frozen=True, slots=True)
class ResolvedPrompt:
    """Prompt version that a name and a label, number or default resolved to.

    Shared between callers: do not change the messages.
    """

    prompt: prompt_service_pb2.Prompt
    version: prompt_service_pb2.PromptVersion

    def purpose(self, values: Mapping[str, Any], capability: str | None = None) -> Execution:
        """Attribution of calls made with this version (Call.attribution), for the ledger's rows."""
        return Execution(
            capability=capability,
            prompt_id=self.prompt.id,
            prompt_version=self.version.version,
            variables_hash=digest(values),
        )


@dataclass(frozen=True, slots=True)
class FilledPrompt:
    """Prompt version with its variables filled in."""

    resolved: ResolvedPrompt
    system_prompt: str | None
    user_prompt: str
    values: dict[str, Any]  # of every declared variable; None: an optional one that has none
    defaulted: list[str]

    @property
    def messages(self) -> list[message_pb2.Message]:
        """Chat messages: system prompt, if any, and user prompt.

        Raises InvalidPromptVariables (empty user prompt).
        """
        if not self.user_prompt.strip():
            raise InvalidPromptVariables(field="variables", problem="with these, the user message is empty")
        messages = [_message(message_pb2.ROLE_USER, self.user_prompt)]
        if self.system_prompt:
            messages.insert(0, _message(message_pb2.ROLE_SYSTEM, self.system_prompt))
        return messages

    @property
    def used(self) -> dict[str, Any]:
        """Values as they stand in the text: empty where a variable has none."""
        return {name: "" if value is None else value for name, value in self.values.items()}

    @property
    def purpose(self) -> Execution:
        """Attribution of calls with these values."""
        return self.resolved.purpose(self.values)

    def request(self, **options: Any) -> completion_service_pb2.CreateCompletionRequest:
        """Completion request; options that are not None win over what the version prefers."""
        version = self.resolved.version
        preferred = {
            "provider": version.preferred_provider or None,
            "model": version.preferred_model or None,
            "temperature": version.temperature if version.HasField("temperature") else None,
            "max_tokens": version.max_tokens if version.HasField("max_tokens") else None,
        }
        overrides = {name: value for name, value in options.items() if value is not None}
        # A provider and a model that were not chosen together need not fit.
        if "model" in overrides and "provider" not in overrides:
            preferred["provider"] = None
        if (
            "model" not in overrides
            and overrides.get("provider", preferred["provider"]) != preferred["provider"]
        ):
            preferred["model"] = None if preferred["provider"] else preferred["model"]
        return completion_service_pb2.CreateCompletionRequest(
            messages=self.messages, **(preferred | overrides)
        )


class PromptLibrary:
    """Prompt registry: cached reads, rendering of versions, and transactions of changes."""

    def __init__(self, rows: PromptRows, templates: Templates | None = None) -> None:
        self.rows = rows
        self.templates = templates or Templates()
        self._cache: TTLCache[tuple[str, str, str | None], ResolvedPrompt] = TTLCache(
            MAX_CACHED_VERSIONS, CACHE_TTL_S
        )

    async def version(self, name: str, tenant: str, which: str | int | None = None) -> ResolvedPrompt:
        """Version of a prompt that a tenant sees. name: slug or id. which: number or label.

        None: the production label where it is set, else the newest. Raises PromptNotFound, also when deleted.
        """
        label = None if which is None else str(which)
        key = (tenant, name, label)
        found = self._cache.get(key)
        if found is None:
            prompt = await self.prompt(name, tenant)
            if not prompt.is_active:
                raise PromptNotFound(prompt=name)
            number = self.number(prompt, label)
            found = self._cache[key] = ResolvedPrompt(prompt, await self.one_version(prompt, number))
        return found

    async def fill(self, resolved: ResolvedPrompt, variables: Mapping[str, Any]) -> FilledPrompt:
        """Rendering of a version with values.

        Raises InvalidPromptVariables; InvalidTemplate where rendering fails or takes too much.
        """
        version = resolved.version
        values, defaulted = completed(version.variables, variables)
        system = None
        if version.HasField("system_prompt"):
            system = await self.templates.rendered("system_prompt", version, values)
        user = await self.templates.rendered("user_prompt_template", version, values)
        return FilledPrompt(resolved, system, user, values, defaulted)

    async def messages(
        self, resolved: ResolvedPrompt, variables: Mapping[str, Any]
    ) -> list[message_pb2.Message]:
        """The messages of fill(), with its errors."""
        return (await self.fill(resolved, variables)).messages

    async def prompt(self, name: str, tenant: str) -> prompt_service_pb2.Prompt:
        """Prompt by id, also a deleted one, or by slug. Raises PromptNotFound."""
        found = await self.rows.get(name, tenant)
        if found is None:
            raise PromptNotFound(prompt=name)
        return found

    def number(self, prompt: prompt_service_pb2.Prompt, which: str | None) -> int:
        """Version number that a number or a label stands for. Raises PromptNotFound."""
        if which is None:
            which = PRODUCTION_LABEL if PRODUCTION_LABEL in prompt.labels else LATEST
        if which in prompt.labels:
            return prompt.labels[which]
        if not (which.isdecimal() and len(which) < 10):
            raise PromptNotFound(prompt=f"{prompt.slug}, version {which}")
        return int(which)

    async def one_version(
        self, prompt: prompt_service_pb2.Prompt, number: int
    ) -> prompt_service_pb2.PromptVersion:
        """Version by its number. Raises PromptNotFound."""
        found = await self.rows.version(prompt.id, number)
        if found is None:
            raise PromptNotFound(prompt=f"{prompt.slug}, version {number}")
        return found

    @asynccontextmanager
    async def changing(self, tenant: str, *, keep: bool = True) -> AsyncIterator[Changes]:
        """Transaction of a tenant's changes, rolled back at its end unless keep.

        Then the cache of this process is cleared.
        """
        try:
            async with self.rows.changing(tenant, keep=keep) as changes:
                yield changes
        finally:
            self._cache.clear()

    async def close(self) -> None:
        """End of the sandbox's processes."""
        await self.templates.close()


def _message(role: message_pb2.Role, text: str) -> message_pb2.Message:
    content = [message_pb2.ContentPart(text=text)]
    return message_pb2.Message(role=role, content=content)
