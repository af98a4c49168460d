"""From the model that a caller names to the provider and upstream model that answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from genai_spine.behaviour.book import BehaviourBook, RulesFile
from genai_spine.call import Call
from genai_spine.errors import InvalidRequest, ModelNotFound
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Provider, Route
from genai_spine.routing.model_names import LOCAL_TAGS, OPEN_WEIGHTS, is_local_tag, owner_of
from genai_spine.routing.permissions import Permissions
from genai_spine.v1 import routing_pb2


@dataclass(frozen=True, slots=True)
class Member:
    """One model of an alias."""

    model: str  # provider:model, or a plain name
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Alias:
    """A name of the operator's for one model, or for several that can answer alike."""

    members: tuple[Member, ...]
    strategy: "routing_pb2.RoutingStrategy | None" = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Surroundings of a router: providers of other lanes, to their lane; rules and groups of models."""

    other_lanes: Mapping[str, str] = field(default_factory=dict)
    book: BehaviourBook = field(default_factory=lambda: BehaviourBook(RulesFile()))
    # Name of a group, for the permissions of keys, to models, which may hold *.
    access_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Router:
    """Resolves names of requests to routes: alias, then provider and model."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        default_provider: str,
        default_model: str | None = None,
        aliases: Mapping[str, Alias] | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """default_model: of the default provider. surroundings: None: no other lane, and no rules."""
        self.providers = providers
        self.default_provider = default_provider
        self.default_model = default_model
        self.aliases = aliases or {}
        surroundings = surroundings or Surroundings()
        self.other_lanes, self.book = surroundings.other_lanes, surroundings.book
        self.permissions = Permissions(surroundings.access_groups)
        self._members: dict[tuple[str, Alias, bool], list[Route]] = {}

    def resolve(self, provider: str, model: str, *, embedding: bool = False) -> Route:
        """The route for what a request names, either of which may be empty. First match wins.

        Errors: InvalidRequest (provider unknown or not configured, or without a default model),
        ModelNotFound (the model's own provider is not configured). Of an alias: its first model that
        can be called.
        """
        alias = self.aliases.get(model)
        if alias is not None:
            return self.members(provider, alias, embedding=embedding)[0]
        return self._resolve(provider, model, embedding)

    def routes(self, provider: str, model: str, *, embedding: bool = False) -> list[Route]:
        """Every model that the name stands for, at least one. Errors: as resolve()."""
        alias = self.aliases.get(model)
        if alias is not None:
            return self.members(provider, alias, embedding=embedding)
        return [self._resolve(provider, model, embedding)]

    def permitted(self, routes: list[Route], model: str, call: Call) -> list[Route]:
        """Routes that the caller's key may use, at least one. Errors: NotPermittedToKey."""
        if call.principal.permissions is None:
            return routes
        alias = self.aliases.get(model)
        members = self.members("", alias) if alias else []
        return self.permissions.permitted(routes, model, members, call)

    def members(self, provider: str, alias: Alias, *, embedding: bool = False) -> list[Route]:
        """Routes of an alias whose provider is configured; the error of the first when there is none."""
        key = (provider, alias, embedding)
        found = self._members.get(key)
        if found is None:
            found = self._found(provider, alias, embedding)
            if not provider:  # what a request names may be anything
                self._members[key] = found
        return list(found)

    def _found(self, provider: str, alias: Alias, embedding: bool) -> list[Route]:
        found: list[Route] = []
        failure: InvalidRequest | ModelNotFound | None = None
        for member in alias.members:
            try:
                route = self._resolve(provider, member.model, embedding)
            except (InvalidRequest, ModelNotFound) as error:
                failure = failure or error
                continue
            found.append(Route(route.provider, route.model, member.weight, route.rules))
        if not found and failure is not None:
            raise failure
        return found

    def fallback(self, name: str, *, embedding: bool = False) -> list[Route]:
        """Routes of an entry of a fallback chain: an alias, a provider's default model, or a model.

        Errors: as resolve(); ModelNotFound for a provider that is not configured.
        """
        if self.is_missing(name):
            raise self._not_configured(name, name)
        if name in self.providers and name not in self.aliases:
            return [self._resolve(name, "", embedding)]
        return self.routes("", name, embedding=embedding)

    def id_of(self, route: Route) -> str:
        """The shortest name that leads back to the route."""
        name = (route.provider.name, route.model)
        alias = self.aliases.get(route.model)
        if alias is None:
            is_providers = self._is_provider(route.model) or self._is_no_model(route.model)
            short = self.owner(route.model) == name and not is_providers
        else:
            short = alias.members == (Member(f"{name[0]}:{name[1]}"),)
        return route.model if short else f"{name[0]}:{name[1]}"

    def _resolve(self, provider: str, model: str, embedding: bool) -> Route:
        if provider:
            found = self._named(provider)
            own = model.removeprefix(f"{provider}:")
            return self._route(found, own or self._default(found, embedding))
        if not model or self._is_provider(model):
            found = self._named(model or self.default_provider)
            return self._route(found, self._default(found, embedding))
        if self._is_no_model(model):
            raise self._not_configured(model, model)
        name, upstream_model = self.owner(model)
        if name not in self.providers:
            raise self._not_configured(name, model)
        return self._route(self.providers[name], upstream_model)

    def _route(self, provider: Provider, model: str) -> Route:
        return Route(provider, model, rules=self.book.rules(provider.kind, model))

    def owner(self, model: str) -> tuple[str, str]:
        """The provider whose model it is by its name, configured or not, and the provider's name of it."""
        prefix, colon, rest = model.partition(":")
        if colon and rest and any(prefix in known for known in (PROVIDERS, self.providers, self.other_lanes)):
            found = self.providers.get(prefix)
            is_outside = found is None or not found.local
            return ("ollama", model) if is_outside and is_local_tag(prefix, rest) else (prefix, rest)
        if OPEN_WEIGHTS.fullmatch(model):
            return self._at_home, model
        return owner_of(model) or self.default_provider, model

    @property
    def _at_home(self) -> str:
        """Provider of models on the operator's own machines: the default one if it is there, else Ollama."""
        default = self.providers.get(self.default_provider)
        is_local = default is not None and default.local
        return self.default_provider if is_local or "ollama" not in self.providers else "ollama"

    def is_missing(self, name: str) -> bool:
        """Whether a name is that of a provider which is not configured."""
        return name in PROVIDERS and name not in self.providers and name not in self.aliases

    def _not_configured(self, name: str, model: str) -> ModelNotFound:
        hint = f"provider {name} is not configured; {self._how(name)}"
        if "ollama" in self.providers:
            hint += f"; a model of Ollama's is ollama:{model}"
        return ModelNotFound(model=model, hint=hint)

    def _is_no_model(self, name: str) -> bool:
        """Whether a name is only that of a provider which is not configured, and of no local model."""
        return self.is_missing(name) and name not in LOCAL_TAGS

    def _is_provider(self, name: str) -> bool:
        """Whether a name is that of a configured provider, of this lane or of another one."""
        return name in self.providers or name in self.other_lanes

    def _named(self, name: str) -> Provider:
        found = self.providers.get(name)
        if found is None:
            known = ", ".join(sorted(self.providers))
            problem = f"provider {name!r} is not configured; {self._how(name)}"
            if name not in PROVIDERS and name not in self.other_lanes:
                problem = f"unknown provider {name!r}"
            raise InvalidRequest(field="provider", problem=f"{problem}; configured: {known}")
        return found

    def _default(self, provider: Provider, embedding: bool) -> str:
        if embedding:
            model = provider.endpoint.default_embedding_model
        elif provider.name == self.default_provider and self.default_model:
            model = self.default_model
        else:
            model = provider.endpoint.default_model
        if not model:
            raise InvalidRequest(field="model", problem=f"provider {provider.name} has no default model")
        return model

    def _how(self, name: str) -> str:
        if lane := self.other_lanes.get(name):
            return f"it is on lane {lane}: send the header x-genai-lane: {lane}"
        row = PROVIDERS.get(name)
        if row is None:
            return "this version has no such provider"
        needs = f"GENAI_{name.upper()}_API_KEY" if row.key else f"GENAI_{name.upper()}_BASE_URL"
        both = " and its _BASE_URL" if row.key and row.base_url is None else ""
        return f"set {needs}{both}"
