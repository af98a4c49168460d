"""Guard webhook: a service of the operator's choice that says whether the texts of a call may pass.

It is asked before the call, with the texts as the provider would see them, and about the answer as the
provider wrote it: personal data that is hidden stays hidden. Messages are signed as Standard Webhooks says.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from genai_spine.call import Call, uuid7
from genai_spine.errors import GuardrailTriggered, InvalidRequest
from genai_spine.security.fetch import Fetcher, FetchFailed
from genai_spine.security.webhook_signature import signed_headers
from genai_spine.v1.guardrails_pb2 import Guardrails

NAME = "webhook"
DEFAULT_TIMEOUT_MS = 2_000
MAX_ANSWER_BYTES = 64 << 10
MAX_WORD_CHARS = 200  # of what the webhook says
BEFORE, AFTER = "before", "after"

Texts = Sequence[tuple[str, str]]  # places, and what stands there


class WebhookUnclear(Exception):
    """The webhook cannot be reached, or its answer is none."""


class GuardWebhook:
    """Client of guard webhooks."""

    def __init__(self, fetcher: Fetcher, secrets_of: Callable[[str], Sequence[bytes]]) -> None:
        """secrets_of: keys of a tenant that messages are signed with; none: they are not."""
        self._fetcher = fetcher
        self._secrets_of = secrets_of

    async def ask(self, rules: Guardrails, phase: str, texts: Texts, call: Call) -> None:
        """Asks whether texts may pass. Errors: GuardrailTriggered; WebhookUnclear."""
        principal = call.principal
        question = {
            "phase": phase,
            "request_id": call.request_id,
            "tenant_id": principal.tenant_id,
            "texts": [{"where": where, "text": text} for where, text in texts],
        }
        answer = await self._posted(
            rules, json.dumps(question, ensure_ascii=False).encode(), principal.tenant_id
        )
        if answer["allow"]:
            return
        what, where = (str(answer.get(name) or "something")[:MAX_WORD_CHARS] for name in ("what", "where"))
        raise GuardrailTriggered(guardrail=NAME, what=what, where=where)

    async def _posted(self, rules: Guardrails, body: bytes, tenant_id: str) -> dict[str, Any]:
        timeout_ms = rules.webhook_timeout_ms if rules.HasField("webhook_timeout_ms") else DEFAULT_TIMEOUT_MS
        limits = replace(self._fetcher.limits, total_s=timeout_ms / 1000, max_bytes=MAX_ANSWER_BYTES)
        signed = signed_headers(self._secrets_of(tenant_id), uuid7(), int(time.time()), body)
        headers = {"content-type": "application/json", **signed}
        try:
            fetched = await Fetcher(limits, self._fetcher.trust).post(
                rules.webhook_url, body, headers, name="webhook_url"
            )
            answer = json.loads(fetched.body) if fetched.status == 200 else None
        except (FetchFailed, InvalidRequest, ValueError) as error:
            raise WebhookUnclear(type(error).__name__) from None
        if not isinstance(answer, dict) or not isinstance(answer.get("allow"), bool):
            raise WebhookUnclear(f"status {fetched.status}")
        return answer
