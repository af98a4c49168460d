"""Webhooks of runs: checked when a run is submitted, and told of its events, signed for its tenant."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from genai_spine.errors import InvalidFields
from genai_spine.security.fetch import Fetcher
from genai_spine.store.database import Database
from genai_spine.store.runs.news import WEBHOOKS, RunNews
from genai_spine.store.webhooks.deliveries import DeliveryRows, RunMessage
from genai_spine.v1.run_pb2 import RunOptions
from genai_spine.webhooks.delivery import Delivery
from genai_spine.webhooks.posting import Posting, post

FIELD = "options.webhook.url"  # that errors name
UNSIGNED = "needs the server's root secret, by which messages are signed: set GENAI_SECRET_KEY"

Secrets = Callable[[str], Sequence[bytes]]  # of a tenant; none: the server has no root secret


@dataclass(slots=True)
class RunWebhooks:
    """Webhooks that callers give; start() and stop() for the delivery."""

    database: Database
    fetcher: Fetcher
    secrets: Secrets
    _delivery: Delivery[RunMessage] | None = None
    _subscription: ExitStack = field(default_factory=ExitStack)

    def check(self, options: RunOptions) -> None:
        """Errors: InvalidRequest (an address that no message goes to), InvalidFields (nothing is signed)."""
        if not options.HasField("webhook"):
            return
        self.fetcher.check(options.webhook.url, name=FIELD)
        if not self.secrets(""):
            raise InvalidFields([("options.webhook", UNSIGNED)])

    async def post(self, tenant_id: str, posting: Posting) -> None:
        """Posts a message at once, signed for a tenant. Errors: WebhookFailed."""
        await post(self.fetcher, replace(posting, secrets=self.secrets(tenant_id)))

    def start(self) -> None:
        """Begins to tell what is due."""
        self._delivery = Delivery(DeliveryRows(self.database), self._tell, "run_webhook")
        news = RunNews.of(self.database)
        self._delivery.due = self._subscription.enter_context(news.subscribed(WEBHOOKS))
        self._delivery.start()

    async def stop(self) -> None:
        """Ends; what is not told yet is told by another process, or the next one."""
        self._subscription.close()
        if self._delivery is not None:
            await self._delivery.stop()

    async def _tell(self, message: RunMessage) -> None:
        """Posts a message. Errors: WebhookFailed."""
        secrets = self.secrets(message.tenant_id)
        await post(self.fetcher, Posting(message.id, message.url, message.body.encode(), FIELD, secrets))
