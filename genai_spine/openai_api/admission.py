"""Admission of requests made of a body: what the service interceptor does with those that come typed."""

from typing import Any

from genai_spine import validation
from genai_spine.call import Call


def admit(request: Any, call: Call) -> None:
    """Check of a message against its field rules; its cost labels become the call's.

    Errors: InvalidFields.
    """
    validation.check(request)
    if request.cost_labels:
        call.cost_labels = dict(request.cost_labels)
