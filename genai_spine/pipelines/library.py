"""Library of pipelines: those that come along, and those of a tenant."""

from genai_spine.errors import InvalidFields
from genai_spine.pipelines import definition
from genai_spine.v1.pipeline_pb2 import PipelineWork

PATH = "work.pipeline"  # of the pipeline in a request


class PipelineLibrary:
    """Pipelines by their names."""

    async def pin(self, work: PipelineWork, tenant_id: str) -> None:
        """Writes the definition that a run is made by into its work. Errors: InvalidFields."""
        if not work.HasField("definition"):
            raise InvalidFields([(f"{PATH}.definition", "is required")])
        definition.checked(work.definition, f"{PATH}.definition")
