"""Pipelines as another tenant tries to reach them."""

from typing import Any

from google.protobuf.message import Message

from genai_spine.v1 import pipeline_service_pb2 as pb
from tests.service.pipeline_calls import definition, step


def pipeline(name: str) -> Message:
    """Pipeline that a tenant makes."""
    made = pb.Pipeline(definition=definition(step("only"), name=name))
    return pb.CreatePipelineRequest(pipeline=made)


BY_ID: dict[str, list[Any]] = {
    f"PipelineService/{name}": [("pipeline", request)]
    for name, request in {
        "GetPipeline": lambda id: pb.GetPipelineRequest(pipeline_id=id),
        "UpdatePipeline": lambda id: pb.UpdatePipelineRequest(
            pipeline_id=id, pipeline=pb.Pipeline(definition=definition(step("other"), name="other"))
        ),
        "ListPipelineVersions": lambda id: pb.ListPipelineVersionsRequest(pipeline_id=id),
        "GetPipelineVersion": lambda id: pb.GetPipelineVersionRequest(pipeline_id=id, version=1),
        "ExecutePipeline": lambda id: pb.ExecutePipelineRequest(pipeline_name=id),
        "EstimatePipeline": lambda id: pb.EstimatePipelineRequest(pipeline_name=id),
        "DeletePipeline": lambda id: pb.DeletePipelineRequest(pipeline_id=id),
    }.items()
}
BY_ID |= {
    f"PipelineService/{name}": [("run", request)]
    for name, request in {
        "GetPipelineProgress": lambda id: pb.GetPipelineProgressRequest(execution_id=id),
        "GetPipelineResult": lambda id: pb.GetPipelineResultRequest(execution_id=id),
    }.items()
}
