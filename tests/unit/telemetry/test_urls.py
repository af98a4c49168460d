"""What is shown of a URL lets nobody in."""

import pytest

from genai_spine.telemetry.urls import shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:11434", "http://localhost:11434"),
        ("http://user:pa%40ss@host:1/v1", "http://***@host:1/v1"),
        ("https://token@host/", "https://***@host/"),
        ("postgresql://u:p@[::1]:5432/db?sslmode=require", "postgresql://***@[::1]:5432/db?sslmode=require"),
        (
            "postgresql:///db?host=/run/pg&password=p&user=u",
            "postgresql:///db?host=/run/pg&password=***&user=u",
        ),
        ("https://h/v1?api_key=k&x=1", "https://h/v1?api_key=***&x=1"),
        ("http://u:p/q@host/v1", "http://***@host/v1"),
        ("builtin:", "builtin:"),
        ("sqlite:////data/x.db", "sqlite:////data/x.db"),
    ],
)
def test_url_is_shown_without_secrets(url: str, expected: str) -> None:
    assert shown(url) == expected
