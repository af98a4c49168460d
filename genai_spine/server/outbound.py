"""Requests of ours to addresses that callers or operators give: whose certificates are trusted."""

import ssl

from genai_spine.settings import Settings


def trust(settings: Settings) -> ssl.SSLContext | None:
    """TLS context that knows the operator's CA file; None: there is none. Errors: OSError (the file)."""
    return ssl.create_default_context(cafile=str(settings.ca_file)) if settings.ca_file else None
