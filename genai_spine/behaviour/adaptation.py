"""Adaptation of a request to one model: what the model does not take is dropped or mapped with a warning.

It is computed once for each candidate and travels in its route as edits, which are made in a copy of the
request when the candidate is asked. A request that no rule is about has no adaptation, and nothing is copied.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from genai_spine.behaviour import conditions
from genai_spine.behaviour.book import BehaviourBook, ModelRules, OptionRule
from genai_spine.behaviour.effort import BUDGET_LEVELS, level_of, nearest, number_of
from genai_spine.errors import UnsupportedOption
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from genai_spine.v1.option_warning_pb2 import OptionWarning

Request = pb.CreateCompletionRequest
Edit = Callable[[Request], object]
BOUNDED = frozenset(
    {"temperature", "top_p", "top_k", "max_tokens", "presence_penalty", "frequency_penalty"}
    | {"reasoning_max_tokens"}
)
# Values that ask for nothing: what refuses the option is spared them without a word.
NEUTRAL: Mapping[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "logprobs": False,
    "top_logprobs": 0,
    "parallel_tool_calls": True,
    "reasoning_effort": pb.REASONING_EFFORT_NONE,
}
CUT = "cut"  # stop sequences that are looked for in the answer, because the model takes none
CALL_ONE = "Answer by calling one of the tools."
CALL_NAMED = "Answer by calling the tool {name}."
_FIELDS = msgspec.json.Decoder(dict[str, Raw])


class Bounds(Protocol):
    """Bounds of an option in a protocol's table, inclusive; None: as wide as the contract's."""

    @property
    def min(self) -> float | None: ...
    @property
    def max(self) -> float | None: ...


Options = Mapping[str, Bounds]  # what the protocol has a word for, by our names


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """Edits of a request for one model, and the warnings that the answer carries because of them."""

    warnings: tuple[OptionWarning, ...]
    edits: tuple[Edit, ...]
    stop_sequences: tuple[str, ...] = ()  # at which the answer is cut above the adapter

    def applied(self, request: Request) -> Request:
        """Copy of the request as the model takes it."""
        adapted = Request()
        adapted.CopyFrom(request)
        for edit in self.edits:
            edit(adapted)
        return adapted


@dataclass(frozen=True, slots=True)
class Candidate:
    """Model that is to be asked: its provider, the upstream's name, and what its protocol can say."""

    provider: str
    model: str
    rules: ModelRules
    options: Options


def adapt(request: Request, candidate: Candidate, book: BehaviourBook, *, strict: bool) -> Adaptation | None:
    """Adaptation of a request; None: the model takes it as it is.

    Errors: UnsupportedOption, for what the model refuses, and with strict for what it would warn of.
    """
    return _Adapting(request, candidate, book, strict).adaptation()


