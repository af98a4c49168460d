"""Webhook of the operator that is told of alerts: each is posted, and signed where there is a secret."""

import json
import time
from dataclasses import dataclass, field

from genai_spine.billing.alerts.messages import TEMPLATES
from genai_spine.errors import InvalidRequest
from genai_spine.security.fetch import Fetcher, FetchFailed
from genai_spine.security.webhook_signature import signed_headers
from genai_spine.store.booking.alerts import Alert

SETTING = "GENAI_BUDGET_WEBHOOK_URL"  # that errors name


class WebhookFailed(Exception):
    """The webhook was not told, or did not say that it was."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Address that is told of alerts. template: of messages.TEMPLATES."""

    url: str = field(repr=False)  # which may be a secret
    fetcher: Fetcher
    template: str = "generic"
    secret: bytes | None = field(default=None, repr=False)  # None: nothing is signed

    async def tell(self, alert: Alert) -> None:
        """Posts an alert. Errors: WebhookFailed."""
        body = json.dumps(TEMPLATES[self.template](alert.event)).encode()
        signed = signed_headers(self.secret, alert.id, int(time.time()), body)
        headers = {"content-type": "application/json", **signed}
        try:
            answer = await self.fetcher.post(self.url, body, headers, name=SETTING)
        except (FetchFailed, InvalidRequest) as error:
            raise WebhookFailed(str(error)) from None
        if not 200 <= answer.status < 300:
            raise WebhookFailed(f"{SETTING}: answers with HTTP status {answer.status}")
