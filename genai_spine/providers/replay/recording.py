"""Recording format: exchanges with providers as JSON lines, masked, and found again by their digest.

A line is one RecordedExchange. Its request is in normal form: without what differs from call to call (user,
ids, routing), images and files as their sha256 and length, and whatever looks like a secret as ***. The
sha256 of an exchange is that of its normal form, so a request finds its recording without the secrets.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import msgspec
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from genai_spine import errors
from genai_spine.v1 import completion_service_pb2 as pb

FORMAT = 1
SUFFIX = ".jsonl"
MASK = "***"
SECRETS = re.compile(
    r"""(?<=Bearer\ )[A-Za-z0-9._~+/=-]{16,}     # of an Authorization header
    | \b(?:sk|pk|rk|gsk|xai|pplx)[-_][A-Za-z0-9_-]{16,}     # OpenAI, Anthropic, Groq, xAI, Stripe
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b     # AWS
    | \bAIza[0-9A-Za-z_-]{30,}     # Google
    | \bgh[pousr]_[A-Za-z0-9]{30,} | \bgithub_pat_[A-Za-z0-9_]{30,} | \bhf_[A-Za-z0-9]{30,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}     # Slack
    | \beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+     # a JWT
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?-----END\ [A-Z ]*PRIVATE\ KEY-----""",
    re.VERBOSE | re.DOTALL,
)
# Of a request: who asked, and what is decided above the provider.
VOLATILE = (
    *("provider", "model", "user", "routing", "disconnect_policy", "truncation"),
    *("cache_max_age_s", "coalesce", "cost_labels", "store", "metadata", "idempotency_key", "resume_after"),
)
OWN_VOLATILE = ("user", "safety_identifier")  # the same, in the fields of the provider's own
CONTENT = {  # fields whose content is replaced by its digest
    "genai_spine.v1.ImagePart": ("data", "url"),
    "genai_spine.v1.AudioPart": ("data",),
    "genai_spine.v1.FilePart": ("file_data",),
}

Request = pb.CreateCompletionRequest | pb.CreateEmbeddingsRequest
Json = dict[str, Any]


class RecordedError(msgspec.Struct, omit_defaults=True):
    """SpineError as it is written: class, metadata, and when it came."""

    kind: str  # name of the class
    ms: float  # since the request
    metadata: dict[str, str] = {}
    violations: list[tuple[str, str]] = []
    retry_after_s: float | None = None


class RecordedExchange(msgspec.Struct, omit_defaults=True):
    """Request and what came back. Times are milliseconds since the request."""

    format: int
    provider: str
    model: str
    operation: str  # completion or embeddings
    sha256: str
    request: Json
    chunks: list[tuple[float, Json]] = []  # of a stream
    answer: tuple[float, Json] | None = None  # that came whole
    error: RecordedError | None = None


ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(RecordedExchange)


def begun(
    route: tuple[str, str], operation: str, request: Request, secrets: Iterable[str] = ()
) -> RecordedExchange:
    """Exchange of which only the request is known. route: names of provider and model. secrets: further texts
    to mask.
    """
    provider, model = route
    normal_form = normal(request, secrets)
    return RecordedExchange(
        FORMAT, provider, model, operation, digest(operation, model, normal_form), normal_form
    )


def digest(operation: str, model: str, normal_form: Json) -> str:
    """SHA-256 of a request in normal form, in hex. model: by its provider's name."""
    text = json.dumps([operation, model, normal_form], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def normal(request: Request, secrets: Iterable[str] = ()) -> Json:
    """Normal form of a request, by which it is found again."""
    copy: Any = type(request)()
    copy.CopyFrom(request)
    for name in VOLATILE:
        if name in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(name)
    if copy.provider_options_json:
        own = msgspec.json.decode(copy.provider_options_json, type=dict[str, msgspec.Raw])
        kept = {name: value for name, value in own.items() if name not in OWN_VOLATILE}
        copy.provider_options_json = ENCODER.encode(kept).decode()
    if isinstance(copy, pb.CreateCompletionRequest):
        _number_calls(copy)
    return redacted(copy, secrets)


def redacted(message: Message, secrets: Iterable[str] = ()) -> Json:
    """Proto JSON without secrets and without the content of files."""
    copy = type(message)()
    copy.CopyFrom(message)
    _digest_content(copy)
    masked: Json = _masked(
        MessageToDict(copy, preserving_proto_field_name=True), tuple(filter(None, secrets))
    )
    return masked


def _number_calls(request: pb.CreateCompletionRequest) -> None:
    """Replaces ids of tool calls, which are the provider's, by numbers in their order."""
    numbers: dict[str, str] = {}
    for message in request.messages:
        message.ClearField("reasoning_state_json")
        for call in message.tool_calls:
            call.ClearField("provider_state_json")
            call.id = numbers.setdefault(call.id, f"call_{len(numbers)}")
        if message.HasField("tool_call_id"):
            number = numbers.setdefault(message.tool_call_id, f"call_{len(numbers)}")
            message.tool_call_id = number


def _digest_content(message: Message) -> None:
    """Replaces the content of images, sound and files by digest and length, at any depth."""
    for name in CONTENT.get(message.DESCRIPTOR.full_name, ()):
        value = getattr(message, name)
        if isinstance(value, bytes) and value:
            setattr(message, name, _digest(value).encode())
        elif isinstance(value, str) and value.startswith("data:"):
            head, _, data = value.partition(",")
            setattr(message, name, f"{head},{_digest(data.encode())}")
    for field, value in message.ListFields():
        if field.message_type and not field.message_type.GetOptions().map_entry:
            for inner in value if field.is_repeated else (value,):
                _digest_content(inner)


def _digest(data: bytes) -> str:
    """Digest and length in bytes, as they stand in a recording."""
    return f"sha256:{hashlib.sha256(data).hexdigest()} length:{len(data)}"


def _masked(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {name: _masked(inner, secrets) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, secrets) for inner in value]
    return masked(value, secrets) if isinstance(value, str) else value


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Text without secrets: those given, and whatever looks like one (SECRETS)."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return SECRETS.sub(MASK, text)


# Errors


def recorded_error(error: errors.SpineError, ms: float, secrets: Iterable[str] = ()) -> RecordedError:
    """Error as it is recorded, masked. ms: since the request."""
    known_secrets = tuple(filter(None, secrets))
    broken = error.violations if isinstance(error, errors.InvalidFields) else []
    return RecordedError(
        kind=type(error).__name__,
        ms=ms,
        metadata={name: masked(value, known_secrets) for name, value in error.metadata.items()},
        violations=[(field, masked(problem, known_secrets)) for field, problem in broken],
        retry_after_s=error.retry_after_s,
    )


def _classes(kind: type[errors.SpineError]) -> Iterator[type[errors.SpineError]]:
    """Error class and all below it."""
    yield kind
    for below in kind.__subclasses__():
        yield from _classes(below)


def error_of(failure: RecordedError) -> errors.SpineError:
    """Error as it was raised; one that this version does not know is a ProviderError."""
    if failure.violations:
        return errors.InvalidFields(failure.violations)
    kinds = {kind.__name__: kind for kind in _classes(errors.SpineError)}
    kind = kinds.get(failure.kind, errors.ProviderError)
    needed = {name for _, name, _, _ in Formatter().parse(kind.__doc__ or "") if name}
    if issubclass(kind, errors.ProviderFailure):
        needed |= {"provider", "provider_message"}
    metadata: dict[str, Any] = dict.fromkeys(needed, "unknown") | failure.metadata
    return kind(retry_after_s=failure.retry_after_s, **metadata)


# Files


def append(folder: Path, exchange: RecordedExchange) -> None:
    """Writes one line, in one write, to this process's own file. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    line = ENCODER.encode(exchange) + b"\n"
    path = folder / f"exchanges-{os.getpid()}{SUFFIX}"
    file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        written = os.write(file, line)
    finally:
        os.close(file)
    if written < len(line):
        raise OSError(f"{path}: only {written} of {len(line)} bytes could be written")


def read(place: Path) -> list[RecordedExchange]:
    """Exchanges of a file, or of all files of a folder by their names. Raises OSError and ValueError.

    A last line without its end was being written when its process was killed, and is left out.
    """
    paths = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place]
    exchanges = []
    for path in paths:
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
            try:
                exchange = DECODER.decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
            if exchange.format != FORMAT:
                raise ValueError(f"{path}:{number}: format {exchange.format} is not {FORMAT}")
            exchanges.append(exchange)
    return exchanges
