"""Endpoints of providers, from their variables: GENAI_<PROVIDER>_API_KEY, _BASE_URL, ..."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from genai_spine.providers import PROVIDERS, ProviderRow, row_at
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.http.egress import Egress, of_environment
from genai_spine.settings.notation import count, positive
from genai_spine.settings.settings import Settings


def endpoint(name: str, row: ProviderRow, variables: dict[str, str], settings: Settings) -> Endpoint | None:
    """Endpoint of a provider, from its variables. None: not configured."""
    own = f"GENAI_{name.upper()}_"
    # The names without prefix are those that each provider's own tools read.
    names = (f"{own}API_KEY", f"{name.upper()}_API_KEY", *row.key_variables)
    given = next((value for named in names if (value := variables.get(named))), "")
    keys = [key.strip() for key in given.split(",") if key.strip()]  # no provider's keys hold a comma
    key = keys[0] if keys else None
    own_url = variables.get(f"{own}BASE_URL") or variables.get(f"{own}URL")
    url = own_url or row.base_url
    further = {
        setting: value for setting in row.further if (value := variables.get(f"{own}{setting.upper()}"))
    }
    # Where credentials can come from elsewhere, a setting of its own says that it is meant. Not from .env:
    # the client that reads these variables does not know that file.
    meant = row.credential_variables and (own_url or further)
    stands_in = meant or any(map(os.environ.get, row.credential_variables))
    stands_in = stands_in or any(all(name in further for name in group) for group in row.credential_settings)
    if not url or (row.key and not (key or stands_in)):
        return None
    row = PROVIDERS.get(there := row_at(name, url), row)
    timeout_s = positive(f"{own}TIMEOUT", variables.get(f"{own}TIMEOUT"))
    media_models = {
        kind: model
        for kind in ("image", "transcription", "speech")
        if (model := variables.get(f"{own}DEFAULT_{kind.upper()}_MODEL") or row.media_models.get(kind))
    }
    return Endpoint(
        name=name,
        row="" if there == name else there,
        base_url=url,
        api_key=key,
        more_keys=tuple(keys[1:]),
        max_concurrency=count(f"{own}MAX_CONCURRENCY", variables.get(f"{own}MAX_CONCURRENCY")),
        implicit=not (own_url or key or further) and name not in (settings.default_provider, "builtin"),
        further=further,
        default_model=variables.get(f"{own}DEFAULT_MODEL") or row.model,
        default_embedding_model=variables.get(f"{own}DEFAULT_EMBEDDING_MODEL") or row.embedding_model,
        default_media_models=media_models,
        egress=_egress(own, url, variables, settings),
        timeouts=Timeouts(
            connect_s=settings.connect_timeout,
            first_token_s=timeout_s or row.timeout_s,
            are_callers=timeout_s is None,
            between_tokens_s=settings.token_timeout,
            total_s=settings.total_timeout,
        ),
    )


def _egress(own: str, url: str, variables: Mapping[str, str], settings: Settings) -> Egress:
    """Way out to a provider. own: beginning of its variables. Raises ValueError naming the variable."""
    files = {
        field: Path(value) if (value := variables.get(f"{own}{field.upper()}")) else None
        for field in ("ca_file", "client_certificate", "client_key")
    }
    found = replace(
        of_environment(variables),
        ca_file=files["ca_file"] or settings.ca_file,
        client_certificate=files["client_certificate"],
        client_key=files["client_key"],
    )
    if proxy := variables.get(f"{own}PROXY"):
        found = found.by(None if proxy == "none" else proxy)
    try:
        found.check_files()
    except ValueError as error:
        raise ValueError(f"GENAI_CA_FILE or one of {own}*: {error}") from None
    scheme, host = url.partition("://")[0].lower(), _host(url)
    try:
        found.proxy(scheme, host, 0)
    except ValueError as error:
        raise ValueError(
            f"{f'{own}PROXY' if proxy else f'{scheme.upper()}_PROXY or ALL_PROXY'}: {error}"
        ) from None
    return found


def _host(url: str) -> str:
    """Host of a URL; that of one that is none is nobody's, which its provider's client says."""
    try:
        return urlsplit(url).hostname or "localhost"
    except ValueError:
        return "localhost"
