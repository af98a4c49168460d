"""The behaviour book as callers see it: what a model accepts, and the rows that say so."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from genai_spine import page_tokens
from genai_spine.behaviour.book import BehaviourBook, OptionRule, Row
from genai_spine.providers.base import Route
from genai_spine.v1 import model_behaviour_pb2 as pb
from genai_spine.v1 import model_service_pb2

PAGE_SIZE = 1000
ACTIONS: Mapping[str, pb.OptionAction] = {
    "accepted": pb.OPTION_ACTION_ACCEPTED,
    "dropped": pb.OPTION_ACTION_DROPPED,
    "mapped": pb.OPTION_ACTION_MAPPED,
    "refused": pb.OPTION_ACTION_REFUSED,
}


def listed(
    request: model_service_pb2.ListBehaviourRequest, book: BehaviourBook
) -> model_service_pb2.ListBehaviourResponse:
    """Page of the book's rows. Errors: InvalidFields (page token)."""
    (start,) = page_tokens.place(request, page_tokens.NUMBER) or (0,)
    rows = [row for row in book.rows if not request.provider or row.speaks_of(request.provider)]
    end = start + page_tokens.size(request, PAGE_SIZE)
    response = model_service_pb2.ListBehaviourResponse(
        book_version=book.version, rows=map(described, rows[start:end])
    )
    if end < len(rows):
        response.next_page_token = page_tokens.token(request, end)
    return response


def explained(route: Route, book: BehaviourBook) -> pb.ModelBehaviour:
    """Behaviour of a route's model, by all rows that cover it."""
    rules = route.rules
    facts: dict[str, str] = {}
    for row in rules.rows:
        facts |= row.facts
    return pb.ModelBehaviour(
        provider=route.provider.name,
        model=route.model,
        book_version=book.version,
        options=_options(rules.options.items()),
        effort_levels=rules.effort or (),
        has_effort=rules.effort is not None,
        api_version=rules.api_version,
        authentication=rules.authentication,
        facts=facts,
        rows=map(described, rules.rows),
    )


def described(row: Row) -> pb.BehaviourRow:
    """Row of the book, with its age in days."""
    age = (datetime.now(UTC).date() - row.checked).days if row.checked else 0
    return pb.BehaviourRow(
        name=row.name,
        provider=row.provider,
        model=row.model,
        except_model=row.but,
        valid_from=row.valid_from.isoformat() if row.valid_from else "",
        valid_to=row.valid_to.isoformat() if row.valid_to else "",
        source=row.source,
        evidence=row.evidence,
        checked_on=row.checked.isoformat() if row.checked else "",
        age_days=max(0, age),
        options=_options((option, OptionRule(row.rule(option), row)) for option in row.options),
        effort_levels=row.effort or (),
        has_effort=row.effort is not None,
        api_version=row.api_version,
        authentication=row.authentication,
        facts=row.facts,
        probe_models=row.probe,
    )


def _options(rules: Iterable[tuple[str, OptionRule]]) -> list[pb.BehaviourOption]:
    return [
        pb.BehaviourOption(
            option=option,
            action=ACTIONS[found.rule.action],
            mapped_to=_mapped_to(found),
            when=" or ".join(found.rule.conditions),
            row=found.row.name,
        )
        for option, found in sorted(rules, key=lambda item: item[0])
    ]


def _mapped_to(found: OptionRule) -> str:
    rule = found.rule
    bounds = [f"at least {rule.min:g}"] if rule.min is not None else []
    bounds += [f"at most {rule.max:g}"] if rule.max is not None else []
    values = [f"{ours} as {theirs}" for ours, theirs in rule.values.items() if ours != theirs]
    return ", ".join([*([rule.to] if rule.to else []), *bounds, *values])
