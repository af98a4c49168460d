"""References in a provider's own options, found wherever and however they are written."""

import json
from typing import Any

import pytest

from genai_spine.access.object_references import Reference, references
from genai_spine.errors import InvalidFields


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"previous_response_id": "resp_1"}, {("response", "resp_1")}),
        ({"conversation": "conv_1"}, {("conversation", "conv_1")}),
        ({"conversation": {"id": "conv_1"}}, {("conversation", "conv_1")}),
        (
            {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1", "vs_2"]}]},
            {("vector store", "vs_1"), ("vector store", "vs_2")},
        ),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, {("container", "cntr_1")}),
        (
            {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1"]}}]},
            {("file", "file-1")},
        ),
        ({"container": {"id": "container_1", "skills": []}}, {("container", "container_1")}),
        ({"Previous_Response_ID": "resp_1"}, {("response", "resp_1")}),
        (
            {"extra_body": {"google": {"cached_content": "cachedContents/1"}}},
            {("cached content", "cachedContents/1")},
        ),
        (
            {"input_image": {"file_id": "file-1"}, "batch_id": "batch_1"},
            {("file", "file-1"), ("batch", "batch_1")},
        ),
        (
            {"models": ["a/b", "c"], "tools": [{"type": "image_generation", "model": "d"}]},
            {("model", "a/b"), ("model", "c"), ("model", "d")},
        ),
        ({"fallbacks": [{"model": "e"}]}, {("model", "e")}),
        ({"container": "wav"}, set()),
        ({"metadata": {"conversation": "mine", "file_id": "mine"}}, set()),
        ({"tools": [{"type": "x", "parameters": {"properties": {"file_id": "x"}}}]}, set()),
        ({"previous_response_id": None, "file_ids": [], "conversation": 3}, set()),
        ({"text": "previous_response_id"}, set()),
    ],
)
def test_references_of_each_field(options: dict[str, Any], named: set[tuple[str, str]]):
    assert references(json.dumps(options)) == {Reference(*one) for one in named}


def test_a_field_that_stands_twice_is_read_twice():
    """Parsers differ in which one they take."""
    options = '{"conversation": {"id": "mine", "id": "theirs"}, "conversation": "another"}'
    assert {one.id for one in references(options)} == {"mine", "theirs", "another"}


def test_a_field_that_is_written_with_escapes_is_read():
    assert references(r'{"previous_response\u005fid": "resp_\u0031"}') == {Reference("response", "resp_1")}


@pytest.mark.parametrize("options", ["[" * 100_000, '{"a":' * 100_000, "{"])
def test_what_cannot_be_read_is_refused(options: str):
    with pytest.raises(InvalidFields, match="provider_options_json"):
        references(options)


def test_no_options_name_nothing():
    assert references("") == set()
