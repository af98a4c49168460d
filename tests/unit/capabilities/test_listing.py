"""The list of capabilities: schemas that stand alone, and true to what the edge takes and sends."""

import json
from typing import Any

import jsonschema
import pytest
from google.protobuf.json_format import MessageToDict

from genai_spine.capabilities import CAPABILITIES
from genai_spine.capabilities.listing import CapabilityList
from genai_spine.v1 import capability_service_pb2 as pb
from tests.contract.capability_samples import SAMPLES

LISTED = {
    info.name: info for info in CapabilityList(CAPABILITIES).page(pb.ListCapabilitiesRequest()).capabilities
}


def judge(schema: Any) -> jsonschema.Draft202012Validator:
    plain = MessageToDict(schema)
    assert plain["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "#/components" not in json.dumps(plain)
    jsonschema.Draft202012Validator.check_schema(plain)
    return jsonschema.Draft202012Validator(plain)


@pytest.mark.parametrize("name", CAPABILITIES)
def test_request_fits_its_schema(name: str) -> None:
    body = MessageToDict(SAMPLES[name].request, preserving_proto_field_name=True)
    validator = judge(LISTED[name].input_schema)
    validator.validate({**body, "options": {"a": 1}, "unheard_of": True})
    assert not validator.is_valid({**body, "provider": 7})


@pytest.mark.parametrize("name", CAPABILITIES)
def test_response_fits_its_schema(name: str) -> None:
    response = CAPABILITIES[name].RESPONSE()
    response.result.cost.cost_ticks = 7
    response.result.context.pieces = 1
    body = MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    validator = judge(LISTED[name].output_schema)
    validator.validate(body)
    assert not validator.is_valid({**body, "result": 7})


def test_description_is_the_comment_of_the_method() -> None:
    assert LISTED["summarize"].description == "Shortens a text to some sentences or bullet points."
    assert LISTED["summarize"].prompt_slugs == ["capability-summarize"]
    assert LISTED["infer-title"].path == "/v1/infer-title"
