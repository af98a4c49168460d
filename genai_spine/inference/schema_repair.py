"""The one repair of an answer that does not fit its schema: the model is told what is wrong and asked again.

Both calls are rows of the ledger, the first one marked as wasted; the answer's usage and cost are the sums.
"""

import asyncio
from dataclasses import replace

from genai_spine.errors import SchemaMismatch
from genai_spine.inference.attempt import Attempt
from genai_spine.inference.choices import summed
from genai_spine.inference.operation import Operation, SchemaViolation
from genai_spine.json_schema import answers
from genai_spine.v1 import completion_service_pb2 as pb

LONG_CHARS = 50_000  # of an answer; above, it is checked in a thread


async def check(attempt: Attempt, answer: pb.Completion) -> None:
    """Sets parsed_json of each choice. Raises SchemaMismatch; the operation then has the schema_violation."""
    request = attempt.operation.request
    assert isinstance(request, pb.CreateCompletionRequest)
    for choice in answer.choices:
        given = (choice, request, attempt.slot.provider.schema)
        try:
            if answer.ByteSize() > LONG_CHARS:
                await asyncio.to_thread(answers.complete_choice, *given)
            else:
                answers.complete_choice(*given)
        except SchemaMismatch:
            attempt.note_answer(answer)
            assert isinstance(attempt.request, pb.CreateCompletionRequest)
            attempt.operation.schema_violation = SchemaViolation(
                attempt.request, attempt.slot.route, attempt.execution, answer, choice
            )
            raise


def repair_operation(first: Operation, schema_violation: SchemaViolation, error: SchemaMismatch) -> Operation:
    """The same order with the bad answer and what is wrong with it, for one choice."""
    text = "".join(part.text for part in schema_violation.choice.message.content)
    problem = f"{error.metadata['path']}: {error.metadata['problem']}"
    return replace(
        first, request=answers.repair_request(schema_violation.request, text, problem), schema_violation=None
    )


def repaired(schema_violation: SchemaViolation, answer: pb.Completion) -> pb.Completion:
    """The first answer with the answer choice in its place."""
    schema_violation.answer.usage.CopyFrom(schema_violation.execution.usage)
    schema_violation.answer.cost.CopyFrom(schema_violation.execution.cost)
    usage, cost = summed([schema_violation.answer, answer])
    choices = {choice.index: choice for choice in schema_violation.answer.choices}
    answer.choices[0].index = schema_violation.choice.index
    choices[schema_violation.choice.index] = answer.choices[0]
    whole = [choices[index] for index in sorted(choices)]
    result = pb.Completion()
    result.CopyFrom(answer)
    del result.choices[:]
    result.choices.extend(whole)
    result.usage.CopyFrom(usage)
    result.cost.CopyFrom(cost)
    return result
