"""The one repair of an answer that does not fit its schema: the model is told what is wrong and asked again.

Both calls are rows of the ledger, the first one marked as discarded; usage and cost of the answer are sums.
"""

import asyncio
from dataclasses import dataclass, replace

from genai_spine.errors import SchemaMismatch
from genai_spine.inference.attempt import Attempt, Order
from genai_spine.inference.choices import summed
from genai_spine.json_schema import answers
from genai_spine.v1 import completion_service_pb2 as pb

LONG_CHARS = 50_000  # of an answer; above, it is checked in a thread


@dataclass(frozen=True, slots=True)
class Flaw:
    """An answer with a choice that does not fit."""

    attempt: Attempt
    answer: pb.Completion
    choice: pb.Choice


async def check(attempt: Attempt, answer: pb.Completion) -> None:
    """Sets parsed_json of each choice. Raises SchemaMismatch; the order then has the flaw."""
    request = attempt.order.request
    assert isinstance(request, pb.CreateCompletionRequest)
    for choice in answer.choices:
        given = (choice, request, attempt.turn.provider.schema)
        try:
            if answer.ByteSize() > LONG_CHARS:
                await asyncio.to_thread(answers.complete_choice, *given)
            else:
                answers.complete_choice(*given)
        except SchemaMismatch:
            attempt.answered(answer)
            attempt.order.flaw = Flaw(attempt, answer, choice)
            raise


def order(first: Order, flaw: Flaw, error: SchemaMismatch) -> Order:
    """The same order with the bad answer and what is wrong with it, for one choice."""
    sent = flaw.attempt.request
    assert isinstance(sent, pb.CreateCompletionRequest)
    text = "".join(part.text for part in flaw.choice.message.content)
    problem = f"{error.metadata['path']}: {error.metadata['problem']}"
    return replace(first, request=answers.repair_request(sent, text, problem), flaw=None)


def mended(flaw: Flaw, repaired: pb.Completion) -> pb.Completion:
    """The first answer with the repaired choice in its place."""
    flaw.answer.usage.CopyFrom(flaw.attempt.execution.usage)
    flaw.answer.cost.CopyFrom(flaw.attempt.execution.cost)
    usage, cost = summed([flaw.answer, repaired])
    choices = {choice.index: choice for choice in flaw.answer.choices}
    repaired.choices[0].index = flaw.choice.index
    choices[flaw.choice.index] = repaired.choices[0]
    whole = [choices[index] for index in sorted(choices)]
    result = pb.Completion()
    result.CopyFrom(repaired)
    del result.choices[:]
    result.choices.extend(whole)
    result.usage.CopyFrom(usage)
    result.cost.CopyFrom(cost)
    return result
