"""Budgets and webhook of the settings."""

from typing import Any

import pytest

from genai_spine.errors import InvalidRequest
from genai_spine.server.spending import default_budgets, webhook_of
from genai_spine.settings import Settings
from genai_spine.v1 import budget_pb2 as pb


def settings(**fields: Any) -> Settings:
    return Settings(_env_file=None, **fields)  # type: ignore[call-arg]  # of pydantic


def test_without_limits_there_are_no_defaults_and_no_webhook() -> None:
    assert default_budgets(settings()) == []
    assert webhook_of(settings()) is None


def test_each_limit_is_a_default_with_its_own_threshold() -> None:
    daily, monthly = default_budgets(
        settings(
            budget_daily="0.1",
            budget_monthly="100",
            budget_policy="warn",
            budget_warn_daily=0.29,
            budget_warn_monthly=0.95,
        )
    )
    assert (daily.period, daily.limit_ticks, daily.warn_percent) == (pb.BUDGET_PERIOD_DAILY, 10**9, 29)
    assert (monthly.period, monthly.limit_ticks, monthly.warn_percent) == (
        pb.BUDGET_PERIOD_MONTHLY,
        10**12,
        95,
    )
    assert {daily.policy, monthly.policy} == {pb.BUDGET_POLICY_WARN}
    [alone] = default_budgets(settings(budget_monthly="0"))
    assert (alone.limit_ticks, alone.policy) == (0, pb.BUDGET_POLICY_SOFT_BLOCK)


@pytest.mark.parametrize(
    ("action", "policy"),
    [
        (None, pb.BUDGET_POLICY_SOFT_BLOCK),
        ("warn", pb.BUDGET_POLICY_WARN),
        ("block", pb.BUDGET_POLICY_HARD_BLOCK),
        ("fallback", pb.BUDGET_POLICY_FALLBACK),
    ],
)
def test_action_stands_in_the_place_of_the_policy(action: str | None, policy: int) -> None:
    [daily] = default_budgets(settings(budget_daily="1", budget_policy="soft_block", budget_action=action))
    assert daily.policy == policy


def test_webhook_is_as_the_settings_say() -> None:
    found = webhook_of(
        settings(
            budget_webhook_url="https://hooks.example.com:9000/x",
            budget_webhook_format="teams",
            budget_webhook_secret="s",
        )
    )
    assert found is not None
    assert (found.template, found.secret, found.fetcher.limits.is_public_only) == ("teams", b"s", True)
    assert "planted" not in repr(webhook_of(settings(budget_webhook_url="https://example.com/planted")))
    private = webhook_of(settings(budget_webhook_url="http://10.0.0.7/x", budget_webhook_private=True))
    assert private is not None
    assert not private.fetcher.limits.is_public_only


@pytest.mark.parametrize("url", ["http://example.com/x", "example.com", "https://user:planted@example.com/x"])
def test_address_that_cannot_be_used_names_its_setting_and_not_itself(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^GENAI_BUDGET_WEBHOOK_URL: ") as refused:
        webhook_of(settings(budget_webhook_url=url))
    assert "planted" not in str(refused.value)
    assert "example" not in str(refused.value)
