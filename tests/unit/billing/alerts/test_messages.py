"""Messages about budgets: the fields of the event, and what Slack and Teams take."""

from typing import Any

import pytest

from genai_spine.billing.alerts.messages import TEMPLATES, Passed, event_of, summary
from genai_spine.store.booking.entries import Level
from genai_spine.v1 import budget_pb2 as pb

USD = 10**10


def event(passed: Passed, used: int = 85 * USD // 10, key: str = "ann") -> dict[str, Any]:
    budget = pb.Budget(
        id=7,
        tenant_id="acme",
        node=pb.BUDGET_NODE_END_USER,
        period=pb.BUDGET_PERIOD_DAILY,
        policy=pb.BUDGET_POLICY_SOFT_BLOCK,
    )
    return event_of(budget, key, Level(used, 10 * USD, True), passed)


def test_warning_has_its_fields() -> None:
    found = event(Passed(80, "warned"))
    assert found["type"] == "budget.warning"
    assert found["timestamp"].endswith("Z")
    assert found["data"] == {
        "budget_id": "7",
        "tenant_id": "acme",
        "node": "end_user",
        "node_key": "ann",
        "period": "daily",
        "policy": "soft_block",
        "budget_limit_usd": 10.0,
        "current_spend_usd": 8.5,
        "limit_ticks": "100000000000",
        "current_spend_ticks": "85000000000",
        "percent_used": 85.0,
        "action_taken": "warned",
        "threshold_percent": 80,
    }


def test_default_of_all_tenants_names_the_tenant_that_passed_it() -> None:
    default = pb.Budget(
        tenant_id="*", node=pb.BUDGET_NODE_TENANT, node_key="*", period=pb.BUDGET_PERIOD_DAILY
    )
    assert event_of(default, "acme", Level(9, 10, True), Passed(80, "warned"))["data"]["tenant_id"] == "acme"


def test_exceeded_says_by_how_much_and_what_was_done() -> None:
    data = event(Passed(100, "blocked", 2 * USD))["data"]
    assert (data["exceeded_by_usd"], data["exceeded_by_ticks"]) == (2.0, "20000000000")
    assert data["action_taken"] == "blocked"
    assert "threshold_percent" not in data


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (Passed(80, "warned"), "8.50 of 10.00 USD spent or reserved: 85 %."),
        (Passed(100, "blocked", 2 * USD), "a call was refused that may cost 2.00 USD too much."),
        (Passed(100, "warned", USD // 1000), "0.001 USD too much. Calls go on."),
    ],
)
def test_summary_is_a_sentence(passed: Passed, words: str) -> None:
    said = summary(event(passed))
    assert said.startswith("The daily budget of end user 'ann' has 8.50 of 10.00 USD")
    assert said.endswith(words)


def test_slack_gets_text_and_blocks_in_which_a_name_is_no_markup() -> None:
    body = TEMPLATES["slack"](event(Passed(80, "warned"), key="<!channel> <http://evil|x>" + "y" * 500))
    assert set(body) == {"text", "blocks"}
    assert "<" not in body["text"]
    assert "&lt;!channel&gt;" in body["text"]
    header, section = body["blocks"]
    assert header == {"type": "header", "text": {"type": "plain_text", "text": "Budget warning"}}
    assert 0 < len(section["fields"]) <= 10  # what Slack takes
    assert all(field["type"] == "plain_text" and len(field["text"]) < 200 for field in section["fields"])


def test_teams_gets_an_adaptive_card_in_which_a_name_is_no_link() -> None:
    body = TEMPLATES["teams"](event(Passed(100, "warned", 1), key="[x](http://evil)"))
    assert body["type"] == "message"
    [attachment] = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["body"][0]["text"]) == ("AdaptiveCard", "Budget exceeded")
    assert {"title": "End user", "value": r"\[x\]\(http://evil\)"} in card["body"][1]["facts"]


def test_generic_is_the_event() -> None:
    found = event(Passed(80, "warned"))
    assert TEMPLATES["generic"](found) == found
