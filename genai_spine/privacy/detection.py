"""Detection of PII: all that the patterns find, in the order of the text and without overlaps."""

from collections.abc import Collection, Mapping
from itertools import chain, islice

from genai_spine.errors import InvalidFields
from genai_spine.privacy.own_patterns import OwnPatterns
from genai_spine.privacy.patterns import FINDERS
from genai_spine.privacy.spans import Span, merged


class Detector:
    """Detector of PII in several texts.

    types: of FINDERS, none means all; patterns: further ones, of RE2, by their own types.

    A type that nothing here finds is refused, for a text that nobody searched would look clean.
    Errors: InvalidFields.
    """

    def __init__(
        self,
        types: Collection[str] = (),
        patterns: Mapping[str, str] | None = None,
        min_confidence: float = 0.0,
    ) -> None:
        check_types(types, patterns or {})
        self._finders = [finder for name, finder in FINDERS.items() if not types or name in types]
        self._own = OwnPatterns(patterns or {})

    def detect(self, text: str, *, most: int | None = None) -> list[Span]:
        """PII in a text, in order, without overlaps.

        most: finds of a text; above it the text is refused, for a pattern may find every character.
        """
        found = chain(*(finder(text) for finder in self._finders), self._own.find(text))
        spans = list(islice(found, None if most is None else most + 1))
        if most is not None and len(spans) > most:
            raise InvalidFields([("content", f"must have at most {most} entities")])
        return merged(spans)


def detect(
    text: str,
    types: Collection[str] = (),
    patterns: Mapping[str, str] | None = None,
    *,
    most: int | None = None,
) -> list[Span]:
    """PII in one text, as a Detector finds it. Errors: InvalidFields."""
    return Detector(types, patterns).detect(text, most=most)


def check_types(types: Collection[str], patterns: Collection[str]) -> None:
    """Checks that everything that is asked for can be found. Errors: InvalidFields."""
    problems = [
        (f"entity_types[{index}]", f"must be one of {', '.join(FINDERS)}; got {name[:64]}")
        for index, name in enumerate(types)
        if name not in FINDERS and name not in patterns
    ]
    if problems:
        raise InvalidFields(problems)
