"""Requests of steps: the request that does what a capability says, and its answer as a context has it.

A step's options are fields of the request; its input goes where the request has its text, or, where it is an
object, into the fields that are called as its keys.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message

from genai_spine import validation
from genai_spine.errors import InvalidFields
from genai_spine.v1 import provider_service_pb2 as providers
from genai_spine.v1.field_rules_pb2 import rest_alias_of
from genai_spine.v1.item_work_pb2 import ItemResponse, ItemWork
from genai_spine.v1.message_pb2 import ROLE_USER

Fields = dict[str, Any]


class Doing(NamedTuple):
    """How a capability is done: by which member of Work, and what the registry calls it."""

    member: str  # empty: this version does not do it
    capability: int = providers.CAPABILITY_UNSPECIFIED
    fields: Mapping[str, Any] = MappingProxyType({})  # of its request, which options may change


_REGISTERED = {
    name.removeprefix("CAPABILITY_").lower(): number
    for name, number in providers.Capability.items()
    if number != providers.CAPABILITY_UNSPECIFIED
}
_MEMBERS = {
    **dict.fromkeys(("llm_generation", "llm_streaming", "llm_vision", "llm_function_calling"), "completion"),
    "llm_structured": "extract_structured",
    "summarization": "summarize",
    "sentiment_analysis": "analyze_sentiment",
    "embedding": "embeddings",
    **dict.fromkeys(
        ("transcription", "transcription_diarization", "transcription_dual_channel"), "transcription"
    ),
    "coaching_analysis": "analyze_coaching",
    "pii_detection": "detect_pii",
    "pii_redaction": "redact",
}
_FIELDS: Mapping[str, Fields] = {
    "transcription_diarization": {"diarize": True},
    "transcription_dual_channel": {"multichannel": True},
}
_ITEMS = tuple(field.name for field in ItemWork.DESCRIPTOR.oneofs[0].fields)
_OF_MEMBERS = {
    "summarize": providers.CAPABILITY_SUMMARIZATION,
    "analyze_sentiment": providers.CAPABILITY_SENTIMENT_ANALYSIS,
    "analyze_coaching": providers.CAPABILITY_COACHING_ANALYSIS,
    "embeddings": providers.CAPABILITY_EMBEDDING,
    "transcription": providers.CAPABILITY_TRANSCRIPTION,
    "detect_pii": providers.CAPABILITY_PII_DETECTION,
    "redact": providers.CAPABILITY_PII_REDACTION,
    "speech": providers.CAPABILITY_UNSPECIFIED,
    "images": providers.CAPABILITY_UNSPECIFIED,
    "document_symbols": providers.CAPABILITY_UNSPECIFIED,
}
CAPABILITIES: Mapping[str, Doing] = {
    **{
        name: Doing(name, _OF_MEMBERS.get(name, providers.CAPABILITY_LLM_GENERATION))
        for name in _ITEMS
        if name != "document_symbols"
    },
    **{
        name: Doing(_MEMBERS.get(name, ""), number, _FIELDS.get(name, {}))
        for name, number in _REGISTERED.items()
    },
}
TEXTS = {  # fields that a text goes into, where it is not `content`
    "answer_question": "context",
    "speech": "input",
    "images": "prompt",
    "generate_commit": "diff",
}
LISTS = {"synthesize": "documents", "embeddings": "inputs"}
ANSWERS = {  # fields that hold the text of an answer
    "summarize": "summary",
    "rewrite": "rewritten",
    "infer_title": "title",
    "generate_commit": "commit_message",
    "answer_question": "answer",
    "translate": "translation",
    "paraphrase": "paraphrase",
    "correct": "corrected",
    "synthesize": "synthesis",
    "compare": "summary",
    "execute_prompt": "content",
    "extract_structured": "data_json",
    "analyze_coaching": "advice",
    "detect_language": "language",
    "redact": "redacted",
}
# Fields of requests that say who is asked, and for whom: never taken from an input.
CALLERS = frozenset(
    (
        *(
            "provider",
            "model",
            "options",
            "routing",
            "cost_labels",
            "idempotency_key",
            "resume_after",
            "user",
        ),
        *("provider_options_json", "wait", "store", "metadata", "domain"),
    )
)
# Fields of answers about the call, which the step's result has.
ABOUT_CALLS = frozenset(
    (
        *("usage", "provider", "model", "request_id", "execution_id", "cost", "cost_usd", "cost_ticks"),
        *("latency_ms", "context", "result", "id", "price_known", "input_tokens", "output_tokens"),
        *("create_time", "created", "units", "warnings", "run_id", "status", "original"),
    )
)


def request_class(member: str) -> type[Message]:
    """Type of the request that does the work of a member."""
    return type(getattr(ItemWork(), member))


def answer_class(member: str) -> type[Message]:
    """Type of the answer of a member."""
    return type(getattr(ItemResponse(), member))


def check_options(member: str, options: Mapping[str, Any]) -> str:
    """Problem of a step's options, in words; empty: none."""
    try:
        request = request_class(member)()
        json_format.ParseDict(_own(member, options)[0], request)
        validation.check_without_aliases(request)
    except json_format.ParseError as error:
        return words(error)
    except InvalidFields as error:
        others = [(path, why) for path, why in error.violations if "required" not in why]
        return "; ".join(f"{path} {why}" for path, why in others)[:300]
    return ""


