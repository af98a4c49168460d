"""Prompt execution: a prompt version filled in and sent to a model (ExecutePrompt, StreamPrompt)."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, first_choice, text_of
from genai_spine.errors import InvalidFields, InvalidRequest, SpineError
from genai_spine.inference.inference import Inference
from genai_spine.prompts import variables
from genai_spine.prompts.library import FilledPrompt, PromptLibrary
from genai_spine.refused_fields import REFUSALS, drop_refused, dropped_warning, stream_without_refused
from genai_spine.v1 import completion_service_pb2, message_pb2
from genai_spine.v1 import prompt_service_pb2 as pb
from genai_spine.v1.capability_result_pb2 import CapabilityContext, CapabilityResult
from genai_spine.v1.option_warning_pb2 import OptionWarning

MAX_METADATA_CHARS = 16_000  # characters of JSON
NO_BACKGROUND = "a stream is waited for: leave wait out, or call ExecutePrompt"
JSON_INSTRUCTION = "Answer with one JSON object and nothing else."
SCHEMA_NAME = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class PreparedExecution:
    """Execution that is ready to send: filled prompt, completion request and attributed call."""

    filled: FilledPrompt
    completion: completion_service_pb2.CreateCompletionRequest
    call: Call
    own_temperature: bool = False  # the caller's; otherwise it is the prompt's wish, which can be left out
    warnings: list[OptionWarning] = field(default_factory=list)  # of what was dropped here

    def drop_refused(self, error: SpineError) -> None:
        """Drops the prompt's temperature where the model takes none.

        Raises the error where it is about something else, or the caller's own wish.
        """
        name = drop_refused(self.completion, error, () if self.own_temperature else ("temperature",))
        self.warnings.append(dropped_warning(name, error))

    def result(self, answer: completion_service_pb2.Completion) -> pb.ExecutePromptResponse:
        """Response to the caller, of a whole answer."""
        prompt, version = self.filled.resolved.prompt, self.filled.resolved.version
        choice = first_choice(answer)
        text = text_of(choice)
        response = pb.ExecutePromptResponse(
            output=text,
            content=text,
            id=f"exec_{answer.execution_id.replace('-', '')[-24:]}",
            prompt_id=prompt.id,
            prompt_slug=prompt.slug,
            prompt_name=prompt.name,
            prompt_version=version.version,
            result=CapabilityResult(
                usage=answer.usage,
                cost=answer.cost,
                provider=answer.provider,
                model=answer.model,
                request_id=answer.request_id,
                execution_id=answer.execution_id,
                latency_ms=answer.latency_ms,
                warnings=[*answer.warnings, *self.warnings],
                context=CapabilityContext(pieces=1, prompt_slug=prompt.slug, prompt_version=version.version),
            ),
        )
        response.variables_used.update(self.filled.used)
        return _ended(response, choice)


class PromptExecution:
    """Executor of prompts, unary and streamed; a temperature that the model rejects is dropped once."""

    def __init__(self, prompts: PromptLibrary, inference: Inference) -> None:
        self.prompts = prompts
        self.inference = inference

    async def complete(self, request: pb.ExecutePromptRequest, call: Call) -> pb.ExecutePromptResponse:
        """Answer to a filled prompt. Errors: those of the library and of inference, InvalidRequest."""
        prepared = await self._prepared(request, call)
        while True:
            try:
                return prepared.result(await self.inference.complete(prepared.completion, prepared.call))
            except REFUSALS as error:
                prepared.drop_refused(error)

    async def stream(self, request: pb.ExecutePromptRequest, call: Call) -> AsyncGenerator[pb.PromptEvent]:
        """Streamed answer: text deltas, then one result event. Errors: as complete()."""
        if request.HasField("wait") and not request.wait:
            raise InvalidRequest(field="wait", problem=NO_BACKGROUND)
        prepared = await self._prepared(request, call)
        answer = ChunkBuilder()
        streamed = stream_without_refused(
            lambda: self.inference.stream(prepared.completion, prepared.call), prepared.drop_refused
        )
        async with aclosing(streamed) as chunks:
            async for chunk in chunks:
                answer.add(chunk)
                for delta in chunk.choices:
                    if delta.content:
                        yield pb.PromptEvent(text=delta.content)
        yield pb.PromptEvent(result=prepared.result(answer.completion()))

    async def _prepared(self, request: pb.ExecutePromptRequest, call: Call) -> PreparedExecution:
        """Filled prompt and request of an execution.

        Errors: InvalidRequest, PromptNotFound, InvalidPromptVariables.
        """
        name = _named(request)
        resolved = await self.prompts.version(name, call.principal.tenant_id, request.version or None)
        filled = await self.prompts.fill(resolved, variables.mapping(request.variables))
        options = _options(request)
        completion = filled.request(**options)
        _set_format(completion, request, filled)
        purpose = filled.purpose
        if request.HasField("metadata"):
            purpose.metadata_json = _metadata(request)
        own = options["temperature"] is not None
        return PreparedExecution(filled, completion, replace(call, attribution=purpose), own)


def _named(request: pb.ExecutePromptRequest) -> str:
    """Slug or id in a request. Errors: InvalidRequest (none, or both)."""
    both = bool(request.prompt_id) and bool(request.prompt_slug)
    if both or not (request.prompt_id or request.prompt_slug):
        problem = "give prompt_slug or prompt_id" + (", not both" if both else "")
        raise InvalidRequest(field="prompt_slug", problem=problem)
    return request.prompt_id or request.prompt_slug


def _options(request: pb.ExecutePromptRequest) -> dict[str, Any]:
    """The caller's options, under the names of a completion; None where he has none."""
    options: dict[str, Any] = {"user": request.user if request.HasField("user") else None}
    for name in ("provider", "model", "temperature", "max_tokens"):
        options[name] = getattr(request.options, name) if request.options.HasField(name) else None
    for name in ("model", "temperature"):
        if not request.HasField(name):
            continue
        value = getattr(request, name)
        if options[name] not in (None, value):
            raise InvalidFields([(name, f"differs from options.{name}, which means the same")])
        options[name] = value
    return options


