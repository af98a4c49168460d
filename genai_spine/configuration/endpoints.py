"""Providers of genai.yaml as endpoints: a row of the registry, filled in by the section of one name.

A section becomes the variables that would say the same, so that file and environment are read by one function
(`settings.endpoint`); what no variable can say is put on top.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from google.protobuf import json_format
from pydantic import SecretStr

from genai_spine import settings, validation
from genai_spine.configuration.schema import ModelSection, ProviderSection, meant
from genai_spine.configuration.substitution import Substitution
from genai_spine.errors import InvalidFields, SpineError
from genai_spine.providers import PROVIDERS, AdapterName, ProviderRow
from genai_spine.providers.base import Endpoint, ModelTerms, Provider, Route, Timeouts
from genai_spine.providers.http.egress import Egress
from genai_spine.routing.candidates import check_candidate
from genai_spine.settings import Settings
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

COMPATIBLE = "compatible"
# Fields of a section that have a variable: GENAI_<NAME>_<the second>.
VARIABLES = {
    "api_key": "API_KEY",
    "base_url": "BASE_URL",
    "max_concurrency": "MAX_CONCURRENCY",
    **{
        f"default_{kind}model": f"DEFAULT_{kind.upper()}MODEL"
        for kind in ("", "embedding_", "image_", "transcription_", "speech_")
    },
}
FURTHER = (
    *("api_version", "tenant_id", "client_id", "client_secret", "token_url", "token_command"),
    *("region", "control_url", "speed", "num_ctx"),
)
# Variables that hold for every provider.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# Options that a model can have defaults of.
OPTIONS = (
    *("temperature", "top_p", "top_k", "max_tokens", "stop_sequences", "presence_penalty"),
    *("frequency_penalty", "seed", "parallel_tool_calls", "logprobs", "top_logprobs", "reasoning_effort"),
    *("reasoning_max_tokens", "provider_options"),
)
EFFORT = "REASONING_EFFORT_"


@dataclass(slots=True)
class EndpointReader:
    """Reader of one file's providers; what is wrong is collected in the substitution's faults."""

    substitution: Substitution
    variables: Mapping[str, str]
    settings: Settings

    def read(self, name: str, section: ProviderSection) -> Endpoint | None:
        """Endpoint of a section. None: something is wrong, and stands in the faults."""
        row_name = self._row_name(name, section)
        if row_name is None:
            return None
        row = PROVIDERS[row_name]
        found = settings.endpoint(row_name, row, self._as_variables(name, row_name, section), self.settings)
        if found is None:
            missing = "api_key" if row.key and (section.base_url or section.base_urls or row.base_url) else ""
            self._fault(f"needs {missing or 'base_url'}", "providers", name)
            return None
        models = {model: self._terms(name, model, terms) for model, terms in section.models.items()}
        own = section.timeouts
        timeouts = {
            limit: value for limit in Timeouts.__slots__ if (value := getattr(own, limit, None)) is not None
        }
        are_callers = found.timeouts.are_callers and "first_token_s" not in timeouts
        return replace(
            found,
            name=name,
            row="" if name == found.registry_name else found.registry_name,
            implicit=False,
            default_model=section.default_model or next(iter(section.models), found.default_model),
            timeouts=replace(found.timeouts, are_callers=are_callers, **timeouts),
            more_base_urls=tuple(section.base_urls[1:]),
            health_check_s=section.health_check_s,
            headers={
                header: self._secret(text, name, "headers", header)
                for header, text in section.headers.items()
            },
            models=models,
            egress=self._egress(found.egress, name, section),
            local=section.local,
            residency=section.residency,
            retention_days=section.retention_days,
        )

    def _row_name(self, name: str, section: ProviderSection) -> str | None:
        """Row of the registry; None after a fault."""
        place = ("providers", name)
        if section.provider is not None and section.provider not in PROVIDERS:
            hint = meant(section.provider, PROVIDERS)
            self._fault(f"there is no provider {section.provider!r}{hint}", *place, "provider")
            return None
        chosen = section.provider or (name if name in PROVIDERS else None)
        if name in PROVIDERS and chosen != name:
            self._fault(f"{name} is a provider of its own; give this one another name", *place, "provider")
            return None
        if chosen is None and section.protocol is None:
            self._fault("needs protocol, or provider", *place)
            return None
        if chosen is None:
            chosen = str(section.protocol)
            urls = (section.base_url, *section.base_urls)
            return COMPATIBLE if chosen == "openai" and any(map(_is_not_openai, urls)) else chosen
        if section.protocol and PROTOCOLS[chosen] != section.protocol:
            self._fault(f"{chosen} speaks {PROTOCOLS[chosen]}", *place, "protocol")
            return None
        return chosen

    def _as_variables(self, name: str, row_name: str, section: ProviderSection) -> dict[str, str]:
        """Variables of the section; of one that has the name of its row also those of the environment."""
        own = f"GENAI_{row_name.upper()}_"
        found = {
            variable: value
            for variable, value in self.variables.items()
            if name == row_name or variable.upper() in PROXIES
        }
        values: dict[str, Any] = {field: getattr(section, field) for field in VARIABLES}
        values["base_url"] = section.base_url or next(iter(section.base_urls), None)
        keys = section.api_keys or filter(None, [section.api_key])
        field = "api_keys" if section.api_keys else "api_key"
        values["api_key"] = ",".join(self._secret(key, name, field) for key in keys) or None
        if values["base_url"]:
            found.pop(f"{own}URL", None)
        found |= {f"{own}{VARIABLES[field]}": str(value) for field, value in values.items() if value}
        for further in FURTHER:
            value = getattr(section, further)
            if value is None:
                continue
            if further not in PROVIDERS[row_name].further:
                self._fault(f"is no setting of {row_name}", "providers", name, further)
            if isinstance(value, SecretStr):
                value = self._secret(value, name, further)
            found[f"{own}{further.upper()}"] = value
        return found

    def _egress(self, egress: Egress, name: str, section: ProviderSection) -> Egress:
        """Way out to the provider; files are relative to the folder of genai.yaml."""
        if section.proxy is not None:
            proxy = section.proxy.get_secret_value()
            egress = egress.by(None if proxy == "none" else proxy)
        folder, own = self.substitution.folder, section.client_certificate
        if section.ca_file is not None:
            egress = replace(egress, ca_file=folder / section.ca_file)
        if own is not None:
            key = None if own.key is None else folder / own.key
            egress = replace(egress, client_certificate=folder / own.certificate, client_key=key)
        try:
            egress.check()
        except ValueError as error:
            self._fault(str(error), "providers", name)
        return egress

    def _terms(self, name: str, model: str, section: ModelSection) -> ModelTerms:
        options = self._options(section.options, "providers", name, "models", model, "options")
        capabilities = None if section.capabilities is None else frozenset(section.capabilities)
        return ModelTerms(section.context_length, capabilities, options)

    def _options(self, options: Mapping[str, Any], *place: str) -> pb.CreateCompletionRequest | None:
        """Message of default options; None where there are none, or after a fault."""
        if not options:
            return None
        faults = len(self.substitution.faults)
        values = dict(options)
        for option in options:
            if option not in OPTIONS:
                self._fault(
                    f"is no option that a model has a default of{meant(option, OPTIONS)}", *place, option
                )
        if isinstance(effort := values.get("reasoning_effort"), str):
            values["reasoning_effort"] = f"{EFFORT}{effort.removeprefix(EFFORT).upper()}"
        if "provider_options" in values:
            values["provider_options_json"] = json.dumps(values.pop("provider_options"))
        if len(self.substitution.faults) > faults:
            return None
        message = pb.CreateCompletionRequest()
        try:
            json_format.ParseDict(values, message)
            validation.check(_with_message(message))
        except (json_format.ParseError, TypeError) as error:
            self._fault(f"cannot be read: {error}", *place)
        except InvalidFields as error:
            for field, problem in error.violations:
                self._fault(problem, *place, field)
        return message

    def _secret(self, value: SecretStr, name: str, *place: str) -> str:
        return self.substitution.secret(value.get_secret_value(), "providers", name, *place)

    def _fault(self, problem: str, *place: str | int) -> None:
        document = self.substitution.document
        self.substitution.faults.append(document.fault(problem, *place))


def _is_not_openai(url: str | None) -> bool:
    """Whether an address is set and is not one of OpenAI's own."""
    host = (urlsplit(url).hostname or "") if url else ""
    return bool(url) and host != "openai.com" and not host.endswith(".openai.com")


