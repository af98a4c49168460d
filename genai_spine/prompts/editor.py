"""Prompt editor: create, update, delete, roll back and label, with defaults, field masks and protection.

A change of content makes a version; other changes do not. Prompts that come with the service are protected.
"""

import json
from collections.abc import Iterable
from typing import TypeAlias

from google.protobuf.message import Message

from genai_spine import field_masks
from genai_spine.call import DEFAULT_TENANT
from genai_spine.errors import InvalidFields, PromptNotFound, PromptProtected
from genai_spine.prompts import variables
from genai_spine.prompts.library import PromptLibrary
from genai_spine.store.prompts import CONTENT, LATEST, Changes, same_content
from genai_spine.v1 import prompt_service_pb2 as pb

VERSIONED = (*CONTENT, "variables", "output_schema")
EDITABLE = ("name", "slug", "description", "category", "tags", "is_public", *VERSIONED)
REQUIRED = ("name", "slug", "user_prompt_template")
EMPTY_IS_UNSET = ("description", "category", "system_prompt", "preferred_provider", "preferred_model")
DEFAULT_CATEGORY, DEFAULT_TEMPERATURE = "custom", 0.7


Changing: TypeAlias = (
    pb.DeletePromptRequest | pb.RollbackPromptRequest | pb.SetPromptLabelRequest | pb.DeletePromptLabelRequest
)


class PromptEditor:
    """Write operations on a tenant's prompts, each one transaction with an optional etag check."""

    def __init__(self, prompts: PromptLibrary) -> None:
        self.prompts = prompts

    async def create(self, patch: pb.Prompt, tenant: str, created_by: str | None = None) -> pb.Prompt:
        """New prompt with version 1. Raises InvalidFields, InvalidTemplate, Conflict (slug taken)."""
        draft = self.drafted(patch)
        if created_by:
            draft.created_by = created_by
        async with self.prompts.changing(tenant) as changes:
            await changes.insert(draft)
        return draft

    def drafted(self, patch: pb.Prompt) -> pb.Prompt:
        """Draft of a prompt: defaults filled in, checked.

        Raises InvalidFields, InvalidTemplate.
        """
        draft = filled_in(patch)
        self._check(draft)
        return draft

    async def update(self, request: pb.UpdatePromptRequest, tenant: str) -> pb.Prompt:
        """Update by field mask, or without one of the fields that are set.

        Raises InvalidFields, InvalidTemplate, PromptNotFound, PromptProtected, Conflict, EtagMismatch.
        """
        patch = request.prompt
        fields = field_masks.chosen(request.update_mask.paths, patch, EDITABLE)
        async with self.prompts.changing(tenant) as changes:
            prompt = await self._locked(changes, request.prompt_id, _etag(patch))
            return await self.changed(changes, prompt, patch, fields)

    async def changed(
        self, changes: Changes, prompt: pb.Prompt, patch: pb.Prompt, fields: Iterable[str]
    ) -> pb.Prompt:
        """Fields copied into a locked prompt, which is written when that makes a difference."""
        before = _copy(prompt)
        _merge(prompt, patch, fields)
        if prompt == before:
            return await changes.unlocked(prompt)
        self._check(prompt)
        if patch.change_notes:
            prompt.change_notes = patch.change_notes
        await changes.save(prompt, new_version=not same_content(before, prompt))
        prompt.ClearField("change_notes")
        return prompt

    async def put(self, changes: Changes, patch: pb.Prompt, created_by: str | None) -> str:
        """Upsert by slug: the active prompt becomes equal to patch. Returns created, updated or unchanged."""
        draft = self.drafted(patch)
        try:
            stored = await changes.locked(draft.slug)
        except PromptNotFound:
            if created_by:
                draft.created_by = created_by
            await changes.insert(draft)
            return "created"
        target = _copy(stored)
        _merge(target, draft, EDITABLE)
        if target == stored:
            await changes.unlocked(stored)
            return "unchanged"
        if stored.is_system:
            raise PromptProtected(prompt=stored.slug)
        await self.changed(changes, stored, draft, EDITABLE)
        return "updated"

    async def delete(self, request: pb.DeletePromptRequest, tenant: str) -> None:
        """Soft deletion, or with request.hard for good.

        Raises PromptNotFound, PromptProtected, EtagMismatch.
        """
        async with self.prompts.changing(tenant) as changes:
            prompt = await self._locked(changes, request.prompt_id, _etag(request), deleted=request.hard)
            if request.hard:
                await changes.remove(prompt)
            else:
                prompt.is_active = False
                await changes.save(prompt, new_version=False)

    async def rollback(self, request: pb.RollbackPromptRequest, tenant: str) -> pb.Prompt:
        """New version with the content of an old one.

        Raises PromptNotFound, PromptProtected, EtagMismatch.
        """
        async with self.prompts.changing(tenant) as changes:
            prompt = await self._locked(changes, request.prompt_id, _etag(request))
            old = await _version(changes, prompt, request.version)
            patch = pb.Prompt(change_notes=f"Rolled back to version {old.version}.")
            for name in VERSIONED:
                _copy_field(patch, old, name)
            return await self.changed(changes, prompt, patch, VERSIONED)

    async def set_label(self, request: pb.SetPromptLabelRequest, tenant: str) -> pb.Prompt:
        """Label pointed at a version.

        Raises InvalidFields for latest, PromptNotFound, PromptProtected, EtagMismatch.
        """
        if request.label == LATEST:
            raise InvalidFields([("label", f"{LATEST} moves by itself")])
        async with self.prompts.changing(tenant) as changes:
            prompt = await changes.locked(request.prompt_id, _etag(request))
            _must_be_active(prompt, request.prompt_id)
            _must_be_own(prompt, tenant)
            version = await _version(changes, prompt, request.version)
            if prompt.labels.get(request.label) == version.version:
                return await changes.unlocked(prompt)
            await changes.set_label(prompt, request.label, version.version)
            await changes.save(prompt, new_version=False)
        return prompt

    async def delete_label(self, request: pb.DeletePromptLabelRequest, tenant: str) -> None:
        """Removal of a label. Raises PromptNotFound, PromptProtected, EtagMismatch."""
        async with self.prompts.changing(tenant) as changes:
            prompt = await changes.locked(request.prompt_id, _etag(request))
            _must_be_own(prompt, tenant)
            if request.label == LATEST or request.label not in prompt.labels:
                raise PromptNotFound(prompt=f"{prompt.slug}, label {request.label}")
            await changes.remove_label(prompt, request.label)
            await changes.save(prompt, new_version=False)

    async def _locked(
        self, changes: Changes, key: str, etag: str | None, *, deleted: bool = False
    ) -> pb.Prompt:
        """A prompt that may be changed; deleted: also one that was deleted softly."""
        prompt = await changes.locked(key, etag)
        if not deleted:
            _must_be_active(prompt, key)
        if prompt.is_system:
            raise PromptProtected(prompt=prompt.slug)
        return prompt

    def _check(self, prompt: pb.Prompt) -> None:
        """Required fields, NUL characters, templates and schema. Raises InvalidFields, InvalidTemplate."""
        problems = [(name, "is required") for name in REQUIRED if not getattr(prompt, name)]
        problems += [(name, "must not hold a NUL character") for name in EDITABLE if _has_nul(prompt, name)]
        if problems:
            raise InvalidFields(problems)
        self.prompts.templates.check(prompt)
        if prompt.HasField("output_schema"):
            _check_schema(prompt)