def _set_format(
    completion: completion_service_pb2.CreateCompletionRequest,
    request: pb.ExecutePromptRequest,
    filled: FilledPrompt,
) -> None:
    """Response format: the version's schema, else JSON mode where the caller wants it."""
    resolved = filled.resolved
    if request.response_format == "text":
        return
    if resolved.version.HasField("output_schema"):
        schema = completion.response_format.json_schema
        schema.name = SCHEMA_NAME.sub("_", resolved.prompt.slug)[:64]
        schema.schema_json = json.dumps(variables.mapping(resolved.version.output_schema), sort_keys=True)
    elif request.response_format == "json":
        completion.response_format.kind = completion_service_pb2.ResponseFormat.KIND_JSON_OBJECT
        said = (part.text for message in completion.messages for part in message.content)
        if not any("json" in text.lower() for text in said):  # without the word, OpenAI refuses
            instruction = message_pb2.Message(role=message_pb2.ROLE_SYSTEM)
            instruction.content.add(text=JSON_INSTRUCTION)
            completion.messages.insert(0, instruction)


def _metadata(request: pb.ExecutePromptRequest) -> str:
    """Metadata as JSON for the ledger. Errors: InvalidFields above MAX_METADATA_CHARS."""
    text = json.dumps(variables.mapping(request.metadata), sort_keys=True, ensure_ascii=False)
    if len(text) > MAX_METADATA_CHARS:
        raise InvalidFields([("metadata", f"must have at most {MAX_METADATA_CHARS} characters as JSON")])
    return text


def _ended(
    response: pb.ExecutePromptResponse, choice: completion_service_pb2.Choice
) -> pb.ExecutePromptResponse:
    """Response with its finish reason; of an answer in JSON the JSON alone, without prose around it."""
    response.finish_reason = choice.finish_reason
    was_cut = choice.finish_reason == completion_service_pb2.FINISH_REASON_LENGTH
    response.result.context.answer_was_cut = was_cut
    if choice.HasField("parsed_json"):
        response.output = response.content = choice.parsed_json
        response.parsed.CopyFrom(variables.value(json.loads(choice.parsed_json)))
    return response
