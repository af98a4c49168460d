"""Question about one symbol: request, retries with exponential backoff, and the parser of the answer.

No other layer repeats a call about a symbol: the inference it gets asks each candidate once.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from genai_spine.call import Call
from genai_spine.chunks import first_choice, text_of
from genai_spine.errors import ContentFiltered, ProviderError, SpineError
from genai_spine.symbols.prompt import Prompt
from genai_spine.text.answer_parsing import objects
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1.execution_pb2 import Execution

CAPABILITY = "document-symbols"  # what the ledger calls it
TEMPERATURE = 0.3
MAX_TOKENS = 150  # of an answer
ANSWER_SCHEMA = {
    "type": "object",
    "properties": {"summary": {"type": "string"}},
    "required": ["summary"],
    "additionalProperties": False,
}
# Models that think first. They take no temperature, and unless told to think little they would spend all
# of MAX_TOKENS on it: https://platform.openai.com/docs/guides/latest-model and .../guides/reasoning
# (2026-11-28). Dated names and those of gateways ("openai/gpt-5-nano") are the same models.
REASONING = re.compile(r"(?:.*/)?(?:o\d|gpt-5)(?!.*chat)")
VARIANT = r"(?:-mini|-nano)?(?:-\d{4}-\d\d-\d\d)?"
EFFORTS = (
    (re.compile(r"(?:.*/)?gpt-5" + VARIANT), completions.REASONING_EFFORT_MINIMAL),
    (re.compile(r"(?:.*/)?gpt-5\.\d+" + VARIANT), completions.REASONING_EFFORT_NONE),
    (re.compile(r"(?:.*/)?o\d.*"), completions.REASONING_EFFORT_LOW),
)


@dataclass(frozen=True, slots=True)
class JobRules:
    """Rules of a job, as the operator set them."""

    model: str = "gpt-5-nano"
    concurrency: int = 10  # provider calls of one job at a time
    attempts: int = 3  # at one symbol, the first one included
    first_wait_s: float = 1.0  # after the first attempt; doubled after each one that follows
    max_wait_s: float = 60.0
    prompt_tokens: int = 2000

    def wait_s(self, attempt: int, error: SpineError) -> float:
        """Backoff in seconds until the next attempt. attempt: number of the failed one, from 1."""
        wait_s = max(self.first_wait_s * 2.0 ** (attempt - 1), error.retry_after_s or 0.0)
        return min(wait_s, self.max_wait_s)


Complete = Callable[[completions.CreateCompletionRequest, Call], Awaitable[completions.Completion]]


@dataclass(frozen=True, slots=True)
class Question:
    """Question about one symbol to one model."""

    prompt: Prompt
    upstream_model: str  # by the provider's own name, which decides what it takes

    def request(self, model: str) -> completions.CreateCompletionRequest:
        """Completion request with schema, temperature and reasoning effort as the model takes them."""
        request = completions.CreateCompletionRequest(
            model=model, messages=self.prompt.messages, max_tokens=MAX_TOKENS
        )
        form = request.response_format.json_schema
        # Read here, because a model's words about the answer around it do no harm.
        form.name, form.schema_json, form.strict, form.unchecked = (
            "symbol",
            json.dumps(ANSWER_SCHEMA),
            True,
            True,
        )
        if not REASONING.match(self.upstream_model):
            request.temperature = TEMPERATURE
        for names, effort in EFFORTS:
            if names.fullmatch(self.upstream_model):
                request.reasoning_effort = effort
        return request

    async def answer(self, complete: Complete, rules: JobRules, call: Call, stopped: asyncio.Event) -> str:
        """Summary of the symbol.

        stopped: when it is set, nothing is asked any more. Errors: those of inference once attempts are used
        up; ContentFiltered, ProviderError.
        """
        attempt = 1
        while True:
            try:
                return summary(await complete(self.request(rules.model), call))
            except UnusableAnswer as unusable:
                raise unusable.error from None
            except SpineError as error:
                wait_s = rules.wait_s(attempt, error)
                late = call.remaining_s is not None and wait_s >= call.remaining_s
                if not error.retryable or attempt >= rules.attempts or late or await _set(stopped, wait_s):
                    raise
            attempt += 1


class UnusableAnswer(Exception):
    """An answer that came and was paid for, and that another attempt would not better."""

    def __init__(self, error: SpineError) -> None:
        super().__init__(str(error))
        self.error = error


def summary(completion: completions.Completion) -> str:
    """Summary in an answer. Raises UnusableAnswer."""
    choice = first_choice(completion)
    provider = completion.provider
    refusal = "".join(part.refusal for part in choice.message.content)
    if refusal or choice.finish_reason == completions.FINISH_REASON_CONTENT_FILTER:
        reason = refusal or "the answer was filtered"
        raise UnusableAnswer(ContentFiltered(provider=provider, provider_message=reason))
    for value in objects(text_of(choice)):
        if isinstance(found := value.get("summary"), str) and found.strip():
            return found.strip()
    was_cut = choice.finish_reason == completions.FINISH_REASON_LENGTH
    problem = f"it was cut at {MAX_TOKENS} tokens" if was_cut else "it has no summary"
    raise UnusableAnswer(ProviderError(provider=provider, provider_message=problem))


def on_behalf(call: Call, job_id: str, symbol_id: str) -> Call:
    """Call whose ledger rows carry the job's and the symbol's id."""
    about = json.dumps({"job_id": job_id, "symbol_id": symbol_id})
    return replace(call, attribution=Execution(capability=CAPABILITY, metadata_json=about))


async def _set(event: asyncio.Event, within_s: float) -> bool:
    """Whether the event is set within within_s."""
    try:
        async with asyncio.timeout(within_s):
            return await event.wait()
    except TimeoutError:
        return False
