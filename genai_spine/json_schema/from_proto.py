"""JSON Schemas of the proto messages, in the JSON form that REST reads and writes.

That form is proto3's JSON (https://protobuf.dev/programming-guides/json, 2026-11-21) with Envoy's print
options: names as in the proto, enums by name, fields without presence always printed. Numbers of 64 bits are
strings there, bytes are base64.
"""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from genai_spine.v1 import field_rules_pb2

Schema = dict[str, Any]

INT32: Schema = {"type": "integer", "format": "int32"}
UINT32: Schema = {"type": "integer", "format": "uint32", "minimum": 0}
INT64: Schema = {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}
UINT64: Schema = {"type": "string", "format": "uint64", "pattern": "^[0-9]+$"}
SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte", "contentEncoding": "base64"},
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32), INT32
    ),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), UINT32),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64), INT64
    ),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), UINT64),
}
# Messages that JSON writes in a form of their own.
WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Value": {},
}
# FieldRules of one value, and of a list or map, as JSON Schema names them.
VALUE_LIMITS = {"min": "minimum", "max": "maximum", "min_length": "minLength", "max_length": "maxLength"}
LIST_LIMITS = {"min_items": "minItems", "max_items": "maxItems"}
MAP_LIMITS = {"min_items": "minProperties", "max_items": "maxProperties"}
# Kinds of things in a descriptor that have a name and a comment.
DECLARATIONS = {
    "message_type",
    "nested_type",
    "enum_type",
    "value",
    "service",
    "method",
    "field",
    "oneof_decl",
}


class ProtoSchemas:
    """Schemas of the messages of one descriptor set; `components` collects those that were asked for.

    `files` must hold every import and the source info, in which the comments are.
    """

    def __init__(self, files: FileDescriptorSet) -> None:
        self.pool = DescriptorPool()
        self.comments: dict[str, str] = {}  # full name -> comment; a value of an enum: enum.VALUE
        self.components: dict[str, Schema] = {}
        self._requests: set[str] = set()  # full names of messages that a caller sends
        for file in files.file:
            self.pool.Add(file)
            self.comments.update(_comments(file))
        for file in files.file:
            for service in self.pool.FindFileByName(file.name).services_by_name.values():
                for method in service.methods:
                    self._note_request(method.input_type)

    def reference(self, descriptor: Descriptor | EnumDescriptor) -> Schema:
        """Reference ($ref) to the component of a message or enum, which is made when it is not there yet."""
        name = descriptor.full_name.removeprefix(f"{descriptor.file.package}.")
        if name not in self.components:
            self.components[name] = {}  # a message that holds itself ends here
            if isinstance(descriptor, EnumDescriptor):
                self.components[name].update(self._enum(descriptor))
            else:
                self.components[name].update(self.message(descriptor))
        return {"$ref": f"#/components/schemas/{name}"}

    def message(self, descriptor: Descriptor, without: Collection[str] = ()) -> Schema:
        """Schema of a message, less the fields that travel elsewhere, as in the path."""
        fields = [field for field in descriptor.fields if field.name not in without]
        # A caller must set what its rules say; what only the server sends is printed unless it has presence.
        is_answer = descriptor.full_name not in self._requests
        schema: Schema = {"type": "object", "description": self.describe_message(descriptor)}
        schema["properties"] = {field.name: self.field(field) for field in fields}
        required = [f.name for f in fields if is_needed(f) or (is_answer and not f.has_presence)]
        if required:
            schema["required"] = required
        return schema

    def field(self, field: FieldDescriptor) -> Schema:
        """Schema of a field with its comment and its rules: a map is an object, a repeated field an array."""
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            keys, values = entry.fields
            schema: Schema = {"type": "object", "additionalProperties": self._value(values)}
            if "pattern" in SCALARS[keys.type] or "minimum" in SCALARS[keys.type]:
                schema["propertyNames"] = {"pattern": "^-?[0-9]+$"}
        elif field.is_repeated:
            schema = {"type": "array", "items": self._value(field)}
        else:
            schema = self._value(field)
        _add_rules(field, schema)
        schema["description"] = self.describe_field(field)
        return schema

    def describe_message(self, descriptor: Descriptor) -> str:
        """Description of a message: its comment, and the fields of each oneof."""
        paragraphs = [self.comments.get(descriptor.full_name, "")]
        for oneof in filter(_is_real, descriptor.oneofs):
            paragraphs.append(f"One of {_names(oneof.fields)}. {self.comments.get(oneof.full_name, '')}")
        return "\n\n".join(paragraphs).strip()

    def describe_field(self, field: FieldDescriptor) -> str:
        """Description of a field: its comment, and the fields that it excludes."""
        comment = self.comments.get(field.full_name, "")
        oneof = field.containing_oneof
        if oneof is None or not _is_real(oneof):
            return comment
        return f"{comment} Excludes {_names(other for other in oneof.fields if other is not field)}.".strip()

    def _value(self, field: FieldDescriptor) -> Schema:
        """Schema of one value of the field: of an element, when it is a list."""
        message = field.message_type
        if message is not None:
            known = WELL_KNOWN.get(message.full_name)
            return self.reference(message) if known is None else dict(known)
        return self.reference(field.enum_type) if field.enum_type else dict(SCALARS[field.type])

    def _enum(self, descriptor: EnumDescriptor) -> Schema:
        names = [value.name for value in descriptor.values]
        lines = [f"* `{name}`: {self.comments.get(f'{descriptor.full_name}.{name}', '')}" for name in names]
        text = "\n".join([self.comments.get(descriptor.full_name, ""), "", *lines])
        return {"type": "string", "enum": names, "description": text}

    def _note_request(self, descriptor: Descriptor) -> None:
        if descriptor.full_name in self._requests:
            return
        self._requests.add(descriptor.full_name)
        for field in descriptor.fields:
            if field.message_type is not None:
                self._note_request(field.message_type)


