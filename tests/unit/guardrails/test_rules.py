"""Rules of a call: the stricter of key and request, in the permissions that runs take with them."""

import pytest

from genai_spine.call import Call, Principal
from genai_spine.errors import InvalidRequest
from genai_spine.guardrails.rules import hides_pii, rules_of, tightened
from genai_spine.v1.guardrails_pb2 import Guardrails
from genai_spine.v1.key_service_pb2 import KeyPermissions


@pytest.mark.parametrize(
    ("of_key", "asked", "counts"),
    [
        ("", "redact_reversible", "redact_reversible"),
        ("redact_reversible", "redact", "redact"),
        ("redact", "redact_reversible", "redact"),
        ("block", "redact", "block"),
        ("redact", "block", "block"),
    ],
)
def test_stricter_guard_counts(of_key: str, asked: str, counts: str) -> None:
    permissions = KeyPermissions(denied_models=["x"], guardrails=Guardrails(pii=of_key or None))
    before = permissions.SerializeToString()
    principal = tightened(Principal(permissions=permissions), asked)
    rules = rules_of(Call(principal=principal))
    assert rules is not None
    assert rules.pii == counts
    assert hides_pii(principal)
    assert principal.permissions is not None
    assert list(principal.permissions.denied_models) == ["x"]
    assert permissions.SerializeToString() == before


def test_caller_without_rules_has_none() -> None:
    assert rules_of(Call()) is None
    assert not hides_pii(Principal(permissions=KeyPermissions()))
    found = tightened(Principal(), "redact")
    assert found.permissions is not None
    assert found.permissions.guardrails.pii == "redact"


@pytest.mark.parametrize("header", ["off", "REDACT", "redact ", "\0"])
def test_guard_that_there_is_not_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequest, match="x-genai-pii"):
        tightened(Principal(), header)
