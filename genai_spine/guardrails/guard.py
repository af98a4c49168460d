"""Guard of one call: its guardrails look at request and answer, and personal data is hidden between them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from operator import methodcaller
from typing import Any, TypeVar

import structlog
from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.errors import GuardrailTriggered, SpineError
from genai_spine.guardrails import GUARDRAILS, fields
from genai_spine.guardrails.checks import ANSWER, Guardrail
from genai_spine.guardrails.restoring import AnswerRestorer, restore
from genai_spine.guardrails.rules import BLOCK, REVERSIBLE, rules_of
from genai_spine.guardrails.webhook import AFTER, BEFORE, GuardWebhook, Texts, WebhookUnclear
from genai_spine.guardrails.webhook import NAME as WEBHOOK
from genai_spine.privacy.detection import Detector
from genai_spine.privacy.redaction import redacted, replace
from genai_spine.privacy.tokens import TokenMapping, tokenized
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from genai_spine.v1.guardrails_pb2 import Guardrails

M = TypeVar("M", bound=Message)
Chunks = AsyncGenerator[pb.CompletionChunk]
INLINE_BYTES = 4_000  # of a request; a longer one is searched in a thread
TRUSTED = (message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER, message_pb2.ROLE_ASSISTANT)
# Opaque to callers, and signed by some providers: what is a token there stays one.
STATES = ("reasoning_state_json", "provider_state_json")

log = structlog.get_logger()


def guard_of(call: Call, webhook: GuardWebhook | None = None) -> "CallGuard | None":
    """Guard of a call; None: it has no guardrails. webhook: client of those that rules name.

    Errors: InvalidFields (a pattern or type of its rules).
    """
    rules = rules_of(call)
    return None if rules is None else CallGuard(rules, call, webhook)


def _cannot_tell(guardrail: str, where: str) -> GuardrailTriggered:
    return GuardrailTriggered(guardrail=guardrail, what="that it cannot tell", where=where)


class CallGuard:
    """Guard of one call. Its mapping of tokens is in memory only, and ends with the call."""

    def __init__(self, rules: Guardrails, call: Call, webhook: GuardWebhook | None = None) -> None:
        self._rules, self._call, self._webhook = rules, call, webhook
        self._seen: list[tuple[str, str]] = []  # texts of the request, as the provider will see them
        made = [make(rules) for make in GUARDRAILS.values()]
        self._guardrails: Sequence[Guardrail] = [guardrail for guardrail in made if guardrail is not None]
        hides = rules.pii not in ("", BLOCK)
        self._detector = Detector(rules.pii_types, rules.pii_patterns) if hides else None
        self._mapping = TokenMapping()

    async def before(self, request: M) -> M:
        """Copy of a request as a provider may see it. Errors: GuardrailTriggered."""
        is_long = request.ByteSize() > INLINE_BYTES
        found = await asyncio.to_thread(self._before, request) if is_long else self._before(request)
        await self._ask_webhook(BEFORE, self._seen)
        return found

    async def after(self, answer: M, request: Message) -> M:
        """Copy of an answer with the values of all tokens. Errors: GuardrailTriggered."""
        await self._ask_webhook(AFTER, [(ANSWER, text) for text in _texts_of(answer)])
        found = type(answer)()
        found.CopyFrom(answer)
        restore(found, self._mapping, is_json=_wants_json(request))
        self._look(found)
        return found

    async def during(self, chunks: Chunks, request: Message) -> Chunks:
        """Chunks of an answer with the values of all tokens. Errors: GuardrailTriggered."""
        restorer = AnswerRestorer(self._mapping, is_json=_wants_json(request))
        written: list[str] = []
        async with aclosing(chunks):
            async for chunk in chunks:
                written += _texts_of(chunk) if self._rules.webhook_url else ()
                if (found := restorer.feed(chunk)) is not None:
                    self._look(found)
                    yield found
        if (rest := restorer.end()) is not None:
            self._look(rest)
            yield rest
        await self._ask_webhook(AFTER, [(ANSWER, "".join(written))] if written else [])

    async def _ask_webhook(self, phase: str, texts: Texts) -> None:
        """Asks the webhook of the rules. One that gives no answer refuses, unless the rules let it pass."""
        if not self._rules.webhook_url or not texts:
            return
        try:
            if self._webhook is None:
                raise WebhookUnclear("there is no client")
            await self._webhook.ask(self._rules, phase, texts, self._call)
        except WebhookUnclear as error:
            log.warning("guard_webhook_failed", phase=phase, cause=str(error))
            if not self._rules.fail_open:
                raise _cannot_tell(WEBHOOK, f"{phase} the call") from None

    def _look(self, answer: Message) -> None:
        for text in _texts_of(answer):
            self._ask(methodcaller("answer", text), ANSWER)

    def _before(self, request: M) -> M:
        found = type(request)()
        found.CopyFrom(request)
        roles = _trusted_places(request)
        fields.rewrite(found, lambda place, text: self._noted(place, text, roles), self._unreadable)
        return found

    def _noted(self, place: str, text: str, trusted: Sequence[str]) -> str:
        found = self._change(place, text, trusted)
        if self._rules.webhook_url:
            self._seen.append((place, found))
        return found

    def _change(self, place: str, text: str, trusted: Sequence[str]) -> str:
        is_trusted = place.startswith((*trusted, "tools", "response_format"))
        self._ask(methodcaller("before", place, text, is_trusted=is_trusted), place)
        if self._detector is None:
            return text
        spans = self._detector.detect(text)
        if self._rules.pii != REVERSIBLE:
            return redacted(text, spans, replace)
        if place.endswith(STATES):
            return redacted(text, spans, self._mapping.token)
        return tokenized(text, spans, self._mapping)

    def _unreadable(self, place: str) -> None:
        if self._rules.pii and not self._rules.fail_open:
            raise GuardrailTriggered(guardrail="pii", what="content that cannot be searched", where=place)

    def _ask(self, ask: Callable[[Guardrail], None], place: str) -> None:
        """Asks each guardrail. One that fails refuses, unless the rules say that it lets pass."""
        for guardrail in self._guardrails:
            try:
                ask(guardrail)
            except SpineError:
                raise
            except Exception as error:
                log.error("guardrail_failed", guardrail=guardrail.NAME, cause=type(error).__name__)
                if not self._rules.fail_open:
                    raise _cannot_tell(guardrail.NAME, place) from None


def _trusted_places(request: Any) -> list[str]:
    """Places of messages that no user and no tool wrote."""
    if not isinstance(request, pb.CreateCompletionRequest):
        return []
    return [f"messages[{index}]." for index, one in enumerate(request.messages) if one.role in TRUSTED]


def _wants_json(request: Any) -> bool:
    """Whether the answer's text is JSON, in which values are escaped."""
    return isinstance(request, pb.CreateCompletionRequest) and request.HasField("response_format")


def _texts_of(answer: Any) -> list[str]:
    """Texts of an answer or of a chunk that guardrails look at."""
    found: list[str] = []
    for choice in getattr(answer, "choices", ()):
        if isinstance(choice, pb.ChoiceDelta):
            found += [choice.content, choice.refusal, *(call.arguments for call in choice.tool_calls)]
        else:
            found += [part.text or part.refusal for part in choice.message.content]
            found += [call.function.arguments_json or call.custom.input for call in choice.message.tool_calls]
    return [text for text in found if text]
