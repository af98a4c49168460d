"""The errors: their tree as it is drawn, and which of them invite a client to repeat the call."""

import inspect
import re

from google.rpc import code_pb2

from genai_spine import errors
from genai_spine.errors import SpineError
from genai_spine.v1 import error_reason_pb2
from tests.style.source import ROOT

BASES = {errors.SpineError, errors.ProviderFailure}  # never raised themselves


def drawn(kind: type[SpineError], indent: str = "") -> list[str]:
    """The lines of the tree below a class: name, gRPC code, HTTP status."""
    below = kind.__subclasses__()
    lines = [kind.__name__] if not indent and kind is SpineError else []
    for child in below:
        last = child is below[-1]
        name = f"{indent}{'└── ' if last else '├── '}{child.__name__}"
        facts = "" if child in BASES else f"{code_pb2.Code.Name(child.code)} {child.http_status}"
        lines += [f"{name:<34}{facts}".rstrip(), *drawn(child, indent + ("    " if last else "│   "))]
    return lines


def reasons_to_repeat() -> set[str]:
    """Reasons whose gRPC code clients repeat by themselves."""
    kinds = (kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, SpineError))
    return {
        error_reason_pb2.ErrorReason.Name(kind.reason).removeprefix("ERROR_REASON_")
        for kind in kinds
        if kind not in BASES and kind.code == code_pb2.UNAVAILABLE
    }


def test_tree_in_the_docstring_is_that_of_the_classes():
    text = inspect.cleandoc(errors.__doc__ or "")
    shown = text[text.index("\n\nSpineError\n") :].strip().splitlines()
    assert shown == drawn(SpineError)


def test_reasons_that_clients_repeat_by_their_code_are_those_documented_as_safe():
    page = (ROOT / "docs/errors.md").read_text()
    [sentence] = re.findall(r"^Safe to repeat \(UNAVAILABLE\):((?:.|\n)*?)\.\s", page, re.M)
    assert set(re.findall(r"`([A-Z_]+)`", sentence)) == reasons_to_repeat()


def test_reasons_that_clients_repeat_say_so_in_the_proto():
    proto = (ROOT / "proto/genai_spine/v1/error_reason.proto").read_text()
    comments = re.findall(r"((?: *//.*\n)+) *ERROR_REASON_([A-Z_]+) = ", proto)
    said = {reason for comment, reason in comments if "Safe to repeat." in comment}
    assert said == reasons_to_repeat()


def test_no_reason_is_named_like_a_limit_of_this_service():
    """These names are kept for limits of our own; the provider's begin with PROVIDER_."""
    ours = {"QUOTA_EXCEEDED", "IDEMPOTENCY_KEY_IN_USE"}
    taken = {name.removeprefix("ERROR_REASON_") for name, _ in error_reason_pb2.ErrorReason.items()}
    assert taken & ours == set()
