"""How a prompt may be changed: aliases and defaults, masks, protection, and when a version is made."""

import json
from collections.abc import Iterable

from google.protobuf.message import Message

from genai_spine import field_masks
from genai_spine.errors import InvalidFields, PromptNotFound, PromptProtected
from genai_spine.json_schema.validator import answer_schema
from genai_spine.prompts import variables
from genai_spine.prompts.library import Prompts
from genai_spine.store.prompts import CONTENT, LATEST, Changes, same_content
from genai_spine.v1 import prompt_service_pb2 as pb

ALIASES = {
    "template": "user_prompt_template",
    "default_model": "preferred_model",
    "default_temperature": "temperature",
}
VERSIONED = (*CONTENT, "variables", "output_schema")
EDITABLE = ("name", "slug", "description", "category", "tags", "is_public", *VERSIONED)
NEEDED = ("name", "slug", "user_prompt_template")
EMPTY_IS_UNSET = ("description", "category", "system_prompt", "preferred_provider", "preferred_model")
DEFAULT_CATEGORY, DEFAULT_TEMPERATURE = "custom", 0.7


class PromptEditor:
    def __init__(self, prompts: Prompts) -> None:
        self.prompts = prompts

    async def create(self, given: pb.Prompt, created_by: str | None) -> pb.Prompt:
        """Raises InvalidFields, InvalidTemplate, Conflict."""
        draft = self.drafted(given)
        if created_by:
            draft.created_by = created_by
        async with self.prompts.changing() as changes:
            await changes.insert(draft)
        return draft

    def drafted(self, given: pb.Prompt) -> pb.Prompt:
        """A whole prompt, with the defaults for what is not given, and checked."""
        given = settled(given)
        draft = pb.Prompt(temperature=DEFAULT_TEMPERATURE, change_notes=given.change_notes or None)
        _merge(draft, given, field_masks.set_fields(given, EDITABLE))
        self._check(draft)
        return draft

    async def update(self, request: pb.UpdatePromptRequest) -> pb.Prompt:
        """Raises InvalidFields, InvalidTemplate, PromptNotFound, PromptProtected, Conflict, EtagMismatch."""
        given = settled(request.prompt)
        fields = field_masks.chosen(request.update_mask.paths, given, EDITABLE, ALIASES)
        async with self.prompts.changing() as changes:
            prompt = await self._locked(changes, request.prompt_id, given.etag)
            return await self.changed(changes, prompt, given, fields)

    async def changed(
        self, changes: Changes, prompt: pb.Prompt, given: pb.Prompt, fields: Iterable[str]
    ) -> pb.Prompt:
        """Takes fields over into a locked prompt, and writes it when that makes a difference."""
        before = _copy(prompt)
        _merge(prompt, given, fields)
        if prompt == before:
            return await changes.unlocked(prompt)
        self._check(prompt)
        if given.change_notes:
            prompt.change_notes = given.change_notes
        await changes.save(prompt, new_version=not same_content(before, prompt))
        prompt.ClearField("change_notes")
        return prompt

    async def put(self, changes: Changes, given: pb.Prompt, created_by: str | None) -> str:
        """Makes the active prompt of given's slug equal to given: created, updated or unchanged."""
        draft = self.drafted(given)
        try:
            stored = await changes.locked(draft.slug)
        except PromptNotFound:
            if created_by:
                draft.created_by = created_by
            await changes.insert(draft)
            return "created"
        wanted = _copy(stored)
        _merge(wanted, draft, EDITABLE)
        if wanted == stored:
            await changes.unlocked(stored)
            return "unchanged"
        if stored.is_system:
            raise PromptProtected(prompt=stored.slug)
        await self.changed(changes, stored, draft, EDITABLE)
        return "updated"

    async def delete(self, request: pb.DeletePromptRequest) -> None:
        """Raises PromptNotFound, PromptProtected, EtagMismatch."""
        async with self.prompts.changing() as changes:
            prompt = await self._locked(changes, request.prompt_id, request.etag, deleted=request.hard)
            if request.hard:
                await changes.remove(prompt)
            else:
                prompt.is_active = False
                await changes.save(prompt, new_version=False)

    async def rollback(self, request: pb.RollbackPromptRequest) -> pb.Prompt:
        """Raises PromptNotFound, PromptProtected, EtagMismatch."""
        async with self.prompts.changing() as changes:
            prompt = await self._locked(changes, request.prompt_id, request.etag)
            old = await _version(changes, prompt, request.version)
            given = pb.Prompt(change_notes=f"Rolled back to version {old.version}.")
            for name in VERSIONED:
                _take(given, old, name)
            return await self.changed(changes, prompt, given, VERSIONED)

    async def set_label(self, request: pb.SetPromptLabelRequest) -> pb.Prompt:
        """Raises InvalidFields for latest, PromptNotFound, EtagMismatch."""
        if request.label == LATEST:
            raise InvalidFields([("label", f"{LATEST} moves by itself")])
        async with self.prompts.changing() as changes:
            prompt = await changes.locked(request.prompt_id, request.etag)
            _must_be_active(prompt, request.prompt_id)
            version = await _version(changes, prompt, request.version)
            if prompt.labels.get(request.label) == version.version:
                return await changes.unlocked(prompt)
            await changes.set_label(prompt, request.label, version.version)
            await changes.save(prompt, new_version=False)
        return prompt

    async def delete_label(self, request: pb.DeletePromptLabelRequest) -> None:
        """Raises PromptNotFound, EtagMismatch."""
        async with self.prompts.changing() as changes:
            prompt = await changes.locked(request.prompt_id, request.etag)
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
        problems = [(name, "is required") for name in NEEDED if not getattr(prompt, name)]
        problems += [(name, "must not hold a NUL character") for name in EDITABLE if _has_nul(prompt, name)]
        if problems:
            raise InvalidFields(problems)
        self.prompts.templates.check(prompt)
        if prompt.HasField("output_schema"):
            _check_schema(prompt)


