"""Expressions of the Common Expression Language: checked when a pipeline is saved, evaluated when it runs.

`context` is the context of the pipeline, `value` what is shaped. Names and types are checked by compiling;
macros have a budget of iterations, and deeply nested expressions are refused. The library is loaded with its
first use.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MAX_NODES = 100_000  # values within the result of a transform


class ExpressionRefused(Exception):
    """An expression that does not compile, or cannot be evaluated."""


def check(text: str, *, is_condition: bool) -> None:
    """Raises ExpressionRefused; of a condition also where it is neither true nor false."""
    from cel_expr_python import cel

    kind = _compiled(text).return_type()
    if is_condition and kind not in (cel.Type.BOOL, cel.Type.DYN):
        raise ExpressionRefused(f"must be true or false, and is of type {kind.name()}")


def is_true(text: str, context: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a condition holds, and why it could not be evaluated, or nothing."""
    try:
        found = evaluated(text, context, None)
    except ExpressionRefused as error:
        return False, str(error)
    return found is True, "" if isinstance(found, bool) else "it is neither true nor false"


def evaluated(text: str, context: Mapping[str, Any], value: Any) -> Any:
    """Value of an expression, as JSON has it. Raises ExpressionRefused."""
    from cel_expr_python import cel

    try:
        result = _compiled(text).eval(data={"context": context, "value": value})
    except RuntimeError as error:
        raise ExpressionRefused(_words(error)) from None
    if result.type() == cel.Type.ERROR:
        raise ExpressionRefused(_words(result.value()))
    return _plain(result.plain_value(), [MAX_NODES])


@lru_cache(1024)
def _compiled(text: str) -> Any:
    """Raises ExpressionRefused."""
    try:
        return _environment().compile(text)
    except RuntimeError as error:
        raise ExpressionRefused(_words(error)) from None


@lru_cache(1)
def _environment() -> Any:
    from cel_expr_python import cel

    return cel.NewEnv(variables={"context": cel.Type.DYN, "value": cel.Type.DYN})


def _words(error: Any) -> str:
    """First line of what the library says, without the kind of status before it."""
    line = str(error).partition("\n")[0]
    for noise in ("INVALID_ARGUMENT: ", "ERROR: ", "<input>:"):
        line = line.removeprefix(noise)
    return line[:300]


def _plain(value: Any, left: list[int]) -> Any:
    """Value with nothing that JSON lacks. Raises ExpressionRefused."""
    left[0] -= 1
    if left[0] < 0:
        raise ExpressionRefused(f"makes more than {MAX_NODES} values")
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, left) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, left) for inner in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ExpressionRefused(f"makes a {type(value).__name__}, which JSON lacks")
