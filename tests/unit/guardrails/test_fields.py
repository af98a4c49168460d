"""Text fields of requests: all of them are looked at, and identifiers stay."""

import json
from typing import Any

from genai_spine.guardrails.fields import IDENTIFIERS, rewrite
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2


def filled(kind: Any, depth: int = 0) -> Any:
    """Message with a text in every field."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].type == field.TYPE_STRING:
                getattr(message, field.name)["key"] = "text"
        elif field.message_type is not None and depth < 6:
            inner = filled(field.message_type._concrete_class, depth + 1)
            if field.is_repeated:
                getattr(message, field.name).append(inner)
            else:
                getattr(message, field.name).CopyFrom(inner)
        elif field.type == field.TYPE_STRING:
            value = '{"a": ["text", 1]}' if field.name.endswith("_json") else "text"
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
    return message


def texts(message: Any, name: str = "") -> list[tuple[str, str]]:
    found = []
    for field, value in message.ListFields():
        place = f"{name}.{field.name}"
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for entry in value if field.is_repeated else (value,):
                found += texts(entry, place)
        elif field.type == field.TYPE_STRING:
            found += [(place, text) for text in (value if field.is_repeated else [value])]
    return found


def test_every_text_is_looked_at_unless_it_is_an_identifier() -> None:
    request = filled(pb.CreateCompletionRequest)
    request.ClearField("routing")
    rewrite(request, lambda place, text: text.replace("text", "gone"), lambda place: None)
    left = [place for place, text in texts(request) if "text" in text]
    known = {"name", "function_name", "custom_name", *IDENTIFIERS}
    assert {place.rpartition(".")[2] for place in left} - known <= {"url", "filename", "file_data"}
    assert "metadata" not in str(left)


def test_places_say_where_a_text_stands() -> None:
    request = pb.CreateCompletionRequest(metadata={"who": "me"})
    request.messages.add(role=message_pb2.ROLE_USER).content.add(text="one")
    call = request.messages.add(role=message_pb2.ROLE_ASSISTANT).tool_calls.add(id="call_1")
    call.function.arguments_json = '{"to": ["two", 3]}'
    request.messages[0].content.add(image=message_pb2.ImagePart(data=b"x"))
    seen: dict[str, str] = {}
    unreadable: list[str] = []

    def change(place: str, text: str) -> str:
        seen[place] = text
        return text

    rewrite(request, change, unreadable.append)
    arguments = "messages[1].tool_calls[0].function.arguments_json"
    assert seen["messages[0].content[0].text"] == "one"
    assert (seen[f"{arguments}.to[0]"], seen[f"{arguments}.to[1]"]) == ("two", "3")
    assert seen["metadata[who]"] == "me"
    assert unreadable == ["messages[0].content[1].image"]


def test_json_keeps_what_does_not_change() -> None:
    call = message_pb2.FunctionCall(arguments_json='{"b" : 1.50, "a":12345678901234567890}')
    rewrite(call, lambda place, text: text, lambda place: None)
    assert call.arguments_json == '{"b" : 1.50, "a":12345678901234567890}'
    call.arguments_json = '{"card": 4111111111111111, "n": 2}'
    rewrite(call, lambda place, text: text.replace("4111111111111111", "<X>"), lambda place: None)
    assert json.loads(call.arguments_json) == {"card": "<X>", "n": 2}
    call.arguments_json = '{"cut": "tex'
    rewrite(call, lambda place, text: text.replace("tex", "gone"), lambda place: None)
    assert call.arguments_json == '{"cut": "gone'