def _check_schema(prompt: pb.Prompt) -> None:
    try:
        answer_schema(json.dumps(variables.mapping(prompt.output_schema)))
    except InvalidFields as error:
        problems = [("output_schema", problem) for _, problem in error.violations]
        raise InvalidFields(problems) from error


def settled(given: pb.Prompt) -> pb.Prompt:
    """A copy in which each value stands under its own name. Raises InvalidFields when both say different."""
    prompt = _copy(given)
    for alias, name in ALIASES.items():
        if not given.HasField(alias):
            continue
        if given.HasField(name) and getattr(given, name) != getattr(given, alias):
            raise InvalidFields([(alias, f"differs from {name}, which means the same")])
        setattr(prompt, name, getattr(given, alias))
        prompt.ClearField(alias)
    return prompt


def with_aliases(prompt: pb.Prompt) -> pb.Prompt:
    """The same prompt, with each value under all of its names."""
    for alias, name in ALIASES.items():
        if prompt.HasField(name):
            setattr(prompt, alias, getattr(prompt, name))
    return prompt


def _merge(prompt: pb.Prompt, given: pb.Prompt, fields: Iterable[str]) -> None:
    """Takes fields over, also where given has none, and completes what has a default."""
    for name in fields:
        _take(prompt, given, name)
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


def _take(prompt: pb.Prompt, given: Message, name: str) -> None:
    """One field, unset where it is unset."""
    prompt.ClearField(name)
    value = getattr(given, name)
    if given.DESCRIPTOR.fields_by_name[name].is_repeated:
        getattr(prompt, name).extend(value)
    elif isinstance(value, Message):
        if given.HasField(name):
            getattr(prompt, name).CopyFrom(value)
    elif name == "user_prompt_template" or given.HasField(name):
        setattr(prompt, name, value)


def _has_nul(prompt: pb.Prompt, name: str) -> bool:
    value = getattr(prompt, name)
    texts = [value] if isinstance(value, str) else value if name == "tags" else []
    return any("\0" in text for text in texts)


def _must_be_active(prompt: pb.Prompt, key: str) -> None:
    if not prompt.is_active:
        raise PromptNotFound(prompt=key)


async def _version(changes: Changes, prompt: pb.Prompt, number: int) -> pb.PromptVersion:
    found = await changes.version(prompt.id, number)
    if found is None:
        raise PromptNotFound(prompt=f"{prompt.slug}, version {number}")
    return found


def _copy(prompt: pb.Prompt) -> pb.Prompt:
    copy = pb.Prompt()
    copy.CopyFrom(prompt)
    return copy


def shown(message: pb.Prompt | pb.PromptVersion, name: str) -> str | None:
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
