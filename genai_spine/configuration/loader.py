"""Settings of genai.yaml and of the environment together.

What both say is an error, so that nobody wonders which of them counts. Everything that can be found wrong
without asking a provider is found here, with its line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from genai_spine import settings
from genai_spine.behaviour import book
from genai_spine.behaviour.book import BookError
from genai_spine.billing import file_rows
from genai_spine.billing.price import PriceBookError
from genai_spine.billing.price_sources import StatedPrice
from genai_spine.configuration import document as documents
from genai_spine.configuration.document import ConfigurationError, Document, Fault
from genai_spine.configuration.endpoints import VARIABLES, EndpointReader, problems_of
from genai_spine.configuration.schema import (
    ALL_MODELS,
    FileSection,
    ProviderSection,
    checked,
    in_lower_case,
    meant,
)
from genai_spine.configuration.source import Source
from genai_spine.configuration.substitution import Substitution
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.routing.router import Alias, Member, Router
from genai_spine.settings import Settings

# Settings that have a section of their own, and its name.
SECTIONS = {"model_aliases": "aliases", "fallback_chain": "fallbacks"}
# Settings that a reload changes; a change of any other needs a restart.
RELOADED = frozenset(
    {
        *("default_provider", "default_model", "model_aliases", "fallback_chain", "quality_tiers"),
        *("circuit_failures", "circuit_rest", "circuit_successes", "provider_retries"),
        *("connect_timeout", "token_timeout", "total_timeout", "price_overrides", "ca_file"),
        *("model_name", "max_concurrent_requests", "max_retries", "retry_min_wait", "retry_max_wait"),
        *("max_prompt_tokens", "input_token_price", "output_token_price"),
        *("endpoints", "fallbacks", "stated_prices", "other_lanes", "behaviour", "strict_options"),
        *("access_groups", "rate_limit_requests_per_minute"),
        *("max_concurrent_calls", "max_waiting_calls", "max_call_wait"),
        *("budget_daily", "budget_monthly", "budget_policy", "budget_action"),
        *("budget_warn_daily", "budget_warn_monthly", "budget_unknown_price", "reserve_max_tokens"),
        *("budget_webhook_url", "budget_webhook_secret", "budget_webhook_format", "budget_webhook_private"),
    }
)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings in force, and what they were read from."""

    settings: Settings
    source: Source
    options: Mapping[str, Any]  # of the command line, which win

    def reread(self) -> "Configuration":
        """Configuration as it is now, with the same options. Raises as reread()."""
        return reread(self.source, self.options)


def reread(before: Source, options: Mapping[str, Any]) -> Configuration:
    """Configuration as it is now. before: what it was read from until now; options: as load() got them.

    A file that is gone or empty is an error where it said something before: editors and mounts leave one
    so for a moment, and without providers every call would go elsewhere. Raises as load().
    """
    latest = load(**options)
    found = latest.source
    if before.says_anything and not (found.says_anything or found.is_snapshot):
        problem = "is gone" if found.raw is None else "is empty"
        text = f"{problem}; `providers: {{}}` says that there are none"
        raise ConfigurationError([Fault(text, source=before.name)])
    return latest


def load(**options: Any) -> Configuration:
    """Configuration of this process, read now. options: of the command line, None where not given.

    Raises ConfigurationError, ValueError.
    """
    source = Source.current()
    return Configuration(read(source, options), source, options)


def read(source: Source, options: Mapping[str, Any] | None = None) -> Settings:
    """Settings of a source and of the environment. Raises as load()."""
    given = dict(source.overrides)
    given |= {name: value for name, value in (options or {}).items() if value is not None}
    if source.raw is None or source.path is None:
        return _Reader(Document(""), Path.cwd()).settings({}, given)
    document = documents.parse(source.raw, source.name)
    return _Reader(document, source.path.parent).read(given)


