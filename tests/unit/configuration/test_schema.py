"""Whatever stands in the file, it is a configuration or an error with its place, and never a traceback."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_spine.configuration import loader, schema
from genai_spine.configuration.document import ConfigurationError, Fault
from genai_spine.configuration.schema import FileSection, ProviderSection
from genai_spine.configuration.source import Source
from genai_spine.settings import Settings
from tests.style.source import ROOT

CA_FILE = str(ROOT / "tests/unit/providers/http/localhost.pem")
VALID: dict[str, Any] = {
    "settings": {"api_port": 1, "quality_tiers": {"m": "premium"}, "cors_origins": ["http://a.example"]},
    "providers": {
        "x": {
            "protocol": "openai",
            "base_urls": ["http://a:1/v1", "http://b:1/v1"],
            "api_keys": ["a", "b"],
            "headers": {"x-a": "b"},
            "timeouts": {"connect_s": 1},
            "models": {
                "m": {
                    "aliases": ["n"],
                    "capabilities": ["tools"],
                    "options": {"temperature": 1, "provider_options": {"a": 1}},
                    "price": {"input": 1, "tiers": [{"above_input_tokens": 5, "input": 2}]},
                }
            },
            "proxy": "http://p:1",
            "ca_file": CA_FILE,
            "lane": "cpu",
        },
        "azure": {"base_url": "https://x.example", "api_key": "k", "api_version": "v"},
    },
    "aliases": {"a": "b", "c": {"models": [{"model": "m", "weight": 2}], "strategy": "weighted"}},
    "fallbacks": {"m": ["a"], "*": ["builtin"]},
}
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["${HOME}", "${", "file:/", "file:", "http://", "http://[", "*", "-1", "nan", "\0", "\ud800"]
    ),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places of a structure."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(deeper for key, item in inner for deeper in places(item, (*place, key)))]


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The structure with another value at a place."""
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = changed(copy[place[0]], place[1:], new)
    return copy


def outcome(source: Source) -> Settings | list[Fault]:
    """Settings of a source, or what is wrong with it."""
    try:
        return loader.read(source)
    except ConfigurationError as error:
        return error.faults


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.sampled_from(places(VALID)[1:]), value=VALUES)
def test_any_value_at_any_place_is_read_or_refused(bare: Path, place: tuple[Any, ...], value: Any) -> None:
    raw = yaml.safe_dump(changed(VALID, place, value)).encode("utf-8", "surrogatepass")
    found = outcome(Source(bare / "genai.yaml", raw))
    assert isinstance(found, Settings) or (found and all(fault.problem for fault in found))


def test_what_is_changed_is_right_before(bare: Path) -> None:
    assert isinstance(outcome(Source(bare / "genai.yaml", yaml.safe_dump(VALID).encode())), Settings)


def test_a_section_is_known_by_its_place() -> None:
    assert schema.keys_at(()) == list(FileSection.model_fields)
    assert schema.keys_at(("providers", "any")) == list(ProviderSection.model_fields)
    assert "context_length" in schema.keys_at(("providers", "any", "models", "m"))
    assert "key" in schema.keys_at(("providers", "any", "client_certificate"))
    assert schema.keys_at(("aliases", "x")) == []


def test_only_a_name_that_is_close_is_offered() -> None:
    assert schema.meant("Base-Url", ["base_url", "models"]) == "; did you mean base_url?"
    assert schema.meant("quantum", ["base_url", "models"]) == ""
