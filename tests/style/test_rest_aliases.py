"""Aliases of REST are deprecated fields, each of another field of the same message."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from genai_spine import v1
from genai_spine.json_schema.from_proto import rules_of
from genai_spine.services.rest_aliases import READ, SHOWN, alias_of, conversion_key, source_of
from tests.style.source import MODULES, offenders


def fields() -> Iterator[FieldDescriptor]:
    for module in iter_modules(v1.__path__):
        if module.name.endswith("_pb2"):
            messages = import_module(f"{v1.__name__}.{module.name}").DESCRIPTOR.message_types_by_name
            for message in messages.values():
                yield from _fields(message)


def _fields(message: Descriptor) -> Iterator[FieldDescriptor]:
    yield from message.fields
    for nested in message.nested_types:
        yield from _fields(nested)


ALIASES = [field for field in fields() if alias_of(field)]


def kind(field: FieldDescriptor) -> tuple[object, ...]:
    of = field.message_type or field.enum_type
    return field.type, of and of.full_name, field.is_repeated


def test_there_are_aliases_and_each_is_deprecated():
    assert [alias.full_name for alias in ALIASES if not alias.GetOptions().deprecated] == []
    assert "genai_spine.v1.SendMessageResponse.cost" in {alias.full_name for alias in ALIASES}


def test_alias_stands_for_a_field_of_its_type_or_is_converted():
    def is_wrong(alias: FieldDescriptor) -> bool:
        source = source_of(alias)
        return kind(alias) != kind(source) and conversion_key(alias, source) not in {*SHOWN, *READ}

    assert [alias.full_name for alias in ALIASES if is_wrong(alias)] == []


def test_conversions_are_of_aliases_of_other_types():
    keys = {
        conversion_key(alias, source_of(alias)) for alias in ALIASES if kind(alias) != kind(source_of(alias))
    }
    assert {*SHOWN, *READ} <= keys


def test_alias_stands_for_no_other_alias():
    assert [alias.full_name for alias in ALIASES if alias_of(source_of(alias))] == []


def test_alias_has_the_limits_of_what_it_stands_for():
    """Nobody checks the source again after an alias was read into it."""

    def limits(field: FieldDescriptor) -> object:
        rules = type(rules_of(field))()
        rules.CopyFrom(rules_of(field))
        for name in ("required", "may_be_empty", "default_value"):
            rules.ClearField(name)
        return rules

    same = [alias for alias in ALIASES if kind(alias) == kind(source_of(alias))]
    assert [alias.full_name for alias in same if limits(alias) != limits(source_of(alias))] == []


def test_only_the_edge_reads_aliases():
    outside = [path for path in MODULES if path.name not in ("lifecycle.py", "rest_aliases.py")]
    assert offenders(outside, lambda path: "rest_aliases.read" in path.read_text()) == []
