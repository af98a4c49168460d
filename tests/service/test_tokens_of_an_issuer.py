"""JWTs of an issuer through the channel: its keys are fetched over HTTP, its claims become a principal."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from genai_spine.v1 import key_service_pb2 as pb
from tests.service.keyed import bearer, keyed
from tests.service.running import Upstreams, asked

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = ECKey.generate_key("P-256", {"kid": "one"})


@pytest.fixture
def issuer() -> Iterator[str]:
    """URL of an issuer that publishes its discovery document and its key."""

    class Documents(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = f"http://127.0.0.1:{self.server.server_address[1]}"
            documents: dict[str, Any] = {
                "/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/keys"},
                "/keys": KeySet([KEY]).as_dict(private=False),
            }
            body = json.dumps(documents[self.path]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with HTTPServer(("127.0.0.1", 0), Documents) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


async def test_a_token_is_taken_as_a_key_is(all_upstreams: Upstreams, sqlite_url: str, issuer: str):
    def token(**claims: Any) -> str:
        whole = {"iss": issuer, "aud": "spine", "sub": "ann", "exp": int(time.time()) + 60, "org": "acme"}
        return jwt.encode({"alg": "ES256", "kid": "one"}, whole | {"roles": ["users"]} | claims, KEY)

    settings = {
        "jwt_issuer": issuer,
        "jwt_audience": "spine",
        "jwt_tenant_claim": "org",
        "jwt_scope_claim": "roles",
        "jwt_scopes": {"users": ("completions:read",), "clerks": ("keys:admin",)},
    }
    async with keyed(all_upstreams, sqlite_url, **settings) as server:

        async def code(secret: str) -> str:
            try:
                await server.service.completions.CreateCompletion(asked(), metadata=bearer(secret))
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

        assert await code(token()) == "UNAUTHENTICATED"  # of a tenant that is not there
        await server.tenant("acme")
        assert await code(token(sub="bob")) == "OK"
        assert await code(token(aud="other")) == "UNAUTHENTICATED"
        assert await code(token(roles=["guests"])) == "PERMISSION_DENIED"
        assert await code(token(org="globex")) == "UNAUTHENTICATED"
        clerk = token(roles=["clerks"])
        made = await server.keys.CreateKey(
            pb.CreateKeyRequest(key=pb.ApiKey(name="x", scopes=["keys:admin"])), metadata=bearer(clerk)
        )
        assert (made.key.tenant_id, made.key.created_by) == ("acme", "jwt:ann")
        # A token of a user is none of a service, and comes by no other header but as a key.
        named = [("x-service-name", "ann"), ("x-service-token", clerk)]
        with pytest.raises(grpc.aio.AioRpcError):
            await server.keys.ListKeys(pb.ListKeysRequest(), metadata=named)
