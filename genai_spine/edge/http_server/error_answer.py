"""Answer of the HTTP server to a call that failed: status, headers and JSON."""

from collections.abc import Mapping

from genai_spine.call import Call
from genai_spine.edge import status
from genai_spine.edge.http_server import response
from genai_spine.edge.http_server.request import Request
from genai_spine.errors import SpineError

STATUS = "x-genai-http-status"
BODY = "x-genai-error"
REFUSED = "x-genai-refused"


def error_answer(own: Mapping[str, str], request: Request, error: SpineError, call: Call) -> bytes:
    """Bytes of the answer. own: headers that every answer of the connection begins with.

    On the way to a WebSocket Envoy's filter reads the body in a header, as those of gRPC.
    """
    found = dict(status.headers(error, call))
    if not request.is_of_envoy:
        found.pop(REFUSED, None)  # a word for Envoy, which asks another server then
    body = found[BODY].encode()
    code = int(found.pop(STATUS))
    if not (request.is_upgrade and request.is_of_envoy):
        found.pop(BODY)
    headers = {**own, "content-type": "application/json", "x-request-id": call.request_id, **found}
    return response.head(code, headers, len(body)) + body
