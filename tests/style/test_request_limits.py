"""Every list and map that a caller may send has a limit in the contract."""

from genai_spine.server import services
from genai_spine.v1 import field_rules_pb2


def reachable() -> dict[str, object]:
    """Messages that requests are made of, by name; those of Google's are JSON, whose size is the body's."""
    found: dict[str, object] = {}
    waiting = [
        method.input_type
        for file in services.FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    while waiting:
        message = waiting.pop()
        if message.full_name in found or not message.full_name.startswith("genai_spine."):
            continue
        found[message.full_name] = message
        waiting += [field.message_type for field in message.fields if field.message_type]
    return found


def test_every_list_of_a_request_has_a_limit() -> None:
    unlimited = [
        f"{name}.{field.name}"
        for name, message in sorted(reachable().items())
        if not message.GetOptions().map_entry
        for field in message.fields
        if field.is_repeated
        and not field.GetOptions().Extensions[field_rules_pb2.rules].HasField("max_items")
    ]
    assert unlimited == []
