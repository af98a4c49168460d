"""Checks a request message against its rules: the field options of the contract and what they cannot say.

The limits of one field are written in the proto (`(genai_spine.v1.rules)`, see field_rules.proto);
rules that tie several fields together are the functions of TOGETHER, by message type. A checker is
compiled once for each message type and then visits only the fields that are set. For gRPC callers it
refuses the older names of REST (`(genai_spine.v1.rest_alias_of)`), too.

Every check returns problems, none when all is well. A problem is a (path, text) pair whose path goes
on from what was checked: ".name" into a field, "[2]" into a list, "" for the value itself.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isfinite
from operator import attrgetter, methodcaller
from typing import Any

import msgspec
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from genai_spine.errors import InvalidFields
from genai_spine.media import media_types
from genai_spine.v1 import batch_pb2, field_rules_pb2, message_pb2
from genai_spine.v1 import capability_service_pb2 as capabilities
from genai_spine.v1 import completion_service_pb2 as pb

MAX_PROBLEMS = 20
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 and 9999, Unix time

Problem = tuple[str, str]
Check = Callable[[Any], Sequence[Problem]]
Rules = field_rules_pb2.FieldRules
# protobuf has two classes of descriptors, one for each of its implementations, that share no base.
Descriptor = Any


def check(message: Message) -> None:
    """Raises InvalidFields with every problem of the message, the first MAX_PROBLEMS of them."""
    problems = _checker(message.DESCRIPTOR, _checkers).check(message)
    if problems:
        raise _invalid(problems)


def check_without_aliases(message: Message) -> None:
    """As check(), of a message that no REST caller sent: an older name of REST that is set is a problem.

    Passed over in silence, a limit of cost would be lost.
    """
    problems = _checker(message.DESCRIPTOR, _strict_checkers).check(message)
    if problems:
        raise _invalid(problems)


class _OlderName(str):
    """Problem of an alias: the path, from the alias's own message, of the field that it stands for."""

    __slots__ = ()


def _invalid(problems: Iterable[Problem]) -> InvalidFields:
    violations = []
    for path, problem in problems:
        place = path.removeprefix(".")
        if isinstance(problem, _OlderName):
            parent, dot, _ = place.rpartition(".")
            problem = f"is a name of REST; set {parent}{dot}{problem}"
        violations.append((place, problem))
    return InvalidFields(violations)


class _MessageCheck:
    """Checks messages of one type."""

    def __init__(self, together: Check | None, first: Check | None = None) -> None:
        self.first = first
        self.fields: dict[int, tuple[str, Check]] = {}  # by number; those that no rule concerns are not here
        self.needed: list[tuple[Callable[[Any], Any], Problem]] = []  # whether it is there, and if not
        self.together = together

    def check(self, message: Any) -> Sequence[Problem]:
        if self.first and (found := self.first(message)):
            return found
        problems: list[Problem] = []
        for descriptor, value in message.ListFields() if self.fields else ():
            rule = self.fields.get(descriptor.number)
            if rule and (found := rule[1](value)):
                problems += _under(rule[0], found)
        for is_present, problem in self.needed:
            if not is_present(message):
                problems.append(problem)
        if self.together and (found := self.together(message)):
            problems += found
        return problems[:MAX_PROBLEMS] if problems else problems

    @property
    def finds_nothing(self) -> bool:
        return not (self.fields or self.needed or self.together)


class _UnionCheck(_MessageCheck):
    """Checks messages that are mostly one required oneof, without reading a long text."""

    def __init__(self, together: Check | None, first: Check | None = None) -> None:
        super().__init__(together, first)
        self.members: dict[str, tuple[str, Check]] = {}  # of the oneof, by name
        self.others: list[str] = []  # names of the fields beside it, which few messages have

    def note(self, name: str, path: str, check: Check | None, *, is_member: bool) -> None:
        """Takes one field. check: None: no rule concerns it."""
        if not is_member:
            self.others.append(name)
        elif check:
            self.members[name] = (path, check)

    def check(self, message: Any) -> Sequence[Problem]:
        for name in self.others:
            if message.HasField(name):
                return super().check(message)
        which, problem = self.needed[0]
        member = which(message)
        rule = self.members.get(member)
        if rule:
            found = rule[1](getattr(message, member))
            return _under(rule[0], found) if found else ()
        return () if member else [problem]