def rules_of(field: FieldDescriptor) -> field_rules_pb2.FieldRules:
    """Field rules (genai_spine.v1.rules) of a field; the default message where it has none."""
    extensions: Any = field.GetOptions().Extensions  # the generated stubs do not type an extension's key
    rules: field_rules_pb2.FieldRules = extensions[field_rules_pb2.rules]
    return rules


def is_needed(field: FieldDescriptor) -> bool:
    """Whether the caller must set the field: it is required, or an empty list would have too few entries."""
    rules = rules_of(field)
    return bool(rules.required or rules.min_items)


def _add_rules(field: FieldDescriptor, schema: Schema) -> None:
    """Adds the keywords of the field's rules. In a list or map, those of a value go to its element."""
    rules = rules_of(field)
    element: Schema = schema.get("items") or schema.get("additionalProperties") or schema
    for name, keyword in VALUE_LIMITS.items():
        if rules.HasField(name):
            element[keyword] = _limit(getattr(rules, name), name, field)
    if rules.HasField("pattern"):
        element["pattern"] = f"^(?:{rules.pattern})$"
    if rules.json_object:
        element["contentMediaType"] = "application/json"
    names = MAP_LIMITS if "additionalProperties" in schema else LIST_LIMITS
    for name, keyword in names.items():
        if rules.HasField(name):
            schema[keyword] = getattr(rules, name)
    if rules.required and (field.is_repeated or schema.get("type") == "string"):
        schema.setdefault(names["min_items"] if field.is_repeated else "minLength", 1)
    if rules.HasField("default_value"):
        text = rules.default_value
        is_text = schema.get("type") not in ("integer", "number", "boolean")
        schema["default"] = text if is_text else json.loads(text)


def _limit(value: float, name: str, field: FieldDescriptor) -> float:
    if name == "max_length" and field.type == FieldDescriptor.TYPE_BYTES:
        return (int(value) + 2) // 3 * 4  # characters of base64
    return int(value) if value == int(value) else value


def _is_real(oneof: OneofDescriptor) -> bool:
    """False for the oneof that protobuf makes around each `optional` scalar."""
    return not (len(oneof.fields) == 1 and oneof.name == f"_{oneof.fields[0].name}")


def _names(fields: Collection[FieldDescriptor] | Iterator[FieldDescriptor]) -> str:
    return ", ".join(f"`{field.name}`" for field in fields)


def _comments(file: FileDescriptorProto) -> dict[str, str]:
    """Comments by full name, for everything in the file that has one; lines of a paragraph are joined.

    A location's path is pairs of field number and index, from the file down (descriptor.proto,
    SourceCodeInfo.Location.path).
    """
    comments: dict[str, str] = {}
    for location in file.source_code_info.location:
        if location.leading_comments and len(location.path) % 2 == 0:
            node: Any = file
            names = [file.package]
            for number, index in zip(location.path[::2], location.path[1::2], strict=True):
                kind = node.DESCRIPTOR.fields_by_number[number].name
                if kind not in DECLARATIONS:
                    break
                node = getattr(node, kind)[index]
                names.append(node.name)
            else:
                comments[".".join(names)] = _paragraphs(location.leading_comments)
    return comments


def _paragraphs(comment: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", comment.strip()))
