"""Field masks choose fields that can be changed, and refuse all others."""

import pytest

from genai_spine import field_masks
from genai_spine.errors import InvalidFields
from genai_spine.v1.session_service_pb2 import Session

EDITABLE = ("title", "model")


def test_without_a_mask_the_fields_that_are_set_are_chosen():
    given = Session(id="a", title="", etag="1")
    assert field_masks.chosen([], given, EDITABLE) == ["title"]


def test_mask_chooses_fields_also_unset_ones():
    assert field_masks.chosen(["model", "etag"], Session(title="a"), EDITABLE) == ["model"]


@pytest.mark.parametrize("mask", [["*"], ["model", "*"], ["*", "etag"]])
def test_star_chooses_every_field(mask):
    assert field_masks.chosen(mask, Session(), EDITABLE) == list(EDITABLE)


@pytest.mark.parametrize(
    "wrong", ["", " title", "Title", "session.title", "metadata.a", "title,model", "id", "a\0"]
)
@pytest.mark.parametrize("others", [[], ["title"], ["*"]])
def test_any_other_field_is_refused_even_beside_a_star(wrong, others):
    with pytest.raises(InvalidFields, match="is no field that can be changed"):
        field_masks.chosen([*others, wrong], Session(), EDITABLE)
