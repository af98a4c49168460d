"""Settings of budgets: their older names, exact amounts, and secrets that are not shown."""

from decimal import Decimal
from pathlib import Path

import pytest

from genai_spine import settings
from tests.unit.settings.conftest import loaded

OLDER = {
    "GENAI_COST_BUDGET_DAILY": ("budget_daily", "10.5", Decimal("10.5")),
    "AI_DEFAULT_MONTHLY_BUDGET_USD": ("budget_monthly", "200", Decimal(200)),
    "AI_BUDGET_POLICY": ("budget_policy", "warn", "warn"),
}


def test_defaults_are_no_limits() -> None:
    found = settings.load()
    assert (found.budget_daily, found.budget_monthly) == (None, None)
    assert (found.budget_policy, found.budget_warn_daily, found.budget_warn_monthly) == (
        "soft_block",
        0.8,
        0.9,
    )
    assert (found.budget_webhook_url, found.budget_webhook_secret) == (None, None)


@pytest.mark.parametrize("older", OLDER)
def test_older_names_are_read_and_the_name_of_now_wins(monkeypatch: pytest.MonkeyPatch, older: str) -> None:
    name, text, value = OLDER[older]
    assert getattr(loaded(monkeypatch, **{older: text}), name) == value
    assert settings.variables_of(name, {older: text}) == [older]
    other = "hard_block" if name == "budget_policy" else "1"
    assert str(getattr(loaded(monkeypatch, **{f"GENAI_{name.upper()}": other}), name)) == other


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GENAI_BUDGET_DAILY", "-1"),
        ("GENAI_BUDGET_DAILY", "nan"),
        ("GENAI_BUDGET_DAILY", "ten"),
        ("GENAI_BUDGET_MONTHLY", "0.00000000001"),
        ("GENAI_BUDGET_MONTHLY", "1e30"),
        ("GENAI_BUDGET_POLICY", "block"),
        ("GENAI_BUDGET_WARN_DAILY", "80"),
        ("GENAI_BUDGET_WARN_MONTHLY", "0"),
        ("GENAI_BUDGET_WEBHOOK_FORMAT", "discord"),
        ("GENAI_BUDGET_WEBHOOK_SECRET", "whsec_not base64"),
    ],
)
def test_what_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=variable.removeprefix("GENAI_").lower()):
        loaded(monkeypatch, **{variable: value})


def test_webhook_and_its_secret_may_stand_in_files_and_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("url", "secret"):
        (tmp_path / name).write_text(f"https://{name}.example/planted\n")
    found = loaded(
        monkeypatch,
        GENAI_BUDGET_WEBHOOK_URL_FILE=str(tmp_path / "url"),
        GENAI_BUDGET_WEBHOOK_SECRET_FILE=str(tmp_path / "secret"),
    )
    assert found.budget_webhook_url is not None
    assert found.budget_webhook_url.get_secret_value() == "https://url.example/planted"
    assert "planted" not in repr(found)
