"""The rest of the service as a capability sees it, with scripted answers: for what happens within one."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from genai_spine.call import Call
from genai_spine.capabilities.context import CapabilityDependencies, ModelLimits
from genai_spine.errors import UnsupportedOption
from genai_spine.prompts import default_prompts, yaml_format
from genai_spine.prompts import variables as values_of
from genai_spine.prompts.library import FilledPrompt, ResolvedPrompt
from genai_spine.prompts.templates import Templates
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from genai_spine.v1 import prompt_service_pb2 as prompts_pb

Answers = str | Sequence[str | Exception]


class Scripted:
    """Answers in turn, the last one again and again; each call takes 100 tokens, gives 10, and costs 3e-6."""

    def __init__(
        self, answers: Answers, *, takes_schemas: bool = True, finish_reason: int = pb.FINISH_REASON_STOP
    ) -> None:
        self.answers = [answers] if isinstance(answers, str) else list(answers)
        self.takes_schemas = takes_schemas
        self.finish_reason = finish_reason
        self.requests: list[pb.CreateCompletionRequest] = []
        self.calls: list[Call] = []

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        chunks = [chunk async for chunk in self.stream(request, call)]
        text = "".join(delta.content for chunk in chunks for delta in chunk.choices)
        completion = pb.Completion(usage=chunks[-1].usage, cost=chunks[-1].cost)
        completion.choices.add(message=message_pb2.Message(content=[message_pb2.ContentPart(text=text)]))
        completion.choices[0].finish_reason = self.finish_reason
        completion.provider, completion.model = chunks[-1].provider, chunks[-1].model
        completion.execution_id = chunks[-1].execution_id
        return completion

    async def stream(
        self, request: pb.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        if request.response_format.HasField("json_schema") and not self.takes_schemas:
            raise UnsupportedOption(
                field="response_format.json_schema", provider="scripted", option="a schema"
            )
        self.requests.append(request)
        self.calls.append(call)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        for word in answer.splitlines(keepends=True):
            yield pb.CompletionChunk(choices=[pb.ChoiceDelta(content=word)])
        last = pb.CompletionChunk(choices=[pb.ChoiceDelta(finish_reason=self.finish_reason)])
        last.provider, last.model = "scripted", "scripted-1"
        last.execution_id = f"execution-{len(self.requests)}"
        last.usage.input_tokens, last.usage.output_tokens = 100, 10
        last.cost.cost_ticks, last.cost.price_known = 30_000, True
        yield last


class ShippedPrompts:
    """The prompts that come with the service, without a database."""

    def __init__(self) -> None:
        self._templates = Templates()
        read = [prompt for text in default_prompts.texts() for prompt in yaml_format.read(text)]
        self._prompts = {prompt.slug: prompt for prompt in read}

    async def version(self, name: str, tenant_id: str) -> ResolvedPrompt:
        """Prompt of a name; those that come with the service are every tenant's."""
        prompt = self._prompts[name]
        version = prompts_pb.PromptVersion(version=1, variables=prompt.variables)
        version.system_prompt = prompt.system_prompt
        version.user_prompt_template = prompt.user_prompt_template
        return ResolvedPrompt(prompts_pb.Prompt(id=f"id-of-{name}", slug=name), version)

    async def fill(self, resolved: ResolvedPrompt, variables: Mapping[str, Any]) -> FilledPrompt:
        values, defaulted = values_of.completed(resolved.version.variables, variables)
        system = await self._templates.rendered("system_prompt", resolved.version, values)
        user = await self._templates.rendered("user_prompt_template", resolved.version, values)
        return FilledPrompt(resolved, system, user, values, defaulted)


PROMPTS = ShippedPrompts()


class FixedModels:
    def __init__(self, context_length: int | None) -> None:
        self.context_length = context_length

    async def limits(self, provider: str, model: str, size: int) -> ModelLimits:
        return ModelLimits(provider or "scripted", model or "scripted-1", self.context_length)


def services(model: Scripted, context_length: int | None = None) -> CapabilityDependencies:
    """context_length: tokens that the model takes; None: nobody knows."""
    return CapabilityDependencies(model, PROMPTS, FixedModels(context_length))
