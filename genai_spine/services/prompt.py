"""PromptService: RPCs of prompts, their versions, labels, execution, export and import.

JSON of REST callers shows blanks that older clients look for.
"""

import json
from collections.abc import AsyncGenerator
from datetime import UTC
from typing import Any, TypeVar

from google.api.httpbody_pb2 import HttpBody

from genai_spine import http_answer, page_tokens
from genai_spine.call import Call
from genai_spine.errors import InvalidFields
from genai_spine.inference.inference import Inference
from genai_spine.prompts import diff, variables, yaml_format
from genai_spine.prompts.editor import PromptEditor
from genai_spine.prompts.execution import PromptExecution
from genai_spine.prompts.library import PromptLibrary
from genai_spine.services import rest_aliases
from genai_spine.store.newest_first import PageEnd
from genai_spine.v1 import prompt_service_pb2 as pb

M = TypeVar("M", pb.Prompt, pb.PromptVersion, pb.RenderedPrompt)
DEFAULT_PAGE_SIZE, MAX_VERSIONS, ALL = 50, 200, 2**31
# JSON from the edge leaves out what is unset; existing clients look for these names all the same.
BLANKS = ("description", "system_prompt", "preferred_provider", "preferred_model")
VERSION_BLANKS = ("system_prompt", "preferred_provider", "preferred_model", "change_notes")