class Compiled(dict[Descriptor, _MessageCheck]):
    """Checkers by type of message, all of which take older names of REST, or refuse them."""

    def __init__(self, *, aliases: bool) -> None:
        super().__init__()
        self.aliases = aliases


_checkers = Compiled(aliases=True)
_strict_checkers = Compiled(aliases=False)


def _checker(descriptor: Descriptor, checkers: Compiled) -> _MessageCheck:
    known = checkers.get(descriptor)
    if known is None:
        built = Compiled(aliases=checkers.aliases)
        known = _compile(descriptor, built)
        checkers.update(built)  # not before they are whole: other threads read here
    return known


def _compile(descriptor: Descriptor, built: Compiled) -> _MessageCheck:
    """built: what is compiled so far; a type that contains itself finds itself there."""
    known = built.get(descriptor)
    if known is not None:
        return known
    together = TOGETHER.get(descriptor.full_name)
    oneof = descriptor.oneofs_by_name.get(ONE_OF.get(descriptor.full_name))
    others = [field for field in descriptor.fields if oneof and field not in oneof.fields]
    is_union = oneof and not together and all(map(_may_be_absent, others))
    kind = _UnionCheck if is_union else _MessageCheck
    checker = built[descriptor] = kind(together, FIRST.get(descriptor.full_name))
    if oneof:
        names = ", ".join(field.name for field in oneof.fields)
        checker.needed.append((methodcaller("WhichOneof", oneof.name), ("", f"must have one of {names}")))
    for field in descriptor.fields:
        rules: Rules = field.GetOptions().Extensions[field_rules_pb2.rules]
        path = f".{field.name}"
        field_check = _field_check(field, rules, built)
        if field_check:
            checker.fields[field.number] = (path, field_check)
        if isinstance(checker, _UnionCheck):
            checker.note(field.name, path, field_check, is_member=field not in others)
        if rules.required:
            checker.needed.append((_presence(field, rules), (path, "is required")))
        elif rules.min_items:
            checker.needed.append((_presence(field, rules), (path, _too_few(rules.min_items, 0))))
    return checker


def _may_be_absent(field: Any) -> bool:
    return field.has_presence and not field.GetOptions().Extensions[field_rules_pb2.rules].required


def _presence(field: Any, rules: Rules) -> Callable[[Any], Any]:
    """Whether a required field is there: set, not an empty text, not zero where zero means unset."""
    value = attrgetter(field.name)
    if not field.has_presence:
        return value
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES) and not rules.may_be_empty:
        return lambda message: message.HasField(field.name) and value(message)
    return lambda message: message.HasField(field.name)


def _field_check(field: Any, rules: Rules, built: Compiled) -> Check | None:
    """The check of a field's value; None: no rule concerns it."""
    if not built.aliases and (source := field.GetOptions().Extensions[field_rules_pb2.rest_alias_of]):
        refused = [("", _OlderName(source))]
        return lambda value: refused
    entry = field.message_type
    if entry and entry.GetOptions().map_entry:
        value_check = _value_check(entry.fields_by_name["value"], rules, built)
        list_check = _list_check(rules, value_check, lambda value: value.items())
        return _key_check(re.compile(rules.key_pattern), list_check) if rules.key_pattern else list_check
    value_check = _value_check(field, rules, built)
    return _list_check(rules, value_check, _numbered) if field.is_repeated else value_check


def _numbered(items: Any) -> Iterable[tuple[Any, Any]]:
    # A slice is made in one step; a repeated field is read item by item, each with a call.
    return enumerate(items[:])


