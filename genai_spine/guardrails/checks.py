"""Guardrails that refuse: length, denied topics, patterns of prompt injection, personal data.

Each belongs to one call. It sees the texts of a request one by one, then the answer piece by piece, and
raises GuardrailTriggered.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import re2

from genai_spine.errors import GuardrailTriggered, InvalidFields
from genai_spine.privacy.detection import Detector
from genai_spine.v1.guardrails_pb2 import Guardrails

MAX_PATTERN_BYTES = 1 << 20  # of memory for one, compiled
TAIL_CHARS = 2_000  # of an answer that a topic is looked for in with the next piece
ANSWER = "the answer"
# As they are known from public reports of prompt injection; bounded, so that no text makes them slow.
EARLIER = "previous|prior|above|earlier|preceding|all|any|your|system"
ORDERS = "instructions?|prompts?|rules?|directions?|guidelines?|messages?"
INJECTIONS: Mapping[str, str] = {
    "ignore_instructions": rf"\b(?:ignore|disregard|forget|override|bypass)\b[^.\n]{{0,40}}\b(?:{EARLIER})\b"
    rf"[^.\n]{{0,40}}\b(?:{ORDERS})\b",
    "reveal_prompt": r"\b(?:reveal|print|repeat|show|output|leak|display)\b[^.\n]{0,40}\b(?:system|hidden"
    r"|initial|developer|secret)\b[^.\n]{0,20}\b(?:prompts?|instructions?|messages?)\b",
    "other_role": r"\b(?:you are now|act as|pretend to be|enter)\b[^.\n]{0,30}\b(?:dan|jailbroken"
    r"|unrestricted|unfiltered|developer mode|god mode)\b|\bdo anything now\b",
    "chat_template": r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id)\|>|\[/?INST\]|<</?SYS>>",
}


def check_rules(rules: Guardrails) -> None:
    """Checks that the patterns of rules are regular expressions, and that their types can be found.

    Errors: InvalidFields.
    """
    Detector(rules.pii_types, rules.pii_patterns)
    problems = []
    for name, pattern in rules.denied_topics.items():
        try:
            _compiled(pattern)
        except re2.error:
            problems.append((f"denied_topics[{name}]", "must be a regular expression of RE2"))
    if problems:
        raise InvalidFields(problems)


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors, options.max_mem, options.case_sensitive = False, MAX_PATTERN_BYTES, False
    return re2.compile(pattern, options)


class Guardrail:
    """Base class of what looks at one call. It is the hook: what is not overridden lets everything pass."""

    NAME: ClassVar[str]

    def before(self, where: str, text: str, *, is_trusted: bool) -> None:
        """Looks at a text of the request. is_trusted: of the system, not of a user or a tool."""

    def answer(self, text: str) -> None:
        """Looks at the next piece of the answer."""

    def found(self, what: str, where: str) -> GuardrailTriggered:
        """Error that says what was found, and not the text."""
        return GuardrailTriggered(guardrail=self.NAME, what=what, where=where)


class Lengths(Guardrail):
    """Limits of the characters of a request, and of an answer."""

    NAME = "length"

    def __init__(self, most_in: int | None, most_out: int | None) -> None:
        self.most_in, self.most_out = most_in, most_out
        self._in = self._out = 0

    @classmethod
    def of(cls, rules: Guardrails) -> Self | None:
        most_in = rules.max_input_chars if rules.HasField("max_input_chars") else None
        most_out = rules.max_output_chars if rules.HasField("max_output_chars") else None
        return None if most_in is None and most_out is None else cls(most_in, most_out)

    def before(self, where: str, text: str, *, is_trusted: bool) -> None:
        self._in += len(text)
        if self.most_in is not None and self._in > self.most_in:
            raise self.found(f"more than {self.most_in} characters", where)

    def answer(self, text: str) -> None:
        self._out += len(text)
        if self.most_out is not None and self._out > self.most_out:
            raise self.found(f"more than {self.most_out} characters", ANSWER)


class DeniedTopics(Guardrail):
    """Topics by regular expressions of RE2, capitals or not."""

    NAME = "topics"

    def __init__(self, topics: Mapping[str, str]) -> None:
        self._topics = {name: _compiled(pattern) for name, pattern in topics.items()}
        self._tail = ""

    @classmethod
    def of(cls, rules: Guardrails) -> Self | None:
        return cls(rules.denied_topics) if rules.denied_topics else None

    def before(self, where: str, text: str, *, is_trusted: bool) -> None:
        self._search(where, text)

    def answer(self, text: str) -> None:
        self._tail = self._tail[-TAIL_CHARS:] + text
        self._search(ANSWER, self._tail)

    def _search(self, where: str, text: str) -> None:
        for name, pattern in self._topics.items():
            if pattern.search(text):
                raise self.found(name, where)


class Injections(Guardrail):
    """Known patterns of prompt injection in what users and tools say."""

    NAME = "injection"
    PATTERNS: ClassVar = {name: re.compile(text, re.IGNORECASE) for name, text in INJECTIONS.items()}

    @classmethod
    def of(cls, rules: Guardrails) -> Self | None:
        return cls() if rules.block_injections else None

    def before(self, where: str, text: str, *, is_trusted: bool) -> None:
        if is_trusted:
            return
        for name, pattern in self.PATTERNS.items():
            if pattern.search(text):
                raise self.found(name, where)


class PiiBlock(Guardrail):
    """Personal data, which the rules do not let pass."""

    NAME = "pii"

    def __init__(self, rules: Guardrails) -> None:
        self._detector = Detector(rules.pii_types, rules.pii_patterns)

    @classmethod
    def of(cls, rules: Guardrails) -> Self | None:
        return cls(rules) if rules.pii == "block" else None

    def before(self, where: str, text: str, *, is_trusted: bool) -> None:
        if spans := self._detector.detect(text):
            raise self.found(", ".join(sorted({span.type for span in spans})), where)
