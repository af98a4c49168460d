"""What all resources of the contract have in common."""

import re
from importlib import import_module
from pkgutil import iter_modules

from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from genai_spine import v1
from genai_spine.access.scopes import AUTHENTICATED, PUBLIC, SCOPES
from genai_spine.call import TENANT_ID
from genai_spine.json_schema.from_proto import ProtoSchemas
from genai_spine.services.rest_aliases import alias_of
from genai_spine.v1 import access_rules_pb2, field_rules_pb2, tenant_service_pb2
from tests.style.source import PACKAGE

FACADE = "genai_spine.v1.OpenAIService"  # its lists page as OpenAI's do
SCHEMAS = ProtoSchemas(FileDescriptorSet.FromString((PACKAGE / "v1/descriptors.binpb").read_bytes()))
HTTP_BODY = "google.api.HttpBody"  # a list that is an array has its next token in a header


def files():
    names = [module.name for module in iter_modules(v1.__path__) if module.name.endswith("_pb2")]
    return [import_module(f"{v1.__name__}.{name}").DESCRIPTOR for name in names]


def methods():
    return [
        method for file in files() for service in file.services_by_name.values() for method in service.methods
    ]


def rules(field):
    return field.GetOptions().Extensions[field_rules_pb2.rules]


LISTS = [
    method
    for method in methods()
    if method.name.startswith("List") and method.containing_service.full_name != FACADE
]


def test_every_list_has_pages():
    def lacking(method):
        asked, answer = method.input_type.fields_by_name, method.output_type.fields_by_name
        wrong = [name for name in ("page_size", "page_token") if name not in asked]
        if method.output_type.full_name != HTTP_BODY and "next_page_token" not in answer:
            wrong.append("next_page_token")
        return wrong

    assert len(LISTS) >= 13
    assert {method.full_name: wrong for method in LISTS if (wrong := lacking(method))} == {}


def test_numbers_of_paging_are_int32_with_limits():
    wrong = []
    for method in LISTS:
        for field in method.input_type.fields:
            if field.name in ("page_size", "limit", "offset"):
                limits = [name for name in ("min", "max") if rules(field).HasField(name)]
                needed = ["min"] if field.name == "offset" else ["min", "max"]
                if field.type != FieldDescriptor.TYPE_INT32 or limits != needed:
                    wrong.append(field.full_name)
        for field in method.output_type.fields:
            if field.name in ("total", "limit", "offset") and field.type != FieldDescriptor.TYPE_INT32:
                wrong.append(field.full_name)
    assert wrong == []


def test_every_method_states_its_scope():
    """One that a key can have, or one of the two words for none; what states nothing asks for admin."""
    known = SCOPES | {PUBLIC, AUTHENTICATED}
    stated = {
        method.full_name: method.GetOptions().Extensions[access_rules_pb2.scope] for method in methods()
    }
    assert len(stated) > 110
    assert [name for name, scope in stated.items() if scope not in known] == []


def test_the_header_of_a_tenant_takes_what_a_tenant_can_be_called():
    field = tenant_service_pb2.Tenant.DESCRIPTOR.fields_by_name["id"]
    assert TENANT_ID.pattern == f"{rules(field).pattern[:-2]}{{0,{rules(field).max_length - 1}}}"
    assert rules(field).pattern.endswith("*|")  # or nothing: who may set it says so


def messages(found=None):
    for message in found or [each for file in files() for each in file.message_types_by_name.values()]:
        yield message
        if message.nested_types:
            yield from messages(message.nested_types)


# Names of events and columns that others have laid down.
OTHERS_TIMES = {
    "genai_spine.v1.ExecutionEntry.created_at",
    "genai_spine.v1.RunEvent.timestamp",
    "genai_spine.v1.RunOptions.deadline",
    "genai_spine.v1.RunOptions.not_before",
    "genai_spine.v1.SymbolEvent.timestamp",
}


def test_times_are_timestamps_named_time():
    """create_time, update_time, ...; older names are aliases of REST."""

    def is_wrong(field):
        is_time = field.message_type is not None and field.message_type.name == "Timestamp"
        if alias_of(field) or field.full_name in OTHERS_TIMES:
            return False
        return is_time != field.name.endswith("_time") or field.name.endswith("_at")

    assert [field.full_name for message in messages() for field in message.fields if is_wrong(field)] == []


# Text in which JSON is only one of several things, or of which a piece is sent.
NOT_JSON = {
    "genai_spine.v1.CapabilityEvent.text",
    "genai_spine.v1.ExportSessionResponse.text",
    "genai_spine.v1.FieldDiff.after",
    "genai_spine.v1.FieldDiff.before",
    "genai_spine.v1.ToolCallDelta.arguments",
}


def test_text_that_is_json_is_named_so():
    """A field whose comment speaks of JSON, or whose rule asks for it, ends in _json."""

    def is_json(field):
        if alias_of(field):
            return False
        comment = SCHEMAS.comments.get(field.full_name, "")
        return rules(field).json_object or re.search(r"\bJSON\b", comment)

    found = {
        field.full_name
        for message in messages()
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_STRING and is_json(field)
    }
    assert "genai_spine.v1.FunctionCall.arguments_json" in found
    assert sorted(name for name in found - NOT_JSON if not name.endswith("_json")) == []


OWN_PATH = re.compile(r"/v1(/[a-z-]+(/\{\w+(=\*\*)?\})?)+(:[a-z]+)?")
# Paths of others: for people and load balancers.
OTHERS_PATHS = {"/health", "/ready", "/docs", "/openapi.json", "/metrics"}


def bindings(method):
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    return [rule, *rule.additional_bindings] if rule.WhichOneof("pattern") else []


def test_http_paths_are_nouns_with_a_verb_behind_a_colon():
    """What a POST without a verb makes is one more of what its path names."""
    wrong = []
    for method in methods():
        if method.containing_service.full_name == FACADE:
            continue
        for rule in bindings(method)[:1]:
            verb = rule.WhichOneof("pattern")
            path = getattr(rule, verb)
            makes = method.name.startswith(("Create", "Upload", "Send"))
            names_verb = ":" in path or verb != "post" or makes
            if path not in OTHERS_PATHS and not (OWN_PATH.fullmatch(path) and names_verb):
                wrong.append(f"{method.name}: {verb} {path}")
    assert wrong == []
