"""Spending as the settings say: default budgets, and who is told when one is passed."""

from genai_spine.billing.alerts.alerts import BudgetAlerts
from genai_spine.billing.alerts.webhook import SETTING, Webhook
from genai_spine.budgets import defaults
from genai_spine.costs import TICKS_PER_USD
from genai_spine.security.fetch import Fetcher
from genai_spine.security.webhook_signature import secret_bytes
from genai_spine.server.outbound import trust
from genai_spine.settings import Settings
from genai_spine.store.budgets.alerts import AlertRows
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.database import Database
from genai_spine.v1 import budget_pb2 as pb
from genai_spine.webhooks.posting import limits


def budget_rows(settings: Settings, database: Database) -> BudgetRows:
    """Budgets and their counters over one database."""
    return BudgetRows(database, counters_days=settings.budget_counters_days)


def alert_rows(settings: Settings, database: Database) -> AlertRows:
    """Alerts as rows over one database."""
    return AlertRows(database, days=settings.budget_alerts_days)


def alerts_of(settings: Settings, database: Database) -> BudgetAlerts:
    """Alerts of budgets over one database. Errors: InvalidRequest (no URL of a webhook)."""
    return BudgetAlerts(alert_rows(settings, database), webhook_of(settings))


def webhook_of(settings: Settings) -> Webhook | None:
    """Webhook of the settings; None: there is none. Errors: InvalidRequest, OSError (the CA file)."""
    if settings.budget_webhook_url is None:
        return None
    url, secret = settings.budget_webhook_url.get_secret_value(), settings.budget_webhook_secret
    fetcher = Fetcher(limits(is_private=settings.budget_webhook_private), trust(settings))
    fetcher.check(url, name=SETTING)
    signed_with = secret_bytes(secret.get_secret_value()) if secret is not None else None
    return Webhook(url, fetcher, settings.budget_webhook_format, signed_with)


def default_budgets(settings: Settings) -> list[pb.Budget]:
    """Budgets of tenants without one of their own."""
    policy: pb.BudgetPolicy = getattr(pb, f"BUDGET_POLICY_{settings.default_policy}")
    stated = (
        (pb.BUDGET_PERIOD_DAILY, settings.budget_daily, settings.budget_warn_daily),
        (pb.BUDGET_PERIOD_MONTHLY, settings.budget_monthly, settings.budget_warn_monthly),
    )
    return [
        defaults.default(period, int(limit * TICKS_PER_USD), policy, warn)
        for period, limit, warn in stated
        if limit is not None
    ]
