"""JSON Schema as an instruction in words, for providers that take no schema.

The answer is validated all the same (`answers`); this only makes a valid one likely.
"""

from collections.abc import Container

from genai_spine.errors import UnsupportedOption
from genai_spine.json_schema.rewrite import is_wrapped
from genai_spine.json_schema.rules import SchemaRules
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

Request = pb.CreateCompletionRequest


def in_words(schema: pb.JsonSchema) -> str:
    """Instruction for a model that gets the schema as text: its name, its description, and the JSON
    itself.
    """
    about = f" It is for: {schema.description}" if schema.description else ""
    return (
        "Answer with one JSON value and nothing else: no words before or after it, no code fence. "
        f"It must be valid by this JSON Schema, named {schema.name}.{about}\n\n{schema.schema_json}"
    )


def with_instruction(request: Request, options: Container[str]) -> Request:
    """Copy of the request with the schema in the system message. options: the provider's.

    Where the provider can be held to a JSON object, and that is what the schema wants, it still is. Raises
    UnsupportedOption for a prompt of token ids, which no words can be added to.
    """
    schema = request.response_format.json_schema
    instructed = Request()
    instructed.CopyFrom(request)
    instructed.ClearField("response_format")
    if "response_format" in options and not is_wrapped(schema.schema_json, SchemaRules(object_only=True)):
        instructed.response_format.kind = pb.ResponseFormat.KIND_JSON_OBJECT
    words = in_words(schema)
    if request.HasField("prompt"):
        if request.prompt.WhichOneof("prompt") == "tokens":
            raise UnsupportedOption(
                field="response_format.json_schema",
                provider=request.provider,
                option="a JSON Schema for a prompt of token ids",
            )
        instructed.prompt.text = f"{words}\n\n{request.prompt.text}"
    elif request.messages[0].role in (message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER):
        instructed.messages[0].content.add(text=f"\n\n{words}")
    else:
        instructed.messages.insert(
            0,
            message_pb2.Message(role=message_pb2.ROLE_SYSTEM, content=[message_pb2.ContentPart(text=words)]),
        )
    return instructed
