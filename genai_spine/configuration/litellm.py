"""Import of a LiteLLM proxy's config.yaml: what it says in our words, and a list of what we cannot carry.

Its form: https://docs.litellm.ai/docs/proxy/configs and .../docs/routing, 2026-11-29. A deployment of
`model_list` becomes a model of a provider; deployments of one address and key are one provider; those that
share a `model_name` become an alias with a weighted strategy. Nothing is read from the environment:
`os.environ/NAME` becomes `${NAME}`.
"""

import copy
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from genai_spine.configuration import document as documents
from genai_spine.configuration.document import ConfigurationError, Document
from genai_spine.configuration.endpoints import COMPATIBLE, OPTIONS
from genai_spine.providers import PROVIDERS

ENVIRONMENT = "os.environ/"
# Its names of providers -> rows of ours; the other rows have the same names.
PROVIDER_NAMES = {
    "text-completion-openai": "openai",
    "custom_openai": COMPATIBLE,
    "openai_like": COMPATIBLE,
    "hosted_vllm": "vllm",
    "ollama_chat": "ollama",
    "lm_studio": "lmstudio",
    "llamafile": "llamacpp",
    "together_ai": "together",
    "bedrock_converse": "bedrock",
    "azure_text": "azure",
    "azure_ai": COMPATIBLE,
    "litellm_proxy": COMPATIBLE,
}
# Beginnings of models without a provider.
BARE = (
    *(
        ("gpt-", "openai"),
        ("o1", "openai"),
        ("o3", "openai"),
        ("o4", "openai"),
        ("text-embedding-", "openai"),
    ),
    *(("claude-", "anthropic"), ("anthropic.", "bedrock"), ("amazon.", "bedrock"), ("gemini", "gemini")),
)
# litellm_params -> fields of a provider's section.
CONNECTION = {"api_key": "api_key", "api_base": "base_url", "base_url": "base_url"}
OF_ROW = {
    "azure": {
        "api_version": "api_version",
        "tenant_id": "tenant_id",
        "client_id": "client_id",
        "client_secret": "client_secret",
    },
    "bedrock": {"aws_region_name": "region"},
}
NUMBERS = ("timeout", "stream_timeout", "max_parallel_requests", "weight", "rpm", "tpm")
NUMERIC = re.compile(r"\d{1,15}(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)
SILENT = ("model", "custom_llm_provider", "weight", "order", "tags")
OPTION_NAMES = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}
# router_settings and general_settings -> settings.
SETTINGS = {
    ("router_settings", "num_retries"): "provider_retries",
    ("router_settings", "allowed_fails"): "circuit_failures",
    ("router_settings", "cooldown_time"): "circuit_rest",
    ("router_settings", "timeout"): "total_timeout",
    ("litellm_settings", "num_retries"): "provider_retries",
    ("litellm_settings", "request_timeout"): "total_timeout",
    ("litellm_settings", "allowed_fails"): "circuit_failures",
}
LEFT_TO_US = {
    "master_key": "this version has no authentication yet",
    "database_url": "it is LiteLLM's own database; ours has other tables",
}
# Read for aliases and fallbacks.
CARRIED = (
    *("routing_strategy", "model_group_alias", "fallbacks", "context_window_fallbacks"),
    *("content_policy_fallbacks", "default_fallbacks"),
)
STRATEGIES = {
    "simple-shuffle": "weighted",
    "latency-based-routing": "speed",
    "cost-based-routing": "cost_optimized",
}


@dataclass(slots=True)
class Imported:
    """Configuration of ours, and what is not in it."""

    data: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def text(self) -> str:
        """genai.yaml, with what is not in it as comments at its head."""
        lines = [f"# Not carried: {line}\n" for line in self.left_out]
        return "".join(lines) + yaml.safe_dump(self.data, sort_keys=False, allow_unicode=True, width=110)


def read(path: Path) -> Imported:
    """Configuration of a file of LiteLLM's. Raises ConfigurationError."""
    document = documents.parse(documents.read_bytes(path), str(path))
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("model_list"), list):
        raise ConfigurationError([document.fault("has no model_list, so it is no configuration of LiteLLM")])
    return _Import(document).convert()


