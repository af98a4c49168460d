"""The library of prompts: what services and capabilities read prompts from, and change them with.

pinned = await prompts.version("summarize-article")
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
from genai_spine.prompts import variables as values_of
from genai_spine.prompts.templates import Templates
from genai_spine.store.prompts import LATEST, Changes, PromptRows
from genai_spine.v1 import completion_service_pb2, message_pb2, prompt_service_pb2
from genai_spine.v1.execution_pb2 import Execution

PRODUCTION = "production"  # the label that is used, where it is set, when a caller names no version
KEPT_S = 2.0  # for so long another process's change may go unseen here
MOST_KEPT = 2000  # versions


@dataclass(frozen=True, slots=True)
class Pinned:
    """One version of a prompt. Shared between callers: do not change the messages."""

    prompt: prompt_service_pb2.Prompt
    version: prompt_service_pb2.PromptVersion

    def purpose(self, values: Mapping[str, Any], capability: str | None = None) -> Execution:
        """What the rows of the ledger say of calls that are made with it (Call.attribution)."""
        return Execution(
            capability=capability,
            prompt_id=self.prompt.id,
            prompt_version=self.version.version,
            variables_hash=values_of.digest(values),
        )


@dataclass(frozen=True, slots=True)
class Filled:
    """A version with its variables filled in."""

    pinned: Pinned
    system_prompt: str | None
    user_prompt: str
    values: dict[str, Any]  # of every declared variable; None: an optional one that has none
    defaulted: list[str]

    @property
    def messages(self) -> list[message_pb2.Message]:
        """Raises InvalidPromptVariables when nothing is said."""
        if not self.user_prompt.strip():
            raise InvalidPromptVariables(field="variables", problem="with these, the user message is empty")
        said = [_said(message_pb2.ROLE_USER, self.user_prompt)]
        if self.system_prompt:
            said.insert(0, _said(message_pb2.ROLE_SYSTEM, self.system_prompt))
        return said

    @property
    def used(self) -> dict[str, Any]:
        """The values as they stand in the text: empty where there is none."""
        return {name: "" if value is None else value for name, value in self.values.items()}

    @property
    def purpose(self) -> Execution:
        return self.pinned.purpose(self.values)

    def request(self, **options: Any) -> completion_service_pb2.CreateCompletionRequest:
        """Options that are not None go before what the version prefers."""
        version = self.pinned.version
        preferred = {
            "provider": version.preferred_provider or None,
            "model": version.preferred_model or None,
            "temperature": version.temperature if version.HasField("temperature") else None,
            "max_tokens": version.max_tokens if version.HasField("max_tokens") else None,
        }
        given = {name: value for name, value in options.items() if value is not None}
        # A provider and a model that were not chosen together need not fit.
        if "model" in given and "provider" not in given:
            preferred["provider"] = None
        if "model" not in given and given.get("provider", preferred["provider"]) != preferred["provider"]:
            preferred["model"] = None if preferred["provider"] else preferred["model"]
        return completion_service_pb2.CreateCompletionRequest(messages=self.messages, **(preferred | given))


class Prompts:
    def __init__(self, rows: PromptRows, templates: Templates | None = None) -> None:
        self.rows = rows
        self.templates = templates or Templates()
        self._kept: TTLCache[tuple[str, str | None], Pinned] = TTLCache(MOST_KEPT, KEPT_S)

    async def version(self, name: str, which: str | int | None = None) -> Pinned:
        """name: slug or id. which: number or label; None: production where that is set, else the newest.

        Raises PromptNotFound, also for a deleted prompt.
        """
        key = (name, None if which is None else str(which))
        found = self._kept.get(key)
        if found is None:
            prompt = await self.prompt(name)
            if not prompt.is_active:
                raise PromptNotFound(prompt=name)
            number = self.number(prompt, key[1])
            found = self._kept[key] = Pinned(prompt, await self.one_version(prompt, number))
        return found

    async def fill(self, pinned: Pinned, variables: Mapping[str, Any]) -> Filled:
        """Raises InvalidPromptVariables; InvalidTemplate where rendering fails or takes too much."""
        version = pinned.version
        values, defaulted = values_of.completed(version.variables, variables)
        system = None
        if version.HasField("system_prompt"):
            system = await self.templates.rendered("system_prompt", version, values)
        user = await self.templates.rendered("user_prompt_template", version, values)
        return Filled(pinned, system, user, values, defaulted)

    async def messages(self, pinned: Pinned, variables: Mapping[str, Any]) -> list[message_pb2.Message]:
        """The messages of fill(), with its errors."""
        return (await self.fill(pinned, variables)).messages

    async def prompt(self, name: str) -> prompt_service_pb2.Prompt:
        """By id, also a deleted one, or by slug. Raises PromptNotFound."""
        found = await self.rows.get(name)
        if found is None:
            raise PromptNotFound(prompt=name)
        return found

    def number(self, prompt: prompt_service_pb2.Prompt, which: str | None) -> int:
        """The number that a number or a label means. Raises PromptNotFound."""
        if which is None:
            which = PRODUCTION if PRODUCTION in prompt.labels else LATEST
        if which in prompt.labels:
            return prompt.labels[which]
        if not (which.isdecimal() and len(which) < 10):
            raise PromptNotFound(prompt=f"{prompt.slug}, version {which}")
        return int(which)

    async def one_version(
        self, prompt: prompt_service_pb2.Prompt, number: int
    ) -> prompt_service_pb2.PromptVersion:
        found = await self.rows.version(prompt.id, number)
        if found is None:
            raise PromptNotFound(prompt=f"{prompt.slug}, version {number}")
        return found

    @asynccontextmanager
    async def changing(self, *, keep: bool = True) -> AsyncIterator[Changes]:
        """One transaction, undone at its end unless keep; afterwards this process knows what it changed."""
        try:
            async with self.rows.changing(keep=keep) as changes:
                yield changes
        finally:
            self._kept.clear()

    async def close(self) -> None:
        await self.templates.close()


def _said(role: message_pb2.Role, text: str) -> message_pb2.Message:
    content = [message_pb2.ContentPart(text=text)]
    return message_pb2.Message(role=role, content=content)
