"""Schema repair: a model whose answer does not fit the schema is told what is wrong and asked once more.

Both calls are rows of the ledger, the first one booked as discarded; usage and cost are the sums.
"""

import asyncio
from dataclasses import replace
from functools import partial

from genai_spine.chunks import text_of
from genai_spine.errors import SchemaMismatch
from genai_spine.inference.attempt import Attempt
from genai_spine.inference.choices import summed
from genai_spine.inference.operation import Completing, Repaired, SchemaViolation
from genai_spine.json_schema import answers
from genai_spine.v1 import completion_service_pb2 as pb

MAX_INLINE_BYTES = 50_000  # of an answer; a larger one is checked in a thread


def expected(attempt: Attempt[pb.CreateCompletionRequest]) -> answers.ExpectedAnswer:
    """JSON that the attempt's answer must hold."""
    form = attempt.operation.request.response_format
    return answers.ExpectedAnswer(form, attempt.provider.schema, attempt.provider.name, attempt.route.model)


async def check(attempt: Attempt[pb.CreateCompletionRequest], answer: pb.Completion) -> None:
    """Sets parsed_json of each choice. Errors: SchemaMismatch, and the operation has the schema_violation."""
    goal = expected(attempt)
    for choice in answer.choices:
        try:
            if answer.ByteSize() > MAX_INLINE_BYTES:
                await asyncio.to_thread(answers.complete_choice, choice, goal)
            else:
                answers.complete_choice(choice, goal)
        except SchemaMismatch:
            attempt.record_undelivered(answer)
            attempt.operation.schema_violation = SchemaViolation(
                attempt.request, attempt.route, attempt.execution, answer, choice
            )
            raise


def repairing(operation: Completing, error: SchemaMismatch) -> Completing | None:
    """Operation that asks the same model to correct its answer; None where another try cannot help."""
    violation = operation.schema_violation
    if violation is None or not answers.can_be_repaired(operation.request, error):
        return None
    text = text_of(violation.choice)
    problem = f"{error.metadata['path']}: {error.metadata['problem']}"
    request = answers.repair_request(violation.request, text, problem)
    repair = Repaired(operation.request, partial(repaired, violation))
    return replace(
        operation, request=request, routes=[violation.route], schema_violation=None, repaired=repair
    )


def repaired(violation: SchemaViolation, correction: pb.Completion) -> pb.Completion:
    """The first answer with the corrected choice in the place of the one that did not fit."""
    violation.answer.usage.CopyFrom(violation.execution.usage)
    violation.answer.cost.CopyFrom(violation.execution.cost)
    usage, cost = summed([violation.answer, correction])
    choices = {choice.index: choice for choice in violation.answer.choices}
    correction.choices[0].index = violation.choice.index
    choices[violation.choice.index] = correction.choices[0]
    in_order = [choices[index] for index in sorted(choices)]
    result = pb.Completion()
    result.CopyFrom(correction)
    del result.choices[:]
    result.choices.extend(in_order)
    result.usage.CopyFrom(usage)
    result.cost.CopyFrom(cost)
    return result
