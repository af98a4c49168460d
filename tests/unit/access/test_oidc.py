"""Tokens of an issuer: which are taken, how their claims are read, and when its keys are fetched."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from genai_spine.access import oidc
from genai_spine.access.oidc import Issuer, JwtVerifier
from genai_spine.errors import ServiceUnavailable, Unauthenticated

ISSUER, AUDIENCE, JWKS = "https://login.example.com", "genai-spine", "https://login.example.com/jwks"
KEYS: dict[str, Any] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}


class Published:
    """Documents of an issuer, with a count of how often each was fetched."""

    def __init__(self, *keys: Any) -> None:
        self.fetched: list[str] = []
        self.is_away = False
        self.publish(*keys)

    def publish(self, *keys: Any) -> None:
        self.documents = {
            f"{ISSUER}/.well-known/openid-configuration": {"issuer": ISSUER, "jwks_uri": JWKS},
            JWKS: KeySet(list(keys)).as_dict(private=False),
        }

    async def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if self.is_away:
            raise OSError("refused")
        return json.dumps(self.documents[url]).encode()


def token(
    algorithm: str = "RS256", key: Any = None, header: dict[str, Any] | None = None, **claims: Any
) -> str:
    key = key or KEYS[algorithm]
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": int(time.time()) + 60}
    whole |= {"scope": "completions:read", **claims}
    named = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(
        {"alg": algorithm, "kid": key.kid, **(header or {})}, named, key, algorithms=[algorithm]
    )


def verifier(published: Published, **fields: Any) -> JwtVerifier:
    return JwtVerifier(Issuer(ISSUER, AUDIENCE, **fields), published.fetch)


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_a_token_of_the_issuer_is_a_principal(algorithm: str):
    principal = await verifier(Published(*KEYS.values())).principal(token(algorithm))
    assert (principal.name, principal.tenant_id, principal.key_id) == ("jwt:ann", "default-tenant", None)
    assert principal.scopes == {"completions:read", "completions:write"}


FORGED = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": 2**31}


def written(part: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")


def unsigned() -> str:
    return f"{written({'alg': 'none', 'kid': 'rsa'}).decode()}.{written(FORGED).decode()}."


def signed_with_the_public_key() -> str:
    """HS256 with the issuer's public key as the secret, which everybody has."""
    text = written({"alg": "HS256", "kid": "rsa"}) + b"." + written(FORGED)
    signature = hmac.digest(KEYS["RS256"].as_pem(private=False), text, "sha256")
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.mark.parametrize(
    "made",
    [
        lambda: token(iss="https://login.example.com/"),
        lambda: token(iss="https://evil.example"),
        lambda: token(iss=None),
        lambda: token(aud="another"),
        lambda: token(aud=["another"]),
        lambda: token(aud=None),
        lambda: token(exp=int(time.time()) - 31),
        lambda: token(exp=None),
        lambda: token(exp="tomorrow"),
        lambda: token(nbf=int(time.time()) + 120),
        lambda: token(sub=None),
        lambda: token(sub=""),
        lambda: token(sub="a\nb"),
        lambda: token(sub="a" * 201),
        lambda: token(sub=7),
        lambda: token(key=RSAKey.generate_key(2048, {"kid": "rsa"})),
        lambda: token(header={"kid": "absent"}),
        lambda: token()[:-8] + "AAAAAAAA",
        unsigned,
        signed_with_the_public_key,
        lambda: "a.b.c",
        lambda: "..",
    ],
)
async def test_any_other_token_is_refused(made: Callable[[], str]):
    with pytest.raises(Unauthenticated):
        await verifier(Published(*KEYS.values())).principal(made())


