"""Methods that may cost money take an idempotency key, and their streams can be resumed."""

from google.protobuf import descriptor_pb2

from genai_spine.v1 import method_rules_pb2
from tests.style.source import PACKAGE

NEVER_PAID = {  # with a request of a method that is
    "CountTokens",
    "EstimateDocumentSymbols",
    "EstimateCost",
    # Submitting costs nothing: the calls of the run are paid, and its key is unique among runs.
    "CreateRun",
    "ListRuns",
}
BYTES = ".google.api.HttpBody"


def contract():
    protos = (PACKAGE / "v1" / "descriptors.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(protos).file
    ours = [file for file in files if file.package == "genai_spine.v1"]
    messages = {f".{file.package}.{message.name}": message for file in ours for message in file.message_type}
    return messages, [method for file in ours for service in file.service for method in service.method]


def is_paid(method):
    return method.options.Extensions[method_rules_pb2.paid]


def fields(message):
    return {field.name for field in message.field}


def test_requests_of_paid_methods_have_a_key():
    messages, methods = contract()
    typed = [method for method in methods if is_paid(method) and method.input_type != BYTES]
    assert len(typed) > 25
    assert [m.name for m in typed if "idempotency_key" not in fields(messages[m.input_type])] == []


def test_streams_of_paid_methods_can_be_resumed():
    messages, methods = contract()
    streams = [m for m in methods if is_paid(m) and m.server_streaming and m.input_type != BYTES]
    assert len(streams) > 5
    assert [m.name for m in streams if "resume_after" not in fields(messages[m.input_type])] == []
    assert [m.name for m in streams if "sequence" not in fields(messages[m.output_type])] == []


def test_whatever_has_cost_labels_is_paid():
    messages, methods = contract()
    free = [m for m in methods if not is_paid(m) and m.name not in NEVER_PAID and m.input_type in messages]
    assert [m.name for m in free if fields(messages[m.input_type]) & {"cost_labels", "idempotency_key"}] == []