def _list_check(
    rules: Rules, item_check: Check | None, pairs: Callable[[Any], Iterable[tuple[Any, Any]]]
) -> Check | None:
    """The check of a list or map; pairs gives its (index or key, item) pairs."""
    least = rules.min_items
    most = rules.max_items if rules.HasField("max_items") else None
    if not least and most is None and item_check is None:
        return None

    def check_list(value: Any) -> Sequence[Problem]:
        count = len(value)
        if count < least:
            return [("", _too_few(least, count))]
        if most is not None and count > most:
            return [("", f"must have at most {most} items, got {count}")]
        problems: list[Problem] = []
        if item_check is None:
            return problems
        for key, item in pairs(value):
            if found := item_check(item):
                problems += _under(f"[{key}]", found)
                if len(problems) >= MAX_PROBLEMS:
                    break
        return problems

    return check_list


def _key_check(pattern: "re.Pattern[str]", check: Check | None) -> Check:
    """The check of a map's keys, and then what else there is to check."""

    def check_keys(value: Any) -> Sequence[Problem]:
        for key in value:
            if not pattern.fullmatch(key):
                return [(f"[{key[:64]}]", f"must have a key that matches {pattern.pattern}")]
        return check(value) if check else ()

    return check_keys


def _too_few(least: int, count: int) -> str:
    return f"must have at least {least} item{'s' if least > 1 else ''}, got {count}"


def _under(prefix: str, problems: Iterable[Problem]) -> list[Problem]:
    return [(prefix + path, problem) for path, problem in problems]


def _value_check(field: Any, rules: Rules, built: Compiled) -> Check | None:
    """The check of one value: of the field itself, or of one item of a list or map."""
    if field.message_type:
        unfinished = field.message_type in built
        nested = _compile(field.message_type, built)
        return None if nested.finds_nothing and not unfinished else nested.check
    if field.enum_type:
        return _enum_check(field.enum_type)
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        return _text_check(rules, "bytes" if field.type == field.TYPE_BYTES else "characters")
    is_real = field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE)
    return _number_check(rules) if is_real or rules.HasField("min") or rules.HasField("max") else None


def _enum_check(enum: Descriptor) -> Check:
    known = frozenset(enum.values_by_number)
    names = ", ".join(value.name for value in enum.values if value.number)

    def check_enum(value: int) -> Sequence[Problem]:
        return () if value in known else [("", f"unknown value {value} (known: {names})")]

    return check_enum


def _number_check(rules: Rules) -> Check:
    least = rules.min if rules.HasField("min") else float("-inf")
    most = rules.max if rules.HasField("max") else float("inf")

    def check_number(value: float) -> Sequence[Problem]:
        if not isfinite(value):
            return [("", "must be a finite number")]
        if value < least:
            return [("", f"must be at least {least:.15g}, got {_shown(value)}")]
        if value > most:
            return [("", f"must be at most {most:.15g}, got {_shown(value)}")]
        return ()

    return check_number


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.15g}"


def _text_check(rules: Rules, unit: str) -> Check | None:
    """unit: what the length of the value counts, characters or bytes."""
    least = rules.min_length
    most = rules.max_length if rules.HasField("max_length") else float("inf")
    pattern = re.compile(rules.pattern) if rules.HasField("pattern") else None
    is_json = rules.json_object
    if not (least or rules.HasField("max_length") or pattern or is_json):
        return None

    def check_text(value: Any) -> Sequence[Problem]:
        if len(value) < least:
            return [("", f"must have at least {least} {unit}, got {len(value)}")]
        if len(value) > most:
            return [("", f"must have at most {most} {unit}, got {len(value)}")]
        if pattern and not pattern.fullmatch(value):
            return [("", f"must match {pattern.pattern}")]
        return _json_problems(value) if is_json else ()

    return check_text


# Raw: the values are checked to be JSON and not built.
_json_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _json_problems(text: str) -> Sequence[Problem]:
    try:
        _json_object.decode(text)
    except RecursionError:
        return [("", "must be a JSON object: nested too deeply")]
    except msgspec.DecodeError as error:
        return [("", f"must be a JSON object: {error}")]
    return ()


