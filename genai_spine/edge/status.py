"""Status of a failed call for gRPC: code, words and details, within what a client takes of metadata."""

from google.rpc import code_pb2, error_details_pb2, status_pb2

from genai_spine import http_answer
from genai_spine.access.rate_limits import rates
from genai_spine.call import Call
from genai_spine.errors import DOMAIN, SpineError

# A grpc client takes 8 KiB of metadata without question, http_answer.MAX_BODY_BYTES among them.
MAX_MESSAGE_BYTES = 900  # bytes of grpc-message, where a byte that is not ASCII takes 3
MAX_VALUE_BYTES = 200  # bytes of one entry of ErrorInfo.metadata
MAX_VIOLATIONS = 8
MAX_VIOLATION_BYTES = 80  # bytes of its field, and of its description


def message(error: SpineError) -> str:
    """Words of an error as grpc-message."""
    return _short(str(error), MAX_MESSAGE_BYTES, escaped=True)


def trailers(error: SpineError, call: Call) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata of an error: request id, status details, headers for REST."""
    details = ("grpc-status-details-bin", status(error, call).SerializeToString())
    return (("x-request-id", call.request_id), details, *headers(error, call))


def headers(error: SpineError, call: Call) -> list[tuple[str, str]]:
    """Headers of an error: status and body for REST, rate limits, what a replay and a refusal say."""
    found = http_answer.error_headers(error, call) if call.path else []
    found += rates(call.headers)
    if call.replay_id is not None:
        found += [("x-genai-replay", "true"), ("x-genai-replay-id", call.replay_id)]
    if refused := error.metadata.get("refused"):
        found.append(("x-genai-refused", refused))  # nothing was done: Envoy asks another server
    return found


def grpc_code(error: SpineError, call: Call) -> int:
    """gRPC code of an error; INTERNAL in place of UNAVAILABLE once a provider may have billed the request.

    Clients repeat UNAVAILABLE by themselves (AIP-194), and nobody is to pay twice without knowing it.
    """
    billed = call.billed or error.connection_lost
    return code_pb2.INTERNAL if billed and error.code == code_pb2.UNAVAILABLE else error.code


def status(error: SpineError, call: Call) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo and RequestInfo, and BadRequest and RetryInfo where they say more."""
    result = status_pb2.Status(code=grpc_code(error, call), message=message(error))
    metadata = {key: _short(value, MAX_VALUE_BYTES) for key, value in error.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=error.reason_name, domain=DOMAIN, metadata=metadata)
    result.details.add().Pack(info)
    result.details.add().Pack(error_details_pb2.RequestInfo(request_id=call.request_id))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for field, problem in error.violations[:MAX_VIOLATIONS]:
            field, problem = (_short(text, MAX_VIOLATION_BYTES) for text in (field, problem))
            bad.field_violations.add(field=field, description=problem)
        result.details.add().Pack(bad)
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(error.retry_after_s * 1000))
        result.details.add().Pack(retry)
    return result


def _short(text: str, longest: int, *, escaped: bool = False) -> str:
    """Prefix of a text that fits into so many bytes. escaped: as grpc-message is, with %XX."""
    size = 0
    for at, char in enumerate(text):
        plain = " " <= char <= "~" and char != "%"
        size += 1 if plain else len(char.encode()) * (3 if escaped else 1)
        if size > longest:
            return text[:at] + "..."
    return text