def reloaded(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """New settings as far as a running server can take them, and the names of those that need a restart."""
    fixed = [name for name in Settings.model_fields if name not in RELOADED]
    changed = [name for name in fixed if getattr(old, name) != getattr(new, name)]
    return new.model_copy(update={name: getattr(old, name) for name in fixed}), changed


class _Reader:
    """Reader of one document, beside the environment."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.variables = settings.environment()
        self.substitution = Substitution(document, self.variables, folder)
        self.faults = self.substitution.faults

    def read(self, options: Mapping[str, Any]) -> Settings:
        """Settings of both. options: those that win over both. Raises ConfigurationError."""
        data = self.substitution.replaced(self.document.data)
        self.substitution.check()
        file = checked(Document(self.document.source, data, self.document.lines))
        self.faults.extend(self._conflicts(file, options))
        self.substitution.check()
        found = self.settings(self._stated(file, options), options)
        reader = EndpointReader(self.substitution, self.variables, found)
        endpoints = {name: reader.read(name, section) for name, section in file.providers.items()}
        self.substitution.check()
        mine = {name: endpoint for name, endpoint in endpoints.items() if endpoint is not None}
        for name, endpoint in mine.items():
            self._check_endpoint(name, endpoint)
        if "price_overrides" in file.settings and found.price_overrides is not None:
            self._check_price_file(found.price_overrides)
        if "behaviour" in file.settings and found.behaviour is not None:
            self._check_behaviour_file(found.behaviour)
        result = self._together(file, found, mine)
        self.substitution.check()
        return result

    def settings(self, stated: Mapping[str, Any], options: Mapping[str, Any]) -> Settings:
        """Settings of the environment with those that the file states.

        Raises ConfigurationError, ValueError.
        """
        try:
            return settings.load(**{**stated, **options})
        except ValidationError as error:
            problems = error.errors()
            raise ConfigurationError([self._of_settings(problem, stated) for problem in problems]) from None

    def _stated(self, file: FileSection, options: Mapping[str, Any]) -> dict[str, Any]:
        """Settings that the file states. Raises ConfigurationError."""
        given: dict[str, Any] = {}
        for name, value in file.settings.items():
            field = Settings.model_fields.get(name)
            if name in SECTIONS:
                self._fault(f"stands at the top of the file, as {SECTIONS[name]}", "settings", name)
            elif field is None or field.exclude:
                known = [key for key, field in Settings.model_fields.items() if not field.exclude]
                self._fault(f"unknown key{meant(name, known)}", "settings", name)
            elif value is not None:
                is_path = "Path" in str(field.annotation)
                given[name] = self.folder / str(value) if is_path else value
        self.substitution.check()
        said = "default_provider" in given or settings.variables_of("default_provider", self.variables)
        if not said and "default_provider" not in options:
            lane = options.get("lane") or given.get("lane") or self.variables.get("GENAI_LANE") or "cpu"
            here = [name for name, one in file.providers.items() if one.lane in (None, lane)]
            given |= {"default_provider": here[0]} if here else {}
        return given

    def _of_settings(self, problem: Any, stated: Mapping[str, Any]) -> Fault:
        """Fault of the file, or of a variable."""
        text = str(problem["msg"]).removeprefix("Value error, ")
        name = next(iter(problem["loc"]), None)
        if name in stated or (name is None and stated):
            return self.document.fault(in_lower_case(text), "settings", *problem["loc"])
        variable = "_".join(map(str, problem["loc"])).upper()
        return Fault(text, (f"GENAI_{variable}",) if variable else ())

    def _conflicts(self, file: FileSection, options: Mapping[str, Any]) -> Iterator[Fault]:
        """Faults of what stands in the file and in the environment, too."""
        for name in file.settings:
            if name not in options:
                yield from self._conflict(settings.variables_of(name, self.variables), "settings", name)
        for name, section in SECTIONS.items():
            if getattr(file, section):
                yield from self._conflict(settings.variables_of(name, self.variables), section)
        for name, provider in file.providers.items():
            if name in PROVIDERS:
                yield from self._conflicts_of(name, provider)

    def _conflicts_of(self, name: str, section: ProviderSection) -> Iterator[Fault]:
        own = f"GENAI_{name.upper()}_"
        pairs = [(field, f"{own}{variable}") for field, variable in VARIABLES.items()]
        pairs += [("base_url", f"{own}URL"), ("base_urls", f"{own}BASE_URL"), ("base_urls", f"{own}URL")]
        pairs += [("api_keys", f"{own}API_KEY"), ("proxy", f"{own}PROXY"), ("ca_file", f"{own}CA_FILE")]
        pairs += [("client_certificate", f"{own}{name}") for name in ("CLIENT_CERTIFICATE", "CLIENT_KEY")]
        pairs += [(field, f"{own}{field.upper()}") for field in PROVIDERS[name].further]
        for field, variable in pairs:
            if getattr(section, field) and self.variables.get(variable):
                yield from self._conflict([variable], "providers", name, field)
        if section.timeouts and section.timeouts.first_token_s and self.variables.get(f"{own}TIMEOUT"):
            yield from self._conflict([f"{own}TIMEOUT"], "providers", name, "timeouts", "first_token_s")

    def _conflict(self, variables: list[str], *place: str) -> Iterator[Fault]:
        """Fault of a place that is also said by variables, unless it refers to them."""
        used = {
            name
            for at, names in self.substitution.used.items()
            if at[: len(place)] == place
            for name in names
        }
        for variable in variables:
            if variable not in used:
                yield self.document.fault(f"is set here and by {variable}; take one of them away", *place)

    def _check_endpoint(self, name: str, endpoint: Endpoint) -> None:
        for below, problem in problems_of(endpoint):
            self._fault(problem, "providers", name, *below)

    def _check_price_file(self, path: Path) -> None:
        try:
            file_rows.read(path, "overrides")
        except PriceBookError as error:
            self._fault(str(error), "settings", "price_overrides")

    def _check_behaviour_file(self, path: Path) -> None:
        try:
            book.read(path)
        except BookError as error:
            self._fault(str(error), "settings", "behaviour")

    def _together(self, file: FileSection, found: Settings, mine: Mapping[str, Endpoint]) -> Settings:
        endpoints = {**found.endpoints, **mine}
        lanes = {name: section.lane for name, section in file.providers.items() if section.lane}
        elsewhere = {name: lane for name, lane in lanes.items() if lane != found.lane}
        tiers = {
            f"{name}:{model}": terms.quality
            for name, section in file.providers.items()
            for model, terms in section.models.items()
            if terms.quality
        }
        chain, chains = self._fallbacks(file)
        return found.model_copy(
            update={
                "endpoints": {name: one for name, one in endpoints.items() if name not in elsewhere},
                "other_lanes": elsewhere,
                "model_aliases": self._aliases(file, found),
                "quality_tiers": {**found.quality_tiers, **tiers},
                "fallback_chain": chain or found.fallback_chain,
                "fallbacks": chains,
                "stated_prices": self._prices(file),
            }
        )

    def _fallbacks(self, file: FileSection) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
        chains = {name: tuple(names) for name, names in file.fallbacks.items()}
        return chains.pop(ALL_MODELS, ()), chains

    def _aliases(self, file: FileSection, found: Settings) -> dict[str, Alias]:
        """Aliases of the file and of its models, and of the names of the models themselves."""
        aliases = dict(found.model_aliases)
        for name, given in file.aliases.items():
            try:
                aliases[name] = settings.alias(name, given)
            except ValueError as error:
                self._fault(str(error).removeprefix(f"{name}: "), "aliases", name)
        by_name: dict[str, list[str]] = {}
        for provider, section in file.providers.items():
            for model, terms in section.models.items():
                by_name.setdefault(model, []).append(provider)
                for index, alias in enumerate(terms.aliases):
                    if alias in aliases:
                        place = ("providers", provider, "models", model, "aliases", index)
                        self._fault(f"{alias} is an alias of another model already", *place)
                    aliases[alias] = Alias((Member(f"{provider}:{model}"),))
        owners = Router({}, found.default_provider)
        for model, providers in by_name.items():
            known = {*found.endpoints, *file.providers}
            is_plain = model not in known and model.partition(":")[0] not in known
            if model not in aliases and is_plain and [owners.owner(model)[0]] != providers:
                aliases[model] = Alias(tuple(Member(f"{provider}:{model}") for provider in providers))
        return aliases

    def _prices(self, file: FileSection) -> tuple[StatedPrice, ...]:
        prices: list[StatedPrice] = []
        for provider, section in file.providers.items():
            for model, terms in section.models.items():
                if terms.price is None:
                    continue
                price = StatedPrice(provider, model, _as_text(terms.price))
                try:
                    file_rows.configured(price)
                except PriceBookError as error:
                    text = str(error).removeprefix(f"{provider} {model}: ")
                    self._fault(text, "providers", provider, "models", model, "price")
                prices.append(price)
        return tuple(prices)

    def _fault(self, problem: str, *place: str | int) -> None:
        self.faults.append(self.document.fault(problem, *place))


def _as_text(value: Any) -> Any:
    """Numbers of a price as texts, so that none passes through a float."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