class _Adapting:
    """One adaptation while it is computed. `adapted` is the request as far as it is adapted already."""

    def __init__(self, request: Request, candidate: Candidate, book: BehaviourBook, strict: bool) -> None:
        self.candidate, self.book, self.strict = candidate, book, strict
        self.rules = candidate.rules
        self.adapted = Request()
        self.adapted.CopyFrom(request)
        self.warnings: list[OptionWarning] = []
        self.edits: list[Edit] = []
        self.stop_sequences: tuple[str, ...] = ()

    def adaptation(self) -> Adaptation | None:
        self._reasoning()
        self._scalars()
        self._tools()
        self._names()
        self._parameters()
        if not self.edits and not self.warnings:
            return None
        return Adaptation(tuple(self.warnings), tuple(self.edits), self.stop_sequences)

    def _rule(self, option: str) -> OptionRule | None:
        """Rule of an option whose condition holds; None: it is accepted."""
        found = self.rules.options.get(option)
        if found is None or found.rule.action == "accepted":
            return None
        return found if conditions.holds(found.rule.conditions, self.adapted) else None

    def _edit(self, edit: Edit) -> None:
        edit(self.adapted)
        self.edits.append(edit)

    def _warn(self, option: str, reason: str, value_used: str | None = None) -> None:
        provider, model = self.candidate.provider, self.candidate.model
        if self.strict:
            raise UnsupportedOption(
                field=option, provider=provider, option=f"{option} with {model}: {reason}"
            )
        action = OptionWarning.ACTION_DROPPED if value_used is None else OptionWarning.ACTION_MAPPED
        self.warnings.append(
            OptionWarning(option=option, action=action, value_used=value_used, reason=reason)
        )

    def _refuse(self, option: str, found: OptionRule) -> None:
        named = f"{option} with {self.candidate.model}: {found.reason}"
        raise UnsupportedOption(field=option, provider=self.candidate.provider, option=named)

    def _drop(self, option: str, reason: str) -> None:
        """Drops a field; without a warning where its value asks for nothing."""
        value = getattr(self.adapted, option)
        self._edit(lambda request: request.ClearField(option))
        if not (option in NEUTRAL and NEUTRAL[option] == value):
            self._warn(option, reason)

    def _is_absent(self, option: str) -> bool:
        return option in self.book.absent and option not in self.candidate.options

    def _absent_reason(self, option: str) -> str:
        return f"{self.candidate.provider} has no {option}"

    def _reasoning(self) -> None:
        """Effort and budget first: other rules ask whether the model reasons."""
        request = self.adapted
        if request.HasField("reasoning_max_tokens"):
            self._budget()
        if not request.reasoning_effort:
            return
        if found := self._rule("reasoning_effort"):
            self._drop("reasoning_effort", found.reason)
        elif self.rules.effort is not None:
            self._level(self.rules.effort)
        elif self._is_absent("reasoning_effort"):
            self._drop("reasoning_effort", self._absent_reason("reasoning_effort"))

    def _budget(self) -> None:
        """Budget of thinking: dropped, or said as an effort where the model has only that."""
        found, option = self._rule("reasoning_max_tokens"), "reasoning_max_tokens"
        absent = self._is_absent(option)
        if found is None and not absent:
            return
        reason = found.reason if found else self._absent_reason(option)
        has_effort = self.rules.effort is None or len(self.rules.effort) > 0
        says_effort = found.rule.to == "reasoning_effort" if found else has_effort
        if not (says_effort and has_effort and "reasoning_effort" in self.candidate.options):
            self._drop(option, reason)
            return
        level = next(name for name, most in BUDGET_LEVELS if self.adapted.reasoning_max_tokens <= most)
        used = nearest(level, self.rules.effort) if self.rules.effort else level

        def say_effort(request: Request) -> None:
            request.ClearField(option)
            request.reasoning_effort = number_of(used)

        self._edit(say_effort)
        self._warn(option, reason, f"reasoning_effort {used}")

    def _level(self, levels: tuple[str, ...]) -> None:
        """Effort in the nearest level that the model has."""
        row = self.rules.effort_row
        source = f" ({row.source})" if row and row.source else ""
        name = f"{row.name}: " if row else ""
        if not levels:
            self._drop("reasoning_effort", f"{name}no reasoning effort{source}")
            return
        asked = level_of(self.adapted.reasoning_effort)
        used = nearest(asked, levels)
        number = number_of(used)
        if number != self.adapted.reasoning_effort:
            self._edit(lambda request: setattr(request, "reasoning_effort", number))
        switched = self.rules.effort_form == "switch" and asked not in ("none", "medium")
        if used != asked or switched:
            value = "on" if switched and used != "none" else used
            self._warn("reasoning_effort", f"{name}has {', '.join(levels)} only{source}", value)

    def _scalars(self) -> None:
        """Options that are one value. OpenAI's own that the contract has too are kept here, not sent."""
        for descriptor, value in list(self.adapted.ListFields()):
            name = descriptor.name
            if name in self.book.parameters:
                continue
            if name.startswith("reasoning_") or name in ("tools", "tool_choice", "messages"):
                if name == "reasoning_max_tokens":
                    self._bring_within(name, value, None)
                continue
            found = self._rule(name)
            if found is not None:
                self._apply(name, value, found)
            elif self._is_absent(name):
                self._drop(name, self._absent_reason(name))
            if self.adapted.HasField(name) if descriptor.has_presence else False:
                self._bring_within(name, getattr(self.adapted, name), None)

    def _apply(self, name: str, value: Any, found: OptionRule) -> None:
        rule = found.rule
        if rule.action == "refused":
            if not (name in NEUTRAL and NEUTRAL[name] == value):
                self._refuse(name, found)
            self._drop(name, found.reason)
        elif rule.action == "dropped":
            self._drop(name, found.reason)
        elif rule.min is not None or rule.max is not None:
            self._bring_within(name, value, found)
        elif rule.to == CUT:
            self.stop_sequences = tuple(value)
            self._edit(lambda request: request.ClearField("stop_sequences"))
            self._warn(name, found.reason, "the answer is cut here")
        elif rule.to and rule.to != "calls":
            self._edit(lambda request: _move(request, name, rule.to, value))

    def _bring_within(self, name: str, value: Any, found: OptionRule | None) -> None:
        """Number brought within the bounds of a rule, or of the protocol."""
        bounds: Any = found.rule if found else self.candidate.options.get(name)
        if bounds is None or name not in BOUNDED:
            return
        bound = value
        if bounds.max is not None and value > bounds.max:
            bound = bounds.max
        elif bounds.min is not None and value < bounds.min:
            bound = bounds.min
        if bound == value:
            return
        number = int(bound) if isinstance(value, int) else bound
        self._edit(lambda request: setattr(request, name, number))
        side = "at most" if bound < value else "at least"
        reason = found.reason if found else f"{self.candidate.provider} takes {side} {bound:g}"
        self._warn(name, reason, f"{number:g}")

    def _tools(self) -> None:
        request = self.adapted
        strict = any(tool.function.strict for tool in request.tools)
        if strict and (found := self._rule("tools.strict")):
            self._edit(_unstrict)
            self._warn("tools.strict", found.reason)
        if request.HasField("tool_choice"):
            self._tool_choice(request.tool_choice)

    def _tool_choice(self, choice: message_pb2.ToolChoice) -> None:
        option = "tool_choice.none" if choice.mode == message_pb2.ToolChoice.MODE_NONE else "tool_choice.auto"
        if conditions.forces_tool(self.adapted):
            option = "tool_choice.forced"
        found, absent = self._rule(option), self._is_absent("tool_choice")
        if found and found.rule.action == "refused":
            self._refuse(option, found)
        if not found and not absent:
            return
        reason = found.reason if found else self._absent_reason("tool_choice")
        if choice.allowed_tools and absent:
            allowed = frozenset(choice.allowed_tools)
            self._edit(lambda request: _only(request, allowed))
        if option == "tool_choice.none":
            self._edit(_without_tools)
        elif option == "tool_choice.forced":
            self._edit(_ask_for_call)
            self._warn("tool_choice", reason, "auto")
        else:
            self._edit(lambda request: request.ClearField("tool_choice"))

    def _names(self) -> None:
        """Names of speakers."""
        found = self._rule("messages.name")
        if found and any(message.name for message in self.adapted.messages if not message.tool_call_id):
            self._edit(_without_names)
            self._warn("messages.name", found.reason)

    def _parameters(self) -> None:
        """OpenAI's own parameters among the fields for the provider; unknown fields go on as they are."""
        if not self.adapted.provider_options_json:
            return
        fields = _FIELDS.decode(self.adapted.provider_options_json)
        before = dict(fields)
        for name in [name for name in fields if name in self.book.parameters]:
            if found := self._rule(name):
                self._parameter(fields, name, found)
        if fields != before:
            text = msgspec.json.encode(fields).decode() if fields else ""
            self._edit(lambda request: _set_options(request, text))

    def _parameter(self, fields: dict[str, Raw], name: str, found: OptionRule) -> None:
        rule, value = found.rule, msgspec.json.decode(fields[name])
        asks_for_nothing = value is None or value in self.book.parameters[name]
        if rule.action == "refused" and not asks_for_nothing:
            self._refuse(name, found)
        if rule.action != "mapped" or value is None:
            del fields[name]
            if not asks_for_nothing:
                self._warn(name, found.reason)
        elif rule.to == "metadata.user_id":
            self._user_id(fields, value, found)
        else:
            self._mapped_parameter(fields, name, value, found)

    def _mapped_parameter(self, fields: dict[str, Raw], name: str, value: Any, found: OptionRule) -> None:
        rule = found.rule
        used = rule.values.get(str(value), value) if rule.values else value
        if rule.to == "user":
            del fields[name]
            if not self.adapted.HasField("user"):
                text = str(value)[:256]
                self._edit(lambda request: setattr(request, "user", text))
            self._warn(name, found.reason, "user")
            return
        if rule.to:
            del fields[name]
            _put(fields, rule.to, used)
        else:
            fields[name] = Raw(msgspec.json.encode(used))
        if used != value or (rule.to and value not in self.book.parameters[name]):
            self._warn(name, found.reason, f"{rule.to or name} {used}")

    def _user_id(self, fields: dict[str, Raw], value: Any, found: OptionRule) -> None:
        """Metadata where only the id of a user is taken."""
        user = value.get("user_id") if isinstance(value, dict) else None
        if isinstance(user, str):
            fields["metadata"] = Raw(msgspec.json.encode({"user_id": user}))
            if len(value) > 1:
                self._warn("metadata", found.reason, "user_id")
            return
        del fields["metadata"]
        if value:
            self._warn("metadata", found.reason)