class _Import:
    """Conversion of one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.result = Imported()
        self.providers: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, list[dict[str, Any]]] = {}  # model_name -> members of an alias

    def convert(self) -> Imported:
        """Result of the whole document."""
        data = self.document.data
        for index, entry in enumerate(data["model_list"]):
            self._deployment(entry, index)
        settings, fallbacks = self._settings(data), self._fallbacks(data)
        aliases = self._aliases(data)
        sections = {
            "settings": settings,
            "providers": self.providers,
            "aliases": aliases,
            "fallbacks": fallbacks,
        }
        self.result.data = {name: section for name, section in sections.items() if section}
        for name in data:
            if name not in ("model_list", "router_settings", "litellm_settings", "general_settings"):
                self._leave("has no counterpart", name)
        return self.result

    def _deployment(self, entry: Any, index: int) -> None:
        place = ("model_list", index)
        if not isinstance(entry, dict) or not isinstance(entry.get("litellm_params"), dict):
            self._leave("is no deployment with model_name and litellm_params", *place)
            return
        params, name = entry["litellm_params"], str(entry.get("model_name") or "")
        row, model = _split(str(params.get("model") or name), params.get("custom_llm_provider"))
        if row is None or not model:
            self._leave(f"{params.get('model')}: this version has no such provider", *place)
            return
        if "*" in name or "*" in model:
            name_of_ours = self._provider(row, params)
            self._leave(f"the wildcard {name}: any model of it is {name_of_ours}:MODEL", *place)
            return
        provider = self._provider(row, params)
        for key in NUMBERS:
            if params.get(key) is not None and _number(params[key]) is None:
                self._leave(f"{params[key]!r} is no number above 0", *place, "litellm_params", key)
        section = self.providers[provider].setdefault("models", {}).setdefault(model, {})
        self._model(section, params, entry.get("model_info"), place)
        member: dict[str, Any] = {"model": f"{provider}:{model}"}
        weight = _number(params.get("weight", params.get("rpm", params.get("tpm"))))
        if isinstance(weight, int | float):
            member["weight"] = weight
        if name:
            self.groups.setdefault(name, []).append(member)
        else:
            self._leave("has no model_name, so no alias is made", *place)
        for key in entry:
            if key not in ("model_name", "litellm_params", "model_info"):
                self._leave("has no counterpart", *place, key)

    def _provider(self, row: str, params: Mapping[str, Any]) -> str:
        """Name of the provider that a deployment belongs to; it is made with the first one."""
        found: dict[str, Any] = {}
        for theirs, ours in {**CONNECTION, **OF_ROW.get(row, {})}.items():
            if (value := params.get(theirs)) is not None:
                found[ours] = _reference(value)
        if isinstance(headers := params.get("extra_headers", params.get("headers")), dict):
            found["headers"] = {
                str(key): _reference(str(value)) for key, value in headers.items() if value is not None
            }
        timeouts = {}
        for theirs, ours in {"timeout": "total_s", "stream_timeout": "first_token_s"}.items():
            if (value := _number(params.get(theirs))) is not None:
                timeouts[ours] = value
        if timeouts:
            found["timeouts"] = timeouts
        if (most := _number(params.get("max_parallel_requests"))) is not None:
            found["max_concurrency"] = most
        if row == "openai" and "base_url" in found and "openai.com" not in str(found["base_url"]):
            row = COMPATIBLE
        found = {"provider": row, **found}
        if row in self.providers and PROVIDERS[row].key and not {"api_key", "client_id"} & found.keys():
            found["api_key"] = f"${{{row.upper()}_API_KEY}}"  # which only a provider of the row's name finds
        for name, section in self.providers.items():
            if {key: value for key, value in section.items() if key != "models"} == found:
                return name
        if row in PROVIDERS and row not in self.providers and row != COMPATIBLE:
            name = row
        else:
            name = next(name for name in _names(row, found) if name not in (*self.providers, *PROVIDERS))
        self.providers[name] = found
        return name

    def _model(
        self, section: dict[str, Any], params: Mapping[str, Any], info: Any, place: tuple[str | int, ...]
    ) -> None:
        """Options, prices and context of a deployment, and what else it says."""
        info = info if isinstance(info, dict) else {}
        known = {*CONNECTION, *SILENT, "extra_headers", "headers", "timeout", "stream_timeout"}
        known |= {"max_parallel_requests", *(name for names in OF_ROW.values() for name in names)}
        options: dict[str, Any] = {}
        for key, value in params.items():
            ours = OPTION_NAMES.get(key, key)
            if ours in OPTIONS:
                value = _reference(value)
                options[ours] = [value] if ours == "stop_sequences" and isinstance(value, str) else value
            elif key in ("input_cost_per_token", "output_cost_per_token"):
                if _per_million(value) is None:
                    self._leave(f"{value!r} is no price", *place, "litellm_params", key)
            elif key in ("rpm", "tpm"):
                self._leave(
                    "is taken for its weight; there is no such limit yet", *place, "litellm_params", key
                )
            elif key == "extra_body" and isinstance(value, dict):
                options["provider_options"] = value
            elif key not in known:
                self._leave("has no counterpart", *place, "litellm_params", key)
        if options:
            section["options"] = options
        price = {
            ours: million
            for theirs, ours in (("input_cost_per_token", "input"), ("output_cost_per_token", "output"))
            if (million := _per_million(params.get(theirs, info.get(theirs)))) is not None
        }
        if price:
            section["price"] = {"input": "0", **price}
        if (context := _number(info.get("max_input_tokens", info.get("max_tokens")))) is not None:
            section["context_length"] = context
        taken = (
            "id",
            "mode",
            "max_input_tokens",
            "max_tokens",
            "input_cost_per_token",
            "output_cost_per_token",
        )
        for key in info:
            if key not in taken:
                self._leave("has no counterpart", *place, "model_info", key)

    def _aliases(self, data: Mapping[str, Any]) -> dict[str, Any]:
        router = _section(data, "router_settings")
        chosen = str(router.get("routing_strategy") or "simple-shuffle")
        strategy = STRATEGIES.get(chosen)
        if strategy is None:
            self._leave(f"{chosen}: weighted is used", "router_settings", "routing_strategy")
        aliases: dict[str, Any] = {}
        for name, members in self.groups.items():
            if len(members) > 1:
                aliases[name] = {"models": members, "strategy": strategy or "weighted"}
            elif members[0]["model"] != name:
                aliases[name] = members[0]["model"]
        for name, target in _section(router, "model_group_alias").items():
            model = target.get("model") if isinstance(target, dict) else target
            if not isinstance(model, str):
                self._leave("names no model", "router_settings", "model_group_alias", name)
            else:
                aliases[name] = copy.deepcopy(aliases[model]) if model in aliases else model
        return aliases

    def _fallbacks(self, data: Mapping[str, Any]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for section in ("router_settings", "litellm_settings"):
            settings = _section(data, section)
            for key in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
                for entry in _listed(settings.get(key)):
                    if not isinstance(entry, dict):
                        self._leave(f"{entry!r} is no model with its fallbacks", section, key)
                        continue
                    for name, models in entry.items():
                        for model in _listed(models):
                            if key == "content_policy_fallbacks":
                                self._leave(
                                    "a content filter's refusal is asked of nobody else", section, key
                                )
                            elif str(model) not in found.setdefault(str(name), []):
                                found[str(name)].append(str(model))
            if default := settings.get("default_fallbacks"):
                found["*"] = [str(model) for model in _listed(default)]
        return found

    def _settings(self, data: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for section in ("router_settings", "litellm_settings", "general_settings"):
            for key, value in _section(data, section).items():
                ours = SETTINGS.get((section, key))
                if key in LEFT_TO_US:
                    self._leave(LEFT_TO_US[key], section, key)
                elif ours is not None:
                    found[ours] = _reference(value)
                elif section == "litellm_settings" and key == "cache":
                    found["cache_enabled"] = bool(value)
                elif key not in CARRIED:
                    self._leave("has no counterpart", section, key)
        return found

    def _leave(self, problem: str, *place: str | int) -> None:
        line = str(self.document.fault(problem, *place))
        if line not in self.result.left_out:
            self.result.left_out.append(line)


def _section(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _split(model: str, provider: Any) -> tuple[str | None, str]:
    """Row of ours and upstream model of `provider/model`; None: there is no such provider."""
    prefix, slash, rest = model.partition("/")
    named = str(provider) if provider else prefix if slash else ""
    name = PROVIDER_NAMES.get(named, named)
    if provider:
        rest = rest if slash and prefix == provider else model
        return (name if name in PROVIDERS else None), rest
    if slash:
        if name == "bedrock" and rest.startswith(("converse/", "invoke/")):
            rest = rest.partition("/")[2]
        return (name if name in PROVIDERS else None), rest
    return next((row for start, row in BARE if model.startswith(start)), None), model


def _names(row: str, section: Mapping[str, Any]) -> list[str]:
    """Names for a provider, the best first: of its host, else numbered."""
    host = re.sub(r"^https?://", "", str(section.get("base_url", ""))).partition("/")[0]
    word = re.sub(r"[^A-Za-z0-9]+", "-", host).strip("-").lower()
    names = [f"{row}-{word}"[:60]] if word and not host.startswith("$") else []
    return names + [f"{row}-{number}" for number in range(2, 10_000)]


def _reference(value: Any) -> Any:
    """Value with its reference to the environment as ours are written; a `$` of its own stays one."""
    if not isinstance(value, str):
        return value
    if value.startswith(ENVIRONMENT):
        return f"${{{value.removeprefix(ENVIRONMENT)}}}"
    return value.replace("${", "$${")


def _per_million(per_token: Any) -> str | None:
    """Price of 1,000,000 tokens, exactly; None: it is no price."""
    try:
        price = Decimal(str(per_token)) * 1_000_000
    except InvalidOperation:
        return None
    return format(price.normalize(), "f") if price.is_finite() and price >= 0 else None


def _number(value: Any) -> Any:
    """A number above 0, which may be written as text, or a reference to one; None: it is neither."""
    if isinstance(value, str) and value.startswith(ENVIRONMENT):
        return _reference(value)
    if isinstance(value, str) and NUMERIC.fullmatch(value):
        value = float(value) if set(value) & set(".eE") else int(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 < value < math.inf else None


def _listed(value: Any) -> list[Any]:
    """Entries of a list, which may be one alone."""
    return value if isinstance(value, list) else [] if value is None else [value]