def built(member: str, options: Mapping[str, Any], value: Any, provider: str, model: str) -> Message:
    """Request of a step for one provider; model: empty: the provider's default. Raises InvalidFields."""
    fields, prompt = _own(member, options)
    request = request_class(member)()
    names = request.DESCRIPTOR.fields_by_name
    if isinstance(value, Mapping):
        _take(member, fields, value, names)
    elif value is not None:
        _put(member, fields, value)
    text = fields.pop("prompt", None) if member == "completion" else None
    for name, given in (("provider", provider), ("model", model)):
        if name in names and (given or name == "model"):
            fields.pop(name, None)
            if given:
                fields[name] = given
    try:
        json_format.ParseDict(fields, request)
    except json_format.ParseError as error:
        raise InvalidFields([("options", words(error))]) from None
    if text is not None or prompt:
        whole = "\n\n".join(part for part in (prompt, text) if part)
        getattr(request, "messages").add(role=ROLE_USER).content.add(text=whole)  # noqa: B009
    validation.check_without_aliases(request)
    return request


def output_of(member: str, answer: Message) -> Fields:
    """Output of a step: fields of its answer without those about the call, and its text as `text`."""
    if member == "completion":
        return _of_completion(answer)
    if member == "embeddings":
        vectors = sorted(getattr(answer, member), key=lambda one: one.index)
        return {"embeddings": [list(one.values) for one in vectors]}
    found: Fields = json_format.MessageToDict(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    names = answer.DESCRIPTOR.fields_by_name
    kept = {
        name: value for name, value in found.items() if name not in ABOUT_CALLS and not _is_alias(names[name])
    }
    text = getattr(answer, ANSWERS[member]) if member in ANSWERS else kept.get("text")
    return kept if text is None else {**kept, "text": text}


def provider_of(answer: Message) -> str:
    """Provider that gave an answer; empty: it does not say."""
    names = answer.DESCRIPTOR.fields_by_name
    found = str(getattr(answer, "provider", "")) if "provider" in names else ""
    if not found and "result" in names:
        found = str(getattr(answer, "result").provider)  # noqa: B009
    return found


def plain(value: Any) -> Any:
    """JSON value of a message, whose whole numbers are integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def words(error: json_format.ParseError) -> str:
    """Problem of a JSON value, without the list of all fields that there are."""
    return " ".join(str(error).partition("Available Fields")[0].split())[:300]


def _own(member: str, options: Mapping[str, Any]) -> tuple[Fields, str]:
    """Fields of the options, and instructions that stand before the input of a completion."""
    fields = plain(options)
    prompt = fields.pop("prompt", "") if member == "completion" else ""
    return fields, prompt if isinstance(prompt, str) else ""


def _take(member: str, fields: Fields, value: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    """Takes what an object has into the fields that the options leave open."""
    for name, given in value.items():
        is_open = name in names and name not in fields and not _is_alias(names[name])
        if is_open and name not in CALLERS and given is not None:
            fields[name] = plain(given)
    if member == "execute_prompt" and "variables" not in fields:
        fields["variables"] = {name: plain(given) for name, given in value.items() if name not in names}
        return
    text = next(
        (value[name] for name in ("text", "content", "prompt") if isinstance(value.get(name), str)), None
    )
    takes_text = member == "completion" or _text_field(member) in names  # recorded sound takes none
    if text is not None and takes_text and _text_field(member) not in fields:
        _put(member, fields, text)


def _put(member: str, fields: Fields, value: Any) -> None:
    """Puts a text or a list where the request has it. Raises InvalidFields."""
    if isinstance(value, str | int | float | bool):
        value = value if isinstance(value, str) else str(value)
        place = _text_field(member)
        fields[place] = [{"text": value}] if member == "embeddings" else value
        if member == "synthesize":
            fields[place] = [value]
    elif isinstance(value, list) and member in LISTS:
        fields[LISTS[member]] = (
            [{"text": one} if isinstance(one, str) else one for one in value]
            if member == "embeddings"
            else value
        )
    else:
        raise InvalidFields([("input", f"must be a text or an object, got a {type(value).__name__}")])


def _text_field(member: str) -> str:
    if member == "completion":
        return "prompt"
    return LISTS.get(member) or TEXTS.get(member, "content")


def _of_completion(answer: Any) -> Fields:
    choice = answer.choices[0] if answer.choices else None
    if choice is None:
        return {"text": ""}
    found: Fields = {"text": "".join(part.text for part in choice.message.content)}
    if choice.message.tool_calls:
        found["tool_calls"] = [
            json_format.MessageToDict(one, preserving_proto_field_name=True)
            for one in choice.message.tool_calls
        ]
    return found


def _is_alias(field: Any) -> bool:
    options = field.GetOptions()
    return bool(options.deprecated or options.HasExtension(rest_alias_of))
