"""JWTs of an OpenID Connect issuer (RFC 7519): verified with its published keys, and read as a principal.

The issuer's keys (JWKS, RFC 7517) are fetched with the first token, again when they are old or a token names
one that is not among them, and kept while the issuer does not answer.
"""

import asyncio
import json
import ssl
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import structlog
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from genai_spine.access.scopes import closure
from genai_spine.call import DEFAULT_TENANT, Principal
from genai_spine.errors import ServiceUnavailable, Unauthenticated

OLD_S = 300.0  # keys are fetched again after this
PAUSE_S = 30.0  # between two fetches at least, whatever tokens name
FETCH_TIMEOUT_S = 5.0
MAX_DOCUMENT_BYTES = 1 << 20
LEEWAY_S = 30  # by which clocks may differ
# Signatures with the issuer's private key only: a secret that both know, or none, proves nothing.
ALGORITHMS = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
]
MAX_SUBJECT = 200  # characters
Key = RSAKey | ECKey | OKPKey

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Issuer:
    """Issuer of tokens, and how its claims are read."""

    issuer: str  # the claim iss, exactly
    audience: str  # the claim aud has it
    jwks_url: str | None = None  # None: from its discovery document
    tenant_claim: str | None = None  # None: all tokens are of the default tenant
    scope_claim: str = "scope"  # a list, or words with spaces between them
    scopes: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # of a value of it; empty: they are scopes


class JwtVerifier:
    """Verifier of the tokens of one issuer."""

    def __init__(self, issuer: Issuer, fetch: Callable[[str], Awaitable[bytes]]) -> None:
        """fetch: document of a URL. Errors of it: OSError, ValueError."""
        self._issuer, self._fetch = issuer, fetch
        self._keys: dict[str | None, Key] = {}
        self._tried_at = self._fetched_at = -OLD_S
        self._fetching = asyncio.Lock()
        self._jws = jws.JWSRegistry(algorithms=ALGORITHMS)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer.issuer},
            aud={"essential": True, "value": issuer.audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    async def principal(self, token: str) -> Principal:
        """Principal of a token. Errors: Unauthenticated; ServiceUnavailable without the issuer's keys."""
        try:
            key = await self._key(_key_id(token))
            claims = jwt.decode(token, key, algorithms=ALGORITHMS, registry=self._jws).claims
            self._claims.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError):
            raise Unauthenticated from None
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject.isprintable() or not 1 <= len(subject) <= MAX_SUBJECT:
            raise Unauthenticated
        return Principal(name=f"jwt:{subject}", tenant_id=self._tenant(claims), scopes=self._scopes(claims))

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        if self._issuer.tenant_claim is None:
            return DEFAULT_TENANT
        found = claim(claims, self._issuer.tenant_claim)
        if not isinstance(found, str) or not found:
            raise Unauthenticated
        return found

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[str]:
        found = claim(claims, self._issuer.scope_claim)
        values = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
        texts = [value for value in values if isinstance(value, str)]
        if not self._issuer.scopes:
            return closure(texts)
        return closure(scope for value in texts for scope in self._issuer.scopes.get(value, ()))

    async def _key(self, id: str | None) -> Key:
        """The issuer's key of an id. Errors: Unauthenticated, ServiceUnavailable."""
        now = monotonic()
        is_old = now - self._fetched_at >= OLD_S
        if (is_old or id not in self._keys) and now - self._tried_at >= PAUSE_S:
            async with self._fetching:
                if monotonic() - self._tried_at >= PAUSE_S:
                    await self._fetch_keys()
        if not self._keys:
            raise ServiceUnavailable(cause="the keys of its token issuer cannot be fetched")
        if id not in self._keys:
            raise Unauthenticated
        return self._keys[id]

    async def _fetch_keys(self) -> None:
        """Fetches the keys; those that are there stay where that fails."""
        self._tried_at = monotonic()
        try:
            url = self._issuer.jwks_url or await self._discovered()
            self._keys = dict(_keys_of(await self._fetch(url)))
            self._fetched_at = self._tried_at
        except (OSError, ValueError, TypeError, KeyError, JoseError) as error:
            log.warning("issuer_keys_not_fetched", cause=f"{type(error).__name__}: {error}"[:300])

    async def _discovered(self) -> str:
        """Address of the keys by OpenID Connect Discovery 1.0."""
        url = f"{self._issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
        document = json.loads(await self._fetch(url))
        if document["issuer"] != self._issuer.issuer:
            raise ValueError("the discovery document is of another issuer")
        found = document["jwks_uri"]
        if not isinstance(found, str) or not found.startswith(("https://", "http://")):
            raise ValueError("the discovery document names no address of keys")
        return found


def fetcher(ca_file: str | None) -> Callable[[str], Awaitable[bytes]]:
    """Fetcher of documents, by the proxies of the environment. ca_file: authorities to trust besides."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))

    def get(url: str) -> bytes:
        with opener.open(url, timeout=FETCH_TIMEOUT_S) as answer:
            body: bytes = answer.read(MAX_DOCUMENT_BYTES + 1)
        if len(body) > MAX_DOCUMENT_BYTES:
            raise ValueError(f"more than {MAX_DOCUMENT_BYTES} bytes")
        return body

    async def fetch(url: str) -> bytes:
        return await asyncio.to_thread(get, url)

    return fetch


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """Claim by its name, or by a path with dots into nested ones; None: it is not there."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _key_id(token: str) -> str | None:
    """Key that a token says it is signed with. Errors: JoseError, ValueError."""
    header = jws.extract_compact(token.encode()).headers()
    found = header.get("kid")
    if found is not None and not isinstance(found, str):
        raise ValueError("kid is no text")
    return found


def _keys_of(document: bytes) -> Iterator[tuple[str | None, Key]]:
    """Public keys for signatures by their ids; the only one also by None, for tokens that name none."""
    entries = [
        entry
        for entry in json.loads(document)["keys"]
        if entry.get("kty") in ("RSA", "EC", "OKP") and entry.get("use", "sig") == "sig"
    ]
    keys = [key for key in KeySet.import_key_set({"keys": entries}).keys if not isinstance(key, bytes)]
    for key in keys:
        assert isinstance(key, RSAKey | ECKey | OKPKey)
        yield key.kid, key
        if len(keys) == 1:
            yield None, key
