"""Webhook of the operator that is told of alerts: each is posted, and signed where there is a secret."""

import json
from dataclasses import dataclass, field

from genai_spine.billing.alerts.messages import TEMPLATES
from genai_spine.security.fetch import Fetcher
from genai_spine.store.budgets.alerts import Alert
from genai_spine.webhooks.posting import Posting, post

SETTING = "GENAI_BUDGET_WEBHOOK_URL"  # that errors name


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
        secrets = () if self.secret is None else (self.secret,)
        await post(self.fetcher, Posting(alert.id, self.url, body, SETTING, secrets))