# What ties the fields of one message together, by the message's full name.

MAX_PARTS, MAX_MESSAGES = 20_000, 10_000  # of a request; that of messages is a rule of the contract
HEAD_CHARS = 64  # enough of an image for its kind
IMAGE_URL = re.compile(r"https?://|data:", re.IGNORECASE)
MUST_SPEAK = frozenset((message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER, message_pb2.ROLE_USER))


def _image(image: message_pb2.ImagePart) -> Sequence[Problem]:
    source = image.WhichOneof("source")
    if source == "data" and not image.media_type and not media_types.sniffed(image.data):
        return [(".media_type", "is required with data")]
    if source == "url" and not IMAGE_URL.match(image.url) and not media_types.parse(image.url[:HEAD_CHARS]):
        return [(".url", "must be an http(s) or data: URL")]
    return ()


def _message(message: message_pb2.Message) -> Sequence[Problem]:
    role = message.role
    if role in MUST_SPEAK:
        return () if message.content else [(".content", "is required")]
    if role == message_pb2.ROLE_ASSISTANT and not (message.content or message.tool_calls):
        return [(".content", "is required unless tool_calls is set")]
    if role == message_pb2.ROLE_TOOL and not message.tool_call_id:
        return [(".tool_call_id", "is required for ROLE_TOOL")]
    if role == message_pb2.ROLE_FUNCTION and not message.name:
        return [(".name", "is required for ROLE_FUNCTION")]
    return ()


def _response_format(form: pb.ResponseFormat) -> Sequence[Problem]:
    return [(".kind", "excludes json_schema")] if form.kind and form.HasField("json_schema") else ()


def _parts(request: pb.CreateCompletionRequest) -> Sequence[Problem]:
    messages = request.messages[:]
    count = sum([len(message.content) for message in messages])
    if count > MAX_PARTS and len(messages) <= MAX_MESSAGES:
        return [(".messages", f"must have at most {MAX_PARTS} parts of content in all, got {count}")]
    return ()


def _create_completion(request: pb.CreateCompletionRequest) -> Sequence[Problem]:
    problems: list[Problem] = []
    if bool(request.messages) == request.HasField("prompt"):
        both = (".prompt", "excludes messages")
        problems.append(both if request.messages else (".messages", "is required unless prompt is set"))
    if request.top_logprobs and not request.logprobs:
        problems.append((".top_logprobs", "needs logprobs"))
    if request.store and request.HasField("prompt"):
        problems.append((".store", "needs messages"))
    if request.metadata and not request.store:
        problems.append((".metadata", "needs store"))
    if request.tools or request.HasField("tool_choice"):
        problems += _tools(request)
    return problems


def _tools(request: pb.CreateCompletionRequest) -> Iterator[Problem]:
    """Problems of tools and tool_choice taken together."""
    kinds: dict[str, str] = {}  # name of the tool -> function or custom
    for index, tool in enumerate(request.tools):
        kind = tool.WhichOneof("tool")
        name = getattr(tool, kind).name if kind else ""
        if name in kinds:
            yield f".tools[{index}].{kind}.name", f"is the name of an earlier tool: {name[:64]!r}"
        elif kind and name:
            kinds[name] = kind
    choice = request.tool_choice
    if choice.mode == message_pb2.ToolChoice.MODE_REQUIRED and not request.tools:
        yield ".tools", "is required for MODE_REQUIRED"
    if choice.HasField("function_name") and choice.HasField("custom_name"):
        yield ".tool_choice.custom_name", "excludes function_name"
    if choice.HasField("function_name") and kinds.get(choice.function_name) != "function":
        yield ".tool_choice.function_name", f"names no function of tools: {choice.function_name[:64]!r}"
    if choice.HasField("custom_name") and kinds.get(choice.custom_name) != "custom":
        yield ".tool_choice.custom_name", f"names no custom tool of tools: {choice.custom_name[:64]!r}"
    for index, name in enumerate(choice.allowed_tools):
        if name not in kinds:
            yield f".tool_choice.allowed_tools[{index}]", f"names no tool of tools: {name[:64]!r}"