class PromptService:
    """RPCs of prompts."""

    def __init__(self, prompts: PromptLibrary, inference: Inference) -> None:
        self.prompts = prompts
        self.editor = PromptEditor(prompts)
        self.execution = PromptExecution(prompts, inference)

    async def ListPrompts(self, request: pb.ListPromptsRequest, call: Call) -> pb.ListPromptsResponse:
        """Page of prompts, with the total of all that match. Errors: InvalidFields (page token)."""
        after = page_tokens.place(request, page_tokens.TIME, str)
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        found, total = await self.prompts.rows.page(
            request, call.principal.tenant_id, size + 1, PageEnd(*after) if after else None
        )
        response = pb.ListPromptsResponse(total=total, limit=size, offset=request.offset)
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = page_tokens.token(request, last.update_time.ToDatetime(UTC), last.id)
        response.prompts.extend(_rest_view(prompt, call) for prompt in found[:size])
        return response

    async def CreatePrompt(self, request: pb.CreatePromptRequest, call: Call) -> pb.Prompt:
        """New prompt; HTTP status 201. Errors: InvalidFields, InvalidTemplate, Conflict."""
        prompt = await self.editor.create(request.prompt, call.principal.tenant_id, call.user_agent or None)
        http_answer.answered(call, 201)
        return _rest_view(prompt, call)

    async def GetPrompt(self, request: pb.GetPromptRequest, call: Call) -> pb.Prompt:
        """Prompt by id or slug, on request with its versions. Errors: InvalidFields, PromptNotFound."""
        if bool(request.prompt_id) == bool(request.slug):
            raise InvalidFields([("prompt_id", "give either prompt_id or slug")])
        prompt = await self.prompts.prompt(request.prompt_id or request.slug, call.principal.tenant_id)
        if request.include_versions:
            versions = await self.prompts.rows.versions(prompt.id, MAX_VERSIONS)
            prompt.versions.extend(_with_blanks(version, VERSION_BLANKS, call) for version in versions)
        return _rest_view(prompt, call)

    async def UpdatePrompt(self, request: pb.UpdatePromptRequest, call: Call) -> pb.Prompt:
        """Update by field mask. Errors: those of PromptEditor.update."""
        return _rest_view(await self.editor.update(request, call.principal.tenant_id), call)

    async def DeletePrompt(self, request: pb.DeletePromptRequest, call: Call) -> pb.DeletePromptResponse:
        """Soft or hard deletion; HTTP status 204."""
        await self.editor.delete(request, call.principal.tenant_id)
        http_answer.answered(call, 204)
        return pb.DeletePromptResponse()

    async def ListPromptVersions(
        self, request: pb.ListPromptVersionsRequest, call: Call
    ) -> pb.ListPromptVersionsResponse:
        """Page of versions, newest first. Errors: PromptNotFound."""
        prompt = await self.prompts.prompt(request.prompt_id, call.principal.tenant_id)
        (before,) = page_tokens.place(request, page_tokens.NUMBER) or (None,)
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        found = await self.prompts.rows.versions(prompt.id, size + 1, offset=request.offset, before=before)
        response = pb.ListPromptVersionsResponse(versions=found[:size], total=prompt.version)
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].version)
        return response

    async def ListPromptVersionsArray(
        self, request: pb.ListPromptVersionsArrayRequest, call: Call
    ) -> HttpBody:
        """Page of versions as a bare JSON array, for older clients."""
        page = pb.ListPromptVersionsRequest.FromString(request.SerializeToString())
        listed = await self.ListPromptVersions(page, call)
        if listed.next_page_token:
            call.headers[page_tokens.HEADER] = listed.next_page_token
        data = json.dumps([_as_json(version) for version in listed.versions], ensure_ascii=False)
        return HttpBody(content_type="application/json", data=data.encode())

    async def GetPromptVersion(self, request: pb.GetPromptVersionRequest, call: Call) -> pb.PromptVersion:
        """Version by number or label. Errors: PromptNotFound."""
        version = await self._version(
            await self.prompts.prompt(request.prompt_id, call.principal.tenant_id), request.version
        )
        return _with_blanks(version, VERSION_BLANKS, call)

    async def RollbackPrompt(self, request: pb.RollbackPromptRequest, call: Call) -> pb.Prompt:
        """New version with the content of an old one. Errors: those of PromptEditor.rollback."""
        return _rest_view(await self.editor.rollback(request, call.principal.tenant_id), call)

    async def DiffPromptVersions(
        self, request: pb.DiffPromptVersionsRequest, call: Call
    ) -> pb.DiffPromptVersionsResponse:
        """Diff of two versions; default: the newest and the one before it. Errors: PromptNotFound."""
        prompt = await self.prompts.prompt(request.prompt_id, call.principal.tenant_id)
        late = await self._version(prompt, request.to or "latest")
        before = getattr(request, "from") or str(max(1, late.version - 1))
        return diff.compared(await self._version(prompt, before), late)

    async def SetPromptLabel(self, request: pb.SetPromptLabelRequest, call: Call) -> pb.Prompt:
        """Label pointed at a version. Errors: those of PromptEditor.set_label."""
        return _rest_view(await self.editor.set_label(request, call.principal.tenant_id), call)

    async def DeletePromptLabel(
        self, request: pb.DeletePromptLabelRequest, call: Call
    ) -> pb.DeletePromptLabelResponse:
        """Removal of a label; HTTP status 204. Errors: PromptNotFound."""
        await self.editor.delete_label(request, call.principal.tenant_id)
        http_answer.answered(call, 204)
        return pb.DeletePromptLabelResponse()

    async def RenderPrompt(self, request: pb.RenderPromptRequest, call: Call) -> pb.RenderedPrompt:
        """Prompt filled in and not sent. Errors: PromptNotFound, InvalidPromptVariables, InvalidTemplate."""
        resolved = await self.prompts.version(
            request.prompt_id, call.principal.tenant_id, request.version or None
        )
        filled = await self.prompts.fill(resolved, variables.mapping(request.variables))
        rendered = pb.RenderedPrompt(
            system_prompt=filled.system_prompt,
            user_prompt=filled.user_prompt,
            variables_defaulted=filled.defaulted,
            version=resolved.version.version,
        )
        rendered.variables_used.update(filled.used)
        return _with_blanks(rendered, ("system_prompt",), call)

    async def ExecutePrompt(self, request: pb.ExecutePromptRequest, call: Call) -> pb.ExecutePromptResponse:
        """Prompt filled in and sent to a model."""
        return await self.execution.complete(request, call)

    def StreamPrompt(self, request: pb.ExecutePromptRequest, call: Call) -> AsyncGenerator[pb.PromptEvent]:
        """Streamed answer to a filled prompt; the last event is the result."""
        return self.execution.stream(request, call)

    async def ExportPrompts(self, request: pb.ExportPromptsRequest, call: Call) -> pb.ExportPromptsResponse:
        """YAML of some prompts, or of all own ones."""
        found = [await self.prompts.prompt(name, call.principal.tenant_id) for name in request.prompt_ids]
        if not found:
            found = await self._all(call.principal.tenant_id, include_system=request.include_system)
        return pb.ExportPromptsResponse(yaml=yaml_format.written(found), prompt_count=len(found))

    async def ImportPrompts(self, request: pb.ImportPromptsRequest, call: Call) -> pb.ImportPromptsResponse:
        """Upsert of prompts from YAML in one transaction; dry_run rolls it back."""
        given = await yaml_format.read_apart(request.yaml, self.prompts.templates.sandbox)
        response = pb.ImportPromptsResponse()
        async with self.prompts.changing(call.principal.tenant_id, keep=not request.dry_run) as changes:
            for prompt in sorted(given, key=lambda prompt: prompt.slug):
                outcome = await self.editor.put(changes, prompt, call.user_agent or None)
                getattr(response, outcome).append(prompt.slug)
        return response

    async def _version(self, prompt: pb.Prompt, which: str) -> pb.PromptVersion:
        return await self.prompts.one_version(prompt, self.prompts.number(prompt, which))

    async def _all(self, tenant: str, *, include_system: bool) -> list[pb.Prompt]:
        only_own = None if include_system else False
        request = pb.ListPromptsRequest(is_system=only_own)
        return sorted((await self.prompts.rows.page(request, tenant, ALL))[0], key=lambda prompt: prompt.slug)


def _rest_view(prompt: pb.Prompt, call: Call) -> pb.Prompt:
    """Prompt as callers see it, for REST with blanks for unset fields."""
    prompt.ClearField("change_notes")
    return _with_blanks(prompt, BLANKS, call)


def _with_blanks(message: M, names: tuple[str, ...], call: Call) -> M:
    """Message with empty texts for unset fields, for REST callers only."""
    for name in names if call.path else ():
        if not message.HasField(name):
            setattr(message, name, "")
    return message


def _as_json(version: pb.PromptVersion) -> dict[str, Any]:
    """JSON object of a version with every field, null where it is unset."""
    rest_aliases.fill(version)
    given = {"variables": []} | variables.as_dict(version)
    for variable in given["variables"]:
        variable.setdefault("options", [])
    return {field.name: given.get(field.name) for field in version.DESCRIPTOR.fields}
