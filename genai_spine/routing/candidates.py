"""The plan of a request: who is asked, in which order, before it is given up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import Any

import structlog
from google.protobuf.descriptor import FieldDescriptor

from genai_spine.behaviour.adaptation import BOUNDED, Candidate, adapt
from genai_spine.costs import usd_of
from genai_spine.errors import InvalidFields, InvalidRequest, NoCandidates, SpineError, UnsupportedOption
from genai_spine.providers.base import ALWAYS, NEUTRAL, SOUND_ALWAYS, Option, Provider, Route
from genai_spine.routing.default_options import completed
from genai_spine.routing.model_terms import check_terms
from genai_spine.routing.router import Router
from genai_spine.routing.strategies import STRATEGIES, RoutingContext
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import routing_pb2

MAX_NAMES = 4096  # of providers and models whose routes are remembered
UNROUTED = routing_pb2.Routing()  # of requests that say nothing of it

log = structlog.get_logger()
Fields = Sequence[tuple[FieldDescriptor, Any]]  # those of a request that are set, from ListFields()
MediaRequest = media.CreateImagesRequest | media.CreateTranscriptionRequest | media.CreateSpeechRequest


class Asked:
    """Demands of a request on its candidates, read once however many there are."""

    __slots__ = ("fields", "file_ids", "parts", "request")

    def __init__(self, request: pb.CreateCompletionRequest) -> None:
        self.request = request
        self.fields = {descriptor.name for descriptor, _ in request.ListFields()}
        # Options for kinds of parts, with the first field that needs it and what it is in words.
        self.parts: dict[str, tuple[str, str]] = {}
        self.file_ids: tuple[str, ...] = ()  # of the provider's files among its parts
        for index, message in enumerate(request.messages[:]):  # a slice is read faster than the field
            for part in message.content[:]:
                if not part.HasField("text") and (kind := part.WhichOneof("part")) != "refusal":
                    self._needs(f"messages.{kind}", f"messages[{index}].content", f"{kind} content")
                    if kind == "file" and part.file.file_id:
                        self.file_ids += (part.file.file_id,)
        if "tools" in self.fields:
            for index, tool in enumerate(request.tools):
                if tool.WhichOneof("tool") == "custom":
                    self._needs("tools.custom", f"tools[{index}]", "custom tools")
        if "prompt" in self.fields and request.prompt.HasField("tokens"):
            self._needs("prompt.tokens", "prompt", "prompts of token ids")

    def with_files(self, routes: list[Route]) -> list[Route]:
        """Routes that know which files of the provider the request uses."""
        return [replace(route, file_ids=self.file_ids) for route in routes] if self.file_ids else routes

    def _needs(self, option: str, field: str, words: str) -> None:
        self.parts.setdefault(option, (field, words))


class CandidatePlanner:
    """Plans requests: candidates by name, filtered by conditions and options, ordered by a strategy."""

    def __init__(
        self,
        router: Router,
        context: RoutingContext,
        fallback_chain: Sequence[str] = (),
        fallbacks: Mapping[str, Sequence[str]] | None = None,
        *,
        strict_options: bool = False,
    ) -> None:
        """fallback_chain: aliases, models, or providers for their default models; tried after all others.
        fallbacks: the same of one model or alias, in place of the chain.

        What of it cannot be called, because its provider is not configured, is logged and passed over.
        strict_options: of requests that do not say themselves.
        """
        self.strict_options = strict_options
        self.router = router
        self.context = context
        self._routes = lru_cache(MAX_NAMES)(self._routes_of)
        self._ruled = lru_cache(MAX_NAMES)(self._with_rules)
        self.chain = self._chain_of(fallback_chain)
        self.chains = {model: self._chain_of(names) for model, names in (fallbacks or {}).items()}

    def plan(self, request: pb.CreateCompletionRequest) -> list[Route]:
        """Candidates in the order in which they are tried, at least one, each with its adaptation.

        Errors: those of Router.resolve(), UnsupportedOption and InvalidFields when no candidate can honour
        the request (the first candidate's), NoCandidates when its own conditions leave none.
        """
        routes = self._routes(request.provider, request.model, self.router.book.today())
        chain = self.chains.get(request.model, self.chain) if self.chains else self.chain
        is_routed, asked = request.HasField("routing"), Asked(request)
        if len(routes) == 1 and not chain and not is_routed:
            return asked.with_files([self._adapted(routes[0], asked)])
        routing = request.routing if is_routed else UNROUTED
        alias = self.router.aliases.get(request.model)
        strategy = routing.strategy or (alias.strategy if alias else None)
        if is_routed:
            routes = self._allowed(self._distinct(routes + self._fallbacks(routing)), request)
        routes = self._able(routes, asked)
        ordered = STRATEGIES.get(strategy or 0)
        if ordered is not None and len(routes) > 1:
            routes = ordered(routes, request, self.context)
        if last := self._last(asked, chain):
            routes = self._distinct(routes + last)
        return asked.with_files(self._preferred(routes, routing) if is_routed else routes)

    def _routes_of(self, provider: str, model: str, day: date) -> list[Route]:
        """Routes of names with the rules of a day, which is today; no two are the same."""
        return self._distinct([self._ruled(route, day) for route in self.router.routes(provider, model)])

    def _with_rules(self, route: Route, day: date) -> Route:
        """Route with the rules of a day, which is today."""
        rules, options = self.router.book.rules(route.provider.kind, route.model), route.provider.options
        bounded = {
            name for name, option in options.items() if option.min is not None or option.max is not None
        }
        absent = self.router.book.absent - options.keys()
        plain = (ALWAYS | options.keys()) - bounded - rules.fields - absent
        return replace(route, rules=rules, plain=plain)

    def embedding_plan(self, request: pb.CreateEmbeddingsRequest) -> list[Route]:
        """No fallback chain: vectors of another model cannot be compared."""
        return self.router.routes(request.provider, request.model, embedding=True)

    def media_plan(self, kind: str, request: MediaRequest) -> list[Route]:
        """kind: image, transcription or speech, for each of which a provider has a default model."""
        if request.model:
            routes = self.router.routes(request.provider, request.model)
        else:
            routes = [self._default_media(kind, request.provider)]
        if isinstance(request, media.CreateTranscriptionRequest):
            for route in routes:
                _check_transcription(request, route.provider)
        return routes

    def _default_media(self, kind: str, name: str) -> Route:
        """Route of the default model of a provider."""
        provider = self.router.resolve(name, "any").provider
        model = provider.endpoint.default_media_models.get(kind)
        if not model:
            problem = f"provider {provider.name} has no default model for {kind}"
            raise InvalidRequest(field="model", problem=problem)
        return Route(provider, model)

    def _fallbacks(self, routing: routing_pb2.Routing) -> list[Route]:
        if routing.no_fallback and routing.fallback_models:
            raise InvalidRequest(field="routing.no_fallback", problem="excludes fallback_models")
        found: list[Route] = []
        for index, name in enumerate(routing.fallback_models):
            if self.router.is_missing(name):
                continue
            try:
                found += self._of_today(self.router.fallback(name))
            except SpineError as error:
                field = f"routing.fallback_models[{index}]"
                raise InvalidRequest(field=field, problem=str(error)) from None
        return found

    def _of_today(self, routes: Iterable[Route]) -> list[Route]:
        day = self.router.book.today()
        return [self._ruled(route, day) for route in routes]

    def _last(self, asked: Asked, chain: Sequence[Route]) -> list[Route]:
        """The server's own chain, of which those stay out that cannot honour the request."""
        if not chain:
            return []
        routes, request = self._of_today(chain), asked.request
        if request.HasField("routing"):
            if request.routing.no_fallback or request.routing.fallback_models:
                return []
            routes = [route for route in routes if not self._too_much(route, request)]
        return self._honouring(routes, asked)[0]

    def _chain_of(self, names: Sequence[str]) -> list[Route]:
        return [route for name in names for route in self._of_chain(name)]

    def _of_chain(self, name: str) -> list[Route]:
        try:
            return self.router.fallback(name)
        except SpineError as error:
            log.warning("fallback_passed_over", name=name, cause=str(error))
            return []

    def _allowed(self, routes: list[Route], request: pb.CreateCompletionRequest) -> list[Route]:
        reasons = [self._too_much(route, request) for route in routes]
        allowed = [route for route, reason in zip(routes, reasons, strict=True) if not reason]
        if not allowed:
            problem = "; ".join(reason for reason in reasons if reason)
            raise NoCandidates(field="routing", problem=problem)
        return allowed

    def _too_much(self, route: Route, request: pb.CreateCompletionRequest) -> str | None:
        """Why the request's own conditions leave the route out; None when they do not."""
        routing = request.routing
        name = f"{route.provider.name}:{route.model}"
        if routing.min_quality > self.context.tier(route):
            return f"{name} is below {routing_pb2.QualityTier.Name(routing.min_quality)}"
        endpoint = route.provider.endpoint
        if routing.residencies and endpoint.residency not in routing.residencies:
            return f"{name} is in {endpoint.residency or 'an unknown place'}"
        if routing.HasField("max_retention_days"):
            days = endpoint.retention_days
            if days is None or days > routing.max_retention_days:
                time = "an unknown time" if days is None else f"{days} days"
                return f"{name} keeps what it is sent for {time}"
        if routing.HasField("max_cost_ticks"):
            ticks = self.context.ticks(route, self.context.expected(request))
            if ticks is None or ticks > routing.max_cost_ticks:
                return f"{name} would cost {'an unknown amount' if ticks is None else usd_of(ticks)}"
        return None

    def _able(self, routes: list[Route], asked: Asked) -> list[Route]:
        able, first = self._honouring(routes, asked)
        if first is not None and not able:
            raise first
        return able

    def _honouring(self, routes: Iterable[Route], asked: Asked) -> tuple[list[Route], SpineError | None]:
        """Adapted routes of those that can honour the request, and why the first other one cannot."""
        able: list[Route] = []
        first: SpineError | None = None
        for route in routes:
            try:
                able.append(self._adapted(route, asked))
            except SpineError as error:
                first = first or error
        return able, first

    def _adapted(self, route: Route, asked: Asked) -> Route:
        """Route with the adaptation of the request to its model, and of the model's default options with it.

        Errors: UnsupportedOption, InvalidFields.
        """
        request, provider = asked.request, route.provider
        whole = completed(request, route)
        if whole is not request:
            asked = Asked(whole)
        options = provider.options_for(whole, route)
        if options is provider.options and asked.fields <= route.plain:
            _check_further(asked, route, options)
            return route
        fields = whole.ListFields()
        if not self._is_concerned(fields, route, options):
            _check_fields(fields, provider, options)
            _check_further(asked, route, options)
            return route
        strict = request.strict_options if request.HasField("strict_options") else self.strict_options
        candidate = Candidate(route.provider.name, route.model, route.rules, options)
        if strict and whole is not request:  # what the operator has set is nothing that the caller asks for
            adapt(request, candidate, self.router.book, strict=True)
            strict = False
        adaptation = adapt(whole, candidate, self.router.book, strict=strict)
        route = replace(route, adaptation=adaptation)
        check_candidate(adaptation.applied(whole) if adaptation else whole, route)
        return route

    def _is_concerned(self, fields: Fields, route: Route, options: Mapping[str, Option]) -> bool:
        """Whether a rule may be about the request, or a bound. Most requests are spared the rest by it."""
        ruled, absent = route.rules.fields, self.router.book.absent
        for field, value in fields:
            name = field.name
            if name in ruled or (name in absent and name not in options):
                return True
            if name in BOUNDED and (option := options.get(name)) and _is_outside(value, option):
                return True
        return False

    def _preferred(self, routes: list[Route], routing: routing_pb2.Routing) -> list[Route]:
        preferred = list(routing.preferred_providers)
        if not preferred:
            return routes
        for index, name in enumerate(preferred):
            if name not in self.router.providers:
                field = f"routing.preferred_providers[{index}]"
                raise InvalidRequest(field=field, problem=f"provider {name!r} is not configured")
        places = {name: place for place, name in enumerate(preferred)}
        return sorted(routes, key=lambda route: places.get(route.provider.name, len(places)))

    @staticmethod
    def _distinct(routes: list[Route]) -> list[Route]:
        seen: dict[tuple[str, str], Route] = {}
        for route in routes:
            seen.setdefault((route.provider.name, route.model), route)
        return list(seen.values())


def _is_outside(value: float, option: Option) -> bool:
    return (option.max is not None and value > option.max) or (option.min is not None and value < option.min)


def check_candidate(request: pb.CreateCompletionRequest, route: Route) -> None:
    """Refuses what the candidate cannot honour, so that nothing is dropped silently.

    Errors: UnsupportedOption; InvalidFields for a number outside the upstream's bounds.
    """
    options = route.provider.options_for(request, route)
    _check_fields(request.ListFields(), route.provider, options)
    _check_further(Asked(request), route, options)


def _check_fields(fields: Fields, provider: Provider, options: Mapping[str, Option]) -> None:
    for descriptor, value in fields:
        name = descriptor.name
        if name in ALWAYS or (name in NEUTRAL and NEUTRAL[name] == value):
            continue
        option = options.get(name)
        if option is None:
            if not _is_emulated(name, value):
                raise _unsupported(provider, name)
        elif option.max is not None and value > option.max:
            raise InvalidFields([(name, f"must be at most {option.max} for {provider.name}")])
        elif option.min is not None and value < option.min:
            raise InvalidFields([(name, f"must be at least {option.min} for {provider.name}")])


def _check_transcription(request: media.CreateTranscriptionRequest, provider: Provider) -> None:
    """Refuses what the provider cannot honour. Errors: UnsupportedOption."""
    for descriptor, value in request.ListFields():
        name = descriptor.name
        if value is False or name in SOUND_ALWAYS or name in provider.transcription_options:
            continue
        if provider.transcription_options:  # else it hears nothing at all, and says that itself
            raise _unsupported(provider, name)


def _check_further(asked: Asked, route: Route, options: Mapping[str, Option]) -> None:
    """Checks what no table of fields says."""
    for option in asked.parts:
        if option not in options:
            raise _unsupported(route.provider, *asked.parts[option])
    route.provider.check_options(asked.request, route)
    if route.provider.endpoint.models:
        check_terms(asked.request, route)


def _is_emulated(name: str, value: Any) -> bool:
    """Whether inference.py does above the adapters what an upstream cannot: several choices by several
    calls, and a schema by an instruction and validation.
    """
    return name == "choice_count" or (name == "response_format" and value.HasField("json_schema"))


def _unsupported(provider: Provider, field: str, option: str | None = None) -> UnsupportedOption:
    return UnsupportedOption(field=field, provider=provider.name, option=option or field)
