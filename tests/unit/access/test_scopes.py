"""Scopes: what implies what, and who may grant which."""

import pytest

from genai_spine.access import scopes
from genai_spine.call import Principal
from genai_spine.errors import InvalidFields, PermissionDenied


@pytest.mark.parametrize(
    ("given", "closure"),
    [
        ([], set()),
        (["completions:write"], {"completions:write"}),
        (["completions:read"], {"completions:read", "completions:write"}),
        (["prompts:*"], {"prompts:read", "prompts:write"}),
        (["prompts:write"], {"prompts:write"}),
        (["admin"], scopes.SCOPES),
        (["everything", "*", ":*", "*:read", "a:*"], set()),
    ],
)
def test_a_scope_implies_others(given: list[str], closure: set[str]):
    assert scopes.closure(given) == closure


def test_what_is_no_scope_is_refused_by_its_place():
    scopes.check_known(["prompts:*", "admin"])
    with pytest.raises(InvalidFields) as caught:
        scopes.check_known(["admin", "prompt:read"])
    assert caught.value.violations[0][0] == "key.scopes[1]"


def test_nobody_grants_what_it_lacks():
    clerk = Principal(scopes=scopes.closure(["keys:admin", "completions:read"]))
    scopes.check_granted(["completions:write", "completions:*"], clerk)
    scopes.check_granted(["admin"], Principal())  # authentication is off
    for given in (["admin"], ["prompts:read"], ["tenants:act"], ["prompts:*"]):
        with pytest.raises(PermissionDenied):
            scopes.check_granted(given, clerk)