def _content_or_text(request: Any) -> Sequence[Problem]:
    return () if request.content.strip() or request.text.strip() else [(".content", "is required")]


def _generate_commit(request: capabilities.GenerateCommitRequest) -> Sequence[Problem]:
    if request.files or request.files_changed or request.diff.strip():
        return ()
    return [(".files", "is required unless diff is set")]


def _batch(batch: batch_pb2.Batch) -> Sequence[Problem]:
    if batch.items:
        problem = [(".template", "excludes items")] if batch.HasField("template") else []
        return problem + ([(".inputs", "excludes items")] if batch.inputs else [])
    if not batch.HasField("template"):
        return [(".items", "is required unless template and inputs are set")]
    return () if batch.inputs else [(".inputs", "is required with template")]


def _timestamp(time: Timestamp) -> Sequence[Problem]:
    """What timestamp.proto allows; the transcoder checks it, a gRPC caller's library need not."""
    if not FIRST_SECOND <= time.seconds <= LAST_SECOND:
        return [(".seconds", f"must lie in the years 1 to 9999, got {time.seconds}")]
    if not 0 <= time.nanos < 10**9:
        return [(".nanos", f"must be at least 0 and less than 1000000000, got {time.nanos}")]
    return ()


def _paged(request: Any) -> Sequence[Problem]:
    problems: list[Problem] = []
    if getattr(request, "offset", 0) and request.page_token:
        problems.append((".offset", "excludes page_token"))
    if request.HasField("limit") and request.HasField("page_size"):
        problems.append((".limit", "is another name for page_size; give one of them"))
    return problems


# Lists whose pages have older names over REST.
WITH_LIMIT = (
    *("ListPrompts", "ListPromptVersions", "ListPromptVersionsArray"),
    *("ListSessions", "ListMessages", "ListExecutions"),
)
# Requests of capabilities that take their text as content or as text.
WITH_CONTENT = (
    *("Summarize", "Extract", "Classify", "Rewrite", "InferTitle", "AnalyzeSentiment", "Tag"),
    *("DetectLanguage", "Translate", "Paraphrase", "Correct", "ExtractStructured", "DetectPii", "Redact"),
    "AnalyzeCoaching",
)

TOGETHER: dict[str, Check] = {
    "genai_spine.v1.Batch": _batch,
    "genai_spine.v1.CreateCompletionRequest": _create_completion,
    "genai_spine.v1.ImagePart": _image,
    "genai_spine.v1.Message": _message,
    "genai_spine.v1.ResponseFormat": _response_format,
    "genai_spine.v1.GenerateCommitRequest": _generate_commit,
    "google.protobuf.Timestamp": _timestamp,
    **{f"genai_spine.v1.{name}Request": _content_or_text for name in WITH_CONTENT},
    **{f"genai_spine.v1.{name}Request": _paged for name in WITH_LIMIT},
}

# Limits that are looked at before the rest, which would take seconds where they are exceeded.
FIRST: dict[str, Check] = {"genai_spine.v1.CreateCompletionRequest": _parts}

# Messages that need one member of this oneof.
ONE_OF = {
    "genai_spine.v1.ContentPart": "part",
    "genai_spine.v1.EmbeddingInput": "input",
    "genai_spine.v1.FilePart": "source",
    "genai_spine.v1.ImagePart": "source",
    "genai_spine.v1.ItemWork": "request",
    "genai_spine.v1.StreamCapabilityRequest": "request",
    "genai_spine.v1.TextPrompt": "prompt",
    "genai_spine.v1.Tool": "tool",
    "genai_spine.v1.ToolCall": "call",
    "genai_spine.v1.Work": "request",
    "google.protobuf.Value": "kind",
}
