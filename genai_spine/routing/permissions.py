"""Permissions of a key: which of the routes that were planned it may use, and which lanes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from genai_spine.call import Call
from genai_spine.errors import NotPermittedToKey
from genai_spine.providers.base import Route
from genai_spine.v1.key_service_pb2 import KeyPermissions

Groups = Mapping[str, Sequence[str]]
GROUP = "@"  # before the name of a group
NO_MODEL = ""  # no model is called so
LATEST = ":latest"  # with it and without it a name means the same where models have tags
NOTHING = re.compile(r"(?!)")


class Permissions:
    """Permissions of the keys of callers, with the named groups of the configuration."""

    def __init__(self, groups: Groups) -> None:
        """groups: name of a group to models, which may hold *."""
        self._groups = groups
        self._compiled = lru_cache(4096)(self._compile)

    def permitted(self, routes: list[Route], model: str, members: Sequence[Route], call: Call) -> list[Route]:
        """Routes that the caller's key may use, at least one. model: as the request names it.

        members: of the alias that it is. An alias that is allowed allows these, not those that the request
        would fall back to. What is denied stays denied. Errors: NotPermittedToKey.
        """
        rules = self._rules(call)
        named = {(route.provider.name, route.model) for route in members}
        found = [
            route
            for route in routes
            if rules.allow_route(route, model if (route.provider.name, route.model) in named else None)
        ]
        if not found:
            first = routes[0]
            if rules.providers.allow((first.provider.name,)):
                raise NotPermittedToKey(kind="model", name=model or first.model)
            raise NotPermittedToKey(kind="provider", name=first.provider.name)
        return found

    def allow(self, route: Route, call: Call) -> bool:
        """Whether the caller's key may use a route by its own name, so that a list shows it.

        Errors: NotPermittedToKey (lane).
        """
        return call.principal.permissions is None or self._rules(call).allow_route(route, None)

    def allow_provider(self, provider: str, call: Call) -> bool:
        """Whether the caller's key may use a provider. Errors: NotPermittedToKey (lane)."""
        return call.principal.permissions is None or self._rules(call).providers.allow((provider,))

    def check_provider(self, provider: str, call: Call) -> None:
        """Refuses a provider, for what has no model: its files and batches. Errors: NotPermittedToKey."""
        if not self.allow_provider(provider, call):
            raise NotPermittedToKey(kind="provider", name=provider)

    def check_models(self, route: Route, models: Iterable[str], call: Call) -> None:
        """Refuses models that a provider would use beside the route's own. Errors: NotPermittedToKey."""
        for model in models:
            if not self.allow(replace(route, model=model), call):
                raise NotPermittedToKey(kind="model", name=model)

    def check_any_model(self, call: Call) -> None:
        """Refuses a key that may not use all models, for a file of requests. Errors: NotPermittedToKey."""
        if call.principal.permissions is not None and not self._rules(call).models.allow_all:
            raise NotPermittedToKey(kind="model", name="of a batch, which may be any")

    def _rules(self, call: Call) -> "Rules":
        """Rules of the caller's key, once its lane is allowed. Errors: NotPermittedToKey."""
        assert call.principal.permissions is not None
        rules = self._compiled(call.principal.permissions.SerializeToString(deterministic=True))
        if not rules.lanes.allow((call.lane,)):
            raise NotPermittedToKey(kind="lane", name=call.lane)
        return rules

    def _compile(self, data: bytes) -> "Rules":
        permissions = KeyPermissions.FromString(data)
        return Rules(
            models=Names(
                self._grouped(permissions.allowed_models, absent=NO_MODEL),
                self._grouped(permissions.denied_models, absent="*"),
            ),
            providers=Names(permissions.allowed_providers, permissions.denied_providers),
            lanes=Names(permissions.allowed_lanes, permissions.denied_lanes),
        )

    def _grouped(self, names: Iterable[str], absent: str) -> list[str]:
        """Names with the groups among them written out, at least one where there is one.

        absent: for a group that the configuration lacks.
        """
        found: list[str] = []
        for name in names:
            if not name.startswith(GROUP):
                found.append(name)
                continue
            group = self._groups.get(name.removeprefix(GROUP), [absent])
            found += group or [NO_MODEL]
        return found


class Names:
    """Names that are allowed and names that are denied, in which * stands for any characters."""

    def __init__(self, allowed: Iterable[str], denied: Iterable[str]) -> None:
        allowed = list(allowed)
        self._allowed = _pattern(allowed) if allowed else None
        self._denied = _pattern(denied)

    @property
    def allow_all(self) -> bool:
        """Whether nothing is left out."""
        return self._allowed is None and self._denied is NOTHING

    def allow(self, names: Iterable[str]) -> bool:
        """Whether something of these names may be used: none of them is denied, and one is allowed."""
        names = [*names]
        if any(map(self._denied.fullmatch, names)):
            return False
        return self._allowed is None or any(map(self._allowed.fullmatch, names))


class Rules:
    """Permissions of one key, compiled."""

    def __init__(self, models: Names, providers: Names, lanes: Names) -> None:
        self.models, self.providers, self.lanes = models, providers, lanes

    def allow_route(self, route: Route, alias: str | None) -> bool:
        """Whether a route may be used. alias: that it is a member of, by whose name it was asked for."""
        provider, model = route.provider.name, route.model
        models = {model, f"{model}{LATEST}", model.removesuffix(LATEST)}
        names = {*models, *(f"{provider}:{one}" for one in models), *([alias] if alias else [])}
        return self.providers.allow((provider,)) and self.models.allow(names)


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    found = "|".join(".*".join(map(re.escape, name.split("*"))) for name in names)
    return re.compile(found, re.IGNORECASE | re.DOTALL) if found else NOTHING