async def test_claims_are_read_as_the_settings_say():
    fields: dict[str, Any] = {
        "tenant_claim": "org",
        "scope_claim": "realm_access.roles",
        "scopes": {"users": ("completions:read", "prompts:read"), "admins": ("admin",)},
    }
    roles = {"roles": ["users", "others", 7]}
    reading = verifier(Published(*KEYS.values()), **fields)
    found = await reading.principal(token(org="acme", realm_access=roles))
    assert found.tenant_id == "acme"
    assert found.scopes == {"completions:read", "completions:write", "prompts:read"}
    for claims in ({"realm_access": roles}, {"org": "", "realm_access": roles}, {"org": ["acme"]}):
        with pytest.raises(Unauthenticated):
            await verifier(Published(*KEYS.values()), **fields).principal(token(**claims))
    nothing = await verifier(Published(*KEYS.values()), **fields).principal(token(org="acme"))
    assert nothing.scopes == frozenset()


async def test_keys_are_fetched_once_and_again_for_one_that_is_new(monkeypatch: pytest.MonkeyPatch):
    now = 1000.0
    monkeypatch.setattr(oidc, "monotonic", lambda: now)
    published = Published(KEYS["RS256"])
    verifying = verifier(published, jwks_url=JWKS)
    for _ in range(3):
        await verifying.principal(token())
    assert published.fetched == [JWKS]
    published.publish(KEYS["ES256"])
    with pytest.raises(Unauthenticated):  # asked a moment ago: whoever makes up ids causes no fetches
        await verifying.principal(token("ES256"))
    now += 30
    assert (await verifying.principal(token("ES256"))).name == "jwt:ann"
    assert published.fetched == [JWKS] * 2
    with pytest.raises(Unauthenticated):
        await verifying.principal(token())  # its key is published no more


async def test_old_keys_stay_while_the_issuer_is_away(monkeypatch: pytest.MonkeyPatch):
    now = 1000.0
    monkeypatch.setattr(oidc, "monotonic", lambda: now)
    published = Published(KEYS["RS256"])
    verifying = verifier(published)
    await verifying.principal(token())
    assert len(published.fetched) == 2  # the discovery document, and the keys
    published.is_away = True
    now += 301
    assert (await verifying.principal(token())).name == "jwt:ann"
    assert len(published.fetched) == 3
    assert (await verifying.principal(token())).name == "jwt:ann"
    assert len(published.fetched) == 3


async def test_without_any_key_the_server_is_to_blame_and_not_the_token():
    published = Published(KEYS["RS256"])
    published.is_away = True
    verifying = verifier(published)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            await verifying.principal(token())
    assert len(published.fetched) == 1


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example", "jwks_uri": JWKS},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": "file:///x"},
    ],
)
async def test_a_discovery_document_of_another_issuer_is_not_followed(document: dict[str, str]):
    published = Published(KEYS["RS256"])
    published.documents[f"{ISSUER}/.well-known/openid-configuration"] = document
    with pytest.raises(ServiceUnavailable):
        await verifier(published).principal(token())


async def test_keys_for_encryption_and_shared_secrets_are_left_out():
    secret = OctKey.import_key(b"s" * 32, {"kid": "shared"})
    published = Published(KEYS["RS256"])
    published.documents[JWKS] = {
        "keys": [
            secret.as_dict(),
            KEYS["RS256"].as_dict(private=False),
            {**KEYS["ES256"].as_dict(private=False), "use": "enc"},
        ]
    }
    verifying = verifier(published)
    assert (await verifying.principal(token())).name == "jwt:ann"
    forged = jwt.encode({"alg": "HS256", "kid": "shared"}, FORGED, secret, algorithms=["HS256"])
    for given in (forged, token("ES256")):
        with pytest.raises(Unauthenticated):
            await verifying.principal(given)


async def test_a_token_that_names_no_key_is_of_the_only_one():
    nameless = jwt.encode({"alg": "RS256"}, FORGED, KEYS["RS256"])
    assert (await verifier(Published(KEYS["RS256"])).principal(nameless)).name == "jwt:ann"
    with pytest.raises(Unauthenticated):
        await verifier(Published(*KEYS.values())).principal(nameless)
