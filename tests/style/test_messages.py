"""Messages are not grown by hand: a string in an arena is copied whole for each `+=`."""

import ast
from importlib import import_module
from pkgutil import iter_modules

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from genai_spine import v1
from tests.style.source import MODULES, name, tree

TEXT = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
COUNTS = {"size", "version"}  # text in one message; what the code adds to under these names is a number
# A hint or a problem that is put once behind a message of the caller's.
ONCE = {
    "genai_spine/capabilities/base.py: text",
    "genai_spine/capabilities/extract_structured.py: text",
}


def text_fields() -> set[str]:
    """Names of all fields of the contract that hold text or bytes."""
    found: set[str] = set()

    def collect(message: Descriptor) -> None:
        found.update(f.name for f in message.fields if f.type in TEXT and not f.is_repeated)
        for nested in message.nested_types:
            collect(nested)

    for module in iter_modules(v1.__path__):
        if module.name.endswith("_pb2"):
            found_in = import_module(f"{v1.__name__}.{module.name}")
            for message in found_in.DESCRIPTOR.message_types_by_name.values():
                collect(message)
    return found


def grown(source: ast.Module, fields: set[str]) -> list[str]:
    """Fields that an assignment lengthens: `x.text += y`, `x.text = x.text + y`."""
    found = []
    for node in ast.walk(source):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            target: ast.expr = node.target
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
            target = node.targets[0]
            if ast.dump(node.value.left) != ast.dump(target).replace("Store()", "Load()"):
                continue
        else:
            continue
        if isinstance(target, ast.Attribute) and target.attr in fields:
            found.append(target.attr)
    return found


def test_text_of_messages_is_collected_and_joined_once():
    fields = text_fields() - COUNTS
    assert {"content", "arguments", "text", "reasoning"} <= fields
    found = {f"{name(path)}: {field}" for path in MODULES for field in grown(tree(path), fields)}
    assert found == ONCE


def test_growing_is_seen_in_both_ways_of_writing_it():
    source = "a.b.text += c\na.text = a.text + c\na.count += 1\na.text = c\nd['text'] += c\ntext += c"
    assert grown(ast.parse(source), {"text"}) == ["text", "text"]
