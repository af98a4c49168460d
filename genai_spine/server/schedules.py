"""Schedules of a server, and the webhooks of runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genai_spine.access.secrets import of_webhooks
from genai_spine.guardrails.webhook import GuardWebhook
from genai_spine.runs.library import RunLibrary
from genai_spine.runs.webhooks import RunWebhooks
from genai_spine.schedules.library import ScheduleLibrary
from genai_spine.schedules.makers import Makers
from genai_spine.schedules.scheduler import Scheduler
from genai_spine.security.fetch import Fetcher
from genai_spine.server.access import root_secret
from genai_spine.server.outbound import trust
from genai_spine.services.schedule import ScheduleService
from genai_spine.settings import Settings
from genai_spine.store.access.keys import KeyRows
from genai_spine.store.access.tenants import ProjectRows, TenantRows
from genai_spine.store.database import Database
from genai_spine.store.schedules.schedules import ScheduleRows
from genai_spine.v1 import schedule_service_pb2
from genai_spine.v1.schedule_service_pb2_grpc import add_ScheduleServiceServicer_to_server
from genai_spine.webhooks.posting import limits

FILES = (schedule_service_pb2,)


@dataclass(frozen=True, slots=True)
class Schedules:
    """Schedules of one process: no reload replaces them."""

    library: ScheduleLibrary
    scheduler: Scheduler

    @classmethod
    def of(cls, database: Database, runs: RunLibrary) -> "Schedules":
        """Schedules of a server, none of which is looked at yet."""
        rows = ScheduleRows(database)
        makers = Makers(KeyRows(database), TenantRows(database), ProjectRows(database))
        return cls(ScheduleLibrary(rows, runs, makers), Scheduler(rows, runs, makers))

    def service(self) -> tuple[Any, Any]:
        """How gRPC adds the service, and the service."""
        return add_ScheduleServiceServicer_to_server, ScheduleService(self.library)


def webhooks_of(settings: Settings, database: Database) -> RunWebhooks:
    """Webhooks of runs, as the settings allow. Errors: those of root_secret(), OSError (the CA file)."""
    return RunWebhooks(database, *_posting(settings))


def guard_webhook(settings: Settings) -> GuardWebhook:
    """Client of guard webhooks, as the settings allow those of runs. Errors: as webhooks_of()."""
    return GuardWebhook(*_posting(settings))


def _posting(settings: Settings) -> tuple[Fetcher, Callable[[str], list[bytes]]]:
    """Fetcher of webhooks, and the keys of a tenant that messages are signed with."""
    root = root_secret(settings)

    def secrets(tenant_id: str) -> list[bytes]:
        return [] if root is None else of_webhooks(root, tenant_id)

    return Fetcher(limits(is_private=settings.run_webhook_private), trust(settings)), secrets