def filled_in(patch: pb.Prompt) -> pb.Prompt:
    """Draft of a prompt with its defaults, not checked."""
    draft = pb.Prompt(temperature=DEFAULT_TEMPERATURE, change_notes=patch.change_notes or None)
    _merge(draft, patch, field_masks.set_fields(patch, EDITABLE))
    return draft


def _check_schema(prompt: pb.Prompt) -> None:
    """Check of the output schema. Raises InvalidFields (output_schema)."""
    from genai_spine.json_schema.validator import answer_schema

    try:
        answer_schema(json.dumps(variables.mapping(prompt.output_schema)))
    except InvalidFields as error:
        problems = [("output_schema", problem) for _, problem in error.violations]
        raise InvalidFields(problems) from error


def _merge(prompt: pb.Prompt, patch: pb.Prompt, fields: Iterable[str]) -> None:
    """Takes fields over, also where given has none, and completes what has a default."""
    for name in fields:
        _copy_field(prompt, patch, name)
    for name in EMPTY_IS_UNSET:
        if not getattr(prompt, name):
            prompt.ClearField(name)
    if not prompt.HasField("category"):
        prompt.category = DEFAULT_CATEGORY
    prompt.is_public = prompt.is_public
    for variable in prompt.variables:
        variable.type = variable.type or "string"
        if not variable.HasField("required"):
            variable.required = True


def _copy_field(prompt: pb.Prompt, patch: Message, name: str) -> None:
    """Copy of one field, unset where it is unset."""
    prompt.ClearField(name)
    value = getattr(patch, name)
    if patch.DESCRIPTOR.fields_by_name[name].is_repeated:
        getattr(prompt, name).extend(value)
    elif isinstance(value, Message):
        if patch.HasField(name):
            getattr(prompt, name).CopyFrom(value)
    elif name == "user_prompt_template" or patch.HasField(name):
        setattr(prompt, name, value)


def _has_nul(prompt: pb.Prompt, name: str) -> bool:
    value = getattr(prompt, name)
    texts = [value] if isinstance(value, str) else value if name == "tags" else []
    return any("\0" in text for text in texts)


def _etag(message: pb.Prompt | Changing) -> str | None:
    """Etag that a caller sent; None: none. An empty one is one that no prompt has."""
    return message.etag if message.HasField("etag") else None


def _must_be_active(prompt: pb.Prompt, key: str) -> None:
    if not prompt.is_active:
        raise PromptNotFound(prompt=key)


def _must_be_own(prompt: pb.Prompt, tenant: str) -> None:
    """Raises PromptProtected: labels of the service's prompts count for all; the default tenant sets them."""
    if prompt.is_system and tenant != DEFAULT_TENANT:
        raise PromptProtected(prompt=prompt.slug)


async def _version(changes: Changes, prompt: pb.Prompt, number: int) -> pb.PromptVersion:
    found = await changes.version(prompt.id, number)
    if found is None:
        raise PromptNotFound(prompt=f"{prompt.slug}, version {number}")
    return found


def _copy(prompt: pb.Prompt) -> pb.Prompt:
    copy = pb.Prompt()
    copy.CopyFrom(prompt)
    return copy


def field_text(message: pb.Prompt | pb.PromptVersion, name: str) -> str | None:
    """A field as text, JSON where it is none; None: unset."""
    value = getattr(message, name)
    if name == "variables":
        return _json([variables.as_dict(item) for item in value])
    if name != "user_prompt_template" and not message.HasField(name):
        return None
    if name == "output_schema":
        return _json(variables.mapping(value))
    return value if isinstance(value, str) else json.dumps(value)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
