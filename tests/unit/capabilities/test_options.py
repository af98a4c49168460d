"""Options are taken where the caller left a field out, and checked as if they stood there."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_spine.capabilities.options import merged
from genai_spine.errors import InvalidFields
from genai_spine.v1 import capability_service_pb2 as pb


def summarize(**body: Any) -> pb.SummarizeRequest:
    return ParseDict({"content": "Text.", **body}, pb.SummarizeRequest())


def test_options_fill_fields_that_are_unset() -> None:
    options = {"max_sentences": 5, "focus": "money", "output_format": "bullet_points", "model": "gpt-4o"}
    whole = merged(summarize(options=options))
    assert (whole.max_sentences, whole.focus, whole.output_format) == (5, "money", "bullet_points")
    assert whole.model == "gpt-4o"
    assert not whole.HasField("options")


def test_a_field_of_its_own_wins() -> None:
    assert merged(summarize(max_sentences=2, options={"max_sentences": 5})).max_sentences == 2


def test_request_stays_as_it_was() -> None:
    request = summarize(options={"max_sentences": 5})
    merged(request)
    assert not request.HasField("max_sentences")


def test_lists_enums_and_free_values_are_taken() -> None:
    extract = pb.ExtractRequest(content="x")
    extract.options.update({"types": ["todos"], "unfound": "UNFOUND_ENTITY_DROP", "include_context": True})
    whole = merged(extract)
    assert list(whole.types) == ["todos"]
    assert whole.unfound == pb.UNFOUND_ENTITY_DROP
    assert whole.include_context
    rewrite = pb.RewriteRequest(content="x")
    rewrite.options.update({"context": {"audience": "board"}, "temperature": 0.5})
    assert merged(rewrite).context.struct_value["audience"] == "board"
    assert merged(rewrite).temperature == 0.5


@pytest.mark.parametrize("name", ["unheard_of", "options", "Focus"])
def test_unknown_options_are_ignored(name: str) -> None:
    assert merged(summarize(options={name: 1})) == summarize()


def test_null_is_absent() -> None:
    assert merged(summarize(options={"max_sentences": None})) == summarize()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_sentences": 0}, "options.max_sentences"),
        ({"max_sentences": 11}, "options.max_sentences"),
        ({"max_sentences": "many"}, "options.max_sentences"),
        ({"max_sentences": 2.5}, "options.max_sentences"),
        ({"max_sentences": -1}, "options.max_sentences"),
        ({"output_format": "table"}, "options.output_format"),
        ({"focus": 7}, "options.focus"),
        ({"focus": {"a": 1}}, "options.focus"),
        ({"long_input": "SOMETIMES"}, "options.long_input"),
    ],
)
def test_bad_option_is_named(options: Any, field: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        merged(summarize(options=options))
    assert [path for path, _ in caught.value.violations] == [field]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(options=st.dictionaries(st.sampled_from([f.name for f in pb.RewriteRequest.DESCRIPTOR.fields]), JSON))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_options_are_merged_or_refused_by_name(options: Any) -> None:
    request = pb.RewriteRequest(content="Text.")
    request.options.update(options)
    problems: list[tuple[str, str]] = []
    try:
        assert merged(request).content == "Text."
    except InvalidFields as error:
        problems = error.violations
    assert all(path.startswith("options.") for path, _ in problems)


@pytest.mark.parametrize("labels", [{"team": 5}, {"team": {}}, ["team"], "team"])
def test_map_of_another_type_is_called_a_map(labels: Any) -> None:
    with pytest.raises(InvalidFields, match=r"options\.cost_labels: must be a map, got "):
        merged(summarize(options={"cost_labels": labels}))
