"""Operations: one request on its way, shared by its attempts."""

from dataclasses import replace

from genai_spine.inference.operation import SchemaViolation
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2
from tests.unit.inference.scripted import Scripted, World, asked


def test_operation_copies_share_successes_and_nothing_else() -> None:
    world = World(Scripted("openai"))
    operation = world.operation()
    copy = replace(operation, routes=[])
    copy.successful_routes.append(world.routes()[0])
    copy.superseded = True
    assert operation.successful_routes == world.routes()
    assert (operation.superseded, operation.routes) == (False, world.routes())


def test_operation_schema_violation_holds_the_call_and_not_the_attempt() -> None:
    world = World(Scripted("openai"))
    answer = pb.Completion(choices=[pb.Choice()])
    violation = SchemaViolation(
        asked(), world.routes()[0], execution_pb2.Execution(id="1"), answer, answer.choices[0]
    )
    assert (violation.route.model, violation.execution.id) == (world.routes()[0].model, "1")
    assert violation.choice in violation.answer.choices
