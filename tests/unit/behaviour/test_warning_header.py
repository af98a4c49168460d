"""The header with the warnings."""

from genai_spine.behaviour import warning_header
from genai_spine.v1.option_warning_pb2 import OptionWarning


def warning(option: str, value: str | None = None) -> OptionWarning:
    action = OptionWarning.ACTION_DROPPED if value is None else OptionWarning.ACTION_MAPPED
    return OptionWarning(option=option, action=action, value_used=value, reason="r")


def test_warnings_are_a_structured_list() -> None:
    text = warning_header.text([warning("temperature"), warning("reasoning_effort", "high")])
    assert text == 'temperature;action=dropped, reasoning_effort;action=mapped;value="high"'


def test_values_of_callers_cannot_break_out_of_the_header() -> None:
    text = warning_header.text([warning("a b\r\nx", 'ü"\r\n\\')])
    assert text == 'a_b__x;action=mapped;value="?????"'


def test_it_has_an_end() -> None:
    text = warning_header.text([warning(f"option_{number}" + "x" * 60) for number in range(100)])
    assert len(text) <= warning_header.MAX_CHARS
