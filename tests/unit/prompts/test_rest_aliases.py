"""REST aliases of prompts: read into their fields, written beside them, and refused where both differ."""

import pytest

from genai_spine.errors import InvalidFields
from genai_spine.prompts.rest_aliases import ALIASES, field_of, resolve_aliases, with_aliases
from genai_spine.v1 import prompt_service_pb2 as pb


def test_rest_alias_is_read_into_its_field_and_the_request_stays() -> None:
    sent = pb.Prompt(template="Hi {name}", default_model="gpt-4o", default_temperature=0.5)
    resolved = resolve_aliases(sent)
    assert (resolved.user_prompt_template, resolved.preferred_model, resolved.temperature) == (
        "Hi {name}",
        "gpt-4o",
        0.5,
    )
    assert not any(resolved.HasField(alias) for alias in ALIASES)
    assert sent.template == "Hi {name}"


def test_rest_alias_that_differs_from_its_field_is_refused() -> None:
    with pytest.raises(InvalidFields, match="template"):
        resolve_aliases(pb.Prompt(template="a", user_prompt_template="b"))
    assert resolve_aliases(pb.Prompt(template="a", user_prompt_template="a")).user_prompt_template == "a"


def test_rest_aliases_stand_beside_set_fields_only() -> None:
    shown = with_aliases(pb.Prompt(user_prompt_template="Hi", temperature=0.2))
    assert (shown.template, shown.default_temperature) == ("Hi", pytest.approx(0.2))
    assert not shown.HasField("default_model")


def test_rest_alias_in_a_field_mask_stands_for_its_field() -> None:
    assert (field_of("template"), field_of("name")) == ("user_prompt_template", "name")
