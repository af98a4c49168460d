"""Scopes: what a key may do, and which of them a method of the contract asks for."""

from collections.abc import Iterable

from google.protobuf.descriptor import MethodDescriptor

from genai_spine import method_options
from genai_spine.call import Principal
from genai_spine.errors import InvalidFields, PermissionDenied

PUBLIC = "public"  # of a method: it needs no key
AUTHENTICATED = "authenticated"  # of a method: it needs a key, whatever its scopes
ADMIN = "admin"
ACT = "tenants:act"
READ_AND_WRITE = (
    "completions",
    "prompts",
    "sessions",
    "files",
    "runs",
    "pipelines",
    "rag",
    "budgets",
    "logs",
)
SCOPES = frozenset(
    {
        *(f"{family}:{deed}" for family in READ_AND_WRITE for deed in ("read", "write")),
        *("usage:read", "metrics:read", "keys:admin", ACT, ADMIN),
    }
)
# Older clients have keys with completions:read alone, and call models with them.
IMPLIED = {ADMIN: SCOPES, "completions:read": frozenset({"completions:write"})}


def closure(scopes: Iterable[str]) -> frozenset[str]:
    """Scopes with all that they imply; prompts:* is all of a family. What no scope is counts for nothing."""
    found: set[str] = set()
    for scope in scopes:
        family = scope.removesuffix("*") if scope.endswith(":*") else None
        found |= {known for known in SCOPES if known == scope or (family and known.startswith(family))}
    return frozenset(found.union(*(IMPLIED.get(scope, frozenset()) for scope in found)))


def check_known(scopes: Iterable[str]) -> None:
    """Refuses what is no scope. Errors: InvalidFields."""
    families = {f"{scope.partition(':')[0]}:*" for scope in SCOPES if ":" in scope}
    for index, scope in enumerate(scopes):
        if scope not in SCOPES and scope not in families:
            known = ", ".join(sorted(SCOPES))
            raise InvalidFields([(f"key.scopes[{index}]", f"'{scope}' is none of {known}")])


def check_granted(scopes: Iterable[str], by: Principal) -> None:
    """Refuses scopes that who grants them does not have. Errors: PermissionDenied."""
    if by.scopes is not None and (more := closure(scopes) - by.scopes):
        raise PermissionDenied(scope=min(more))


def check_acting(principal: Principal) -> None:
    """Refuses who may not act for other tenants. Errors: PermissionDenied."""
    if principal.scopes is not None and ACT not in principal.scopes:
        raise PermissionDenied(scope=ACT)


def scope_of(method: MethodDescriptor) -> str:
    """Scope that a method asks for. One that says nothing asks for admin: it is closed, not open."""
    return method_options.scope(method) or ADMIN
