"""Tables that must agree with each other, and with what is there."""

import re
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from google.rpc import code_pb2

from genai_spine import errors
from genai_spine.capabilities import CAPABILITIES
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.v1 import capability_service_pb2, completion_service_pb2, error_reason_pb2
from tests.style.source import PACKAGE, ROOT, imports, offenders

KINDS_OF_PARTS = {"messages.image", "messages.audio", "messages.file", "tools.custom", "prompt.tokens"}


def subclasses(kind):
    return {kind, *(below for child in kind.__subclasses__() for below in subclasses(child))}


def adapters() -> dict[str, Provider]:
    base = {"builtin": "builtin:", "replay": "file:recordings"}
    return {
        name: row.make(Endpoint(name=name, base_url=base.get(name) or row.base_url or "http://localhost:1"))
        for name, row in PROVIDERS.items()
    }


def test_every_error_reason_has_one_class():
    tree = subclasses(errors.SpineError) - {errors.SpineError, errors.ProviderFailure}
    given = sorted(kind.reason for kind in tree)
    assert given == sorted(set(error_reason_pb2.ErrorReason.values()) - {0})


def test_every_error_reason_has_an_example():
    text = (ROOT / "proto/genai_spine/v1/error_reason.proto").read_text()
    comments = {
        reason: re.search(rf"((?: *//.*\n)+) *{reason} = ", text)
        for reason in error_reason_pb2.ErrorReason.keys()[1:]
    }
    assert [name for name, comment in comments.items() if not (comment and '{"code":' in comment[1])] == []


def test_every_stream_over_rest_can_say_what_ended_it():
    """By an `error` of the shape of the unary body; bytes have none and are reset (stream_end.py)."""
    protos = (PACKAGE / "v1" / "descriptors.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(protos).file
    messages = {f".{file.package}.{message.name}": message for file in files for message in file.message_type}
    methods = [method for file in files for service in file.service for method in service.method]
    streamed = {
        method.output_type
        for method in methods
        if method.server_streaming and method.options.HasExtension(annotations_pb2.http)
    }
    shapes = {
        name: [
            [inner.name for inner in messages[field.type_name].field]
            for field in messages[name].field
            if field.name == "error"
        ]
        for name in streamed - {".google.api.HttpBody"}
    }
    expected = [["code", "message", "details", "request_id"]]
    assert {name: shape for name, shape in shapes.items() if shape != expected} == {}
    assert shapes


def test_options_are_fields_of_the_request():
    fields = set(completion_service_pb2.CreateCompletionRequest.DESCRIPTOR.fields_by_name)
    others = {name: set(adapter.options) - fields - KINDS_OF_PARTS for name, adapter in adapters().items()}
    assert {name: options for name, options in others.items() if options} == {}


def test_every_adapter_is_in_the_registry():
    folders = {path.parent.name for path in (PACKAGE / "providers").glob("*/adapter.py")}
    used = {type(provider).__module__ for provider in adapters().values()}
    assert used == {f"genai_spine.providers.{folder}.adapter" for folder in folders}


def test_no_provider_imports_another():
    protocols = {path.parent.name for path in (PACKAGE / "providers").glob("*/adapter.py")}

    def others(path):
        names = {
            module.split(".")[2] for module in imports(path) if module.startswith("genai_spine.providers.")
        }
        return names & (protocols - {path.parent.name})

    files = [path for protocol in protocols for path in (PACKAGE / "providers" / protocol).glob("*.py")]
    assert offenders(files, others) == []


# Modules of capabilities/ that are no capability.
SHARED_BY_CAPABILITIES = {"__init__", "answer_schemas", "base", "context", "full_text", "listing", "options"}
SHARED_BY_CAPABILITIES |= {"pii_detection"}


def test_every_capability_is_a_file_and_a_row():
    files = {path.stem for path in (PACKAGE / "capabilities").glob("*.py")} - SHARED_BY_CAPABILITIES
    assert {type(row).__module__.rpartition(".")[2] for row in CAPABILITIES.values()} == files
    assert files == {name.replace("-", "_") for name in CAPABILITIES}


def test_every_row_of_capabilities_is_a_method_and_streams():
    methods = capability_service_pb2.DESCRIPTOR.services_by_name["CapabilityService"].methods_by_name
    assert {row.METHOD for row in CAPABILITIES.values()} == set(methods) - {
        "StreamCapability",
        "ListCapabilities",
    }
    for message, oneof in (("StreamCapabilityRequest", "request"), ("CapabilityEvent", "event")):
        members = capability_service_pb2.DESCRIPTOR.message_types_by_name[message].oneofs_by_name[oneof]
        typed = {field.name: field.message_type.name for field in members.fields if field.message_type}
        kind = "REQUEST" if oneof == "request" else "RESPONSE"
        rows = {row.member: getattr(row, kind).DESCRIPTOR.name for row in CAPABILITIES.values()}
        assert {name: typed.get(name) for name in rows} == rows


def test_no_capability_imports_another():
    modules = {f"genai_spine.capabilities.{name.replace('-', '_')}" for name in CAPABILITIES}
    files = [PACKAGE / "capabilities" / f"{name.replace('-', '_')}.py" for name in CAPABILITIES]

    def others(path):
        return imports(path) & (modules - {f"genai_spine.capabilities.{path.stem}"})

    assert offenders(files, others) == []


def test_lock_files_pin_every_dependency_by_hash():
    texts = {lock: (ROOT / lock).read_text() for lock in ("requirements.lock", "requirements-dev.lock")}
    assert [lock for lock, text in texts.items() if "--hash=sha256:" not in text] == []
    # Where packages come from is the installer's to know.
    assert [lock for lock, text in texts.items() if "://" in text] == []


def test_forbidden_dependencies_stay_out():
    assert "litellm" not in (ROOT / "requirements-dev.lock").read_text()


def test_third_party_protos_equal_the_installed_package():
    ours, installed = ROOT / "third_party" / "google", Path(code_pb2.__file__).parents[1]
    protos = list(ours.rglob("*.proto"))
    assert protos
    other = [p for p in protos if p.read_text() != (installed / p.relative_to(ours)).read_text()]
    assert offenders(other, lambda path: "differs") == []
