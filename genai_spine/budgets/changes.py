"""Changes of a budget: which one is meant, what it becomes, and what the audit log has of it."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from genai_spine import field_masks
from genai_spine.billing.budgets import EACH
from genai_spine.costs import ticks_of
from genai_spine.errors import InvalidFields
from genai_spine.v1 import budget_pb2 as pb
from genai_spine.v1.budget_service_pb2 import SetBudgetRequest

EDITABLE = ("limit_ticks", "policy", "warn_percent", "raise_ticks", "raise_end_time", "enabled")
AMOUNTS = {"limit_usd": "limit_ticks", "raise_usd": "raise_ticks"}  # US dollars in the place of ticks
NAMED_BY = ("tenant_id", "node", "node_key", "period")
DEFAULTS = {"policy": pb.BUDGET_POLICY_WARN, "warn_percent": 80, "raise_ticks": 0, "enabled": True}


def named(given: pb.Budget, tenant_id: str) -> pb.Budget:
    """Name of a budget: tenant, node, its key and the period, with what is left out filled in.

    tenant_id: of the caller. Errors: InvalidFields.
    """
    found = pb.Budget(
        tenant_id=given.tenant_id or tenant_id,
        node=given.node or pb.BUDGET_NODE_TENANT,
        node_key=given.node_key,
        period=given.period,
    )
    if found.tenant_id not in (EACH, tenant_id):
        raise InvalidFields([("budget.tenant_id", "is the caller's own tenant, or *")])
    if not found.period:
        raise InvalidFields([("budget.period", "is required")])
    if found.node != pb.BUDGET_NODE_TENANT:
        _check_key(found)
        return found
    found.node_key = found.node_key or found.tenant_id
    if found.node_key != found.tenant_id:
        raise InvalidFields([("budget.node_key", "of node TENANT is the tenant's id, or left out")])
    return found


def _check_key(budget: pb.Budget) -> None:
    """Errors: InvalidFields."""
    if budget.tenant_id == EACH:
        raise InvalidFields([("budget.node", "of all tenants can only be TENANT")])
    if not budget.node_key:
        raise InvalidFields([("budget.node_key", "is required: an id, or * for each one by itself")])
    name, is_label, _ = budget.node_key.partition("=")
    if budget.node == pb.BUDGET_NODE_LABEL and budget.node_key != EACH and not (name and is_label):
        raise InvalidFields([("budget.node_key", "of a label is name=value, or *")])


def merged(named: pb.Budget, present: pb.Budget | None, request: SetBudgetRequest) -> pb.Budget:
    """Budget with what a request says of it. named: which it is; present: as it is.

    Errors: InvalidFields.
    """
    given, mask = pb.Budget(), [AMOUNTS.get(path, path) for path in request.update_mask.paths]
    given.CopyFrom(request.budget)
    for usd, ticks in AMOUNTS.items():
        _read_amount(given, usd, ticks, request.update_mask.paths)
    fields = field_masks.chosen(mask, given, EDITABLE)
    changed = pb.Budget(**{name: getattr(named, name) for name in NAMED_BY})
    for name in EDITABLE:
        source = given if present is None or name in fields else present
        if _is_set(source, name):
            _copy(source, changed, name)
        elif name in DEFAULTS:
            setattr(changed, name, DEFAULTS[name])
    _check(changed, is_raise_new=present is None or "raise_ticks" in fields or "raise_end_time" in fields)
    return changed


def _read_amount(given: pb.Budget, usd: str, ticks: str, mask: Any) -> None:
    """Writes an amount in US dollars as ticks. Errors: InvalidFields (the two differ)."""
    if not given.HasField(usd):
        return
    amount = ticks_of(getattr(given, usd))
    differs = given.HasField(ticks) and getattr(given, ticks) != amount
    if differs and (not mask or {usd, ticks} <= set(mask)):
        raise InvalidFields([(f"budget.{usd}", f"differs from {ticks}; say one of them")])
    if not mask or ticks not in mask:
        setattr(given, ticks, amount)


def _check(budget: pb.Budget, *, is_raise_new: bool) -> None:
    """Errors: InvalidFields."""
    if not budget.HasField("limit_ticks"):
        raise InvalidFields([("budget.limit_usd", "is required, or limit_ticks")])
    if not budget.raise_ticks:
        budget.ClearField("raise_end_time")
    elif not budget.HasField("raise_end_time"):
        raise InvalidFields([("budget.raise_end_time", "is required with a raise")])
    elif is_raise_new and budget.raise_end_time.ToDatetime(UTC) <= datetime.now(UTC):
        raise InvalidFields([("budget.raise_end_time", "is over already")])


def details(changed: pb.Budget, present: pb.Budget | None) -> dict[str, Any]:
    """Details of a change for the audit log: the budget, and whether it lowered what may be spent."""
    found = shown(changed)
    if present is not None:
        found["before"] = shown(present)
        lowered = _most(changed) < _most(present)
    else:
        lowered = True  # what had no limit has one
    return {**found, "lowered": lowered}


def shown(budget: pb.Budget) -> dict[str, Any]:
    """Budget as it was chosen, for the audit log."""
    chosen = pb.Budget()
    for name in (*NAMED_BY, *EDITABLE):
        if _is_set(budget, name):
            _copy(budget, chosen, name)
    return MessageToDict(chosen, preserving_proto_field_name=True)


def word(budget: pb.Budget, field: str) -> str:
    """Value of node, period or policy in small letters, as errors and events name it."""
    enum = {"node": pb.BudgetNode, "period": pb.BudgetPeriod, "policy": pb.BudgetPolicy}[field]
    return enum.Name(getattr(budget, field)).removeprefix(f"BUDGET_{field.upper()}_").lower()


def limit_now(budget: pb.Budget, now: datetime) -> int:
    """Most that may be spent at a time, in ticks: with the raise that has not ended."""
    is_raised = budget.HasField("raise_end_time") and budget.raise_end_time.ToDatetime(UTC) > now
    return budget.limit_ticks + (budget.raise_ticks if is_raised else 0)


def _most(budget: pb.Budget) -> float:
    """Most that may be spent now, in ticks, where the budget counts."""
    return limit_now(budget, datetime.now(UTC)) if budget.enabled else float("inf")


def _is_set(budget: pb.Budget, name: str) -> bool:
    field = pb.Budget.DESCRIPTOR.fields_by_name[name]
    return budget.HasField(name) if field.has_presence else bool(getattr(budget, name))


def _copy(source: pb.Budget, target: pb.Budget, name: str) -> None:
    value = getattr(source, name)
    if isinstance(value, Message):
        getattr(target, name).CopyFrom(value)
    else:
        setattr(target, name, value)
