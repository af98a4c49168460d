"""Drift check: the behaviour book's rules asked of the upstream, and those found that no longer hold.

Every probe is a call of the provider with a row of the ledger, labelled `purpose=drift`.
"""

from dataclasses import replace

from genai_spine.behaviour import drift
from genai_spine.behaviour.drift import Probe
from genai_spine.call import Call
from genai_spine.catalog.behaviour import ACTIONS
from genai_spine.errors import InvalidFields, ProviderRejected, SpineError, UnsupportedOption
from genai_spine.inference.inference import Inference
from genai_spine.providers.base import Route
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import model_behaviour_pb2, model_service_pb2

LABELS = {"purpose": "drift"}
MAX_REFUSALS = 8  # options of one whole request that are found to be refused
REFUSED = (ProviderRejected, InvalidFields)


class DriftCheck:
    """Checker of one server's providers."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference
        self.router, self.book = inference.router, inference.router.book

    async def check(
        self, request: model_service_pb2.DetectDriftRequest, call: Call
    ) -> model_service_pb2.DetectDriftResponse:
        """Rules that no longer hold. Errors: InvalidRequest (unknown provider)."""
        provider = self.router.resolve(request.provider, "any").provider
        response = model_service_pb2.DetectDriftResponse()
        call = replace(call, cost_labels=LABELS)
        for model in request.models or self._models(provider.name):
            route = self.router.resolve(provider.name, model)
            try:
                await self._check_model(route, call, response)
                response.models.append(route.model)
            except SpineError:
                response.unavailable_models.append(route.model)
        return response

    def _models(self, provider: str) -> list[str]:
        """Models that stand for the rows of a provider, and its default model."""
        rows = [row for row in self.book.rows if row.speaks_of(self.router.providers[provider].kind)]
        default = self.router.providers[provider].endpoint.default_model
        named = [model for row in rows for model in row.probe]
        return list(dict.fromkeys([*([default] if default else []), *named]))

    async def _check_model(
        self, route: Route, call: Call, response: model_service_pb2.DetectDriftResponse
    ) -> None:
        """Adds what a model does otherwise. Errors: those that are about no option."""
        await self._check_whole(route, call, response)
        options = route.provider.options_for(pb.CreateCompletionRequest(), route)
        for probe in drift.probes(route.rules, self.book, options):
            try:
                await self.inference.ask(probe.request, replace(route, adaptation=None), call)
                refusal = ""
            except UnsupportedOption:
                continue  # the adapter cannot say it to this model
            except REFUSED as error:
                refusal = str(error)
            response.probe_count += 1
            if bool(refusal) != probe.refused:
                response.drifts.append(_drift(route, probe, refusal))

    async def _check_whole(
        self, route: Route, call: Call, response: model_service_pb2.DetectDriftResponse
    ) -> None:
        """A request with every option, as the book would have it sent, until nothing of it is refused."""
        without: frozenset[str] = frozenset()
        options = route.provider.options_for(pb.CreateCompletionRequest(), route)
        for _ in range(MAX_REFUSALS):
            request = drift.whole(options, without)
            request.provider, request.model = route.provider.name, route.model
            response.probe_count += 1
            try:
                await self.inference.complete(request, call)
                return
            except (*REFUSED, UnsupportedOption) as error:
                asked = (name for name in (*drift.WHOLE, *drift.WHOLE_PARAMETERS) if name not in without)
                blamed = next((name for name in asked if error.blames(name)), "")
                response.drifts.append(
                    model_behaviour_pb2.BehaviourDrift(
                        model=route.model,
                        option=blamed,
                        expected=model_behaviour_pb2.OPTION_ACTION_ACCEPTED,
                        observed=f"refused: {error}"[:500],
                    )
                )
                if not blamed:
                    return
                without |= {blamed}


def _drift(route: Route, probe: Probe, refusal: str) -> model_behaviour_pb2.BehaviourDrift:
    rule = probe.found.rule if probe.found else None
    expected = ACTIONS[rule.action] if rule else ACTIONS["mapped" if probe.refused else "accepted"]
    row = probe.found.row if probe.found else route.rules.effort_row
    return model_behaviour_pb2.BehaviourDrift(
        model=route.model,
        option=probe.option,
        expected=expected,
        observed=f"refused: {refusal}"[:500] if refusal else "accepted",
        row=row.name if row else "",
    )
