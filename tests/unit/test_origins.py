"""An origin is taken as a browser writes it, and everything else is refused in words that help."""

import re

import pytest

from genai_spine.origins import origin


@pytest.mark.parametrize(
    "text",
    [
        *("https://app.example.com", "http://10.0.0.5:3000", "http://intranet", "http://[fd00::1]:8080"),
        *(
            "https://a.example:80",
            "http://a.example:443",
            "https://a.example:65535",
            "https://xn--bcher-kva.example",
        ),
        *("tauri://localhost", "chrome-extension://abcdefgh", "vscode-webview://a-b-c", "app://x"),
    ],
)
def test_what_a_browser_sends_is_taken_as_it_is(text: str) -> None:
    assert origin(text) == text
    assert origin(text.upper()) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "app.example.com",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "//a.example",
            "null",
        ),
        *(
            "https://a.example?x",
            "https://a.example#x",
            "https://user@a.example",
            "https://a b",
            " https://a",
        ),
        *(
            "https://a.example:",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:080",
            "",
        ),
        *(
            "https://*.example.com",
            "https://b\u00fccher.example",
            "https://a..example",
            "https://a.example.",
            "file://",
        ),
        *(
            "https://[::1",
            "https://::1",
            "https://a.example;https://b.example",
            "https://a\nb",
            "https://a:1:2",
        ),
    ],
)
def test_anything_else_is_refused_by_its_value(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is no origin; write scheme://host")):
        origin(text)


@pytest.mark.parametrize("text", ["https://a.example:443", "http://a.example:80", "HTTP://[::1]:80"])
def test_a_port_that_browsers_leave_out_is_refused_because_it_would_never_match(text: str) -> None:
    with pytest.raises(ValueError, match="browsers leave the port"):
        origin(text)
