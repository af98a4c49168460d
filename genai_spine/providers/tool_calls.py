"""Tool calls put together from the fragments that upstreams send, whatever their order and index.

What a caller gets is strict: numbers without a gap, an id that no other call of the answer has, and a name
before the first argument. A call whose name or id has not come yet is held back until it has.

What is read here, with reports of it: an index that is missing or the same for all calls
(ollama/ollama#15457), names that come late (vercel/ai#14722), ids that are empty (openai/openai-dotnet#428)
or new in each fragment (older vLLM), calls that are repeated as totals so far.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from genai_spine.chunks import ChoiceBuilder


def unique_id() -> str:
    """Id of a call that its upstream gave none; no other call of a conversation has it."""
    return f"call_{uuid4().hex[:24]}"


@dataclass(slots=True)
class Fragment:
    """Part of a call as an upstream sends it."""

    index: int | None = None
    id: str | None = None
    name: str | None = None
    arguments: str | None = None
    is_custom: bool = False  # of a custom tool, whose input is free text and no JSON
    state: str | None = None  # provider_state_json of the call


@dataclass(slots=True)
class PartialCall:
    """Call while it arrives. number: its index in our answer, None while it is held back."""

    index: int | None  # the upstream's
    is_custom: bool
    id: str = ""  # the upstream's
    name: str = ""
    number: int | None = None
    state: str = ""
    arguments: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Arguments so far."""
        return "".join(self.arguments)

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are a whole JSON object: what follows repeats it, or is another call's."""
        return not self.is_custom and _json_object(self.text) is not None


class ToolCalls:
    """Calls of one choice of one answer."""

    def __init__(self) -> None:
        self._calls: list[PartialCall] = []
        self._ids: list[str] = []  # of the calls that were released, by their number

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, fragments: Sequence[Fragment], choice: ChoiceBuilder) -> None:
        """Adds the fragments of one event."""
        touched: list[PartialCall] = []
        for fragment in fragments:
            call = self._call_of(fragment, touched)
            if call is None:
                call = PartialCall(fragment.index, fragment.is_custom)
                self._calls.append(call)
            touched.append(call)
            self._extend(call, fragment, choice)

    def end(self, choice: ChoiceBuilder) -> bool:
        """Releases what is held back, with ids of our own; False where a call has arguments and no name."""
        for call in self._calls:
            if call.number is None and call.name:
                self._release(call, choice)
        return all(call.name or not call.arguments for call in self._calls)

    def _extend(self, call: PartialCall, fragment: Fragment, choice: ChoiceBuilder) -> None:
        addition = _addition(call, fragment)
        call.id = call.id or fragment.id or ""
        call.name = call.name or fragment.name or ""
        call.is_custom = call.is_custom or fragment.is_custom
        if fragment.state:
            call.state = fragment.state
            if call.number is not None:
                choice.tool_call(call.number).delta.provider_state_json = call.state
        if addition:
            call.arguments.append(addition)
        if call.number is None:
            if call.id and call.name:
                self._release(call, choice)
        elif addition:
            choice.tool_call(call.number).arguments.append(addition)

    def _release(self, call: PartialCall, choice: ChoiceBuilder) -> None:
        call.number = len(self._ids)
        self._ids.append(call.id if call.id and call.id not in self._ids else unique_id())
        builder = choice.tool_call(call.number)
        builder.add(self._ids[call.number], call.name)
        if call.is_custom:
            builder.delta.is_custom = True
        if call.state:
            builder.delta.provider_state_json = call.state
        builder.arguments.extend(call.arguments)

    def _call_of(self, fragment: Fragment, touched: Sequence[PartialCall]) -> PartialCall | None:
        """Call that the fragment goes on with; None where it begins another one."""
        call = self._same_id(fragment) if fragment.id else None
        if call is None and fragment.index is not None:
            call = next((known for known in reversed(self._calls) if known.index == fragment.index), None)
            unnumbered = call is None and bool(self._calls) and self._calls[-1].index is None
            if unnumbered and not fragment.id and not fragment.name:
                call = self._calls[-1]
        elif call is None and self._calls:
            call = self._calls[-1]
        if call is None or _is_another(call, fragment, any(known is call for known in touched)):
            return None
        return call

    def _same_id(self, fragment: Fragment) -> PartialCall | None:
        """Call of the fragment's id; several indexes with one id are several calls."""
        same = [call for call in self._calls if call.id == fragment.id]
        for call in reversed(same):
            if fragment.index is None or call.index is None or call.index == fragment.index:
                return call
        return same[-1] if same and not fragment.name else None


def _is_another(call: PartialCall, fragment: Fragment, in_this_event: bool) -> bool:
    """Whether the fragment is not of the call at its index, but begins another one there."""
    if not (fragment.id or fragment.name):
        return False
    if fragment.name and call.name and fragment.name != call.name:
        return True
    if fragment.id and call.id and fragment.id != call.id:
        # Some give each fragment an id of its own.
        begins = (fragment.arguments or "").lstrip().startswith("{")
        if fragment.name:
            return in_this_event or begins or not call.arguments or call.is_complete
        return in_this_event or (begins and call.is_complete)
    if not fragment.name or not call.name:
        return False
    if in_this_event:
        return True
    # The same name again: a repetition, unless what it repeats was complete and is another call.
    return not fragment.id and call.is_complete and _addition(call, fragment) != ""


def _addition(call: PartialCall, fragment: Fragment) -> str:
    """What a fragment adds to the arguments, which it may repeat from their start."""
    arguments = fragment.arguments or ""
    again = bool(fragment.id and fragment.id == call.id) or bool(fragment.name and fragment.name == call.name)
    if not call.arguments or not (arguments.lstrip().startswith("{") or (call.is_custom and again)):
        return arguments
    so_far = call.text
    if call.is_custom:
        return arguments[len(so_far) :] if again and arguments.startswith(so_far) else arguments
    whole = _json_object(so_far)
    if arguments.startswith(so_far) and (again or whole is not None):
        return arguments[len(so_far) :]
    if whole is not None and whole == _json_object(arguments):
        return ""
    return arguments


def _json_object(text: str) -> dict[str, object] | None:
    """JSON object of a text; None where it is none, or not complete."""
    if not text.lstrip().startswith("{") or not text.rstrip().endswith("}"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
