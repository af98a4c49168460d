"""Rules of a call's guardrails: those of its key, and what its request makes stricter."""

from dataclasses import replace

from genai_spine.call import Call, Principal
from genai_spine.errors import InvalidRequest
from genai_spine.v1.guardrails_pb2 import Guardrails
from genai_spine.v1.key_service_pb2 import KeyPermissions

HEADER = "x-genai-pii"
REVERSIBLE, REDACT, BLOCK = "redact_reversible", "redact", "block"
STRICTNESS = ("", REVERSIBLE, REDACT, BLOCK)


def rules_of(call: Call) -> Guardrails | None:
    """Guardrails of a call; None: it has none."""
    permissions = call.principal.permissions
    if permissions is None or not permissions.HasField("guardrails"):
        return None
    return permissions.guardrails


def hides_pii(principal: Principal) -> bool:
    """Whether no personal data of its calls may be written down."""
    return principal.permissions is not None and bool(principal.permissions.guardrails.pii)


def tightened(principal: Principal, pii: str) -> Principal:
    """Principal with the guard of PII that a request asks for, unless its key has a stricter one.

    It stands in the permissions, so that a run that the request submits has it too. Errors: InvalidRequest.
    """
    if pii not in STRICTNESS:
        raise InvalidRequest(field=HEADER, problem=f"must be one of {', '.join(STRICTNESS[1:])}")
    permissions = KeyPermissions()
    if principal.permissions is not None:
        permissions.CopyFrom(principal.permissions)
    if STRICTNESS.index(pii) <= STRICTNESS.index(permissions.guardrails.pii):
        return principal
    permissions.guardrails.pii = pii
    return replace(principal, permissions=permissions)
