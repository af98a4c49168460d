"""Guardrails around a call: one row here for each, which looks at texts before the call and at its answer."""

from collections.abc import Callable, Mapping

from genai_spine.guardrails.checks import DeniedTopics, Guardrail, Injections, Lengths, PiiBlock
from genai_spine.v1.guardrails_pb2 import Guardrails

# Each makes the guardrail of one call, or none where the rules do not ask for it.
GUARDRAILS: Mapping[str, Callable[[Guardrails], Guardrail | None]] = {
    "length": Lengths.of,
    "topics": DeniedTopics.of,
    "injection": Injections.of,
    "pii": PiiBlock.of,
}
