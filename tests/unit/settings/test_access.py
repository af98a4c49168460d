"""Settings of who may call."""

import pytest

from tests.unit.settings.conftest import loaded

ISSUER = {"GENAI_JWT_ISSUER": "https://login.example.com", "GENAI_JWT_AUDIENCE": "spine"}


@pytest.mark.parametrize("variable", ["GENAI_API_HOST", "GENAI_GRPC_HOST"])
@pytest.mark.parametrize("auth", ["on", "off", ""])
def test_beyond_loopback_it_is_said_whether_callers_are_asked(
    monkeypatch: pytest.MonkeyPatch, variable: str, auth: str
) -> None:
    variables = {variable: "0.0.0.0", "GENAI_AUTH": auth}
    if auth:
        assert loaded(monkeypatch, **variables).auth == auth
        return
    with pytest.raises(ValueError, match=f"{variable}=0.0.0.0 .* GENAI_AUTH=on.*GENAI_AUTH=off"):
        loaded(monkeypatch, **variables)


def test_the_symbols_listener_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"GENAI_PORT": "8003", "GENAI_HOST": "0.0.0.0"}
    with pytest.raises(ValueError, match="GENAI_HOST"):
        loaded(monkeypatch, **variables)
    assert loaded(monkeypatch, **variables, GENAI_AUTH="on").symbols_address == ("0.0.0.0", 8003)


def test_the_root_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(monkeypatch, GENAI_SECRET_KEY="ab" * 32)
    assert "ab" * 32 not in repr(found)
    assert not found.has_no_secret
    with pytest.raises(ValueError, match="GENAI_SECRET_KEY and GENAI_SECRET_KEY_FILE: set one"):
        loaded(monkeypatch, GENAI_SECRET_KEY="ab" * 32, GENAI_SECRET_KEY_FILE="/run/secret")


def test_an_issuer_has_an_audience(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, **ISSUER).jwt_scope_claim == "scope"
    for missing in ISSUER:
        with pytest.raises(ValueError, match="GENAI_JWT_ISSUER and GENAI_JWT_AUDIENCE"):
            loaded(monkeypatch, **{**ISSUER, missing: ""})


SHORT = "users=prompts:read|files:*,admins=admin"
IN_JSON = '{"users": ["prompts:read", "files:*"], "admins": "admin"}'


@pytest.mark.parametrize("written", [SHORT, IN_JSON])
def test_groups_and_scopes_are_named_lists(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    named = {"users": ("prompts:read", "files:*"), "admins": ("admin",)}
    assert loaded(monkeypatch, **ISSUER, GENAI_JWT_SCOPES=written).jwt_scopes == named
    assert loaded(monkeypatch, GENAI_ACCESS_GROUPS=written).access_groups == named
    assert loaded(monkeypatch, GENAI_SHARED_OBJECTS="vs_1, resp_*").shared_objects == ("vs_1", "resp_*")
    with pytest.raises(ValueError, match="write it as name=one"):
        loaded(monkeypatch, GENAI_ACCESS_GROUPS="users")
