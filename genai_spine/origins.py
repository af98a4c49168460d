"""Origins of web pages (RFC 6454), and the hosts that only this machine reaches."""

import re

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
# As a browser writes one: no path, no user, ASCII only. A scheme of its own is what desktop shells have.
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def origin(text: str) -> str:
    """An origin in lower case, as browsers send it. Errors: ValueError for anything else, such as a URL."""
    found = _ORIGIN.fullmatch(text.lower())
    if found is None or int(found["port"] or 1) > 65535:
        raise ValueError(
            f"{text!r} is no origin; write scheme://host or scheme://host:port without a path, such as "
            "https://app.example.com, with commas between several, or * for all"
        )
    if found["port"] == _DEFAULT_PORTS.get(found["scheme"], ""):
        raise ValueError(
            f"{text!r}: browsers leave the port {found['port']} out of such an origin; so must you"
        )
    return text.lower()