def _put(fields: dict[str, Raw], path: str, value: Any) -> None:
    """Sets a field, or a field of an object: text.verbosity."""
    outer, _, inner = path.partition(".")
    if inner:
        own = msgspec.json.decode(fields[outer]) if outer in fields else {}
        value = {**own, inner: value} if isinstance(own, dict) else {inner: value}
    fields[outer] = Raw(msgspec.json.encode(value))


def _move(request: Request, name: str, to: str, value: Any) -> None:
    """A field of ours under another name among those for the provider."""
    request.ClearField(name)
    fields = _FIELDS.decode(request.provider_options_json) if request.provider_options_json else {}
    _put(fields, to, value)
    request.provider_options_json = msgspec.json.encode(fields).decode()


def _set_options(request: Request, text: str) -> None:
    if text:
        request.provider_options_json = text
    else:
        request.ClearField("provider_options_json")


def _unstrict(request: Request) -> None:
    for tool in request.tools:
        tool.function.ClearField("strict")


def _only(request: Request, allowed: frozenset[str]) -> None:
    kept_tools = [tool for tool in request.tools if (tool.function.name or tool.custom.name) in allowed]
    request.ClearField("tools")
    request.tools.extend(kept_tools)


def _without_tools(request: Request) -> None:
    request.ClearField("tools")
    request.ClearField("tool_choice")


def _without_names(request: Request) -> None:
    for message in request.messages:
        if not message.tool_call_id:
            message.ClearField("name")


def _ask_for_call(request: Request) -> None:
    """A forced call as a request in words, where the model cannot be made to call."""
    if not request.HasField("tool_choice"):
        return  # a repair asks with a request that is adapted already
    choice = request.tool_choice
    name = choice.function_name or choice.custom_name
    request.ClearField("tool_choice")
    words = CALL_NAMED.format(name=name) if name else CALL_ONE
    request.messages.add(role=message_pb2.ROLE_SYSTEM, content=[message_pb2.ContentPart(text=words)])
