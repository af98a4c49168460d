"""Messages about budgets: the event of an alert, and what a webhook is sent of it.

`generic` sends the event as it is. Slack's incoming webhooks take `text` and blocks
(https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, 2026-11-30), those of Teams'
workflows an adaptive card, 2026-11-30
(https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using).
Names that callers give are never markup in them.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from genai_spine.costs import TICKS_PER_USD, usd_of
from genai_spine.store.booking.entries import Level
from genai_spine.store.budgets.messages import names_of, percent
from genai_spine.v1 import budget_pb2 as pb

Event = dict[str, Any]
Body = dict[str, Any]
WARNING, EXCEEDED = "budget.warning", "budget.exceeded"
TITLES = {WARNING: "Budget warning", EXCEEDED: "Budget exceeded"}
MAX_NAME = 100  # characters of a node's key that a message shows
MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~<>-])")


class Passed(NamedTuple):
    """Threshold that was passed."""

    percent: int  # of the limit; 100 is the limit itself
    action: str  # warned, or blocked: a call was refused
    over_ticks: int = 0  # beyond the limit, with the call that was refused


def event_of(budget: pb.Budget, key: str, level: Level, passed: Passed) -> Event:
    """Event that the node of that key has passed a threshold of a budget."""
    data = {
        "budget_id": str(budget.id),
        "tenant_id": key if budget.node == pb.BUDGET_NODE_TENANT else budget.tenant_id,  # of a default: *
        **names_of(budget)._asdict(),
        "node_key": key,
        "budget_limit_usd": usd_of(level.limit),
        "current_spend_usd": usd_of(level.used),
        "limit_ticks": str(level.limit),
        "current_spend_ticks": str(level.used),
        "percent_used": percent(level.used, level.limit),
        "action_taken": passed.action,
    }
    is_exceeded = passed.percent == 100
    further: Event = {"threshold_percent": passed.percent}
    if is_exceeded:
        over = passed.over_ticks
        further = {"exceeded_by_usd": usd_of(over), "exceeded_by_ticks": str(over)}
    name = EXCEEDED if is_exceeded else WARNING
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"type": name, "timestamp": time, "data": data | further}


def summary(event: Event) -> str:
    """Event in a sentence."""
    data = event["data"]
    spent, limit = (_usd(data[name]) for name in ("current_spend_ticks", "limit_ticks"))
    whose = f"{data['node'].replace('_', ' ')} {data['node_key'][:MAX_NAME]!r}"
    said = f"The {data['period']} budget of {whose} has {spent} of {limit} USD spent or reserved"
    if event["type"] == WARNING:
        return f"{said}: {data['percent_used']:g} %."
    if data["action_taken"] == "blocked":
        return f"{said}, and a call was refused that may cost {_usd(data['exceeded_by_ticks'])} USD too much."
    return f"{said}: {_usd(data['exceeded_by_ticks'])} USD too much. Calls go on."


def generic(event: Event) -> Body:
    """Event as it is."""
    return event


def slack(event: Event) -> Body:
    """Message for an incoming webhook of Slack."""
    text = summary(event).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    fields = [{"type": "plain_text", "text": f"{title}\n{value}"} for title, value in _facts(event)]
    title = {"type": "plain_text", "text": TITLES[event["type"]]}
    return {
        "text": text,
        "blocks": [{"type": "header", "text": title}, {"type": "section", "fields": fields}],
    }


def teams(event: Event) -> Body:
    """Message with an adaptive card for a workflow of Teams."""
    facts = [{"title": title, "value": MARKUP.sub(r"\\\1", value)} for title, value in _facts(event)]
    title = {"type": "TextBlock", "text": TITLES[event["type"]], "size": "Large", "weight": "Bolder"}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": MARKUP.sub(r"\\\1", summary(event)),
        "body": [{**title, "wrap": True}, {"type": "FactSet", "facts": facts}],
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "contentUrl": None, "content": card}]}


TEMPLATES: dict[str, Callable[[Event], Body]] = {"generic": generic, "slack": slack, "teams": teams}


def _facts(event: Event) -> list[tuple[str, str]]:
    data = event["data"]
    return [
        ("Tenant", data["tenant_id"]),
        (data["node"].replace("_", " ").capitalize(), data["node_key"][:MAX_NAME]),
        ("Period", data["period"]),
        ("Limit", f"{_usd(data['limit_ticks'])} USD"),
        ("Spent or reserved", f"{_usd(data['current_spend_ticks'])} USD ({data['percent_used']:g} %)"),
        ("Calls", "are refused" if data["action_taken"] == "blocked" else "go on"),
    ]


def _usd(ticks: str) -> str:
    """Amount with two decimals, or with as many as a small one needs."""
    usd = Decimal(ticks) / TICKS_PER_USD
    return f"{usd:.2f}" if usd == 0 or usd >= Decimal("0.01") else f"{usd.normalize():f}"