def _protocol(row: ProviderRow) -> str:
    """Protocol of a row: the folder of its adapter."""
    make = row.make
    return make.protocol if isinstance(make, AdapterName) else "openai"


PROTOCOLS = {name: "azure" if name == "azure" else _protocol(row) for name, row in PROVIDERS.items()}


def _with_message(options: pb.CreateCompletionRequest) -> pb.CreateCompletionRequest:
    """Request that has nothing but default options and a text."""
    request = pb.CreateCompletionRequest()
    request.CopyFrom(options)
    text = message_pb2.ContentPart(text="any")
    request.messages.append(message_pb2.Message(role=message_pb2.ROLE_USER, content=[text]))
    return request


def problems_of(endpoint: Endpoint) -> list[tuple[tuple[str, ...], str]]:
    """Problems that only the adapter can tell, each with its place below the provider: an address that is
    none, a certificate that cannot be read, a default option that the upstream does not take.
    """
    found: list[tuple[tuple[str, ...], str]] = []
    make = PROVIDERS[endpoint.registry_name].make
    provider: Provider | None = None
    for url in (endpoint.base_url, *endpoint.more_base_urls):
        try:
            provider = make(replace(endpoint, base_url=url))
        except (SpineError, ValueError, OSError) as error:
            field = "base_urls" if endpoint.more_base_urls else "base_url"
            found.append(((field,), str(error)))
    for model, terms in endpoint.models.items():
        if provider is None or terms.options is None:
            continue
        try:
            check_candidate(_with_message(terms.options), Route(provider, model))
        except SpineError as error:
            found.append((("models", model, "options"), str(error)))
    return found
